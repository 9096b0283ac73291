"""Potentials from settings: the sections that ``orbas train`` has beyond those of a basis.

Names, types and ranges are checked where the fields are declared; here, that sections do not contradict each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from orbas.base.fields import SettingsError, setting, setting_of
from orbas.base.kinds import Choice, File, Files, Maybe, Switch, Text
from orbas.fit.baseline import CompositionBaseline
from orbas.fit.noise import Noise
from orbas.fit.regularization import RULES
from orbas.invariants import REPRESENTATIONS
from orbas.invariants.spectra import Spectrum
from orbas.models import MODELS
from orbas.models.recommend import Search
from orbas.optimal.settings import DENSITY_SECTIONS, INSTEAD, OPTIMAL, SECTIONS, build_density, build_optimal
from orbas.settings import Section, check, merge, naming
from orbas.structures.label_table import LabelKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orbas.density.expansion import DensityExpansion
    from orbas.models.linear import LinearPotential
    from orbas.models.sparse import SparseGPR
    from orbas.settings import Settings


#: What becomes of structures without a label, as :func:`orbas.read` takes it; the first is the default.
UNLABELED = ("skip", "error")


def _key(kind: LabelKind) -> Any:
    return setting(Maybe(Text(), meaning=f"{kind.reference}, else {kind.plain}"), f"name of the {kind.plain}")


@dataclass(frozen=True)
class Data:
    """Files of structures, and the names of their labels."""

    train: list[str] = field(metadata=setting(Files(), "training structures, extended XYZ, plain or .gz"))
    test: list[str] | None = field(default=None, metadata=setting(Maybe(Files()), "structures that are only predicted"))
    energy_key: str | None = field(default=None, metadata=_key(LabelKind.ENERGY))
    forces_key: str | None = field(default=None, metadata=_key(LabelKind.FORCES))
    stress_key: str | None = field(default=None, metadata=_key(LabelKind.STRESS))
    virial_key: str | None = field(default=None, metadata=_key(LabelKind.VIRIAL))
    forces: bool = field(default=True, metadata=setting(Switch(), "fit forces where there are"))
    stress: bool = field(default=True, metadata=setting(Switch(), "fit stress or virial where there are"))
    unlabeled: str = field(
        default=UNLABELED[0], metadata=setting(Choice(UNLABELED), "structures without a label: leave them out or stop")
    )
    basis: str | None = field(
        default=None,
        metadata=setting(Maybe(File()), "an optimal basis of `orbas basis fit`, with its cutoff, density and species"),
    )


@dataclass(frozen=True)
class _Features:
    """What all kinds of models stand on."""

    representation: str = field(
        default="power_spectrum", metadata=setting(Choice(tuple(REPRESENTATIONS)), "features of every atom")
    )


DATA = Section("data", Data, required=True)
#: The models by their names in files; ``recommended`` chooses one, and its settings, by itself.
MODEL = Section(
    "model",
    {**MODELS, "recommended": Search},
    default="linear",
    meaning="model, or how it is found",
    common=_Features,
    without=("baseline", "time_budget", "seed"),  # sections of their own
)
NOISE = Section("noise", Noise)
REGULARIZATION = Section("regularization", RULES, default="cv", meaning="how alpha is chosen")
BASELINE = Section(
    "baseline", {"composition": CompositionBaseline}, default="composition", meaning="what energies are fitted above"
)
RECOMMENDED = Section("recommended", Search)
#: Those of representations that have settings of their own.
_OF_REPRESENTATIONS = {
    name: Section(name, cls)
    for name, cls in REPRESENTATIONS.items()
    if any(found.plain for item in fields(cls) if (found := setting_of(item)) is not None)
}
TRAIN_SECTIONS = (
    *(*SECTIONS, DATA, MODEL, *_OF_REPRESENTATIONS.values(), NOISE, REGULARIZATION, BASELINE, RECOMMENDED),
)
#: Sections that are not for every model: the field that decides on them, and the values that want them.
_ONLY_FOR = (
    *((section.name, "model.kind", tuple(MODELS)) for section in (*SECTIONS, REGULARIZATION, BASELINE)),
    ("recommended", "model.kind", ("recommended",)),
    *((name, "model.representation", (name,)) for name in _OF_REPRESENTATIONS),
)


def check_train(given: Mapping[str, Any], overrides: Settings | None = None) -> Settings:
    """Return the checked settings of ``orbas train``, with those of flags put over them.

    Raises
    ------
    SettingsError
        If something is unknown, missing or out of its range, or sections contradict each other: before any structure
        is read.
    """
    merged = merge(given, overrides or {}, INSTEAD)
    model = merged.get("model")
    data = merged.get("data")
    settled = (isinstance(model, dict) and model.get("kind") == "recommended") or (
        isinstance(data, dict) and data.get("basis") is not None
    )
    settings = check(merged, TRAIN_SECTIONS, [section.name for section in DENSITY_SECTIONS] if settled else ())
    _check_contradictions(settings)
    build_noise(settings)
    if not settled:
        if OPTIMAL.name in settings:
            build_optimal(settings)
        build_potential(settings, build_density(settings))
    return settings


def chooses_itself(settings: Settings) -> bool:
    """Whether the model is one of :func:`orbas.models.recommended`, which takes no settings of a basis."""
    return bool(_value(settings, "model.kind") == "recommended")


def basis_file(settings: Settings) -> str | None:
    """Return the name of the file of the fitted basis to use; None where the settings describe one."""
    name: str | None = settings.get("data", {}).get("basis")
    return name


def _check_contradictions(settings: Settings) -> None:
    """Raise SettingsError if a section or field is for something else than what was chosen."""
    for section, decider, wanted in _ONLY_FOR:
        _check_wanted(settings, f"[{section}]", section in settings, decider, wanted)
    if basis_file(settings) is not None:
        _check_wanted(settings, "data.basis", True, "model.kind", tuple(MODELS))
        for name in (section.name for section in SECTIONS if section.name in settings):
            raise SettingsError(f"[{name}] contradicts data.basis, a fitted basis with settings of its own", name)
    named = "representation" in settings.get("model", {})
    _check_wanted(settings, "model.representation", named, "model.kind", tuple(MODELS))
    if {"kind", "energies"} <= settings.get("baseline", {}).keys():
        raise SettingsError("baseline.kind contradicts baseline.energies: give one of them", "baseline.kind")


def _check_wanted(settings: Settings, what: str, named: bool, decider: str, wanted: tuple[str, ...]) -> None:
    value = _value(settings, decider)
    if named and value not in wanted:
        raise SettingsError(
            f"{what} is for {decider} = {' or '.join(map(repr, wanted))}, which is {value!r}", what.strip("[]")
        )


def build_potential(
    settings: Settings, density: DensityExpansion, *, progress: bool = False
) -> LinearPotential | SparseGPR:
    """Return the potential on a density that checked settings describe; neither it nor its representation is fitted.

    Raises
    ------
    SettingsError
        If a value is out of range, or the kind of model does not take the representation.
    """
    name = _value(settings, "model.representation")
    representation = build_representation(settings, name, density)
    if _value(settings, "model.kind") == "sparse" and not isinstance(representation, Spectrum):
        comparable = [name for name, cls in REPRESENTATIONS.items() if issubclass(cls, Spectrum)]
        raise SettingsError(
            f"model.representation = {name!r} is for model.kind = 'linear'; a sparse model compares "
            f"{' or '.join(comparable)}",
            "model.representation",
        )
    potential: LinearPotential | SparseGPR = MODEL.build(
        settings,
        representation=representation,
        regularization=REGULARIZATION.build(settings),
        noise=build_noise(settings),
        baseline=BASELINE.arguments(settings.get("baseline", {})).get("energies", "composition"),
        progress=progress,
    )
    with naming("model"):
        potential.check()
    return potential


def build_representation(settings: Settings, name: str, density: DensityExpansion) -> Any:
    """Return the representation of a name on a density, not fitted."""
    if name not in _OF_REPRESENTATIONS:
        return REPRESENTATIONS[name](density)
    representation = _OF_REPRESENTATIONS[name].build(settings, density=density)
    with naming(name):
        representation.check()
    return representation


def build_noise(settings: Settings) -> Noise | None:
    """Return the noise that settings describe; None without a section."""
    if "noise" not in settings:
        return None
    # What a table of one kind of structures does not name is as for all.
    general = NOISE.arguments(settings["noise"])
    others = {
        config: Noise(**{**general, **NOISE.arguments(table)}) for config, table in general.pop("by_config", {}).items()
    }
    return Noise(**general, by_config=others)


def _value(settings: Settings, path: str) -> Any:
    section, _, name = path.partition(".")
    default = next(item for item in TRAIN_SECTIONS if item.name == section).fields()[name].default
    return settings.get(section, {}).get(name, default)
