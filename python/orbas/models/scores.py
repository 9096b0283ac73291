"""Errors of predictions against labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from orbas.base.process import default_errors
from orbas.fit.baseline import count_atoms
from orbas.structures.batch import as_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray
    from orbas.models.prediction import Prediction
    from orbas.structures.io import Labels


@dataclass(frozen=True)
class Score(float):
    """Mean absolute and root mean square errors; as a number it is minus the first, for which larger is better.

    So scikit-learn's ``cross_val_score`` and searches take it for what a model returns.

    Of energies in eV per structure and in eV per atom; of force components in eV/Å and of stress components in
    eV/Å^3. None where no label of the kind is known; labels that are not known do not count. ``n_energies``,
    ``n_forces`` and ``n_stress`` are the numbers of structures whose labels were compared.

    Examples
    --------
    >>> from orbas.models import Score
    >>> score = Score(mae=0.1, rmse=0.2, mae_per_atom=0.01, rmse_per_atom=0.02, n_energies=5)
    >>> float(score), score.forces_mae is None
    (-0.1, True)
    """

    mae: float | None
    rmse: float | None
    mae_per_atom: float | None
    rmse_per_atom: float | None
    forces_mae: float | None = None
    forces_rmse: float | None = None
    stress_mae: float | None = None
    stress_rmse: float | None = None
    n_energies: int = 0
    n_forces: int = 0
    n_stress: int = 0

    def __new__(cls, mae: float | None, *_: Any, **__: Any) -> Self:
        """Return the number that it is; not-a-number where no energy is known."""
        return super().__new__(cls, math.nan if mae is None else -mae)

    def __getnewargs__(self) -> Any:
        return tuple(getattr(self, field.name) for field in fields(self))


def mean_errors(errors: FloatArray) -> tuple[float, float]:
    """Return the mean absolute and the root mean square."""
    return float(np.mean(np.abs(errors))), float(np.sqrt(np.mean(errors**2)))


@default_errors
def score(prediction: Prediction, labels: Labels, frames: Sequence[Atoms]) -> Score:
    """Return the errors of a prediction against all labels there are.

    Examples
    --------
    >>> import ase
    >>> import numpy as np
    >>> from orbas import models
    >>> from orbas.structures.io import collect_labels
    >>> frames = [ase.Atoms("H", info={"REF_energy": -13.6}), ase.Atoms("He", info={"REF_energy": -79.0})]
    >>> labels = collect_labels(frames, energy_key="REF_energy")
    >>> round(models.score(models.Prediction(np.array([-13.5, -79.1])), labels, frames).mae, 3)
    0.1
    """
    frames = as_frames(frames)
    errors = prediction.energies - labels.energies
    # A structure without atoms has no error per atom; its error counts as that of one atom.
    per_atom = errors / np.maximum(count_atoms(frames), 1)
    forces: list[FloatArray] = []
    stress = np.empty((0, 6))
    if prediction.forces is not None and labels.forces is not None:
        pairs = zip(prediction.forces, labels.forces, strict=True)
        forces = [(found - label).ravel() for found, label in pairs if label is not None]
    if prediction.stress is not None and labels.stress is not None:
        stress = prediction.stress - labels.stress
    counts = [sum(bool(np.isfinite(row).any()) for row in rows) for rows in (errors, forces, stress)]
    together = np.concatenate([np.empty(0), *forces])
    return Score(*_known(errors), *_known(per_atom), *_known(together), *_known(stress.ravel()), *counts)


def _known(errors: FloatArray) -> tuple[float, float] | tuple[None, None]:
    """Return the means of those errors that are known, None without any."""
    errors = errors[np.isfinite(errors)]
    return mean_errors(errors) if errors.size else (None, None)


def config_of(frame: Atoms) -> str:
    """Return the kind of a structure by which errors are split."""
    return str(frame.info.get("config_type", "none"))


@default_errors
def score_by_config(prediction: Prediction, labels: Labels, frames: Sequence[Atoms]) -> dict[str, Score]:
    """Return the errors by ``info["config_type"]``, in alphabetical order; structures without one are ``"none"``.

    Examples
    --------
    >>> import ase
    >>> import numpy as np
    >>> from orbas import models
    >>> from orbas.structures.io import collect_labels
    >>> frames = [ase.Atoms("H", info={"REF_energy": -13.6, "config_type": kind}) for kind in ("gas", "atom")]
    >>> labels = collect_labels(frames, energy_key="REF_energy")
    >>> scores = models.score_by_config(models.Prediction(np.array([-13.5, -13.6])), labels, frames)
    >>> {config: round(score.mae, 3) for config, score in scores.items()}
    {'atom': 0.0, 'gas': 0.1}
    """
    frames = as_frames(frames)
    configs = np.array([config_of(frame) for frame in frames])
    return {
        config: score(prediction.take(members), labels.take(members), [frames[k] for k in members])
        for config in sorted(set(configs.tolist()))
        for members in [np.flatnonzero(configs == config).tolist()]
    }
