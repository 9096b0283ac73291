"""Files of settings: TOML, with the lines that its values stand in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbas.base.fields import SettingsError
from orbas.errors import NotAFileError
from orbas.files.door import open_input
from orbas.files.kinds import looks_like

if TYPE_CHECKING:
    import os

MOST_BYTES = 1 << 18

#: Names between dots; more than anybody nests. Python's parser takes the square of their number, and recurses.
_MOST_LEVELS = 32

# A string that does not end is taken to the end, or looking for its end at every quote would cost the square.
_NOT_CODE = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+(?:""")?+|'
    r"'''(?:[^']++|'(?!''))*+(?:''')?+|"
    r'"(?:[^"\\\n]++|\\.)*+"?+|'
    r"'[^'\n]*+'?+|#[^\n]*+",
    re.DOTALL,
)
_SEPARATORS = re.compile(r"[\[\]{}=,]")
_NUMBER = re.compile(r"[=,\[]\s*([+-]?[0-9][0-9a-zA-Z_.+-]*)")
_IN_THREES = re.compile(r"[+-]?[0-9]{1,3}(?:_[0-9]{3})+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_HEADER = re.compile(r"\s*\[\[?([^\]]+)\]")
_KEY = re.compile(r"""\s*((?:[\w.-]|"[^"]*"|'[^']*')+)\s*=""")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """What a TOML file holds.

    Attributes
    ----------
    path
        The file.
    text
        All of it.
    tables
        Values by section and field.
    """

    path: Path
    text: str
    tables: dict[str, Any]

    @property
    def folder(self) -> Path:
        """What names of files in it are relative to: its own folder; of a pipe or a descriptor the working folder."""
        is_descriptor = self.path.is_relative_to("/dev") or self.path.is_relative_to("/proc")
        return self.path.parent if self.path.is_file() and not is_descriptor else Path()

    def where(self, name: str | None) -> str:
        """Return the file and, if it is found, the line of a value (``section.field``), for a message."""
        line = None if name is None else self.line_of(name)
        return str(self.path) if line is None else f"{self.path}, line {line}"

    def line_of(self, name: str) -> int | None:
        """Return the line, from 1 on, of ``section.field``, or of the table that holds it; None if there is none."""
        section, closest = "", None
        for number, line in enumerate(self.text.splitlines(), 1):
            header, key = _HEADER.match(line), _KEY.match(line)
            if header:
                section = found = _plain(header[1])
            elif key:
                found = f"{section}.{_plain(key[1])}".lstrip(".")
            else:
                continue
            if found == name:
                return number
            if name.startswith(f"{found}."):
                closest = number
        return closest


def read_toml(path: str | os.PathLike[str]) -> TomlFile:
    """Read a file of settings, of 256 KiB at most.

    Digits may be grouped with ``_`` in threes, as in ``100_000``; ``1_0``, which TOML takes for 10, is a slip.

    Raises
    ------
    SettingsError
        If it is not TOML, or holds such a number; names file and line.
    OSError
        If there is no such file, or it is none.
    """
    import tomllib

    path = Path(path)
    with open_input(path, most=MOST_BYTES) as file:
        try:
            content = file.read()
        except NotAFileError:
            raise
        except ValueError as error:
            raise SettingsError(f"{path} cannot be read: {error}") from error
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        code = _NOT_CODE.sub(lambda match: "\n" * match[0].count("\n"), text)
        _check_levels(code)
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of TOML or of UTF-8
        seen = looks_like(content[:256])
        hint = f"it looks like {seen}" if seen and "TOML" not in seen else error or "its tables are nested too deep"
        raise SettingsError(f"{path} is not TOML: {hint}") from error
    _check_numbers(path, code)
    return TomlFile(path, text, tables)


def _check_levels(code: str) -> None:
    """Raise ValueError for names of more levels than a parser should be asked to take."""
    for number, line in enumerate(code.split("\n"), 1):
        if line.count(".") <= _MOST_LEVELS:
            continue
        words = _SEPARATORS.split(line.replace(" ", "").replace("\t", ""))
        if max(word.count(".") for word in words) > _MOST_LEVELS:
            raise ValueError(f"line {number}: a name of more than {_MOST_LEVELS} levels")


def _check_numbers(path: Path, code: str) -> None:
    """Raise SettingsError at a number that people would not write on purpose."""
    for match in _NUMBER.finditer(code):
        word = match[1]
        if ("_" in word and not _IN_THREES.fullmatch(word)) or word.lstrip("+-")[:2] in ("0x", "0o", "0b"):
            line = code.count("\n", 0, match.start(1)) + 1
            raise SettingsError(
                f"{path}, line {line}: {word[:40]} is not a number here: write plain digits, as 10 or 1e3"
            )


def _plain(name: str) -> str:
    return name.replace('"', "").replace("'", "").replace(" ", "")
