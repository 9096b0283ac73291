"""Fitting energies alone, and judging them: labels of single structures that are far from all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orbas.fit import robust
from orbas.fit.baseline import count_atoms
from orbas.fit.labeled import CONSEQUENCES, N_REWEIGHTED, LabeledFit, confirmed
from orbas.fit.quantities import Quantity
from orbas.fit.robust import Robust

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray, IntArray
    from orbas.fit.dense import RidgeFit


def fit_energies(
    frames: Sequence[Atoms],
    weights: FloatArray,
    numbers: IntArray,
    robustness: Robust,
    fit: Callable[[FloatArray], tuple[RidgeFit, FloatArray]],
    residual: Callable[[RidgeFit, int], float],
) -> LabeledFit:
    """Fit energies alone.

    Parameters
    ----------
    frames, weights
        Structures, and the weights of their energies, 0 for those that are not known.
    numbers
        What structures are called in messages, [n_structures].
    robustness
        What is done about labels far from all others.
    fit
        Fits with weights of structures [n_structures], 0 for those left out, and returns held-out residuals of all in
        eV; not-a-number where there are none.
    residual
        Returns the residual of one structure in eV, with given weights.
    """
    weights = weights.copy()
    roots = np.sqrt(np.maximum(count_atoms(frames), 1))
    ridge, residuals = fit(weights)
    found = robust.outliers(frames, Quantity.ENERGY, residuals / roots)
    if found is not None:
        # What a fit that knows a label can describe is unlike the others, but contradicts nothing.
        sizes = np.array([abs(residual(ridge, k)) / roots[k] for k in found.structures])
        found = found.take(np.flatnonzero(sizes > robust.FAR[Quantity.ENERGY] * np.array(found.medians)))
    if robustness is Robust.HUBER:
        for _ in range(N_REWEIGHTED):
            ridge, residuals = fit(weights * robust.huber_weights(frames, residuals / roots))
    if found is None:
        return LabeledFit(ridge, None)
    if robustness is Robust.OUTLIERS:
        weights[list(found.structures)] = 0.0
        second, residuals = fit(weights)
        if not confirmed(frames, found, residuals / roots):
            return LabeledFit(ridge, None)
        ridge = second
    return LabeledFit(ridge, None, (robust.finding(frames, numbers, found, CONSEQUENCES[robustness]),))
