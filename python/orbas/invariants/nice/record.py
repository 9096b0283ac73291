"""What a fit of NICE leaves, and how it is compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas import _core
from orbas.invariants.nice import report
from orbas.structures.species import check_rising

if TYPE_CHECKING:
    from orbas.density.expansion import DensityExpansion
    from orbas.invariants.nice.iteration import Iteration


@dataclass(frozen=True, slots=True, eq=False)
class NiceRecord:
    """What :meth:`NICE.fit` finds, with the settings and the density that it belongs to."""

    params: dict[str, Any]
    species: tuple[int, ...]
    iterations: dict[int | None, Iteration]
    retained: Any
    discarded: Any
    contractions: Any
    n_features: list[int]

    @classmethod
    def of(
        cls, params: dict[str, Any], species: tuple[int, ...], iterations: dict[int | None, Iteration]
    ) -> NiceRecord:
        """Return the record of one iteration per center species, or of one under None, from a fit or a file."""

        def by_center(values: dict[int | None, Any]) -> Any:
            return values if params["per_center"] else values[None]

        widths = [it.plan.n_invariants() for it in iterations.values()]
        return cls(
            params,
            species,
            iterations,
            by_center({kind: it.retained() for kind, it in iterations.items()}),
            by_center({kind: report.discarded(it.contractions) for kind, it in iterations.items()}),
            by_center({kind: it.contractions for kind, it in iterations.items()}),
            [max(column) for column in zip(*widths, strict=True)],
        )

    @property
    def density(self) -> DensityExpansion:
        """The expansion as it was at the fit, with its species."""
        density: DensityExpansion = self.params["density"]
        return density

    @property
    def counts(self) -> list[tuple[int, ...]]:
        """Channels of the density, [center species][l]."""
        return self.density.channel_counts(self.species)

    def of_center(self, number: int) -> Iteration:
        """Return the iteration of a center species."""
        return self.iterations[number if self.params["per_center"] else None]

    def compiled(self, plan: _core.DensityPlan, *, single: bool = False) -> _core.Invariant:
        """Return the compiled features on a compiled expansion; orders start where the widest of all kinds do."""
        starts = np.cumsum([0, *self.n_features[:-1]]).tolist()
        of_kind = (
            [self.of_center(number) for number in self.species]
            if self.params["per_center"]
            else [self.iterations[None]]
        )
        return _core.Invariant.iteration(plan, [(it.plan, starts) for it in of_kind], sum(self.n_features), single)

    @classmethod
    def restored(
        cls, params: dict[str, Any], n_limits: int, species: tuple[int, ...], iterations: dict[int | None, Iteration]
    ) -> NiceRecord:
        """Return the record of what a file holds; raise ValueError or TypeError if it does not fit the settings."""
        check_rising("species_", species)
        density: DensityExpansion = params["density"]
        if getattr(density, "species_", None) != species:
            raise ValueError(f"species_ are {species}, not those of its density")
        per_center = params["per_center"]
        if not isinstance(per_center, bool) or not isinstance(iterations, dict):
            raise TypeError("per_center must be true or false, iterations_ a dict")
        kinds: list[int | None] = list(species) if per_center else [None]
        if list(iterations) != kinds:
            raise ValueError(f"iterations_ are of the centers {list(iterations)}, not {kinds}")
        counts = density.channel_counts(species)
        channels = [iteration.channels for iteration in iterations.values()]
        if channels != (counts if per_center else list(set(counts))):
            raise ValueError("an iteration has other channels than the density")
        if any(len(iteration.orders) != n_limits for iteration in iterations.values()):
            raise ValueError(f"an iteration does not end at nu_max = {params['nu_max']}")
        return cls.of(params, species, iterations)
