"""Kinds of single values: numbers, switches, choices, texts, names of files."""

# ruff: noqa: D102 - what Kind says of its methods holds for those of all kinds.

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from orbas.base.names import did_you_mean
from orbas.base.numbers import parse_integer, parse_number


class RefusalError(ValueError):
    """A value is not of a kind; ``hint`` may end the message."""

    def __init__(self, hint: str = "") -> None:
        super().__init__(hint)
        self.hint = hint


class Kind(ABC):
    """The type and the range of a setting."""

    #: What stands for a value in help texts.
    metavar = "X"
    #: Whether files and flags can hold it.
    plain = True
    unit = ""
    #: What None means, as a word of files or in words.
    nothing = ""

    @abstractmethod
    def allowed(self, in_file: bool = False) -> str:
        """Return what a value must be, as the end of a sentence."""

    @abstractmethod
    def take(self, value: Any) -> Any:
        """Return a value of Python in its plain form; raises RefusalError."""

    def read(self, value: Any) -> Any:
        """Return the Python value of what stands in a file; raises RefusalError."""
        return self.take(value)

    def write(self, value: Any) -> Any:
        """Return what stands in a file for a Python value."""
        return value

    def parse(self, text: str) -> Any:
        """Return what a file would hold for the text of a flag; raises RefusalError."""
        return text

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of what stands in a file."""
        return {}


def scalar(value: Any) -> Any:
    """Return what an array without axes holds, as archives of numpy give numbers; anything else as it is."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A finite number within bounds; beyond the default ones its square may overflow."""

    least: float = -1e100
    most: float = 1e100
    unit: str = ""
    #: Whether ``least`` and ``most`` themselves are out of range.
    open: bool = False

    metavar = "X"

    def allowed(self, in_file: bool = False) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if self.open:
            return f"a number above {short(self.least)} and below {short(self.most)}{unit}"
        return f"a number from {short(self.least)} to {short(self.most)}{unit}"

    def take(self, value: Any) -> float:
        value = scalar(value)
        if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
            raise RefusalError
        try:
            number = float(value)
        except OverflowError:
            raise RefusalError from None
        inside = self.least < number < self.most if self.open else self.least <= number <= self.most
        if not (math.isfinite(number) and inside):
            raise RefusalError
        return number

    def parse(self, text: str) -> Any:
        return _of_text(parse_number, text)

    def schema(self) -> dict[str, Any]:
        ends = ("exclusiveMinimum", "exclusiveMaximum") if self.open else ("minimum", "maximum")
        return {"type": "number", ends[0]: self.least, ends[1]: self.most}


@dataclass(frozen=True, slots=True)
class Integer(Kind):
    """An integer within bounds; 3.0 is none."""

    least: int = 0
    most: int = 2**31 - 1
    unit: str = ""

    metavar = "N"

    def allowed(self, in_file: bool = False) -> str:
        most = "" if self.most >= 2**31 - 1 else f" to {self.most}"
        return f"an integer from {self.least}{most or ' on'}{f' {self.unit}' if self.unit else ''}"

    def take(self, value: Any) -> int:
        value = scalar(value)
        if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
            raise RefusalError
        try:
            number = operator.index(value)
        except TypeError:  # an array of several
            raise RefusalError from None
        if not self.least <= number <= self.most:
            raise RefusalError
        return number

    def parse(self, text: str) -> Any:
        return _of_text(parse_integer, text)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Switch(Kind):
    """True or false."""

    metavar = "true|false"

    def allowed(self, in_file: bool = False) -> str:
        return "true or false" if in_file else "True or False"

    def take(self, value: Any) -> bool:
        value = scalar(value)
        if not isinstance(value, bool | np.bool_):
            raise RefusalError
        return bool(value)

    def parse(self, text: str) -> bool:
        if text not in ("true", "false"):
            raise RefusalError
        return text == "true"

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of some names."""

    names: tuple[str, ...]

    metavar = "NAME"

    def allowed(self, in_file: bool = False) -> str:
        if len(self.names) == 1:
            return repr(self.names[0])
        return f"one of {', '.join(self.names)}"

    def take(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.names:
            close = did_you_mean(value, self.names) if isinstance(value, str) else ""
            raise RefusalError(close if close.startswith(":") else "")
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.names)}


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """Any text but the empty one."""

    metavar = "TEXT"

    def allowed(self, in_file: bool = False) -> str:
        return "a text"

    def take(self, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise RefusalError
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class File(Text):
    """The name of a file; in a TOML file it is relative to that."""

    metavar = "FILE"

    def allowed(self, in_file: bool = False) -> str:
        return "the name of a file"


@dataclass(frozen=True, slots=True)
class Files(Kind):
    """Names of files; in a TOML file they are relative to that."""

    metavar = "FILE,..."

    def allowed(self, in_file: bool = False) -> str:
        return "the name of a file, or a list of such names"

    def take(self, value: Any) -> list[str]:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not names or not all(isinstance(n, str) and n for n in names):
            raise RefusalError
        return list(names)

    def parse(self, text: str) -> list[str]:
        return [part.strip() for part in text.split(",")]

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}


#: Lengths between atoms.
LENGTH = Number(1e-6, 1e6, "Å")
#: How much farther than the cutoff neighbors are remembered.
SKIN = Number(0.0, 1e6, "Å")
#: Seeds of random numbers.
SEED = Integer(0, 2**63 - 1)


def listed(value: Any) -> list[Any] | None:
    """Return the items of a list, tuple, range, set, array or series; None for what is none of these."""
    if isinstance(value, str | bytes | Mapping):
        return None
    if isinstance(value, Sequence | set | frozenset) or (isinstance(value, np.ndarray) and value.ndim == 1):
        return list(value)
    # A column of pandas: it has a length and is indexed by labels.
    return list(value) if hasattr(value, "iloc") and isinstance(value, Iterable) else None


def _of_text(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise RefusalError from None


def short(number: float) -> str:
    """Return a number as people write it: 1e-8, not 1e-08."""
    mantissa, _, exponent = f"{number:g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa
