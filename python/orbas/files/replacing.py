"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: str | os.PathLike[str], *, backup: Path | None = None) -> Iterator[BinaryIO]:
    """Give a file to write to, which takes the place of ``path`` when the block ends well.

    It is a temporary one in the same folder, on the disk before it gets its name: whatever happens, a reader finds the
    old file or the new one. If the block raises, the old file stays and the temporary one goes. Of a link the target is
    replaced; a file that is replaced leaves its permissions, owner and group to the new one. What is written to
    ``os.devnull`` is gone.

    Parameters
    ----------
    path
        The name.
    backup
        The name that an older file gets at the end; None: it goes.

    Raises
    ------
    ValueError
        If ``path`` is a device, pipe or socket.
    OSError
        If the file cannot be written; it names ``path``.
    """
    if is_swallowed(path):
        with Path(os.devnull).open("wb") as nowhere:
            yield nowhere
        return
    target = Path(os.path.realpath(path))
    temporary: Path | None = None
    try:
        before = _status(Path(path))
        temporary, descriptor = temporary_in(target.parent, private=before is not None)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if before is not None:
                _inherit(file.fileno(), target, before)
            os.fsync(file.fileno())
        if backup is not None and before is not None:
            target.replace(backup)
            before = None
        try:
            temporary.replace(target)
        except OSError as error:
            # The name cannot be taken, the file can be written: a mount, or another's in a shared folder.
            if before is None or error.errno not in (errno.EBUSY, errno.EPERM, errno.EACCES):
                raise
            shutil.copyfile(temporary, target)
    except OSError as error:
        reason = f"{error.strerror or error}; nothing was written, an older file of this name is as it was"
        raise OSError(error.errno, reason, str(path)) from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # it has its name now
                temporary.unlink()
    _sync_folder(target.parent)


def is_swallowed(path: str | os.PathLike[str]) -> bool:
    """Whether what is written there is thrown away on purpose: ``os.devnull``, by any name."""
    try:
        found, nowhere = Path(path).stat(), Path(os.devnull).stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == nowhere.st_rdev


def temporary_in(folder: Path, *, private: bool) -> tuple[Path, int]:
    """Make a new file in a folder, under a name that nobody else has; return its path and descriptor.

    ``private`` ones are for the owner alone, others as the umask says.
    """
    path = folder / f".orbas-{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    return path, os.open(path, flags, 0o600 if private else 0o666)


def _status(target: Path) -> os.stat_result | None:
    """Return the status of the file that will be replaced; None for a new one."""
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{target}: a device, pipe or socket is not replaced: give the name of a regular file")
    return status


def _inherit(descriptor: int, target: Path, before: os.stat_result) -> None:
    """Give a new file owner, group, extended attributes (access lists) and mode of an older one, as far as it goes."""
    mode = before.st_mode & 0o777
    if not hasattr(os, "fchown"):
        return
    for owner, group in ((before.st_uid, before.st_gid), (-1, before.st_gid)):
        with suppress(OSError):
            os.fchown(descriptor, owner, group)
            break
    if os.fstat(descriptor).st_gid != before.st_gid:  # another group gets no more than everybody
        mode &= 0o707 | (mode & 0o007) << 3
    os.fchmod(descriptor, mode)
    if hasattr(os, "listxattr"):
        with suppress(OSError):  # not every file system has any
            for name in os.listxattr(target):
                with suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(target, name))


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk; folders can be opened on POSIX only, and not every file system takes it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
