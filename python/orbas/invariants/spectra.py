"""Invariant features of every atom: power spectrum and radial spectrum of a density expansion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from orbas import _core, structures
from orbas.base.blocks import Features
from orbas.base.energies import Energies
from orbas.base.estimator import Estimator, Fitted
from orbas.base.fields import check_settings, check_switches, setting
from orbas.base.gradients import Gradients, JacobianRows
from orbas.density.expansion import DENSITY, DensityExpansion
from orbas.density.rows import rows_of
from orbas.files.stored import stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.base.types import FloatArray

#: A basis hardly sees the center if the norm of a lone atom is less than this part of that of one with a neighbor.
_BLIND = 0.1


@dataclass(frozen=True, slots=True)
class SpectrumRecord:
    """What the fit of a spectrum learns: the sorted atomic numbers of centers and neighbors."""

    species: tuple[int, ...]


def spectrum_record(density: DensityExpansion, frames: list[Atoms]) -> SpectrumRecord:
    """Return the species of a density, else those of structures."""
    density.check()
    return SpectrumRecord(density.given_species() or structures.species_of(frames))


def check_density(representation: Any) -> None:
    """Raise TypeError if what was read from a file does not stand on a density."""
    if not isinstance(representation.density, DensityExpansion):
        raise TypeError(f"density must be a DensityExpansion, got a {type(representation.density).__name__}")


def channels_of(density: DensityExpansion, species: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the channels per degree of every kind of center; raise ValueError if the density has other species."""
    known = getattr(density, "species_", None) or density.given_species()
    if known not in (None, species):
        raise ValueError(f"its features are of the center species {known}, its weights of {species}")
    return density.kinds_of_centers(len(species))


