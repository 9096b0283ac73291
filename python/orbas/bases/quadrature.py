"""What all bases share: the quadrature grid, the orthonormalization, and Eq. 5 by quadrature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from orbas.bases.bessel import derivatives_by_order, scaled_bessel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# A Gaussian of width s has nothing left in its Fourier transform (1e-16) beyond this wave number times 1/s.
GAUSSIAN_BAND = 8.6
# Gauss-Legendre with 32 nodes is exact to rounding for exp(ikx) over a panel when k times its length is
# below 72, given that the amplitude at the highest k has decayed.
PANEL_NODES = 32
PANEL_PHASE = 72.0
# Elements of one [r, x] block: the dozen arrays of a block stay in the cache.
_BLOCK = 1 << 15
# Multiplications in one product: beyond 2^18 OpenBLAS starts threads, and on a busy machine waking them costs
# milliseconds for microseconds of work.
_PRODUCT = 1 << 18
# Singular values of unit-norm samples below this fraction of the largest are noise.
_DEPENDENT = 1e-13


@dataclass(frozen=True, slots=True)
class RadialIntegrals:
    """Radial functions of one angular degree l, with derivatives.

    Attributes
    ----------
    values
        ``I_nl(r)``, float64 ``[n_r, n_l]``.
    first
        ``dI/dr`` in units of the values per Å, ``[n_r, n_l]``.
    second
        ``d2I/dr2`` in units of the values per Å², ``[n_r, n_l]``.

    Examples
    --------
    >>> from orbas import bases
    >>> per_degree = bases.GTO(3).integrals([1.0, 2.0], max_angular=1, cutoff_radius=4.0, density_width=0.5)
    >>> integrals = per_degree[1]
    >>> integrals.values.shape, integrals.first.shape, integrals.second.shape
    ((2, 3), (2, 3), (2, 3))
    """

    values: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Grid:
    """Quadrature nodes in Å and weights ``[n_x]`` for the plain measure dx."""

    nodes: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def root_measure(self) -> NDArray[np.float64]:
        """``x sqrt(w)`` [n_x], the square root of the measure x² dx."""
        root: NDArray[np.float64] = self.nodes * np.sqrt(self.weights)
        return root


@lru_cache(maxsize=64)
def gauss_legendre(n_nodes: int, end: float) -> Grid:
    """Return the Gauss-Legendre rule on ``[0, end]``; its arrays are shared and read-only."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    grid = Grid(0.5 * end * (nodes + 1.0), 0.5 * end * weights)
    grid.nodes.flags.writeable = grid.weights.flags.writeable = False
    return grid


def panel_grid(end: float, wave_number: float) -> Grid:
    """Return Gauss-Legendre panels on ``[0, end]`` that integrate waves up to ``wave_number`` (1/Å)."""
    n_panels = max(1, math.ceil(end * wave_number / PANEL_PHASE))
    width = end / n_panels
    panel = gauss_legendre(PANEL_NODES, width)
    nodes = (np.arange(n_panels)[:, None] * width + panel.nodes).ravel()  # [n_x]
    return Grid(nodes, np.tile(panel.weights, n_panels))


