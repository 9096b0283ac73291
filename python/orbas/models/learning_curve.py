"""Learning curves: the error on fixed test structures against the number of training structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.fields import checked
from orbas.base.kinds import SEED, Integer, ListOf
from orbas.base.process import fitting
from orbas.fit.baseline import check_species, species_of
from orbas.fit.copies import find_copies
from orbas.fit.dense import fit_ridge
from orbas.fit.design import pieces
from orbas.fit.folds import groups_of, joined
from orbas.fit.isolated import isolated_atoms, set_aside
from orbas.fit.labels import energies_of, fit_baseline
from orbas.fit.noise import energy_widths
from orbas.fit.regularization import HoldOut, check_enough_structures, resolve_regularization
from orbas.fit.samples import Samples, kinds_of
from orbas.fit.streamed import design_matrix
from orbas.fit.triangle import Triangle
from orbas.models.linear import LinearPotential
from orbas.models.scores import mean_errors
from orbas.structures.batch import as_frames
from orbas.structures.labels import Labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray, IntArray
    from orbas.fit.design import Design
    from orbas.fit.regularization import Regularization
    from orbas.models.sparse import SparseGPR

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

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.models import LearningCurve
    >>> sizes, baseline = np.array([10, 100]), np.array([2.0, 2.0])
    >>> curve = LearningCurve(sizes, np.array([0.5, 0.1]), np.array([0.7, 0.2]), baseline)
    >>> (curve.mae / curve.baseline_mae).tolist()
    [0.25, 0.05]
    """

    sizes: IntArray
    mae: FloatArray
    rmse: FloatArray
    baseline_mae: FloatArray

    def table(self) -> str:
        """Return the curve as text, one line for each size.

        Examples
        --------
        >>> print(curve.table())
         n_train     MAE/eV    RMSE/eV  baseline/eV  MAE/(kcal/mol)
              10    0.50000    0.70000      2.00000          11.530
             100    0.10000    0.20000      2.00000           2.306
        """
        lines = [f"{'n_train':>8} {'MAE/eV':>10} {'RMSE/eV':>10} {'baseline/eV':>12} {'MAE/(kcal/mol)':>15}"]
        for size, mae, rmse, base in zip(self.sizes, self.mae, self.rmse, self.baseline_mae, strict=True):
            lines.append(f"{size:>8d} {mae:>10.5f} {rmse:>10.5f} {base:>12.5f} {mae / _KCAL_PER_MOL:>15.3f}")
        return "\n".join(lines)


@fitting
def learning_curve(
    model: LinearPotential | SparseGPR,
    train: Sequence[Atoms],
    test: Sequence[Atoms],
    sizes: Sequence[int],
    *,
    energy_key: str = "REF_energy",
    seed: int = 0,
) -> LearningCurve:
    """Fit a model to the energies of nested subsets of the training structures; features are computed once for all.

    With :class:`HoldOut` rows pass by once, in memory bounded by the number of columns squared: for any number of
    structures. The baseline is then that of the smallest subset, and a :class:`SparseGPR` has its representative
    environments from all training structures, without their labels.

    Parameters
    ----------
    model
        Settings of the model; it is not changed, and alpha is chosen anew for every size. A :class:`SparseGPR` needs
        :class:`HoldOut`.
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
        If a size is not in [1, len(train)] or too small for the regularization, or, with :class:`HoldOut`, sizes do not
        rise by more than the number held out; and as ``model.fit``.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> model = orbas.models.LinearPotential(orbas.PowerSpectrum(density))
    >>> frames = orbas.datasets.silicon(n=30)
    >>> curve = orbas.models.learning_curve(model, frames[:20], frames[20:], sizes=[10, 20])
    >>> curve.sizes.tolist(), curve.mae.shape
    ([10, 20], (2,))
    """
    train, test = as_frames(train), as_frames(test)
    sizes = checked(ListOf(Integer(1, len(train)), "numbers of training structures"), "sizes", sizes)
    seed = checked(SEED, "seed", seed)
    rule = resolve_regularization(model.regularization)
    train_energies, test_energies = energies_of(train, energy_key), energies_of(test, energy_key)
    order = np.random.default_rng(seed).permutation(len(train))
    units = groups_of(getattr(rule, "groups", None), train)
    if isinstance(rule, HoldOut):
        units = joined(units, find_copies(train))
        order = _together(order, units)
    smallest = order[: min(sizes)]
    _check_smallest(model, [train[i] for i in smallest], train_energies[smallest], test)

    chosen = order[: max(sizes)]
    arguments = [train[i] for i in chosen], train_energies[chosen], units[chosen], test, test_energies
    if isinstance(rule, HoldOut):
        rows = _streamed(model, *arguments, sizes, rule)
    elif isinstance(model, LinearPotential):
        rows = _at_once(model, *arguments, sizes, rule)
    else:
        raise ValueError(f"the learning curve of a {type(model).__name__} needs regularization=HoldOut(...)")
    mae, rmse, baseline_mae = np.array(rows).T.copy()
    return LearningCurve(np.array(sizes, dtype=np.int64), mae, rmse, baseline_mae)


