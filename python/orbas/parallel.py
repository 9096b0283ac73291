"""Number of threads of the compiled core. Results do not depend on it, to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from orbas import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


def set_num_threads(threads: int) -> None:
    """Use this many threads from the next call on.

    Without this call the number is ``ORBAS_NUM_THREADS``, else ``RAYON_NUM_THREADS``, else the cores that the
    process may use.

    Raises
    ------
    ValueError
        Unless ``1 <= threads <= 1024``.
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"the number of threads must be a positive integer, got {threads!r}")
    _core.set_num_threads(threads)


def get_num_threads() -> int:
    """Return how many threads the next call will use."""
    return _core.get_num_threads()


def each(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return ``[work(item) for item in items]``, made in as many threads as the core uses.

    For work that numpy does without the interpreter lock: matrix products and eigenvectors. Meanwhile BLAS has one
    thread for each item, whatever it was given: its own threads would wait for each other, and its results depend on
    how many they are. Items are begun in the order they are in: the longest should come first.
    """
    from concurrent.futures import ThreadPoolExecutor

    import scipy.linalg  # noqa: F401  loads a BLAS of its own, which is to be limited too
    from threadpoolctl import threadpool_limits

    threads = min(get_num_threads(), len(items))
    with threadpool_limits(1, "blas"):
        if threads <= 1:
            return [work(item) for item in items]
        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(work, item) for item in items]
            try:
                return [future.result() for future in futures]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
