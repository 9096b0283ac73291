"""What every basis that is fitted to data offers: its contraction, its functions and the expansion on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from orbas.base.estimator import Estimator, Fitted
from orbas.base.fields import checked
from orbas.base.kinds import Integer, ListOf, Maybe
from orbas.density import contraction
from orbas.density.contraction import ContractedBasis
from orbas.density.expansion import DensityExpansion
from orbas.errors import not_fitted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from orbas.base.types import FloatArray

Mixing = Literal["combined", "separate"]

#: Contraction matrices [l][group], a group being a neighbor species, or all of them when combined.
Matrices = list[list["FloatArray"]]


@dataclass(frozen=True, slots=True)
class Nesting:
    """How public attributes of a fitted basis are nested: whether species mix, and whether centers have their own."""

    mixing: Mixing
    per_center: bool

    def nested(self, by_kind: Mapping[int | None, list[list[FloatArray]]]) -> Any:
        """Return items [l][group] of every kind of center in the form of the public attributes."""
        lists = {kind: [groups[0] for groups in items] for kind, items in by_kind.items()}
        return self.of_centers(lists if self.mixing == "combined" else by_kind)

    def of_centers(self, by_kind: Mapping[int | None, Any]) -> Any:
        """Return a dict by center species, or what holds for all centers, which stands under None."""
        return dict(by_kind) if self.per_center else by_kind[None]

    def by_kind(self, nested: Any) -> dict[int | None, list[list[FloatArray]]]:
        """Return the items of a public attribute as [l][group] of every kind of center."""
        kinds: dict[int | None, Any] = dict(nested) if self.per_center else {None: nested}
        if self.mixing == "separate":
            return kinds
        return {kind: [[item] for item in items] for kind, items in kinds.items()}

    def contracted(self, matrices: Matrices, n_species: int) -> contraction.CenterContraction:
        """Return the contraction of one kind of center."""
        if self.mixing == "combined":
            return contraction.combined([groups[0] for groups in matrices], n_species)
        return contraction.separate(matrices)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BasisRecord:
    """What the fit of a basis finds, with the settings that it belongs to; see :class:`FittedBasis`."""

    params: dict[str, Any]
    nesting: Nesting
    species: tuple[int, ...]
    n_environments: int
    contraction: Any
    residual_variance: Any
    contracted: ContractedBasis
    expansion: DensityExpansion

    @property
    def density(self) -> DensityExpansion:
        """The primitive expansion as it was at the fit."""
        density: DensityExpansion = self.params["density"]
        return density

    @staticmethod
    def fields_of(
        params: dict[str, Any], species: tuple[int, ...], kept: Mapping[int | None, Matrices]
    ) -> dict[str, Any]:
        """Return what follows from the contraction matrices, one entry per center species or one under None."""
        nesting, density = Nesting(params["mixing"], params["per_center"]), params["density"]
        centers = tuple(nesting.contracted(matrices, len(species)) for matrices in kept.values())
        contracted = ContractedBasis(density.primitive_basis(), species, centers)
        return {
            "params": params,
            "nesting": nesting,
            "species": species,
            "contraction": nesting.nested(kept),
            "contracted": contracted,
            "expansion": DensityExpansion(
                **{**density.get_params(deep=False), "basis": contracted, "species": species}
            ),
        }


class FittedBasis(Estimator):
    """A basis contracted from the primitive one of a density, for all centers or for each center species.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(4)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> optimal = orbas.OptimalBasis(density, n_optimal=2).fit(orbas.datasets.silicon(n=5))
    """

    density: DensityExpansion
    mixing: Mixing
    per_center: bool

    species_ = Fitted[tuple[int, ...]]()
    n_environments_ = Fitted[int]()
    contraction_ = Fitted[Any]()
    residual_variance_ = Fitted[Any]()
    contracted_ = Fitted[ContractedBasis]()
    expansion_ = Fitted[DensityExpansion]()

    def radial_functions(self, r: FloatArray) -> Any:
        """Return the fitted functions themselves, ``sum_n U_qn R_nl(r)`` (Eq. 17).

        Parameters
        ----------
        r
            Radii in Å, [n_r].

        Returns
        -------
        ``[l][a]`` -> [n_r, q]: the functions that neighbors of species a are expanded on; with ``per_center`` a dict
        from center species to that.

        Examples
        --------
        >>> functions = optimal.radial_functions(np.linspace(0.1, 4.0, 50))
        >>> functions[1][0].shape  # l = 1, neighbors of the first species
        (50, 2)
        """
        record: BasisRecord | None = self._record
        if record is None:
            raise not_fitted(f"this {type(self).__name__} is not fitted: call fit first")
        density = record.density
        primitives = density.primitive_basis().functions(
            np.asarray(r, dtype=np.float64),
            max_angular=density.max_angular,
            cutoff_radius=density.cutoff.radius,
            density_width=density.density_width,
        )
        by_center = [
            [[primitives[l] @ blocks[l].matrix for blocks in center.blocks] for l in range(len(primitives))]
            for center in record.contracted.centers
        ]
        return dict(zip(record.species, by_center, strict=True)) if record.nesting.per_center else by_center[0]

    def plot(self, degrees: Sequence[int] | None = None, n_functions: int = 4) -> Figure:
        """Draw the first functions of some degrees, one panel each, and the residual variance.

        Examples
        --------
        >>> figure = optimal.plot(degrees=[0], n_functions=2)
        >>> len(figure.axes)
        2
        """
        from orbas.plots import plot_basis

        checked(Maybe(ListOf(Integer(0, self.density.max_angular), "degrees")), "degrees", degrees)
        checked(Integer(1, 1000), "n_functions", n_functions)
        return plot_basis(self._at_fit(), degrees, n_functions)
