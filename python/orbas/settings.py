"""Settings as plain tables: what a TOML file, flags, help texts and the JSON schema share.

A section stands for a class, or for one of several that its ``kind`` names; its fields are those that the dataclass
declares (:mod:`orbas.base.fields`). Which sections there are stands with the classes:
:mod:`orbas.optimal.settings` and :mod:`orbas.models.settings`.
"""

from __future__ import annotations

import dataclasses
import json
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field
from typing import TYPE_CHECKING, Any

from orbas.base.fields import Setting, SettingsError, default_of, setting_of, shown
from orbas.base.kinds import Choice, File, Files, Kind, Maybe, RefusalError, Tables, listed, short
from orbas.base.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

#: section -> field -> value, as TOML holds them.
Settings = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One setting: ``[section] name`` in a file, ``--section.name`` as a flag."""

    section: str
    name: str
    setting: Setting
    default: Any = MISSING
    #: The kinds of the section that have it, if not all do.
    kinds: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Section and name with a dot between."""
        return f"{self.section}.{self.name}"

    @property
    def help(self) -> str:
        """What it is, its type, range and unit, and its default."""
        kinds = f"of {', '.join(self.kinds)}: " if self.kinds else ""
        return f"{kinds}{self.setting.help} ({self.setting.kind.allowed(in_file=True)}; {self._default_text()})"

    def read(self, value: Any) -> Any:
        """Return the Python value of what stands in a file; raises SettingsError."""
        kind = self.setting.kind
        try:
            return kind.read(value)
        except RefusalError as refusal:
            raise SettingsError(
                f"{self.path} must be {kind.allowed(in_file=True)}, got {shown(value)}{refusal.hint}", self.path
            ) from None

    def parse(self, text: str) -> Any:
        """Return what a file would hold for the text of a flag; raises SettingsError."""
        kind = self.setting.kind
        try:
            value = kind.parse(text)
        except RefusalError as refusal:
            raise SettingsError(
                f"{self.path} must be {kind.allowed(in_file=True)}, got {shown(text)}{refusal.hint}"
            ) from None
        self.read(value)
        return value

    def schema(self) -> dict[str, Any]:
        """Return its JSON schema."""
        kind, plain = self.setting.kind, {} if self._default_in_file() is None else {"default": self._default_in_file()}
        return {**kind.schema(), "description": self.help, **plain}

    def _default_in_file(self) -> Any:
        if self.default is MISSING or self.default is None:
            return None
        return self.setting.kind.write(self.default)

    def _default_text(self) -> str:
        if self.default is MISSING:
            return "required"
        if self.default is None or self.default == {}:
            return f"default {self.setting.kind.nothing or 'none'}"
        items = listed(self.default)
        if items is not None and len(items) > 4:
            return f"default {short(items[0])},{short(items[1])}, ... {short(items[-1])}"
        return f"default {_flag_text(self._default_in_file())}"


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One table of a file."""

    name: str
    #: The class that it makes, or several by their ``kind``.
    classes: type | Mapping[str, type]
    #: The kind that is taken where none is named; empty for a single class.
    default: str = ""
    #: What the kinds are kinds of.
    meaning: str = ""
    #: A dataclass of fields that all kinds have.
    common: type | None = None
    #: Whether there must be one, unless the caller says otherwise.
    required: bool = False
    #: Fields of the class that stand elsewhere.
    without: tuple[str, ...] = field(default=())

    def of_kind(self, table: Mapping[str, Any]) -> type:
        """Return the class that a checked table describes."""
        if isinstance(self.classes, type):
            return self.classes
        return self.classes[table.get("kind", self.default)]

    def fields(self) -> dict[str, Field]:
        """Return all fields by their name, those of all kinds."""
        if isinstance(self.classes, type):
            return {item.name: item for item in self._fields_of(self.classes)}
        found: dict[str, Field] = {"kind": self._kind_field(self.classes)}
        holders: dict[str, tuple[str, ...]] = {}
        for kind, cls in self.classes.items():
            for item in self._fields_of(cls):
                found.setdefault(item.name, item)
                holders[item.name] = (*holders.get(item.name, ()), kind)
        for name, kinds in holders.items():
            if len(kinds) < len(self.classes):
                found[name] = dataclasses.replace(found[name], kinds=kinds)
        if self.common is not None:
            found.update({item.name: item for item in self._fields_of(self.common)})
        return found

    def fields_of_kind(self, table: Mapping[str, Any]) -> dict[str, Field]:
        """Return the fields of the class that a table describes."""
        if isinstance(self.classes, type):
            return self.fields()
        own = self._fields_of(self.of_kind(table))
        common = [] if self.common is None else self._fields_of(self.common)
        return {item.name: item for item in (self._kind_field(self.classes), *own, *common)}

    def read(self, table: Mapping[str, Any], *, path: str = "", nested: bool = False) -> dict[str, Any]:
        """Return a table with all values checked and in the form that files hold.

        Raises
        ------
        SettingsError
            At the first that is unknown, of another kind, missing or out of its range.
        """
        path, known = path or self.name, self.fields()
        for name in table:
            if name not in known:
                raise SettingsError(f"unknown field {path}.{_short(name)}{did_you_mean(name, known)}", f"{path}.{name}")
        if "kind" in known and "kind" in table:
            known["kind"].read(table["kind"])
        own = {name: dataclasses.replace(item, section=path) for name, item in self.fields_of_kind(table).items()}
        values = {}
        for name, value in table.items():
            if name not in own:
                kinds = " or ".join(map(repr, known[name].kinds))
                raise SettingsError(
                    f"{path}.{name} is for {path}.kind = {kinds}, which is {table.get('kind', self.default)!r}",
                    f"{path}.{name}",
                )
            kind = own[name].setting.kind
            if isinstance(kind, Tables) and not nested:
                values[name] = {
                    key: self.read(inner, path=f"{path}.{name}.{key}", nested=True)
                    for key, inner in own[name].read(value).items()
                }
            elif isinstance(kind, Tables):
                raise SettingsError(f"{path} must be without a {name} of its own", f"{path}.{name}")
            else:
                values[name] = kind.write(own[name].read(value))
        missing = [item for name, item in own.items() if item.default is MISSING and name not in table]
        if missing and not nested:
            raise SettingsError(f"{missing[0].path} is missing: {missing[0].setting.help}", path)
        return values

    def arguments(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a checked table gives to the constructor of its class."""
        own = {item.name: item for item in self._fields_of(self.of_kind(table))}
        return {name: own[name].read(value) for name, value in table.items() if name in own}

    def build(self, settings: Mapping[str, Any], **objects: Any) -> Any:
        """Return what checked settings describe, given what files cannot hold; an error names the section."""
        table = settings.get(self.name, {})
        with naming(self.name):
            return self.of_kind(table)(**{**self.arguments(table), **objects})

    def describe(self, record: Any) -> dict[str, Any]:
        """Return the table of an object; what is None is left out.

        Raises
        ------
        ValueError
            If no kind of the section makes such an object.
        """
        table: dict[str, Any] = {}
        if not isinstance(self.classes, type):
            names = [kind for kind, cls in self.classes.items() if cls is type(record)]
            if not names:
                raise ValueError(
                    f"a {type(record).__name__} basis consists of Python functions and cannot be written to a file; "
                    f"{', '.join(self.classes)} can"
                )
            table["kind"] = names[0]
        for item in self._fields_of(type(record)):
            value = getattr(record, item.name)
            if value is not None:
                table[item.name] = item.setting.kind.write(item.setting.kind.take(value))
        return table

    def _fields_of(self, cls: type) -> list[Field]:
        found = []
        for item in dataclasses.fields(cls):
            setting = setting_of(item)
            if setting is not None and setting.plain and item.name not in self.without:
                found.append(Field(self.name, item.name, setting, default_of(item)))
        return found

    def _kind_field(self, classes: Mapping[str, type]) -> Field:
        return Field(self.name, "kind", Setting(Choice(tuple(classes)), self.meaning, True), self.default)


