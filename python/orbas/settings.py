"""Settings as plain tables: what a TOML file, a flag and a stored basis share.

A field is declared once, in ``FIELDS``, under the name it has in its dataclass or estimator. Names and types are
checked here, ranges by the objects themselves; nothing unknown is dropped.
"""

from __future__ import annotations

import difflib
import json
import operator
from dataclasses import asdict, dataclass
from enum import Enum
from numbers import Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from orbas.density import DensityExpansion
    from orbas.optimal import OptimalBasis

#: section -> field -> value, with TOML's types only.
Settings = dict[str, dict[str, Any]]

#: Primitive bases that are made of one number, by class name.
BASIS_KINDS = ("GTO", "DVR", "LaplacianEigenstates")


class SettingsError(ValueError):
    """A setting is unknown, missing, of a wrong type or out of range; the message names its field."""


class Kind(Enum):
    """The type of a field, as messages call it."""

    NUMBER = "a number"
    INTEGER = "an integer"
    COUNTS = "an integer, or one for every l"
    SPECIES = "a list of chemical symbols or atomic numbers"
    SWITCH = "true or false"
    TEXT = "a text"


@dataclass(frozen=True, slots=True)
class Field:
    """One setting: ``[section] name`` in a file, ``--section.name`` as a flag."""

    section: str
    name: str
    kind: Kind
    meaning: str
    required: bool = False

    @property
    def path(self) -> str:
        """Section and name with a dot between."""
        return f"{self.section}.{self.name}"

    def read(self, value: Any) -> Any:
        """Return a value of a file with the type of the field, or raise SettingsError."""
        try:
            return _READERS[self.kind](value)
        except (TypeError, ValueError, KeyError, OverflowError):
            raise SettingsError(f"{self.path} must be {self.kind.value}, got {value!r}") from None

    def parse(self, text: str) -> Any:
        """Return the value of a flag: a list is written with commas."""
        value: Any = text
        if self.kind is not Kind.TEXT:
            words = [_word(part.strip()) for part in text.split(",")]
            value = words if len(words) > 1 or self.kind is Kind.SPECIES else words[0]
        return self.read(value)


FIELDS = (
    Field("cutoff", "radius", Kind.NUMBER, "cutoff radius in Å", required=True),
    Field("cutoff", "width", Kind.NUMBER, "width of the transition to zero in Å (default 0.5)"),
    Field("cutoff", "smoothing", Kind.TEXT, "cosine (default) or smooth"),
    Field("scaling", "rate", Kind.NUMBER, "c of the radial scaling c / (c + (r / r0)^m)", required=True),
    Field("scaling", "scale", Kind.NUMBER, "r0 of the radial scaling in Å", required=True),
    Field("scaling", "exponent", Kind.NUMBER, "m of the radial scaling", required=True),
    Field("density", "density_width", Kind.NUMBER, "width of the Gaussians in Å; 0 for deltas", required=True),
    Field("density", "max_angular", Kind.INTEGER, "largest degree l", required=True),
    Field("density", "species", Kind.SPECIES, "species with channels (default: those of the structures)"),
    Field("density", "center_weight", Kind.NUMBER, "weight of the center's own density (default 1)"),
    Field("density", "spline_accuracy", Kind.NUMBER, "largest error of the splines (default 1e-8)"),
    Field("basis", "kind", Kind.TEXT, f"primitive basis: {', '.join(BASIS_KINDS)} (default GTO)"),
    Field("basis", "n_radial", Kind.INTEGER, "number of primitive functions", required=True),
    Field("optimal", "n_optimal", Kind.COUNTS, "number of optimal functions kept, for all l or for each"),
    Field("optimal", "residual", Kind.NUMBER, "instead: the fraction of the variance that may be lost"),
    Field("optimal", "mixing", Kind.TEXT, "combined (default) or separate neighbor species"),
    Field("optimal", "per_center", Kind.SWITCH, "one basis for every center species (default false)"),
)
SECTIONS = tuple(dict.fromkeys(field.section for field in FIELDS))
#: The sections that say what is expanded on; without the last, a primitive basis.
DENSITY_SECTIONS = SECTIONS[:-1]
_ONLY_ONE = ("n_optimal", "residual")


def merge(given: Mapping[str, Any], overrides: Settings) -> dict[str, Any]:
    """Return settings of a file with those of flags put over them; ``residual`` replaces ``n_optimal`` and back."""
    merged = {section: dict(table) if isinstance(table, dict) else table for section, table in given.items()}
    for section, values in overrides.items():
        table = merged.setdefault(section, {})
        if not isinstance(table, dict):
            continue  # check() will say so
        if section == "optimal" and not values.keys().isdisjoint(_ONLY_ONE):
            for name in _ONLY_ONE:
                table.pop(name, None)
        table.update(values)
    return merged


