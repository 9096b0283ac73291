"""Potentials from settings: the sections that ``orbas train`` has beyond those of a basis.

Names and types are checked in :mod:`orbas.settings`, ranges by the objects themselves; here, that sections do not
contradict each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbas.settings import DENSITY_SECTIONS, SettingsError, build_density, build_optimal, made

if TYPE_CHECKING:
    from orbas.density.expansion import DensityExpansion
    from orbas.models import LinearPotential, Noise, Regularization, SparseGPR
    from orbas.settings import Settings

#: Where settings belong that are not for every model: section, fields (None: all of them), the field that decides on
#: them, its default, and the values that want them.
_ONLY_FOR = (
    ("model", ("n_sparse", "zeta", "delta", "selection"), "model.kind", "linear", ("sparse",)),
    ("model", ("representation",), "model.kind", "linear", ("linear", "sparse")),
    *((section, None, "model.kind", "linear", ("linear", "sparse")) for section in (*DENSITY_SECTIONS, "optimal")),
    ("regularization", None, "model.kind", "linear", ("linear", "sparse")),
    ("baseline", None, "model.kind", "linear", ("linear", "sparse")),
    ("recommended", None, "model.kind", "linear", ("recommended",)),
    ("nice", None, "model.representation", "power_spectrum", ("nice",)),
    ("regularization", ("n_folds", "seed"), "regularization.kind", "cv", ("cv",)),
    ("regularization", ("alpha",), "regularization.kind", "cv", ("fixed",)),
)
_COMPARABLE = ("power_spectrum", "radial_spectrum")


def chooses_itself(settings: Settings) -> bool:
    """Whether the model is one of :func:`orbas.models.recommended`, which takes no settings of a basis."""
    return bool(_value(settings, "model.kind", "linear") == "recommended")


def check_model(settings: Settings) -> None:
    """Raise SettingsError if sections contradict each other or a value is out of range, before any structure is read.

    Names and types were checked by :func:`orbas.settings.check`.
    """
    for section, names, decider, default, wanted in _ONLY_FOR:
        value = _value(settings, decider, default)
        given = settings.get(section, {})
        found = [section] if names is None and section in settings else [name for name in names or () if name in given]
        if found and value not in wanted:
            what = f"[{section}]" if names is None else f"{section}.{found[0]}"
            raise SettingsError(f"{what} is for {decider} = {' or '.join(map(repr, wanted))}, which is {value!r}")
    if {"kind", "energies"} <= settings.get("baseline", {}).keys():
        raise SettingsError("baseline.kind contradicts baseline.energies: give one of them")
    build_noise(settings)
    if chooses_itself(settings):
        if not settings.get("recommended", {}).get("time_budget", 1.0) > 0:
            raise SettingsError("recommended.time_budget must be a positive number of seconds")
        return
    if "optimal" in settings:
        build_optimal(settings)
    build_potential(settings, build_density(settings))


def build_potential(
    settings: Settings, density: DensityExpansion, *, progress: bool = False
) -> LinearPotential | SparseGPR:
    """Return the potential on a density that checked settings describe; neither it nor its representation is fitted.

    Raises
    ------
    SettingsError
        If a value is out of range, or the kind of model does not take the representation.
    """
    from orbas.models import LinearPotential, SparseGPR

    given = dict(settings.get("model", {}))
    kind, name = given.pop("kind", "linear"), given.pop("representation", _COMPARABLE[0])
    options: dict[str, Any] = {
        "regularization": _regularization(settings),
        "noise": build_noise(settings),
        "baseline": settings.get("baseline", {}).get("energies", "composition"),
        "progress": progress,
    }
    representation = _representation(settings, name, density)
    if kind == "linear":
        return LinearPotential(representation, **options)
    if name not in _COMPARABLE:
        raise SettingsError(
            f"model.representation = {name!r} is for model.kind = 'linear'; a sparse model compares "
            f"{' or '.join(_COMPARABLE)}"
        )
    potential = SparseGPR(representation, **given, **options)
    made("model", potential.check, {})
    return potential


def build_noise(settings: Settings) -> Noise | None:
    """Return the noise that settings describe; None without a section."""
    from orbas.models import Noise

    if "noise" not in settings:
        return None
    given = dict(settings["noise"])
    # What a table of one kind of structures does not name is as for all.
    general = {name: value for name, value in given.items() if name != "by_config"}
    others = {
        name: made(f"noise.by_config.{name}", Noise, {**general, **table})
        for name, table in given.get("by_config", {}).items()
    }
    noise: Noise = made("noise", Noise, {**general, "by_config": others})
    return noise


def _representation(settings: Settings, name: str, density: DensityExpansion) -> Any:
    from orbas.invariants.nice import NICE, Bispectrum
    from orbas.invariants.spectra import PowerSpectrum, RadialSpectrum

    if name == "nice":
        given = {field: _unlimited(value) for field, value in settings.get("nice", {}).items()}
        nice = NICE(density, **given)
        made("nice", nice.limits, {})
        return nice
    makers = {"power_spectrum": PowerSpectrum, "radial_spectrum": RadialSpectrum, "bispectrum": Bispectrum}
    return makers[name](density)


def _unlimited(value: Any) -> Any:
    """Return limits with None where a file, which has no such thing, says "all"."""
    if isinstance(value, list):
        return [_unlimited(item) for item in value]
    return None if value == "all" else value


def _regularization(settings: Settings) -> Regularization:
    from orbas.models import Evidence, Fixed, KFold, LeaveOneOut

    given = dict(settings.get("regularization", {}))
    kind = given.pop("kind", "cv")
    if kind == "fixed" and not given:
        raise SettingsError("regularization.alpha is missing: the alpha of regularization.kind = 'fixed'")
    makers = {"cv": KFold, "loo": LeaveOneOut, "evidence": Evidence, "fixed": Fixed}
    rule: Regularization = made("regularization", makers[kind], given)
    return rule


def _value(settings: Settings, path: str, default: str) -> Any:
    section, _, name = path.partition(".")
    return settings.get(section, {}).get(name, default)
