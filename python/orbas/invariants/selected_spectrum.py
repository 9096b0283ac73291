"""A power spectrum of selected features: nothing else is part of its values, its norms and the kernels on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orbas import _core
from orbas.base.fields import setting
from orbas.base.kinds import Integer, ListOf
from orbas.files.stored import stored
from orbas.invariants.spectra import PowerSpectrum

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from orbas.base.types import IntArray


@stored("SelectedPowerSpectrum")
@dataclass(eq=False, repr=False)
class SelectedPowerSpectrum(PowerSpectrum):
    """Some features of a :class:`PowerSpectrum`, such as those that :class:`orbas.selection.CUR` picks.

    Everything agrees with the selected columns of the full spectrum, and a kernel normalizes what is selected only.
    Nothing is computed of the others: values, derivatives and kernels are made of the density, product by selected
    product. The density is that of all channels.

    Parameters
    ----------
    density
        A primitive or contracted expansion, with as many channels for all center species.
    selection
        Indices of the features in the order of :class:`PowerSpectrum`, each at most once: the order of the columns.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=2)
    >>> selected = orbas.SelectedPowerSpectrum(density, [5, 0])
    >>> whole = orbas.PowerSpectrum(density).transform(frames)
    >>> bool(np.allclose(selected.transform(frames).values, whole.values[:, [5, 0]]))
    True
    """

    selection: ArrayLike = field(metadata=setting(ListOf(Integer(0), "indices"), "indices of the features"))

    def compiled(self, plan: _core.DensityPlan, species: tuple[int, ...]) -> _core.Invariant:
        """Return the compiled features on a compiled expansion.

        Examples
        --------
        >>> plan, species = density.plan_for(frames)
        >>> selected.compiled(plan, species).widths
        [2]
        """
        counts = set(self.density.channel_counts(species))
        if len(counts) > 1:
            raise ValueError("features cannot be selected where center species have different numbers of channels")
        n_all = sum(q * (q + 1) // 2 for q in counts.pop())
        return _core.Invariant.selected_power_spectrum(plan, checked(self.selection, n_all).tolist())

    def _width(self, kinds: list[tuple[int, ...]]) -> int:
        if len(set(kinds)) > 1:
            raise ValueError("the density has not the same channels for all center species")
        return int(checked(self.selection, super()._width(kinds)).size)

    def _whole(self) -> PowerSpectrum:
        return PowerSpectrum(self.density.with_center())


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
