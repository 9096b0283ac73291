"""The kinds of labels, and what rows of each say about the others."""

from __future__ import annotations

import enum
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.linalg import product

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orbas.base.types import FloatArray
    from orbas.fit.triangle import Triangle


#: With more columns trial fits are judged by so many folds.
_FEW_COLUMNS, _FEW_FOLDS = 300, 3


class Quantity(enum.Enum):
    """A kind of label: its place in arrays, its name in messages and in :class:`orbas.models.Noise`, its unit."""

    ENERGY = (0, "energies", "energy", "eV")
    FORCES = (1, "forces", "forces", "eV/Å")
    VIRIAL = (2, "stresses", "virial", "eV/Å^3")

    def __init__(self, place: int, plural: str, noise: str, unit: str) -> None:
        self.place = place
        self.plural = plural
        self.noise = noise
        self.unit = unit


class QuantityGrams:
    """Products ``[X | y]^T [X | y]`` of the rows of every fold and kind of label: cheap trial fits.

    They halve the number of digits, which is enough to judge labels by; weights of a model come from the triangles.

    Parameters
    ----------
    triangles
        By fold and, last, for what is in none; then by kind in the order of :class:`Quantity`. Rows are divided by the
        expected noise.

    Attributes
    ----------
    kinds
        Those that have rows.
    """

    def __init__(self, triangles: Sequence[Sequence[Triangle]]) -> None:
        # A triangle of fewer rows than columns has no more rows itself.
        self._factors = [[triangle.factor[: triangle.n_rows] for triangle in fold] for fold in triangles]
        self._grams = [[product(factor.T, factor) for factor in fold] for fold in self._factors]
        #: Held-out rows by kind.
        self._n_rows = [[triangle.n_rows for triangle in fold] for fold in triangles[:-1]]
        self.n_rows = np.sum(self._n_rows, axis=0)
        self.kinds = [kind for kind in Quantity if self.n_rows[kind.place]]
        self.n_folds = len(triangles) - 1
        self.n_columns = triangles[0][0].n_columns
        self._n_tried = self.n_folds if self.n_columns <= _FEW_COLUMNS else min(self.n_folds, _FEW_FOLDS)

    def scale(self, kinds: Sequence[Quantity]) -> float:
        """Return the mean squared norm of the rows of some kinds."""
        places = [kind.place for kind in kinds]
        total = sum(float(np.trace(fold[k][:-1, :-1])) for fold in self._grams[:-1] for k in places)
        return total / max(int(self.n_rows[places].sum()), 1) or 1.0

    def held_out(
        self, kinds: Sequence[Quantity], alpha: float, factors: dict[Quantity, float] | None = None
    ) -> dict[Quantity, FloatArray]:
        """Return held-out mean squares of fits to some kinds, as quadratic forms in what each kind is multiplied by.

        With ``w = sum_k s_k w_k``, ``w_k`` from the labels of kind k alone in the joint fit, the mean squared residual
        of the labels of kind j times ``s_j`` is ``v^T Q_j v`` with ``v = (s_1, .., s_K, -s_j)``.

        Parameters
        ----------
        kinds
            Those fitted.
        alpha
            Absolute regularizer.
        factors
            What the expected noise of a kind is multiplied by; 1 for those that are not there.

        Returns
        -------
        dict
            By kind, of all that have rows: Q of every fold that has any, [n_folds, K + 1, K + 1].
        """
        forms: dict[Quantity, list[FloatArray]] = {kind: [] for kind in self.kinds}
        for k, solved in enumerate(itertools.islice(self._solutions(kinds, alpha, factors), self._n_tried)):
            for kind, found in forms.items():
                if self._n_rows[k][kind.place]:
                    factor = self._factors[k][kind.place]
                    seen = np.column_stack([product(factor[:, :-1], solved), factor[:, -1]])
                    found.append(product(seen.T, seen) / self._n_rows[k][kind.place])
        return {kind: np.array(found) for kind, found in forms.items()}

    def held_out_weights(
        self, kinds: Sequence[Quantity], alpha: float, factors: dict[Quantity, float] | None = None
    ) -> list[FloatArray]:
        """Return the weights [n_columns] that all other folds give, for every fold; parameters as above."""
        return [solved.sum(axis=1) for solved in self._solutions(kinds, alpha, factors)]

    def weights(
        self, kinds: Sequence[Quantity], alpha: float, factors: dict[Quantity, float] | None = None
    ) -> FloatArray:
        """Return the weights [n_columns] that all folds give; parameters as above."""
        (solved,) = self._solutions(kinds, alpha, factors, everything=True)
        result: FloatArray = solved.sum(axis=1)
        return result

    def _solutions(
        self,
        kinds: Sequence[Quantity],
        alpha: float,
        factors: dict[Quantity, float] | None,
        *,
        everything: bool = False,
    ) -> Iterator[FloatArray]:
        """Yield for every fold the weights from the labels of each kind in all others, [n_columns, n_kinds].

        With ``everything`` only once, from all folds.
        """
        from scipy.linalg import cho_factor, cho_solve

        weights = {kind: 1.0 / (factors or {}).get(kind, 1.0) ** 2 for kind in kinds}
        totals = {kind: np.sum([fold[kind.place] for fold in self._grams], axis=0) for kind in kinds}
        for grams in [None] if everything else self._grams[:-1]:
            others = [
                weights[kind] * (total if grams is None else total - grams[kind.place])
                for kind, total in totals.items()
            ]
            system = np.sum([product[:-1, :-1] for product in others], axis=0)
            floor = 16 * np.finfo(np.float64).eps * np.trace(system)
            system[np.diag_indices_from(system)] += max(alpha, floor, np.finfo(np.float64).tiny)
            right = np.stack([product[:-1, -1] for product in others], axis=1)
            yield cho_solve(cho_factor(system, check_finite=False), right, check_finite=False)

    def errors(self, forms: dict[Quantity, FloatArray]) -> dict[Quantity, float]:
        """Return the held-out root mean square over the noise of every kind, the geometric mean of those of the folds.

        One structure that is unlike all others spoils one fold, not the comparison.

        Parameters
        ----------
        forms
            From :meth:`held_out`.
        """
        return {
            kind: math.exp(float(np.mean(log_errors(form, np.ones(form.shape[-1] - 1)))))
            for kind, form in forms.items()
        }


def log_errors(forms: FloatArray, scales: FloatArray, own: float | FloatArray = 1.0) -> FloatArray:
    """Return the logarithm of root mean squares, [n_folds, ...].

    Parameters
    ----------
    forms
        Of one kind, from :meth:`QuantityGrams.held_out`.
    scales
        What the labels of the fitted kinds are multiplied by, [K, ...].
    own
        Likewise those of this kind.
    """
    vector = np.concatenate([scales, -np.broadcast_to(own, scales.shape[1:])[None]])
    squares = np.einsum("a...,kab,b...->k...", vector, forms, vector)
    result: FloatArray = 0.5 * np.log(np.maximum(squares, np.finfo(np.float64).tiny))
    return result
