"""CUR selection: the candidate that weighs most in the leading singular vector of what is not yet spanned.

Mahoney and Drineas, PNAS 106, 697 (2009), doi:10.1073/pnas.0803205106; the deterministic form with orthogonalization
is that of Imbalzano et al., J. Chem. Phys. 148, 241730 (2018), doi:10.1063/1.5024611.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.linalg import svd, upper_factor
from orbas.selection.base import AXIS, COUNT, SAME, Axis, Selector, compact, first_of_largest

if TYPE_CHECKING:
    from orbas.base.types import FloatArray, IntArray

#: Below this dimension the full decomposition is faster than Lanczos iterations.
_SMALL = 64


@dataclass(eq=False, repr=False)
class CUR(Selector):
    """Deterministic CUR: pick the largest ``pi_j = V_j1^2``, orthogonalize all candidates to it, and again.

    V_1 is the leading right singular vector of the matrix whose columns are the candidates, orthogonalized to all
    earlier picks; the matrix is not centered. The lowest index wins a tie (1e-9, relative). When the picks span
    everything, a new round begins with the candidates that are left, as if nothing had been picked; copies of a pick
    (within 1e-12 of the largest norm) are never picked.

    The singular vector is found in the smaller dimension d of the matrix, by Lanczos iterations on a triangular factor:
    a pick costs some products with a d x d matrix, and one product of the whole matrix with a vector.

    Parameters
    ----------
    n
        How many to select; None for half of them.
    axis
        ``"features"``: columns; ``"samples"``: rows.

    Attributes
    ----------
    scores_
        pi of each pick, when it was picked: at most 1.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.selection import CUR
    >>> x = np.array([[2.0, 4.0, 0.0], [0.0, 0.0, 1.0]])  # the first column is half of the second
    >>> CUR(2).fit(x).selected_idx_.tolist()
    [1, 2]
    """

    n: int | None = field(default=None, metadata=COUNT)
    _: KW_ONLY
    axis: Axis = field(default="features", metadata=AXIS)

    def _select(self, points: FloatArray, count: int) -> tuple[list[int], list[float]]:
        picked: list[int] = []
        scores: list[float] = []
        left = np.arange(len(points))
        while len(picked) < count and len(left):
            found, weights = _round(points[left], count - len(picked))
            if not found:
                break
            picked += left[found].tolist()
            scores += weights
            if len(picked) < count:
                left = _without_copies(points, left, left[found])
        return picked, scores


def _round(points: FloatArray, count: int) -> tuple[list[int], list[float]]:
    """Select from points [n, dimension] until nothing is left outside the span of the picks."""
    points = compact(points)
    # points = Q R, so the left singular vectors of R^T, as small as it is, are those of points^T.
    rest = np.ascontiguousarray(upper_factor(points).T)
    dimension = len(rest)
    spanned = np.zeros((0, dimension))
    picked: list[int] = []
    scores: list[float] = []
    floor = 0.0
    while len(picked) < min(count, dimension):
        value, vector = _leading(rest)
        if not picked:
            floor = np.finfo(np.float64).eps * max(points.shape) * value
        if value <= floor:
            break
        vector = _outside(spanned, vector)
        weights = (points @ vector) ** 2
        weights /= weights.sum()
        weights[picked] = -1.0
        index = first_of_largest(weights)
        direction = _outside(spanned, points[index])
        rest -= np.outer(direction, direction @ rest)
        spanned = np.vstack([spanned, direction])
        picked.append(index)
        scores.append(float(weights[index]))
    return picked, scores


def _leading(matrix: FloatArray) -> tuple[float, FloatArray]:
    """Return the largest singular value of a square matrix and its left singular vector."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    size = len(matrix)
    # The longest column: never orthogonal to the vector sought, and the same in every run.
    lengths = np.einsum("ij,ij->j", matrix, matrix)
    start = matrix[:, int(np.argmax(lengths))]
    if size <= _SMALL or not start.any():
        left, values, _ = svd(matrix)
        return float(values[0]), left[:, 0]
    # Applied as M (M^T u): the product M M^T would lose the weak directions, which count once the strong ones are gone.
    operator = LinearOperator((size, size), matvec=lambda u: matrix @ (matrix.T @ u), dtype=np.float64)
    values, vectors = eigsh(operator, k=1, which="LA", v0=start, tol=1e-12)
    return float(np.sqrt(max(values[0], 0.0))), vectors[:, 0]


def _outside(spanned: FloatArray, vector: FloatArray) -> FloatArray:
    """Return the unit vector of the part outside the span of orthonormal rows; twice is enough for rounding."""
    for _ in range(2):
        vector = vector - (spanned @ vector) @ spanned
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


def _without_copies(points: FloatArray, left: IntArray, picked: IntArray) -> IntArray:
    """Return the indices that are left after some picks and all copies of them."""
    from scipy.spatial import cKDTree

    left = np.setdiff1d(left, picked)
    scale = float(np.sqrt(np.max(np.einsum("ij,ij->i", points, points))))
    if not len(left) or scale == 0.0:
        return left[:0]
    distances, _ = cKDTree(points[picked]).query(points[left], distance_upper_bound=2 * SAME * scale)
    return np.asarray(left[distances > SAME * scale], dtype=np.int64)