def orthonormalize(samples: NDArray[np.float64], degree: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormalize sampled functions symmetrically (Löwdin), by the polar factor of the samples.

    The functions are first scaled to unit norm. The polar factor equals ``samples @ overlap^(-1/2)`` but
    works with the square root of the overlap's condition number (9e13 for 20 GTOs).

    Parameters
    ----------
    samples
        Functions times the square root of the measure, ``[n_x, n]``.
    degree
        The angular degree l, for the message.

    Returns
    -------
    The polar factor ``[n_x, n]``, whose columns are orthonormal, and the matrix ``[n, n]`` that turns the
    functions into the orthonormal ones.

    Raises
    ------
    ValueError
        If a function vanishes or overflows on the grid, or the functions are linearly dependent; names the
        function and l.
    """
    norms = np.sqrt(np.einsum("xn,xn->n", samples, samples))
    if not np.isfinite(norms).all():
        first = int(np.argmin(np.isfinite(norms)))
        raise ValueError(f"basis function {first} of l = {degree} overflows on the grid")
    if (norms == 0).any():
        raise ValueError(f"basis function {int(np.argmin(norms))} of l = {degree} is zero on the whole grid")
    unit = samples / norms
    left, singular, right = np.linalg.svd(unit, full_matrices=False)
    if singular.size and singular[-1] < _DEPENDENT * singular[0]:
        index = int(np.argmin(np.abs(np.diag(np.linalg.qr(unit, mode="r")))))
        raise ValueError(
            f"basis function {index} of l = {degree} is linearly dependent on those before it to working "
            f"precision (smallest singular value {singular[-1]:.1e}): use fewer functions"
        )
    inverse_root = (right.T / singular) @ right  # [n, n]
    return left @ right, inverse_root / norms[:, None]


def gaussian_integrals(
    r: NDArray[np.float64],
    nodes: NDArray[np.float64],
    projectors: Sequence[NDArray[np.float64]],
    density_width: float,
) -> list[RadialIntegrals]:
    """Eq. 5 of Goscinski et al. 2021 and two derivatives, by quadrature.

    ``I_nl(r) = 4π ∫ x² R_nl(x) exp(-α (x² + r²)) i_l(2 α x r) dx`` with ``α = 1 / (2 density_width²)``: the
    Gaussian has peak 1.

    Parameters
    ----------
    r
        Distances in Å, ``[n_r]``.
    nodes
        Quadrature nodes x in Å, ``[n_x]``.
    projectors
        Per l, ``w x² R_nl(x)`` at the nodes, ``[n_x, n_l]``.
    density_width
        Width of the Gaussian in Å, positive.

    Returns
    -------
    Per l, values (in Å^1.5), first and second derivatives, each ``[n_r, n_l]``. Rounding of the k-th
    derivative is about ``1e-16 (r / density_width²)^k`` times the largest value.
    """
    results = [RadialIntegrals(*np.zeros((3, len(r), p.shape[1]))) for p in projectors]
    widest = max(1, *(p.shape[1] for p in projectors))
    step = max(1, min(_BLOCK, _PRODUCT // widest) // len(nodes))
    for start in range(0, len(r), step):
        rows = slice(start, start + step)
        kernels = _kernels(r[rows], nodes, density_width, len(projectors) - 1)
        for (value, first, second), projector, result in zip(kernels, projectors, results, strict=True):
            result.values[rows] = value @ projector  # [n_r, n_l]
            result.first[rows] = first @ projector
            result.second[rows] = second @ projector
    return results


def _kernels(
    r: NDArray[np.float64], nodes: NDArray[np.float64], density_width: float, max_angular: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Yield per l ``4π exp(-α(x² + r²)) i_l(2αxr)`` and two derivatives in r, each [n_r, n_x]."""
    alpha = 0.5 / density_width**2
    distance = r[:, None]
    exponent = alpha * (nodes - distance) ** 2
    # Denormal numbers slow the products down: an exact zero in the far tail instead.
    gaussian = np.where(exponent < 400.0, 4.0 * np.pi * np.exp(-exponent), 0.0)  # [n_r, n_x]
    bessel = scaled_bessel(2.0 * alpha * distance * nodes, max_angular + 2)  # [l, n_r, n_x]
    bessel *= gaussian
    bessel_first = derivatives_by_order(bessel)
    bessel_second = derivatives_by_order(bessel_first)
    slope_r, slope_x = -2.0 * alpha * distance, 2.0 * alpha * nodes  # of the Gaussian's exponent, of z = 2αxr
    square_r, square_x, cross = slope_r**2 - 2.0 * alpha, slope_x**2, 2.0 * slope_r * slope_x
    for value, prime, double in zip(bessel, bessel_first, bessel_second, strict=False):
        yield value, slope_r * value + slope_x * prime, square_r * value + cross * prime + square_x * double
