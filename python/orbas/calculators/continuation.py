"""Whether a structure goes on from the one before, as the steps of dynamics do, or is another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

    from orbas.base.types import FloatArray

#: Å that an atom, and the strain that a cell, may change by from one evaluation to the next.
STEP, STRAIN = 0.25, 1e-3
#: The same since the last look.
FAR, STRAINED = 1.5, 0.02
#: How many structures are remembered, and atoms of all of them together.
LINES, ATOMS = 64, 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Geometry:
    numbers: np.ndarray
    pbc: np.ndarray
    cell: FloatArray
    positions: FloatArray

    @classmethod
    def of(cls, atoms: Atoms) -> Self:
        """Copy what counts: of the cell, the directions that repeat."""
        cell, pbc = atoms.cell, atoms.pbc.copy()
        if not pbc.all():
            cell = cell.copy()
            cell[~pbc] = 0.0
            cell = cell.complete()
        return cls(atoms.numbers.copy(), pbc, cell.array.copy(), atoms.positions.copy())

    def is_near(self, other: _Geometry, step: float, strain: float) -> bool:
        """Whether it has the same atoms, none moved by more than a step, in a cell that is strained no more."""
        if len(self.numbers) != len(other.numbers):
            return False
        if not ((self.numbers == other.numbers).all() and (self.pbc == other.pbc).all()):
            return False
        moved = other.positions
        if not (self.cell == other.cell).all():
            mapping = np.linalg.solve(other.cell, self.cell)
            if np.abs(mapping - np.eye(3)).max() > strain:
                return False
            moved = moved @ mapping
        apart = self.positions - moved
        if not apart.size or max(apart.max(), -apart.min()) <= step / np.sqrt(3.0):
            return True
        if self.pbc.any():
            cell = np.where(self.pbc[:, None], self.cell, 0.0)  # wrapping is no jump
            apart = apart - np.rint(apart @ np.linalg.pinv(cell)) @ cell
        return bool(np.sum(apart**2, axis=1).max() <= step**2)


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """A run, or a bead or image of one: where it was last, and when it was last looked at."""

    last: _Geometry
    looked: _Geometry


class Continuation:
    """The structures of a calculator: which go on from one before, and which are new.

    New is what is no small step from any of the last structures, or has come far from where its own run was last looked
    at: other atoms, another cell, a jump. The last structures are several, since the beads of a path integral and the
    images of a band take turns.
    """

    def __init__(self) -> None:
        self._lines: list[_Line] = []

    def is_new(self, atoms: Atoms) -> bool:
        """Take in the next structure; whether it is new."""
        now = _Geometry.of(atoms)
        for k, line in enumerate(self._lines):
            if now.is_near(line.last, STEP, STRAIN):
                del self._lines[k]
                self._lines.insert(0, _Line(now, line.looked))
                return not now.is_near(line.looked, FAR, STRAINED)
        self._lines.insert(0, _Line(now, now))
        del self._lines[max(1, min(LINES, ATOMS // max(len(atoms), 1))) :]
        return True

    def looked(self) -> None:
        """Remember that the last structure was looked at."""
        now = self._lines[0].last
        self._lines[0] = _Line(now, now)
