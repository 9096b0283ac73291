"""How much of one set of features another one holds: linear reconstruction errors, global and local.

Goscinski, Fraux, Imbalzano, Ceriotti, Mach. Learn.: Sci. Technol. 2, 025028 (2021), doi:10.1088/2632-2153/abdaf7. Both
errors center; the residual variance, the measure of the optimal basis, does not: say which one a figure shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.arrays import as_matrix
from orbas.base.fields import checked
from orbas.base.kinds import SEED, Integer
from orbas.base.linalg import product, svd
from orbas.base.process import fitting
from orbas.fit.regularization import LeaveOneOut, check_enough_structures, resolve_regularization
from orbas.fit.targets import fit_targets

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from orbas.base.blocks import Features
    from orbas.base.types import FloatArray, IntArray
    from orbas.fit.regularization import RegularizationLike

    Split = tuple[ArrayLike, ArrayLike]

__all__ = ["DECADES", "gfre", "lfre", "residual_variance"]

#: Leave-one-out over decades, relative to the mean squared norm of a standardized row, which is 1.
DECADES = LeaveOneOut(alphas=tuple(10.0**exponent for exponent in range(-12, 1)))

#: Squared distances held at a time while neighbors are searched, in numbers.
_CHUNK = 1 << 23


@fitting
def gfre(
    a: ArrayLike | Features,
    b: ArrayLike | Features,
    *,
    split: Split | None = None,
    seed: int = 0,
    regularization: RegularizationLike = DECADES,
) -> float:
    """Return the global feature space reconstruction error of features b from features a: 0 if a holds all of b.

    Both are standardized with the means and one global scale of the training half. The error is
    ``|X_b - X_a W|_F / sqrt(n_test)`` on the other half, W by ridge regression. Features that say nothing of b have an
    error of 1, up to chance. It is not symmetric.

    Parameters
    ----------
    a, b
        Features of the same samples, [n_samples, n_a] and [n_samples, n_b].
    split
        Indices of the training and of the test rows; None for the halves of a seeded permutation.
    seed
        Seed of that permutation.
    regularization
        How the regularizer is chosen, on the training rows alone: by default the smallest leave-one-out error over
        decades from 1e-12 to 1. ``Fixed(alpha)`` gives it. Alphas are relative to the mean squared norm of a
        standardized row, which is 1.

    Raises
    ------
    ValueError
        For different numbers of samples, indices out of range, too few training rows for the regularization, features
        that are not finite, or features b without variance.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> whole, part = orbas.metrics.gfre(x, x[:, :1]), orbas.metrics.gfre(x[:, :1], x)
    >>> round(whole, 3), part > 0.5
    (0.0, True)
    """
    rule = resolve_regularization(regularization)
    halves = _halves(a, b, split, seed)
    weights = fit_targets(halves.a_train, halves.b_train, rule).weights
    return _root_mean(halves.b_test - product(halves.a_test, weights))


@fitting
def lfre(
    a: ArrayLike | Features,
    b: ArrayLike | Features,
    n_neighbors: int,
    *,
    split: Split | None = None,
    seed: int = 0,
    regularization: RegularizationLike = DECADES,
) -> float:
    """Return the local feature space reconstruction error: as :func:`gfre`, with one linear map per test sample.

    That map is fitted to the ``n_neighbors`` training samples that are nearest in a, both features centered with their
    means over them: what is left is not even locally a function of a.

    Parameters
    ----------
    a, b
        Features of the same samples, [n_samples, n_a] and [n_samples, n_b].
    n_neighbors
        Number of training samples around every test sample.
    split, seed, regularization
        As in :func:`gfre`; the regularizer is chosen anew in every neighborhood, relative to the mean squared norm of
        its centered rows.

    Raises
    ------
    ValueError
        As :func:`gfre`, and for more neighbors than training rows or fewer than the regularization needs.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> x = np.random.default_rng(0).uniform(0.5, 1.0, size=(60, 2))
    >>> curved = x**2  # no linear map gives it, but a local one nearly does
    >>> orbas.metrics.lfre(x, curved, n_neighbors=10) < orbas.metrics.gfre(x, curved)
    True
    """
    rule = resolve_regularization(regularization)
    halves = _halves(a, b, split, seed)
    n_neighbors = checked(Integer(2, len(halves.a_train)), "n_neighbors", n_neighbors)
    check_enough_structures(rule, n_neighbors)
    errors = np.empty_like(halves.b_test)
    for row, around in enumerate(_nearest(halves.a_train, halves.a_test, n_neighbors)):
        near_a, near_b = halves.a_train[around], halves.b_train[around]
        mean_a, mean_b = near_a.mean(axis=0), near_b.mean(axis=0)
        weights = fit_targets(near_a - mean_a, near_b - mean_b, rule).weights
        errors[row] = halves.b_test[row] - mean_b - (halves.a_test[row] - mean_a) @ weights
    return _root_mean(errors)


@fitting
def residual_variance(a: ArrayLike | Features, b: ArrayLike | Features) -> float:
    """Return the fraction of the variance of b that no linear map of a gives: ``min_W |b - a W|_F^2 / |b|_F^2``.

    Nothing is centered, scaled or held out. For coefficients of a density, with m among the rows, this is the residual
    variance of a basis by linear decoding: the only fair one for functions that are not orthonormal.

    Parameters
    ----------
    a, b
        Features of the same samples, [n_samples, n_a] and [n_samples, n_b].

    Raises
    ------
    ValueError
        For different numbers of samples, features that are not finite, or b = 0.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> b = np.diag([3.0, 1.0])
    >>> round(orbas.metrics.residual_variance(b[:, :1], b), 3)  # 1 / (9 + 1)
    0.1
    """
    first, second = _pair(a, b)
    total = float(np.sum(second**2))
    if total == 0.0:
        raise ValueError("b is zero: there is no variance to lose")
    left, singular, _ = svd(first, full_matrices=False)
    span = left[:, singular > np.finfo(np.float64).eps * max(first.shape) * singular[0]]
    return float(np.sum((second - product(span, product(span.T, second))) ** 2)) / total


@dataclass(frozen=True, slots=True, eq=False)
class _Halves:
    """Standardized features of the training and of the test samples."""

    a_train: FloatArray
    a_test: FloatArray
    b_train: FloatArray
    b_test: FloatArray


def _halves(a: ArrayLike | Features, b: ArrayLike | Features, split: Split | None, seed: int) -> _Halves:
    first, second = _pair(a, b)
    count = len(first)
    if split is None:
        order = np.random.default_rng(checked(SEED, "seed", seed)).permutation(count)
        train, test = order[: count // 2], order[count // 2 :]
    else:
        train, test = (_indices(rows, count) for rows in split)
    if not len(train) or not len(test):
        raise ValueError(f"a reconstruction error needs training and test rows, got {len(train)} and {len(test)}")
    if np.ptp(second[train], axis=0).max() == 0.0:
        raise ValueError("features b are the same in all training rows: there is nothing to reconstruct")
    return _Halves(*_standardized(first[train], first[test]), *_standardized(second[train], second[test]))


def _pair(a: ArrayLike | Features, b: ArrayLike | Features) -> tuple[FloatArray, FloatArray]:
    """Return both as float64 matrices of as many rows."""
    first, second = (
        np.asarray(as_matrix(getattr(given, "values", given), name), dtype=np.float64)
        for given, name in ((a, "a"), (b, "b"))
    )
    if len(first) != len(second):
        raise ValueError(f"a and b must be features of the same samples, got {len(first)} and {len(second)} rows")
    return first, second


def _indices(rows: ArrayLike, count: int) -> IntArray:
    indices = np.asarray(rows)
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or (indices < 0).any() or (indices >= count).any():
        raise ValueError(f"split must hold row indices in 0..{count - 1}, got {rows!r}")
    return indices.astype(np.int64)


def _standardized(train: FloatArray, test: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Center with the means of the training rows; their mean squared norm becomes one."""
    mean = train.mean(axis=0)
    centered = train - mean
    scale = float(np.sqrt(np.sum(centered**2) / len(train))) or 1.0
    return centered / scale, (test - mean) / scale


def _nearest(points: FloatArray, others: FloatArray, count: int) -> IntArray:
    """Return the indices of the nearest points of every other one, [n_others, count], lower index first in a tie."""
    norms = np.sum(points**2, axis=1)
    found = np.empty((len(others), count), dtype=np.int64)
    step = max(1, _CHUNK // len(points))
    for start in range(0, len(others), step):
        # The squared norm of the other point is the same for all of its neighbors.
        distances = norms - 2.0 * (others[start : start + step] @ points.T)
        found[start : start + step] = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return found


def _root_mean(errors: FloatArray) -> float:
    """Return the Frobenius norm over the root of the number of rows."""
    return float(np.linalg.norm(errors) / np.sqrt(len(errors)))
