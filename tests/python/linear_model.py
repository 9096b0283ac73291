"""A linear model with random weights, whose energies are at most 1 eV per atom: for tests of forces and stress."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import orbas


@dataclass(frozen=True)
class LinearModel:
    """``E = sum_i weights[species of i] . features_i``, with the forces and the stress of ``linear_energies``."""

    representation: orbas.PowerSpectrum | orbas.RadialSpectrum
    weights: np.ndarray

    def __call__(self, frames):
        return self.representation.linear_energies(frames, self.weights)

    def energy(self, atoms):
        return self([atoms]).structures[0]

    def stress(self, frames):
        """Voigt stress [frame, 6] of periodic structures."""
        return self(frames).stress(frames)

    def tensors(self, frames):
        """Virials over volumes, [frame, 3, 3]: zero where there is no volume."""
        volumes = [abs(np.linalg.det(atoms.cell.array)) if all(atoms.pbc) else np.inf for atoms in frames]
        return self(frames).virials / np.array(volumes)[:, None, None]


def linear_model(density, frames, spectrum=orbas.PowerSpectrum, seed=0):
    """The largest energy of an atom in ``frames`` is 1 eV."""
    representation = spectrum(density)
    features = representation.transform(frames)
    weights = np.random.default_rng(seed).normal(size=(len(features.species), features.values.shape[1]))
    energies = np.concatenate(representation.linear_energies(frames, weights).atoms)
    return LinearModel(representation, weights / np.abs(energies).max())
