"""Number of threads of the compiled core. Results do not depend on it, to the bit."""

from __future__ import annotations

import threading
from functools import partial
from operator import index
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from orbas import _core
from orbas.base.process import next_of, one_blas_thread, outcome_of, patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Item = TypeVar("Item")
Result = TypeVar("Result")

#: What OpenBLAS wants of memory for every thread at work, and some more, in bytes.
_BLAS_BUFFER = 48 * 2**20


def set_num_threads(threads: int) -> None:
    """Use this many threads from the next call on.

    Without this call the number is ``ORBAS_NUM_THREADS``, which must be one like that, else ``RAYON_NUM_THREADS``, else
    the cores that the process may use.

    Raises
    ------
    ValueError
        Unless ``1 <= threads <= 1024``.

    Examples
    --------
    >>> import orbas
    >>> before = orbas.get_num_threads()
    >>> orbas.set_num_threads(2)
    >>> orbas.get_num_threads()
    2
    >>> orbas.set_num_threads(before)
    """
    if isinstance(threads, bool | np.bool_) or not hasattr(threads, "__index__") or threads < 1:
        raise ValueError(f"the number of threads must be a positive integer, got {threads!r}")
    _core.set_num_threads(min(index(threads), 2**31))


def get_num_threads() -> int:
    """Return how many threads the next call will use.

    Examples
    --------
    >>> import orbas
    >>> orbas.get_num_threads() >= 1
    True
    """
    return _core.get_num_threads()


def each(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return ``[work(item) for item in items]``, made in as many threads as the core uses.

    For work that numpy does without the interpreter lock: matrix products and eigenvectors. Meanwhile BLAS has one
    thread for each item, whatever it was given: its own threads would wait for each other, and its results depend on
    how many they are. Items are begun in the order they are in: the longest should come first. An exception, of an item
    or of a signal, ends the work; items in hand are left to themselves.
    """
    waiting = list(items)
    threads = _with_room(min(get_num_threads(), len(waiting)))
    return one_blas_thread.run(_each, work, waiting, threads)


def _each(work: Callable[[Item], Result], items: list[Item], threads: int) -> list[Result]:
    if threads <= 1:
        return [patiently(partial(work, item)) for item in items]
    team = _Team(work, items)
    try:
        return team.run(threads)
    finally:
        team.stop()


def _with_room(threads: int) -> int:
    """Return so many threads, or as many as there is memory for: OpenBLAS ends the process where it finds none."""
    while threads > 1:
        try:
            np.empty(threads * _BLAS_BUFFER, dtype=np.uint8)
            break
        except MemoryError:
            threads -= 1
    return threads


class _Team(Generic[Item, Result]):
    """Threads that take one item after the other."""

    def __init__(self, work: Callable[[Item], Result], items: list[Item]) -> None:
        self._work = work
        self._items = items
        self._next = iter(range(len(items)))
        self._lock = threading.Lock()
        self._outcomes: SimpleQueue[tuple[int, Callable[[], Result]]] = SimpleQueue()

    def run(self, threads: int) -> list[Result]:
        """Return the results in the order of the items, or raise the first error in that order."""
        try:
            for _ in range(threads):
                threading.Thread(target=self._serve, name="orbas-work", daemon=True).start()
        except RuntimeError:  # no memory for another thread
            self._serve()
        arrived: dict[int, Callable[[], Result]] = {}
        results: list[Result] = []
        while len(results) < len(self._items):
            k, outcome = next_of(self._outcomes)
            arrived[k] = outcome
            while len(results) in arrived:
                results.append(arrived.pop(len(results))())
        return results

    def stop(self) -> None:
        """Let nobody begin another item."""
        with self._lock:
            self._next = iter(())

    def _serve(self) -> None:
        while True:
            with self._lock:
                k = next(self._next, None)
            if k is None:
                return
            self._outcomes.put((k, outcome_of(partial(self._work, self._items[k]))))
