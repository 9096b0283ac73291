"""How far an environment is from those of a training set, by the environments themselves.

Labels do not enter. A model that is linear in its features may be sure of the energy of a stretched crystal, as its
weights are known to many digits; that says nothing of whether the energy is linear out there. So every training
environment counts as one observation of its own energy, with a noise of a tenth of the typical signal, and what is left
open of another environment is its leverage ``x^T (X^T X + alpha)^-1 x``: below 1 for those of the training set, and
large for what points out of their span. The scale of the noise decides how small a component of features counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from orbas.fit.posterior import Posterior

if TYPE_CHECKING:
    from orbas.base.blocks import FloatArray

#: Variance of the noise of an environment over the mean squared norm of the rows.
_NOISE = 0.01
#: Directions that hold less than this fraction of the noise in all environments together are as good as empty.
_EMPTY = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """The training environments of one species, as far as distances from them need.

    Attributes
    ----------
    environments
        The leverages of environments; ``directions`` are the few that training environments reach into.
    largest
        Leverage of the outermost training environment.
    """

    environments: Posterior
    largest: float

    @classmethod
    def of(cls, rows: FloatArray, outside: FloatArray) -> Self:
        """Take in environments.

        Parameters
        ----------
        rows
            Of the design, [n_environments, n_columns].
        outside
            From :meth:`Design.outside`, [n_environments].
        """
        scale = float(np.mean(np.sum(rows**2, axis=1) + outside)) or 1.0
        alpha = _NOISE * scale
        directions, squares = _principal(rows, _EMPTY * alpha)
        environments = Posterior(directions, np.sqrt(squares), alpha, 1.0)
        leverages = environments.leverages(rows) + outside / alpha
        # An atom without features is not a place that others could be near to.
        somewhere = rows.any(axis=1)
        return cls(environments, float(leverages[somewhere if somewhere.any() else slice(None)].max()))

    def ratios(self, rows: FloatArray, outside: FloatArray) -> FloatArray:
        """Return the root of the leverages over the largest of the training environments, [n_environments]."""
        leverages = self.environments.leverages(rows) + outside / self.environments.alpha
        if self.largest == 0:  # no training environment has features: whatever has is infinitely far
            return np.where(leverages > 0, np.inf, 0.0)
        ratios: FloatArray = np.sqrt(leverages / self.largest)
        return ratios


def _principal(rows: FloatArray, least: float) -> tuple[FloatArray, FloatArray]:
    """Return orthonormal directions [n_columns, k] and the sum of squares of the rows along each, above a bound.

    By eigenvectors of the smaller product of the rows with themselves: what its round-off blurs is below the bound.
    """
    columns = np.flatnonzero(rows.any(axis=0))
    own = rows[:, columns]
    wide = own.shape[1] > own.shape[0]
    squares, vectors = np.linalg.eigh(own @ own.T if wide else own.T @ own)
    kept = squares > least
    squares = squares[kept]
    found = own.T @ (vectors[:, kept] / np.sqrt(squares)) if wide else vectors[:, kept]
    directions = np.zeros((rows.shape[1], len(squares)))
    directions[columns] = found
    return directions, squares
