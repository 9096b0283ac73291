"""Farthest point sampling.

Eldar et al., IEEE Trans. Image Process. 6, 1305 (1997), doi:10.1109/83.623193; for atomic features Imbalzano et al.,
J. Chem. Phys. 148, 241730 (2018), doi:10.1063/1.5024611.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.fields import SettingsError, setting
from orbas.base.kinds import Integer
from orbas.base.linalg import eigh, product, thin_qr
from orbas.selection.base import AXIS, COUNT, SAME, Axis, Selector, compact, first_of_largest

if TYPE_CHECKING:
    from orbas.base.types import FloatArray, IntArray

#: Squared distances below this fraction of the squared norms are summed from differences: the norms keep no digit.
_CANCELLED = 1e-5
#: Dimensions of the projection that tells, for most points, that a distance cannot matter.
_PROJECTED = 32
#: Points of the sample that the projection is made for.
_PROBED = 512


@dataclass(eq=False, repr=False)
class FPS(Selector):
    """Farthest point sampling: every pick is the one whose nearest earlier pick is farthest away.

    Distances are Euclidean, between columns or between rows. The lowest index wins a tie (1e-9, relative). Points
    within rounding of an earlier pick (1e-12 of the largest norm) are never picked. A pick costs at most one product of
    the matrix with a vector.

    Parameters
    ----------
    n
        How many to select; None for half of them.
    axis
        ``"features"``: columns; ``"samples"``: rows.
    start
        Index of the first pick.

    Attributes
    ----------
    scores_
        Distance of each pick to the nearest earlier one, in the units of the matrix; infinite for the first.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.selection import FPS
    >>> points = np.array([[0.0], [1.0], [10.0], [6.0]])
    >>> FPS(3, axis="samples").fit(points).selected_idx_.tolist()
    [0, 2, 3]
    """

    n: int | None = field(default=None, metadata=COUNT)
    _: KW_ONLY
    axis: Axis = field(default="features", metadata=AXIS)
    start: int = field(default=0, metadata=setting(Integer(0), "index of the first pick"))

    def _select(self, points: FloatArray, count: int) -> tuple[list[int], list[float]]:
        if self.start >= len(points):
            raise SettingsError(f"start must lie in 0..{len(points) - 1}, got {self.start}")
        space = _Space(points)
        picked, scores = [int(self.start)], [np.inf]
        nearest = np.full(len(points), np.inf)
        while len(picked) < count:
            space.shorten(nearest, picked[-1])
            index = first_of_largest(nearest)
            if nearest[index] <= space.same:
                break
            picked.append(index)
            scores.append(float(np.sqrt(nearest[index])))
        return picked, scores


class _Space:
    """Points, and a cheap lower bound of their distances.

    Points are moved so that their mean is zero: |a|^2 + |b|^2 - 2 a.b then loses the fewest digits. In coordinates
    (P x, |x - P^T P x|), with orthonormal rows P, no two points are farther apart than they are: few coordinates often
    tell that a new pick is not the nearest one, and nothing else has to be read.
    """

    def __init__(self, points: FloatArray) -> None:
        self.same = SAME**2 * float(np.max(np.einsum("ij,ij->i", points, points), initial=0.0))
        self.points = compact(points - points.mean(axis=0))
        self.norms = np.einsum("ij,ij->i", self.points, self.points)
        self.projected = _projection(self.points, self.norms)
        self.projected_norms = np.einsum("ij,ij->i", self.projected, self.projected)

    def shorten(self, nearest: FloatArray, index: int) -> None:
        """Update squared distances to the nearest pick, in place, by a new pick."""
        bound = self.projected_norms - 2.0 * (self.projected @ self.projected[index])
        bound += self.projected_norms[index]
        # Rounding must not exclude a point: what is outside of P is a root of a difference, good to sqrt(eps) only.
        bound -= 1e-6 * (self.norms + self.norms[index])
        closer = np.flatnonzero(bound < nearest)
        if 3 * len(closer) > len(nearest):
            np.minimum(nearest, self._distances(slice(None), index), out=nearest)
        else:
            nearest[closer] = np.minimum(nearest[closer], self._distances(closer, index))
        nearest[index] = 0.0

    def _distances(self, rows: IntArray | slice, index: int) -> FloatArray:
        """Return squared distances of some points to one of them."""
        some, point = self.points[rows], self.points[index]
        norms = self.norms[rows] + self.norms[index]
        squared = norms - 2.0 * (some @ point)
        cancelled = np.flatnonzero(squared < _CANCELLED * norms)
        differences = some[cancelled] - point
        squared[cancelled] = np.einsum("ij,ij->i", differences, differences)
        return np.asarray(squared, dtype=np.float64)


def _projection(points: FloatArray, norms: FloatArray) -> FloatArray:
    """Return (P x, |x - P^T P x|) of every point, P the leading principal axes of some of them."""
    probes = points[:: -(-len(points) // _PROBED)]
    leading = eigh(product(probes, probes.T))[1][:, -_PROJECTED:]
    # Whatever the axes are, the bound holds if they are orthonormal.
    axes = thin_qr(probes.T @ leading)[0]
    inside = product(points, axes)
    outside = np.sqrt(np.maximum(norms - np.einsum("ij,ij->i", inside, inside), 0.0))
    return np.column_stack([inside, outside])
