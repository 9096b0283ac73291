"""orbas: optimal radial bases for atom-centered density representations.

Structures in, the smallest features that keep the most information out. Names are loaded on first use, so that
``import orbas`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Cutoff": "hypers",
    "RadialScaling": "hypers",
    "DensityExpansion": "density",
    "Energies": "energies",
    "EquivariantBlocks": "blocks",
    "Features": "blocks",
    "Gradients": "gradients",
    "JacobianRows": "gradients",
    "OptimalBasis": "optimal",
    "load": "model_file",
    "PCovRBasis": "pcovr",
    "load_basis": "basis_file",
    "save_basis": "basis_file",
    "NICE": "nice",
    "Bispectrum": "nice",
    "PowerSpectrum": "invariants",
    "RadialSpectrum": "invariants",
    "SelectedPowerSpectrum": "selected_spectrum",
    "InternalError": "errors",
    "LabelError": "errors",
    "ModelFileError": "errors",
    "NotFittedError": "errors",
    "UnknownSpeciesError": "errors",
    "neighbor_list": "neighbors",
    "SkinList": "neighbors",
    "brute_force_neighbor_list": "neighbors",
    "clebsch_gordan": "angular",
    "spherical_harmonics": "angular",
    "get_num_threads": "parallel",
    "set_num_threads": "parallel",
    "read": "io",
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
    "SkinList",
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
    from orbas.angular import clebsch_gordan, spherical_harmonics
    from orbas.basis_file import load_basis, save_basis
    from orbas.blocks import EquivariantBlocks, Features
    from orbas.density import DensityExpansion
    from orbas.energies import Energies
    from orbas.errors import InternalError, LabelError, ModelFileError, NotFittedError, UnknownSpeciesError
    from orbas.gradients import Gradients, JacobianRows
    from orbas.hypers import Cutoff, RadialScaling
    from orbas.invariants import PowerSpectrum, RadialSpectrum
    from orbas.io import read
    from orbas.model_file import load
    from orbas.neighbors import SkinList, brute_force_neighbor_list, neighbor_list
    from orbas.nice import NICE, Bispectrum
    from orbas.optimal import OptimalBasis
    from orbas.parallel import get_num_threads, set_num_threads
    from orbas.pcovr import PCovRBasis
    from orbas.selected_spectrum import SelectedPowerSpectrum

    __version__: str


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"orbas.{_HOMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"orbas.{name}")
    elif name == "__version__":
        value = importlib.import_module("orbas._core").__version__
    else:
        raise AttributeError(f"module 'orbas' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
