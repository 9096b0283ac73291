"""Whether a structure goes on from the one before, as the steps of dynamics do, or is another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

    from orbas.base.blocks import FloatArray

#: Å that an atom, and the strain that a cell, may change by from one evaluation to the next.
STEP, STRAIN = 0.25, 1e-3
#: The same since the last look.
FAR, STRAINED = 1.5, 0.02


@dataclass(frozen=True, slots=True, eq=False)
class _Geometry:
    numbers: np.ndarray
    pbc: np.ndarray
    cell: FloatArray
    positions: FloatArray

    def is_near(self, other: _Geometry, step: float, strain: float) -> bool:
        """Whether it has the same atoms, none moved by more than a step, in a cell that is strained no more."""
        if not (np.array_equal(self.numbers, other.numbers) and np.array_equal(self.pbc, other.pbc)):
            return False
        moved = other.positions
        if not np.array_equal(self.cell, other.cell):
            if np.linalg.matrix_rank(self.cell) < 3 or np.linalg.matrix_rank(other.cell) < 3:
                return False
            mapping = np.linalg.solve(other.cell, self.cell)
            if np.abs(mapping - np.eye(3)).max() > strain:
                return False
            moved = moved @ mapping
        apart = self.positions - moved
        if apart.size and np.abs(apart).max() > step and self.pbc.any():
            cell = np.where(self.pbc[:, None], self.cell, 0.0)  # wrapping is no jump
            apart = apart - np.rint(apart @ np.linalg.pinv(cell)) @ cell
        return bool(np.sum(apart**2, axis=1).max(initial=0.0) <= step**2)


class Continuation:
    """The structures of a calculator, one after the other.

    Every structure that is no small step from the one before, or that has come far from the one last looked at, is new:
    other atoms, another cell, a jump.
    """

    def __init__(self) -> None:
        self._last: _Geometry | None = None
        self._looked: _Geometry | None = None

    def is_new(self, atoms: Atoms) -> bool:
        """Take in the next structure; whether it is new."""
        now = _Geometry(atoms.numbers.copy(), atoms.pbc.copy(), atoms.cell.array.copy(), atoms.positions.copy())
        last, self._last = self._last, now
        new = last is None or not now.is_near(last, STEP, STRAIN)
        if not new and self._looked is not None:
            new = not now.is_near(self._looked, FAR, STRAINED)
        return new

    def looked(self) -> None:
        """Remember that the last structure was looked at."""
        self._looked = self._last
