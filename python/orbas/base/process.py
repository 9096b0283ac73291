"""What a whole process shares and we leave as found: numpy's error state, the threads of BLAS, and signals.

A fork copies what other threads were doing. Locks here are renewed in the child, which keeps the limits of its own
thread only.
"""

from __future__ import annotations

import inspect
import os
import threading
import weakref
from contextlib import contextmanager, suppress
from functools import cache, partial, wraps
from itertools import filterfalse
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

P = ParamSpec("P")
Result = TypeVar("Result")
Item = TypeVar("Item")

#: The longest that a signal waits where waiting cannot be interrupted, in seconds.
_PATIENCE = 0.1


def default_errors(function: Callable[P, Result]) -> Callable[P, Result]:
    """Make a function work under numpy's default error state, whatever the state of the caller is.

    What is no error to us is none to careful people with ``numpy.seterr(all="raise")``: ``exp(-800)`` is 0.
    """
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def generated(*args: P.args, **kwargs: P.kwargs) -> Iterator[Any]:
            # Between two items the state is that of the caller.
            items = function(*args, **kwargs)
            while True:
                with _errstate():
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item

        return generated  # type: ignore[return-value]

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> Result:
        with _errstate():
            return function(*args, **kwargs)

    return called


def _errstate() -> np.errstate:
    return np.errstate(divide="warn", over="warn", under="ignore", invalid="warn")


@cache
def _blas_libraries() -> tuple[Any, ...]:
    """Return the controllers of all BLAS libraries that numpy and scipy brought."""
    import scipy.linalg  # noqa: F401  brings one of its own
    from threadpoolctl import ThreadpoolController

    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


class _Limit:
    """One thread for some libraries, until it is undone."""

    def __init__(self, libraries: Iterable[Any]) -> None:
        self._before = [(library, library.get_num_threads()) for library in libraries]
        for library, _ in self._before:
            _set_threads(library, 1)

    def undo(self) -> None:
        for library, threads in self._before:
            _set_threads(library, threads)


def _set_threads(library: Any, threads: int) -> None:
    # From threadpoolctl 3.8 on the first thread that sets a limit is the only one that can: who else asks is ignored.
    getattr(library, "_real_set_num_threads", library.set_num_threads)(threads)


def _is_per_thread(library: Any) -> bool:
    """Return whether a limit is that of the thread that sets it, as with OpenMP; else it is that of the process."""
    return getattr(library, "threading_layer", None) == "openmp"


class _User:
    """One call inside."""


class _OneThread:
    """BLAS with one thread while anybody is inside, and as it was when the last one leaves.

    Every user is known by an object of its own, which is taken out in a ``finally`` around its entry, and vanishes with
    its call at the latest: an interrupt at any point, also at those of a ``with`` statement that nothing guards, leaves
    nobody inside for ever.
    """

    def __init__(self) -> None:
        # An interrupt may come where nothing releases a lock any more: who holds it takes it again, others do not wait.
        self._lock = threading.RLock()
        self._users: weakref.WeakKeyDictionary[_User, int] = weakref.WeakKeyDictionary()
        self._of_thread: dict[int, _Limit] = {}
        self._of_process: _Limit | None = None

    def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Return what a function returns; BLAS has one thread meanwhile."""
        user = _User()
        try:
            self._enter(user)
            return function(*args, **kwargs)
        finally:
            self._leave(user)

    def _enter(self, user: _User) -> None:
        own = threading.get_ident()
        with self._locked():
            self._restore(own)
            libraries = _blas_libraries()
            if own not in self._of_thread:
                self._of_thread[own] = _Limit(filter(_is_per_thread, libraries))
            if self._of_process is None:
                self._of_process = _Limit(filterfalse(_is_per_thread, libraries))
            self._users[user] = own

    def _leave(self, user: _User) -> None:
        with self._locked():
            self._users.pop(user, None)
            self._restore(threading.get_ident())

    def _restore(self, own: int) -> None:
        """Undo what nobody needs any more: of this thread, and of the process."""
        if own in self._of_thread and own not in self._users.values():
            self._of_thread.pop(own).undo()
        if not self._users and self._of_process is not None:
            self._of_process.undo()
            self._of_process = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        taken = self._lock.acquire(timeout=_PATIENCE)
        try:
            yield
        finally:
            if taken:
                self._lock.release()

    def renew(self) -> None:
        """Forget the threads that a fork has left behind."""
        own = threading.get_ident()
        self._lock = threading.RLock()
        self._users = weakref.WeakKeyDictionary({user: t for user, t in self._users.items() if t == own})
        self._of_thread = {thread: limit for thread, limit in self._of_thread.items() if thread == own}
        self._restore(own)


#: For fits: small calls to LAPACK are many times slower with several threads, which wait for each other by spinning,
#: and on a busy machine beyond all measure. What pays is cut into pieces for our own threads: ``orbas.base.linalg``.
one_blas_thread = _OneThread()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_blas_thread.renew)


def fitting(function: Callable[P, Result]) -> Callable[P, Result]:
    """Make a function work as :func:`default_errors` says, and with one thread of BLAS."""

    @wraps(function)
    def fitted(*args: P.args, **kwargs: P.kwargs) -> Result:
        with _errstate():
            return one_blas_thread.run(function, *args, **kwargs)

    return fitted


def patiently(work: Callable[[], Result]) -> Result:
    """Return ``work()``, so that a signal is seen meanwhile: for long calls that give the interpreter lock away.

    Signals are handled by the main thread, between two steps of the interpreter. So the work is done by another one,
    and left to itself if a handler raises: nobody gets its result.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    outcome: SimpleQueue[Callable[[], Result]] = SimpleQueue()

    def run() -> None:
        outcome.put(outcome_of(work))

    try:
        threading.Thread(target=run, name="orbas-work", daemon=True).start()
    except RuntimeError:  # no memory for a thread
        return work()
    return next_of(outcome)()


def outcome_of(work: Callable[[], Result]) -> Callable[[], Result]:
    """Do some work; return what gives its result, or raises its exception."""
    try:
        result = work()
    except BaseException as error:
        return partial(_raise, error)
    return lambda: result


def _raise(error: BaseException) -> Any:
    raise error


def next_of(queue: SimpleQueue[Item]) -> Item:
    """Wait for the next item so that signals are seen: a queue of this kind may be left at any moment."""
    while True:
        with suppress(Empty):
            return queue.get(timeout=_PATIENCE)
