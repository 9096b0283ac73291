"""Rows of features for fits on forces, one structure after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbas import _core, structures
from orbas.base.gradients import JacobianRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms


def rows_of(plan: _core.DensityPlan, invariant: _core.Invariant, frames: list[Atoms]) -> Iterator[JacobianRows]:
    """Check all structures, then yield the rows of one after the other.

    Parameters
    ----------
    plan
        The compiled expansion below the features.
    invariant
        The features.
    frames
        Structures.
    """
    batch = structures.to_batch(frames)
    _core.check_species(plan, batch)
    return (JacobianRows(*_core.rows(invariant, batch, k)) for k in range(len(frames)))
