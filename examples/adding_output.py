"""An output of your own: the Hessian of any potential, and vibrations from it.

Run it: `python examples/adding_output.py` (a second). Energies, forces and virials of many structures come from one
call, `potential.evaluate(frames)`: whatever can be made of these needs nothing else, and works for every model.
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


def hessian(potential: Potential, atoms: Atoms, step: float = 1e-3) -> NDArray[np.float64]:
    """Return the second derivatives of the energy by central differences of forces, in one batch.

    Parameters
    ----------
    potential
        A fitted model.
    atoms
        One structure.
    step
        In Å.

    Returns
    -------
    In eV/Å², [3 n_atoms, 3 n_atoms], symmetric.
    """
    moved = []
    for k in range(3 * len(atoms)):
        for sign in (1.0, -1.0):
            frame = atoms.copy()
            frame.positions.flat[k] += sign * step
            moved.append(frame)
    forces = np.array(potential.evaluate(moved).forces).reshape(3 * len(atoms), 2, -1)
    found = (forces[:, 1] - forces[:, 0]) / (2.0 * step)
    return 0.5 * (found + found.T)


def frequencies(matrix: NDArray[np.float64], masses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the frequencies of a Hessian in THz, rising; imaginary ones are negative."""
    roots = np.repeat(np.sqrt(masses), 3)
    values = np.linalg.eigvalsh(matrix / np.outer(roots, roots))
    return np.sign(values) * np.sqrt(np.abs(values)) * units.second * 1e-12 / (2.0 * np.pi)


def main() -> None:
    """Fit silicon, and print its vibrations in a cubic cell."""
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(5.0, 1.0, "smooth"), density_width=0.5, max_angular=4, basis=orbas.bases.GTO(6)
    )
    frames = [atoms for atoms in orbas.datasets.silicon() if len(atoms) <= 16]
    model = LinearPotential(orbas.PowerSpectrum(density), regularization=Fixed(1e-7))
    model.fit(frames, forces_key="REF_forces")
    crystal = bulk("Si", cubic=True)
    found = frequencies(hessian(model, crystal), crystal.get_masses())
    print(f"three translations: {np.abs(found[np.argsort(np.abs(found))[:3]]).max():.3f} THz")
    print(f"the optical modes: {found[-1]:.1f} THz")


if __name__ == "__main__":
    main()
