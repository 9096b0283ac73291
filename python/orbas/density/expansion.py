"""The expansion of the neighbor density on radial functions times spherical harmonics."""

from __future__ import annotations

from copy import copy
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from orbas import _core, structures
from orbas.base.blocks import Block, BlockKey, EquivariantBlocks
from orbas.base.energies import Energies
from orbas.base.estimator import Estimator, Fitted
from orbas.base.fields import check_settings, check_switches, setting
from orbas.base.gradients import Gradients, JacobianRows
from orbas.base.kinds import Instance, Integer, Maybe, Number
from orbas.bases import PrimitiveBasis, Setup
from orbas.density import contraction, tables
from orbas.density.contraction import ContractedBasis
from orbas.density.rows import rows_of
from orbas.density.weight import Cutoff, RadialScaling
from orbas.files.stored import is_number, stored
from orbas.structures.species import SpeciesList, check_rising

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray


@dataclass(frozen=True, slots=True)
class DensityRecord:
    """What :meth:`DensityExpansion.fit` learns: the sorted atomic numbers that have channels."""

    species: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Compiled:
    """A compiled expansion, and the settings and species that it was made from."""

    key: tuple[Any, ...]
    plan: _core.DensityPlan


@stored("DensityExpansion", fitted=("species_",), record=DensityRecord)
@dataclass(eq=False, repr=False)
class DensityExpansion(Estimator):
    """Coefficients ``c_anlm = sum_{j in a} f(r_ij) I_nl(r_ij) Y_lm(r_ij)`` of every atom (Eq. 4).

    ``f`` is the cutoff function times the radial scaling; ``I_nl`` is the radial integral of a Gaussian of peak 1
    and width ``density_width`` (Eq. 5), tabulated; the center itself contributes ``I_n0(0) / sqrt(4 pi)``, weighted,
    to l = 0 of its own species. Equation numbers are those of Goscinski et al., J. Chem. Phys. 155, 104106 (2021).

    Parameters
    ----------
    cutoff
        Cutoff radius, width and smoothing.
    density_width
        Standard deviation of the Gaussians in Å; 0 for a delta density, where ``I_nl(r) = R_nl(r)``.
    max_angular
        The largest degree l, inclusive.
    basis
        A primitive basis of :mod:`orbas.bases` (an optimal basis makes its own expansion:
        :attr:`orbas.OptimalBasis.expansion_`).
    scaling
        Radial scaling; None for none.
    species
        Atomic numbers or symbols that have channels; None takes those of the structures given to ``fit`` or, without a
        fit, to ``transform``.
    center_weight
        Weight of the center's own density.
    spline_accuracy
        Largest error of the tabulated integrals, relative to ``min(1, their largest value)``.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(3)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=2, basis=basis)
    >>> frames = orbas.datasets.silicon(n=2)
    >>> blocks = density.transform(frames)
    >>> blocks[1, 2, 1, 14].values.shape == (sum(len(frame) for frame in frames), 5, 3)
    True
    """

    species_ = Fitted[tuple[int, ...]]()

    _: KW_ONLY
    cutoff: Cutoff = field(metadata=setting(Instance(lambda: (Cutoff,), "an orbas.Cutoff"), "cutoff function"))
    density_width: float = field(metadata=setting(Number(0, 1e6, "Å"), "width of the Gaussians; 0 for deltas"))
    max_angular: int = field(metadata=setting(Integer(0, 40), "largest degree l"))
    basis: PrimitiveBasis | ContractedBasis = field(
        metadata=setting(Instance(lambda: (PrimitiveBasis, ContractedBasis), "one of orbas.bases"), "primitive basis")
    )
    scaling: RadialScaling | None = field(
        default=None,
        metadata=setting(Maybe(Instance(lambda: (RadialScaling,), "an orbas.RadialScaling")), "radial scaling"),
    )
    species: Sequence[int | str] | None = field(
        default=None,
        metadata=setting(Maybe(SpeciesList(), meaning="those of the structures"), "species that have channels"),
    )
    center_weight: float = field(default=1.0, metadata=setting(Number(-1e6, 1e6), "weight of the center's own density"))
    spline_accuracy: float = field(
        default=1e-8, metadata=setting(Number(1e-14, 0.1), "largest error of the tabulated integrals")
    )

    def fit(self, frames: Sequence[Atoms], y: object = None) -> Self:
        """Take the species from structures, unless they were given; ``species_`` holds them.

        Examples
        --------
        >>> density.fit(frames).species_
        (14,)
        """
        self.check()
        listed = structures.as_frames(frames)
        self._record = DensityRecord(self.given_species() or structures.species_of(listed))
        return self

    def settled(self, species: tuple[int, ...]) -> Self:
        """Return a copy that later changes do not reach, with species: those of its settings, its fit, or the given.

        Examples
        --------
        >>> copy = density.settled((14,))
        >>> density.max_angular = 0
        >>> copy.max_angular, copy.species_
        (2, (14,))
        """
        twin = super().settled(species)
        twin._record = DensityRecord(twin.given_species() or (species if twin._record is None else twin.species_))
        return twin

    def transform(
        self, frames: Sequence[Atoms], *, gradients: bool = False, single_precision: bool = False
    ) -> EquivariantBlocks:
        """Expand the density around every atom.

        Parameters
        ----------
        frames
            Structures.
        gradients
            Also compute derivatives by the positions, three times as many numbers as coefficients for every neighbor:
            for a fit on forces see :meth:`jacobian_rows`, for forces of a model :meth:`pull_back`.
        single_precision
            Return coefficients as float32, half the memory: each is the number nearest to the float64 one, at most
            ``2**-24 = 6e-8`` of it away. Derivatives stay float64.

        Returns
        -------
        Blocks (nu=1, o3_lambda=l, o3_sigma=1, center_species): values [sample, m, q]. With a primitive basis
        ``q = a * n_l + n``, species slowest. Blocks of one center species are views of one array.

        Raises
        ------
        ValueError
            For bad structures or coincident atoms; the message names the structure and the atoms.
        orbas.UnknownSpeciesError
            For a species without channels, before any work.

        Examples
        --------
        >>> blocks = density.transform(frames, gradients=True, single_precision=True)
        >>> str(blocks[1, 0, 1, 14].values.dtype)
        'float32'
        >>> blocks[1, 0, 1, 14].gradients.values.shape[1:]  # xyz, m, q
        (3, 1, 3)
        """
        check_switches(gradients=gradients, single_precision=single_precision)
        listed = structures.as_frames(frames)
        plan, species = self.plan_for(listed)
        batch = structures.to_batch(listed)
        arrays = plan.density(batch, single_precision)
        derivatives = _core.gradients(_core.Invariant.coefficients(plan), batch) if gradients else None
        numbers = structures.atomic_numbers(listed)
        samples = structures.samples_of(listed)
        samples_of = {number: samples[numbers == number] for number in species}
        counts = self.channel_counts(species)
        blocks: dict[BlockKey, Block] = {}
        starts = [np.cumsum([0, *((2 * l + 1) * q for l, q in enumerate(center))]) for center in counts]
        for l in range(self.max_angular + 1):
            for a, number in enumerate(species):
                q = counts[a][l]
                columns = slice(starts[a][l], starts[a][l + 1])
                part = arrays[a][:, columns]
                values = part.reshape(part.shape[0], 2 * l + 1, q, copy=False)
                slopes = None
                if derivatives is not None:
                    rows, offsets, neighbors = derivatives[a]
                    rows = rows[:, :, columns].reshape(rows.shape[0], 3, 2 * l + 1, q, copy=False)
                    slopes = Gradients(rows, offsets, neighbors)
                blocks[BlockKey(1, l, 1, number)] = Block(values, samples_of[number], slopes)
        return EquivariantBlocks(blocks)

    def jacobian_rows(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of the coefficients summed over each center species, one structure at a time.

        Columns are, for each center species in turn, its coefficients by l, m and q. Forces of a linear model are
        ``-(rows.positions @ w)``, its virial is ``rows.strain @ w``. Memory is that of one structure. All structures
        are checked before the first is worked on.

        Raises
        ------
        ValueError
            For bad structures or, when their turn comes, coincident atoms.
        orbas.UnknownSpeciesError
            For a species without channels, before any work.

        Examples
        --------
        >>> rows = next(density.jacobian_rows(frames))
        >>> rows.positions.shape == (len(frames[0]), 3, (1 + 3 + 5) * 3)
        True
        """
        listed = structures.as_frames(frames)
        plan, _ = self.plan_for(listed)
        return rows_of(plan, _core.Invariant.coefficients(plan), listed)

    def pull_back(self, frames: Sequence[Atoms], gradients: Mapping[tuple[int, int, int, int], FloatArray]) -> Energies:
        """Turn ``dE/dc`` of every coefficient into forces and virials: the vector-Jacobian product.

        Nothing larger than the gradients themselves is stored.

        Parameters
        ----------
        frames
            Structures.
        gradients
            ``dE/dc`` under the keys of :meth:`transform`, each of its block's shape [sample, m, q]; a key that is
            missing counts as zero.

        Returns
        -------
        Forces and virials of E; as energy stands ``sum c . dE/dc``, which is E if that is linear.

        Raises
        ------
        ValueError
            For an unknown key or a wrong shape.

        Examples
        --------
        >>> gradients = {key: block.values for key, block in blocks.items()}  # of half the squared norm
        >>> energies = density.pull_back(frames, gradients)
        >>> len(energies.forces), energies.virials.shape
        (2, (2, 3, 3))
        """
        listed = structures.as_frames(frames)
        plan, species = self.plan_for(listed)
        numbers = structures.atomic_numbers(listed)
        counts = self.channel_counts(species)
        known = {BlockKey(1, l, 1, number) for l in range(self.max_angular + 1) for number in species}
        unknown = [tuple(key) for key in gradients if BlockKey(*key) not in known]
        if unknown:
            raise ValueError(f"no coefficients for the keys {unknown}")
        arrays = []
        for a, number in enumerate(species):
            n = int(np.count_nonzero(numbers == number))
            parts = []
            for l, q in enumerate(counts[a]):
                shape = (n, 2 * l + 1, q)
                part = np.asarray(gradients.get(BlockKey(1, l, 1, number), np.zeros(shape)), dtype=np.float64)
                if part.shape != shape:
                    raise ValueError(
                        f"the gradient of l = {l}, center species {number} must have the shape {shape}, "
                        f"got {part.shape}"
                    )
                parts.append(part.reshape(n, (2 * l + 1) * q))
            arrays.append(np.concatenate(parts, axis=1))
        return Energies.from_core(listed, plan.weighted_coefficients(structures.to_batch(listed), arrays))

    def fit_transform(self, frames: Sequence[Atoms], y: object = None) -> EquivariantBlocks:
        """Fit, then transform the same structures.

        Examples
        --------
        >>> len(density.fit_transform(frames)), density.species_
        (3, (14,))
        """
        listed = structures.as_frames(frames)
        return self.fit(listed).transform(listed)

    def channel_counts(self, species: Sequence[int]) -> list[tuple[int, ...]]:
        """Return the number of channels per degree for every center species: [a][l].

        Examples
        --------
        >>> density.channel_counts([1, 6])  # 2 neighbor species times 3 functions
        [(6, 6, 6), (6, 6, 6)]
        """
        counts = self.kinds_of_centers(len(species))
        return counts * len(species) if len(counts) == 1 else counts

    def kinds_of_centers(self, n_species: int) -> list[tuple[int, ...]]:
        """Return the channels per degree of every kind of center: of one for all, or of one per center species.

        Examples
        --------
        >>> density.kinds_of_centers(2)
        [(6, 6, 6)]
        """
        if isinstance(self.basis, ContractedBasis):
            return [center.counts for center in self.basis.centers]
        return [tuple(n_species * n for n in self.basis.counts(self.max_angular))]

    def plan_for(
        self, frames: Sequence[Atoms], fitted: tuple[int, ...] | None = None
    ) -> tuple[_core.DensityPlan, tuple[int, ...]]:
        """Return the compiled expansion for some structures, and its species.

        The species are those that the settings name; else ``fitted``, of a fit of what stands on the expansion; else
        those of its own fit; without a fit those of the structures.

        Examples
        --------
        >>> plan, species = density.plan_for(frames)
        >>> species
        (14,)
        """
        record = self._record
        species = self.given_species() or fitted or (None if record is None else record.species) or _species_of(frames)
        key = (
            self.cutoff,
            self.density_width,
            self.max_angular,
            self.basis,
            self.scaling,
            self.center_weight,
            self.spline_accuracy,
            species,
        )
        compiled: _Compiled | None = self._compiled
        if compiled is None or compiled.key != key:
            self.check()
            compiled = self._compiled = _Compiled(key, self._make_plan(species))
        return compiled.plan, species

    def _make_plan(self, species: tuple[int, ...]) -> _core.DensityPlan:
        centers = self._centers(len(species))
        n_nodes, functions = tables.tabulate(
            self.primitive_basis(),
            centers,
            max_angular=self.max_angular,
            cutoff_radius=self.cutoff.radius,
            density_width=self.density_width,
            accuracy=self.spline_accuracy,
        )
        scaling = self.scaling
        return _core.DensityPlan(
            cutoff=(self.cutoff.radius, self.cutoff.width, self.cutoff.smoothing),
            scaling=None if scaling is None else (scaling.rate, scaling.scale, scaling.exponent),
            species=species,
            center_weight=self.center_weight,
            n_nodes=n_nodes,
            channels=[center.counts for center in centers],
            functions=functions,
        )

    def with_center(self) -> DensityExpansion:
        """Return the same expansion with every center in its own density, ``center_weight=1``.

        Examples
        --------
        >>> density.center_weight = 0.0
        >>> density.with_center().center_weight
        1.0
        """
        other = copy(self)
        other.center_weight = 1.0
        return other

    def primitive_basis(self) -> PrimitiveBasis:
        """Return the functions that everything is made of, also below a contracted basis.

        Examples
        --------
        >>> density.primitive_basis()
        GTO(n_radial=3)
        """
        return self.basis.primitive if isinstance(self.basis, ContractedBasis) else self.basis

    def _centers(self, n_species: int) -> tuple[contraction.CenterContraction, ...]:
        if isinstance(self.basis, ContractedBasis):
            return self.basis.centers
        return (contraction.primitive(self.basis.counts(self.max_angular), n_species),)

    def given_species(self) -> tuple[int, ...] | None:
        """Return the species that the settings name; None if the data decide.

        Examples
        --------
        >>> density.given_species() is None
        True
        >>> density.set_params(species=["Si", "O"]).given_species()
        (8, 14)
        """
        if isinstance(self.basis, ContractedBasis):
            return self.basis.species
        if self.species is None:
            return None
        return SpeciesList().take(self.species)

    def check(self) -> None:
        """Raise SettingsError for a setting of a wrong type or out of its range.

        Examples
        --------
        >>> density.max_angular = -1
        >>> density.check()
        Traceback (most recent call last):
        orbas.base.fields.SettingsError: DensityExpansion.max_angular must be an integer from 0 to 40, got -1
        """
        check_settings(self)

    def _check_restored(self) -> None:
        numbers = (self.density_width, self.center_weight, self.spline_accuracy)
        if not all(map(is_number, numbers)):
            raise TypeError(f"density_width, center_weight and spline_accuracy must be numbers, got {numbers!r}")
        self.check()
        Setup(self.max_angular, self.cutoff.radius, self.density_width)
        if isinstance(self.basis, ContractedBasis) and self.basis.n_degrees != self.max_angular + 1:
            raise ValueError(f"a basis of {self.basis.n_degrees} degrees for max_angular = {self.max_angular}")
        if self._record is not None:
            check_rising("species_", self.species_)
            if self.given_species() not in (None, self.species_):
                raise ValueError(f"species_ are {self.species_}, those of the settings {self.given_species()}")


#: Of what stands on one.
DENSITY = Instance(lambda: (DensityExpansion,), "an orbas.DensityExpansion")


def _species_of(frames: Sequence[Atoms]) -> tuple[int, ...]:
    """Return the species that occur; raise ValueError if there is none."""
    species = structures.species_of(frames)
    if not species:
        raise ValueError("no species: give structures with atoms, fit first, or name the species in the constructor")
    return species
