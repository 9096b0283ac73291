"""The bispectrum: invariants of three neighbors, every triple of channels once, nothing contracted."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from orbas import _core, structures
from orbas.base.blocks import Features
from orbas.base.energies import Energies
from orbas.base.estimator import Estimator, Fitted
from orbas.base.fields import check_settings, setting
from orbas.density.expansion import DENSITY
from orbas.density.rows import rows_of
from orbas.files.stored import stored
from orbas.invariants.nice.selection import Symmetry, reached, select_couplings
from orbas.invariants.spectra import channels_of, check_density, spectrum_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.base.gradients import JacobianRows
    from orbas.base.types import FloatArray
    from orbas.density.expansion import DensityExpansion


@dataclass(frozen=True, slots=True, eq=False)
class _Compiled:
    """The compiled products, and the channels per degree that they are of."""

    channels: tuple[int, ...]
    plan: _core.EquivariantPlan


@stored("Bispectrum")
@dataclass(eq=False, repr=False)
class Bispectrum(Estimator):
    """Invariants of order 3: ``(2 l3 + 1)^(-1/2) sum_m1m2m3 <l1 m1; l2 m2 | l3 m3> c_1 c_2 c_3``, up to a sign.

    The plain third order of the iteration (Eq. 11), over even l1 + l2 + l3, with ``c_k`` the coefficient of channel
    q_k, degree l_k and order m_k. A product does not depend on the order of its three channels; each set of three
    stands once, times the root of the number of its orders, so that norms and scalar products are those of the full
    cube.

    Parameters
    ----------
    density
        A primitive or contracted expansion, with the same number of channels for all center species.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=2, basis=basis)
    >>> bispectrum = orbas.Bispectrum(density)
    >>> frames = orbas.datasets.silicon(n=2)
    >>> features = bispectrum.transform(frames)
    >>> features.values.shape[1]
    26
    """

    species_ = Fitted[tuple[int, ...]]()

    density: DensityExpansion = field(metadata=setting(DENSITY, "expansion that the features are made of"))

    def fit(self, frames: Sequence[Atoms], y: object = None) -> Self:
        """Take the species from structures, unless the density has them; the density itself stays as it is.

        Examples
        --------
        >>> bispectrum.fit(frames).species_
        (14,)
        """
        check_settings(self)
        self._record = spectrum_record(self.density, structures.as_frames(frames))
        return self

    def settled(self, species: tuple[int, ...]) -> Self:
        """Return a copy that later changes do not reach: see :meth:`orbas.DensityExpansion.settled`.

        Examples
        --------
        >>> copy = bispectrum.settled((14,))
        >>> density.max_angular = 0
        >>> copy.transform(frames).values.shape[1]
        26
        """
        return super().settled(self.species_ if self._record is not None else species)

    def transform(self, frames: Sequence[Atoms]) -> Features:
        """Compute the bispectrum of every atom, [n_atoms, n_features].

        Raises
        ------
        ValueError
            For bad structures or coincident atoms; the message names the structure and the atoms.
        orbas.UnknownSpeciesError
            For a species without channels, before any work.

        Examples
        --------
        >>> turned = frames[0].copy()
        >>> turned.rotate(30, "z", rotate_cell=True)
        >>> bool(np.allclose(bispectrum.transform([turned]).values, features.values[: len(turned)]))
        True
        """
        check_settings(self)
        listed = structures.as_frames(frames)
        plan, species = self._plan_for(listed)
        numbers = structures.atomic_numbers(listed)
        values = _core.values(self._invariant(plan, species), structures.to_batch(listed))
        return Features(values, structures.samples_of(listed), numbers, species, len(listed))

    def fit_transform(self, frames: Sequence[Atoms], y: object = None) -> Features:
        """Fit, then transform the same structures.

        Examples
        --------
        >>> bool(np.allclose(bispectrum.fit_transform(frames).values, features.values))
        True
        """
        listed = structures.as_frames(frames)
        return self.fit(listed).transform(listed)

    def linear_energies(
        self, frames: Sequence[Atoms], weights: FloatArray, *, skin_list: SkinList | None = None
    ) -> Energies:
        """Evaluate ``sum_i weights[species of i] . features_i`` with forces and virials, without storing gradients.

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
        >>> weights = np.ones((1, features.values.shape[1]))
        >>> energies = bispectrum.linear_energies(frames, weights)
        >>> bool(np.allclose(energies.structures, features.per_structure().sum(axis=1)))
        True
        """
        listed = structures.as_frames(frames)
        plan, species = self._plan_for(listed)
        invariant = self._invariant(plan, species)
        array = np.ascontiguousarray(weights, dtype=np.float64)
        if array.shape != (len(species), invariant.widths[0]):
            raise ValueError(f"weights must have the shape {(len(species), invariant.widths[0])}, got {array.shape}")
        energy = _core.Energy.linear(invariant, array)
        return Energies.from_core(listed, _core.energies(energy, structures.to_batch(listed), skin_list))

    def jacobian_rows(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of ``transform(frames).per_structure()``, one structure at a time: rows for a fit.

        Forces of a linear model are ``-(rows.positions @ w)``, its virial is ``rows.strain @ w``. In the memory of one
        structure. All structures are checked before the
        first is worked on.

        Raises
        ------
        ValueError
            For bad structures or, when their turn comes, coincident atoms.
        orbas.UnknownSpeciesError
            For a species without channels, before any work.

        Examples
        --------
        >>> rows = next(bispectrum.jacobian_rows(frames))
        >>> rows.strain.shape
        (3, 3, 26)
        """
        listed = structures.as_frames(frames)
        plan, species = self._plan_for(listed)
        return rows_of(plan, self._invariant(plan, species), listed)

    def n_features(self, species: tuple[int, ...]) -> int:
        """Return the number of features of an atom for sorted species, without computing any.

        Examples
        --------
        >>> bispectrum.n_features((14,))
        26
        """
        kinds = channels_of(self.density, species)
        if len(set(kinds)) > 1:
            raise ValueError("the density has not the same channels for all center species")
        return _n_triples(kinds[0])

    def _check_restored(self) -> None:
        check_density(self)

    def _invariant(self, plan: _core.DensityPlan, species: tuple[int, ...]) -> _core.Invariant:
        """Return the compiled features: of the three orders only the last."""
        compiled = self._plan(species)
        return _core.Invariant.iteration(plan, [(compiled, [None, None, 0])], compiled.n_invariants()[2])

    def _plan_for(self, frames: list[Atoms]) -> tuple[_core.DensityPlan, tuple[int, ...]]:
        record = self._record
        return self.density.plan_for(frames, None if record is None else record.species)

    def _plan(self, species: tuple[int, ...]) -> _core.EquivariantPlan:
        counts = self.density.channel_counts(species)
        if len(set(counts)) > 1:
            raise ValueError("the density must have the same number of channels for all center species")
        compiled: _Compiled | None = self._compiled
        if compiled is None or compiled.channels != counts[0]:
            plan = _core.EquivariantPlan(counts[0], _steps(counts[0]))
            compiled = self._compiled = _Compiled(counts[0], plan)
        return compiled.plan