@dataclass(eq=False, repr=False)
class Spectrum(Estimator):
    """What all spectra share: the density they are made of, and how samples are labeled.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=2)
    >>> spectrum = orbas.PowerSpectrum(density)
    >>> features = spectrum.transform(frames)
    """

    species_ = Fitted[tuple[int, ...]]()

    density: DensityExpansion = field(metadata=setting(DENSITY, "expansion that the features are made of"))

    def fit(self, frames: Sequence[Atoms], y: object = None) -> Self:
        """Take the species from structures, unless the density has them; the density itself stays as it is.

        Examples
        --------
        >>> spectrum.fit(frames).species_
        (14,)
        """
        check_settings(self)
        self._record = spectrum_record(self.density, structures.as_frames(frames))
        return self

    def settled(self, species: tuple[int, ...]) -> Self:
        """Return a copy that later changes do not reach: see :meth:`orbas.DensityExpansion.settled`.

        Examples
        --------
        >>> copy = spectrum.settled((14,))
        >>> density.max_angular = 4
        >>> copy.transform(frames).values.shape[1]
        6
        """
        return super().settled(self.species_ if self._record is not None else species)

    def transform(
        self, frames: Sequence[Atoms], *, gradients: bool = False, single_precision: bool = False
    ) -> Features:
        """Compute the features of every atom, [n_atoms, n_features]; the densities are not kept.

        Parameters
        ----------
        frames
            Structures.
        gradients
            Also compute derivatives by the positions, three times as many numbers as features for every neighbor: for
            a fit on forces see :meth:`jacobian_rows`, for forces of a model :meth:`linear_energies`.
        single_precision
            Return features as float32, half the memory: each is the number nearest to the float64 one, at most
            ``2**-24 = 6e-8`` of it away. Derivatives stay float64.

        Raises
        ------
        ValueError
            For bad structures or coincident atoms; the message names the structure and the atoms.
        orbas.UnknownSpeciesError
            For a species without channels, before any work.

        Examples
        --------
        >>> features = spectrum.transform(frames, gradients=True)
        >>> features.gradients.values.shape[1:]
        (3, 6)
        """
        check_settings(self)
        check_switches(gradients=gradients, single_precision=single_precision)
        listed = structures.as_frames(frames)
        plan, species = self._plan_for(listed)
        invariant = self.compiled(plan, species)
        batch = structures.to_batch(listed)
        values = _core.values(invariant, batch, single_precision)
        (derivatives,) = _core.gradients(invariant, batch) if gradients else (None,)
        return Features(
            values=values,
            samples=structures.samples_of(listed),
            center_numbers=structures.atomic_numbers(listed),
            species=species,
            n_structures=len(listed),
            gradients=None if derivatives is None else Gradients(*derivatives),
        )

    def fit_transform(self, frames: Sequence[Atoms], y: object = None) -> Features:
        """Fit, then transform the same structures.

        Examples
        --------
        >>> bool(np.allclose(spectrum.fit_transform(frames).values, features.values))
        True
        """
        listed = structures.as_frames(frames)
        return self.fit(listed).transform(listed)

    def jacobian_rows(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of ``transform(frames).per_structure()``, one structure at a time: rows for a fit.

        Forces of a linear model are ``-(rows.positions @ w)``, its virial is ``rows.strain @ w``. Memory is that of one
        structure. All structures are checked before the first is worked on.

        Raises
        ------
        ValueError
            For bad structures or, when their turn comes, coincident atoms.
        orbas.UnknownSpeciesError
            For a species without channels, before any work.

        Examples
        --------
        >>> rows = next(spectrum.jacobian_rows(frames))
        >>> rows.positions.shape == (len(frames[0]), 3, 6)
        True
        """
        listed = structures.as_frames(frames)
        plan, species = self._plan_for(listed)
        return rows_of(plan, self.compiled(plan, species), listed)

    def linear_energies(
        self, frames: Sequence[Atoms], weights: FloatArray, *, skin_list: SkinList | None = None
    ) -> Energies:
        """Evaluate ``sum_i weights[species of i] . features_i`` with forces and virials, without storing gradients.

        One pass from structures to forces in the compiled core: the adjoint of features and expansion.

        Parameters
        ----------
        frames
            Structures.
        weights
            Shape [n_species, n_features], in eV per unit of a feature; species as in ``transform(frames).species``.
        skin_list
            Neighbors remembered from call to call, for simulations; the last bits of the result then depend on the
            calls before. None searches anew.

        Raises
        ------
        ValueError
            If there are not as many weights as features, one is not finite, or for bad structures.
        orbas.UnknownSpeciesError
            For a species without channels, before any work.

        Examples
        --------
        >>> energies = spectrum.linear_energies(frames, np.ones((1, 6)))
        >>> bool(np.allclose(energies.structures, features.per_structure().sum(axis=1)))
        True
        """
        listed = structures.as_frames(frames)
        plan, species = self._plan_for(listed)
        invariant = self.compiled(plan, species)
        array = np.ascontiguousarray(weights, dtype=np.float64)
        expected = (len(species), invariant.widths[0])
        if array.shape != expected:
            raise ValueError(
                f"weights must have the shape [{expected[0]} species, {expected[1]} features], got {array.shape}"
            )
        energy = _core.Energy.linear(invariant, array)
        return Energies.from_core(listed, _core.energies(energy, structures.to_batch(listed), skin_list))

    def strain_gradients(self, frames: Sequence[Atoms]) -> FloatArray:
        """Compute the derivatives of the features of every atom by the strain, ``r -> (1 + strain) r``.

        Returns
        -------
        Array [n_atoms, 6, n_features], components in the order of Voigt (xx, yy, zz, yz, xz, xy).

        Raises
        ------
        ValueError, orbas.UnknownSpeciesError
            As :meth:`transform`.

        Examples
        --------
        >>> spectrum.strain_gradients(frames).shape[1:]
        (6, 6)
        """
        listed = structures.as_frames(frames)
        plan, species = self._plan_for(listed)
        return _core.strain_gradients(self.compiled(plan, species), structures.to_batch(listed))

    def norm_floors(self, species: Sequence[int]) -> dict[int, float]:
        """Return what kernels add to the norm of features, squares added, for centers of each species.

        What an atom without neighbors lacks of its norm in the whole spectrum with ``center_weight=1``: zero there.
        Where it has no features, directions mean nothing, and a kernel of directions would jump when the last neighbor
        leaves. With the floor it goes to zero with the features. Where a basis hardly sees the center, the norm with a
        neighbor, at half the cutoff radius, takes the place of that of the atom itself.

        Examples
        --------
        >>> spectrum.norm_floors((14,))
        {14: 0.0}
        >>> density.center_weight = 0.0
        >>> spectrum.norm_floors((14,))[14] > 0.0
        True
        """
        from ase import Atoms

        whole, apart = self._whole(), [[0.0, 0.0, 0.0], [0.5 * self.density.cutoff.radius, 0.0, 0.0]]
        lone = [Atoms(numbers=[number]) for number in species]
        pairs = [Atoms(numbers=[number] * 2, positions=apart) for number in species]
        center, pair = (np.sum(features.values**2, axis=1) for features in map(whole.transform, (lone, pairs)))
        most = np.where(center < _BLIND**2 * pair[::2], pair[::2], center)
        least = np.sum(self.transform(lone).values ** 2, axis=1)
        floors = np.sqrt(np.maximum(most - least, 0.0))
        return dict(zip(species, floors.tolist(), strict=True))

    def _whole(self) -> Spectrum:
        """Return the spectrum with the center in its own density: itself, if it is so."""
        return self if self.density.center_weight == 1.0 else type(self)(self.density.with_center())

    def sparse_points(self, zeta: int, parts: Sequence[tuple[FloatArray, FloatArray, float]]) -> SparsePoints:
        """Return what :meth:`sparse_kernel` takes: points of unit norm, weights and the floor for every species.

        Examples
        --------
        >>> point = features.values[:1] / np.linalg.norm(features.values[0])
        >>> points = spectrum.sparse_points(2, [(point, np.ones(1), 0.0)])
        >>> type(points).__name__
        'SparsePoints'
        """
        return SparsePoints(zeta, tuple(parts))

    def sparse_kernel(
        self, frames: list[Atoms], batch: _core.Batch, points: SparsePoints, skin_list: SkinList | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Evaluate a sparse kernel model: energies [n_atoms], forces [n_atoms, 3] and virials [n_structures, 3, 3].

        What :class:`orbas.models.SparseGPR` calls; ``batch`` holds the structures, ``points`` come from
        :meth:`sparse_points`.

        Examples
        --------
        >>> from orbas.structures.batch import to_batch
        >>> point = features.values[:1] / np.linalg.norm(features.values[0])
        >>> points = spectrum.sparse_points(2, [(point, np.ones(1), 0.0)])
        >>> energies, forces, virials = spectrum.sparse_kernel(frames, to_batch(frames), points, None)
        >>> round(float(energies[0]), 6)  # the kernel of an environment with itself
        1.0
        """
        plan, species = self._plan_for(frames)
        return _core.energies(points.compiled(self, plan, species), batch, skin_list)

    def compiled_for(self, frames: list[Atoms]) -> tuple[_core.Invariant, _core.DensityPlan, tuple[int, ...]]:
        """Return the compiled features for some structures, their expansion and its species.

        Examples
        --------
        >>> compiled, plan, species = spectrum.compiled_for(frames)
        >>> compiled.widths, species
        ([6], (14,))
        """
        plan, species = self._plan_for(frames)
        return self.compiled(plan, species), plan, species

    def compiled(self, plan: _core.DensityPlan, species: tuple[int, ...]) -> _core.Invariant:
        """Return the compiled features on a compiled expansion.

        Examples
        --------
        >>> plan, species = density.plan_for(frames)
        >>> spectrum.compiled(plan, species).widths
        [6]
        """
        raise NotImplementedError

    def n_features(self, species: tuple[int, ...]) -> int:
        """Return the number of features of an atom for sorted species, without computing any.

        Examples
        --------
        >>> spectrum.n_features((14,))
        6
        """
        return self._width(channels_of(self.density, species))

    def _width(self, kinds: list[tuple[int, ...]]) -> int:
        """Return the number of features for the channels per degree of every kind of center."""
        raise NotImplementedError

    def _check_restored(self) -> None:
        check_density(self)

    def _plan_for(self, frames: list[Atoms]) -> tuple[_core.DensityPlan, tuple[int, ...]]:
        record = self._record
        return self.density.plan_for(frames, None if record is None else record.species)


class SparsePoints:
    """Representative environments and their weights: what the compiled core makes of them is kept.

    Parameters
    ----------
    zeta
        The exponent.
    parts
        For every species: points of unit norm [n_points, n_features], weights [n_points] and the floor of the norm.
    """

    def __init__(self, zeta: int, parts: tuple[tuple[FloatArray, FloatArray, float], ...]) -> None:
        self.zeta = zeta
        self.parts = parts
        self._compiled: tuple[_core.DensityPlan, _core.Energy] | None = None

    def compiled(self, spectrum: Spectrum, plan: _core.DensityPlan, species: tuple[int, ...]) -> _core.Energy:
        """Return the energy of the points on a compiled expansion."""
        known = self._compiled
        if known is None or known[0] is not plan:
            energy = _core.Energy.sparse(spectrum.compiled(plan, species), self.zeta, self.parts)
            known = self._compiled = (plan, energy)
        return known[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compiled": None}


@stored("PowerSpectrum")
class PowerSpectrum(Spectrum):
    """The power spectrum ``p_{q1 q2 l} = (2l + 1)^(-1/2) sum_m c_{q1 lm} c_{q2 lm}`` (Eq. 10).

    Features are ordered by l, then by pairs ``q1 <= q2`` row by row; pairs of different channels carry sqrt 2, so
    that norms and scalar products are those of the full array.

    Parameters
    ----------
    density
        A primitive or contracted expansion.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=2)
    >>> spectrum = orbas.PowerSpectrum(density)
    >>> spectrum.transform(frames).values.shape[1]  # 2 degrees times 3 pairs of channels
    6
    """

    def compiled(self, plan: _core.DensityPlan, species: tuple[int, ...]) -> _core.Invariant:
        """Return the compiled features on a compiled expansion.

        Examples
        --------
        >>> plan, species = density.plan_for(frames)
        >>> spectrum.compiled(plan, species).widths
        [6]
        """
        return _core.Invariant.power_spectrum(plan)

    def _width(self, kinds: list[tuple[int, ...]]) -> int:
        return sum(q * (q + 1) // 2 for q in map(max, zip(*kinds, strict=True)))


@stored("RadialSpectrum")
class RadialSpectrum(Spectrum):
    """The coefficients of degree 0, ``c_q00``: two-body features, invariant as they are.

    Parameters
    ----------
    density
        A primitive or contracted expansion; its degrees above 0 are computed in vain, so give ``max_angular=0``.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=0, basis=basis)
    >>> frames = orbas.datasets.silicon(n=2)
    >>> spectrum = orbas.RadialSpectrum(density)
    >>> spectrum.transform(frames).values.shape[1]
    2
    """

    def compiled(self, plan: _core.DensityPlan, species: tuple[int, ...]) -> _core.Invariant:
        """Return the compiled features on a compiled expansion.

        Examples
        --------
        >>> plan, species = density.plan_for(frames)
        >>> spectrum.compiled(plan, species).widths
        [2]
        """
        return _core.Invariant.radial_spectrum(plan)

    def _width(self, kinds: list[tuple[int, ...]]) -> int:
        return max(counts[0] for counts in kinds)
