"""Settings as plain tables: what a TOML file, a flag and a stored basis share.

A field is declared once, in ``FIELDS``, under the name it has in its dataclass or estimator. Names and types are
checked here, ranges by the objects themselves; nothing unknown is dropped.
"""

from __future__ import annotations

import difflib
import json
import math
import operator
from dataclasses import asdict, dataclass, replace
from enum import Enum
from numbers import Real
from typing import TYPE_CHECKING, Any

from orbas.base.fields import SettingsError as SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from orbas.density.expansion import DensityExpansion
    from orbas.optimal.basis import OptimalBasis

#: section -> field -> value, with TOML's types only.
Settings = dict[str, dict[str, Any]]

#: Primitive bases that are made of one number, by class name.
BASIS_KINDS = ("GTO", "DVR", "LaplacianEigenstates")


class Kind(Enum):
    """The type of a field, as messages call it."""

    NUMBER = "a number"
    INTEGER = "an integer"
    COUNTS = "an integer, or one for every l"
    SPECIES = "a list of chemical symbols or atomic numbers"
    SWITCH = "true or false"
    TEXT = "a text"
    FILES = "the name of a file, or a list of such names"
    LIMITS = 'an integer, "all" for no limit, or a list of these with one for every order from 2 on'
    ENERGIES = "a table of energies in eV by chemical symbol"
    TABLES = "a table of tables"


