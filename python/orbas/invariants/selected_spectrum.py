"""A power spectrum of selected features: nothing else is part of its values, its norms and the kernels on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas import structures
from orbas.base.blocks import Features
from orbas.base.fields import check_switches, setting
from orbas.base.gradients import JacobianRows
from orbas.base.kinds import Integer, ListOf
from orbas.invariants.spectra import PowerSpectrum

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms
    from numpy.typing import ArrayLike

    from orbas import _core
    from orbas._core import SkinList
    from orbas.base.blocks import FloatArray, IntArray
    from orbas.base.energies import Energies


@dataclass(eq=False, repr=False)
class SelectedPowerSpectrum(PowerSpectrum):
    """Some features of a :class:`PowerSpectrum`, such as those that :class:`orbas.selection.CUR` picks.

    Everything agrees with the selected columns of the full spectrum, and a kernel normalizes what is selected only.
    Values and sparse kernels are made of the density, product by selected product. Derivatives for a fit on forces are
    computed of all features, a structure at a time, and the selected ones kept; in linear models the others weigh zero.
    What is gained is a smaller model, not time: 100 of 385 features on a kernel take as long as all.

    Parameters
    ----------
    density
        A primitive or contracted expansion, with as many channels for all center species.
    selection
        Indices of the features in the order of :class:`PowerSpectrum`, each at most once: the order of the columns.
    """

    selection: ArrayLike = field(metadata=setting(ListOf(Integer(0), "indices"), "indices of the features"))

    def transform(
        self, frames: Sequence[Atoms], *, gradients: bool = False, single_precision: bool = False
    ) -> Features:
        """Compute the selected features of every atom, [n_atoms, n_selected]: see :meth:`PowerSpectrum.transform`."""
        check_switches(gradients=gradients, single_precision=single_precision)
        listed = structures.as_frames(frames)
        plan, species = self._plan_for(listed)
        products = self._products(species)
        numbers = structures.atomic_numbers(listed)
        values = np.empty((len(numbers), products.columns.size), dtype=np.float32 if single_precision else np.float64)
        for number, coefficients in zip(species, plan.density(structures.to_batch(listed)), strict=True):
            values[numbers == number] = products.values(coefficients)
        slopes = None
        if gradients:
            slopes = super().transform(listed, gradients=True).gradients
            assert slopes is not None
            slopes = replace(slopes, values=slopes.values[..., products.columns])
        return Features(values, structures.samples_of(listed), numbers, species, len(listed), slopes)

    def jacobian_rows(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of ``transform(frames).per_structure()``: see :meth:`PowerSpectrum.jacobian_rows`."""
        listed = structures.as_frames(frames)
        _, species = self._plan_for(listed)
        products = self._products(species)
        columns = np.concatenate([a * products.n_all + products.columns for a in range(len(species))])
        rows = super().jacobian_rows(listed)
        return (JacobianRows(row.positions[..., columns], row.strain[..., columns]) for row in rows)

    def linear_energies(
        self, frames: Sequence[Atoms], weights: FloatArray, *, skin_list: SkinList | None = None
    ) -> Energies:
        """Evaluate a model that is linear in the selected features: see :meth:`PowerSpectrum.linear_energies`."""
        listed = structures.as_frames(frames)
        _, species = self._plan_for(listed)
        products = self._products(species)
        given = np.asarray(weights, dtype=np.float64)
        if given.shape != (len(species), products.columns.size):
            raise ValueError(
                f"weights must have the shape [{len(species)} species, {products.columns.size} selected features], "
                f"got {given.shape}"
            )
        spread = np.zeros((len(species), products.n_all))
        spread[:, products.columns] = given
        return super().linear_energies(listed, spread, skin_list=skin_list)

    def strain_gradients(self, frames: Sequence[Atoms]) -> FloatArray:
        """Compute derivatives by the strain, [n_atoms, 6, n_selected]: see :meth:`PowerSpectrum.strain_gradients`."""
        listed = structures.as_frames(frames)
        _, species = self._plan_for(listed)
        selected: FloatArray = super().strain_gradients(listed)[..., self._products(species).columns]
        return selected

    def _whole(self) -> PowerSpectrum:
        return PowerSpectrum(self.density.with_center())

    def sparse_points(self, zeta: int, parts: Sequence[tuple[FloatArray, FloatArray, float]]) -> SelectedPoints:
        """Return what :meth:`sparse_kernel` takes."""
        return SelectedPoints(zeta, tuple(parts))

    def sparse_kernel(
        self, frames: list[Atoms], batch: _core.Batch, points: Any, skin_list: SkinList | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Evaluate a sparse kernel model: energies [n_atoms], forces [n_atoms, 3] and virials [n_structures, 3, 3].

        The density is expanded twice, for energies and for forces; a memory of neighbors is of no use here.
        """
        plan, species = self._plan_for(frames)
        products = self._products(species)
        numbers = structures.atomic_numbers(frames)
        energies, pulled = np.zeros(len(numbers)), {}
        for a, (number, coefficients) in enumerate(zip(species, plan.density(batch), strict=True)):
            energies[numbers == number], slopes = points.evaluate(a, products.values(coefficients))
            for l, array in enumerate(products.pull_back(coefficients, slopes)):
                pulled[(1, l, 1, number)] = array
        result = self.density.settled(species).pull_back(frames, pulled)
        forces = np.concatenate(result.forces) if result.forces else np.zeros((0, 3))
        return energies, forces, result.virials

    def _products(self, species: tuple[int, ...]) -> _Products:
        counts = set(self.density.channel_counts(species))
        if len(counts) > 1:
            raise ValueError("features cannot be selected where center species have different numbers of channels")
        return _Products.of(counts.pop(), self.selection)


@dataclass(frozen=True, slots=True, eq=False)
class SelectedPoints:
    """Representative environments, normalized in the selected features, weights and floor of the norm by species."""

    zeta: int
    parts: tuple[tuple[FloatArray, FloatArray, float], ...]

    def evaluate(self, a: int, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``sum_m w_m (x . x_m / n)^zeta`` of atoms of the a-th species, and its derivatives by x."""
        points, weights, floor = self.parts[a]
        norms = np.sqrt(np.sum(features**2, axis=1, keepdims=True) + floor**2)
        safe = np.where(norms > 0, norms, 1.0)
        unit = features / safe
        cosines = unit @ points.T
        along: FloatArray = (self.zeta * cosines ** (self.zeta - 1) * weights) @ points
        along -= np.sum(along * unit, axis=1, keepdims=True) * unit
        # Without features there is no kernel, and nothing pulls.
        return (cosines**self.zeta @ weights) * (norms[:, 0] > 0), along * (norms > 0) / safe


@dataclass(frozen=True, slots=True, eq=False)
class _Degree:
    """Selected products of one degree: places among the columns, both channels, and what they are multiplied by."""

    start: int
    n_channels: int
    places: IntArray
    first: IntArray
    second: IntArray
    factors: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Products:
    """Which products of coefficients are selected; columns are those of the full spectrum, of ``n_all`` features."""

    columns: IntArray
    n_all: int
    degrees: tuple[_Degree, ...]

    @classmethod
    def of(cls, counts: tuple[int, ...], selection: ArrayLike) -> _Products:
        """Sort a selection into degrees with so many channels."""
        n_all = sum(q * (q + 1) // 2 for q in counts)
        columns = checked(selection, n_all)
        degrees, start, offset = [], 0, 0
        for l, q in enumerate(counts):
            first, second = np.triu_indices(q)
            places = np.flatnonzero((columns >= offset) & (columns < offset + first.size))
            own = columns[places] - offset
            factors = np.where(first == second, 1.0, math.sqrt(2.0)) / math.sqrt(2 * l + 1)
            degrees.append(_Degree(start, q, places, first[own], second[own], factors[own]))
            start, offset = start + (2 * l + 1) * q, offset + first.size
        return cls(columns, n_all, tuple(degrees))

    def values(self, coefficients: FloatArray) -> FloatArray:
        """Return the selected features, [n, n_selected], of coefficients of one center species, [n, (l, m, q)]."""
        result = np.zeros((len(coefficients), self.columns.size))
        for l, degree in enumerate(self.degrees):
            total = np.zeros((len(coefficients), degree.places.size))
            for block in np.split(self._block(coefficients, l), 2 * l + 1, axis=1):
                total += block[:, 0, degree.first] * block[:, 0, degree.second]
            result[:, degree.places] = degree.factors * total
        return result

    def pull_back(self, coefficients: FloatArray, slopes: FloatArray) -> list[FloatArray]:
        """Turn derivatives by the features, [n, n_selected], into those by the coefficients: [l] -> [n, m, q]."""
        result = []
        for l, degree in enumerate(self.degrees):
            halves = degree.factors * slopes[:, degree.places]
            matrix = np.zeros((len(coefficients), degree.n_channels, degree.n_channels))
            matrix[:, degree.first, degree.second] += halves
            matrix[:, degree.second, degree.first] += halves
            result.append(self._block(coefficients, l) @ matrix)
        return result

    def _block(self, coefficients: FloatArray, l: int) -> FloatArray:
        degree = self.degrees[l]
        width = (2 * l + 1) * degree.n_channels
        part = coefficients[:, degree.start : degree.start + width]
        return part.reshape(len(coefficients), 2 * l + 1, degree.n_channels)


def checked(selection: ArrayLike, n_features: int) -> IntArray:
    """Return indices of features as an array.

    Raises
    ------
    ValueError
        If one is out of range, stands there twice, or is no integer; or if there is none.
    """
    columns = np.asarray(selection)
    if columns.ndim != 1 or columns.dtype.kind not in "iu" or columns.size == 0:
        raise ValueError(f"selection must hold indices of features, got {selection!r}")
    if columns.min() < 0 or columns.max() >= n_features:
        raise ValueError(f"selection must hold indices in 0..{n_features - 1}, got {columns.min()} to {columns.max()}")
    if np.unique(columns).size < columns.size:
        raise ValueError("selection holds a feature twice")
    return columns.astype(np.int64)
