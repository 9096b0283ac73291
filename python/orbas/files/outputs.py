"""Outputs are looked at before any work: where they go, what they would replace, and what their suffix says.

:func:`check_outputs` is the one rule of all commands and of ``save``. An output is

- a regular file, or a new one in a folder where a file can be made; of a link, its target. ``os.devnull`` swallows what
  is written; other devices, pipes and sockets are refused, never replaced;
- not one of the inputs, not another output, under whatever name: links and hard links are followed;
- named by a suffix of what will be written.

:func:`orbas.files.replacing.replacing` then writes by the same rule.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from orbas.files.replacing import is_swallowed, temporary_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    PathLike: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is written, for messages; its suffixes, the first the usual one; whether ``.gz`` behind it compresses."""

    what: str
    suffixes: tuple[str, ...]
    packs: bool = False


class FileKind(Enum):
    """The kinds of files that orbas writes."""

    MODEL = _Kind("a model", (".orbas",))
    #: ``.npz`` named the bases of older versions. The name is still taken; the contents are those of ``.orbas``.
    BASIS = _Kind("a basis", (".orbas", ".npz"))
    #: Of a fit that runs: any suffix but those of structures, pictures, pages and settings.
    CHECKPOINT = _Kind("a checkpoint", (".ckpt",))
    FEATURES = _Kind("features", (".npz",))
    STRUCTURES = _Kind("structures", (".xyz", ".extxyz"), packs=True)
    PICTURE = _Kind("a picture", (".png", ".pdf", ".svg"))
    PAGE = _Kind("a page of Markdown", (".md", ".markdown"))
    SETTINGS = _Kind("settings", (".toml",))

    def check_suffix(self, path: PathLike) -> None:
        """Raise ValueError if the suffix of a name does not say that this will be written."""
        name = Path(path).name.lower()
        if self.value.packs:
            name = name.removesuffix(".gz")
        suffix = Path(name).suffix
        if self is FileKind.CHECKPOINT and not any(suffix in kind.value.suffixes for kind in _FOR_PEOPLE):
            return
        if suffix not in self.value.suffixes:
            allowed = [suffix for suffix in self.value.suffixes if suffix]
            allowed += [f"{suffix}.gz" for suffix in allowed if self.value.packs]
            raise ValueError(
                f"{path}: {self.value.what} would be written, which this name does not say: "
                f"end it in {' or '.join(allowed)}"
            )


_FOR_PEOPLE = (FileKind.STRUCTURES, FileKind.PICTURE, FileKind.PAGE, FileKind.SETTINGS)


def is_packed(path: PathLike) -> bool:
    """Whether the name asks for gzip."""
    return Path(path).suffix.lower() == ".gz"


def check_output(path: PathLike, kind: FileKind, inputs: Iterable[PathLike | None] = ()) -> None:
    """Check one output; see :func:`check_outputs`."""
    check_outputs({"the output": (path, kind)}, inputs)


def check_outputs(
    outputs: Mapping[str, tuple[PathLike | None, FileKind]], inputs: Iterable[PathLike | None] = ()
) -> None:
    """Raise before any work if one of the outputs of a command cannot or must not be written.

    Parameters
    ----------
    outputs
        Path and kind of every output, by what the user calls it: ``{"--output": (path, FileKind.MODEL)}``. A path of
        None is not asked for.
    inputs
        Every file that the command reads, those that a file of settings names too; None and files that are not there
        are passed over.

    Raises
    ------
    ValueError
        If an output is an input, another output, no regular file, or its suffix does not name what is written.
    OSError
        If no file can be written there: no such folder, no permission, a folder of that name.
    """
    read = {_identity(path): path for path in inputs if path is not None}
    read.pop(None, None)
    written: dict[object, str] = {}
    for option, (path, kind) in outputs.items():
        if path is None or is_swallowed(path):
            continue
        _check_place(Path(path))
        kind.check_suffix(path)
        identity = _identity(path)
        target = os.path.realpath(path)
        if identity in read:
            raise ValueError(f"{path}: {option} is an input too ({read[identity]}), which it would replace")
        for key in {target, identity} - {None}:
            if key in written:
                raise ValueError(f"{path}: {option} and {written[key]} are the same file")
            written[key] = option


def _check_place(path: Path) -> None:
    """Raise if ``path``, or what it links to, cannot be written."""
    target = Path(os.path.realpath(path))
    try:
        status = path.stat()
    except FileNotFoundError:
        status = None
    if status is None:
        if not target.parent.exists():
            folder = target.parent if path.is_symlink() else path.parent
            raise FileNotFoundError(errno.ENOENT, f"No such folder: {folder}", str(path))
    elif stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    elif not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path}: a device, pipe or socket is not written to: name a regular file, or {os.devnull}")
    elif _is_stdout(status):
        raise ValueError(f"{path}: what is printed goes there already: name another file")
    elif not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    # Permissions tell too little: of root, of read-only file systems, of /proc.
    try:
        temporary, descriptor = temporary_in(target.parent, private=True)
    except OSError as error:
        raise OSError(error.errno, f"no file can be written there: {error.strerror}", str(path)) from error
    os.close(descriptor)
    temporary.unlink()


def _is_stdout(status: os.stat_result) -> bool:
    for descriptor in (1, 2):
        try:
            found = os.fstat(descriptor)
        except OSError:  # closed
            continue
        if (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino):
            return True
    return False


def _identity(path: PathLike) -> tuple[int, int] | None:
    """Return what all names of a regular file share; None if there is none."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
