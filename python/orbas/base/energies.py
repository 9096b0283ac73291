"""Energies with forces and virials, as the compiled core makes them in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray

#: Voigt order of ase: xx, yy, zz, yz, xz, xy.
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Energies:
    """A sum of atomic energies and its derivatives.

    Attributes
    ----------
    structures
        Energies of the structures in eV, [n_structures].
    atoms
        Energies of the atoms in eV, one array [n_atoms] per structure.
    forces
        ``-dE/dr`` in eV/Å, one array [n_atoms, 3] per structure.
    virials
        ``dE/d(strain)`` in eV, [n_structures, 3, 3]: the derivative with respect to ``r -> (1 + strain) r``.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=0, basis=basis)
    >>> frames = orbas.datasets.silicon(n=2)
    >>> energies = orbas.RadialSpectrum(density).linear_energies(frames, np.ones((1, 2)))
    >>> energies.structures.shape, energies.virials.shape
    ((2,), (2, 3, 3))
    >>> bool(np.abs(energies.forces[0].sum(axis=0)).max() < 1e-10)
    True
    """

    structures: FloatArray
    atoms: list[FloatArray]
    forces: list[FloatArray]
    virials: FloatArray

    @classmethod
    def from_core(cls, frames: Sequence[Atoms], arrays: tuple[FloatArray, FloatArray, FloatArray]) -> Self:
        """Cut the arrays of all atoms into structures.

        Examples
        --------
        >>> atoms = np.ones(sum(len(frame) for frame in frames))
        >>> forces = np.zeros((len(atoms), 3))
        >>> cut = orbas.Energies.from_core(frames, (atoms, forces, np.zeros((2, 3, 3))))
        >>> cut.structures.tolist() == [len(frame) for frame in frames]
        True
        """
        energies, forces, virials = arrays
        ends = np.cumsum([len(frame) for frame in frames], dtype=np.int64)[:-1]
        atoms = np.split(energies, ends) if len(frames) else []
        cut = np.split(forces, ends) if len(frames) else []
        return cls(np.array([part.sum() for part in atoms]), atoms, cut, virials)

    def stress(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return the stress in eV/Å^3, [n_structures, 6], Voigt order of ase, tensile positive.

        A structure that is not periodic in three directions has no volume, and not-a-number for a stress.

        Examples
        --------
        >>> energies.stress(frames).shape
        (2, 6)
        """
        stress = np.full((len(frames), 6), np.nan)
        for row, frame, virial in zip(stress, frames, self.virials, strict=True):
            if all(frame.pbc):
                symmetric = 0.5 * (virial + virial.T) / abs(np.linalg.det(frame.cell.array))
                row[:] = [symmetric[a, b] for a, b in VOIGT]
        return stress
