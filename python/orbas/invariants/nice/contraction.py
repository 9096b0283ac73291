"""How expanded pairs are contracted: what lower orders predict is taken away, then the principal components are kept.

With the rows x of one symmetry (one row for every environment and order m) and the components z of lower orders,
``W = (<z z^T> + r)^-1 <z x^T>`` is the ridge prediction and ``x' = x - W^T z`` what is left of it. The eigenvectors
A of ``<x' x'^T>`` make ``y = A^T x' = A^T x + B^T z`` with ``B = -W A``. Nothing is centered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.optimal.basis import eigenpairs

if TYPE_CHECKING:
    from orbas.base.types import FloatArray

#: Ridge of the purification, relative to the mean variance of the components of lower orders.
RIDGE = 1e-10

#: Above this many pairs, and with fewer rows than pairs, the rows themselves are kept: their own scalar products
#: have the same eigenvalues.
FEW_ROWS = 1024

#: Components below this variance, relative to the largest, cannot be told from rounding by scalar products of rows.
ROUNDING = 1e-11


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """``y = A^T x + B^T z``; ``matrix`` A [row, p], ``lower`` B [n_lower, p], ``variances`` of y [p]."""

    matrix: FloatArray
    lower: FloatArray
    variances: FloatArray


class Moments:
    """Second moments of expanded pairs x and components z of lower orders, summed over batches.

    Parameters
    ----------
    n_pairs, n_lower
        Numbers of x and z.
    n_rows
        Number of rows to come; it decides what is kept of them.
    full
        Products of all pairs with each other are needed, not only their variances.

    Attributes
    ----------
    variances
        Sums of x^2, [pair].
    purified
        Sum of x'^2 over all pairs, once contracted.
    """

    def __init__(self, n_pairs: int, n_lower: int, n_rows: int, *, full: bool) -> None:
        self.full = full
        self.few_rows = full and n_pairs > FEW_ROWS and n_rows < n_pairs
        self.variances = np.zeros(n_pairs)
        self.purified = 0.0
        self._rows: list[FloatArray] = [np.zeros((0, n_pairs))]
        self._lower_rows: list[FloatArray] = [np.zeros((0, n_lower))]
        square = full and not self.few_rows
        self._xx = np.zeros((n_pairs, n_pairs) if square else (0, 0))
        self._zx = np.zeros((n_lower, n_pairs))
        self._zz = np.zeros((n_lower, n_lower))

    def add(self, x: FloatArray, z: FloatArray) -> None:
        """Add rows, x [row, pair] and z [row, lower]."""
        if len(self._xx):
            product = x.T @ x
            self._xx += product
            self.variances += np.diag(product)
        else:
            self.variances += np.einsum("rk,rk->k", x, x)
        if not self.full:
            return
        if z.shape[1]:
            self._zx += z.T @ x
            self._zz += z.T @ z
        if self.few_rows:
            self._rows.append(x)
            self._lower_rows.append(z)

    def contract(self, n_components: int, n_environments: int) -> Projection:
        """Return the projection to the components of largest variance, a sum over m and mean over environments.

        Can be called once: what was summed up is used up.
        """
        weights = self._ridge()
        self.purified = float(self.variances.sum())
        if len(weights):
            # tr <x' x'^T>
            self.purified -= float(np.sum(weights * (2 * self._zx - self._zz @ weights)))
        if self.few_rows:
            return self._from_rows(weights, n_components, n_environments)
        covariance, self._xx = self._xx, np.zeros((0, 0))  # large: changed in place, and not kept
        if len(weights):
            cross = weights.T @ (self._zx - 0.5 * self._zz @ weights)
            covariance -= cross
            covariance -= cross.T
        covariance /= n_environments
        values, matrix = eigenpairs(covariance, n_components)
        return Projection(matrix, -weights @ matrix, values)

    def _ridge(self) -> FloatArray:
        n = len(self._zz)
        if n == 0 or not self._zz.any():
            return np.zeros((n, len(self.variances)))
        from scipy.linalg import solve

        ridge = RIDGE * np.trace(self._zz) / n
        weights: FloatArray = solve(self._zz + ridge * np.eye(n), self._zx, assume_a="pos")
        return weights

    def _from_rows(self, weights: FloatArray, n_components: int, n_environments: int) -> Projection:
        """Eigenvectors of ``X^T X`` from those of the smaller ``X X^T``, made orthonormal again."""
        rows, self._rows = np.concatenate(self._rows), []
        if len(weights):
            rows -= np.concatenate(self._lower_rows) @ weights
        values, vectors = eigenpairs(rows @ rows.T / n_environments, n_components)
        kept = values > ROUNDING * values.max(initial=0.0)
        values, vectors = values[kept], vectors[:, kept]
        matrix = orthonormal(rows.T @ (vectors / np.sqrt(n_environments * values)))
        return Projection(matrix, -weights @ matrix, values)


def orthonormal(columns: FloatArray) -> FloatArray:
    """Make columns orthonormal, one after the other (Gram-Schmidt), that are so but for rounding.

    By the Cholesky factor of their scalar products, which is near the identity: as accurate as reflections, and three
    times faster.
    """
    from scipy.linalg import solve_triangular

    factor = np.linalg.cholesky(columns.T @ columns)
    made: FloatArray = solve_triangular(factor, columns.T, lower=True, check_finite=False).T
    return np.ascontiguousarray(made)
