"""Real spherical harmonics, and what couples them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from orbas import _core
from orbas.base.fields import check_switches, checked
from orbas.base.kinds import Integer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from orbas.base.types import FloatArray


@overload
def spherical_harmonics(vectors: ArrayLike, max_angular: int) -> FloatArray: ...
@overload
def spherical_harmonics(
    vectors: ArrayLike, max_angular: int, *, gradients: Literal[True]
) -> tuple[FloatArray, FloatArray]: ...
def spherical_harmonics(
    vectors: ArrayLike, max_angular: int, *, gradients: bool = False
) -> FloatArray | tuple[FloatArray, FloatArray]:
    """Evaluate ``Y_lm`` of directions for all degrees up to ``max_angular``.

    Real and orthonormal on the sphere, without the Condon-Shortley phase; index ``l^2 + l + m`` with m = -l..l,
    so that l = 1 is (y, z, x).

    Parameters
    ----------
    vectors
        Shape [n, 3], or [3] for one; they need not be normalized.
    max_angular
        The largest degree, inclusive.
    gradients
        Also return the derivatives with respect to the components of the vectors, in 1/(unit of the vectors).

    Returns
    -------
    Values [n, (max_angular + 1)^2]; with ``gradients`` also [n, 3, (max_angular + 1)^2].

    Raises
    ------
    ValueError
        For a vector that is zero or not finite (the message has its index), or a negative degree.

    Examples
    --------
    >>> import orbas
    >>> orbas.spherical_harmonics([[0.0, 0.0, 1.0]], max_angular=1).round(4).tolist()
    [[0.2821, 0.0, 0.4886, 0.0]]
    """
    array = np.ascontiguousarray(np.atleast_2d(np.asarray(vectors, dtype=np.float64)))
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"vectors must have the shape [n, 3] or [3], got {np.shape(vectors)}")
    check_switches(gradients=gradients)
    degree = checked(Integer(0, 100), "max_angular", max_angular)
    values, slopes = _core.spherical_harmonics(array, degree, gradients)
    return values if slopes is None else (values, slopes)


@lru_cache(maxsize=512)
def _clebsch_gordan(l1: int, l2: int, o3_lambda: int) -> FloatArray:
    table = _core.clebsch_gordan(l1, l2, o3_lambda)
    table.setflags(write=False)
    return table


def clebsch_gordan(l1: int, l2: int, o3_lambda: int) -> FloatArray:
    """Return the real Clebsch-Gordan coefficients ``<l1 m1; l2 m2 | o3_lambda mu>``.

    They couple real harmonics, and whatever turns like these, to equivariants (Eq. 11). Orthonormal: over all
    o3_lambda and mu they are an orthogonal matrix. ``<l m; l m | 0 0>`` is ``(-1)^l / sqrt(2l + 1)``. Computed from
    exact integers.

    Parameters
    ----------
    l1, l2, o3_lambda
        Degrees, 0 to 40.

    Returns
    -------
    Shape [2 l1 + 1, 2 l2 + 1, 2 o3_lambda + 1], orders rising, read-only; zeros where the degrees do not add up.

    Raises
    ------
    ValueError
        For a degree out of range.

    Examples
    --------
    >>> import orbas
    >>> scalar = orbas.clebsch_gordan(1, 1, 0)  # the scalar product of two vectors over -sqrt(3)
    >>> scalar.shape, scalar[:, :, 0].diagonal().round(4).tolist()
    ((3, 3, 1), [-0.5774, -0.5774, -0.5774])
    """
    names, degrees = ("l1", "l2", "o3_lambda"), (l1, l2, o3_lambda)
    return _clebsch_gordan(*(checked(Integer(0, 40), *pair) for pair in zip(names, degrees, strict=True)))
