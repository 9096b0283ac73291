"""Fitting weights to rows that are all in memory: ridge regression, and the regularizer by a rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from orbas.fit.folds import plain_folds
from orbas.fit.regularization import Evidence, Fixed, LeaveOneOut, check_enough_structures
from orbas.fit.ridge import Ridge

if TYPE_CHECKING:
    from orbas.base.types import FloatArray, IntArray
    from orbas.fit.folds import Folds
    from orbas.fit.posterior import Posterior
    from orbas.fit.regularization import Regularization


@dataclass(frozen=True, slots=True, eq=False)
class RidgeFit:
    """A chosen alpha and the weights that belong to it.

    Attributes
    ----------
    weights
        Shape [n_columns].
    alpha, scale
        The relative alpha, and the mean squared norm of a row that it is relative to.
    alphas, errors
        The candidates in rising order and what was compared, [n_alphas]: the held-out MAE in the units of the targets;
        where rows are forces too, the held-out root mean square of errors over their noise; for :class:`Evidence` minus
        the log evidence per row. Empty for :class:`Fixed`.
    posterior
        What is known of the weights. Its noise is the mean squared residual of a row: held out, where there are such.
    residuals
        Held-out residuals of energies, [n_structures], in the units of the targets; not-a-number for structures that
        were not held out, None where none was or there are other labels too.
    """

    weights: FloatArray
    alpha: float
    scale: float
    alphas: FloatArray
    errors: FloatArray
    posterior: Posterior
    residuals: FloatArray | None = None


def fit_ridge(design: FloatArray, targets: FloatArray, rule: Regularization, folds: Folds | None = None) -> RidgeFit:
    """Choose alpha by a rule and fit all rows with it; of equal errors the larger alpha wins.

    Parameters
    ----------
    design
        Shape [n_structures, n_features].
    targets
        Shape [n_structures].
    rule
        How alpha is chosen.
    folds
        What is held out together; None for every structure on its own.

    Raises
    ------
    ValueError
        If there are too few structures for the rule, shapes disagree, or something is not finite.
    """
    check_enough_structures(rule, len(design))
    ridge = Ridge(design)
    scale = ridge.scale
    if isinstance(rule, Fixed):
        fit = _chosen(ridge, targets, rule.alpha, np.empty(0), np.empty(0), None)
        return fit if len(design) == 1 else replace(fit, residuals=ridge.leave_one_out(targets, [fit.alpha * scale])[0])
    alphas = np.sort(np.asarray(rule.alphas))[::-1]
    if isinstance(rule, Evidence):
        errors = -ridge.evidence(targets, alphas * scale) / len(design)
        fit = _chosen(ridge, targets, float(alphas[np.argmin(errors)]), alphas, errors, None)
        return replace(fit, residuals=ridge.leave_one_out(targets, [fit.alpha * scale])[0])
    folds = plain_folds(rule, len(design)) if folds is None else folds
    residuals = held_out_residuals(ridge, targets, rule, alphas * scale, folds)
    errors = np.mean(np.abs(residuals), axis=1)
    best = int(np.argmin(errors))
    fit = _chosen(ridge, targets, float(alphas[best]), alphas, errors, float(np.mean(residuals[best] ** 2)))
    held_out = np.full(len(design), np.nan)
    held_out[_order(rule, folds)] = residuals[best]
    return replace(fit, residuals=held_out)


def held_out_residuals(
    ridge: Ridge, targets: FloatArray, rule: Regularization, alphas: FloatArray, folds: Folds
) -> FloatArray:
    """Return targets minus predictions of fits to the other folds, [n_alphas, n_held_out, ...].

    Parameters
    ----------
    ridge
        The factorized design.
    targets
        Shape [n_samples] or [n_samples, n_targets].
    rule
        What made the folds.
    alphas
        In the units of ``X^2``.
    folds
        What is held out together.
    """
    members = folds.members
    if len(members) == 1:  # one fit instead of the inverse of a block as large as the fold
        rest = np.flatnonzero(folds.fold < 0)
        weights = Ridge(ridge.design[rest]).weights(targets[rest], alphas)
        return np.stack([targets[members[0]] - ridge.design[members[0]] @ w for w in weights])
    if not isinstance(rule, LeaveOneOut):
        return ridge.held_out(targets, alphas, members)
    alone = np.concatenate([np.zeros(0, np.int64), *(part for part in members if len(part) == 1)])
    together = [part for part in members if len(part) > 1]
    parts = [ridge.leave_one_out(targets, alphas)[:, alone]]
    if together:
        parts.append(ridge.held_out(targets, alphas, together))
    return np.concatenate(parts, axis=1)


def _order(rule: Regularization, folds: Folds) -> IntArray:
    """Return which structures :func:`held_out_residuals` speaks of, in its order."""
    members = folds.members
    if isinstance(rule, LeaveOneOut) and len(members) > 1:
        members = [part for part in members if len(part) == 1] + [part for part in members if len(part) > 1]
    return np.concatenate(members)


def _chosen(
    ridge: Ridge, targets: FloatArray, alpha: float, alphas: FloatArray, errors: FloatArray, noise: float | None
) -> RidgeFit:
    """Fit all rows with one alpha; candidates and errors come in falling order."""
    weights = ridge.weights(targets, [alpha * ridge.scale])[0]
    if noise is None:
        noise = float(np.mean((targets - ridge.design @ weights) ** 2))
    posterior = ridge.posterior(alpha * ridge.scale, noise)
    return RidgeFit(weights, alpha, ridge.scale, alphas[::-1].copy(), errors[::-1].copy(), posterior)
