"""One process at a time: an advisory lock beside a file."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locking(path: Path) -> Iterator[None]:
    """Hold ``path`` + ``.lock`` while the block runs; the system lets go of it when a process dies.

    Where files cannot be locked (no such call, a file system without locks, a folder that takes no files) the block
    runs without.

    Raises
    ------
    BlockingIOError
        If somebody else holds it, in this process or another.
    """
    lock = path.with_name(path.name + ".lock")
    descriptor = _acquired(lock)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):  # its folder may have gone
                lock.unlink()
            os.close(descriptor)


def _acquired(lock: Path) -> int | None:
    try:
        import fcntl
    except ImportError:  # not POSIX
        return None
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        try:
            descriptor = os.open(lock, flags, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it has removed the name: a file without one keeps nobody out.
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:
            os.close(descriptor)
            return None
        os.close(descriptor)
