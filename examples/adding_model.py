"""A model of your own: a pair potential of polynomials, fitted to energies and forces like every other.

Run it: `python examples/adding_model.py` (a few seconds). A model that is linear in its weights says what they multiply
(a design) and what a fit leaves (a record); regularization, noise, folds, error bars, calculators are those of orbas.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import orbas
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.optimize import BFGS
from orbas.base import JacobianRows
from orbas.base.fields import setting
from orbas.base.kinds import LENGTH, Integer
from orbas.models import KFold, Potential
from orbas.models.potential import PotentialRecord
from orbas.structures import species_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PairDesign:
    """What the weights of a pair potential multiply: ``sum over pairs (1 - d / cutoff)^(k + 3)``, k = 0, 1, ...

    There are ``n_functions`` columns for each kind of pairs, so many kinds as pairs of species.
    """

    cutoff: float
    n_functions: int
    species: tuple[int, ...]

    @property
    def n_columns(self) -> int:
        """Number of weights."""
        return self.n_functions * len(self.species) * (len(self.species) + 1) // 2

    @property
    def n_numbers(self) -> int:
        """How many numbers are held for an atom, about."""
        return 100 * self.n_functions

    def pairs(self, frame: Atoms) -> tuple[NDArray[Any], ...]:
        """Return i, j, vectors and distances of pairs, and the first column of their kind."""
        i, j, vectors, distances = orbas.neighbor_list("ijDd", frame, self.cutoff)
        place = np.searchsorted(self.species, frame.numbers)
        low, high = np.minimum(place[i], place[j]), np.maximum(place[i], place[j])
        return i, j, vectors, distances, (high * (high + 1) // 2 + low) * self.n_functions

    def atoms(self, frames: Sequence[Atoms]) -> NDArray[np.float64]:
        """Return the part of every atom, [n_atoms, n_columns]: half of its pairs."""
        parts = []
        for frame in frames:
            i, _, _, distances, first = self.pairs(frame)
            rows = np.zeros((len(frame), self.n_columns))
            for k in range(self.n_functions):
                np.add.at(rows, (i, first + k), 0.5 * (1.0 - distances / self.cutoff) ** (k + 3))
            parts.append(rows)
        return np.concatenate(parts) if parts else np.zeros((0, self.n_columns))

    def structures(self, frames: Sequence[Atoms]) -> NDArray[np.float64]:
        """Return the rows of structures, [n_structures, n_columns]."""
        return np.array([self.atoms([frame]).sum(axis=0) for frame in frames])

    def outside(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return zeros: the model is what its columns are."""
        return np.zeros(len(rows))

    def derivatives(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of the row of one structure after the other."""
        for frame in frames:
            i, j, vectors, distances, first = self.pairs(frame)
            positions, strain = np.zeros((len(frame), 3, self.n_columns)), np.zeros((3, 3, self.n_columns))
            for k in range(self.n_functions):
                slope = -0.5 * (k + 3) / self.cutoff * (1.0 - distances / self.cutoff) ** (k + 2)
                along = (slope / distances)[:, None] * vectors  # [pair, 3]
                for axis in range(3):
                    np.add.at(positions, (j, axis, first + k), along[:, axis])
                    np.add.at(positions, (i, axis, first + k), -along[:, axis])
                    for other in range(3):
                        np.add.at(strain, (axis, other, first + k), along[:, axis] * vectors[:, other])
            yield JacobianRows(positions, strain)


@dataclass(frozen=True, eq=False, kw_only=True)
class PairRecord(PotentialRecord):
    """What a fit leaves."""

    pairs: PairDesign

    @property
    def design(self) -> PairDesign:
        """What the model is linear in."""
        return self.pairs

    def above_baseline(self, frames: list[Atoms], skin_lists: object) -> orbas.Energies:
        """Return energies, forces and virials: rows and their derivatives times the weights."""
        atoms = [self.pairs.atoms([frame]) @ self.weights for frame in frames]
        rows = list(self.pairs.derivatives(frames))
        return orbas.Energies(
            np.array([energies.sum() for energies in atoms]),
            atoms,
            [-(row.positions @ self.weights) for row in rows],
            np.array([row.strain @ self.weights for row in rows]).reshape(len(frames), 3, 3),
        )


@dataclass(eq=False, repr=False)
class PairPotential(Potential):
    """A sum of polynomials over pairs, above the energies of the species.

    Parameters
    ----------
    cutoff
        In Å.
    n_functions
        Number of polynomials for each pair of species.
    regularization, noise, baseline, chunk, progress
        As of :class:`orbas.models.LinearPotential`.
    """

    cutoff: float = field(metadata=setting(LENGTH, "where pairs end"))
    n_functions: int = field(default=6, metadata=setting(Integer(1, 50), "number of polynomials"))

    def skin_lists(self, skin: float) -> list[Any]:
        """Return no memories of neighbors: they are searched anew."""
        return []

    def _make_design(self, params: Any, frames: list[Atoms]) -> PairDesign:
        return PairDesign(params["cutoff"], params["n_functions"], species_of(frames))

    def _make_record(self, params: dict[str, Any], result: Any) -> PairRecord:
        return PairRecord(params=params, **PairRecord.fields_of(result), pairs=result.design)


def main() -> None:
    """Fit copper and relax a vacancy with it."""
    frames = []
    for seed in range(40):
        atoms = bulk("Cu", cubic=True, a=3.5 + 0.005 * seed)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = atoms.get_potential_energy(), atoms.get_forces()
        frames.append(atoms)
    model = PairPotential(5.0, regularization=KFold(5)).fit(frames[::2], forces_key="REF_forces")
    scores = model.score(frames[1::2], forces_key="REF_forces")
    print(f"{model.weights_.size} weights; force RMSE of other structures {1e3 * scores.forces_rmse:.0f} meV/Å")

    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    del atoms[0]
    atoms.calc = model.calculator(check_every=None)
    BFGS(atoms, logfile=None).run(fmax=0.02, steps=100)
    print(f"a vacancy relaxed: the largest force is {np.abs(atoms.get_forces()).max():.3f} eV/Å")


if __name__ == "__main__":
    main()
