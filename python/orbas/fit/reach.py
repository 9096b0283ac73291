"""How far an environment is from those of a training set, by the environments themselves.

Labels do not enter. A model that is linear in its features may be sure of the energy of a stretched crystal, as its
weights are known to many digits; that says nothing of whether the energy is linear out there. So every training
environment counts as one observation of its own energy, with a noise of a tenth of the typical signal, and what is left
open of another environment is its leverage ``x^T (X^T X + alpha)^-1 x``: below 1 for those of the training set, and
large for what points out of their span. The scale of the noise decides how small a component of features counts.

What a few odd environments say is not the yardstick of all others: it is the largest leverage that is usual, by the
median and the median deviation of the logarithms. Odd ones are in the training set all the same, hence not far: they
count as often as it takes for their leverage to be usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from orbas.base.linalg import eigh, product
from orbas.files.stored import is_number, stored
from orbas.fit.baseline import count_atoms
from orbas.fit.environments import environments
from orbas.fit.posterior import Posterior

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray
    from orbas.fit.design import LocalDesign

#: Training environments looked at, about.
_N_ENVIRONMENTS = 4096

#: Variance of the noise of an environment over the mean squared norm of the rows.
_NOISE = 0.01
#: Directions that hold less than this fraction of the noise in all environments together are as good as empty.
_EMPTY = 0.02
#: Usual are logarithms of leverages up to this many median deviations above the median.
_DEVIATIONS = 6.0
#: No more than this fraction of the structures can be odd.
_ODD = 0.1
#: A squared norm counts up to this many times the median for the scale of the noise.
_LONG = 10.0


@stored("Reach")
@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """The training environments of one species, as far as distances from them need.

    Attributes
    ----------
    environments
        The leverages of environments; ``directions`` are the few that training environments reach into.
    largest
        The largest usual leverage of a training environment.
    """

    environments: Posterior
    largest: float

    @classmethod
    def of(cls, rows: FloatArray, outside: FloatArray, shares: FloatArray | None = None) -> Self:
        """Take in environments.

        Parameters
        ----------
        rows
            Of the design, [n_environments, n_columns].
        outside
            From :meth:`Design.outside`, [n_environments].
        shares
            What each counts among the others, one over the atoms of its structure: one large odd structure is no more
            than one. [n_environments]; None for all alike.
        """
        alpha = _NOISE * _scale(np.sum(rows**2, axis=1) + outside)
        environments = _posterior(rows, alpha)
        leverages = environments.leverages(rows) + outside / alpha
        # An atom without features is not a place that others could be near to.
        somewhere = rows.any(axis=1) if rows.any() else np.ones(len(rows), dtype=bool)
        shares = np.ones(len(rows)) if shares is None else shares
        usual = _largest_usual(leverages[somewhere], shares[somewhere])
        odd = np.flatnonzero((leverages > usual) & somewhere)
        if odd.size:
            counts = np.ones(len(rows))
            counts[odd] = _counts(environments, rows[odd], usual - outside[odd] / alpha)
            environments = _posterior(np.sqrt(counts)[:, None] * rows, alpha)
        return cls(environments, usual)

    def ratios(self, rows: FloatArray, outside: FloatArray) -> FloatArray:
        """Return the root of the leverages over the largest usual one, [n_environments]."""
        leverages = self.environments.leverages(rows) + outside / self.environments.alpha
        if self.largest == 0:  # no training environment has features: whatever has is infinitely far
            return np.where(leverages > 0, np.inf, 0.0)
        ratios: FloatArray = np.sqrt(leverages / self.largest)
        return ratios

    def _check_restored(self) -> None:
        if not isinstance(self.environments, Posterior) or not (is_number(self.largest) and self.largest >= 0):
            raise TypeError("a reach needs environments, and a largest leverage that is not negative")


def reach_of(design: LocalDesign, frames: Sequence[Atoms], species: Sequence[int]) -> dict[int, Reach]:
    """Take in training environments, of structures evenly spread, and of every species: by atomic number."""
    step = max(1, sum(map(len, frames)) // _N_ENVIRONMENTS)
    firsts = {next(k for k, frame in enumerate(frames) if number in frame.numbers) for number in species}
    spread = [frames[k] for k in sorted(firsts | set(range(0, len(frames), step)))]
    counts = count_atoms(spread)
    shares = np.repeat(1.0 / np.maximum(counts, 1), counts)
    found: dict[int, list[tuple[FloatArray, ...]]] = {number: [] for number in species}
    for part in environments(design, spread):
        for number in np.unique(part.numbers).tolist():
            own = part.numbers == number
            found[number].append((part.rows[own], part.outside[own], shares[part.places[own]]))
    return {
        number: Reach.of(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        for number, parts in found.items()
    }


def _scale(squares: FloatArray) -> float:
    """Return the mean of squared norms, in which a few long rows count no more than others."""
    some = squares[squares > 0]
    return float(np.mean(np.minimum(squares, _LONG * np.median(some)))) if some.size else 1.0


def _largest_usual(leverages: FloatArray, shares: FloatArray) -> float:
    """Return the largest leverage, or what a robust look at all of them takes for it."""
    logs = np.log(np.maximum(leverages, np.finfo(np.float64).tiny))
    median = _quantile(logs, shares, 0.5)
    deviation = _quantile(np.abs(logs - median), shares, 0.5)
    if median + _DEVIATIONS * deviation >= logs.max():
        return float(leverages.max())
    return float(max(np.exp(median + _DEVIATIONS * deviation), _quantile(leverages, shares, 1.0 - _ODD)))


def _quantile(values: FloatArray, shares: FloatArray, fraction: float) -> float:
    """Return the least value that has this fraction of all shares at or below it."""
    order = np.argsort(values)
    below = np.cumsum(shares[order])
    return float(values[order[min(np.searchsorted(below, fraction * below[-1] * (1.0 - 1e-12)), len(order) - 1)]])


def _counts(environments: Posterior, rows: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return how often rows must count for leverages of no more than wanted, [n].

    One after the other, the largest first: to count one row more often also lowers the leverages of others.
    """
    shared, counts = environments.covariance(rows), np.ones(len(rows))
    for k in np.argsort(-np.diag(shared)):
        leverage = shared[k, k]
        if 0.0 < wanted[k] < leverage:
            counts[k] += 1.0 / wanted[k] - 1.0 / leverage
            shared -= np.outer(shared[:, k], shared[k]) * ((1.0 - wanted[k] / leverage) / leverage)
    return counts


def _posterior(rows: FloatArray, alpha: float) -> Posterior:
    directions, squares = _principal(rows, _EMPTY * alpha)
    return Posterior(directions, np.sqrt(squares), alpha, 1.0)


def _principal(rows: FloatArray, least: float) -> tuple[FloatArray, FloatArray]:
    """Return orthonormal directions [n_columns, k] and the sum of squares of the rows along each, above a bound.

    By eigenvectors of the smaller product of the rows with themselves: what its round-off blurs is below the bound.
    """
    columns = np.flatnonzero(rows.any(axis=0))
    own = rows[:, columns]
    wide = own.shape[1] > own.shape[0]
    squares, vectors = eigh(product(own, own.T) if wide else product(own.T, own))
    kept = squares > least
    squares = squares[kept]
    found = own.T @ (vectors[:, kept] / np.sqrt(squares)) if wide else vectors[:, kept]
    directions = np.zeros((rows.shape[1], len(squares)))
    directions[columns] = found
    return directions, squares
