"""Which training structures are held out together when a regularizer is chosen.

What is alike stays together: copies of a structure, and structures of one group. What only few structures have, a
species or a kind of label, is never missing where weights are fitted: such structures are spread over folds, and one
that is alone with it is never held out. Isolated atoms are never held out either.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.base.names import did_you_mean
from orbas.fit.regularization import HoldOut, KFold, LeaveOneOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import BoolArray, IntArray
    from orbas.fit.regularization import Regularization

_LOG = logging.getLogger("orbas")


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """What is held out, and what never is.

    Attributes
    ----------
    fold
        The fold of every structure, [n_structures], from 0 on; -1 for one that is always fitted.
    """

    fold: IntArray

    def take(self, structures: IntArray) -> Folds:
        """Return the folds of some structures, without those that are empty then."""
        fold = self.fold[structures]
        _, places = np.unique(fold[fold >= 0], return_inverse=True)
        result = np.full(len(fold), -1)
        result[fold >= 0] = places
        return Folds(result)

    @property
    def count(self) -> int:
        """Number of folds."""
        return int(self.fold.max(initial=-1)) + 1

    @property
    def members(self) -> list[IntArray]:
        """The rising indices of the structures of every fold."""
        order = np.argsort(self.fold, kind="stable")
        ends = np.searchsorted(self.fold[order], np.arange(self.count + 1))
        return [order[a:b] for a, b in itertools.pairwise(ends)]

    @property
    def held_out(self) -> IntArray:
        """The rising indices of the structures that are held out at all."""
        return np.flatnonzero(self.fold >= 0)


def groups_of(groups: str | tuple[str, ...] | None, frames: Sequence[Atoms]) -> IntArray:
    """Return the group of every structure as a number, [n_structures]; without groups each is one of its own.

    Raises
    ------
    ValueError
        If no structure has the key, or there are not as many labels as structures.
    """
    if groups is None:
        return np.arange(len(frames))
    if not isinstance(groups, str):
        return _numbered(list(groups), len(frames))
    labels = [frame.info.get(groups) for frame in frames]
    n_missing = sum(label is None for label in labels)
    if frames and n_missing == len(frames):
        keys = sorted({str(key) for frame in frames for key in frame.info})
        raise ValueError(f"no structure has groups={groups!r} in its info{did_you_mean(groups, keys)}")
    if n_missing:
        _LOG.warning("%d of %d structures have no %s: each is a group of its own", n_missing, len(frames), groups)
    return _numbered(labels, len(frames))


def joined(first: IntArray, second: IntArray) -> IntArray:
    """Return groups that hold together what either holds together, [n_structures]."""
    parents = list(range(len(first)))

    def root(k: int) -> int:
        while parents[k] != k:
            parents[k] = parents[parents[k]]
            k = parents[k]
        return k

    for labels in (first, second):
        leaders: dict[int, int] = {}
        for k, label in enumerate(labels.tolist()):
            parents[root(k)] = root(leaders.setdefault(label, k))
    return np.array([root(k) for k in range(len(first))], dtype=np.int64)


def k_folds(rule: KFold, units: IntArray, rare: BoolArray, always: BoolArray) -> Folds:
    """Return K folds of whole units.

    Parameters
    ----------
    rule
        Number of folds and seed.
    units
        Structures with the same number stay together, [n_structures].
    rare
        Which structures have a species or a kind of label, [n_structures, n_kinds].
    always
        Which structures are never held out, [n_structures].

    Raises
    ------
    ValueError
        If there are less than two units to hold out.
    """
    order = np.random.default_rng(rule.seed).permutation(len(units))
    members = _members(units, order[~always[order]])
    if len(members) < 2:
        raise ValueError(f"KFold needs two groups of structures that differ at least, got {len(members)}")
    n_folds = min(rule.n_folds, len(members))
    if n_folds < rule.n_folds:
        _LOG.warning("%d folds of %d were asked for: there are %d groups of structures", n_folds, rule.n_folds, n_folds)
    fold = np.full(len(units), -1, dtype=np.int64)
    large = sorted((part for part in members if len(part) > 1), key=len, reverse=True)
    sizes = [(0, k) for k in range(n_folds)]
    for part in large:  # each into the smallest fold
        size, k = heapq.heappop(sizes)
        fold[part] = k
        heapq.heappush(sizes, (size + len(part), k))
    singles = [part[0] for part in members if len(part) == 1]
    counts = np.zeros(n_folds, dtype=np.int64)
    for _ in singles:
        size, k = sizes[0]
        counts[k] += 1
        heapq.heapreplace(sizes, (size + 1, k))
    fold[singles] = np.repeat(np.arange(n_folds), counts)
    return Folds(_spread(fold, units, rare))


def hold_out(rule: HoldOut, units: IntArray, rare: BoolArray, always: BoolArray) -> Folds:
    """Return the last structures as the only fold, and with them what belongs to them; parameters as :func:`k_folds`.

    Raises
    ------
    ValueError
        If nothing is left to fit.
    """
    candidates = np.flatnonzero(~always)
    held_out = np.isin(units, units[candidates[-rule.n_validation :]]) & ~always
    fold = np.where(held_out, 0, -1)
    for kind in rare.T:
        if kind.any() and held_out[kind].all():
            first = units[np.flatnonzero(kind)[0]]
            fold[units == first] = -1
    if (fold < 0).all() or (fold == 0).sum() == len(candidates):
        raise ValueError(
            f"HoldOut({rule.n_validation}) leaves nothing to fit, or nothing held out: the last structures belong "
            "together with all others"
        )
    return Folds(fold)


def leave_out(units: IntArray, rare: BoolArray, always: BoolArray) -> Folds:
    """Return a fold for every unit; parameters as :func:`k_folds`."""
    members = _members(units, np.flatnonzero(~always))
    if len(members) < 2:
        raise ValueError(f"LeaveOneOut needs two groups of structures that differ at least, got {len(members)}")
    fold = np.full(len(units), -1, dtype=np.int64)
    for k, part in enumerate(members):
        fold[part] = k
    return Folds(_compacted(_spread(fold, units, rare)))


def _members(units: IntArray, order: IntArray) -> list[IntArray]:
    """Return the structures of every unit, in the order in which units first come."""
    found: dict[int, list[int]] = {}
    for k in order.tolist():
        found.setdefault(int(units[k]), []).append(k)
    return [np.array(part) for part in found.values()]


def _spread(fold: IntArray, units: IntArray, rare: BoolArray) -> IntArray:
    """Return folds such that nothing that is rare is missing where the others are fitted."""
    fold = fold.copy()
    for kind in rare.T:
        own = np.flatnonzero(kind)
        if own.size == 0 or not _in_one_fold(fold[own]):
            continue
        parts = _members(units, own)
        # One unit goes elsewhere; a single one is always fitted.
        part = min((np.flatnonzero(units == units[part[0]]) for part in parts), key=len)
        sizes = np.bincount(fold[fold >= 0], minlength=int(fold.max()) + 1)
        home = fold[own[0]]
        others = [int(k) for k in np.argsort(sizes, kind="stable") if k != home and sizes[k]]
        choices = others if len(parts) > 1 else []
        for choice in [*choices, -1]:
            moved = fold.copy()
            moved[part] = choice
            lost = [k for k in rare.T if k.any() and not _in_one_fold(fold[k]) and _in_one_fold(moved[k])]
            if not lost:
                fold = moved
                break
    return fold


def _in_one_fold(folds: IntArray) -> bool:
    """Whether all are held out together: never if one is always fitted."""
    return bool(folds[0] >= 0 and (folds == folds[0]).all())


def _compacted(fold: IntArray) -> IntArray:
    """Return folds with rising numbers, none of them empty."""
    numbers = np.unique(fold[fold >= 0])
    return np.where(fold < 0, -1, np.searchsorted(numbers, fold))


def folds_for(rule: Regularization, units: IntArray, rare: BoolArray, always: BoolArray) -> Folds:
    """Return the folds of a rule; one without held-out structures has none."""
    match rule:
        case KFold():
            return k_folds(rule, units, rare, always)
        case HoldOut():
            return hold_out(rule, units, rare, always)
        case LeaveOneOut():
            return leave_out(units, rare, always)
        case _:
            return Folds(np.full(len(units), -1, dtype=np.int64))


def plain_folds(rule: Regularization, n_samples: int) -> Folds:
    """Return the folds of a rule for rows of a matrix, of which nothing is known but the groups that are given.

    Raises
    ------
    ValueError
        If groups are a key of structures, or there are not as many as rows.
    """
    groups = getattr(rule, "groups", None)
    if isinstance(groups, str):
        raise ValueError(f"groups={groups!r} is a key of structures, which rows of a matrix have not: give a list")
    units = np.arange(n_samples) if groups is None else _numbered(list(groups), n_samples)
    return folds_for(rule, units, np.zeros((n_samples, 0), dtype=bool), np.zeros(n_samples, dtype=bool))


def _numbered(labels: list[Any], n_samples: int) -> IntArray:
    """Return groups as numbers, [n_samples]; what has no label is one of its own."""
    if len(labels) != n_samples:
        raise ValueError(f"groups has {len(labels)} labels for {n_samples} structures or samples")
    numbers: dict[str, int] = {}
    found = [-1 if label is None else numbers.setdefault(str(label), len(numbers)) for label in labels]
    return np.where(np.array(found, dtype=np.int64) < 0, len(numbers) + np.arange(n_samples), found)