@dataclass(frozen=True, slots=True)
class Field:
    """One setting: ``[section] name`` in a file, ``--section.name`` as a flag."""

    section: str
    name: str
    kind: Kind
    meaning: str
    required: bool = False
    #: What a text may be; empty for any.
    choices: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Section and name with a dot between."""
        return f"{self.section}.{self.name}"

    def read(self, value: Any) -> Any:
        """Return a value of a file with the type of the field, or raise SettingsError."""
        try:
            found = _READERS[self.kind](value)
        except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
            raise SettingsError(f"{self.path} must be {self.kind.value}, got {value!r}") from None
        if self.choices and found not in self.choices:
            raise SettingsError(f"{self.path} must be one of {', '.join(self.choices)}, got {value!r}")
        return found

    def parse(self, text: str) -> Any:
        """Return the value of a flag: a list is written with commas, a table as ``Si=-0.1,O=-2``."""
        value: Any = text
        parts = [part.strip() for part in text.split(",")]
        if self.kind is Kind.ENERGIES:
            value = {symbol.strip(): _word(energy.strip()) for symbol, _, energy in (p.partition("=") for p in parts)}
        elif self.kind is Kind.FILES:
            value = parts
        elif self.kind is not Kind.TEXT:
            words = [_word(part) for part in parts]
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
    Field("data", "train", Kind.FILES, "training structures, extended XYZ, plain or .gz", required=True),
    Field("data", "test", Kind.FILES, "structures that are only predicted"),
    Field("data", "energy_key", Kind.TEXT, "name of the energies (default REF_energy, else energy)"),
    Field("data", "forces_key", Kind.TEXT, "name of the forces (default REF_forces, else forces)"),
    Field("data", "stress_key", Kind.TEXT, "name of the stress (default REF_stress, else stress)"),
    Field("data", "virial_key", Kind.TEXT, "name of the virial (default REF_virial, else virial)"),
    Field("data", "forces", Kind.SWITCH, "fit forces where there are (default true)"),
    Field("data", "stress", Kind.SWITCH, "fit stress or virial where there are (default true)"),
    Field("model", "kind", Kind.TEXT, "linear (default), sparse, or recommended: all chosen by itself",
          choices=("linear", "sparse", "recommended")),
    Field("model", "representation", Kind.TEXT, "power_spectrum (default), radial_spectrum, bispectrum or nice",
          choices=("power_spectrum", "radial_spectrum", "bispectrum", "nice")),
    Field("model", "n_sparse", Kind.INTEGER, "number of representative environments of a sparse model (default 1000)"),
    Field("model", "zeta", Kind.INTEGER, "exponent of its kernel (default 4)"),
    Field("model", "delta", Kind.NUMBER, "amplitude of its kernel (default 1)"),
    Field("model", "selection", Kind.TEXT, "how environments are chosen: fps (default) or cur", choices=("fps", "cur")),
    Field("nice", "nu_max", Kind.INTEGER, "the highest order (default 4)"),
    Field("nice", "n_pairs", Kind.LIMITS, "pairs expanded for equivariants (default all)"),
    Field("nice", "n_components", Kind.LIMITS, "components kept of every symmetry (default all)"),
    Field("nice", "n_invariants", Kind.LIMITS, "components kept of the invariants (default all)"),
    Field("nice", "n_invariant_pairs", Kind.LIMITS, "pairs expanded for invariants (default all)"),
    Field("nice", "max_lambda", Kind.LIMITS, "largest degree kept (default all)"),
    Field("nice", "n_purify", Kind.LIMITS, "components of lower orders taken away (default 0)"),
    Field("nice", "parity", Kind.TEXT, "both (default) or even", choices=("both", "even")),
    Field("nice", "per_center", Kind.SWITCH, "one iteration for every center species (default false)"),
    Field("nice", "n_environments", Kind.INTEGER, "environments to fit on (default: all)"),
    Field("noise", "energy", Kind.NUMBER, "of energies in eV per root of atoms (default 0.002)"),
    Field("noise", "forces", Kind.NUMBER, "of forces in eV/Å (default 0.05)"),
    Field("noise", "virial", Kind.NUMBER, "of virials in eV per root of atoms (default 0.02)"),
    Field("noise", "by_config", Kind.TABLES, "others by config_type; what they do not name is as for all"),
    Field("regularization", "kind", Kind.TEXT, "how alpha is chosen: cv (default), loo, evidence or fixed",
          choices=("cv", "loo", "evidence", "fixed")),
    Field("regularization", "n_folds", Kind.INTEGER, "folds of cv (default 5)"),
    Field("regularization", "seed", Kind.INTEGER, "of the folds of cv (default 0)"),
    Field("regularization", "alpha", Kind.NUMBER, "the alpha of fixed, without unit"),
    Field("baseline", "kind", Kind.TEXT, "composition (default): fitted energies of atoms", choices=("composition",)),
    Field("baseline", "energies", Kind.ENERGIES, "instead: energies of isolated atoms in eV, by symbol"),
    Field("recommended", "time_budget", Kind.NUMBER, "seconds for all trials and the last fit (default 600)"),
    Field("recommended", "seed", Kind.INTEGER, "of the structures that trials use (default 0)"),
)  # fmt: skip
#: The sections that say what is expanded on what.
SECTIONS = ("cutoff", "scaling", "density", "basis", "optimal")
#: All sections: those of a model and its training structures too.
TRAIN_SECTIONS = tuple(dict.fromkeys(field.section for field in FIELDS))
#: Without the last, a primitive basis.
DENSITY_SECTIONS = SECTIONS[:-1]
_ONLY_ONE = ("n_optimal", "residual")
_REQUIRED = ("cutoff", "density", "basis", "data")


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
        settings[section] = _checked(section, table, [field for field in FIELDS if field.section == section])
    chooses_itself = settings.get("model", {}).get("kind") == "recommended"
    required = ("data",) if chooses_itself else [section for section in _REQUIRED if section in sections]
    for field in FIELDS:
        needed = field.section in settings or field.section in required
        if field.required and needed and field.name not in settings.get(field.section, {}):
            raise SettingsError(f"{field.path} is missing: {field.meaning}")
    return settings


def _checked(path: str, table: Mapping[str, Any], of_section: Iterable[Field]) -> dict[str, Any]:
    """Return the values of one table with the types of their fields."""
    fields = {field.name: replace(field, section=path) for field in of_section}
    for name in table:
        if name not in fields:
            raise SettingsError(f"unknown field {path}.{name}{_hint(name, fields)}")
    values = {name: fields[name].read(value) for name, value in table.items()}
    plain = [field for field in fields.values() if field.kind is not Kind.TABLES]
    for name, value in values.items():
        if fields[name].kind is Kind.TABLES:
            values[name] = {key: _checked(f"{path}.{name}.{key}", inner, plain) for key, inner in value.items()}
    return values


def build_density(settings: Settings) -> DensityExpansion:
    """Return the expansion on the primitive basis that checked settings describe."""
    from orbas import bases
    from orbas.density.expansion import DensityExpansion
    from orbas.density.weight import Cutoff, RadialScaling

    basis = dict(settings["basis"])
    kind = basis.pop("kind", BASIS_KINDS[0])
    if kind not in BASIS_KINDS:
        raise SettingsError(f"basis.kind must be one of {', '.join(BASIS_KINDS)}, got {kind!r}")
    density = DensityExpansion(
        cutoff=made("cutoff", Cutoff, settings["cutoff"]),
        scaling=made("scaling", RadialScaling, settings["scaling"]) if "scaling" in settings else None,
        basis=made("basis", getattr(bases, kind), basis),
        **settings["density"],
    )
    made("density", density.check, {})
    return density


def build_optimal(settings: Settings) -> OptimalBasis:
    """Return the optimal basis, not fitted, that checked settings describe."""
    from orbas.optimal.basis import OptimalBasis

    optimal = OptimalBasis(build_density(settings), **settings.get("optimal", {}))
    made("optimal", optimal.check, {})
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
        value = given[field.section].get(field.name) if field.section in SECTIONS else None
        if value is not None:
            plain = value.tolist() if hasattr(value, "tolist") else value
            settings.setdefault(field.section, {})[field.name] = field.read(plain)
    return settings


def to_toml(settings: Settings) -> str:
    """Return settings as the text of a TOML file."""
    return "\n".join(line for section, values in settings.items() for line in _toml_table(section, values))


def _toml_table(path: str, values: Mapping[str, Any]) -> list[str]:
    # Numbers, texts, booleans and lists of them are written in TOML as in JSON; a name in quotes may be anything.
    plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
    lines = [f"[{path}]", *(f"{_toml_name(name)} = {json.dumps(value)}" for name, value in plain.items()), ""]
    for name, value in values.items():
        if isinstance(value, dict):
            lines += _toml_table(f"{path}.{_toml_name(name)}", value)
    return lines


def _toml_name(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").isalnum() else json.dumps(name)


def made(section: str, make: Any, values: dict[str, Any]) -> Any:
    """Return what values of a section make; an error of theirs names the section."""
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
    return list(atomic_numbers(value))


def atomic_numbers(species: Iterable[str | int]) -> tuple[int, ...]:
    """Return the atomic numbers of chemical symbols, and of what is one already."""
    return tuple(_atomic_number(item) if isinstance(item, str) else _integer(item) for item in species)


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


def _files(value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) and name for name in names):
        raise TypeError
    return list(names)


def _limits(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_limits(item) for item in value]
    return value if value == "all" else _integer(value)


def _energies(value: Any) -> dict[str, float]:
    energies = {symbol: _number(energy) for symbol, energy in value.items()}
    if not energies or not all(map(_atomic_number, energies)) or not all(map(math.isfinite, energies.values())):
        raise ValueError
    return energies


def _tables(value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(inner, dict) for inner in value.values()):
        raise TypeError
    return dict(value)


_READERS = {
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.COUNTS: _counts,
    Kind.SPECIES: _species,
    Kind.SWITCH: _switch,
    Kind.TEXT: _text,
    Kind.FILES: _files,
    Kind.LIMITS: _limits,
    Kind.ENERGIES: _energies,
    Kind.TABLES: _tables,
}
