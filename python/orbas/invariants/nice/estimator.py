"""NICE: invariants and equivariants of rising body order, contracted after every product (Eq. 11-16)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np

from orbas import _core, structures
from orbas.base.blocks import Block, BlockKey, EquivariantBlocks, Features
from orbas.base.energies import Energies
from orbas.base.estimator import Estimator, Fitted
from orbas.base.fields import check_settings, check_switches, checked, setting
from orbas.base.kinds import Choice, Integer, Maybe, Number, Switch
from orbas.density.expansion import DENSITY
from orbas.density.rows import rows_of
from orbas.errors import not_fitted
from orbas.files.stored import check_names, stored
from orbas.invariants.nice import environments, report
from orbas.invariants.nice.iteration import Iteration
from orbas.invariants.nice.limits import Count, Limits, Parity, check_limits, counts
from orbas.invariants.nice.record import NiceRecord
from orbas.invariants.spectra import channels_of, check_density

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from orbas.base.gradients import JacobianRows
    from orbas.base.types import FloatArray
    from orbas.density.expansion import DensityExpansion


@dataclass(frozen=True, slots=True, eq=False)
class _Compiled:
    """Weights carried over to expanded pairs, and the record, the expansion and the weights that they are of."""

    record: NiceRecord
    plan: _core.DensityPlan
    given: FloatArray
    weights: FloatArray
    energy: _core.Energy

    def belongs_to(self, record: NiceRecord, plan: _core.DensityPlan, weights: FloatArray) -> bool:
        """Whether these are the weights; those that nobody can write into are known by what they are."""
        if self.record is not record or self.plan is not plan:
            return False
        return (self.given is weights and not weights.flags.writeable) or np.array_equal(self.weights, weights)


@stored("NICE")
@dataclass(eq=False, repr=False)
class NICE(Estimator):
    """Correlations of the neighbor density with ever more neighbors, each order contracted before the next (Eq. 11).

    Density channels are coupled with the equivariants of the order below. The pairs of largest importance (the product
    of the variances of both channels) are expanded, and principal components are kept of every symmetry (o3_lambda,
    o3_sigma). Invariants have an expansion of their own, which is cheaper and may therefore be larger. Nothing is
    random, centered or scaled: with no limits at all, the norm of order nu is that of the density to the power nu
    (Eq. 14-15).

    Every number is given once for all orders or as a list with one for each order from 2 on; None is no limit.

    Parameters
    ----------
    density
        An expansion, best one on an optimal basis (:attr:`orbas.OptimalBasis.expansion_`).
    nu_max
        The highest order, 1 to 10: the number of neighbors correlated.
    n_pairs
        Pairs expanded for equivariants: so many whose product keeps its sign under inversion, and so many where it
        changes.
    n_components
        Principal components kept of every symmetry; 0 for the last order spares its equivariants if only invariants
        are wanted.
    n_invariants
        Principal components kept of the invariants.
    n_invariant_pairs
        Pairs expanded for invariants.
    max_lambda
        Largest o3_lambda kept; None keeps up to nu times the degree of the density. That of the density is a good
        choice where only features are wanted.
    n_purify
        Components of each lower order (the first ones) whose ridge prediction is taken away before the contraction,
        from invariants and from equivariants; 0 for none, None for all. The norms of Eq. 15 are then no longer kept.
    parity
        ``"both"``, or ``"even"`` to drop everything with o3_sigma = -1.
    per_center
        One iteration for every center species instead of one for all.
    n_environments
        Environments to fit on, evenly spread over those given; None for all.

    Attributes
    ----------
    species_
        The sorted center species.
    retained_
        By order: the fraction of the norm of the density, to that power, which its equivariants have (Eq. 15), as a
        ratio of means over environments; a dict by center species of these, when ``per_center``.
    discarded_
        By order: the fraction of the variance of expanded pairs that contraction discarded; likewise. The iteration is
        converged, in the sense of the paper, where it is below the residual variance of the density.
    contractions_
        What became of every symmetry of every order; likewise.
    n_features_
        Number of features of every order from 1 on; those of the orders stand side by side in ``transform``.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=2, basis=basis)
    >>> frames = orbas.datasets.silicon(n=3)
    >>> nice = orbas.NICE(density, nu_max=3, n_pairs=10, n_components=4, n_invariants=5).fit(frames)
    >>> nice.n_features_
    [2, 5, 5]
    """

    species_ = Fitted[tuple[int, ...]]()
    iterations_ = Fitted["dict[int | None, Iteration]"]()
    retained_ = Fitted[Any]()
    discarded_ = Fitted[Any]()
    contractions_ = Fitted[Any]()
    n_features_ = Fitted[list[int]]()

    density: DensityExpansion = field(metadata=setting(DENSITY, "expansion, best one on an optimal basis"))
    nu_max: int = field(default=4, metadata=setting(Integer(1, 10), "the highest order"))
    n_pairs: Count = field(default=None, metadata=setting(counts(1), "pairs expanded for equivariants"))
    n_components: Count = field(default=None, metadata=setting(counts(0), "components kept of every symmetry"))
    n_invariants: Count = field(default=None, metadata=setting(counts(0), "components kept of the invariants"))
    _: KW_ONLY
    n_invariant_pairs: Count = field(default=None, metadata=setting(counts(1), "pairs expanded for invariants"))
    max_lambda: Count = field(default=None, metadata=setting(counts(0), "largest degree kept"))
    n_purify: Count = field(default=0, metadata=setting(counts(0), "components of lower orders taken away"))
    parity: Parity = field(
        default="both", metadata=setting(Choice(get_args(Parity)), "even drops what changes sign under inversion")
    )
    per_center: bool = field(default=False, metadata=setting(Switch(), "one iteration for every center species"))
    n_environments: int | None = field(
        default=None, metadata=setting(Maybe(Integer(1, 2**53), "all", "all"), "environments to fit on")
    )

    def fit(self, frames: Sequence[Atoms], y: object = None) -> Self:
        """Choose pairs and contractions from structures.

        The density stays as it is: where it has no species, those of the structures are taken. Changes of it, or of
        other settings, take effect with the next fit.

        Raises
        ------
        ValueError
            For settings out of range, bad structures, or structures without a single atom.

        Examples
        --------
        >>> nice.fit(frames).species_
        (14,)
        """
        limits = self.limits()
        listed = structures.as_frames(frames)
        params = self._settled_params(structures.species_of(listed))
        density: DensityExpansion = params["density"]
        _, species = density.plan_for(listed)
        counts = density.channel_counts(species)
        if not self.per_center and len(set(counts)) > 1:
            raise ValueError(
                "the density has a different number of channels for every center species: set per_center=True"
            )
        kinds: list[int | None] = list(species) if params["per_center"] else [None]
        iterations: dict[int | None, Iteration] = {}
        for kind in kinds:
            rows = environments.Rows(density, listed, kind, params["n_environments"])
            if rows.n_environments == 0 and kind is None:
                raise ValueError("NICE needs at least one atom to fit on")
            channels = counts[0 if kind is None else species.index(kind)]
            iterations[kind] = Iteration.fit(channels, limits, rows.chunks, max(1, rows.n_environments))
        self._record = NiceRecord.of(params, species, iterations)
        return self

    def transform(self, frames: Sequence[Atoms], *, single_precision: bool = False) -> Features:
        """Compute the invariants of every atom, [n_atoms, n_features], piece by piece.

        Features of order 1 (the density of degree 0) stand first, then those of order 2, and so on: ``n_features_``.
        With ``per_center``, species that have fewer leave the last of an order zero.

        Parameters
        ----------
        frames
            Structures.
        single_precision
            Run the iteration in single precision, on density coefficients of double precision, and return float32:
            about twice as fast where contractions decide. Errors at order nu are below 1e-6 of ``|density|^nu``. What
            purification takes away cancels, so its result is less accurate: on methane (nu_max 4, density_width 0.05,
            n_purify 100), errors were 3e-6 of ``|density|^nu`` at most; of the norm of the features of an order, 3e-5
            in the median, 2e-4 at most.

        Raises
        ------
        orbas.NotFittedError
            Before ``fit``.
        ValueError
            For bad structures or coincident atoms, or numbers beyond single precision; the message names the structure
            and the atoms.
        orbas.UnknownSpeciesError
            For a species without channels, before any work.

        Examples
        --------
        >>> double, single = nice.transform(frames), nice.transform(frames, single_precision=True)
        >>> str(single.values.dtype), bool(np.allclose(single.values, double.values, atol=1e-4))
        ('float32', True)
        """
        check_switches(single_precision=single_precision)
        record = self._fitted()
        listed = structures.as_frames(frames)
        plan, species = record.density.plan_for(listed)
        numbers = structures.atomic_numbers(listed)
        values = _core.values(
            record.compiled(plan, single=single_precision), structures.to_batch(listed), single_precision
        )
        samples = structures.samples_of(listed)
        if single_precision:
            environments.check_range(values, samples)
        return Features(values, samples, numbers, species, len(listed))

    def fit_transform(self, frames: Sequence[Atoms], y: object = None) -> Features:
        """Fit, then transform the same structures.

        Examples
        --------
        >>> nice.fit_transform(frames).values.shape[1] == sum(nice.n_features_)
        True
        """
        listed = structures.as_frames(frames)
        return self.fit(listed).transform(listed)

    def equivariants(self, frames: Sequence[Atoms]) -> EquivariantBlocks:
        """Compute all equivariants, orders 1 to ``nu_max``: blocks (nu, o3_lambda, o3_sigma, center_species).

        Values are [sample, m, q]; they turn as ``Y_lm``, and inversion multiplies them by o3_sigma (-1)^o3_lambda.
        Raises as :meth:`transform`.

        Examples
        --------
        >>> blocks = nice.equivariants(frames)
        >>> sorted({key.nu for key in blocks})
        [1, 2, 3]
        """
        record = self._fitted()
        listed = structures.as_frames(frames)
        plan, species = record.density.plan_for(listed)
        numbers, samples = structures.atomic_numbers(listed), structures.samples_of(listed)
        blocks: dict[BlockKey, Block] = {}
        for array, number in zip(plan.density(structures.to_batch(listed)), species, strict=True):
            compiled = record.of_center(number).plan
            wanted = [
                (nu, place, BlockKey(nu, l, sigma, number))
                for nu in range(1, len(record.n_features) + 1)
                for place, (l, sigma, _) in enumerate(compiled.blocks(nu))
            ]
            values = compiled.equivariants(array, [(nu, place) for nu, place, _ in wanted])
            own = samples[numbers == number]
            blocks.update({key: Block(block, own) for (_, _, key), block in zip(wanted, values, strict=True)})
        order = sorted(blocks, key=lambda key: (key.nu, key.o3_lambda, -key.o3_sigma, key.center_species))
        return EquivariantBlocks({key: blocks[key] for key in order})

    def linear_energies(
        self, frames: Sequence[Atoms], weights: FloatArray, *, skin_list: _core.SkinList | None = None
    ) -> Energies:
        """Evaluate ``sum_i weights[species of i] . features_i`` with forces and virials, without storing gradients.

        The adjoint of the whole iteration: it goes back through all orders to the density, and on to the positions.

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

        Examples
        --------
        >>> features = nice.transform(frames)
        >>> energies = nice.linear_energies(frames, np.ones((1, features.values.shape[1])))
        >>> bool(np.allclose(energies.structures, features.per_structure().sum(axis=1)))
        True
        """
        record = self._fitted()
        listed = structures.as_frames(frames)
        plan, species = record.density.plan_for(listed)
        array = np.ascontiguousarray(weights, dtype=np.float64)
        expected = (len(species), sum(record.n_features))
        if array.shape != expected:
            raise ValueError(f"weights must have the shape {expected}, got {array.shape}")
        energy = self._energy(record, plan, array)
        return Energies.from_core(listed, _core.energies(energy, structures.to_batch(listed), skin_list))

    def jacobian_rows(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of ``transform(frames).per_structure()``, one structure at a time: rows for a fit.

        Forces of a linear model are ``-(rows.positions @ w)``, its virial is ``rows.strain @ w``. Both are exact up to
        rounding. Memory is that of one structure. All structures are checked before the first is worked on.

        Notes
        -----
        The equivariants of an atom are made once, and followed along every direction by the product rule: three for
        each atom in its environment, and six of the strain where a pair crosses a border of the cell. A direction costs
        about as much as a transform of the atom.

        Raises
        ------
        orbas.NotFittedError
            Before ``fit``.
        ValueError
            For bad structures or, when their turn comes, coincident atoms.
        orbas.UnknownSpeciesError
            For a species without channels, before any work.

        Examples
        --------
        >>> rows = next(nice.jacobian_rows(frames))
        >>> rows.positions.shape[1:], len(rows.positions) == len(frames[0])
        ((3, 12), True)
        """
        record = self._fitted()
        listed = structures.as_frames(frames)
        plan, _ = record.density.plan_for(listed)
        return rows_of(plan, record.compiled(plan), listed)

    def summary(self, density_residual: float | None = None) -> str:
        """Return a table of what every contraction kept; raises :class:`orbas.NotFittedError` before ``fit``.

        With the residual variance of the density, orders that discard more than that are marked: there, the contraction
        and no longer the density limits the accuracy.

        Examples
        --------
        >>> print(nice.summary().splitlines()[0])
        56 environments; density channels per l: [2, 2, 2]
        """
        checked(Maybe(Number(0.0, 1.0)), "density_residual", density_residual)
        return report.table(self.iterations_, density_residual)

    def estimate(self, frames: Sequence[Atoms]) -> report.Estimate:
        """Estimate work and memory of a fit on structures, and of a transform, without doing it.

        Examples
        --------
        >>> estimate = nice.estimate(frames)
        >>> estimate.operations > 0, estimate.fit_seconds < 1.0
        (True, True)
        """
        limits = self.limits()
        listed = structures.as_frames(frames)
        numbers = structures.atomic_numbers(listed)
        _, species = self.density.plan_for(listed)
        n = len(numbers) if self.n_environments is None else min(self.n_environments, len(numbers))
        return report.estimate(self.density.channel_counts(species)[0], limits, n)

    def n_features(self, species: tuple[int, ...]) -> int:
        """Return the number of features of an atom for the species of the fit.

        Examples
        --------
        >>> nice.n_features((14,))
        12
        """
        channels_of(self.density, species)
        return sum(self._fitted().n_features)

    def _described(self) -> dict[str, Any]:
        record: NiceRecord | None = self._record
        fitted = {} if record is None else {"species_": record.species, "iterations_": record.iterations}
        return {**self._params_of_record(), **fitted}

    @classmethod
    def _restored(cls, values: dict[str, Any]) -> NICE:
        fitted = ("species_", "iterations_")
        check_names(cls, values, fitted)
        nice = cls(**{name: value for name, value in values.items() if name not in fitted})
        species, iterations = (values[name] for name in fitted)
        check_density(nice)
        n_limits = len(nice.limits())
        nice._record = NiceRecord.restored(nice._settled_params(species), n_limits, species, iterations)
        return nice

    def check(self) -> None:
        """Raise SettingsError for a setting of a wrong type or out of its range.

        Examples
        --------
        >>> nice.set_params(nu_max=11).check()
        Traceback (most recent call last):
        orbas.base.fields.SettingsError: NICE.nu_max must be an integer from 1 to 10, got 11
        """
        self.limits()

    def limits(self) -> list[Limits]:
        """Return the limits of every order from 2 on; raises ValueError for a setting out of its range.

        Examples
        --------
        >>> [limits.n_pairs for limits in nice.limits()]  # orders 2 and 3
        [10, 10]
        """
        check_settings(self)
        return check_limits(
            self.nu_max,
            n_pairs=self.n_pairs,
            n_components=self.n_components,
            n_invariants=self.n_invariants,
            n_invariant_pairs=self.n_invariant_pairs,
            max_lambda=self.max_lambda,
            n_purify=self.n_purify,
            parity=self.parity,
        )

    def _fitted(self) -> NiceRecord:
        record: NiceRecord | None = self._record
        if record is None:
            raise not_fitted("this NICE is not fitted: call fit first")
        return record

    def _energy(self, record: NiceRecord, plan: _core.DensityPlan, weights: FloatArray) -> _core.Energy:
        """Carry weights [species, feature] over to expanded pairs, once for all steps of a trajectory."""
        compiled: _Compiled | None = self._compiled
        if compiled is None or not compiled.belongs_to(record, plan, weights):
            energy = _core.Energy.linear(record.compiled(plan), weights)
            compiled = self._compiled = _Compiled(record, plan, weights, weights.copy(), energy)
        return compiled.energy
