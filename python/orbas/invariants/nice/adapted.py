"""The density basis that is optimal for one term of the iteration (Eq. 16), and what a shared one loses against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orbas import structures
from orbas.optimal.basis import OptimalBasis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray
    from orbas.invariants.nice.estimator import NICE


def term_weights(
    nice: NICE, frames: Sequence[Atoms], *, nu: int, o3_lambda: int, o3_sigma: int = 1, channel: int = 0
) -> FloatArray:
    """Return the weights of Eq. 16: ``sum_p |<Q|nu; o3_sigma; o3_lambda p>|^2`` of every atom, [n_atoms].

    Parameters
    ----------
    nice
        A fitted iteration.
    frames
        Structures.
    nu, o3_lambda, o3_sigma, channel
        The term whose products with the density are to be described.

    Raises
    ------
    ValueError
        If there is no such term.
    """
    listed = structures.as_frames(frames)
    numbers = structures.atomic_numbers(listed)
    weights = np.zeros(len(numbers))
    found = False
    for key, block in nice.equivariants(listed).items():
        if (key.nu, key.o3_lambda, key.o3_sigma) == (nu, o3_lambda, o3_sigma) and channel < block.values.shape[2]:
            weights[numbers == key.center_species] = np.sum(block.values[:, :, channel] ** 2, axis=1)
            found = True
    if not found:
        raise ValueError(
            f"the iteration has no channel {channel} of order {nu}, o3_lambda {o3_lambda}, o3_sigma {o3_sigma}"
        )
    return weights


def adapted_basis(
    optimal: OptimalBasis,
    nice: NICE,
    frames: Sequence[Atoms],
    *,
    nu: int,
    o3_lambda: int,
    o3_sigma: int = 1,
    channel: int = 0,
) -> tuple[OptimalBasis, float]:
    """Fit the basis that is optimal for one term of the iteration, of the size of a given one.

    Parameters
    ----------
    optimal
        The shared basis, fitted; its settings are used again.
    nice, frames, nu, o3_lambda, o3_sigma, channel
        As in :func:`term_weights`.

    Returns
    -------
    The basis, and the fraction of the weighted variance of Eq. 16 that the shared basis loses against it.
    """
    where = {"nu": nu, "o3_lambda": o3_lambda, "o3_sigma": o3_sigma, "channel": channel}
    weights = term_weights(nice, frames, **where)
    adapted = OptimalBasis(**optimal.get_params(deep=False)).fit(frames, sample_weight=weights)
    return adapted, adapted.captured_variance(adapted) - adapted.captured_variance(optimal)
