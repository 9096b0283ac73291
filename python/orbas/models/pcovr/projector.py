"""The projector of principal covariates regression, from a covariance and the weights of a linear model.

De Jong and Kiers, Chemom. Intell. Lab. Syst. 14, 155 (1992), doi:10.1016/0169-7439(92)80100-I; Helfrecht et al.,
Mach. Learn.: Sci. Technol. 1, 045021 (2020), doi:10.1088/2632-2153/aba9ef.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orbas.base.linalg import thin_qr
from orbas.optimal.basis import eigenpairs, with_fixed_signs

if TYPE_CHECKING:
    from orbas.base.types import FloatArray

#: Eigenvalues of the covariance below this fraction of the largest are no variance.
RANK = 1e-12


def projector(covariance: FloatArray, weights: FloatArray, alpha: float) -> FloatArray:
    """Return ``P = C^(-1/2) V L^(1/2)``, L and V the eigenpairs of ``alpha C + (1 - alpha) u u^T / u^T u``.

    C is scaled to a trace of one and ``u = C^(1/2) w``. With alpha = 1, P is V: the principal components. With alpha to
    0 the first column becomes proportional to w. It is computed without ``C^(-1/2)``, from the eigenvalue equation:
    ``P = (alpha C^(1/2) V + (1 - alpha) w (u^T V) / u^T u) L^(-1/2)``.

    Parameters
    ----------
    covariance
        Not centered, [n, n].
    weights
        Of a linear model of the target, w [n].
    alpha
        Weight of the variance, in [0, 1].

    Returns
    -------
    Columns [n, n] in the order of falling L, the sign rule being that of the optimal basis. Directions without variance
    (below 1e-12 of the largest) come last, orthonormal and scaled by the root of alpha; with alpha = 0 all columns but
    the first are zero. Without a target (u = 0) they are the principal components.
    """
    values, vectors = eigenpairs(covariance)
    if values.size == 0 or values[0] == 0.0:
        return vectors
    rank = int(np.count_nonzero(values > RANK * values[0]))
    values, inside, outside = values[:rank] / values.sum(), vectors[:, :rank], vectors[:, rank:]
    roots = np.sqrt(values)
    u = roots * (inside.T @ weights)
    length = float(np.linalg.norm(u))
    if length == 0.0:
        return vectors
    u /= length
    modified, mixed = eigenpairs(alpha * np.diag(values) + (1.0 - alpha) * np.outer(u, u))
    # In the coordinates of C. The weights stay whole: cutting them would change the linear model of alpha = 0.
    columns = inside @ (alpha * roots[:, None] * mixed) + np.outer((1.0 - alpha) / length * weights, u @ mixed)
    kept = rank if alpha > 0.0 else 1
    columns[:, :kept] /= np.sqrt(modified[:kept])
    columns[:, kept:] = 0.0
    return with_fixed_signs(np.hstack([columns, np.sqrt(alpha) * outside]))


def orthonormal(columns: FloatArray) -> FloatArray:
    """Return orthonormal columns whose first q span what the first q given ones do, signs kept (QR)."""
    basis, upper = thin_qr(columns)
    return np.ascontiguousarray(basis * np.where(np.diag(upper) < 0, -1.0, 1.0))


def captured(covariance: FloatArray, columns: FloatArray) -> FloatArray:
    """Return the variance that the best linear map recovers from the first q columns, q = 1, 2, ...

    ``tr(C P (P^T C P)^-1 P^T C)``: linear decoding, which asks for the span of ``C^(1/2) P`` alone. An orthogonal
    projection on columns that are not orthonormal would say something else.
    """
    values, vectors = eigenpairs(covariance)
    root = np.sqrt(values)[:, None] * vectors.T
    images = root @ columns
    lengths = np.linalg.norm(images, axis=0)
    seen = images / np.where(lengths > 0, lengths, 1.0)
    directions = orthonormal(seen)
    gains = np.sum((root.T @ directions) ** 2, axis=0)
    # A column that adds nothing leaves an arbitrary direction.
    new = np.abs(np.einsum("ij,ij->j", directions, seen)) > 1e-9
    return np.cumsum(np.where(new, gains, 0.0))