@contextmanager
def naming(section: str) -> Iterator[None]:
    """An error of settings inside names a section before its own words."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"[{section}] {error}", section) from error


def merge(given: Mapping[str, Any], overrides: Settings, instead: Collection[Collection[str]] = ()) -> dict[str, Any]:
    """Return settings of a file with those of flags put over them.

    ``instead`` names groups of fields, as ``section.field``, of which one takes the place of the others.
    """
    merged = {section: dict(table) if isinstance(table, dict) else table for section, table in given.items()}
    for section, values in overrides.items():
        table = merged.setdefault(section, {})
        if not isinstance(table, dict):
            continue  # check() will say so
        for group in instead:
            names = {path.removeprefix(f"{section}.") for path in group}
            if not names.isdisjoint(values):
                for name in names:
                    table.pop(name, None)
        table.update(values)
    return merged


def check(given: Mapping[str, Any], sections: Iterable[Section], optional: Collection[str] = ()) -> Settings:
    """Check names, types, ranges, and that nothing required is missing; return the values as files hold them.

    Parameters
    ----------
    given
        Values by section and field.
    sections
        Those that there may be.
    optional
        Names of sections that need not be there although they are required by themselves.

    Raises
    ------
    SettingsError
        At the first offender; the message names the section or field.
    """
    by_name = {section.name: section for section in sections}
    settings: Settings = {}
    for name, table in given.items():
        if name not in by_name:
            raise SettingsError(f"unknown section [{_short(name)}]{did_you_mean(name, by_name)}", name)
        if not isinstance(table, dict):
            raise SettingsError(f"[{name}] must be a section, got {shown(table)}", name)
        settings[name] = by_name[name].read(table)
    for section in by_name.values():
        if section.required and section.name not in settings and section.name not in optional:
            section.read({})  # names what is missing
    return settings


def relative_to(folder: Path, given: dict[str, Any], sections: Iterable[Section]) -> dict[str, Any]:
    """Return settings whose names of files, written relative to a folder, hold from the working folder."""
    moved = dict(given)
    for section in sections:
        table = given.get(section.name)
        if isinstance(table, dict):
            kinds = {name: item.setting.kind for name, item in section.fields().items()}
            moved[section.name] = {
                name: _moved(folder, value) if _names_files(kinds.get(name)) else value for name, value in table.items()
            }
    return moved


def _names_files(kind: Kind | None) -> bool:
    return isinstance(kind.inner if isinstance(kind, Maybe) else kind, File | Files)


def _moved(folder: Path, value: Any) -> Any:
    if isinstance(value, list):
        return [_moved(folder, item) for item in value]
    return str(folder / value) if isinstance(value, str) and value else value


def schema(sections: Iterable[Section]) -> dict[str, Any]:
    """Return the JSON schema of a file of settings, for editors that complete and check TOML."""
    tables = {}
    for section in sections:
        fields = section.fields().values()
        required = [item.name for item in fields if item.default is MISSING and not item.kinds]
        tables[section.name] = {
            "type": "object",
            "properties": {item.name: item.schema() for item in fields},
            "required": required,
            "additionalProperties": False,
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "settings of orbas",
        "type": "object",
        "properties": tables,
        "additionalProperties": False,
    }


def to_toml(settings: Settings) -> str:
    """Return settings as the text of a TOML file."""
    return "\n".join(line for section, values in settings.items() for line in _toml_table(section, values))


def _toml_table(path: str, values: Mapping[str, Any]) -> list[str]:
    plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
    lines = [f"[{path}]", *(f"{_toml_name(name)} = {_toml_value(value)}" for name, value in plain.items()), ""]
    for name, value in values.items():
        if isinstance(value, dict):
            lines += _toml_table(f"{path}.{_toml_name(name)}", value)
    return lines


def _toml_value(value: Any) -> str:
    # As in JSON, without its pairs of surrogates, and with the one control character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_name(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").isalnum() else _toml_value(name)


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}..."


def _flag_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_flag_text, value))
    return short(value) if isinstance(value, float) else str(value)
