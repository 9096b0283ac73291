"""Number of threads of the compiled core. Results do not depend on it, to the bit."""

from __future__ import annotations

from orbas import _core


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
