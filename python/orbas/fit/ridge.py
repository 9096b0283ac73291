"""Ridge regression from one factorization: a path of regularizers, and held-out residuals without refits.

``w(alpha) = argmin |X w - y|^2 + alpha |w|^2 = X^T U diag(1 / (s^2 + alpha)) U^T y`` with
``X = U diag(s) V^T`` (Hoerl and Kennard, Technometrics 12, 55 (1970), doi:10.1080/00401706.1970.10488634).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orbas.base.linalg import product, svd, upper_factor
from orbas.fit.posterior import Posterior

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from orbas.base.types import FloatArray, IntArray

_EPSILON = float(np.finfo(np.float64).eps)


class Ridge:
    """The singular value decomposition of a design matrix, and everything ridge regression reads off it.

    The factorization is the SVD of ``X`` itself, never an eigendecomposition of ``X^T X`` or ``X X^T``: sums
    of atomic features have singular values over ten decades and more, and a Gram matrix keeps only those
    above ``sqrt(eps) ~ 1e-8`` of the largest. Regularizers down to ``alpha / s_max^2 ~ 1e-14``,
    which noise-free labels do choose, would be drowned in its round-off.

    Parameters
    ----------
    design
        ``X``, shape [n_samples, n_features]; either may be the larger. Kept by reference.

    Attributes
    ----------
    design
        ``X`` as float64.
    left, singular_values
        ``U`` [n_samples, k] and ``s`` [k], descending, with k the smaller dimension.

    Raises
    ------
    ValueError
        If the matrix is empty, not two-dimensional or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.models import Ridge
    >>> design = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> targets = np.array([1.0, 2.0, 2.0])
    >>> ridge = Ridge(design)
    >>> ridge.weights(targets, [1e-12]).round(6).tolist()
    [[1.0, 1.0]]
    """

    def __init__(self, design: ArrayLike) -> None:
        matrix = np.asarray(design, dtype=np.float64)
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise ValueError(f"the design matrix must have shape [n_samples, n_features], got {matrix.shape}")
        if not np.isfinite(matrix).all():
            row, column = np.argwhere(~np.isfinite(matrix))[0]
            raise ValueError(f"the design matrix is not finite in row {row}, column {column}")
        # V is never needed. With more features than samples the QR of X^T leaves a square factor with the
        # same U and s; its orthogonal part, as large as X, is not formed.
        wide = matrix.shape[1] > matrix.shape[0]
        core = upper_factor(matrix.T).T if wide else matrix
        left, singular, _ = svd(core, full_matrices=False)
        # Below this bound a singular value is round-off: its directions are arbitrary and carry no weight.
        singular[singular <= _EPSILON * max(matrix.shape) * singular[0]] = 0.0
        self.design: FloatArray = matrix
        self.left: FloatArray = left
        self.singular_values: FloatArray = singular

    @property
    def n_samples(self) -> int:
        """Number of rows of the design matrix.

        Examples
        --------
        >>> ridge.n_samples
        3
        """
        return int(self.left.shape[0])

    @property
    def scale(self) -> float:
        """The mean squared norm of a row, ``tr(X X^T) / n_samples``; 1 for a matrix of zeros.

        Examples
        --------
        >>> round(ridge.scale, 6)  # (1 + 4 + 2) / 3
        2.333333
        """
        return float(np.sum(self.singular_values**2) / self.n_samples) or 1.0

    def weights(self, targets: ArrayLike, alphas: ArrayLike) -> FloatArray:
        """Return the weights for every regularizer.

        Parameters
        ----------
        targets
            Shape [n_samples] or [n_samples, n_targets].
        alphas
            Shape [n_alphas], positive, in the units of ``X^2``.

        Returns
        -------
        Shape [n_alphas, n_features] or [n_alphas, n_features, n_targets].

        Raises
        ------
        ValueError
            If shapes disagree, targets are not finite or an alpha is not positive and finite.

        Examples
        --------
        >>> ridge.weights(targets, [1e-12, 1e6]).round(3).tolist()
        [[1.0, 1.0], [0.0, 0.0]]
        """
        y, alpha = self._check(targets, alphas)
        rotated = product(self.left.T, y)
        squares = self.singular_values**2
        filters = np.where(squares > 0, 1.0 / (squares + alpha[:, None]), 0.0)
        # X^T U in place of V diag(s): its round-off of eps * s_max weighs eps * s_max / sqrt(alpha) at most.
        paths = [product(self.design.T, product(self.left, row[:, None] * rotated)) for row in filters]
        return _like(targets, np.stack(paths))

    def leave_one_out(self, targets: ArrayLike, alphas: ArrayLike) -> FloatArray:
        """Return the exact leave-one-out residuals ``(y - X w)_i / (1 - H_ii)``, H the hat matrix.

        The residual and ``1 - H_ii`` are summed from ``alpha / (s^2 + alpha)``, not taken as differences:
        with as many features as samples both go to zero with alpha and a difference would keep no digit.

        Parameters
        ----------
        targets
            Shape [n_samples] or [n_samples, n_targets].
        alphas
            Shape [n_alphas], positive.

        Returns
        -------
        Target minus held-out prediction, shape [n_alphas, n_samples] or [n_alphas, n_samples, n_targets].

        Raises
        ------
        ValueError
            As :meth:`weights`, and if there are fewer than two samples.

        Examples
        --------
        >>> others = Ridge(design[1:]).weights(targets[1:], [0.1])[0]
        >>> residuals = ridge.leave_one_out(targets, [0.1])
        >>> bool(np.isclose(residuals[0, 0], targets[0] - design[0] @ others))
        True
        """
        y, alpha = self._check(targets, alphas)
        if self.n_samples < 2:
            raise ValueError("leave-one-out needs at least 2 samples, got 1")
        damping = alpha[:, None] / (self.singular_values**2 + alpha[:, None])  # [n_alphas, k]
        rotated, outside = self._split(y)
        squares = self.left**2
        complement = np.zeros(self.n_samples) if self._spans_samples else 1.0 - squares.sum(axis=1)
        # Round-off must not turn a leverage of one into a division by zero or a change of sign.
        remainder = product(damping, squares.T) + np.maximum(complement, 0.0)  # [n_alphas, n_samples]
        residuals = np.stack([product(self.left, row[:, None] * rotated) + outside for row in damping])
        return _like(targets, residuals / np.maximum(remainder, np.finfo(np.float64).tiny)[:, :, None])

    def k_fold(self, targets: ArrayLike, alphas: ArrayLike, folds: Sequence[IntArray]) -> FloatArray:
        """Return the exact residuals of every fold under the model fitted to the other folds.

        The block form of the hat-matrix formula, ``r_K = (1 - H_KK)^-1 (y - X w)_K``: no fold is refitted.

        Parameters
        ----------
        targets
            Shape [n_samples] or [n_samples, n_targets].
        alphas
            Shape [n_alphas], positive.
        folds
            Row indices of each fold; together they hold every row once. At least two folds.

        Returns
        -------
        Target minus held-out prediction, shape [n_alphas, n_samples] or [n_alphas, n_samples, n_targets].

        Raises
        ------
        ValueError
            As :meth:`weights`, and if the folds are not a partition of the rows.

        Examples
        --------
        >>> residuals = ridge.k_fold(targets, [0.1, 1.0], [np.array([0]), np.array([1]), np.array([2])])
        >>> bool(np.allclose(residuals, ridge.leave_one_out(targets, [0.1, 1.0])))
        True
        """
        self._check(targets, alphas)
        rows = np.concatenate(folds) if len(folds) else np.empty(0, dtype=np.int64)
        if len(folds) < 2 or not np.array_equal(np.sort(rows), np.arange(self.n_samples)):
            raise ValueError(f"at least two folds must hold each of the {self.n_samples} rows exactly once")
        return np.asarray(self.held_out(targets, alphas, folds)[:, np.argsort(rows)], dtype=np.float64)

    def held_out(self, targets: ArrayLike, alphas: ArrayLike, folds: Sequence[IntArray]) -> FloatArray:
        """Return the same for folds that do not hold all rows: residuals in the order of the folds.

        Examples
        --------
        >>> ridge.held_out(targets, [1e-12], [np.array([0]), np.array([2])]).shape
        (1, 2)
        """
        y, alpha = self._check(targets, alphas)
        rotated, outside = self._split(y)
        held_out = _held_out_interpolating if self._spans_samples else _held_out_tall
        residuals = [
            np.concatenate([held_out(self.left[fold], damping, rotated, outside[fold]) for fold in folds])
            for damping in (value / (self.singular_values**2 + value) for value in alpha)
        ]
        return _like(targets, np.stack(residuals))

    def evidence(self, targets: ArrayLike, alphas: ArrayLike) -> FloatArray:
        """Return the logarithm of the marginal likelihood up to a constant, [n_alphas]; one target.

        Weights have the prior variance ``noise / alpha``; the noise is at its most likely value
        (MacKay, Neural Computation 4, 415 (1992), doi:10.1162/neco.1992.4.3.415).

        Examples
        --------
        >>> int(ridge.evidence([1.1, 1.9, 2.1], [1e-3, 1e3]).argmax())  # the small alpha is likelier
        0
        """
        y, alpha = self._check(targets, alphas)
        rotated, outside = self._split(y)
        return log_evidence(self.singular_values, rotated[:, 0], float(np.sum(outside**2)), self.n_samples, alpha)

    def posterior(self, alpha: float, noise: float) -> Posterior:
        """Return what is known of the weights; ``noise`` is the variance of a row.

        Examples
        --------
        >>> ridge.posterior(alpha=0.1, noise=0.01).covariance(design).shape
        (3, 3)
        """
        kept = self.singular_values > 0
        singular = self.singular_values[kept]
        return Posterior(product(self.design.T, self.left[:, kept]) / singular, singular, alpha, noise)

    @property
    def _spans_samples(self) -> bool:
        """Whether U is square, so that nothing of the targets lies outside its span."""
        return bool(self.left.shape[0] == self.left.shape[1])

    def _split(self, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``U^T y`` and the part of y outside the span of U."""
        rotated = product(self.left.T, y)
        outside = np.zeros_like(y) if self._spans_samples else y - product(self.left, rotated)
        return rotated, outside

    def _check(self, targets: ArrayLike, alphas: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return targets as [n_samples, n_targets] and alphas as [n_alphas]."""
        y = np.asarray(targets, dtype=np.float64)
        if y.ndim not in (1, 2) or y.shape[0] != self.n_samples:
            raise ValueError(f"targets must have {self.n_samples} rows, one per sample, got shape {y.shape}")
        if not np.isfinite(y).all():
            raise ValueError(f"the target of sample {np.argwhere(~np.isfinite(y))[0][0]} is not finite")
        alpha = np.asarray(alphas, dtype=np.float64)
        if alpha.ndim != 1 or alpha.size == 0 or not (np.isfinite(alpha) & (alpha > 0)).all():
            raise ValueError(f"alphas must be a list of positive numbers, got {alphas!r}")
        return y.reshape(self.n_samples, -1), alpha


def _held_out_interpolating(left: FloatArray, damping: FloatArray, rotated: FloatArray, _: FloatArray) -> FloatArray:
    """Solve ``(A A^T) r = A b``, ``A = U_K sqrt(D)``, ``b = sqrt(D) U^T y``, as least squares ``A^T r = b``.

    ``A A^T = 1 - H_KK`` has the condition ``s_max^2 / alpha``; the QR of A^T only sees its square root.
    """
    from scipy.linalg import solve_triangular

    n_rows = len(left)
    root = np.sqrt(damping)[:, None]
    system = np.hstack([root * left.T, root * rotated])
    upper = upper_factor(system)[:n_rows]
    solution: FloatArray = solve_triangular(upper[:, :n_rows], upper[:, n_rows:], check_finite=False)
    return solution


def _held_out_tall(left: FloatArray, damping: FloatArray, rotated: FloatArray, outside: FloatArray) -> FloatArray:
    """Solve ``(1 - H_KK) r = (y - X w)_K`` when samples outnumber features."""
    remainder = -product(left * (1.0 - damping), left.T)
    # One epsilon more on the diagonal keeps a leverage of exactly one (a feature of one fold only) solvable.
    remainder[np.diag_indices_from(remainder)] += 1.0 + _EPSILON
    residuals = product(left, damping[:, None] * rotated) + outside
    return np.asarray(np.linalg.solve(remainder, residuals), dtype=np.float64)


def _like(targets: ArrayLike, result: FloatArray) -> FloatArray:
    """Drop the axis of targets that was added for a one-dimensional input."""
    return result[..., 0] if np.ndim(targets) == 1 else result


def log_evidence(
    singular_values: FloatArray, rotated: FloatArray, outside: float, n_rows: int, alphas: FloatArray
) -> FloatArray:
    """Return the log marginal likelihood of ``y = X w + noise`` for every alpha, up to a constant.

    Parameters
    ----------
    singular_values, rotated
        Of X, and ``U^T y``, [k].
    outside
        ``|y - U U^T y|^2``.
    n_rows
        Number of rows.
    alphas
        Shape [n_alphas].
    """
    damping = alphas[:, None] / (singular_values**2 + alphas[:, None])
    cost = np.sum(damping * rotated**2, axis=1) + outside
    likelihood = -0.5 * n_rows * np.log(np.maximum(cost, np.finfo(np.float64).tiny))
    result: FloatArray = likelihood + 0.5 * np.sum(np.log(damping), axis=1)
    return result
