"""Trajectories: files that grow by whole frames."""

from __future__ import annotations

import gzip
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from orbas.files.outputs import is_packed

if TYPE_CHECKING:
    from types import TracebackType


class TrajectoryFile:
    """A file to which whole frames are added, each at once.

    It is opened, and an older file of its name emptied, when the first frame is there, and room for it. Whatever goes
    wrong while a frame is written (a full disk, an interrupt), the file is cut back to the end of the frame before. A
    name that ends in ``.gz`` packs each frame by itself, so that the same holds there. Two programs do not write to one
    file.

    Parameters
    ----------
    path
        Checked before by :func:`orbas.files.outputs.check_outputs`.

    Attributes
    ----------
    n_frames
        How many frames were written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self.n_frames = 0
        self._descriptor: int | None = None
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def append(self, frame: str) -> None:
        """Write the text of a frame.

        Raises
        ------
        OSError
            If it cannot be written; it names the file and says how many frames are in it.
        """
        content = frame.encode()
        if is_packed(self.path):
            content = gzip.compress(content, compresslevel=6, mtime=0)
        try:
            if self._descriptor is None:
                self._descriptor = self._open(content)
            self._write(self._descriptor, content)
        except OSError as error:
            left = f"; {self.n_frames} whole structures are in the file" if self.n_frames else ""
            raise OSError(error.errno, f"{error.strerror}{left}", str(self.path)) from error
        self.n_frames += 1

    def _open(self, content: bytes) -> int:
        """Open the file, and empty an older one once there is room for a frame behind it."""
        descriptor = _open_alone(self.path)
        try:
            self._end = os.lseek(descriptor, 0, os.SEEK_END)
            if self._end > 0:
                self._write(descriptor, content)
                os.ftruncate(descriptor, 0)
                self._end = os.lseek(descriptor, 0, os.SEEK_SET)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _write(self, descriptor: int, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except BaseException:  # an interrupt between two parts, too
            with suppress(OSError):  # a device
                os.ftruncate(descriptor, self._end)
                os.lseek(descriptor, self._end, os.SEEK_SET)
            raise
        self._end += len(content)


def _open_alone(path: str | os.PathLike[str]) -> int:
    """Open a file that no other program writes a trajectory to."""
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0), 0o666
    )
    try:
        _lock(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int) -> None:
    """Raise BlockingIOError if another program holds the file; where there are no locks, nobody is held off."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(error.errno, "another run is writing to this file: name another one") from error
    except OSError:
        return
