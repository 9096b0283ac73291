"""The rows of extended XYZ: from lines to arrays, one for every column that the comment names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orbas.base.text import listed
from orbas.structures.comment import INTEGER, PLAIN_COLUMNS, REAL, Column, parse_columns

FloatArray = NDArray[np.float64]
#: One word of every row.
Words: TypeAlias = Sequence[bytes]

#: Names of elements, of atomic numbers and of positions, the regular one first; compared without case.
SPECIES_NAMES = ("species", "symbols", "symbol", "element", "elements", "type")
NUMBER_NAMES = ("z", "numbers", "atomic_numbers", "atomic_number")
POSITION_NAMES = ("pos", "positions", "position", "coords", "coordinates", "coord", "xyz")

_ROLES = frozenset((*SPECIES_NAMES, *NUMBER_NAMES, *POSITION_NAMES))

_TRUTH = {
    **dict.fromkeys((b"T", b"True", b"true", b"TRUE", b"t", b"1"), True),
    **dict.fromkeys((b"F", b"False", b"false", b"FALSE", b"f", b"0"), False),
}
_PLAIN = parse_columns(PLAIN_COLUMNS)
#: Rows that are taken apart at once: with many more, Python's garbage collector looks at all of them again and again.
_BLOCK = 2048


class RowError(ValueError):
    """A row is not understood: ``row`` counts from 0, None is the comment. The reader adds file, line and structure."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one structure.

    Attributes
    ----------
    numbers
        Atomic numbers, [n_atoms].
    positions
        In Å, [n_atoms, 3].
    arrays
        All other columns by their names in the file: [n_atoms], or [n_atoms, width].
    n_undeclared
        How many more words the rows have than columns are named.
    """

    numbers: NDArray[np.int64]
    positions: FloatArray
    arrays: dict[str, NDArray[Any]]
    n_undeclared: int


def parse_rows(lines: Sequence[bytes], columns: Sequence[Column] | None) -> Table:
    """Read the rows of one structure.

    Parameters
    ----------
    lines
        One for every atom.
    columns
        From the comment; None are species and positions.

    Raises
    ------
    RowError
        If no column names the elements or the positions, a row is too short, or a word is not what its column says.
    """
    columns = _PLAIN if columns is None else columns
    if not lines:
        return _empty(columns)
    species, numbers, positions = _roles(columns)
    blocks = []
    for start in range(0, len(lines), _BLOCK):
        try:
            blocks.append(_block(lines[start : start + _BLOCK], columns, species, is_known=numbers is not None))
        except RowError as error:
            raise RowError(str(error), start + (error.row or 0)) from error
    arrays = {column.name: np.concatenate([block[column.name] for block, _ in blocks]) for column in columns}
    xyz = [arrays.pop(name) for name in positions]
    return Table(
        _atomic_numbers(arrays, species, numbers),
        (xyz[0] if len(xyz) == 1 else np.stack(xyz, axis=1)).astype(np.float64, copy=False),
        arrays,
        max(n_undeclared for _, n_undeclared in blocks),
    )


def _block(
    lines: Sequence[bytes], columns: Sequence[Column], species: str | None, *, is_known: bool
) -> tuple[dict[str, NDArray[Any]], int]:
    """Return the arrays of some rows, and how many more words than columns they have."""
    total = sum(column.width for column in columns)
    # What follows the last column stays one word: a long row takes no more memory than it has bytes.
    rows = [line.split(None, total) for line in lines]
    widths = set(map(len, rows))
    if min(widths) < total:
        row = next(k for k, words in enumerate(rows) if len(words) < total)
        raise RowError(f"the row has {len(rows[row])} words, its columns are {total}", row)
    has_underscores = any(b"_" in line for line in lines)
    words = list(zip(*rows, strict=False))
    arrays: dict[str, NDArray[Any]] = {}
    place = 0
    for column in columns:
        here = words[place : place + column.width]
        place += column.width
        if column.name == species:
            arrays[column.name] = _elements(here[0], is_known=is_known)
        else:
            arrays[column.name] = _array(column, here, check=has_underscores)
    return arrays, max(len(row[-1].split()) for row in rows) if max(widths) > total else 0


def _empty(columns: Sequence[Column]) -> Table:
    """Return the table of a structure without atoms, whose columns ase gives any type."""
    others = [column for column in columns if column.name.casefold() not in _ROLES]
    arrays = {
        column.name: np.zeros((0,) if column.width == 1 else (0, column.width), _CONVERTERS[column.type][1])
        for column in others
    }
    return Table(np.zeros(0, np.int64), np.zeros((0, 3)), arrays, 0)


def _roles(columns: Sequence[Column]) -> tuple[str | None, str | None, list[str]]:
    """Return the names of the columns of elements, of atomic numbers, and of positions: one, or x, y and z.

    What has one of the usual other names is taken where the regular name is not there.
    """
    by_name = {column.name.casefold(): column for column in reversed(columns)}

    def first(names: tuple[str, ...], kind: str, width: int) -> str | None:
        found = (by_name[name] for name in names if name in by_name)
        return next((column.name for column in found if column.type in kind and column.width == width), None)

    species, numbers = first(SPECIES_NAMES, "S", 1), first(NUMBER_NAMES, "I", 1)
    position = first(POSITION_NAMES, "RI", 3)
    axes = [first((axis,), "R", 1) for axis in "xyz"]
    positions = [position] if position is not None else [axis for axis in axes if axis is not None]
    names = listed([f"{column.name}:{column.type}:{column.width}" for column in columns])
    if species is None and numbers is None:
        raise RowError(f"no column names the elements, species:S:1 or Z:I:1, among {names}")
    if position is None and len(positions) < 3:
        raise RowError(f"no column names the positions, pos:R:3, among {names}")
    return species, numbers, positions


def _atomic_numbers(arrays: dict[str, NDArray[Any]], species: str | None, numbers: str | None) -> NDArray[np.int64]:
    """Take the atomic numbers out of the arrays; elements, where they are symbols, must agree with them."""
    symbols = None if species is None else arrays.pop(species)
    if numbers is None:
        return symbols  # type: ignore[return-value]
    found = arrays.pop(numbers).astype(np.int64)
    wrong = np.flatnonzero((found < 0) | (found > _LARGEST_NUMBER))
    if wrong.size:
        raise RowError(f"{found[wrong[0]]} in the column {numbers!r} is no atomic number", int(wrong[0]))
    if symbols is not None:
        wrong = np.flatnonzero((symbols >= 0) & (symbols != found))
        if wrong.size:
            pair = f"element {symbols[wrong[0]]} in the column {species!r}, {found[wrong[0]]} in {numbers!r}"
            raise RowError(f"the row contradicts itself: {pair}", int(wrong[0]))
    return found


_LARGEST_NUMBER = 118


@cache
def _symbols() -> dict[bytes, int]:
    """Atomic numbers by symbol; other spellings are added as they come."""
    from ase.data import chemical_symbols

    return {symbol.encode(): number for number, symbol in enumerate(chemical_symbols)}


def _elements(words: Words, *, is_known: bool) -> NDArray[np.int64]:
    """Return atomic numbers of symbols; -1 for what is none, where the numbers are known from elsewhere."""
    known = _symbols()
    try:
        return np.array([known[word] for word in words], dtype=np.int64)
    except KeyError:
        pass
    numbers = [known.get(word, known.get(word.capitalize(), -1)) for word in words]
    if not is_known and -1 in numbers:
        row = numbers.index(-1)
        raise RowError(f"{_shown(words[row])} is no symbol of an element{_advice(words[row])}", row)
    return np.array(numbers, dtype=np.int64)


def _advice(word: bytes) -> str:
    letters = word.rstrip(b"0123456789+-_*").capitalize()
    if word in (b"D", b"T"):
        return ": write H, and the mass of the isotope in a column mass:R:1"
    if not letters:
        return ": a type or a number has no meaning here; write symbols, or atomic numbers in a column Z:I:1"
    return f": is it {letters.decode()}, with a label?" if letters in _symbols() else ""


def _array(column: Column, words: Sequence[Words], *, check: bool) -> NDArray[Any]:
    """Return the array of a column, [n_atoms] or [n_atoms, width]; ``check`` looks for underscores in numbers."""
    convert, dtype = _CONVERTERS[column.type]
    try:
        if check and any(b"_" in word for part in words for word in part):
            raise ValueError
        array = np.array([[*map(convert, part)] for part in words], dtype=dtype)
    except (ValueError, KeyError, OverflowError):
        array = np.array([_slowly(column, part) for part in words], dtype=dtype)
    if column.type == "I" and array.size and array.min() >= -(2**31) and array.max() < 2**31:
        array = array.astype(np.int32)  # as ase has them
    return array[0] if column.width == 1 else np.ascontiguousarray(array.T)


def _slowly(column: Column, words: Words) -> list[Any]:
    """Return the values of one column of numbers, also with the exponents of Fortran; names the row of what is none."""
    values: list[Any] = []
    value: Any
    for row, word in enumerate(words):
        try:
            text = word.decode()
        except UnicodeDecodeError:
            raise RowError(f"{_shown(word)} is not text in UTF-8", row) from None
        if column.type == "R":
            text = text.replace("D", "E").replace("d", "e") if text[:1].lower() not in ("n", "i") else text
            value = float(text) if REAL.fullmatch(text) else None
        elif column.type == "I":
            value = int(text) if INTEGER.fullmatch(text) else None
        else:
            value = text if column.type == "S" else _TRUTH.get(word)
        if value is None:
            kinds = {"R": "a number", "I": "an integer", "L": "T or F"}
            raise RowError(f"{_shown(word)} in the column {column.name!r} is not {kinds[column.type]}", row)
        values.append(value)
    return values


#: By type of the column: what makes a value of a word, and the type of the array.
_CONVERTERS: dict[str, tuple[Callable[[bytes], Any], Any]] = {
    "R": (float, np.float64),
    "I": (int, np.int64),
    "S": (bytes.decode, object),
    "L": (_TRUTH.__getitem__, np.bool_),
}


def _shown(word: bytes) -> str:
    text = word.decode(errors="replace")
    return repr(text if len(text) <= 40 else text[:37] + "...")
