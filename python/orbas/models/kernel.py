"""Sparse kernels as linear models: a few representative environments, and features that are orthonormal in their span.

``k(x, y) = delta^2 (x . y / |x| |y|)^zeta`` between centers of one species. Where an atom without neighbors has no
features (a density without its center, selected products), the norm is ``(|x|^2 + s^2)^(1/2)`` with a floor s, so that
the kernel vanishes smoothly with the features and not all at once: see :meth:`Spectrum.norm_floors`. With ``K_MM`` of
the representative environments M and ``K_MM = V diag(s) V^T``, ``phi(x) = k(x, M) V s^(-1/2)`` has ``phi(x) . phi(y)``
as the best approximation of the kernel in the span of M: the sparse Gaussian process is ridge regression on phi, and no
system with ``K_NM^T K_NM`` is ever solved (Foster et al., J. Mach. Learn. Res. 10, 857 (2009)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from orbas import _core, structures
from orbas.base.gradients import JacobianRows
from orbas.base.linalg import eigh, product
from orbas.density.rows import rows_of
from orbas.files.stored import is_integer, is_number, stored
from orbas.invariants.spectra import Spectrum
from orbas.structures.species import check_rising

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ase import Atoms

    from orbas.base.energies import Energies
    from orbas.base.types import FloatArray

#: Eigenvalues of K_MM below this fraction of the largest are round-off: near-duplicates among the points.
_RANK = 1e-12


@stored("KernelTerm")
@dataclass(frozen=True, slots=True, eq=False)
class KernelTerm:
    """A polynomial kernel on one representation, and its representative environments.

    Attributes
    ----------
    spectrum
        The representation.
    zeta
        The exponent.
    delta
        Amplitude of the kernel; of several terms only their ratios matter.
    points
        By atomic number of the center: features of unit norm, [n_points, n_features].
    roots
        Likewise: ``V s^(-1/2)``, [n_points, rank].
    floors
        By atomic number of the center: s of the norm; 0 for those that are missing.
    """

    spectrum: Spectrum
    zeta: int
    delta: float
    points: dict[int, FloatArray]
    roots: dict[int, FloatArray]
    floors: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, spectrum: Spectrum, zeta: int, delta: float, points: Mapping[int, FloatArray]) -> Self:
        """Normalize the points and find what of their span is beyond round-off."""
        normalized, roots = {}, {}
        for number, features in points.items():
            unit = features / np.linalg.norm(features, axis=1, keepdims=True)
            values, vectors = eigh(product(unit, unit.T) ** zeta)
            kept = values > _RANK * max(values[-1], 0.0) if len(values) else np.zeros(0, dtype=bool)
            # In the order of files: a product with another order of the same numbers rounds differently.
            normalized[number] = np.ascontiguousarray(unit)
            roots[number] = np.ascontiguousarray(vectors[:, kept] / np.sqrt(values[kept]))
        return cls(spectrum, zeta, delta, normalized, roots, spectrum.norm_floors(tuple(points)))

    @property
    def widths(self) -> dict[int, int]:
        """Number of columns of every center species."""
        return {number: root.shape[1] for number, root in self.roots.items()}

    def atoms(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return phi of every atom in the columns of its species, [n_atoms, n_columns]."""
        features = self.spectrum.transform(frames)
        rows = np.zeros((len(features.values), sum(self.widths.values())))
        start = 0
        for number, root in self.roots.items():
            own = features.center_numbers == number
            rows[own, start : start + root.shape[1]] = product(self._kernel(features.values[own], number), root)
            start += root.shape[1]
        return rows

    def structures(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return phi summed over structures, [n_structures, n_columns].

        Kernels are summed before they meet the root, which is one product for a structure instead of one for an atom.
        """
        features = self.spectrum.transform(frames)
        parts = []
        for number, root in self.roots.items():
            own = np.flatnonzero(features.center_numbers == number)
            summed = np.zeros((features.n_structures, len(root)))
            if own.size:
                structure = features.samples[own, 0]
                starts = np.flatnonzero(np.diff(structure, prepend=-1))
                summed[structure[starts]] = np.add.reduceat(self._kernel(features.values[own], number), starts, axis=0)
            parts.append(product(summed, root))
        return np.concatenate(parts, axis=1)

    def _kernel(self, features: FloatArray, number: int) -> FloatArray:
        """Return ``delta (x . x_m / |x|)^zeta`` of centers of one species and its points, [n_centers, n_points]."""
        unit = normalized(features, self.floors.get(number, 0.0))
        return self.delta * product(unit, self.points[number].T) ** self.zeta

    def derivatives(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of phi summed over one structure after the other.

        Each is [n_atoms, 3, n_columns] and [3, 3, n_columns].
        """
        if len(frames) == 0:
            return
        invariant, plan, species = self.spectrum.compiled_for(list(frames))
        none = np.zeros((0, invariant.widths[0]))
        points = [(self.points.get(number, none), self.floors.get(number, 0.0)) for number in species]
        kernel = _core.Invariant.kernel(invariant, self.zeta, points)
        starts = dict(zip(species, np.cumsum([0, *kernel.widths]).tolist(), strict=False))
        for rows in rows_of(plan, kernel, list(frames)):
            yield JacobianRows(self._rooted(rows.positions, starts), self._rooted(rows.strain, starts))

    def _rooted(self, kernels: FloatArray, starts: Mapping[int, int]) -> FloatArray:
        """Return derivatives of phi, [..., n_columns], from those of kernels; species begin at ``starts``."""
        *shape, width = kernels.shape
        # One product of two axes: one for each atom is slow.
        flat = kernels.reshape(math.prod(shape), width)
        parts = [
            product(flat[:, starts[a] : starts[a] + len(root)], self.delta * root) for a, root in self.roots.items()
        ]
        joined = np.concatenate(parts, axis=1)
        return joined.reshape(*shape, joined.shape[1])

    def weighted(self, weights: FloatArray) -> Any:
        """Return the points with the kernel weights that belong to weights of phi, [n_columns]."""
        parts, start = [], 0
        for number, root in self.roots.items():
            kernel_weights = self.delta * (root @ weights[start : start + root.shape[1]])
            parts.append((np.ascontiguousarray(self.points[number]), kernel_weights, self.floors.get(number, 0.0)))
            start += root.shape[1]
        return self.spectrum.sparse_points(self.zeta, parts)

    def _check_restored(self) -> None:
        if not isinstance(self.spectrum, Spectrum) or not is_integer(self.zeta) or not 1 <= self.zeta <= 64:
            raise TypeError("a kernel needs a spectrum and an integer zeta in 1..64")
        if not (is_number(self.delta) and self.delta > 0):
            raise ValueError(f"delta must be positive, got {self.delta!r}")
        if (
            not isinstance(self.points, dict)
            or not isinstance(self.roots, dict)
            or list(self.points) != list(self.roots)
        ):
            raise TypeError("points and roots must be dicts of the same species")
        check_rising("the species of points", tuple(self.points))
        width = self.spectrum.n_features(tuple(self.points))
        for number, points in self.points.items():
            root = self.roots[number]
            for array in (points, root):
                if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.ndim != 2:
                    raise TypeError(f"points and roots of species {number} must be float64 arrays of two axes")
            if points.shape[1] != width or root.shape[0] != points.shape[0]:
                raise ValueError(f"points {points.shape} and roots {root.shape} of species {number}: {width} features")
            floor = self.floors.get(number, 0.0)
            if not (is_number(floor) and floor >= 0):
                raise ValueError(f"the floor of species {number} must be a number >= 0, got {floor!r}")
            if not np.allclose(np.linalg.norm(points, axis=1), 1.0, rtol=0, atol=1e-8):
                raise ValueError(f"points of species {number} are not normalized")


@stored("KernelDesign")
@dataclass(frozen=True, slots=True, eq=False)
class KernelDesign:
    """The columns of several kernels side by side.

    Attributes
    ----------
    terms
        The kernels; their sum is the kernel of the model.
    """

    terms: tuple[KernelTerm, ...]

    @property
    def n_columns(self) -> int:
        """Number of weights."""
        return sum(self.term_widths)

    @property
    def term_widths(self) -> list[int]:
        """Number of columns of every term."""
        return [sum(term.widths.values()) for term in self.terms]

    @property
    def n_numbers(self) -> int:
        """Numbers of a row, and of the features and kernels that it is made of."""
        points = [array for term in self.terms for array in term.points.values()]
        return 2 * self.n_columns + max((2 * array.shape[1] + 2 * len(array) for array in points), default=0)

    @property
    def cutoff(self) -> float | None:
        """The largest of all terms."""
        return max(float(term.spectrum.density.cutoff.radius) for term in self.terms)

    def atoms(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return phi of every atom, [n_atoms, n_columns]."""
        return np.concatenate([term.atoms(frames) for term in self.terms], axis=1)

    def outside(self, rows: FloatArray) -> FloatArray:
        """Return the prior variance of atoms, relative to that of weights, which their columns do not hold."""
        total = sum(term.delta**2 for term in self.terms)
        missing: FloatArray = np.maximum(total - np.sum(rows**2, axis=1), 0.0)
        return missing

    def structures(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return phi summed over structures, [n_structures, n_columns]."""
        return np.concatenate([term.structures(frames) for term in self.terms], axis=1)

    def derivatives(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of the rows of one structure after the other."""
        of_terms = zip(*(term.derivatives(frames) for term in self.terms), strict=True)
        for k in range(len(frames)):
            try:
                parts = next(of_terms)
            except ValueError as error:
                error.add_note(f"structures are counted from structure {k} of those with forces or virials here")
                raise
            yield JacobianRows(
                np.concatenate([part.positions for part in parts], axis=-1),
                np.concatenate([part.strain for part in parts], axis=-1),
            )

    def energies(self, frames: Sequence[Atoms], weights: FloatArray) -> Energies:
        """Return energies, forces and virials of the model with weights [n_columns]."""
        parts = np.split(weights, np.cumsum(self.term_widths)[:-1])
        points = [term.weighted(part) for term, part in zip(self.terms, parts, strict=True)]
        return self.evaluate(frames, points, None)

    def evaluate(
        self,
        frames: Sequence[Atoms],
        points: Sequence[Any],
        skin_lists: Sequence[_core.SkinList] | None,
    ) -> Energies:
        """Return the sum of all terms with forces and virials, from the compiled core."""
        from orbas.base.energies import Energies

        listed = structures.as_frames(frames)
        batch = structures.to_batch(listed)
        n_atoms = sum(map(len, listed))
        energies, forces, virials = np.zeros(n_atoms), np.zeros((n_atoms, 3)), np.zeros((len(listed), 3, 3))
        for k, (term, own) in enumerate(zip(self.terms, points, strict=True)):
            more = term.spectrum.sparse_kernel(listed, batch, own, None if skin_lists is None else skin_lists[k])
            energies += more[0]
            forces += more[1]
            virials += more[2]
        return Energies.from_core(listed, (energies, forces, virials))

    def _check_restored(self) -> None:
        if not isinstance(self.terms, tuple) or not all(isinstance(term, KernelTerm) for term in self.terms):
            raise TypeError("terms must be a tuple of kernels")


def normalized(features: FloatArray, floor: float) -> FloatArray:
    """Return ``x / (|x|^2 + floor^2)^(1/2)`` of rows x; zeros stay."""
    norms = np.sqrt(np.sum(features**2, axis=1, keepdims=True) + floor**2)
    unit: FloatArray = features / np.where(norms > 0, norms, 1.0)
    return unit
