"""What every basis that is fitted to data offers: its contraction, its functions and the expansion on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from orbas.base.estimator import Estimator
from orbas.density import contraction
from orbas.density.contraction import ContractedBasis
from orbas.density.expansion import DensityExpansion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from orbas.base.blocks import FloatArray

Mixing = Literal["combined", "separate"]

#: Contraction matrices [l][group], a group being a neighbor species, or all of them when combined.
Matrices = list[list["FloatArray"]]


class FittedBasis(Estimator):
    """A basis contracted from the primitive one of a density, for all centers or for each center species."""

    density: DensityExpansion
    mixing: Mixing
    per_center: bool

    species_: tuple[int, ...]
    contraction_: Any
    residual_variance_: Any
    contracted_: ContractedBasis
    expansion_: DensityExpansion

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
        """
        basis = self.contracted_
        primitives = self.density.primitive_basis().functions(
            np.asarray(r, dtype=np.float64),
            max_angular=self.density.max_angular,
            cutoff_radius=self.density.cutoff.radius,
            density_width=self.density.density_width,
        )
        by_center = [
            [[primitives[l] @ blocks[l].matrix for blocks in center.blocks] for l in range(len(primitives))]
            for center in basis.centers
        ]
        return dict(zip(self.species_, by_center, strict=True)) if self.per_center else by_center[0]

    def plot(self, degrees: Sequence[int] | None = None, n_functions: int = 4) -> Figure:
        """Draw the first functions of some degrees, one panel each, and the residual variance."""
        from orbas.plots import plot_basis

        return plot_basis(self, degrees, n_functions)

    def _nested(self, by_kind: Mapping[int | None, list[list[FloatArray]]]) -> Any:
        """Return items [l][group] of every kind of center in the form of the public attributes."""
        lists = {kind: [groups[0] for groups in items] for kind, items in by_kind.items()}
        return self._of_centers(lists if self.mixing == "combined" else by_kind)

    def _of_centers(self, by_kind: Mapping[int | None, Any]) -> Any:
        """Return a dict by center species, or what holds for all centers, which stands under None."""
        return dict(by_kind) if self.per_center else by_kind[None]

    def _by_kind(self, nested: Any) -> dict[int | None, list[list[FloatArray]]]:
        """Return the items of a public attribute as [l][group] of every kind of center."""
        kinds: dict[int | None, Any] = dict(nested) if self.per_center else {None: nested}
        if self.mixing == "separate":
            return kinds
        return {kind: [[item] for item in items] for kind, items in kinds.items()}

    def _set_contraction(self, species: tuple[int, ...], kept: Mapping[int | None, Matrices]) -> None:
        """Set what follows from the contraction matrices, one entry per center species or one under None."""

        def contracted(matrices: Matrices) -> contraction.CenterContraction:
            if self.mixing == "combined":
                return contraction.combined([groups[0] for groups in matrices], len(species))
            return contraction.separate(matrices)

        self.species_ = species
        self.contraction_ = self._nested(kept)
        centers = tuple(contracted(matrices) for matrices in kept.values())
        self.contracted_ = ContractedBasis(self.density.primitive_basis(), species, centers)
        self.expansion_ = DensityExpansion(
            **{**self.density.get_params(deep=False), "basis": self.contracted_, "species": species}
        )
