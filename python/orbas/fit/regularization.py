"""How the regularizer of a linear model is chosen: one frozen dataclass per way, with its own data.

Alphas are relative to the mean squared norm of a row of the design matrix, ``tr(X X^T) / n_structures``. They
have no unit, do not change when all features are multiplied by a number, and mean the same for any number of
structures: alpha is the noise variance over the mean prior variance of an energy.

Held-out errors are compared by their mean magnitude: a squared error is decided by a few odd structures (on QM9 it
is flat to 1 % over two decades of alpha where the mean magnitude has a clear minimum).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from orbas.base.fields import check_settings, checked, setting
from orbas.base.kinds import SEED, Choice, Instance, Integer, Kind, ListOf, Maybe, Number, OneOf, RefusalError, listed
from orbas.files.stored import stored

if TYPE_CHECKING:
    from orbas.base.types import IntArray

#: Half decades from 1e-12 to 1.
DEFAULT_ALPHAS: tuple[float, ...] = tuple(10.0 ** (exponent / 2) for exponent in range(-24, 1))
_ALPHA = Number(1e-100, 1e100)
_ALPHAS = setting(ListOf(_ALPHA, "alphas"), "relative alphas to choose from")


@dataclass(frozen=True, slots=True)
class Groups(Kind):
    """The key of ``info`` whose value is the group of a structure, or one label for every structure."""

    metavar = "KEY"

    def allowed(self, in_file: bool = False) -> str:
        """Say what groups may be."""
        key = "the name of an entry of info, such as config_type"
        return key if in_file else f"{key}, or a list with the group of every structure"

    def take(self, value: Any) -> str | tuple[str, ...]:
        """Return the key, or the labels as texts."""
        if isinstance(value, str):
            if not value:
                raise RefusalError
            return value
        items = listed(value)
        if items is None:
            raise RefusalError
        return tuple(map(str, items))

    def read(self, value: Any) -> str:
        """Return the key; a file holds no labels."""
        if not isinstance(value, str) or not value:
            raise RefusalError
        return value

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "string", "minLength": 1}


GROUPS = setting(Maybe(Groups(), meaning="every structure is one of its own"), "what is held out together")


@stored("LeaveOneOut")
@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """The alpha of the smallest leave-one-out MAE; exact and almost free after the factorization.

    Copies of a structure are left out together, and so are groups.

    Parameters
    ----------
    alphas
        Relative alphas to choose from.
    groups
        As of :class:`KFold`.

    Raises
    ------
    SettingsError
        If an alpha is not from 1e-100 to 1e100, or there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.models import LeaveOneOut, RidgeRegressor
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(50, 3))
    >>> y = x @ [1.0, 2.0, 3.0] + 0.1 * rng.normal(size=50)
    >>> RidgeRegressor(LeaveOneOut()).fit(x, y).coef_.round(1).tolist()
    [1.0, 2.0, 3.0]
    """

    alphas: tuple[float, ...] = field(default=DEFAULT_ALPHAS, metadata=_ALPHAS)
    groups: str | tuple[str, ...] | None = field(default=None, metadata=GROUPS)

    def __post_init__(self) -> None:
        check_settings(self)


@stored("KFold")
@dataclass(frozen=True, slots=True)
class KFold:
    """The alpha of the smallest K-fold MAE over folds of a seeded permutation of the structures.

    Copies of a structure, equal or nearly so, are in one fold. What only few structures have, a species or a kind of
    label, is in every training part.

    Parameters
    ----------
    n_folds
        Number of folds, at least 2; their sizes differ by one at most.
    seed
        Seed of the permutation.
    alphas
        Relative alphas to choose from.
    groups
        What is held out together, such as all structures of one trajectory: a key of ``info``, say ``"config_type"``,
        or the group of every training structure, which stands in no model file. None for each structure on its own.

    Raises
    ------
    SettingsError
        If ``n_folds < 2``, or an alpha is not from 1e-100 to 1e100, or there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.models import KFold, RidgeRegressor
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(50, 3))
    >>> y = x @ [1.0, 2.0, 3.0] + 0.1 * rng.normal(size=50)
    >>> RidgeRegressor(KFold(n_folds=5, alphas=(1e-6, 1e-3, 1.0))).fit(x, y).coef_.round(1).tolist()
    [1.0, 2.0, 3.0]
    """

    n_folds: int = field(default=5, metadata=setting(Integer(2), "number of folds"))
    seed: int = field(default=0, metadata=setting(SEED, "of the permutation that makes the folds"))
    alphas: tuple[float, ...] = field(default=DEFAULT_ALPHAS, metadata=_ALPHAS)
    groups: str | tuple[str, ...] | None = field(default=None, metadata=GROUPS)

    def __post_init__(self) -> None:
        check_settings(self)

    def folds(self, n_structures: int) -> list[IntArray]:
        """Return the sorted row indices of every fold.

        Examples
        --------
        >>> folds = KFold(n_folds=3).folds(8)
        >>> [len(fold) for fold in folds], sorted(int(row) for fold in folds for row in fold)
        ([3, 3, 2], [0, 1, 2, 3, 4, 5, 6, 7])
        """
        order = np.random.default_rng(self.seed).permutation(n_structures)
        return [np.sort(fold) for fold in np.array_split(order, self.n_folds)]


@stored("HoldOut")
@dataclass(frozen=True, slots=True)
class HoldOut:
    """The alpha of the smallest MAE on the last training structures; then all of them are fitted.

    Parameters
    ----------
    n_validation
        Number of structures at the end of the training list that choose alpha; copies of them, and what is in their
        groups, do so with them.
    alphas
        Relative alphas to choose from.
    groups
        As of :class:`KFold`.

    Raises
    ------
    SettingsError
        If ``n_validation < 1``, or an alpha is not from 1e-100 to 1e100, or there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.models import HoldOut, RidgeRegressor
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(50, 3))
    >>> y = x @ [1.0, 2.0, 3.0] + 0.1 * rng.normal(size=50)
    >>> RidgeRegressor(HoldOut(n_validation=10)).fit(x, y).coef_.round(1).tolist()
    [1.0, 2.0, 3.0]
    """

    n_validation: int = field(default=800, metadata=setting(Integer(1), "structures at the end that choose alpha"))
    alphas: tuple[float, ...] = field(default=DEFAULT_ALPHAS, metadata=_ALPHAS)
    groups: str | tuple[str, ...] | None = field(default=None, metadata=GROUPS)

    def __post_init__(self) -> None:
        check_settings(self)


@stored("Evidence")
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

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.models import Evidence, RidgeRegressor
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(50, 3))
    >>> y = x @ [1.0, 2.0, 3.0] + 0.1 * rng.normal(size=50)
    >>> RidgeRegressor(Evidence()).fit(x, y).coef_.round(1).tolist()
    [1.0, 2.0, 3.0]
    """

    alphas: tuple[float, ...] = field(default=DEFAULT_ALPHAS, metadata=_ALPHAS)

    def __post_init__(self) -> None:
        check_settings(self)


@stored("Fixed")
@dataclass(frozen=True, slots=True)
class Fixed:
    """A given relative alpha.

    Raises
    ------
    SettingsError
        If alpha is not from 1e-100 to 1e100.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.models import Fixed, RidgeRegressor
    >>> x = np.eye(3)
    >>> regressor = RidgeRegressor(Fixed(1e-10), fit_intercept=False).fit(x, [1.0, 2.0, 3.0])
    >>> regressor.alpha_, regressor.coef_.round(3).tolist()
    (1e-10, [1.0, 2.0, 3.0])
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


def without_labels(rule: RegularizationLike) -> RegularizationLike:
    """Return a rule as a fitted model keeps it: the groups of training structures, one by one, are none of a model."""
    if isinstance(getattr(rule, "groups", None), tuple):
        return replace(rule, groups=None)  # type: ignore[type-var]
    return rule


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
