"""The container of models, bases and checkpoints: a JSON document and arrays, as safetensors, with a digest.

The layout is that of safetensors (https://github.com/huggingface/safetensors), so that its readers open the file:

- 8 bytes, the length n of the header as a little-endian integer;
- n bytes of JSON, padded with spaces to a multiple of 8: ``__metadata__``, a table of texts, then for every tensor its
  ``dtype``, ``shape`` and ``data_offsets``;
- the data, tensor after tensor without gaps, little-endian, row by row.

``__metadata__`` holds ``sha256``, ``format`` (:class:`~orbas.files.kinds.Content`), ``schema`` (major.minor), ``orbas``
(the version that wrote it) and ``document`` (JSON). The digest stands at a fixed place, right behind the opening of the
header, and is that of the whole file with its own 64 digits replaced by zeros: no byte of the file is outside it. It
tells damage, not forgery.

Nothing here knows what a model or a basis is. A reader trusts nothing: sizes are checked against caps and the file
before memory is taken, and nothing in a file can make it run code.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import reprlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas import _core
from orbas.errors import ModelFileError, NotAFileError
from orbas.files.door import open_input
from orbas.files.kinds import OPENING, Content, looks_like
from orbas.files.replacing import replacing

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from orbas.files.door import InputFile

    Array = NDArray[Any]

#: Another major version is refused; a newer minor one may only add what an old reader can do without.
SCHEMA = (1, 0)

#: Caps of the reader; the writer keeps them too. Parsed JSON takes up to 30 times its length in memory.
MOST_HEADER = 1 << 21
MOST_TENSORS = 10_000
MOST_DEPTH = 64
MOST_AXES = 4
MOST_BYTES = 1 << 34

_DIGITS = 64
_DTYPES: dict[str, np.dtype[Any]] = {"F64": np.dtype("<f8"), "I64": np.dtype("<i8"), "U32": np.dtype("<u4")}
# A string that does not end is taken to the end, or looking for its end at every quote would cost the square.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?+', re.DOTALL)
#: What a character adds to the depth.
_STEPS = np.zeros(256, dtype=np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: its document and tensors, and who wrote it."""

    document: dict[str, Any]
    tensors: dict[str, Array]
    schema: tuple[int, int]
    version: str
    digest: str
    n_bytes: int

    @property
    def is_newer(self) -> bool:
        """Whether the schema has a newer minor version than this reader."""
        return self.schema > SCHEMA


