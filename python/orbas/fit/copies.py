"""Structures that stand several times among others: equal or nearly so, shifted, turned, in another order of atoms.

What is compared is the smoothed distribution of the distances between neighbors of each pair of species, and the
composition: it is the same for every copy, whatever the features of a model are. Nearly equal is what differs by less
than a small displacement of the atoms would make.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from orbas.fit.baseline import species_of
from orbas.fit.design import pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray, IntArray
    from orbas.invariants.spectra import RadialSpectrum

#: Sums over neighbors that are compared, in Å: how far, how sharply, how many functions and combinations of them.
_RADIUS = 5.0
_WIDTH = 0.3
_N_RADIAL = 8
_N_COMBINATIONS = 16
#: Displacement of all atoms, in Å, that makes the scale, and the fraction of it that is nearly nothing.
_RATTLE = 0.1
_NEARLY = 0.02
#: Distributions closer than this, relative to their norm, are equal: positions of five digits.
_EQUAL = 1e-5
#: Sizes whose logarithms are closer are worth a second look.
_CLOSE = 3e-3
#: Atoms worked on at once.
_CHUNK = 4096
#: An imprint has so many numbers, per atom, and counts in these steps.
_N_NUMBERS = 4
_STEP = 2e-5


def sums_of(frames: Sequence[Atoms], species: tuple[int, ...]) -> FloatArray:
    """Return combinations of sums over neighbors in the compiled core, [n_structures, n_combinations].

    Those of a structure do not depend on the other structures, nor on species that it does not have.
    """
    spectrum, weights = _compared(species or (1,))
    rows = np.zeros((len(frames), _N_COMBINATIONS))
    for start, stop in pieces(frames, _CHUNK):
        rows[start:stop] = spectrum.transform(frames[start:stop]).per_structure() @ weights
    return rows


@lru_cache(maxsize=16)
def _compared(species: tuple[int, ...]) -> tuple[RadialSpectrum, FloatArray]:
    """Return the features that are compared, and the weights of their combinations, [n_columns, n_combinations]."""
    from orbas.bases import GTO
    from orbas.density.expansion import DensityExpansion
    from orbas.density.weight import Cutoff
    from orbas.invariants.spectra import RadialSpectrum

    expansion = DensityExpansion(
        cutoff=Cutoff(_RADIUS, 1.0, "smooth"),
        density_width=_WIDTH,
        max_angular=0,
        basis=GTO(_N_RADIAL),
        species=species,
        center_weight=0.0,
        spline_accuracy=1e-6,
    )
    # Irrational weights keep centers, neighbors and functions apart.
    numbers = np.array(species)
    phases = numbers[:, None, None] * 2**0.5 + numbers[:, None] * 3**0.5 + np.arange(_N_RADIAL) * 5**0.5
    weights = np.cos(phases.reshape(-1, 1) * np.sqrt(np.arange(1, _N_COMBINATIONS + 1) + 0.25))
    return RadialSpectrum(expansion), weights


def find_copies(frames: Sequence[Atoms], *, nearly: bool = True) -> IntArray:
    """Return a number for every structure that it shares with its copies, [n_structures].

    Parameters
    ----------
    frames
        Structures.
    nearly
        Whether structures that are nearly equal count too.
    """
    groups = np.arange(len(frames))
    for candidates in _alike(frames):
        some = [frames[k] for k in candidates.tolist()]
        species = species_of(some[:1])
        try:
            marks = sums_of([*some, *(_displaced(some[0]) if nearly else ())], species)
        except ValueError:  # what is wrong with a structure is said where its rows are made
            continue
        marks, moved = marks[: len(some)], marks[len(some) :]
        tolerance = _EQUAL * float(np.linalg.norm(marks, axis=1).max())
        if nearly:
            scale = np.linalg.norm(moved - marks[0], axis=1)
            tolerance = max(tolerance, _NEARLY * float(scale[0] or scale[1]))
        groups[candidates] = candidates[_leaders(marks, tolerance)]
    return groups


def imprints(frames: Sequence[Atoms]) -> IntArray:
    """Return four numbers for every structure that its copies share, to one step: [n_structures, 4]."""
    rows = sums_of(frames, species_of(frames))[:, :_N_NUMBERS]
    for row, atoms in zip(rows, frames, strict=True):
        row /= max(len(atoms), 1)
        # Compositions count too, and atoms without neighbors.
        row += len(atoms) * np.sqrt([5.0, 7.0, 11.0, 13.0]) + float(atoms.numbers.sum()) * np.sqrt([3.0, 5.0, 7.0, 2.0])
    return np.rint(rows / _STEP).astype(np.int64)


def common(some: IntArray, others: IntArray) -> IntArray:
    """Return which of some imprints are among others, as rising indices."""
    others = others[np.argsort(others[:, 0])]
    first = np.searchsorted(others[:, 0], some[:, 0] - 1, "left")
    last = np.searchsorted(others[:, 0], some[:, 0] + 1, "right")
    near = [(np.abs(others[a:b] - row) <= 1).all(axis=1).any() for row, a, b in zip(some, first, last, strict=True)]
    return np.flatnonzero(near)


def _alike(frames: Sequence[Atoms]) -> list[IntArray]:
    """Return sets of structures that could be copies: of one composition, and close in a few sizes to another one."""
    from scipy.spatial import cKDTree

    blocks: dict[tuple[bytes, int], list[int]] = {}
    for k, atoms in enumerate(frames):
        if len(atoms):
            blocks.setdefault((np.sort(atoms.numbers).tobytes(), int(np.sum(atoms.pbc))), []).append(k)
    found = []
    for block in blocks.values():
        if len(block) < 2:
            continue
        members = np.array(block)
        sizes, place, counts = np.unique(
            np.log([_sizes(frames[k]) for k in block]), axis=0, return_inverse=True, return_counts=True
        )
        close = counts > 1
        if len(sizes) > 1:
            close |= cKDTree(sizes).query(sizes, k=2)[0][:, 1] <= _CLOSE
        if close.any():
            found.append(members[close[place.ravel()]])
    return found


def _sizes(atoms: Atoms) -> tuple[float, float, float]:
    """Return what neither a shift, a rotation nor another order of atoms changes, and is quickly known; positive."""
    if all(atoms.pbc):
        return abs(float(np.linalg.det(atoms.cell.array))), 1.0, 1.0
    if any(atoms.pbc):
        return 1.0, 1.0, 1.0
    squares = np.sum((atoms.positions - atoms.positions.mean(axis=0)) ** 2, axis=1)
    return 1.0 + float(squares.mean()), 1.0 + float(np.mean(squares**2)) ** 0.5, 1.0 + float(atoms.numbers @ squares)


def _displaced(atoms: Atoms) -> list[Atoms]:
    """Return a structure with all atoms displaced, and a strained one."""
    rng = np.random.default_rng(0)
    moved, strained = atoms.copy(), atoms.copy()  # type: ignore[no-untyped-call]
    moved.positions += _RATTLE * rng.normal(size=moved.positions.shape)
    strained.positions *= 1.01
    strained.cell = strained.cell * 1.01
    return [moved, strained]


def _leaders(marks: FloatArray, tolerance: float) -> IntArray:
    """Return for every row the first one that it is close to, itself if there is none before: no chains."""
    from scipy.spatial import cKDTree

    leaders = np.full(len(marks), -1, dtype=np.int64)
    tree = cKDTree(marks)
    for k in range(len(marks)):
        if leaders[k] < 0:
            near = np.array(tree.query_ball_point(marks[k], tolerance), dtype=np.int64)
            leaders[near[leaders[near] < 0]] = k
            leaders[k] = k
    return leaders
