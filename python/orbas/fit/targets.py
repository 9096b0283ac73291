"""Ridge regression of many targets at once: one regularizer, and memory for one candidate at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from orbas.fit.dense import fit_ridge, held_out_residuals
from orbas.fit.folds import plain_folds
from orbas.fit.regularization import Evidence, Fixed, check_enough_structures
from orbas.fit.ridge import Ridge

if TYPE_CHECKING:
    from orbas.base.types import FloatArray
    from orbas.fit.regularization import Regularization


class TargetsFit(NamedTuple):
    """What :func:`fit_targets` returns.

    ``weights`` [n_features] or [n_features, n_targets]; ``alpha`` the relative alpha and ``scale`` what it is relative
    to; ``alphas`` and ``errors`` [n_alphas] the candidates in rising order and their held-out MAE over all targets,
    empty for :class:`Fixed`.
    """

    weights: FloatArray
    alpha: float
    scale: float
    alphas: FloatArray
    errors: FloatArray


def fit_targets(design: FloatArray, targets: FloatArray, rule: Regularization) -> TargetsFit:
    """Choose one alpha for all targets by a rule and fit all rows with it; of equal errors the larger alpha wins.

    Parameters
    ----------
    design
        Shape [n_samples, n_features].
    targets
        Shape [n_samples] or [n_samples, n_targets].
    rule
        How alpha is chosen.

    Raises
    ------
    ValueError
        If there are too few samples for the rule, shapes disagree, something is not finite, or the rule is for one
        target only.
    """
    if targets.ndim == 1:
        fit = fit_ridge(design, targets, rule)
        return TargetsFit(fit.weights, fit.alpha, fit.scale, fit.alphas, fit.errors)
    check_enough_structures(rule, len(design))
    ridge = Ridge(design)
    if isinstance(rule, Fixed):
        weights = ridge.weights(targets, [rule.alpha * ridge.scale])[0]
        return TargetsFit(weights, rule.alpha, ridge.scale, np.empty(0), np.empty(0))
    if isinstance(rule, Evidence):
        raise ValueError(f"Evidence is for one target, got {targets.shape[1]}: use KFold()")
    folds = plain_folds(rule, len(design))
    alphas = np.sort(np.asarray(rule.alphas))[::-1]
    # One candidate at a time: the residuals of all might not fit into the memory.
    errors = np.array(
        [
            np.mean(np.abs(held_out_residuals(ridge, targets, rule, np.array([alpha * ridge.scale]), folds)))
            for alpha in alphas
        ]
    )
    best = float(alphas[np.argmin(errors)])
    weights = ridge.weights(targets, [best * ridge.scale])[0]
    return TargetsFit(weights, best, ridge.scale, alphas[::-1].copy(), errors[::-1].copy())
