"""Jacobian rows of the iteration: derivatives of all invariants, along each direction or backward from each feature.

The invariants of a center are polynomials, of a degree known exactly, in its density coefficients c. Their derivative
in a direction d is therefore a weighted sum of their values at c and at ``degree`` other points of the line c + t d,
for steps of any length, with no error but rounding. A center has three directions for each atom in its environment;
where several images of one atom are in it, they move together, and six more tell the strain. The adjoint goes backward
from one feature to all coefficients instead, which is cheaper where features are few and centers and neighbors many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas import _core, structures
from orbas.base.energies import VOIGT
from orbas.base.gradients import JacobianRows
from orbas.invariants.nice.environments import counted_from
from orbas.structures.neighbors import neighbor_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from orbas.base.blocks import FloatArray, IntArray
    from orbas.density.expansion import DensityExpansion

#: Displaced coefficients and their invariants, or gradients of features, held at a time, in bytes.
CHUNK_BYTES = 1 << 26

#: Directions and derivatives of a group of centers, in bytes.
GROUP_BYTES = 1 << 27

#: Distance of two points of the stencil, in units of |c| / |d|: much shorter steps lose digits to cancellation, much
#: longer ones to the powers of the displaced c.
STEP = 0.3

#: Price of the adjoint of one feature, in transforms of one environment: to set it up, and for every environment, which
#: are worked on so many at a time. Measured: 16 to 50, and 1.3 to 1.7; a wrong guess costs time only.
SETUP_COST = 30.0
SWEEP_COST = 1.5
SWEEP_BLOCK = 16


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """The features of one kind of center.

    Attributes
    ----------
    plan
        The compiled iteration.
    columns
        Where in the features its invariants stand.
    first
        Invariants from this one on are features.
    """

    plan: _core.EquivariantPlan
    columns: IntArray | slice
    first: int = 0

    @property
    def n_invariants(self) -> int:
        """Number of invariants of the plan, also of those that are no features."""
        return sum(self.plan.n_invariants())

    @property
    def degree(self) -> int:
        """Degree of the invariants as polynomials of the density."""
        return len(self.plan.n_invariants())


@dataclass(frozen=True, slots=True, eq=False)
class _Directions:
    """Derivatives of the density coefficients of some centers.

    ``moved`` [move, 3, width] by the position of ``atoms`` [move] around ``centers`` [move], the latter an index into
    the centers; ``vectors`` [move, 3] lead there, and are None where images of an atom move together. Only then is
    there ``strained`` [center, 6, width] by the strain, in the order of VOIGT.
    """

    centers: IntArray
    atoms: IntArray
    moved: FloatArray
    vectors: FloatArray | None
    strained: FloatArray


def rows_of(
    density: DensityExpansion, frames: Sequence[Atoms], kinds: Sequence[Kind], n_features: int
) -> Iterator[JacobianRows]:
    """Check all structures, then yield the rows of one after the other; ``kinds`` [species] as the density has them."""
    listed = structures.as_frames(frames)
    plan, species = density.plan_for(listed)
    _core.check_species(plan, structures.to_batch(listed))

    def rows() -> Iterator[JacobianRows]:
        for k, frame in enumerate(listed):
            with counted_from(k):
                one = _Structure(frame, plan, species, density.cutoff.radius).rows(kinds, n_features)
            yield one

    return rows()


class _Structure:
    """One structure: its coefficients, and its pairs by center, neighbor and image."""

    def __init__(self, frame: Atoms, plan: _core.DensityPlan, species: tuple[int, ...], radius: float) -> None:
        self.plan, self.species = plan, species
        self.numbers = structures.atomic_numbers([frame])
        self.densities = plan.density(structures.to_batch([frame]))
        i, j, shifts, vectors = neighbor_list("ijSD", frame, radius)
        order = np.lexsort((*shifts.T, j, i))
        self.i, self.j, self.vectors = i[order], j[order], vectors[order]

    def rows(self, kinds: Sequence[Kind], n_features: int) -> JacobianRows:
        """Return the rows of all center species side by side."""
        n = len(self.numbers)
        positions = np.zeros((n, 3, len(kinds), n_features))
        strain = np.zeros((3, 3, len(kinds), n_features))
        for a, (kind, c) in enumerate(zip(kinds, self.densities, strict=True)):
            width = kind.n_invariants - kind.first
            own_positions, own_strain = np.zeros((n, 3, width)), np.zeros((3, 3, width))
            centers = np.flatnonzero(self.numbers == self.species[a])
            for group in self._groups(centers, c.shape[1] + width):
                own_c = c[np.searchsorted(centers, group)]
                self._add(kind, group, own_c, self._directions(a, group), own_positions, own_strain)
            positions[:, :, a, kind.columns] = own_positions
            strain[:, :, a, kind.columns] = own_strain
        n_columns = len(kinds) * n_features
        return JacobianRows(positions.reshape(n, 3, n_columns), strain.reshape(3, 3, n_columns))

    def _groups(self, centers: IntArray, width: int) -> list[IntArray]:
        """Cut centers where their pairs fill the memory: for each, four gradients of 3 ``width`` numbers."""
        n_pairs = np.searchsorted(self.i, centers, side="right") - np.searchsorted(self.i, centers)
        filled = np.cumsum(n_pairs) // max(1, GROUP_BYTES // (8 * 12 * width))
        return np.split(centers, np.flatnonzero(np.diff(filled)) + 1) if len(centers) else []

    def _directions(self, a: int, centers: IntArray) -> _Directions:
        pairs = np.flatnonzero(np.isin(self.i, centers))
        slopes = self._pair_slopes(a, pairs)
        local, atoms = np.searchsorted(centers, self.i[pairs]), self.j[pairs]
        others = np.flatnonzero(self.i[pairs] != atoms)
        starts = _run_starts(local[others], atoms[others])
        moves = others[starts]
        if len(moves) == len(pairs):
            return _Directions(local, atoms, slopes, self.vectors[pairs], np.zeros((0, 6, slopes.shape[2])))
        moved = np.add.reduceat(slopes[others], starts, axis=0) if len(moves) else slopes[:0]
        strained = np.zeros((len(centers), 6, slopes.shape[2]))
        first = _run_starts(local)
        for k, (x, y) in enumerate(VOIGT):
            products = slopes[:, x] * self.vectors[pairs, y, None]
            strained[local[first], k] = np.add.reduceat(products, first, axis=0)
        return _Directions(local[moves], atoms[moves], moved, None, strained)

    def _pair_slopes(self, a: int, pairs: IntArray) -> FloatArray:
        """Return dc/dr_j of the centers of some pairs, [pair, 3, width].

        The density is a sum over neighbors, so each pair can stand alone, as a structure of two atoms: images of one
        atom, which move together in the gradients of a periodic structure, stay apart, as the strain needs them.
        """
        n = len(pairs)
        positions = np.zeros((n, 2, 3))
        positions[:, 1] = self.vectors[pairs]
        numbers = self.numbers[np.column_stack([self.i[pairs], self.j[pairs]])].ravel()
        batch = _core.Batch(
            positions.reshape(-1, 3),
            numbers.astype(np.int32),
            np.arange(0, 2 * n + 1, 2, dtype=np.int64),
            np.zeros((n, 3, 3)),
            np.zeros((n, 3), dtype=bool),
        )
        values, offsets, _ = _core.gradients(self.plan, batch, "density")[a]
        samples = np.cumsum(numbers == self.species[a])[::2] - 1
        # The center itself stands first. A neighbor on the rim of the cutoff may be lost to rounding: it adds nothing.
        found = offsets[samples + 1] - offsets[samples] == 2
        slopes = np.zeros((n, *values.shape[1:]))
        slopes[found] = values[offsets[samples[found]] + 1]
        return slopes

    def _add(
        self,
        kind: Kind,
        group: IntArray,
        c: FloatArray,
        directions: _Directions,
        positions: FloatArray,
        strain: FloatArray,
    ) -> None:
        moved, strained = directions.moved, directions.strained
        lines = np.concatenate([moved.reshape(-1, c.shape[1]), strained.reshape(-1, c.shape[1])])
        owners = np.concatenate([np.repeat(directions.centers, 3), np.repeat(np.arange(len(strained)), 6)])
        slopes = derivatives(kind, c, owners, lines)
        by_position = slopes[: 3 * len(moved)].reshape(len(moved), 3, slopes.shape[1])
        # One after the other: several centers move one atom.
        for atom, center, values in zip(directions.atoms, group[directions.centers], by_position, strict=True):
            positions[atom] += values
            positions[center] -= values
        if directions.vectors is not None:
            strain += np.einsum("exf,ey->xyf", by_position, directions.vectors, optimize=True)
            return
        # Invariants do not turn, so that their derivatives by the strain are symmetric.
        by_strain = slopes[3 * len(moved) :].reshape(len(strained), 6, slopes.shape[1]).sum(axis=0)
        for (x, y), values in zip(VOIGT, by_strain, strict=True):
            strain[x, y] += values
            if x != y:
                strain[y, x] += values


def _run_starts(*keys: IntArray) -> IntArray:
    """Return where a run of equal keys starts."""
    changes = np.any([np.diff(key, prepend=-1) != 0 for key in keys], axis=0)
    return np.flatnonzero(changes)


def derivatives(kind: Kind, c: FloatArray, owners: IntArray, lines: FloatArray) -> FloatArray:
    """Return the derivatives of features along directions, [direction, feature], by the cheaper mode.

    Parameters
    ----------
    kind
        The features.
    c
        Coefficients [center, width].
    owners
        The center of each direction.
    lines
        Directions in the space of coefficients, [direction, width].
    """
    swept = -(-len(c) // SWEEP_BLOCK) * SWEEP_BLOCK
    cost_backward = (kind.n_invariants - kind.first) * (SETUP_COST + SWEEP_COST * swept)
    mode = backward if cost_backward < kind.degree * len(lines) else forward
    return mode(kind, c, owners, lines)


def stencil(degree: int) -> tuple[FloatArray, FloatArray]:
    """Return points, 0 the first of them, and weights whose sum is f'(0) for polynomials up to a degree."""
    points = np.array(sorted(range(-(degree // 2), degree - degree // 2 + 1), key=abs), dtype=np.float64)
    powers = np.vander(points, increasing=True).T
    weights: FloatArray = np.linalg.solve(powers, np.eye(degree + 1)[1])
    if degree % 2 == 0:
        weights[0] = 0.0
    return STEP * points, weights / STEP


def forward(kind: Kind, c: FloatArray, owners: IntArray, lines: FloatArray) -> FloatArray:
    """Differentiate along each direction by a stencil, exact for polynomials of the degree of the features."""
    points, weights = stencil(kind.degree)
    lengths = np.linalg.norm(lines, axis=1)
    norms = np.linalg.norm(c, axis=1)[owners]
    # Where c or d vanishes any step will do.
    sound = (lengths > 0) & (norms > 0)
    steps = np.divide(norms, lengths, out=np.ones(len(lines)), where=sound)
    at_center = kind.plan.invariants(c)[:, kind.first :]
    result: FloatArray = weights[0] * at_center[owners]
    most = max(1, CHUNK_BYTES // (8 * kind.degree * (c.shape[1] + kind.n_invariants)))
    for first in range(0, len(lines), most):
        part = slice(first, first + most)
        scaled = steps[part, None] * lines[part]
        displaced = c[owners[part]] + points[1:, None, None] * scaled
        values = kind.plan.invariants(displaced.reshape(-1, c.shape[1]))[:, kind.first :]
        for weight, shifted in zip(weights[1:], np.split(values, kind.degree), strict=True):
            result[part] += weight * shifted
    result /= steps[:, None]
    return result


def backward(kind: Kind, c: FloatArray, owners: IntArray, lines: FloatArray) -> FloatArray:
    """Differentiate each feature by all coefficients through the adjoint, then along the directions."""
    n_features = kind.n_invariants - kind.first
    result = np.zeros((len(lines), n_features))
    own = [np.flatnonzero(owners == center) for center in range(len(c))]
    most = max(1, CHUNK_BYTES // (8 * max(1, c.size)))
    for first in range(0, n_features, most):
        part = range(first, min(first + most, n_features))
        units = (np.eye(1, kind.n_invariants, kind.first + feature)[0] for feature in part)
        slopes = np.stack([kind.plan.linear(c, kind.plan.readout(unit))[1] for unit in units])
        for center, mine in enumerate(own):
            result[mine, part.start : part.stop] = lines[mine] @ slopes[:, center].T
    return result
