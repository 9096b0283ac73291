"""Gaussian type orbitals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.fields import check_settings, checked, setting
from orbas.bases.base import DEGREE, FUNCTIONS, OrthonormalizedBasis, Setup, register
from orbas.bases.quadrature import GAUSSIAN_BAND

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Functions are integrated up to where they fell to exp(-46) = 1e-20 of their peak.
_DECAY = 46.0


@register
@dataclass(frozen=True, slots=True)
class GTO(OrthonormalizedBasis):
    """Gaussian type orbitals, symmetrically (Löwdin) orthonormalized on [0, ∞); the same for every l.

    ``r^n exp(-r² / 2σ_n²)`` with ``σ_n = cutoff_radius max(√n, 1) / n_radial``, ``n = 0 .. n_radial - 1``
    (Goscinski et al. 2021, section II B). The widths depend on ``n_radial``, so that smaller sets are
    **not** contained in larger ones.

    The functions become more alike with their number: rounding of the single functions is amplified by the
    square root of the overlap's condition number (6e3 for 12, 1e7 for 20 functions), to about 1e-9 for 20.

    Parameters
    ----------
    n_radial
        Number of functions for every l, at least 1.

    Raises
    ------
    SettingsError
        If ``n_radial`` is not an integer from 1 to 1000. On use: if there are too many
        functions to tell apart (more than about 35).

    Examples
    --------
    >>> import numpy as np
    >>> from orbas import bases
    >>> basis = bases.GTO(4)
    >>> setup = bases.Setup(max_angular=2, cutoff_radius=4.0, density_width=0.5)
    >>> basis.functions([0.0, 1.0], max_angular=0, cutoff_radius=4.0, density_width=0.5)[0].shape
    (2, 4)
    """

    n_radial: int = field(metadata=setting(FUNCTIONS, "number of functions for every l"))

    def __post_init__(self) -> None:
        check_settings(self)

    def counts(self, max_angular: int) -> tuple[int, ...]:
        """Return ``n_radial`` for every l.

        Examples
        --------
        >>> basis.counts(2)
        (4, 4, 4)
        """
        degree: int = checked(DEGREE, "max_angular", max_angular)
        return (self.n_radial,) * (degree + 1)

    def _widths(self, setup: Setup) -> NDArray[np.float64]:
        order = np.arange(self.n_radial)
        widths: NDArray[np.float64] = setup.cutoff_radius * np.sqrt(np.maximum(order, 1)) / self.n_radial
        return widths

    def twin(self, degree: int) -> int:
        """Return 0: the functions are the same for every l.

        Examples
        --------
        >>> basis.twin(2)
        0
        """
        return 0

    def extent(self, setup: Setup) -> tuple[float, float]:
        """Return where the functions end (Å) and the largest wave number in them (1/Å).

        Examples
        --------
        >>> end, wave_number = basis.extent(setup)
        >>> end > setup.cutoff_radius  # Gaussians reach beyond the cutoff
        True
        """
        widths = self._widths(setup)
        power = np.arange(self.n_radial) + 1.0  # r R_n ~ r^(n+1) exp(..), peak at σ √(n+1)
        stretch = np.full(self.n_radial, 2.0)  # end / peak solves power (ln t - (t² - 1)/2) = -decay
        for _ in range(50):
            stretch = np.sqrt(1.0 + 2.0 * np.log(stretch) + 2.0 * _DECAY / power)
        return float((widths * np.sqrt(power) * stretch).max()), GAUSSIAN_BAND / float(widths[0])

    def primitives(self, r: NDArray[np.float64], degree: int, setup: Setup, order: int) -> NDArray[np.float64]:
        """Return the functions of one l and their derivatives, [order + 1, n_r, n_l].

        Examples
        --------
        >>> basis.primitives(np.array([0.0]), 0, setup, 0).round(3).tolist()  # r^n at r = 0
        [[[1.502, 0.0, 0.0, 0.0]]]
        """
        widths = self._widths(setup)
        values = np.empty((order + 1, len(r), self.n_radial))
        for n, width in enumerate(widths):
            t = r / width
            norm = math.exp(0.5 * (math.log(2.0) - math.lgamma(n + 1.5)) - 1.5 * math.log(width))
            gaussian = norm * np.exp(-0.5 * t * t)  # [n_r]
            values[0, :, n] = t**n * gaussian
            if order > 0:
                slope = n * t ** max(n - 1, 0) - t ** (n + 1)
                values[1, :, n] = slope * gaussian / width
            if order > 1:
                curvature = n * (n - 1) * t ** max(n - 2, 0) - (2 * n + 1) * t**n + t ** (n + 2)
                values[2, :, n] = curvature * gaussian / width**2
        return values
