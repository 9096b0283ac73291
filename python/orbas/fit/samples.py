"""Training structures as samples: which are copies, which belong together, what only few of them have."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.fit.copies import find_copies
from orbas.fit.folds import folds_for, joined, plain_folds
from orbas.fit.regularization import HoldOut, KFold, LeaveOneOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import BoolArray, IntArray
    from orbas.fit.folds import Folds
    from orbas.fit.regularization import Regularization
    from orbas.structures.io import Labels

_LOG = logging.getLogger("orbas")


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What decides on folds.

    Attributes
    ----------
    frames
        Training structures.
    groups
        Structures with the same number are held out together, [n_structures].
    kinds
        From :func:`kinds_of`.
    always
        Which structures are never held out, [n_structures].
    copies
        From :func:`orbas.fit.copies.find_copies`, of those that are nearly equal too.
    """

    frames: list[Atoms]
    groups: IntArray
    kinds: BoolArray
    always: BoolArray
    copies: IntArray

    def folds(self, rule: Regularization) -> Folds:
        """Return the folds of a rule; copies share one."""
        if not isinstance(rule, KFold | HoldOut | LeaveOneOut):
            return plain_folds(rule, len(self.frames))
        for nearly in (True, False):
            copies = self.copies if nearly else find_copies(self.frames, nearly=False)
            units = joined(self.groups, copies)
            # Where everything is nearly equal, as in small displacements of a crystal, only what is equal is one.
            if len(np.unique(units[~self.always])) >= _wanted(rule):
                break
        n_copies = len(copies) - len(np.unique(copies))
        if n_copies:
            _LOG.warning(
                "%d of %d training structures are equal or nearly equal to others: such are held out together",
                n_copies,
                len(self.frames),
            )
        return folds_for(rule, units, self.kinds, self.always)


def kinds_of(frames: Sequence[Atoms], labels: Labels) -> BoolArray:
    """Return which structures have each species and each kind of label, [n_structures, n_kinds]."""
    species = sorted({int(number) for frame in frames for number in np.unique(frame.numbers)})
    columns: list[list[bool]] = [[number in frame.numbers for frame in frames] for number in species]
    columns.append([bool(np.isfinite(energy)) for energy in labels.energies])
    if labels.forces is not None:
        columns.append([force is not None and bool(np.isfinite(force).any()) for force in labels.forces])
    if labels.stress is not None:
        columns.append([bool(np.isfinite(stress).any()) for stress in labels.stress])
    return np.array(columns, dtype=bool).reshape(len(columns), len(frames)).T


def _wanted(rule: KFold | HoldOut | LeaveOneOut) -> int:
    """Return how many units a rule wants at least."""
    return rule.n_folds if isinstance(rule, KFold) else 2
