"""Eigenstates of the Laplacian in the cutoff sphere."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.fields import check_settings, checked, setting
from orbas.bases.base import DEGREE, FUNCTIONS, OrthonormalizedBasis, Setup, register

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register
@dataclass(frozen=True, slots=True)
class LaplacianEigenstates(OrthonormalizedBasis):
    """Spherical Bessel functions ``j_l(z_ln r / cutoff_radius)``: the smoothest basis of the cutoff sphere.

    They vanish at the cutoff radius and beyond; ``z_ln`` is the n-th zero of ``j_l``. The set is **ragged**:
    every l keeps the functions whose eigenvalue ``(z_ln / cutoff_radius)²`` does not exceed that of the last
    one of l = 0, ``(n_radial π / cutoff_radius)²``. A high l may keep none: its count is then 0 and its
    arrays are ``[n_r, 0]``. With a Gaussian density Eq. 5 is integrated over [0, cutoff_radius], where the
    functions live.

    Parameters
    ----------
    n_radial
        Number of functions at l = 0, at least 1.

    Raises
    ------
    SettingsError
        If ``n_radial`` is not an integer from 1 to 1000.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas import bases
    >>> basis = bases.LaplacianEigenstates(4)
    >>> setup = bases.Setup(max_angular=2, cutoff_radius=4.0, density_width=0.5)
    >>> values = basis.functions([4.0], max_angular=0, cutoff_radius=4.0, density_width=0.5)[0]
    >>> bool(np.allclose(values, 0.0))  # they vanish at the cutoff
    True
    """

    n_radial: int = field(metadata=setting(FUNCTIONS, "number of functions at l = 0"))

    def __post_init__(self) -> None:
        check_settings(self)

    def counts(self, max_angular: int) -> tuple[int, ...]:
        """Return the ragged number of functions, ``n_radial`` at l = 0 and fewer at higher l.

        Examples
        --------
        >>> basis.counts(4)
        (4, 3, 3, 2, 2)
        """
        checked(DEGREE, "max_angular", max_angular)
        return tuple(len(bessel_zeros(self.n_radial, degree)) for degree in range(max_angular + 1))

    def extent(self, setup: Setup) -> tuple[float, float]:
        """Return where the functions end (Å) and the largest wave number in them (1/Å).

        Examples
        --------
        >>> end, wave_number = basis.extent(setup)
        >>> end, round(wave_number, 3)
        (4.0, 3.142)
        """
        return setup.cutoff_radius, self.n_radial * math.pi / setup.cutoff_radius

    def primitives(self, r: NDArray[np.float64], degree: int, setup: Setup, order: int) -> NDArray[np.float64]:
        """Return the functions of one l and their derivatives, [order + 1, n_r, n_l].

        Examples
        --------
        >>> basis.primitives(np.array([0.0, 2.0, 4.0]), 0, setup, 2).shape
        (3, 3, 4)
        """
        from scipy.special import spherical_jn

        zeros = np.array(bessel_zeros(self.n_radial, degree))  # [n_l]
        wave_numbers = zeros / setup.cutoff_radius
        norms = np.sqrt(2.0 / setup.cutoff_radius**3) / np.abs(spherical_jn(degree + 1, zeros))
        argument = r[:, None] * wave_numbers  # [n_r, n_l]
        values = np.empty((order + 1, len(r), len(zeros)))
        for power in range(order + 1):
            values[power] = norms * wave_numbers**power * _bessel_derivative(argument, degree, power)
        return values


def _bessel_derivative(z: NDArray[np.float64], degree: int, power: int) -> NDArray[np.float64]:
    """Return the ``power``-th derivative of ``j_l``, by ``j_l' = [l j_{l-1} - (l+1) j_{l+1}] / (2l+1)``."""
    from scipy.special import spherical_jn

    if power == 0:
        values: NDArray[np.float64] = spherical_jn(degree, z)
        return values
    result = -(degree + 1.0) * _bessel_derivative(z, degree + 1, power - 1)
    if degree > 0:
        result += degree * _bessel_derivative(z, degree - 1, power - 1)
    return result / (2.0 * degree + 1.0)


@lru_cache(maxsize=256)
def bessel_zeros(n_radial: int, degree: int) -> tuple[float, ...]:
    """Return the zeros of ``j_degree`` in ``(0, n_radial π]``, ascending, to rounding."""
    from scipy.optimize import brentq
    from scipy.special import spherical_jn

    if degree == 0:
        return tuple(math.pi * n for n in range(1, n_radial + 1))
    # The zeros of j_l lie between those of j_{l-1}; the last bracket ends at the bound and may hold no zero.
    edges = [*bessel_zeros(n_radial, degree - 1), n_radial * math.pi]
    zeros = []
    for low, high in pairwise(edges):
        if low < high and spherical_jn(degree, low) * spherical_jn(degree, high) < 0:
            zeros.append(float(brentq(lambda z: spherical_jn(degree, z), low, high, xtol=1e-14, rtol=1e-15)))
    return tuple(zeros)
