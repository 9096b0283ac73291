"""Discrete variable representation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.fields import check_settings, checked, setting
from orbas.bases.base import DEGREE, FUNCTIONS, PrimitiveBasis, Setup, register
from orbas.bases.quadrature import Grid, gauss_legendre

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register
@dataclass(frozen=True, slots=True)
class DVR(PrimitiveBasis):
    """Gauss-Legendre discrete variable representation on ``[0, cutoff_radius + 3 density_width]``.

    Every function belongs to one quadrature node ``x_k``, so Eq. 5 of Goscinski et al. 2021 needs no
    integration: ``I_kl(r) = 4π √w_k x_k exp(-α (x_k² + r²)) i_l(2 α x_k r)``. The functions themselves are
    the Lagrange polynomials of the nodes over ``√w_k r``: orthonormal, but singular at r = 0. The same for
    every l.

    The nodes must resolve the density: use at least about ``(cutoff_radius + 3 density_width) /
    density_width``.

    Parameters
    ----------
    n_radial
        Number of nodes, hence of functions for every l, at least 1.

    Raises
    ------
    SettingsError
        If ``n_radial`` is not an integer from 1 to 1000. On use: if the functions or the delta density are
        asked for at r = 0.

    Examples
    --------
    >>> from orbas import bases
    >>> basis = bases.DVR(6)
    >>> integrals = basis.integrals([1.0, 2.0], max_angular=1, cutoff_radius=4.0, density_width=0.8)
    >>> integrals[0].values.shape
    (2, 6)
    """

    n_radial: int = field(metadata=setting(FUNCTIONS, "number of nodes, hence of functions for every l"))

    def __post_init__(self) -> None:
        check_settings(self)

    def counts(self, max_angular: int) -> tuple[int, ...]:
        """Return ``n_radial`` for every l.

        Examples
        --------
        >>> basis.counts(2)
        (6, 6, 6)
        """
        degree: int = checked(DEGREE, "max_angular", max_angular)
        return (self.n_radial,) * (degree + 1)

    def _end(self, setup: Setup) -> float:
        return setup.cutoff_radius + 3.0 * setup.density_width

    def _grid(self, setup: Setup) -> Grid:
        return gauss_legendre(self.n_radial, self._end(setup))

    def _sample(self, setup: Setup) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        grid = self._grid(setup)
        return grid.nodes, [np.diag(grid.root_measure)] * (setup.max_angular + 1)

    def _evaluate(self, r: NDArray[np.float64], setup: Setup, order: int) -> list[NDArray[np.float64]]:
        from numpy.polynomial import legendre

        if (r == 0).any():
            raise ValueError(
                "the DVR functions, and so the delta density in this basis, are undefined at r = 0: use a "
                "positive density_width or another basis (GTO, LaplacianEigenstates)"
            )
        grid, end = self._grid(setup), self._end(setup)
        inside = r <= end
        x = r[inside, None]
        # The Lagrange polynomials over √w are Σ_j p_j(x) p_j(x_k) √w_k with the orthonormal Legendre p_j.
        norms = np.sqrt((2.0 * np.arange(self.n_radial) + 1.0) / end)
        at_nodes = np.sqrt(grid.weights) * (
            norms[:, None] * legendre.legvander(2.0 * grid.nodes / end - 1.0, self.n_radial - 1).T
        )  # [j, k]
        coefficients = norms[:, None] * at_nodes
        values = np.zeros((order + 1, len(r), self.n_radial))
        t = 2.0 * r[inside] / end - 1.0
        for power in range(order + 1):
            polynomial = legendre.legval(t, legendre.legder(coefficients, power, 2.0 / end)).T  # [n_r, k]
            # x R = polynomial, differentiated `power` times: x R^(p) + p R^(p-1).
            lower = power * values[power - 1, inside] if power else 0.0
            values[power, inside] = (polynomial - lower) / x
        return [values.copy() for _ in range(setup.max_angular + 1)]
