"""How the regularizer of a linear model is chosen: one frozen dataclass per way, with its own data.

Alphas are relative to the mean squared norm of a row of the design matrix, ``tr(X X^T) / n_structures``. They
have no unit, do not change when all features are multiplied by a number, and mean the same for any number of
structures: alpha is the noise variance over the mean prior variance of an energy.

Held-out errors are compared by their mean magnitude: a squared error is decided by a few odd structures (on QM9 it
is flat to 1 % over two decades of alpha where the mean magnitude has a clear minimum).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from orbas.base.fields import check_settings, checked, setting
from orbas.base.kinds import SEED, Choice, Instance, Integer, ListOf, Number, OneOf
from orbas.fit.ridge import Ridge

if TYPE_CHECKING:
    from orbas.base.blocks import FloatArray, IntArray
    from orbas.fit.posterior import Posterior

#: Half decades from 1e-12 to 1.
DEFAULT_ALPHAS: tuple[float, ...] = tuple(10.0 ** (exponent / 2) for exponent in range(-24, 1))
_ALPHA = Number(1e-100, 1e100)
_ALPHAS = setting(ListOf(_ALPHA, "alphas"), "relative alphas to choose from")


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """The alpha of the smallest leave-one-out MAE; exact and almost free after the factorization.

    Parameters
    ----------
    alphas
        Relative alphas to choose from.

    Raises
    ------
    SettingsError
        If an alpha is not from 1e-100 to 1e100, or there is none.
    """

    alphas: tuple[float, ...] = field(default=DEFAULT_ALPHAS, metadata=_ALPHAS)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class KFold:
    """The alpha of the smallest K-fold MAE over folds of a seeded permutation of the structures.

    Parameters
    ----------
    n_folds
        Number of folds, at least 2; their sizes differ by one at most.
    seed
        Seed of the permutation.
    alphas
        Relative alphas to choose from.

    Raises
    ------
    SettingsError
        If ``n_folds < 2``, or an alpha is not from 1e-100 to 1e100, or there is none.
    """

    n_folds: int = field(default=5, metadata=setting(Integer(2), "number of folds"))
    seed: int = field(default=0, metadata=setting(SEED, "of the permutation that makes the folds"))
    alphas: tuple[float, ...] = field(default=DEFAULT_ALPHAS, metadata=_ALPHAS)

    def __post_init__(self) -> None:
        check_settings(self)

    def folds(self, n_structures: int) -> list[IntArray]:
        """Return the sorted row indices of every fold."""
        order = np.random.default_rng(self.seed).permutation(n_structures)
        return [np.sort(fold) for fold in np.array_split(order, self.n_folds)]


@dataclass(frozen=True, slots=True)
class HoldOut:
    """The alpha of the smallest MAE on the last training structures; then all of them are fitted.

    Parameters
    ----------
    n_validation
        Number of structures at the end of the training list that choose alpha.
    alphas
        Relative alphas to choose from.

    Raises
    ------
    SettingsError
        If ``n_validation < 1``, or an alpha is not from 1e-100 to 1e100, or there is none.
    """

    n_validation: int = field(default=800, metadata=setting(Integer(1), "structures at the end that choose alpha"))
    alphas: tuple[float, ...] = field(default=DEFAULT_ALPHAS, metadata=_ALPHAS)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The alpha under which the training labels are most likely, the noise at its most likely value too.

    Needs no held-out structures. It believes that errors are independent, which forces of one structure are not.

    Parameters
    ----------
    alphas
        Relative alphas to choose from.

    Raises
    ------
    SettingsError
        If an alpha is not from 1e-100 to 1e100, or there is none.
    """

    alphas: tuple[float, ...] = field(default=DEFAULT_ALPHAS, metadata=_ALPHAS)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class Fixed:
    """A given relative alpha.

    Raises
    ------
    SettingsError
        If alpha is not from 1e-100 to 1e100.
    """

    alpha: float = field(metadata=setting(_ALPHA, "the alpha, which has no unit"))

    def __post_init__(self) -> None:
        check_settings(self)


