"""Factorizations and products of large matrices: without the interpreter lock, so that Ctrl-C is seen meanwhile.

Which function of numpy or scipy gives the lock away differs from one to the other: that choice has its home here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from orbas.base.process import patiently
from orbas.parallel import each

if TYPE_CHECKING:
    from collections.abc import Callable

    from orbas.base.types import FloatArray

Result = TypeVar("Result")

#: Multiplications that take a few milliseconds: nobody waits for less.
_SHORT = 1e7
#: Multiplications of one piece of a product.
_PIECE = 2e8


def svd(matrix: FloatArray, *, full_matrices: bool = True) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return left singular vectors, descending singular values and right singular vectors as rows."""
    size = 10.0 * matrix.size * min(matrix.shape)
    left, values, right = _done(lambda: np.linalg.svd(matrix, full_matrices=full_matrices), size)
    return left, values, right


def eigh(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return rising eigenvalues of a symmetric matrix, and eigenvectors as columns."""
    values, vectors = _done(lambda: np.linalg.eigh(matrix), 5.0 * matrix.size * len(matrix))
    return values, vectors


def upper_factor(matrix: FloatArray) -> FloatArray:
    """Return R of ``matrix = Q R``, [min(n, m), m]."""
    from scipy.linalg import qr

    size = 2.0 * matrix.size * min(matrix.shape, default=0)
    factor: FloatArray = _done(lambda: qr(matrix, mode="r", check_finite=False)[0], size)
    return factor[: min(matrix.shape)]


def thin_qr(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Q [n, k] and R [k, m] of a matrix [n, m], k the smaller dimension."""
    from scipy.linalg import qr

    size = 4.0 * matrix.size * min(matrix.shape, default=0)
    left, right = _done(lambda: qr(matrix, mode="economic", check_finite=False), size)
    return left, right


def product(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return ``first @ second``, rows in pieces for our own threads where it is large.

    The pieces do not depend on the number of threads; nor do the bits.
    """
    n, (depth, width) = len(first), second.shape
    step = max(1, int(_PIECE / max(depth * width, 1)))
    if step >= n:
        return np.asarray(first @ second)
    result = np.empty((n, width))

    def multiply(start: int) -> None:
        np.matmul(first[start : start + step], second, out=result[start : start + step])

    each(multiply, range(0, n, step))
    return result


def _done(work: Callable[[], Result], size: float) -> Result:
    return work() if size < _SHORT else patiently(work)
