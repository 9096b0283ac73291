"""NumPy archives (``.npz``): features are written as one, bases of older versions are read."""

from __future__ import annotations

import io
import math
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from orbas.files.door import open_input
from orbas.files.replacing import replacing

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

_START = b"PK\x03\x04"
_MOST_MEMBERS = 100_000
_DTYPES = "fiuUb"


def write_archive(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to a NumPy archive of exactly this name, whole or not at all."""
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as a ZIP archive does."""
    with open_input(path, pipes=False) as file:
        return file.read(len(_START)) == _START


def read_archive(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays of an archive; memory is bounded by the bytes of the file.

    Members must be stored, not compressed, and as long as their arrays say; the sums of the archive are checked.

    Raises
    ------
    ValueError
        If it is not such an archive, or is damaged.
    OSError
        If there is no such file.
    """
    with open_input(path, pipes=False) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                if any(info.compress_type != zipfile.ZIP_STORED for info in members):
                    raise ValueError("its members are compressed")
                # Members may claim the same bytes: their sum tells.
                if len(members) > _MOST_MEMBERS or sum(info.file_size for info in members) > (file.size or 0):
                    raise ValueError("its members claim more bytes than it has")
                return {info.filename.removesuffix(".npy"): _array(archive.read(info)) for info in members}
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, SyntaxError) as error:
            raise ValueError(f"not a NumPy archive, or damaged ({error})") from error


def _array(data: bytes) -> np.ndarray:
    """Return the array of one member."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(stream)
    count = math.prod(shape)
    left = len(data) - stream.tell()
    if dtype.kind not in _DTYPES or any(n < 0 for n in shape) or count * dtype.itemsize != left:
        raise ValueError(f"an array of {dtype} with the shape {shape} is announced, {left} bytes are there")
    flat = np.frombuffer(data, dtype, count, stream.tell()).copy()
    return flat.reshape(shape, order="F" if fortran else "C")
