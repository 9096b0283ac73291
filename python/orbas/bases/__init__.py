"""Primitive radial bases: the functions an optimal basis is contracted from.

One seam serves them all: a basis is a set of functions sampled on a quadrature grid. The orthonormalization
and Eq. 5 of Goscinski et al. 2021 by quadrature are common (``quadrature``); a basis supplies its functions
and the grid they need. A discrete variable representation *is* its grid.

- :class:`GTO`: Gaussian type orbitals on [0, ∞);
- :class:`DVR`: Gauss-Legendre discrete variable representation;
- :class:`LaplacianEigenstates`: spherical Bessel functions in the cutoff sphere, ragged in l;
- :class:`Custom`: any functions the user supplies.

A basis of one's own derives from :class:`OrthonormalizedBasis`; :func:`register` lets files hold it (docs/adding.md).
"""

from orbas.bases.base import BASES, OrthonormalizedBasis, PrimitiveBasis, Setup, register
from orbas.bases.custom import Custom
from orbas.bases.dvr import DVR
from orbas.bases.gto import GTO
from orbas.bases.laplacian import LaplacianEigenstates
from orbas.bases.quadrature import RadialIntegrals

__all__ = [
    "BASES",
    "DVR",
    "GTO",
    "Custom",
    "LaplacianEigenstates",
    "OrthonormalizedBasis",
    "PrimitiveBasis",
    "RadialIntegrals",
    "Setup",
    "register",
]
