"""Errors of predictions against labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.fit.baseline import count_atoms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.blocks import FloatArray
    from orbas.models.potential import Prediction
    from orbas.structures.io import Labels


@dataclass(frozen=True, slots=True)
class Score:
    """Mean absolute and root mean square errors.

    Of energies in eV per structure and in eV per atom; of force components in eV/Å and of stress components in
    eV/Å^3, None where there were no such labels.
    """

    mae: float
    rmse: float
    mae_per_atom: float
    rmse_per_atom: float
    forces_mae: float | None = None
    forces_rmse: float | None = None
    stress_mae: float | None = None
    stress_rmse: float | None = None


def score_energies(predicted: FloatArray, energies: FloatArray, n_atoms: np.ndarray) -> Score:
    """Return the errors of predicted energies; both [n_structures] in eV."""
    errors = predicted - energies
    # A structure without atoms has no error per atom; its error counts as that of one atom.
    per_atom = errors / np.maximum(n_atoms, 1)
    return Score(*_sizes(errors), *_sizes(per_atom))


def score(prediction: Prediction, labels: Labels, frames: Sequence[Atoms]) -> Score:
    """Return the errors of a prediction against all labels there are."""
    energies = score_energies(prediction.energies, labels.energies, count_atoms(frames))
    forces: tuple[float | None, float | None] = (None, None)
    stress: tuple[float | None, float | None] = (None, None)
    if prediction.forces is not None and labels.forces is not None:
        pairs = zip(prediction.forces, labels.forces, strict=True)
        errors = [(found - label).ravel() for found, label in pairs if label is not None]
        forces = _sizes(np.concatenate(errors)) if errors else forces
    if prediction.stress is not None and labels.stress is not None:
        gaps = (prediction.stress - labels.stress).ravel()
        gaps = gaps[np.isfinite(gaps)]
        stress = _sizes(gaps) if gaps.size else stress
    return Score(energies.mae, energies.rmse, energies.mae_per_atom, energies.rmse_per_atom, *forces, *stress)


def config_of(frame: Atoms) -> str:
    """Return the kind of a structure by which errors are split."""
    return str(frame.info.get("config_type", "none"))


def score_by_config(prediction: Prediction, labels: Labels, frames: Sequence[Atoms]) -> dict[str, Score]:
    """Return the errors by ``info["config_type"]``, in alphabetical order; structures without one are ``"none"``."""
    configs = np.array([config_of(frame) for frame in frames])
    return {
        config: score(prediction.take(members), labels.take(members), [frames[k] for k in members])
        for config in sorted(set(configs.tolist()))
        for members in [np.flatnonzero(configs == config).tolist()]
    }


def _sizes(errors: FloatArray) -> tuple[float, float]:
    """Return the mean absolute and the root mean square."""
    return float(np.mean(np.abs(errors))), float(np.sqrt(np.mean(errors**2)))
