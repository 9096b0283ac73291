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

    For work that numpy does without the interpreter lock: matrix products and eigenvectors. One thread per item makes
    two cores busy also where BLAS itself has one thread, or where LAPACK leaves all but one of its threads idle. Items
    are begun in the order they are in: the longest should come first.
    """
    threads = min(get_num_threads(), len(items))
    if threads <= 1:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
