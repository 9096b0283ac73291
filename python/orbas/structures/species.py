"""Elements by their symbol or their atomic number, and the settings that name some."""

# ruff: noqa: D102 - what Kind says of its methods holds for those of all kinds.

from __future__ import annotations

import operator
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, SupportsIndex

from orbas.base.kinds import Kind, RefusalError, listed
from orbas.base.names import unknown_name
from orbas.files.stored import is_integer

#: The core keeps species as bytes.
LARGEST = 255


def atomic_number(species: str | SupportsIndex) -> int:
    """Return the atomic number of an element: of its symbol, or of what is one already.

    Raises
    ------
    TypeError
        If it is neither a text nor an integer.
    ValueError
        If no element has the symbol, or the number is not in 0..255.

    Examples
    --------
    >>> atomic_number("Si"), atomic_number(14)
    (14, 14)
    """
    if isinstance(species, str):
        from ase.data import atomic_numbers

        number = atomic_numbers.get(species)
        if number is None:
            raise ValueError(unknown_name("chemical symbol", species, atomic_numbers))
        return int(number)
    if isinstance(species, bool) or not hasattr(species, "__index__"):
        raise TypeError(f"a species is a chemical symbol or an atomic number, got {species!r}")
    number = operator.index(species)
    if not 0 <= number <= LARGEST:
        raise ValueError(f"an atomic number must lie in 0..{LARGEST}, got {number}")
    return number


def check_rising(name: str, species: Any) -> None:
    """Raise ValueError unless it is a tuple of rising atomic numbers."""
    sound = isinstance(species, tuple) and all(is_integer(number) and 0 <= number <= LARGEST for number in species)
    if not sound or not species or list(species) != sorted(set(species)):
        raise ValueError(f"{name} must hold rising atomic numbers, got {reprlib.repr(species)}")


def symbol(number: int) -> str:
    """Return the symbol of an element; the number itself as text where it has none."""
    from ase.data import chemical_symbols

    return chemical_symbols[number] if 0 <= number < len(chemical_symbols) else str(number)


@dataclass(frozen=True, slots=True)
class SpeciesList(Kind):
    """Some elements; they become rising atomic numbers, each once."""

    metavar = "SYMBOL,..."

    def allowed(self, in_file: bool = False) -> str:
        return "a list of chemical symbols or atomic numbers"

    def take(self, value: Any) -> tuple[int, ...]:
        items = listed(value)
        if not items:
            raise RefusalError
        return tuple(sorted({_number(item) for item in items}))

    def write(self, value: Any) -> list[int]:
        return list(self.take(value))

    def parse(self, text: str) -> list[Any]:
        words = [part.strip() for part in text.split(",")]
        return [int(word) if word.isdecimal() and word.isascii() else word for word in words]

    def schema(self) -> dict[str, Any]:
        item = {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0, "maximum": LARGEST}]}
        return {"type": "array", "items": item, "minItems": 1}


@dataclass(frozen=True, slots=True)
class BySpecies(Kind):
    """A value for each of some elements, by symbol or atomic number."""

    inner: Kind
    #: What the values are.
    of: str

    @property
    def metavar(self) -> str:  # type: ignore[override]
        return f"SYMBOL={self.inner.metavar},..."

    def allowed(self, in_file: bool = False) -> str:
        key = "chemical symbol" if in_file else "chemical symbol or atomic number"
        return f"{self.of} by {key}, each {self.inner.allowed(in_file)}"

    def take(self, value: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping) or not value:
            raise RefusalError
        numbers = [_number(key) for key in value]
        if len(set(numbers)) < len(numbers):
            raise RefusalError("; an element stands there twice")
        return {key: self.inner.take(item) for key, item in value.items()}

    def write(self, value: Any) -> dict[str, Any]:
        return {symbol(_number(key)): self.inner.write(item) for key, item in value.items()}

    def parse(self, text: str) -> dict[str, Any]:
        pairs = [part.partition("=") for part in text.split(",")]
        return {key.strip(): self.inner.parse(item.strip()) for key, _, item in pairs}

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.inner.schema(), "minProperties": 1}


def _number(species: Any) -> int:
    try:
        return atomic_number(species)
    except (TypeError, ValueError) as error:
        raise RefusalError(f": {error}") from None
