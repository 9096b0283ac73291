"""A potential for silicon, fitted in a fraction of a second: for tests of what is built on potentials."""

from __future__ import annotations

import functools

import ase.build
import numpy as np
import orbas
from orbas.models import LinearPotential


class CountingPotential(LinearPotential):
    """Counts evaluations; its extrapolation is what is set: the ratio of the last atom, others are at 0.5."""

    farthest = 0.5
    n_evaluated = 0
    n_looked = 0

    def evaluate(self, frames, *, skin_lists=None):
        self.n_evaluated += 1
        return super().evaluate(frames, skin_lists=skin_lists)

    def extrapolation(self, frames):
        self.n_looked += 1
        ratios = [np.full(len(frame), 0.5) for frame in frames]
        for own in ratios:
            own[-1:] = self.farthest
        return ratios

    def uncertainty(self, frames):
        return np.array([0.01 * len(frame) for frame in frames])


@functools.cache
def _fitted():
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.5, 1.0, smoothing="smooth"),
        density_width=0.5,
        max_angular=4,
        basis=orbas.bases.GTO(6),
        species=(14,),
    )
    model = CountingPotential(orbas.PowerSpectrum(density), regularization="loo")
    return model.fit(orbas.datasets.silicon(150))


def silicon_potential():
    """Return a fresh counter around the same fit."""
    fitted = _fitted()
    potential = CountingPotential(**fitted.get_params(deep=False))
    potential.__dict__.update(fitted.__dict__)
    return potential


def skewed(rattle=0.1):
    """Return 16 atoms in a cell without a right angle, turned away from all axes."""
    atoms = ase.build.bulk("Si") * (2, 2, 2)
    atoms.set_cell(atoms.cell.array @ np.array([[1.02, 0.01, 0.0], [0.0, 0.99, 0.03], [0.01, 0.0, 1.0]]), True)
    atoms.rattle(rattle, seed=1)
    atoms.rotate(33.0, (1, 2, 3), rotate_cell=True)
    return atoms


def crystal(rattle=0.05):
    """Return diamond of 64 atoms."""
    atoms = ase.build.bulk("Si", cubic=True) * (2, 2, 2)
    atoms.rattle(rattle, seed=2)
    return atoms
