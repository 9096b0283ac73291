"""Learning curves: the error on fixed test structures against the number of training structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.models.baseline import check_species, count_atoms, species_of
from orbas.models.labels import energies_of, fit_baseline
from orbas.models.regularization import resolve_regularization
from orbas.models.scores import score_energies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.blocks import FloatArray, IntArray
    from orbas.models.linear import LinearPotential

_KCAL_PER_MOL = 0.0433641  # eV; CODATA, thermochemical calorie


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurve:
    """Errors on the test structures, all in eV per structure and of shape [n_sizes].

    Attributes
    ----------
    sizes
        Number of training structures.
    mae, rmse
        Mean absolute and root mean square error of the model.
    baseline_mae
        Mean absolute error of the composition baseline alone.
    """

    sizes: IntArray
    mae: FloatArray
    rmse: FloatArray
    baseline_mae: FloatArray

    def table(self) -> str:
        """Return the curve as text, one line for each size."""
        lines = [f"{'n_train':>8} {'MAE/eV':>10} {'RMSE/eV':>10} {'baseline/eV':>12} {'MAE/(kcal/mol)':>15}"]
        for size, mae, rmse, base in zip(self.sizes, self.mae, self.rmse, self.baseline_mae, strict=True):
            lines.append(f"{size:>8d} {mae:>10.5f} {rmse:>10.5f} {base:>12.5f} {mae / _KCAL_PER_MOL:>15.3f}")
        return "\n".join(lines)


def learning_curve(
    model: LinearPotential,
    train: Sequence[Atoms],
    test: Sequence[Atoms],
    sizes: Sequence[int],
    *,
    energy_key: str = "REF_energy",
    seed: int = 0,
) -> LearningCurve:
    """Fit a model to nested subsets of the training structures; features are computed once for all sizes.

    Parameters
    ----------
    model
        Settings of the model; it is not changed, and alpha is chosen anew for every size.
    train, test
        Structures.
    sizes
        Numbers of training structures; each subset is the beginning of one seeded permutation of ``train``.
    energy_key
        The key of ``atoms.info`` with total energies in eV.
    seed
        Seed of the permutation.

    Raises
    ------
    LabelError
        If energies are missing or not finite.
    UnknownSpeciesError
        If the smallest subset lacks a species of the test structures; nothing is computed then.
    ValueError
        If a size is not in [1, len(train)] or too small for the regularization, and as ``model.fit``.
    """
    if len(sizes) == 0 or not all(0 < size <= len(train) for size in sizes):
        raise ValueError(f"sizes must lie in [1, {len(train)}], the training structures; got {list(sizes)}")
    fitted = type(model)(**model.get_params(deep=False))
    rule = resolve_regularization(fitted.regularization)
    train_energies, test_energies = energies_of(train, energy_key), energies_of(test, energy_key)
    order = np.random.default_rng(seed).permutation(len(train))
    smallest = order[: min(sizes)]
    _check_smallest(fitted, [train[i] for i in smallest], train_energies[smallest], test)

    train_features, test_features = fitted._features(train), fitted._features(test)
    n_atoms = count_atoms(test)
    rows = []
    for size in sizes:
        chosen = order[:size]
        subset = [train[i] for i in chosen]
        baseline = fit_baseline(fitted.baseline, subset, train_energies[chosen], rule)
        fitted._fit_features(subset, train_energies[chosen], train_features.take(chosen), baseline)
        score = score_energies(fitted._predict_features(test, test_features).energies, test_energies, n_atoms)
        without = score_energies(baseline.predict(test), test_energies, n_atoms)
        rows.append((score.mae, score.rmse, without.mae))
    mae, rmse, baseline_mae = np.array(rows).T.copy()
    return LearningCurve(np.array(sizes, dtype=np.int64), mae, rmse, baseline_mae)


def _check_smallest(
    model: LinearPotential, subset: Sequence[Atoms], energies: FloatArray, test: Sequence[Atoms]
) -> None:
    """Raise, before any features are computed, what fitting or predicting with the smallest subset would."""
    fit_baseline(model.baseline, subset, energies, resolve_regularization(model.regularization))
    try:
        check_species(test, species_of(subset))
    except ValueError as error:
        error.add_note(
            f"known are the species of the smallest training subset ({len(subset)} structures): "
            "leave this size out, or choose another seed"
        )
        raise
