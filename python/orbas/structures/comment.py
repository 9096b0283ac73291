"""The comment line of extended XYZ: its entries, the cell, the periodicity and the names of the columns.

ase's parser is not used: it takes ``config_type=T`` for a truth value, one word of flags for periodicity in all
directions, ``1_0`` for ten, and a cell under ``lattice`` for none. Of regular lines the result is the same.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orbas.structures.label_table import looks_like

FloatArray = NDArray[np.float64]

INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
REAL = re.compile(
    r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]{1,5})?|[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE
)
#: Entries that are names, whatever they look like: config_type=T, 1e3 or 007.
TEXTS = frozenset({"config_type", "desc", "description", "head", "name", "uid"})
#: Columns of a file without Properties.
PLAIN_COLUMNS = "species:S:1:pos:R:3"

# An entry as most are: key=word or key="words"; everything else goes piece by piece.
_PLAIN = re.compile(r"""\s*+([^\s="'{\[\\]++)=(?:"([^"\\]*+)"|([^\s="'{\[\\]++))(?!\S)""")
_WORD = re.compile(r"(?:[^\s=\\]|\\.)*+", re.DOTALL)
_VALUE = re.compile(r"(?:[^\s\\]|\\.)*+", re.DOTALL)
_GAP, _EQUALS = re.compile(r"\s*+"), re.compile(r"\s*+=\s*+")
#: A word with an equals sign behind it: where a value would be, the value is empty.
_NEXT_KEY = re.compile(r"[^\s=]++\s*+=")
_QUOTED = {quote: re.compile(rf"(?:[^{quote}\\]|\\.)*+{quote}", re.DOTALL) for quote in "\"'"}
_BRACKETS = {"{": ("}", re.compile(r"[{}\\]")), "[": ("]", re.compile(r"[\[\]\\]"))}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TRUTH = {
    "T": True,
    "true": True,
    "True": True,
    "TRUE": True,
    "F": False,
    "false": False,
    "False": False,
    "FALSE": False,
}

# What LAMMPS calls p, f, s and m too.
_FLAGS = {
    **dict.fromkeys(("t", "true", ".true.", "yes", "y", "on", "1", "p", "pp"), True),
    **dict.fromkeys(("f", "false", ".false.", "no", "n", "off", "0", "ff", "s", "ss", "m", "mm"), False),
}
_PUNCTUATION = str.maketrans(dict.fromkeys("[](){},;\"'", " "))
#: Keys under which other programs write a cell, in ways of their own.
_OTHER_CELLS = re.compile(
    r"(unit_?)?cell(_?(vectors?|lengths?|angles?|par(ameters?)?|dimensions?|size|matrix))?"
    r"|box(_?(vectors?|lengths?|dimensions?|size|matrix))?|lattice_?(vectors?|parameters?|constants?|matrix)"
    r"|latt|abc|cryst1?|dimensions|(cell|lattice|vec|vector|a)_?[123abc]"
)
#: Keys that are a cell together, one number each.
_CELLS_OF_KEYS = ({"a", "b", "c"}, {"lx", "ly", "lz"}, {"xlo", "xhi"}, {"box_x", "box_y", "box_z"})
#: Keys of periodicity in other programs, where their values are flags.
_OTHER_FLAGS = frozenset({"periodic", "periodicity", "boundary", "boundaries", "boundary_conditions", "bc"})
#: Longest name of a label, and words that stand for a label that is not known.
_LONGEST_LABEL = 100
_NOT_KNOWN = frozenset({"", "none", "null", "n/a", "na", "_json null"})
#: Numbers with exponents of Fortran, or in brackets; the first part of such an exponent.
_FORTRAN_OR_LIST = re.compile(r"[-+0-9.eEdD\s,\[\]]*+")
_FORTRAN = re.compile(r"(?<=[0-9.])[dD](?=[-+0-9])")
_HINT = re.compile(r"cell|box|lattice|pbc|abc|cryst", re.IGNORECASE)
_COLUMN = re.compile(r"(.+?):([RISLrisl]):([0-9]{1,6})(?::|$)", re.DOTALL)


class CommentError(ValueError):
    """The comment line is not understood; the reader adds file, line and structure."""


@dataclass(frozen=True, slots=True)
class Column:
    """One entry of ``Properties``: a name, a type (R, I, S or L) and a number of columns."""

    name: str
    type: str
    width: int


@dataclass(frozen=True, slots=True)
class Comment:
    """What a comment line says.

    Attributes
    ----------
    entries
        Everything but the keys below, with the types that ase gives them.
    cell
        Rows are vectors in Å, [3, 3]; None without one.
    pbc
        Three flags.
    columns
        As named by ``Properties``; None without it.
    """

    entries: dict[str, Any]
    cell: FloatArray | None
    pbc: list[bool]
    columns: list[Column] | None


def parse_comment(line: str) -> Comment:
    """Read a comment line, in time linear in its length.

    Raises
    ------
    CommentError
        If a cell, flags of periodicity or names of columns are there but not understood, or an entry is damaged.
    """
    entries: dict[str, Any] = {}
    special: dict[str, str] = {}
    bare = []
    for key, text in _whole_flags(_entries(line)):
        name = key.casefold()
        if text is None:
            bare.append(key)
        if name in ("lattice", "pbc", "properties") and text is not None:
            if special.setdefault(name, text) != text:
                raise CommentError(f"{key} stands twice, as {_shown(special[name])} and {_shown(text)}")
        elif name != "pbc":
            entries[key] = _value(key, text, entries.get(key))
    if not any(map(REAL.fullmatch, bare)):
        # As ase writes a label that is None.
        entries.update((key, np.float64(np.nan)) for key in bare if _is_label(key))
    lattice, flags, properties = (special.get(name) for name in ("lattice", "pbc", "properties"))
    cell = None if lattice is None else _cell(lattice)
    if cell is None and flags is None:
        _check_no_cell(entries, bare)
    pbc = (_other_flags(entries) or [cell is not None] * 3) if flags is None else _flags(flags)
    return Comment(entries, cell, pbc, None if properties is None else parse_columns(properties))


def _whole_flags(entries: list[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    """Put flags that stand behind pbc without quotes to it: pbc=T F T, pbc=(True, False, True)."""
    result: list[tuple[str, str | None]] = []
    n_more = 0
    for key, text in entries:
        if text is None and n_more > 0 and key.translate(_PUNCTUATION).strip().casefold() in _FLAGS:
            name, flags = result[-1]
            result[-1] = (name, f"{flags} {key}")
            n_more -= 1
            continue
        is_one = text is not None and len(text.translate(_PUNCTUATION).split()) == 1
        n_more = 2 if is_one and key.casefold() == "pbc" else 0
        result.append((key, text))
    return result


def _is_label(key: str) -> bool:
    return len(key) <= _LONGEST_LABEL and looks_like(key, per_atom=False) is not None


def _value(key: str, text: str | None, before: Any) -> Any:
    """Return the value of an entry; ``before`` is what stood under the same key further to the left.

    Labels are read as rows are: with exponents of Fortran, brackets, and words for what is not known. One that
    stands twice with two values is a text, which is refused where it is used.
    """
    if text is None:
        return True
    if key.casefold() in TEXTS:
        return text
    if not _is_label(key):
        return _typed(key, text)
    if text.strip().casefold() in _NOT_KNOWN:
        value: Any = np.float64(np.nan)
    elif _FORTRAN_OR_LIST.fullmatch(text):
        value = _typed(key, _FORTRAN.sub("e", text.translate(_PUNCTUATION)))
    else:
        value = _typed(key, text)
    if before is not None and not np.array_equal(before, value):
        return f"{before} and {value}, twice in the line"
    return value


def parse_columns(text: str) -> list[Column]:
    """Read the value of ``Properties``, NAME:TYPE:WIDTH one after the other; names may have colons.

    Raises
    ------
    CommentError
        If it is something else, a name stands twice, or a width is 0.
    """
    columns, names, place = [], set(), 0
    while place < len(text):
        match = _COLUMN.match(text, place)
        if match is None:
            raise CommentError(
                f"Properties are not NAME:TYPE:WIDTH, with type R, I, S or L, from {_shown(text[place:])} on"
            )
        if match[1] in names or int(match[3]) == 0:
            raise CommentError(f"Properties name the column {_shown(match[1])} twice, or give it no width")
        names.add(match[1])
        columns.append(Column(match[1], match[2].upper(), int(match[3])))
        place = match.end()
    return columns


def _entries(line: str) -> list[tuple[str, str | None]]:
    """Return keys and the texts of their values; None where there is no equals sign."""
    found: list[tuple[str, str | None]] = []
    place, end = 0, len(line.rstrip())
    # Quotes and brackets that do not close in the rest of the line: they are letters like others, looked for once.
    unclosed: set[str] = set()
    while place < end:
        if match := _PLAIN.match(line, place):
            found.append((match[1], match[3] if match[2] is None else match[2]))
            place = match.end()
            continue
        place = _GAP.match(line, place).end()  # type: ignore[union-attr]
        key, place = _piece(line, place, _WORD, unclosed)
        equals = _EQUALS.match(line, place)
        if equals is None:
            if key:
                found.append((key, None))
            continue
        place = equals.end()
        if line[place - 1] != "=" and _NEXT_KEY.match(line, place):
            text = ""
        else:
            text, place = _piece(line, place, _VALUE, unclosed)
        if key:
            found.append((key, text))
    return found


def _piece(line: str, place: int, rest: re.Pattern[str], unclosed: set[str]) -> tuple[str, int]:
    """Return a word, or what stands in quotes or brackets, without its backslashes, and the place behind it."""
    opening = line[place : place + 1]
    inner, start = "", place
    if opening in _QUOTED and opening not in unclosed:
        match = _QUOTED[opening].match(line, place + 1)
        if match is None:
            unclosed.add(opening)
        else:
            inner, start = match[0][:-1], match.end()
    elif opening in _BRACKETS and opening not in unclosed:
        close = _closing(line, place, opening)
        if close is None:
            unclosed.add(opening)
        else:
            inner, start = line[place + 1 : close], close + 1
    match = rest.match(line, start)
    stop = start if match is None else match.end()
    if stop == place and opening not in ("", "="):  # an opening that does not close is a letter
        stop += 1
    text = inner + line[start:stop]
    return (_ESCAPED.sub(r"\1", text) if "\\" in text else text), stop


def _closing(line: str, place: int, opening: str) -> int | None:
    """Return the place of the bracket that closes the one at ``place``."""
    closing, marks = _BRACKETS[opening]
    depth, after = 0, place
    for match in marks.finditer(line, place):
        if match.start() < after:
            continue  # behind a backslash
        if match[0] == "\\":
            after = match.end() + 1
        else:
            depth += 1 if match[0] == opening else -1
            if depth == 0 and match[0] == closing:
                return match.start()
    return None


def _typed(key: str, text: str) -> Any:
    """Return what ase makes of a value: numbers and arrays of them, truth values, JSON, or the text."""
    words = text.replace(",", " ").split()
    number = _numbers(words)
    if number is not None:
        if len(words) == 1:
            return number[0]
        return number.reshape(3, 3).T if key in ("virial", "stress") and number.size == 9 else number
    if words and all(word in _TRUTH for word in words):
        truths = [_TRUTH[word] for word in words]
        return truths[0] if len(truths) == 1 else truths
    if text.startswith("_JSON "):
        return _from_json(key, text[len("_JSON ") :])
    return text


def _numbers(words: list[str]) -> NDArray[Any] | None:
    """Return numbers in the grammar of files, which has no underscores; None if a word is none."""
    if not words:
        return None
    if all(map(INTEGER.fullmatch, words)):
        return np.array([int(word) for word in words], dtype=np.int64)
    if all(map(REAL.fullmatch, words)):
        return np.array([float(word) for word in words])
    return None


def _from_json(key: str, text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommentError(f"the value of {key!r} is not JSON ({error})") from error
    try:
        array = np.array(value)
    except ValueError:  # lists of unequal lengths
        return value
    return array if array.dtype.kind in "ifb" else value


def _cell(text: str) -> FloatArray:
    numbers = _numbers(_FORTRAN.sub("e", text.translate(_PUNCTUATION)).split())
    if numbers is None or numbers.size != 9:
        raise CommentError(
            f'the cell is not understood: Lattice has 9 numbers, "ax ay az bx by bz cx cy cz" in Å, got {_shown(text)}'
        )
    return numbers.astype(np.float64).reshape(3, 3)


def _other_flags(entries: dict[str, Any]) -> list[bool] | None:
    """Take flags under a key of another program out of the entries."""
    for key in entries:
        if key.casefold() in _OTHER_FLAGS:
            try:
                flags = _flags(" ".join(map(str, np.ravel(entries[key]))))
            except CommentError:
                continue
            del entries[key]
            return flags
    return None


def _flags(text: str) -> list[bool]:
    words = text.translate(_PUNCTUATION).casefold().split()
    if len(words) == 1 and words[0] not in _FLAGS and len(words[0]) == 3:
        words = list(words[0])
    if len(words) not in (1, 3) or any(word not in _FLAGS for word in words):
        raise CommentError(f'pbc is not understood: it has three flags such as "T T F" or TTF, got {_shown(text)}')
    flags = [_FLAGS[word] for word in words]
    return flags if len(flags) == 3 else flags * 3


def _check_no_cell(entries: dict[str, Any], bare: list[str]) -> None:
    """Raise CommentError if a line without Lattice and pbc holds a box all the same."""
    advice = 'write Lattice="ax ay az bx by bz cx cy cz" in Å, or pbc="F F F" if it is none'
    for key, value in entries.items():
        if _OTHER_CELLS.fullmatch(key.casefold()) and isinstance(value, np.ndarray | str) and _n_numbers(value) >= 3:
            raise CommentError(f"{key}={_shown(str(value))} looks like a cell, which is not understood: {advice}")
    numbers = {key.casefold() for key, value in entries.items() if isinstance(value, np.integer | np.floating)}
    together = next((keys for keys in _CELLS_OF_KEYS if keys <= numbers), None)
    if together is not None:
        raise CommentError(f"{', '.join(sorted(together))} look like a cell, which is not understood: {advice}")
    run: list[str] = []
    runs = [run]
    for word in bare:
        if REAL.fullmatch(word.strip(",;")):
            run.append(word.strip(",;"))
        elif run:
            runs.append(run := [])
    if len(bare) == len(runs[0]) and set(bare) == entries.keys() and _is_box([float(word) for word in runs[0]]):
        hinted = runs[0]
    else:
        is_named = any(_HINT.search(word) for word in bare)
        hinted = next((run for run in runs if is_named and len(run) in (3, 6, 9)), [])
    if hinted:
        raise CommentError(
            f"{_shown(' '.join(hinted))} without a key looks like a box, which is not understood: {advice}"
        )


def _n_numbers(value: Any) -> int:
    words = str(value).translate(_PUNCTUATION).split()
    return sum(REAL.fullmatch(word) is not None for word in words)


def _is_box(numbers: list[float]) -> bool:
    """Whether numbers could be lengths in Å, lengths and angles, or vectors that span a volume."""
    if len(numbers) == 9:
        return bool(abs(np.linalg.det(np.reshape(numbers, (3, 3)))) > 1.0)
    is_lengths = all(1.0 <= length < 1e5 for length in numbers[:3])
    return is_lengths and (
        len(numbers) == 3 or (len(numbers) == 6 and all(10 <= angle <= 170 for angle in numbers[3:]))
    )


def _shown(text: str | None) -> str:
    return repr(text) if text is None or len(text) <= 60 else repr(text[:57] + "...")
