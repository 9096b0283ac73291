"""Kinds that are made of others: None or a value, one or a list, alternatives; and objects, which no file holds."""

# ruff: noqa: D102 - what Kind says of its methods holds for those of all kinds.

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orbas.base.kinds.plain import Kind, RefusalError, listed


@dataclass(frozen=True, slots=True)
class Maybe(Kind):
    """None, or what another kind says; a word of files may stand for None, else they leave it out."""

    inner: Kind
    word: str = ""
    #: What None means.
    meaning: str = ""

    @property
    def metavar(self) -> str:  # type: ignore[override]
        return self.inner.metavar

    @property
    def plain(self) -> bool:  # type: ignore[override]
        return self.inner.plain

    @property
    def unit(self) -> str:  # type: ignore[override]
        return self.inner.unit

    @property
    def nothing(self) -> str:  # type: ignore[override]
        return self.word or self.meaning

    def allowed(self, in_file: bool = False) -> str:
        if not in_file:
            return f"None{f' ({self.meaning})' if self.meaning else ''}, or {self.inner.allowed()}"
        return self.inner.allowed(True) + (f', or "{self.word}" for {self.meaning}' if self.word else "")

    def take(self, value: Any) -> Any:
        return None if value is None else self.inner.take(value)

    def read(self, value: Any) -> Any:
        return None if self.word and value == self.word else self.inner.read(value)

    def write(self, value: Any) -> Any:
        return self.word if value is None and self.word else self.inner.write(value)

    def parse(self, text: str) -> Any:
        return text if self.word and text == self.word else self.inner.parse(text)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": self.word}, self.inner.schema()]} if self.word else self.inner.schema()


@dataclass(frozen=True, slots=True)
class ListOf(Kind):
    """A list of at least one; it becomes a tuple."""

    inner: Kind
    #: What one of them is, in the plural.
    of: str = "them"

    @property
    def metavar(self) -> str:  # type: ignore[override]
        return f"{self.inner.metavar},..."

    @property
    def plain(self) -> bool:  # type: ignore[override]
        return self.inner.plain

    def allowed(self, in_file: bool = False) -> str:
        return f"a list of {self.of}, each {self.inner.allowed(in_file)}"

    def take(self, value: Any) -> tuple[Any, ...]:
        return self._each(value, self.inner.take)

    def read(self, value: Any) -> tuple[Any, ...]:
        return self._each(value, self.inner.read)

    def write(self, value: Any) -> list[Any]:
        return [self.inner.write(item) for item in value]

    def parse(self, text: str) -> list[Any]:
        return [self.inner.parse(part.strip()) for part in text.split(",")]

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.inner.schema(), "minItems": 1}

    def _each(self, value: Any, take: Callable[[Any], Any]) -> tuple[Any, ...]:
        items = listed(value)
        if not items:
            raise RefusalError
        return tuple(_items(items, take))


@dataclass(frozen=True, slots=True)
class Each(ListOf):
    """One value for all, or a list with one for each."""

    #: What there is one for.
    per: str = ""

    @property
    def metavar(self) -> str:  # type: ignore[override]
        return self.inner.metavar if "," in self.inner.metavar else f"{self.inner.metavar}[,...]"

    @property
    def nothing(self) -> str:  # type: ignore[override]
        return self.inner.nothing

    def allowed(self, in_file: bool = False) -> str:
        return f"{self.inner.allowed(in_file)}, or a list of these with one for every {self.per}"

    def write(self, value: Any) -> Any:
        items = listed(value)
        return self.inner.write(value) if items is None else [self.inner.write(item) for item in items]

    def parse(self, text: str) -> Any:
        items = [self.inner.parse(part.strip()) for part in text.split(",")]
        return items if len(items) > 1 else items[0]

    def schema(self) -> dict[str, Any]:
        inner = self.inner.schema()
        return {"anyOf": [inner, {"type": "array", "items": inner, "minItems": 1}]}

    def _each(self, value: Any, take: Callable[[Any], Any]) -> Any:
        items = listed(value)
        return take(value) if items is None else _items(items, take)


@dataclass(frozen=True, slots=True)
class OneOf(Kind):
    """A value of the first kind that takes it."""

    kinds: tuple[Kind, ...]

    @property
    def metavar(self) -> str:  # type: ignore[override]
        return "|".join(kind.metavar for kind in self.kinds)

    @property
    def plain(self) -> bool:  # type: ignore[override]
        return all(kind.plain for kind in self.kinds)

    def allowed(self, in_file: bool = False) -> str:
        return ", or ".join(kind.allowed(in_file) for kind in self.kinds)

    def take(self, value: Any) -> Any:
        return self._first(lambda kind: kind.take(value))

    def read(self, value: Any) -> Any:
        return self._first(lambda kind: kind.read(value))

    def parse(self, text: str) -> Any:
        def parse(kind: Kind) -> Any:
            value = kind.parse(text)
            kind.read(value)
            return value

        return self._first(parse)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [kind.schema() for kind in self.kinds]}

    def _first(self, use: Callable[[Kind], Any]) -> Any:
        hints = []
        for kind in self.kinds:
            try:
                return use(kind)
            except RefusalError as refusal:
                hints.append(refusal.hint)
        raise RefusalError(next(filter(None, hints), ""))


@dataclass(frozen=True, slots=True)
class Instance(Kind):
    """An object of some classes, which no file can hold."""

    #: Called when a value is looked at, so that the classes need not be imported before.
    classes: Callable[[], tuple[type, ...]]
    name: str

    plain = False

    def allowed(self, in_file: bool = False) -> str:
        return self.name

    def take(self, value: Any) -> Any:
        if not isinstance(value, self.classes()):
            raise RefusalError
        return value


@dataclass(frozen=True, slots=True)
class Tables(Kind):
    """Objects of a class by name; in a file a table of tables, with the settings of the class."""

    cls: Callable[[], type]
    #: What the names are.
    key: str

    def allowed(self, in_file: bool = False) -> str:
        return f"a table of tables by {self.key}" if in_file else f"a dict of {self.cls().__name__} by {self.key}"

    def take(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise RefusalError
        if not all(isinstance(item, self.cls()) for item in value.values()):
            raise RefusalError
        return dict(value)

    def read(self, value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(item, Mapping) for item in value.values()):
            raise RefusalError
        return dict(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"type": "object"}}


@dataclass(frozen=True, slots=True)
class Having(Kind):
    """An object with some methods, which no file can hold."""

    methods: tuple[str, ...]
    name: str

    plain = False

    def allowed(self, in_file: bool = False) -> str:
        return self.name

    def take(self, value: Any) -> Any:
        if isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in self.methods):
            raise RefusalError
        return value


def _items(items: list[Any], take: Callable[[Any], Any]) -> list[Any]:
    """Return all items as ``take`` gives them; an error of one among several says which."""
    found = []
    for place, item in enumerate(items):
        try:
            found.append(take(item))
        except RefusalError as refusal:
            if len(items) > 1 and not refusal.hint:
                raise RefusalError(f" (item {place} is {reprlib.repr(item)})") from None
            raise
    return found
