"""The one door through which everything is read: structures, bases, checkpoints, models, settings.

What comes through is bounded by the bytes that are there: regular files by their size, pipes and packed files by a cap.
Whatever cannot end is refused at once: devices, pipes that nobody writes to.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbas.errors import NotAFileError

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import WriteableBuffer

#: The most bytes that are read of one file or pipe.
MOST_BYTES = 1 << 34
#: Packed files may grow by this factor, beyond a first part that any may have. Rows of numbers grow by 2 to 10, a frame
#: that is repeated by 100; deflate's limit is 1032.
MOST_GROWTH = 250
FREE_GROWTH = 1 << 24

_BUFFER = 1 << 18
_GZIP = b"\x1f\x8b"
#: Seconds in which a pipe may get its writer: a shell starts both ends at about the same time.
_PATIENCE = 0.5


class InputFile(io.BufferedReader):
    """A file open for reading, in bytes.

    Attributes
    ----------
    path
        Where it is.
    size
        Bytes of the file itself; None for a pipe.
    is_packed
        Whether it is unpacked on the way (gzip).
    """

    def __init__(self, raw: io.RawIOBase, path: Path, size: int | None, *, is_packed: bool) -> None:
        super().__init__(raw, _BUFFER)
        self.path = path
        self.size = size
        self.is_packed = is_packed

    def __enter__(self) -> Self:
        return self

    @property
    def name(self) -> str:
        """The path as a text."""
        return str(self.path)

    @property
    def most_left(self) -> int:
        """An upper bound of the bytes that can still be read, for what announces its size."""
        if self.size is None:
            return MOST_BYTES
        return self.size * MOST_GROWTH + FREE_GROWTH if self.is_packed else max(self.size - self.tell(), 0)


def open_input(
    path: str | os.PathLike[str], *, most: int = MOST_BYTES, unpack: bool = False, pipes: bool = True
) -> InputFile:
    """Open a file or a pipe for reading; it never waits for a writer that is not there.

    Parameters
    ----------
    path
        Its name.
    most
        More bytes than these are refused: files at once, pipes and packed files when they are reached.
    unpack
        Whether to unpack what begins as gzip does, whatever its name.
    pipes
        Whether a pipe will do. It cannot be read twice, and its size is not known.

    Returns
    -------
    InputFile
        To be used in a ``with`` statement. Reading it raises ValueError, without the file's name, if it is cut short or
        damaged as gzip, or goes beyond its bounds. A regular file that is not unpacked can be sought in.

    Raises
    ------
    NotAFileError
        If it is a folder or a device, a pipe without a writer, or larger than ``most``; it is an OSError and a
        ValueError, and has the file's name.
    OSError
        If there is no such file, or it may not be read.
    """
    path = Path(path)
    # Asked before opening, since opening a device may already do something, and after, since a name may change.
    _check_kind(path, path.stat().st_mode, pipes=pipes)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        _check_kind(path, status.st_mode, pipes=pipes)
        is_pipe = stat.S_ISFIFO(status.st_mode)
        if not is_pipe and status.st_size > most:
            raise NotAFileError(errno.EFBIG, f"larger than {most:,} bytes, of {status.st_size:,}", str(path))
        start = _first_bytes(path, descriptor) if is_pipe else os.read(descriptor, len(_GZIP))
        if is_pipe:
            os.set_blocking(descriptor, True)
        else:
            os.lseek(descriptor, 0, os.SEEK_SET)
        raw: io.RawIOBase = io.FileIO(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    if is_pipe:
        raw = _Pipe(raw, start, most)
    is_packed = unpack and start.startswith(_GZIP)
    if is_packed:
        raw = _Unpacked(raw, most)
    return InputFile(raw, path, None if is_pipe else status.st_size, is_packed=is_packed)


def _check_kind(path: Path, mode: int, *, pipes: bool) -> None:
    if stat.S_ISREG(mode) or (pipes and stat.S_ISFIFO(mode)):
        return
    if stat.S_ISDIR(mode):
        raise NotAFileError(errno.EISDIR, "a folder, not a regular file", str(path))
    kind = "a pipe" if stat.S_ISFIFO(mode) else "a terminal or device" if stat.S_ISCHR(mode) else "a device or socket"
    raise NotAFileError(errno.EINVAL, f"{kind}, not a regular file", str(path))


def _first_bytes(path: Path, descriptor: int) -> bytes:
    """Return the first bytes of a pipe as soon as there are any; raise NotAFileError if nobody writes to it."""
    end = time.monotonic() + _PATIENCE
    start = b""
    while True:
        try:
            found = os.read(descriptor, len(_GZIP) - len(start))
        except BlockingIOError:  # there is a writer, who takes his time
            os.set_blocking(descriptor, True)
            continue
        start += found
        if len(start) == len(_GZIP) or (start and not found):
            return start
        if not found and time.monotonic() > end:
            raise NotAFileError(errno.ENXIO, "a pipe that nobody writes to", str(path))
        if not found:
            os.set_blocking(descriptor, False)
            time.sleep(0.02)


class _Raw(io.RawIOBase):
    """What stands between a buffer and a file."""

    def __init__(self, source: io.RawIOBase) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._source.fileno()

    def close(self) -> None:
        self._source.close()
        super().close()


class _Pipe(_Raw):
    """A pipe: the bytes that were read to see whether there are any, then the rest, up to a bound."""

    def __init__(self, source: io.RawIOBase, start: bytes, most: int) -> None:
        super().__init__(source)
        self._start = start
        self._left = most

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if self._start:
            n = min(len(view), len(self._start))
            view[:n] = self._start[:n]
            self._start = self._start[n:]
        else:
            n = self._source.readinto(view) or 0
        self._left -= n
        if self._left < 0:
            raise ValueError("the pipe does not end: too many bytes came through it")
        return n


class _Unpacked(_Raw):
    """The contents of gzip members, one after the other."""

    def __init__(self, source: io.RawIOBase, most: int) -> None:
        super().__init__(source)
        self._most = most
        self._n_packed = self._n_bytes = 0
        self._member: Any = zlib.decompressobj(wbits=31)
        self._packed = b""

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            if not self._packed:
                self._packed = self._source.read(_BUFFER) or b""
                self._n_packed += len(self._packed)
                if not self._packed:
                    if self._member is not None and not self._member.eof:
                        raise ValueError("cut short: its gzip data do not end")
                    return 0
            if self._member is None or self._member.eof:
                self._packed = self._packed.lstrip(b"\0")  # padding of tapes and blocks
                if not self._packed:
                    continue
                self._member = zlib.decompressobj(wbits=31)
            try:
                found = self._member.decompress(self._packed, len(view))
            except zlib.error as error:
                raise ValueError(f"damaged: its gzip data cannot be unpacked ({error})") from error
            self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            self._n_bytes += len(found)
            if self._n_bytes > min(self._most, FREE_GROWTH + MOST_GROWTH * self._n_packed):
                raise ValueError(f"its gzip data unpack to more than {MOST_GROWTH} times their size: nothing does so")
            if found:
                view[: len(found)] = found
                return len(found)
