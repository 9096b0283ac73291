"""Least squares in bounded memory: the triangular factor of rows that come in pieces.

Of ``[X | y] = Q R`` only ``R`` is needed, (n_columns + 1)^2 numbers however many rows there are, and it is found piece
by piece: the triangle of what was seen, with more rows below it, is factorized anew. Singular values are those of X
itself; the normal equations ``X^T X`` would keep only those above ``sqrt(eps) ~ 1e-8`` of the largest.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Self

import numpy as np

from orbas.base.linalg import svd
from orbas.fit.posterior import Posterior
from orbas.fit.ridge import log_evidence
from orbas.parallel import each

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from orbas.base.types import FloatArray

_BLOCK = 32
_PANEL = 256
_BUFFERED = 1024
_COLUMNS = 256
#: Numbers below which threads do not pay.
_FEW = 200_000
_EPSILON = float(np.finfo(np.float64).eps)


class Triangle:
    """The factor R of all rows ``[X | y]`` seen so far, [n_columns + 1, n_columns + 1].

    Parameters
    ----------
    n_columns
        Number of columns of X.
    """

    def __init__(self, n_columns: int) -> None:
        self.n_columns = n_columns
        self.n_rows = 0
        self._factor: FloatArray = np.zeros((n_columns + 1, n_columns + 1), order="F")
        self._waiting: list[FloatArray] = []

    def add(self, rows: FloatArray, targets: FloatArray) -> None:
        """Add rows [k, n_columns] with their targets [k]."""
        self._waiting.append(np.column_stack([rows, targets]))
        self.n_rows += len(rows)
        if sum(map(len, self._waiting)) >= _BUFFERED:
            self._reduce()

    @property
    def factor(self) -> FloatArray:
        """R, upper triangular, [n_columns + 1, n_columns + 1]."""
        self._reduce()
        return self._factor

    def state(self) -> tuple[FloatArray, FloatArray, int]:
        """Return the factor, the rows that are not in it yet, and the number of all rows: see :meth:`restored`."""
        waiting = np.concatenate(self._waiting) if self._waiting else np.zeros((0, self.n_columns + 1))
        return self._factor, waiting, self.n_rows

    @classmethod
    def restored(cls, factor: FloatArray, waiting: FloatArray, n_rows: int) -> Self:
        """Return the triangle in a given state, to the bit."""
        triangle = cls(len(factor) - 1)
        triangle._factor = np.array(factor, order="F")
        triangle._waiting = [np.array(waiting)] if len(waiting) else []
        triangle.n_rows = n_rows
        return triangle

    def merged(self, other: Triangle) -> Triangle:
        """Return the triangle of the rows of both."""
        both = Triangle(self.n_columns)
        both._factor = _stack(self.factor.copy(order="F"), other.factor.copy(order="F"), triangular=True)
        both.n_rows = self.n_rows + other.n_rows
        return both

    def divided(self, factor: float) -> Triangle:
        """Return the triangle of the rows and targets divided by a number."""
        if factor == 1.0:
            return self
        result = Triangle(self.n_columns)
        result._factor = np.asfortranarray(self.factor / factor)
        result.n_rows = self.n_rows
        return result

    def squares(self, weights: FloatArray) -> FloatArray:
        """Return ``|X w - y|^2`` of weights [..., n_columns], shape [...]."""
        signed = np.concatenate([weights, np.full((*weights.shape[:-1], 1), -1.0)], axis=-1)
        result: FloatArray = np.sum((signed @ self.factor.T) ** 2, axis=-1)
        return result

    @property
    def scale(self) -> float:
        """The mean squared norm of a row of X; 1 for rows of zeros."""
        return float(np.sum(self.factor[:, :-1] ** 2) / max(self.n_rows, 1)) or 1.0

    def weights(self, alphas: ArrayLike) -> FloatArray:
        """Return ``argmin |X w - y|^2 + alpha |w|^2`` for every regularizer, [n_alphas, n_columns].

        One more triangle below the factor, ``sqrt(alpha)`` times the identity: for few regularizers and many columns
        much less work than the singular values of :meth:`path`, which give any number of them.
        """
        from scipy.linalg import solve_triangular

        found = np.empty((len(np.atleast_1d(alphas)), self.n_columns))
        for k, alpha in enumerate(np.atleast_1d(alphas)):
            below = np.zeros_like(self.factor, order="F")
            np.fill_diagonal(below[:-1, :-1], np.sqrt(alpha))
            damped = _stack(self.factor.copy(order="F"), below, triangular=True)
            found[k] = solve_triangular(damped[:-1, :-1], damped[:-1, -1], check_finite=False)
        return found

    def path(self) -> RidgePath:
        """Return what ridge regression reads off the factor."""
        return RidgePath(self.factor, self.n_rows)

    def _reduce(self) -> None:
        if self._waiting:
            rows = np.asfortranarray(np.concatenate(self._waiting))
            self._waiting = []
            self._factor = _stack(self._factor, rows, triangular=False)


class RidgePath:
    """``w(alpha) = argmin |X w - y|^2 + alpha |w|^2`` for any alpha, from the triangular factor of ``[X | y]``.

    Attributes
    ----------
    singular_values
        Of X, descending, [n_columns]; those that are round-off are zero.
    right
        Right singular vectors as rows, [n_columns, n_columns].
    """

    def __init__(self, factor: FloatArray, n_rows: int) -> None:
        left, singular, right = svd(factor[:-1, :-1])
        singular[singular <= _EPSILON * max(n_rows, len(singular)) * singular[0]] = 0.0
        self.n_rows = n_rows
        self.singular_values: FloatArray = singular
        self.right: FloatArray = right
        self._rotated: FloatArray = left.T @ factor[:-1, -1]
        self._outside = float(factor[-1, -1] ** 2)

    @cached_property
    def scale(self) -> float:
        """The mean squared norm of a row; 1 for rows of zeros."""
        return float(np.sum(self.singular_values**2) / max(self.n_rows, 1)) or 1.0

    def weights(self, alphas: ArrayLike) -> FloatArray:
        """Return the weights for every regularizer, [n_alphas, n_columns]."""
        alpha = np.asarray(alphas, dtype=np.float64)[:, None]
        positive = self.singular_values > 0
        filters = np.where(positive, self.singular_values / (self.singular_values**2 + alpha), 0.0)
        weights: FloatArray = (filters * self._rotated) @ self.right
        return weights

    def squares(self, alphas: ArrayLike) -> FloatArray:
        """Return the squared residuals ``|X w - y|^2`` for every regularizer, [n_alphas]."""
        alpha = np.asarray(alphas, dtype=np.float64)[:, None]
        result: FloatArray = np.sum((self._damping(alpha) * self._rotated) ** 2, axis=1) + self._outside
        return result

    def evidence(self, alphas: ArrayLike) -> FloatArray:
        """Return the logarithm of the marginal likelihood for every regularizer, up to a constant, [n_alphas]."""
        alpha = np.asarray(alphas, dtype=np.float64)
        return log_evidence(self.singular_values, self._rotated, self._outside, self.n_rows, alpha)

    def posterior(self, alpha: float, noise: float) -> Posterior:
        """Return what is known of the weights; ``noise`` is the variance of a row."""
        return Posterior(self.right.T, self.singular_values, alpha, noise)

    def _damping(self, alpha: FloatArray) -> FloatArray:
        damping: FloatArray = alpha / (self.singular_values**2 + alpha)
        return damping


def _stack(factor: FloatArray, rows: FloatArray, *, triangular: bool) -> FloatArray:
    """Return the factor of a triangle with rows below it, by Householder reflections; both are overwritten.

    A panel of columns is factorized by LAPACK. Its reflections ``I - V T V^T``, T the inverse of the upper half of
    ``V^T V`` (Puglisi, SIAM J. Sci. Stat. Comput. 13, 723 (1992)), are applied to all other columns: nearly everything
    is matrix products, of blocks of columns for our own threads. Of a triangle below, what is zero is left out.
    """
    from scipy.linalg.lapack import dtpqrt

    n = len(factor)
    for start in range(0, n if len(rows) else 0, _PANEL):
        panel = slice(start, min(start + _PANEL, n))
        width = panel.stop - start
        below = rows[: panel.stop] if triangular else rows
        block = min(_BLOCK, width)
        factor[panel, panel], reflectors, scales, info = dtpqrt(0, block, factor[panel, panel], below[:, panel])
        assert info == 0
        taus = scales[np.arange(width) % block, np.arange(width)]
        reflect = partial(_reflect, factor[panel], below, reflectors, _scale(reflectors, taus))
        blocks = [slice(first, min(first + _COLUMNS, n)) for first in range(panel.stop, n, _COLUMNS)]
        if (n - panel.stop) * len(below) < _FEW:
            for columns in blocks:
                reflect(columns)
        else:
            each(reflect, blocks)
    return factor


def _reflect(panel: FloatArray, below: FloatArray, reflectors: FloatArray, scale: FloatArray, columns: slice) -> None:
    """Apply the reflections of a panel to some columns of its rows and of the rows below, in place."""
    # Columns of matrices in Fortran order are rows of their transposes, which are contiguous.
    above, under = panel[:, columns].T, below[:, columns].T
    change = (above + under @ reflectors) @ scale
    above -= change
    under -= change @ reflectors.T


def _scale(reflectors: FloatArray, taus: FloatArray) -> FloatArray:
    """Return T of the reflections ``I - V T V^T``; V is an identity above the reflectors."""
    from scipy.linalg import solve_triangular

    identities = taus == 0.0  # of columns without anything below the diagonal
    inverse = np.triu(reflectors.T @ reflectors, 1)
    np.fill_diagonal(inverse, 1.0 / np.where(identities, 1.0, taus))
    scale: FloatArray = solve_triangular(inverse, np.eye(len(taus)), check_finite=False)
    scale[:, identities] = 0.0
    return scale