@dataclass(frozen=True, slots=True)
class _Entry:
    """One tensor of the header."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write(
    path: str | os.PathLike[str],
    document: Mapping[str, Any],
    tensors: Mapping[str, Array],
    content: Content = Content.MODEL,
    *,
    backup: Path | None = None,
) -> None:
    """Write a document and tensors; the file appears whole or not at all.

    Parameters
    ----------
    path
        Where to; an older file of that name is replaced.
    document
        JSON: dicts with string keys, lists, strings, numbers, booleans and None.
    tensors
        Arrays of float64, int64 or uint32, with up to four axes.
    content
        What they are.
    backup
        The name that an older file of this name gets; None: it is replaced.

    Raises
    ------
    ValueError
        If a number is not finite, an array has another type, or a cap is exceeded.
    OSError
        If the file cannot be written; an older file is then as it was.
    """
    names = {dtype: name for name, dtype in _DTYPES.items()}
    arrays: dict[str, Array] = {}
    entries: dict[str, Any] = {}
    start = 0
    for name, given in tensors.items():
        array = np.ascontiguousarray(given).reshape(np.shape(given))
        if array.dtype not in names or array.ndim > MOST_AXES:
            raise ValueError(f"{name} cannot be written: an array of {array.dtype} with {array.ndim} axes")
        _check_finite(name, array)
        entries[name] = {
            "dtype": names[array.dtype],
            "shape": array.shape,
            "data_offsets": (start, start + array.nbytes),
        }
        arrays[name] = array
        start += array.nbytes
    metadata = {
        "sha256": "0" * _DIGITS,
        "format": content.value.format,
        "schema": ".".join(map(str, SCHEMA)),
        "orbas": _core.__version__,
        "document": _to_json(document),
    }
    header = _to_json({"__metadata__": metadata, **entries}).encode()
    header += b" " * (-len(header) % 8)
    if len(header) > MOST_HEADER or len(entries) > MOST_TENSORS or start > MOST_BYTES:
        raise ValueError(
            f"the {content.noun} is too large for a {content.noun} file: {len(entries)} arrays, {start} bytes of data "
            f"and {len(header)} bytes to describe them, of at most {MOST_TENSORS}, {MOST_BYTES} and {MOST_HEADER}"
        )
    digest = hashlib.sha256(len(header).to_bytes(8, "little"))
    digest.update(header)
    for array in arrays.values():
        digest.update(_bytes_of(array))
    place = len(OPENING)
    header = header[:place] + digest.hexdigest().encode() + header[place + _DIGITS :]
    with replacing(path, backup=backup) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for array in arrays.values():
            file.write(_bytes_of(array))


def read(path: str | os.PathLike[str], content: Content = Content.MODEL) -> Contents:
    """Read a file of :func:`write` with this content; what is returned is complete, finite and as it was written.

    Raises
    ------
    orbas.ModelFileError
        If it is not such a file (the message says what it is), is damaged, or was written by a newer orbas.
    OSError
        If there is no such file or it cannot be read.
    """
    try:
        with open_input(path, pipes=False) as file:
            return _read(file, file.most_left, content)
    except NotAFileError as error:
        raise ModelFileError(f"{Path(path)}: {error.strerror}: give the name of a {content.noun} file") from error
    except ModelFileError as error:
        raise ModelFileError(f"{Path(path)}: {error}") from error


def claims(path: str | os.PathLike[str], content: Content) -> bool:
    """Whether a file, which may be damaged, begins as one with this content, or is empty."""
    with open_input(path, pipes=False) as file:
        start = file.read(8 + len(OPENING) + _DIGITS + 64)
    format_ = f'","format":"{content.value.format}"'.encode()
    begins = start[8:].startswith(OPENING) and start[8 + len(OPENING) + _DIGITS :].startswith(format_)
    return begins or not start


def _read(file: InputFile, size: int, content: Content) -> Contents:
    prefix = file.read(8)
    n_header = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or not len(OPENING) + _DIGITS < n_header <= MOST_HEADER:
        seen = looks_like(prefix + file.peek(256)[:256])
        found = (
            f"it looks like {seen}" if seen else f"it does not begin with the length of a header up to {MOST_HEADER}"
        )
        raise ModelFileError(f"not a {content.noun} file: {found}")
    header = file.read(n_header)
    if len(header) < n_header:
        raise ModelFileError(f"cut short: {size} bytes are not even its header of {n_header}: copy the file again")
    if not header.startswith(OPENING):
        raise ModelFileError(f"not a {content.noun} file: its header does not begin with a digest")
    place = slice(len(OPENING), len(OPENING) + _DIGITS)
    claimed = header[place]
    digest = hashlib.sha256(prefix)
    digest.update(header[: place.start] + b"0" * _DIGITS + header[place.stop :])

    parsed = parse_json(header, "its header")
    schema, version, document = _read_metadata(parsed.pop("__metadata__"), content)
    entries = _read_entries(parsed, size - 8 - n_header)
    tensors = {}
    for entry in entries:
        array: Array = np.empty(entry.shape, entry.dtype)
        view = _bytes_of(array)
        if file.readinto(view) != len(view):
            raise ModelFileError("cut short while it was read: copy the file again")
        digest.update(view)
        tensors[entry.name] = array
    if digest.hexdigest().encode() != claimed:
        raise ModelFileError("damaged: its SHA-256 digest is not that of its contents: copy the file again")
    for name, array in tensors.items():
        try:
            _check_finite(name, array)
        except ValueError as error:
            raise ModelFileError(f"{error}: it is no {content.noun} that could have been computed") from error
    return Contents(parse_json(document, "its document"), tensors, schema, version, digest.hexdigest(), size)


def _read_metadata(metadata: Any, content: Content) -> tuple[tuple[int, int], str, bytes]:
    """Return schema, version of the writer and the text of the document."""
    texts = metadata if isinstance(metadata, dict) else {}
    found = Content.of(texts.get("format"))
    if not all(isinstance(text, str) for text in texts.values()) or found is None:
        raise ModelFileError(f"not a {content.noun} file: its metadata do not say {content.value.format!r}")
    if found is not content:
        raise ModelFileError(f"a {found.noun}, not a {content.noun}: {found.value.use}")
    missing = [name for name in ("schema", "orbas", "document") if name not in texts]
    if missing:
        raise ModelFileError(f"not a whole {content.noun} file: its metadata lack {', '.join(missing)}")
    if not re.fullmatch(r"[0-9A-Za-z.+-]{1,40}", texts["orbas"]):  # it is printed to terminals
        raise ModelFileError(f"its version of orbas is {reprlib.repr(texts['orbas'])}")
    match = re.fullmatch(r"([0-9]{1,4})\.([0-9]{1,4})", texts["schema"])
    if match is None:
        raise ModelFileError(f"its schema is {reprlib.repr(texts['schema'])}, not major.minor")
    schema = int(match[1]), int(match[2])
    if schema[0] != SCHEMA[0]:
        raise ModelFileError(
            f"written by orbas {texts['orbas']} in schema {texts['schema']}; this orbas "
            f"{_core.__version__} reads schema {SCHEMA[0]}: use an orbas that reads it, or fit and save it again"
        )
    return schema, texts["orbas"], texts["document"].encode("utf-8", "surrogatepass")


def _read_entries(table: dict[str, Any], n_data: int) -> list[_Entry]:
    """Check the table of tensors: known types, sane shapes, and ranges that tile the data in their order."""
    if len(table) > MOST_TENSORS:
        raise ModelFileError(f"it claims {len(table)} arrays, of at most {MOST_TENSORS}")
    entries = []
    end = 0
    for name, fields in table.items():
        shown = reprlib.repr(name)
        if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
            raise ModelFileError(f"array {shown} is not described by dtype, shape and data_offsets")
        dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise ModelFileError(f"array {shown} has the dtype {reprlib.repr(dtype)}, known are {', '.join(_DTYPES)}")
        if not _are_sizes(shape) or len(shape) > MOST_AXES or not _are_sizes(offsets) or len(offsets) != 2:
            raise ModelFileError(f"array {shown} has no sane shape or data_offsets: {reprlib.repr(fields)}")
        # Axes of length 0 do not hide others: NumPy multiplies them too.
        if math.prod(max(1, n) for n in shape) * _DTYPES[dtype].itemsize > MOST_BYTES:
            raise ModelFileError(f"array {shown} is too large: shape {reprlib.repr(shape)}")
        entry = _Entry(name, _DTYPES[dtype], tuple(shape))
        if offsets != [end, end + entry.n_bytes]:
            raise ModelFileError(
                f"array {shown} of {entry.n_bytes} bytes claims the range {offsets}, the one before ends at {end}"
            )
        end += entry.n_bytes
        entries.append(entry)
    if end != n_data:
        raise ModelFileError(f"its arrays need {end} bytes, it has {n_data}: it is cut short or damaged, copy it again")
    return entries


def parse_json(text: bytes, what: str) -> dict[str, Any]:
    """Return the object that a JSON text is; depth, numbers and repeated keys are checked on the way.

    Raises
    ------
    orbas.ModelFileError
        If it is not sound.
    """
    try:
        decoded = text.decode()
        _check_depth(decoded)
        parsed = json.loads(
            decoded,
            object_pairs_hook=_unique,
            parse_int=_small_int,
            parse_float=_finite_float,
            parse_constant=_finite_float,
        )
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{what} is not sound JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise ModelFileError(f"{what} is not a JSON object")
    return parsed


def _check_depth(text: str) -> None:
    """Bound the depth before the parser recurses."""
    brackets = _STRING.sub("", text).encode("ascii", "replace")
    steps = _STEPS[np.frombuffer(brackets, dtype=np.uint8)]
    if np.cumsum(steps, dtype=np.int32).max(initial=0) > MOST_DEPTH:
        raise ValueError(f"nested deeper than {MOST_DEPTH}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _small_int(digits: str) -> int:
    if len(digits) > 19 or abs(int(digits)) >= 1 << 62:
        raise ValueError(f"the integer {digits[:20]} is too large")
    return int(digits)


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:20]} is not finite")
    return value


def _to_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def _check_finite(name: str, array: Array) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = next(islice(zip(*np.nonzero(~np.isfinite(array)), strict=True), 1))
        raise ValueError(f"array {reprlib.repr(name)} is not finite at {tuple(map(int, place))}")


def _bytes_of(array: Array) -> memoryview:
    """Return the bytes of a contiguous array; empty ones cannot be cast."""
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(bytearray())
