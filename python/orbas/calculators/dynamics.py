"""Dynamics count what moves: degrees of freedom, temperatures, first velocities, thermostats.

One rule for all of them: every atom has three degrees of freedom, less those that constraints take, less three for the
center of mass where nothing holds the atoms in space, since it then stays at rest. A temperature is twice the kinetic
energy of these over their number. The thermostats of ase count the center of mass too, so that few atoms would be too
hot by N / (N - 1): three atoms at 450 K in place of 300 K.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms

    from orbas.base.types import FloatArray

#: Time constants of thermostat and barostat, fs.
THERMOSTAT, BAROSTAT = 100.0, 1000.0
#: Constraints of ase between atoms: they hold nothing in space.
_INTERNAL = ("FixBondLength", "FixBondLengths", "FixInternals", "FixLinearTriatomic")


def is_free(atoms: Atoms) -> bool:
    """Whether the center of mass moves on as it is: no constraint holds an atom in space, or the center itself."""
    return all(type(constraint).__name__ in _INTERNAL for constraint in atoms.constraints)


def degrees_of_freedom(atoms: Atoms) -> int:
    """Return the number of degrees of freedom, without the center of mass and what constraints fix."""
    return max(int(atoms.get_number_of_degrees_of_freedom()) - 3 * is_free(atoms), 0)


def temperature(atoms: Atoms) -> float:
    """Return the temperature in K; not-a-number if nothing can move."""
    degrees = degrees_of_freedom(atoms)
    if degrees == 0:
        return math.nan
    momenta = _inner(atoms) if is_free(atoms) else atoms.get_momenta()
    kinetic = 0.5 * np.sum(momenta**2 / atoms.get_masses()[:, None])
    return float(2.0 * kinetic / (degrees * units.kB))


def draw_velocities(atoms: Atoms, kelvin: float, rng: np.random.Generator) -> None:
    """Draw velocities of exactly this temperature, with the center of mass at rest where nothing holds the atoms."""
    atoms.set_momenta(np.sqrt(atoms.get_masses()[:, None]) * rng.normal(size=(len(atoms), 3)))
    rest(atoms)
    drawn = temperature(atoms)
    if drawn > 0.0:  # not so if nothing can move
        atoms.set_momenta(np.sqrt(kelvin / drawn) * atoms.get_momenta())


def rest(atoms: Atoms) -> None:
    """Put the center of mass at rest where nothing holds the atoms."""
    if is_free(atoms):
        atoms.set_momenta(_inner(atoms))


def check_dynamics(atoms: Atoms) -> None:
    """Raise ValueError for a structure that cannot be moved: no atoms, masses or velocities that are none."""
    if len(atoms) == 0:
        raise ValueError("there are no atoms to move")
    for index, mass in enumerate(atoms.get_masses()):
        if not (np.isfinite(mass) and mass > 0.0):
            raise ValueError(f"atom {index} ({atoms.symbols[index]}) has the mass {mass:g}: give one above 0")
    bad = np.flatnonzero(~np.isfinite(atoms.get_momenta()).all(axis=1))
    if bad.size:
        raise ValueError(f"the velocity of atom {bad[0]} ({atoms.symbols[bad[0]]}) is not finite")


def nve(atoms: Atoms, timestep: float) -> tuple[Any, Callable[[], float]]:
    """Return velocity Verlet, with the energy in eV that it conserves; the time step is in fs."""
    from ase.md.verlet import VelocityVerlet

    return VelocityVerlet(atoms, timestep * units.fs), atoms.get_total_energy


def nvt(atoms: Atoms, timestep: float, kelvin: float, rng: np.random.Generator) -> tuple[Any, Callable[[], float]]:
    """Return Bussi's thermostat for what can move, and the energy that it conserves.

    Raises
    ------
    ValueError
        If nothing can move, or nothing moves: the thermostat scales velocities.
    """
    from ase.md.bussi import Bussi

    _check_motion(atoms, "nvt")
    rest(atoms)
    bussi = Bussi(atoms, timestep * units.fs, kelvin, taut=THERMOSTAT * units.fs, rng=rng)
    bussi.ndof = degrees_of_freedom(atoms)
    bussi.target_kinetic_energy = 0.5 * bussi.temp * bussi.ndof
    return bussi, lambda: float(atoms.get_total_energy() - bussi.transferred_energy)


def npt(atoms: Atoms, timestep: float, kelvin: float, gigapascal: float) -> tuple[Any, Callable[[], float]]:
    """Return the barostat of Martyna, Tobias and Klein for what can move, and the energy that it conserves.

    Raises
    ------
    ValueError
        If the structure is not periodic in three directions, has constraints, or nothing can move.
    """
    from ase.md.nose_hoover_chain import IsotropicMTKNPT, NoseHooverChainThermostat

    if not all(atoms.pbc):
        raise ValueError("npt needs a structure that is periodic in three directions")
    if atoms.constraints:
        raise ValueError("npt cannot hold atoms fixed: take the constraint (move_mask) out, or use nvt")
    _check_motion(atoms, "npt")
    rest(atoms)
    step, tdamp = timestep * units.fs, THERMOSTAT * units.fs
    barostat = IsotropicMTKNPT(atoms, step, kelvin, gigapascal * units.GPa, tdamp, BAROSTAT * units.fs)
    # ase counts atoms, three degrees of freedom each.
    counted = degrees_of_freedom(atoms) / 3.0
    barostat._num_atoms_global = counted
    thermostat: Any = NoseHooverChainThermostat
    barostat._thermostat = thermostat(counted, barostat.masses, temperature_K=kelvin, tdamp=tdamp)
    return barostat, barostat.get_conserved_energy


def _inner(atoms: Atoms) -> FloatArray:
    """Return momenta relative to the center of mass."""
    momenta, masses = atoms.get_momenta(), atoms.get_masses()[:, None]
    inner: FloatArray = momenta - masses * momenta.sum(axis=0) / masses.sum()
    return inner


def _check_motion(atoms: Atoms, ensemble: str) -> None:
    if degrees_of_freedom(atoms) == 0:
        raise ValueError(f"{ensemble} needs something that can move: all atoms are fixed, or there is only one")
    if not temperature(atoms) > 0.0:
        raise ValueError(f"{ensemble} scales velocities, and all are zero: draw some of a temperature")
