"""Large structures as clusters: some atoms, with everything that they can see of the others and of periodic images."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms

    from orbas.base.types import FloatArray, IntArray

#: Added to the cutoff, Å: neighbors at the cutoff itself weigh nothing, but round-off must not decide on them.
_MARGIN = 1e-6


def clusters(atoms: Atoms, cutoff: float, n_centers: int) -> Iterator[tuple[IntArray, Atoms]]:
    """Yield all atoms in groups of neighbors, each with a cluster that its environments are the same in.

    Parameters
    ----------
    atoms
        A structure with finite positions and a cell that spans its periodic directions.
    cutoff
        How far an environment reaches, in Å.
    n_centers
        The most atoms of a group.

    Yields
    ------
    centers
        Indices of the group, [n]; every atom is in one group.
    cluster
        Without periodicity; its first n atoms are the group.
    """
    from ase import Atoms as Structure

    wrapped, cell = _wrapped(atoms)
    places, owners = _with_images(wrapped, cell, np.asarray(atoms.pbc), cutoff + _MARGIN)
    numbers = atoms.numbers
    for centers, near in _halves(np.arange(len(atoms)), np.arange(len(places)), places, cutoff + _MARGIN, n_centers):
        around = near[~np.isin(near, centers)]
        members = np.concatenate([centers, around])
        yield centers, Structure(numbers[owners[members]], places[members])


def cluster_centers(n_atoms: int, volume: float, cutoff: float, n_members: int) -> int:
    """Return how many centers a cluster of about ``n_members`` atoms has at the density of a structure; at least 32."""
    density = n_atoms / volume
    edge = max((n_members / density) ** (1.0 / 3.0) - 2.0 * cutoff, 0.0)
    return max(32, int(density * edge**3))


def _wrapped(atoms: Atoms) -> tuple[FloatArray, FloatArray]:
    """Return positions inside the cell along its periodic directions, and the cell, completed along the others."""
    given = atoms.cell.copy()
    given[~np.asarray(atoms.pbc)] = 0.0
    cell = given.complete().array
    shifts = np.floor(np.linalg.solve(cell.T, atoms.positions.T).T) * atoms.pbc
    return atoms.positions - shifts @ cell, cell


def _with_images(places: FloatArray, cell: FloatArray, pbc: IntArray, cutoff: float) -> tuple[FloatArray, IntArray]:
    """Return the atoms, then all images that one of them can see, and the atom that each is an image of."""
    low, high = places.min(axis=0) - cutoff, places.max(axis=0) + cutoff
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
    fractions = np.linalg.solve(cell.T, corners.T).T
    first, last = np.floor(fractions.min(axis=0)).astype(int), np.floor(fractions.max(axis=0)).astype(int)
    ranges = [range(a, b + 1) if periodic else (0,) for a, b, periodic in zip(first, last, pbc, strict=True)]
    parts, owners = [places], [np.arange(len(places))]
    for shift in itertools.product(*ranges):
        if any(shift):
            moved = places + np.array(shift) @ cell
            seen = np.flatnonzero(((moved > low) & (moved < high)).all(axis=1))
            parts.append(moved[seen])
            owners.append(seen)
    return np.concatenate(parts), np.concatenate(owners)


def _halves(
    centers: IntArray, near: IntArray, places: FloatArray, cutoff: float, n_centers: int
) -> Iterator[tuple[IntArray, IntArray]]:
    """Cut atoms in two along the longest axis until they are few, with all places in the box around them."""
    low, high = places[centers].min(axis=0), places[centers].max(axis=0)
    among = places[near]
    near = near[((among > low - cutoff) & (among < high + cutoff)).all(axis=1)]
    if len(centers) <= n_centers:
        yield centers, near
        return
    axis = int(np.argmax(high - low))
    middle = len(centers) // 2
    order = np.argpartition(places[centers, axis], middle)
    for half in (centers[order[:middle]], centers[order[middle:]]):
        yield from _halves(half, near, places, cutoff, n_centers)
