"""orbas: optimal radial bases for atom-centered density representations.

Structures in, the smallest features that keep the most information out. Names are loaded on first use, so that
``import orbas`` costs next to nothing. The examples of methods go on from that of their class.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from orbas import _moved

_HOMES = {
    "Cutoff": "density",
    "RadialScaling": "density",
    "DensityExpansion": "density",
    "Energies": "base",
    "EquivariantBlocks": "base",
    "Features": "base",
    "Gradients": "base",
    "JacobianRows": "base",
    "OptimalBasis": "optimal",
    "load": "models",
    "PCovRBasis": "models.pcovr",
    "load_basis": "optimal.basis_file",
    "save_basis": "optimal.basis_file",
    "NICE": "invariants",
    "Bispectrum": "invariants",
    "PowerSpectrum": "invariants",
    "RadialSpectrum": "invariants",
    "SelectedPowerSpectrum": "invariants",
    "InternalError": "errors",
    "LabelError": "errors",
    "ModelFileError": "errors",
    "NotFittedError": "errors",
    "SettingsError": "errors",
    "StructureFileError": "errors",
    "UnknownSpeciesError": "errors",
    "neighbor_list": "structures",
    "SkinList": "structures",
    "brute_force_neighbor_list": "structures",
    "clebsch_gordan": "structures",
    "spherical_harmonics": "structures",
    "get_num_threads": "parallel",
    "set_num_threads": "parallel",
    "read": "structures.io",
}
_MODULES = ("bases", "calculators", "datasets", "metrics", "models", "selection")

__all__ = [
    "NICE",
    "Bispectrum",
    "Cutoff",
    "DensityExpansion",
    "Energies",
    "EquivariantBlocks",
    "Features",
    "Gradients",
    "InternalError",
    "JacobianRows",
    "LabelError",
    "ModelFileError",
    "NotFittedError",
    "OptimalBasis",
    "PCovRBasis",
    "PowerSpectrum",
    "RadialScaling",
    "RadialSpectrum",
    "SelectedPowerSpectrum",
    "SettingsError",
    "SkinList",
    "StructureFileError",
    "UnknownSpeciesError",
    "__version__",
    "bases",
    "brute_force_neighbor_list",
    "calculators",
    "clebsch_gordan",
    "datasets",
    "get_num_threads",
    "load",
    "load_basis",
    "metrics",
    "models",
    "neighbor_list",
    "read",
    "save_basis",
    "selection",
    "set_num_threads",
    "spherical_harmonics",
]

if TYPE_CHECKING:
    from orbas import bases, calculators, datasets, metrics, models, selection
    from orbas.base import Energies, EquivariantBlocks, Features, Gradients, JacobianRows
    from orbas.density import Cutoff, DensityExpansion, RadialScaling
    from orbas.errors import (
        InternalError,
        LabelError,
        ModelFileError,
        NotFittedError,
        SettingsError,
        StructureFileError,
        UnknownSpeciesError,
    )
    from orbas.invariants import NICE, Bispectrum, PowerSpectrum, RadialSpectrum, SelectedPowerSpectrum
    from orbas.models import load
    from orbas.models.pcovr import PCovRBasis
    from orbas.optimal import OptimalBasis
    from orbas.optimal.basis_file import load_basis, save_basis
    from orbas.parallel import get_num_threads, set_num_threads
    from orbas.structures import (
        SkinList,
        brute_force_neighbor_list,
        clebsch_gordan,
        neighbor_list,
        spherical_harmonics,
    )
    from orbas.structures.io import read

    __version__: str


_moved.install()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"orbas.{_HOMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"orbas.{name}")
    elif name == "__version__":
        value = importlib.import_module("orbas._core").__version__
    elif f"orbas.{name}" in _moved.MOVED:
        value = importlib.import_module(f"orbas.{name}")
    else:
        raise AttributeError(f"module 'orbas' has no attribute {name!r}{_hint(name)}")
    globals()[name] = value
    return value


def _hint(name: str) -> str:
    if name.startswith("_"):  # asked for by tools, not by people
        return ""
    from orbas.base.names import did_you_mean

    return did_you_mean(name, __all__)


def __dir__() -> list[str]:
    return sorted(__all__)
