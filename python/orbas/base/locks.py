"""A lock that a child process does not inherit in a locked state."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from typing import Any, Self

_LOCKS: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


class ForkSafeLock:
    """A lock that the thread that holds it may take again, new in every child of a fork.

    ``fork`` copies the calling thread only: a lock that another thread held at that moment would stay locked in the
    child for ever. Copies and pickles of what holds it get a lock of their own.

    Examples
    --------
    >>> lock = ForkSafeLock()
    >>> with lock, lock:
    ...     print("inside")
    inside
    """

    def __init__(self) -> None:
        self.renew()
        _LOCKS.add(self)

    def renew(self) -> None:
        """Forget who holds it."""
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # renewed by a fork meanwhile
            self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return ForkSafeLock, ()


def _renew_all() -> None:
    for lock in list(_LOCKS):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