def _n_triples(channels: Sequence[int]) -> int:
    """Return how many sets of three channels have even l1 + l2 + l3 that form a triangle."""
    total = 0
    for a, b, c in combinations_with_replacement(range(len(channels)), 3):
        if (a + b + c) % 2 or c > a + b:
            continue
        p, q, r = channels[a], channels[b], channels[c]
        if a == b == c:
            total += p * (p + 1) * (p + 2) // 6
        elif a == b:
            total += p * (p + 1) // 2 * r
        elif b == c:
            total += p * (q * (q + 1) // 2)
        else:
            total += p * q * r
    return total


def _steps(channels: Sequence[int]) -> list[Any]:
    """Two steps: all products of two channels, and those of three in one order each."""
    ones = [np.ones(q) for q in channels]
    below = {(l, 1): one for l, one in enumerate(ones)}
    most = len(channels) - 1
    couplings = select_couplings(ones, below, None, halve=True, max_lambda=most, signs=(1,))
    outputs: dict[Symmetry, list[Any]] = {(l, 1): [] for l in range(len(channels))}
    # The third channel counts from the last of the first two on: (degree, channel) of these, by row of the output.
    for c in couplings:
        for symmetry in reached(c.l, c.second, most, (1,)):
            for first, second in c.pairs[: c.count(symmetry[0])].tolist():
                outputs[symmetry].append(((c.l, first), (c.second[0], second)))
    pairs, factors = [], []
    for (l, _), rows in outputs.items():
        for third in range(channels[l]):
            for row, (first, second) in enumerate(rows):
                if (l, third) >= second:
                    equal = len({first, second, (l, third)})
                    orders = {1: 1, 2: 3, 3: 6}[equal]
                    pairs.append((l, third, row))
                    # The pair of the first two carries the root of its own orders.
                    factors.append(np.sqrt(orders / (1 if first == second else 2)))
    empty = np.zeros((0, 3), dtype=np.uint32)
    first_step = (
        [(c.l, c.second, c.pairs, c.factors, c.distinct) for c in couplings],
        [(symmetry, None) for symmetry in outputs],
        (empty, np.zeros(0), None),
    )
    listed = np.array(pairs, dtype=np.uint32).reshape(-1, 3)
    return [first_step, ([], [], (listed, np.array(factors), None))]
