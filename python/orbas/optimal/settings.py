"""The sections of files and flags that describe a density and its optimal basis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbas.bases import BASES
from orbas.density.expansion import DensityExpansion
from orbas.density.weight import Cutoff, RadialScaling
from orbas.optimal.basis import OptimalBasis
from orbas.settings import Section, check, merge, naming

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orbas.settings import Settings

CUTOFF = Section("cutoff", Cutoff, required=True)
SCALING = Section("scaling", RadialScaling)
DENSITY = Section("density", DensityExpansion, required=True)
BASIS = Section("basis", BASES, default="GTO", meaning="primitive radial basis", required=True)
OPTIMAL = Section("optimal", OptimalBasis)

#: Those of a primitive basis.
DENSITY_SECTIONS = (CUTOFF, SCALING, DENSITY, BASIS)
#: Those that say what is expanded on what.
SECTIONS = (*DENSITY_SECTIONS, OPTIMAL)
#: Of these a flag takes the place of the other in a file.
INSTEAD = (("optimal.n_optimal", "optimal.residual"),)


def check_density(given: Mapping[str, Any], overrides: Settings | None = None) -> Settings:
    """Return the checked settings of a primitive basis, with those of flags put over them."""
    settings = check(merge(given, overrides or {}), DENSITY_SECTIONS)
    build_density(settings)
    return settings


def check_basis(given: Mapping[str, Any], overrides: Settings | None = None) -> Settings:
    """Return the checked settings of an optimal basis, with those of flags put over them."""
    settings = check(merge(given, overrides or {}, INSTEAD), SECTIONS)
    build_optimal(settings)
    return settings


def build_density(settings: Settings) -> DensityExpansion:
    """Return the expansion on the primitive basis that checked settings describe."""
    density: DensityExpansion = DENSITY.build(
        settings,
        cutoff=CUTOFF.build(settings),
        scaling=SCALING.build(settings) if "scaling" in settings else None,
        basis=BASIS.build(settings),
    )
    with naming("density"):
        density.check()
    return density


def build_optimal(settings: Settings) -> OptimalBasis:
    """Return the optimal basis, not fitted, that checked settings describe."""
    optimal: OptimalBasis = OPTIMAL.build(settings, density=build_density(settings))
    with naming("optimal"):
        optimal.check()
    return optimal


def describe(optimal: OptimalBasis) -> Settings:
    """Return the settings of an optimal basis: ``build_optimal`` makes it again.

    Raises
    ------
    ValueError
        For a primitive basis of the user's own functions, which no file can hold.
    """
    density = optimal.density
    parts: dict[str, Any] = {
        "cutoff": density.cutoff,
        "scaling": density.scaling,
        "density": density,
        "basis": density.primitive_basis(),
        "optimal": optimal,
    }
    return {
        section.name: section.describe(parts[section.name]) for section in SECTIONS if parts[section.name] is not None
    }
