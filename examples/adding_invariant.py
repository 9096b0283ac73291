"""Features of your own: representations side by side, say a radial spectrum to 6 Å and a power spectrum to 4 Å.

Run it: `python examples/adding_invariant.py` (a second). A model takes anything with `transform`; with `jacobian_rows`
it is fitted to forces, with `linear_energies` it has forces. `stored` and `n_features` let model files hold it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import orbas
from orbas.base import Estimator, JacobianRows
from orbas.base.fields import setting
from orbas.base.kinds import Having, ListOf
from orbas.files.stored import stored
from orbas.models import Fixed, LinearPotential

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms
    from numpy.typing import NDArray

PART = Having(("transform", "jacobian_rows", "linear_energies"), "a representation with derivatives")


@stored("SideBySide")
@dataclass(eq=False, repr=False)
class SideBySide(Estimator):
    """The features of several representations, one after the other.

    Parameters
    ----------
    parts
        Representations with derivatives.
    """

    parts: Sequence[Any] = field(metadata=setting(ListOf(PART, "representations"), "what stands side by side"))

    def fit(self, frames: Sequence[Atoms], y: object = None) -> Self:
        """Fit all parts: they take their species from structures."""
        for part in self.parts:
            part.fit(frames)
        return self

    def n_features(self, species: tuple[int, ...]) -> int:
        """Return the number of features of an atom: what model files are checked by."""
        return sum(part.n_features(species) for part in self.parts)

    def transform(self, frames: Sequence[Atoms]) -> orbas.Features:
        """Return the features of every atom, [n_atoms, n_features]."""
        found = [part.transform(frames) for part in self.parts]
        values = np.concatenate([features.values for features in found], axis=1)
        first = found[0]
        return orbas.Features(values, first.samples, first.center_numbers, first.species, first.n_structures)

    def jacobian_rows(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of the summed features of one structure after the other: by species, then part."""
        n_species = len(self.transform(frames[:1]).species)
        for rows in zip(*(part.jacobian_rows(frames) for part in self.parts), strict=True):
            yield JacobianRows(
                by_species([row.positions for row in rows], n_species),
                by_species([row.strain for row in rows], n_species),
            )

    def linear_energies(
        self, frames: Sequence[Atoms], weights: NDArray[np.float64], *, skin_list: object = None
    ) -> orbas.Energies:
        """Return energies, forces and virials of a linear model: the sum of those of the parts."""
        widths = [part.transform(frames[:1]).values.shape[1] for part in self.parts]
        columns = np.split(weights, np.cumsum(widths)[:-1], axis=1)
        found = [part.linear_energies(frames, own) for part, own in zip(self.parts, columns, strict=True)]
        return orbas.Energies(
            sum(energies.structures for energies in found),
            [sum(atoms) for atoms in zip(*(energies.atoms for energies in found), strict=True)],
            [sum(forces) for forces in zip(*(energies.forces for energies in found), strict=True)],
            sum(energies.virials for energies in found),
        )


def by_species(arrays: list[NDArray[np.float64]], n_species: int) -> NDArray[np.float64]:
    """Put the columns of several representations together, center species slowest."""
    parts = [array.reshape(*array.shape[:2], n_species, -1) for array in arrays]
    return np.concatenate(parts, axis=3).reshape(*arrays[0].shape[:2], -1)


def density(radius: float, max_angular: int) -> orbas.DensityExpansion:
    """Return an expansion for silicon."""
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(radius, 1.0, "smooth"),
        density_width=0.5,
        max_angular=max_angular,
        basis=orbas.bases.GTO(6),
        species=["Si"],
    )


def main() -> None:
    """Fit silicon on each part and on both, and compare forces with differences of energies."""
    frames = [atoms for atoms in orbas.datasets.silicon() if len(atoms) <= 8]
    train, test = frames[::2], frames[1::2]
    pairs, angles = orbas.RadialSpectrum(density(6.0, 0)), orbas.PowerSpectrum(density(4.0, 3))
    for name, features in (("pairs", pairs), ("angles", angles), ("side by side", SideBySide([pairs, angles]))):
        model = LinearPotential(features, regularization=Fixed(1e-8)).fit(train, forces_key="REF_forces")
        errors = [f - atoms.arrays["REF_forces"] for f, atoms in zip(model.predict(test).forces, test, strict=True)]
        rmse = np.sqrt(np.mean(np.concatenate(errors) ** 2))
        print(f"{name:<13} {model.weights_.size:>4} weights, force RMSE {1e3 * rmse:.0f} meV/Å")

    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "silicon.orbas"))
        again = orbas.load(Path(folder, "silicon.orbas"))
    same = np.array_equal(again.predict(test).energies, model.predict(test).energies)
    print(f"read again: {'the same' if same else 'other'} energies")

    atoms = test[0].copy()
    force = model.predict([atoms]).forces[0][0, 0]
    step = 1e-4
    atoms.positions[0, 0] += step
    up = model.predict([atoms]).energies[0]
    atoms.positions[0, 0] -= 2 * step
    difference = (model.predict([atoms]).energies[0] - up) / (2 * step)
    print(f"a force is {force:.6f} eV/Å, the difference of energies {difference:.6f}")


if __name__ == "__main__":
    main()
