"""Ctrl-C and its like at a good moment."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: An interrupt, the request to end, and the end of the terminal; not all are known to all systems.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Deferred:
    """What was remembered of signals while they were deferred."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        """Whether there was one."""
        return self.signal is not None

    def deliver(self) -> None:
        """Let the signal act as it would have, once it is no longer deferred: KeyboardInterrupt, or the end."""
        if self.signal is not None:
            sys.stdout.flush()  # the end may come without
            signal.raise_signal(self.signal)
            raise KeyboardInterrupt  # its handler returned


@contextmanager
def deferred_signals() -> Iterator[Deferred]:
    """Let the first signal that would end the program only be remembered; the second acts at once.

    A step of dynamics then ends and files are whole. A signal that is ignored, as in the background or under nohup,
    stays ignored; afterwards all handlers are those of before.
    """
    seen = Deferred()
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield seen
        return
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is remember:
                signal.signal(number, handler)

    def remember(number: int, _: FrameType | None) -> None:
        seen.signal = number
        restore()

    try:
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):
                before[number] = handler
                signal.signal(number, remember)
        yield seen
    finally:
        restore()
