"""Rows of the design for every atom, in pieces of atoms: the memory does not grow with the structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.fit.baseline import count_atoms
from orbas.fit.design import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray, IntArray
    from orbas.fit.design import LocalDesign

#: Bytes that rows and features of a piece may take, about.
_BYTES = 2**25
#: The most atoms of a piece.
_MOST = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Environments:
    """Some environments, in no order.

    Attributes
    ----------
    places
        Which atoms they are of, counted through all structures, [n].
    rows
        Of the design, [n, n_columns].
    outside
        From :meth:`Design.outside`, [n].
    numbers
        Atomic numbers, [n].
    """

    places: IntArray
    rows: FloatArray
    outside: FloatArray
    numbers: IntArray


def piece_of(design: LocalDesign) -> int:
    """Return how many atoms are worked on at once."""
    return int(np.clip(_BYTES // (8 * max(design.n_numbers, 1)), 32, _MOST))


def environments(design: LocalDesign, frames: Sequence[Atoms]) -> Iterator[Environments]:
    """Yield the environments of all atoms, small structures together, large ones in clusters of neighboring atoms.

    Structures are cut only if the design knows how far an environment reaches.

    Raises
    ------
    ValueError
        For bad structures or coincident atoms, with the atoms of the structure as it was before it was cut.
    """
    most = piece_of(design)
    start = 0
    for first, last in pieces(frames, most):
        *small, final = frames[first:last]
        large = len(final) > most and design.cutoff is not None
        together = small if large else [*small, final]
        if together:
            yield _whole(design, together, start)
            start += sum(map(len, together))
        if large:
            yield from _cut(design, final, start, most, last - 1)
            start += len(final)


def summed(design: LocalDesign, frames: Sequence[Atoms]) -> tuple[FloatArray, FloatArray]:
    """Return the sums of rows [n_structures, n_columns] and of what is outside [n_structures] over structures."""
    structure = np.repeat(np.arange(len(frames)), count_atoms(frames))
    rows, outside = np.zeros((len(frames), design.n_columns)), np.zeros(len(frames))
    for part in environments(design, frames):
        of = structure[part.places]
        for k in np.unique(of):
            rows[k] += part.rows[of == k].sum(axis=0)
            outside[k] += part.outside[of == k].sum()
    return rows, outside


def _whole(design: LocalDesign, frames: Sequence[Atoms], start: int) -> Environments:
    rows = design.atoms(frames)
    numbers = np.concatenate([frame.numbers for frame in frames])
    return Environments(start + np.arange(len(numbers)), rows, design.outside(rows), numbers)


def _cut(design: LocalDesign, atoms: Atoms, start: int, n_members: int, structure: int) -> Iterator[Environments]:
    from orbas import structures
    from orbas.structures.clusters import cluster_centers, clusters

    assert design.cutoff is not None
    structures.to_batch([atoms])  # what is wrong with the structure is said of it, not of a piece
    extent = np.ptp(atoms.positions, axis=0) + 1.0
    volume = abs(np.linalg.det(atoms.cell.array)) if all(atoms.pbc) else float(np.prod(extent))
    n_centers = cluster_centers(len(atoms), volume, design.cutoff, n_members)
    for centers, cluster in clusters(atoms, design.cutoff, n_centers):
        try:
            rows = design.atoms([cluster])[: len(centers)]
        except ValueError as error:
            structures.neighbor_list("i", atoms, design.cutoff)  # names the coincident atoms
            error.add_note(f"in a piece of structure {structure}")
            raise
        yield Environments(start + centers, rows, design.outside(rows), atoms.numbers[centers])
