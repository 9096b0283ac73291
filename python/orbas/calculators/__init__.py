"""Potentials at work in simulations: ASE, LAMMPS, codes that speak the protocol of i-PI.

Names are loaded on first use, since all of them need ase.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "ExtrapolationError": "ase_calculator",
    "ExtrapolationWarning": "ase_calculator",
    "OrbasCalculator": "ase_calculator",
    "EnergyDrift": "drift",
    "ShadowEnergy": "drift",
    "energy_drift": "drift",
    "run_driver": "ipi",
    "LammpsCoupling": "lammps",
    "create_atoms": "lammps_start",
    "open_lammps": "lammps_start",
}

__all__ = [
    "EnergyDrift",
    "ExtrapolationError",
    "ExtrapolationWarning",
    "LammpsCoupling",
    "OrbasCalculator",
    "ShadowEnergy",
    "create_atoms",
    "energy_drift",
    "open_lammps",
    "run_driver",
]

if TYPE_CHECKING:
    from orbas.calculators.ase_calculator import ExtrapolationError, ExtrapolationWarning, OrbasCalculator
    from orbas.calculators.drift import EnergyDrift, ShadowEnergy, energy_drift
    from orbas.calculators.ipi import run_driver
    from orbas.calculators.lammps import LammpsCoupling
    from orbas.calculators.lammps_start import create_atoms, open_lammps


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'orbas.calculators' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"orbas.calculators.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
