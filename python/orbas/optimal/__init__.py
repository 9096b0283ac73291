"""The optimal basis: principal components of the density coefficients of a data set (Eq. 6-9).

``basis`` fits it, ``fitted_basis`` turns matrices into an expansion, ``basis_file`` writes and reads it.
"""

from __future__ import annotations

from orbas.optimal.basis import OptimalBasis

__all__ = ["OptimalBasis"]
