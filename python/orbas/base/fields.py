"""Settings as the fields of dataclasses: type, range, unit and help stand in their metadata.

Constructors, TOML files, flags, help texts and the JSON schema all read these fields; nothing is declared twice.
Estimators are dataclasses too: their constructor stores, and what it stored is checked when work begins.
"""

from __future__ import annotations

import reprlib
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

from orbas.base.kinds import Kind, RefusalError, Switch, scalar

if TYPE_CHECKING:
    from dataclasses import Field

_KEY = "setting"
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class SettingsError(ValueError, TypeError):
    """A setting is unknown, missing, of a wrong type or out of its range; the message names it.

    Attributes
    ----------
    path
        Section and field with a dot between, where the setting stands in a file; else None.

    Examples
    --------
    >>> import orbas
    >>> orbas.Cutoff(radius=-1.0)
    Traceback (most recent call last):
    orbas.base.fields.SettingsError: Cutoff.radius must be a number from 1e-6 to 1e6 Å, got -1.0
    """

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Setting:
    """What the metadata of a field says."""

    kind: Kind
    #: In a few words, without type, unit and default, which are added.
    help: str
    #: Whether files and flags have it.
    plain: bool


def setting(kind: Kind, help: str, *, in_files: bool = True) -> dict[str, Setting]:
    """Return the metadata of a field.

    Parameters
    ----------
    kind
        Type, range and unit.
    help
        What it is, in a few words.
    in_files
        Whether TOML files and flags have it, if they can.

    Examples
    --------
    >>> from dataclasses import dataclass, field
    >>> from orbas.base.kinds import Number
    >>> @dataclass(frozen=True)
    ... class Shell:
    ...     radius: float = field(metadata=setting(Number(0, 100, "Å"), "radius of the shell"))
    ...     def __post_init__(self):
    ...         check_settings(self)
    >>> Shell(True)
    Traceback (most recent call last):
        ...
    orbas.base.fields.SettingsError: Shell.radius must be a number from 0 to 100 Å, got True
    """
    return {_KEY: Setting(kind, help, in_files and kind.plain)}


def setting_of(field: Field[Any]) -> Setting | None:
    """Return what the metadata of a field says; None for a field that is no setting."""
    found: Setting | None = field.metadata.get(_KEY)
    return found


def check_settings(record: Any, owner: str | None = None) -> None:
    """Check all settings of a dataclass; a frozen one keeps them in their plain form (ints of numpy become ints).

    Others keep what they store, but arrays without axes, which are the numbers in them.

    Messages name ``owner``, by default the class, before the setting.

    Raises
    ------
    SettingsError
        At the first that is of a wrong type or out of its range; a ValueError and a TypeError.
    """
    owner = type(record).__name__ if owner is None else owner
    frozen = type(record).__dataclass_params__.frozen
    for field in fields(record):
        found = setting_of(field)
        if found is not None:
            stored = getattr(record, field.name)
            value = checked(found.kind, f"{owner}.{field.name}".lstrip("."), stored)
            if frozen or scalar(stored) is not stored:
                object.__setattr__(record, field.name, value)


def checked(kind: Kind, path: str, value: Any) -> Any:
    """Return a value in its plain form.

    Raises
    ------
    SettingsError
        If it is not of the kind.
    """
    try:
        return kind.take(value)
    except RefusalError as refusal:
        raise SettingsError(f"{path} must be {kind.allowed()}, got {shown(value)}{refusal.hint}") from None


def check_switches(**switches: Any) -> None:
    """Raise SettingsError unless all are True or False: a text would count as True."""
    for name, value in switches.items():
        checked(Switch(), name, value)


def shown(value: Any) -> str:
    """Return a value as messages show it, shortened."""
    return _SHORT.repr(value)


def default_of(field: Field[Any]) -> Any:
    """Return the default of a field; ``dataclasses.MISSING`` if it has none."""
    return field.default if field.default_factory is MISSING else field.default_factory()
