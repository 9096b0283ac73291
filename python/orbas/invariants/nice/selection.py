"""Which channels are coupled: pairs by importance, symmetric ones once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.files.stored import stored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orbas.base.types import FloatArray, IntArray

    PairArray = NDArray[np.uint32]

#: Behavior under rotation and inversion: (o3_lambda, o3_sigma).
Symmetry = tuple[int, int]

#: Importances closer than this, relative to each other, are a tie, which the order of the channels decides.
TIE = 1e-9


@stored("Coupling")
@dataclass(frozen=True, slots=True, eq=False)
class Coupling:
    """Pairs of a density channel of degree l and a channel of the order below.

    ``pairs`` [n, 2], ``factors`` [n]; pairs from ``distinct`` on are a channel with itself, whose products of odd
    ``2 l + o3_lambda`` vanish.
    """

    l: int
    second: Symmetry
    pairs: PairArray
    factors: FloatArray
    distinct: int

    def count(self, o3_lambda: int) -> int:
        """Return how many pairs, the first ones, have a product of this degree."""
        return self.distinct if (self.l + self.second[0] + o3_lambda) % 2 else len(self.pairs)


def coupled(l: int, second: Symmetry, o3_lambda: int) -> Symmetry:
    """Return the symmetry that degree l and ``second`` couple to at ``o3_lambda`` (Eq. 11)."""
    return o3_lambda, second[1] * (-1) ** (l + second[0] + o3_lambda)


def parity(l: int, second: Symmetry) -> int:
    """Return the sign that inversion gives the products of a coupling."""
    return -second[1] if (l + second[0]) % 2 else second[1]


def reached(l: int, second: Symmetry, max_lambda: int | None, signs: tuple[int, ...]) -> list[Symmetry]:
    """Return all symmetries that a coupling reaches within the limits."""
    top = l + second[0] if max_lambda is None else min(l + second[0], max_lambda)
    every = (coupled(l, second, o3_lambda) for o3_lambda in range(abs(l - second[0]), top + 1))
    return [symmetry for symmetry in every if symmetry[1] in signs]


def ranking(importance: FloatArray) -> IntArray:
    """Return indices by falling importance; ties, to a relative 1e-9, stay in the order they are in.

    Without a tolerance, channels that are equal by symmetry would be ranked by their rounding errors.
    """
    order = np.argsort(-importance, kind="stable")
    sorted_ = importance[order]
    steps = sorted_[1:] < sorted_[:-1] * (1 - TIE)
    group = np.concatenate([[0], np.cumsum(steps)]) if len(order) else np.zeros(0)
    return order[np.lexsort((order, group))]


def select_couplings(
    density: list[FloatArray],
    below: dict[Symmetry, FloatArray],
    n_pairs: int | None,
    *,
    halve: bool,
    max_lambda: int | None,
    signs: tuple[int, ...],
) -> list[Coupling]:
    """Choose the pairs of largest importance, the product of the variances of both channels.

    Variances are absolute, so that pairs of all degrees compete. Pairs whose product keeps its sign under inversion and
    those where it changes, whatever they are coupled to, are ranked apart: ``n_pairs`` of each are kept.

    Parameters
    ----------
    density
        Variances of the density channels, [l][q].
    below
        Variances of the channels of the order below by symmetry.
    n_pairs
        How many; None for all.
    halve
        The order below is the density itself: a pair stands for both its orders and carries sqrt 2.
    max_lambda, signs
        Limits on what is made of the pairs; those that reach nothing are not ranked.
    """
    tables = []
    for l, first in enumerate(density):
        for second, other in below.items():
            if (halve and l > second[0]) or not reached(l, second, max_lambda, signs):
                continue
            pairs = np.indices((len(first), len(other))).reshape(2, -1).T
            if halve and l == second[0]:
                pairs = pairs[pairs[:, 0] <= pairs[:, 1]]
            tables.append((l, second, pairs, first[pairs[:, 0]] * other[pairs[:, 1]]))
    keep = [np.ones(len(pairs), dtype=bool) for _, _, pairs, _ in tables]
    for sign in (1, -1) if n_pairs is not None else ():
        of_sign = [k for k, (l, second, _, _) in enumerate(tables) if parity(l, second) == sign]
        importance = np.concatenate([np.zeros(0), *(tables[k][3] for k in of_sign)])
        chosen = np.zeros(len(importance), dtype=bool)
        chosen[ranking(importance)[:n_pairs]] = True
        for k, part in zip(of_sign, _split(chosen, [keep[k] for k in of_sign]), strict=True):
            keep[k] = part
    couplings = [
        _coupling(l, second, pairs[kept], halve)
        for (l, second, pairs, _), kept in zip(tables, keep, strict=True)
        if kept.any()
    ]
    return couplings


def _split(array: NDArray[np.bool_], like: list[NDArray[np.bool_]]) -> list[NDArray[np.bool_]]:
    return np.split(array, np.cumsum([len(part) for part in like])[:-1]) if like else []


def _coupling(l: int, second: Symmetry, pairs: IntArray, halve: bool) -> Coupling:
    itself = halve & (l == second[0]) & (pairs[:, 0] == pairs[:, 1])
    pairs = np.concatenate([pairs[~itself], pairs[itself]])
    distinct = len(pairs) - int(np.count_nonzero(itself))
    factors = np.ones(len(pairs))
    if halve:
        factors[:distinct] = np.sqrt(2)
    return Coupling(l, second, pairs.astype(np.uint32), factors, distinct)


def select_invariants(
    density: list[FloatArray],
    below: dict[Symmetry, FloatArray],
    n_pairs: int | None,
    *,
    halve: bool,
) -> tuple[PairArray, FloatArray]:
    """Choose pairs of equal degree for invariants, likewise: pairs [n, 3] as (l, q1, q2), and their factors."""
    tables, importances = [np.zeros((0, 3), dtype=np.int64)], [np.zeros(0)]
    for l, first in enumerate(density):
        other = below.get((l, 1), np.zeros(0))
        pairs = np.indices((len(first), len(other))).reshape(2, -1).T
        if halve:
            pairs = pairs[pairs[:, 0] <= pairs[:, 1]]
        tables.append(np.column_stack([np.full(len(pairs), l), pairs]))
        importances.append(first[pairs[:, 0]] * other[pairs[:, 1]])
    pairs, importance = np.concatenate(tables), np.concatenate(importances)
    if n_pairs is not None:
        pairs = pairs[np.sort(ranking(importance)[:n_pairs])]
    twice = halve & (pairs[:, 1] != pairs[:, 2])
    return pairs.astype(np.uint32), np.where(twice, np.sqrt(2), 1.0)
