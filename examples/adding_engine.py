"""An engine of your own: velocity Verlet of many replicas at once.

Run it: `python examples/adding_engine.py` (a second). An engine needs two things of a potential: `skin_lists`,
memories of neighbors, and `evaluate`, which takes all replicas in one call of the compiled core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import orbas
from ase import units
from ase.build import bulk
from orbas.models import Fixed, LinearPotential

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray
    from orbas.models import Potential


def run(potential: Potential, replicas: list[Atoms], timestep: float, steps: int) -> NDArray[np.float64]:
    """Move replicas of one structure and return their total energies in eV, [steps + 1, n_replicas].

    Parameters
    ----------
    potential
        A fitted model.
    replicas
        Structures with velocities, moved in place.
    timestep
        In femtoseconds.
    steps
        Number of steps.
    """
    memory = potential.skin_lists(1.0)
    dt, masses = timestep * units.fs, replicas[0].get_masses()[:, None]
    velocities = np.array([atoms.get_velocities() for atoms in replicas])
    found = potential.evaluate(replicas, skin_lists=memory)
    totals = []
    for step in range(steps + 1):
        totals.append(found.structures + 0.5 * np.sum(masses * velocities**2, axis=(1, 2)))
        if step == steps:
            break
        velocities += 0.5 * dt * np.array(found.forces) / masses
        for atoms, velocity in zip(replicas, velocities, strict=True):
            atoms.positions += dt * velocity
        found = potential.evaluate(replicas, skin_lists=memory)
        velocities += 0.5 * dt * np.array(found.forces) / masses
    for atoms, velocity in zip(replicas, velocities, strict=True):
        atoms.set_velocities(velocity)
    return np.array(totals)


def main() -> None:
    """Move eight replicas of silicon at rising temperatures."""
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(5.0, 1.0, "smooth"), density_width=0.5, max_angular=4, basis=orbas.bases.GTO(6)
    )
    frames = [atoms for atoms in orbas.datasets.silicon() if len(atoms) <= 16]
    model = LinearPotential(orbas.PowerSpectrum(density), regularization=Fixed(1e-7))
    model.fit(frames, forces_key="REF_forces")
    replicas = []
    for k in range(8):
        atoms = bulk("Si", cubic=True)
        widths = np.sqrt(units.kB * 50.0 * (k + 1) / atoms.get_masses())
        atoms.set_velocities(np.random.default_rng(k).normal(size=(len(atoms), 3)) * widths[:, None])
        replicas.append(atoms)
    totals = run(model, replicas, timestep=1.0, steps=200)
    drift = np.abs(totals - totals[0]).max(axis=0) / len(replicas[0])
    print(f"200 steps of {len(replicas)} replicas: energies stay within {1e3 * drift.max():.2f} meV/atom")


if __name__ == "__main__":
    main()