def check(given: Mapping[str, Any], sections: Collection[str] = SECTIONS) -> Settings:
    """Check names and types, and that nothing required is missing.

    Raises
    ------
    SettingsError
        At the first offender; the message names the section or field.
    """
    settings: Settings = {}
    for section, table in given.items():
        if section not in sections:
            raise SettingsError(f"unknown section [{section}]{_hint(section, sections)}")
        if not isinstance(table, dict):
            raise SettingsError(f"[{section}] must be a section, got {table!r}")
        fields = {field.name: field for field in FIELDS if field.section == section}
        for name in table:
            if name not in fields:
                raise SettingsError(f"unknown field {section}.{name}{_hint(name, fields)}")
        settings[section] = {name: fields[name].read(value) for name, value in table.items()}
    for field in FIELDS:
        needed = field.section in settings or field.section in ("cutoff", "density", "basis")
        if field.required and needed and field.name not in settings.get(field.section, {}):
            raise SettingsError(f"{field.path} is missing: {field.meaning}")
    return settings


def build_density(settings: Settings) -> DensityExpansion:
    """Return the expansion on the primitive basis that checked settings describe."""
    from orbas import bases
    from orbas.density import DensityExpansion
    from orbas.hypers import Cutoff, RadialScaling

    basis = dict(settings["basis"])
    kind = basis.pop("kind", BASIS_KINDS[0])
    if kind not in BASIS_KINDS:
        raise SettingsError(f"basis.kind must be one of {', '.join(BASIS_KINDS)}, got {kind!r}")
    density = DensityExpansion(
        cutoff=_made("cutoff", Cutoff, settings["cutoff"]),
        scaling=_made("scaling", RadialScaling, settings["scaling"]) if "scaling" in settings else None,
        basis=_made("basis", getattr(bases, kind), basis),
        **settings["density"],
    )
    _made("density", density.check, {})
    return density


def build_optimal(settings: Settings) -> OptimalBasis:
    """Return the optimal basis, not fitted, that checked settings describe."""
    from orbas.optimal import OptimalBasis

    optimal = OptimalBasis(build_density(settings), **settings.get("optimal", {}))
    _made("optimal", optimal.check, {})
    return optimal


def describe(optimal: OptimalBasis) -> Settings:
    """Return the settings of an optimal basis: ``build_optimal`` makes it again.

    Raises
    ------
    ValueError
        For a primitive basis of the user's own functions, which no file can hold.
    """
    density = optimal.density
    basis = density.primitive_basis()
    kind = type(basis).__name__
    if kind not in BASIS_KINDS:
        raise ValueError(
            f"a {kind} basis consists of Python functions and cannot be written to a file; {', '.join(BASIS_KINDS)} can"
        )
    given = {
        "cutoff": asdict(density.cutoff),
        "scaling": {} if density.scaling is None else asdict(density.scaling),
        "density": density.get_params(deep=False),
        "basis": {"kind": kind, "n_radial": basis.n_radial},  # type: ignore[attr-defined]
        "optimal": optimal.get_params(deep=False),
    }
    settings: Settings = {}
    for field in FIELDS:
        value = given[field.section].get(field.name)
        if value is not None:
            plain = value.tolist() if hasattr(value, "tolist") else value
            settings.setdefault(field.section, {})[field.name] = field.read(plain)
    return settings


def to_toml(settings: Settings) -> str:
    """Return settings as the text of a TOML file."""
    # Numbers, texts, booleans and lists of them are written in TOML as in JSON.
    lines = []
    for section, values in settings.items():
        lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items()), ""]
    return "\n".join(lines)


def _made(section: str, make: Any, values: dict[str, Any]) -> Any:
    try:
        return make(**values)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"[{section}] {error}") from error


def _hint(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f": did you mean {close[0]!r}?" if close else f"; there are: {', '.join(names)}"


def _word(text: str) -> Any:
    try:
        return json.loads(text)  # numbers, true, false
    except ValueError:
        return text


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError
    return float(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def _counts(value: Any) -> int | list[int]:
    return [_integer(item) for item in value] if isinstance(value, list | tuple) else _integer(value)


def _species(value: Any) -> list[int]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return [_atomic_number(item) if isinstance(item, str) else _integer(item) for item in value]


def _atomic_number(symbol: str) -> int:
    from ase.data import atomic_numbers

    return int(atomic_numbers[symbol])


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


_READERS = {
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.COUNTS: _counts,
    Kind.SPECIES: _species,
    Kind.SWITCH: _switch,
    Kind.TEXT: _text,
}
