"""Scaled modified spherical Bessel functions, all orders at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def scaled_bessel(z: NDArray[np.float64], max_order: int) -> NDArray[np.float64]:
    r"""Return ``exp(-z) i_l(z)`` for ``l = 0 .. max_order``.

    Two recurrences share the work, each where it is stable: downward for the ratios ``i_l / i_{l-1}`` (all
    terms positive, no division by z) up to ``z = l (l + 1)``, upward from ``i_0`` and ``i_1`` beyond.

    Parameters
    ----------
    z
        Arguments, ``z >= 0``, of any shape. ``z = 0`` is exact; nothing overflows at large z.
    max_order
        The last order l, at least 0.

    Returns
    -------
    Array ``[max_order + 1, *z.shape]``, accurate to about 1e-14 relative (until it underflows to zero).
    """
    flat = z.ravel()
    values = np.empty((max_order + 1, flat.size))
    small = flat <= max(20.0, max_order * (max_order + 1.0))
    # Boolean indexing copies: skip it in the common case that one recurrence serves all arguments.
    if small.all():
        _downward(flat, values)
    elif not small.any():
        _upward(flat, values)
    else:
        for part, recur in ((small, _downward), (~small, _upward)):
            block = np.empty((max_order + 1, int(part.sum())))
            recur(flat[part], block)
            values[:, part] = block
    return values.reshape(max_order + 1, *z.shape)


def _downward(z: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    """Fill ``values`` [l, z] from the ratios ``i_l/i_{l-1} = z / (2l + 1 + z i_{l+1}/i_l)``."""
    if z.size == 0:
        return
    max_order = len(values) - 1
    # An error of the first ratio shrinks by the product of squared ratios, about exp(-l^2 / z).
    start = max_order + 5 + math.ceil(math.sqrt(32.0 * float(z.max())))
    ratio = z / (start + 0.5 + np.hypot(start + 1.5, z))  # i_{start+1} / i_start, Amos' bound
    for order in range(start, 0, -1):
        ratio = z / (2 * order + 1 + z * ratio)
        if order <= max_order:
            values[order] = ratio
    values[0] = 1.0
    np.divide(-np.expm1(-2.0 * z), 2.0 * z, out=values[0], where=z > 0)
    for order in range(1, max_order + 1):
        values[order] *= values[order - 1]


def _upward(z: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    """Fill ``values`` [l, z] by ``i_{l+1} = i_{l-1} - (2l + 1) i_l / z``, stable for z beyond l^2."""
    decay = np.exp(-2.0 * z)
    values[0] = (1.0 - decay) / (2.0 * z)
    if len(values) > 1:
        values[1] = (0.5 * (1.0 + decay) - values[0]) / z
    for order in range(1, len(values) - 1):
        values[order + 1] = values[order - 1] - (2 * order + 1) * values[order] / z


def derivatives_by_order(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``i_l' = [l i_{l-1} + (l+1) i_{l+1}] / (2l+1)`` for every l but the last of ``values`` [l,
    ...].

    The rule is linear and the same for every derivative, so applying it twice gives ``i_l''``; the common
    factor ``exp(-z)`` of scaled functions is not differentiated.
    """
    order = np.arange(len(values) - 1, dtype=np.float64).reshape(-1, *(1,) * (values.ndim - 1))
    result: NDArray[np.float64] = (order + 1.0) * values[1:]
    result[1:] += order[1:] * values[:-2]
    result /= 2.0 * order + 1.0
    return result