def _at_once(
    model: LinearPotential,
    train: list[Atoms],
    energies: FloatArray,
    units: IntArray,
    test: list[Atoms],
    test_energies: FloatArray,
    sizes: Sequence[int],
    rule: Regularization,
) -> list[tuple[float, float, float]]:
    """Return MAE, RMSE and MAE of the baseline for every size; all features are held."""
    design = _design(model, train)
    rows, test_rows = (
        design_matrix(design, some, chunk=model.chunk, progress=model.progress) for some in (train, test)
    )
    errors = []
    for size in sizes:
        part, known = train[:size], energies[:size]
        baseline = fit_baseline(model.baseline, part, known)
        expected = baseline.predict(test)
        own = np.flatnonzero(~set_aside(part, model.noise))
        fitted = [part[k] for k in own.tolist()]
        labels = Labels(known[own], None, None)
        copies = find_copies(fitted)
        folds = Samples(fitted, units[own], kinds_of(fitted, labels), isolated_atoms(fitted), copies).folds(rule)
        fit = fit_ridge(rows[own], (known - baseline.predict(part))[own], rule, folds)
        above = test_energies - expected
        errors.append((*mean_errors(test_rows @ fit.weights - above), mean_errors(above)[0]))
    return errors


def _streamed(
    model: LinearPotential | SparseGPR,
    train: list[Atoms],
    energies: FloatArray,
    units: IntArray,
    test: list[Atoms],
    test_energies: FloatArray,
    sizes: Sequence[int],
    rule: HoldOut,
) -> list[tuple[float, float, float]]:
    """Return the same; structures pass by once, into one triangular factor that grows from size to size."""
    rises = np.diff([0, *sizes])
    if rises.min() <= rule.n_validation:
        raise ValueError(f"sizes must rise by more than the {rule.n_validation} held out, got {list(sizes)}")
    design = _design(model, train)
    baseline = fit_baseline(model.baseline, train[: sizes[0]], energies[: sizes[0]])
    remaining, expected = energies - baseline.predict(train), baseline.predict(test)
    widths = energy_widths(train, model._label_noise())
    alphas = np.sort(np.asarray(rule.alphas))[::-1]
    triangle, start, found = Triangle(design.n_columns), 0, []
    for size in sizes:
        head = size - rule.n_validation
        # What belongs to the held-out structures waits with them.
        while head > start + 1 and units[head - 1] == units[head]:
            head -= 1
        for begin, rows in _rows(design, train[start:head], model.chunk):
            own = slice(start + begin, start + begin + len(rows))
            triangle.add(rows / widths[own, None], remaining[own] / widths[own])
        held_out = slice(head, size)
        rows = np.concatenate([rows for _, rows in _rows(design, train[held_out], model.chunk)])
        errors = remaining[held_out, None] - rows @ triangle.weights(alphas * triangle.scale).T
        alpha = alphas[np.argmin(np.mean(np.abs(errors), axis=0))]
        triangle.add(rows / widths[held_out, None], remaining[held_out] / widths[held_out])
        found.append(triangle.weights([alpha * triangle.scale])[0])
        start = size
    predicted = np.concatenate([rows @ np.transpose(found) for _, rows in _rows(design, test, model.chunk)])
    above = test_energies - expected
    return [(*mean_errors(own - above), mean_errors(above)[0]) for own in predicted.T]


def _together(order: IntArray, units: IntArray) -> IntArray:
    """Return an order in which units are not torn apart: each stands where its first structure does."""
    first = np.full(int(units.max(initial=0)) + 1, len(order))
    np.minimum.at(first, units[order], np.arange(len(order)))
    return order[np.argsort(first[units[order]], kind="stable")]


def _design(model: LinearPotential | SparseGPR, train: list[Atoms]) -> Design:
    """Return what the model is linear in, as a fit to these structures makes it."""
    return model._make_design(model._settled(train), train)


def _rows(design: Design, frames: Sequence[Atoms], chunk: int) -> Iterator[tuple[int, FloatArray]]:
    """Yield where a piece of structures begins, and its rows."""
    for start, stop in pieces(frames, chunk):
        yield start, design.structures(frames[start:stop])


def _check_smallest(
    model: LinearPotential | SparseGPR, subset: Sequence[Atoms], energies: FloatArray, test: Sequence[Atoms]
) -> None:
    """Raise, before any features are computed, what fitting or predicting with the smallest subset would."""
    check_enough_structures(resolve_regularization(model.regularization), len(subset))
    fit_baseline(model.baseline, subset, energies)
    try:
        check_species(test, species_of(subset))
    except ValueError as error:
        error.add_note(
            f"known are the species of the smallest training subset ({len(subset)} structures): "
            "leave this size out, or choose another seed"
        )
        raise
