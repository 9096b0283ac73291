"""The linear two-body model whose weights tell principal covariates regression what the target needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.density import DensityExpansion
from orbas.gradients import JacobianRows
from orbas.invariants import RadialSpectrum
from orbas.models.design import structure_features
from orbas.models.regularization import Fixed, HoldOut, KFold, fit_ridge
from orbas.models.ridge import Ridge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from orbas.blocks import FloatArray, IntArray
    from orbas.models.regularization import Regularization


#: Rows held before they are reduced to a triangular factor.
_ROWS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class TwoBodyDesign:
    """Coefficients of degree 0 summed over a structure: over all centers, or over those of each species.

    Attributes
    ----------
    spectrum
        Of the primitive expansion, with its species.
    n_centers
        Number of center species.
    per_center
        Whether centers of different species have columns of their own, center species slowest.
    """

    spectrum: RadialSpectrum
    n_centers: int
    per_center: bool

    @classmethod
    def of(cls, density: DensityExpansion, species: tuple[int, ...], per_center: bool) -> TwoBodyDesign:
        """Take the settings of an expansion and the species it was fitted to."""
        settings = {**density.get_params(deep=False), "max_angular": 0, "species": species}
        return cls(RadialSpectrum(DensityExpansion(**settings)), len(species), per_center)

    def structures(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return a row for every structure, [n_structures, n_columns]."""
        return self._columns(structure_features(self.spectrum, frames).values)

    def derivatives(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of the row of one structure after the other."""
        for rows in self.spectrum.jacobian_rows(frames):
            yield JacobianRows(self._columns(rows.positions), self._columns(rows.strain))

    def _columns(self, values: FloatArray) -> FloatArray:
        if self.per_center:
            return values
        parts = values.reshape(*values.shape[:-1], self.n_centers, -1)
        return np.asarray(parts.sum(axis=-2), dtype=np.float64)


def fit_weights(
    design: TwoBodyDesign,
    frames: Sequence[Atoms],
    energies: FloatArray,
    forces: Sequence[FloatArray] | None,
    noise: tuple[float, float],
    rule: Regularization,
) -> tuple[FloatArray, float]:
    """Return the weights [n_columns] of the linear model, and the relative alpha they were regularized with.

    Parameters
    ----------
    design
        What the model is linear in.
    frames
        Structures.
    energies
        Above the baseline, in eV, [n_structures].
    forces
        In eV/Å, one array [n_atoms, 3] per structure; None to fit energies alone, every structure with weight one.
    noise
        With forces: expected errors of energies, in eV per square root of atoms, and of forces, in eV/Å, that rows are
        divided by.
    rule
        How the regularizer is chosen; folds are made of whole structures.

    Raises
    ------
    ValueError
        If the rule is not one for structures of several rows, and as :func:`fit_ridge`.
    """
    rows = design.structures(frames)
    if forces is None:
        fit = fit_ridge(rows, energies, rule)
        return fit.weights, fit.alpha
    fold = _folds(rule, len(frames))
    factors = [np.zeros((0, rows.shape[1] + 1)) for _ in range(int(fold.max()) + 1)]
    squares, count = 0.0, 0
    for k, (slopes, force) in enumerate(zip(design.derivatives(frames), forces, strict=True)):
        root = noise[0] * np.sqrt(max(len(force), 1))
        block = np.empty((1 + force.size, rows.shape[1] + 1))
        block[0] = np.append(rows[k], energies[k]) / root
        block[1:, :-1] = slopes.positions.reshape(force.size, -1) / -noise[1]
        block[1:, -1] = np.ravel(force) / noise[1]
        squares, count = squares + float(np.sum(block[:, :-1] ** 2)), count + len(block)
        factors[fold[k]] = np.vstack([factors[fold[k]], block])
        if len(factors[fold[k]]) > _ROWS:
            factors[fold[k]] = _triangle(factors[fold[k]])
    return _fit_factors([_triangle(factor) for factor in factors], squares / count, rule)


def _folds(rule: Regularization, n_structures: int) -> IntArray:
    """Return the fold of every structure; those that :class:`HoldOut` holds out are fold 1."""
    fold = np.zeros(n_structures, dtype=np.int64)
    match rule:
        case Fixed():
            pass
        case KFold():
            for k, members in enumerate(rule.folds(n_structures)):
                fold[members] = k
        case HoldOut(n_validation=n_validation):
            fold[n_structures - n_validation :] = 1
        case _:
            raise ValueError(
                f"{type(rule).__name__} is for energies alone: with forces use KFold(), HoldOut() or Fixed()"
            )
    return fold


def _triangle(rows: FloatArray) -> FloatArray:
    """Return a factor with the same scalar products of columns, [min(n_rows, n_columns), n_columns]."""
    from scipy.linalg import qr

    return np.asarray(qr(rows, mode="r", check_finite=False)[0][: rows.shape[1]], dtype=np.float64)


def _fit_factors(factors: list[FloatArray], scale: float, rule: Regularization) -> tuple[FloatArray, float]:
    """Fit from the factors of [X, y] of every fold; of equal held-out errors the larger alpha wins."""
    if isinstance(rule, Fixed):
        best = rule.alpha
    else:
        alphas = np.sort(np.asarray(rule.alphas))[::-1]
        errors = np.zeros(len(alphas))
        for k, tested in enumerate(factors):
            if isinstance(rule, HoldOut) and k == 0:
                continue
            # Squared errors of the rows of a fold need its factor only.
            weights = _path([factor for j, factor in enumerate(factors) if j != k], alphas * scale)
            errors += np.sum((tested[:, -1] - weights @ tested[:, :-1].T) ** 2, axis=1)
        best = float(alphas[np.argmin(errors)])
    return _path(factors, np.array([best * scale]))[0], best


def _path(factors: list[FloatArray], alphas: FloatArray) -> FloatArray:
    """Return the ridge weights for absolute alphas, [n_alphas, n_columns]."""
    rows = np.concatenate(factors)
    return Ridge(rows[:, :-1]).weights(rows[:, -1], alphas)