Regularization = LeaveOneOut | KFold | HoldOut | Evidence | Fixed
RegularizationLike = Regularization | Literal["cv", "loo", "evidence"]


#: The rules by their names in files; some stand for the rule with its defaults in Python too.
RULES: dict[str, type[Regularization]] = {
    "cv": KFold,
    "loo": LeaveOneOut,
    "evidence": Evidence,
    "hold_out": HoldOut,
    "fixed": Fixed,
}
_BY_NAME: dict[str, Regularization] = {"cv": KFold(), "loo": LeaveOneOut(), "evidence": Evidence()}
#: Of models.
RULE = OneOf(
    (Choice(tuple(_BY_NAME)), Instance(lambda: tuple(RULES.values()), "a rule such as KFold() or Fixed(alpha)"))
)


def resolve_regularization(given: RegularizationLike) -> Regularization:
    """Return the rule itself; ``"cv"`` is ``KFold()``, ``"loo"`` ``LeaveOneOut()``, ``"evidence"`` ``Evidence()``.

    Raises
    ------
    SettingsError
        If it is neither a rule nor one of the strings.
    """
    rule = checked(RULE, "regularization", given)
    return _BY_NAME[rule] if isinstance(rule, str) else rule


def check_enough_structures(rule: Regularization, n_structures: int) -> None:
    """Raise ValueError if a rule cannot choose from so few structures."""
    match rule:
        case KFold(n_folds=n_folds):
            needed = n_folds
        case HoldOut(n_validation=n_validation):
            needed = n_validation + 1
        case LeaveOneOut() | Evidence():
            needed = 2
        case Fixed():
            needed = 1
    if n_structures < needed:
        name = type(rule).__name__
        raise ValueError(f"{name} needs at least {needed} training structures, got {n_structures}")


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
    """

    weights: FloatArray
    alpha: float
    scale: float
    alphas: FloatArray
    errors: FloatArray
    posterior: Posterior


def fit_ridge(design: FloatArray, targets: FloatArray, rule: Regularization) -> RidgeFit:
    """Choose alpha by a rule and fit all rows with it; of equal errors the larger alpha wins.

    Parameters
    ----------
    design
        Shape [n_structures, n_features].
    targets
        Shape [n_structures].
    rule
        How alpha is chosen.

    Raises
    ------
    ValueError
        If there are too few structures for the rule, shapes disagree, or something is not finite.
    """
    check_enough_structures(rule, len(design))
    ridge = Ridge(design)
    scale = ridge.scale
    if isinstance(rule, Fixed):
        return _chosen(ridge, targets, rule.alpha, np.empty(0), np.empty(0), None)
    alphas = np.sort(np.asarray(rule.alphas))[::-1]
    if isinstance(rule, Evidence):
        errors = -ridge.evidence(targets, alphas * scale) / len(design)
        return _chosen(ridge, targets, float(alphas[np.argmin(errors)]), alphas, errors, None)
    match rule:
        case LeaveOneOut():
            residuals = ridge.leave_one_out(targets, alphas * scale)
        case KFold():
            residuals = ridge.k_fold(targets, alphas * scale, rule.folds(len(design)))
        case HoldOut(n_validation=n_validation):
            head = Ridge(design[:-n_validation]).weights(targets[:-n_validation], alphas * scale)
            residuals = targets[-n_validation:] - head @ design[-n_validation:].T
    errors = np.mean(np.abs(residuals), axis=1)
    best = int(np.argmin(errors))
    return _chosen(ridge, targets, float(alphas[best]), alphas, errors, float(np.mean(residuals[best] ** 2)))


def _chosen(
    ridge: Ridge, targets: FloatArray, alpha: float, alphas: FloatArray, errors: FloatArray, noise: float | None
) -> RidgeFit:
    """Fit all rows with one alpha; candidates and errors come in falling order."""
    weights = ridge.weights(targets, [alpha * ridge.scale])[0]
    if noise is None:
        noise = float(np.mean((targets - ridge.design @ weights) ** 2))
    posterior = ridge.posterior(alpha * ridge.scale, noise)
    return RidgeFit(weights, alpha, ridge.scale, alphas[::-1].copy(), errors[::-1].copy(), posterior)
