"""The linear two-body model whose weights tell principal covariates regression what the target needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.gradients import JacobianRows
from orbas.density.expansion import DensityExpansion
from orbas.fit.design import structure_features
from orbas.invariants.spectra import RadialSpectrum

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class TwoBodyDesign:
    """Coefficients of degree 0 summed over a structure: over all centers, or over those of each species.

    Attributes
    ----------
    spectrum
        Of the primitive expansion, with its species.
    n_centers
        Number of center species.
    per_center
        Whether centers of different species have columns of their own, center species slowest.
    """

    spectrum: RadialSpectrum
    n_centers: int
    per_center: bool

    @classmethod
    def of(cls, density: DensityExpansion, species: tuple[int, ...], per_center: bool) -> TwoBodyDesign:
        """Take the settings of an expansion and the species it was fitted to."""
        settings = {**density.get_params(deep=False), "max_angular": 0, "species": species}
        return cls(RadialSpectrum(DensityExpansion(**settings)), len(species), per_center)

    @property
    def n_columns(self) -> int:
        """Number of weights."""
        width = self.spectrum.density.channel_counts(self.spectrum.density.given_species() or ())[0][0]
        return width * (self.n_centers if self.per_center else 1)

    def atoms(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return the coefficients of every atom, [n_atoms, n_columns]."""
        features = self.spectrum.transform(frames)
        rows = np.zeros((len(features.values), self.n_centers, features.values.shape[1]))
        for a, number in enumerate(features.species):
            own = features.center_numbers == number
            rows[own, a] = features.values[own]
        return self._columns(rows.reshape(len(rows), -1))

    def outside(self, rows: FloatArray) -> FloatArray:
        """Return zeros, [n_atoms]: the model is what its columns are."""
        return np.zeros(len(rows))

    def structures(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return a row for every structure, [n_structures, n_columns]."""
        return self._columns(structure_features(self.spectrum, frames).values)

    def derivatives(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of the row of one structure after the other."""
        for rows in self.spectrum.jacobian_rows(frames):
            yield JacobianRows(self._columns(rows.positions), self._columns(rows.strain))

    def _columns(self, values: FloatArray) -> FloatArray:
        if self.per_center:
            return values
        parts = values.reshape(*values.shape[:-1], self.n_centers, -1)
        return np.asarray(parts.sum(axis=-2), dtype=np.float64)
