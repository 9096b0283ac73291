"""Tables of radial integrals: values and two derivatives on a uniform grid, fine enough for a stated accuracy."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from orbas import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbas.base.types import FloatArray
    from orbas.bases import PrimitiveBasis
    from orbas.density.contraction import CenterContraction

#: Most nodes of a table.
MOST = 4097

#: The derivative's error in 1/Å may be this many times the value's: it enters forces, which are known less well.
DERIVATIVE_FACTOR = 10.0

#: Below this the rounding of the integrals themselves decides, and more nodes do not help.
ROUNDING = 3e-13

#: Where in an interval the error is measured. The value's is largest at the middle, the derivative's beside it.
PROBES = (0.25, 0.5, 0.75)


@lru_cache(maxsize=32)
def _integrals(
    basis: PrimitiveBasis,
    n_nodes: int,
    offset: float,
    max_angular: int,
    cutoff_radius: float,
    density_width: float,
) -> tuple[FloatArray, ...]:
    """Eq. 5 of all functions, shifted by a fraction of an interval; per l [3, node, n_l]."""
    radii = (np.arange(n_nodes if offset == 0 else n_nodes - 1) + offset) * (cutoff_radius / (n_nodes - 1))
    integrals = basis.integrals(
        radii, max_angular=max_angular, cutoff_radius=cutoff_radius, density_width=density_width
    )
    return tuple(np.stack([part.values, part.first, part.second]) for part in integrals)


def tabulate(
    basis: PrimitiveBasis,
    centers: Sequence[CenterContraction],
    *,
    max_angular: int,
    cutoff_radius: float,
    density_width: float,
    accuracy: float,
) -> tuple[int, list[list[list[tuple[int, FloatArray]]]]]:
    """Tabulate the contracted integrals of every center kind, neighbor species and degree (Eq. 9, 18).

    The number of nodes is the smallest found for which, in the max norm, every function is within ``accuracy`` times
    ``min(1, largest value)`` of the exact one, and its derivative within ten times that per Å. Accuracies beyond
    3e-13 are taken for that: there the integrals are limited by rounding.

    Returns
    -------
    The number of nodes, and ``tables[center][a][l] = (first channel, array [3, node, channel])``.

    Raises
    ------
    ValueError
        If ``accuracy`` cannot be reached with 4,097 nodes.
    """
    matrices = [
        np.concatenate([center.blocks[a][l].matrix for center in centers for a in range(len(center.blocks))], axis=1)
        for l in range(max_angular + 1)
    ]

    def contracted(n_nodes: int, offset: float) -> list[FloatArray]:
        primitives = _integrals(basis, n_nodes, offset, max_angular, cutoff_radius, density_width)
        return [part @ matrix for part, matrix in zip(primitives, matrices, strict=True)]

    accuracy = max(accuracy, ROUNDING)
    n_nodes = 49
    best = math.inf
    while True:
        nodes = contracted(n_nodes, 0.0)
        error = _error(nodes, {offset: contracted(n_nodes, offset) for offset in PROBES}, cutoff_radius)
        if error <= accuracy:
            break
        if n_nodes >= MOST or error > 0.5 * best:
            raise ValueError(
                f"the radial integrals of {basis!r} cannot be tabulated to {accuracy:.0e} with {n_nodes} nodes "
                f"(reached {error:.1e}); ask for a larger spline_accuracy or use a smoother basis"
            )
        best = error
        # The derivative's error falls with h^5.
        n_nodes = min(MOST, math.ceil((n_nodes - 1) * max(1.1, 1.03 * (error / accuracy) ** 0.2)) + 1)
    return n_nodes, _distribute(nodes, centers)


def _error(nodes: list[FloatArray], probes: dict[float, list[FloatArray]], radius: float) -> float:
    """Largest error of value and (weighted) derivative, relative to ``min(1, largest value)``."""
    largest = max((float(np.abs(part[0]).max()) for part in nodes if part.size), default=0.0)
    scale = min(1.0, largest) or 1.0
    worst = 0.0
    for l, part in enumerate(nodes):
        if part.shape[2] == 0:
            continue
        n_nodes = part.shape[1]
        for offset, exact in probes.items():
            radii = (np.arange(n_nodes - 1) + offset) * (radius / (n_nodes - 1))
            spline = _core.interpolate(radius, np.ascontiguousarray(part), radii)
            value = np.abs(spline[..., 0] - exact[l][0]).max()
            slope = np.abs(spline[..., 1] - exact[l][1]).max()
            worst = max(worst, float(value), float(slope) / DERIVATIVE_FACTOR)
    return worst / scale


def _distribute(
    nodes: list[FloatArray], centers: Sequence[CenterContraction]
) -> list[list[list[tuple[int, FloatArray]]]]:
    """Cut the columns of all centers and species apart again."""
    taken = [0] * len(nodes)
    tables = []
    for center in centers:
        by_species = []
        for blocks in center.blocks:
            degrees = []
            for l, block in enumerate(blocks):
                count = block.matrix.shape[1]
                columns = nodes[l][:, :, taken[l] : taken[l] + count]
                degrees.append((block.first, np.ascontiguousarray(columns)))
                taken[l] += count
            by_species.append(degrees)
        tables.append(by_species)
    return tables
