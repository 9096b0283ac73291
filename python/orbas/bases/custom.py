"""Functions supplied by the user."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial import chebyshev

from orbas.base.fields import check_settings, checked, setting
from orbas.base.kinds import LENGTH, Maybe
from orbas.bases.base import DEGREE, OrthonormalizedBasis, Setup

if TYPE_CHECKING:
    from numpy.typing import NDArray

RadialFunction = Callable[[Any], Any]

# Functions may have features down to this fraction of the support; more functions than that need more.
_HALF_WAVES = 64
_MAX_DEGREE = 1024


@dataclass(frozen=True, slots=True, init=False)
class Custom(OrthonormalizedBasis):
    """Any linearly independent functions, scaled to unit norm and symmetrically (Löwdin) orthonormalized.

    Parameters
    ----------
    functions
        A sequence of callables used for every l, or one such sequence per l (``functions[l][n]``; it may be
        empty). A callable maps distances in Å, ``[n_r]``, to real finite values ``[n_r]``. It must be smooth
        on the scale of ``support / 64``.
    support
        Where the functions end, in Å: they are integrated over ``[0, support]`` and taken as zero beyond. By
        default the cutoff radius. Functions that have not decayed there are cut off.

    Attributes
    ----------
    callables
        The functions as given, in tuples (``functions`` is the method that evaluates them).

    Raises
    ------
    TypeError, ValueError
        If there is no function, an entry is not callable, or the support is not positive. On use: if a
        callable returns a wrong shape or values that are not finite, if functions are linearly dependent, if
        there are fewer sequences than l asked for, or, for the delta density only, if a function is too
        rough to be differentiated.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas import bases
    >>> basis = bases.Custom([lambda r: np.exp(-r), lambda r: np.exp(-2.0 * r)], support=8.0)
    >>> setup = bases.Setup(max_angular=1, cutoff_radius=4.0, density_width=0.5)
    >>> r = np.linspace(0.0, 4.0, 9)
    >>> basis.functions(r, max_angular=0, cutoff_radius=4.0, density_width=0.5)[0].shape
    (9, 2)
    """

    callables: tuple[RadialFunction, ...] | tuple[tuple[RadialFunction, ...], ...]
    support: float | None = field(metadata=setting(Maybe(LENGTH, meaning="the cutoff radius"), "where functions end"))

    def __init__(
        self,
        functions: Sequence[RadialFunction] | Sequence[Sequence[RadialFunction]],
        support: float | None = None,
    ) -> None:
        if not isinstance(functions, Sequence):
            raise TypeError(f"functions must be a sequence of callables, got {functions!r}")
        callables: tuple[Any, ...] = tuple(functions)
        if not all(callable(entry) for entry in callables):
            callables = tuple(_as_functions(entry, degree) for degree, entry in enumerate(callables))
        if not any(callable(entry) or entry for entry in callables):
            raise ValueError("a Custom basis needs at least one function")
        object.__setattr__(self, "callables", callables)
        object.__setattr__(self, "support", support)
        check_settings(self)

    def counts(self, max_angular: int) -> tuple[int, ...]:
        """Return the number of functions given for each l.

        Examples
        --------
        >>> basis.counts(2)
        (2, 2, 2)
        >>> bases.Custom([[np.cos, np.sin], [np.sin]]).counts(1)
        (2, 1)
        """
        checked(DEGREE, "max_angular", max_angular)
        return tuple(len(self._of_degree(degree)) for degree in range(max_angular + 1))

    def _of_degree(self, degree: int) -> tuple[RadialFunction, ...]:
        entries: tuple[Any, ...] = self.callables
        if callable(entries[0]):
            return entries
        if degree >= len(entries):
            raise ValueError(f"functions are given up to l = {len(entries) - 1}, but l = {degree} is asked for")
        of_degree: tuple[RadialFunction, ...] = entries[degree]
        return of_degree

    def _end(self, setup: Setup) -> float:
        return setup.cutoff_radius if self.support is None else float(self.support)

    def twin(self, degree: int) -> int:
        """Return 0 if the functions are the same for every l.

        Examples
        --------
        >>> basis.twin(2), bases.Custom([[np.cos], [np.sin]]).twin(1)
        (0, 1)
        """
        return 0 if callable(self.callables[0]) else degree

    def extent(self, setup: Setup) -> tuple[float, float]:
        """Return where the functions end (Å) and the largest wave number in them (1/Å).

        Examples
        --------
        >>> end, wave_number = basis.extent(setup)
        >>> end, round(wave_number, 2)
        (8.0, 25.13)
        """
        most = max(self.counts(setup.max_angular))
        return self._end(setup), math.pi * max(_HALF_WAVES, 2 * most) / self._end(setup)

    def primitives(self, r: NDArray[np.float64], degree: int, setup: Setup, order: int) -> NDArray[np.float64]:
        """Return the functions of one l and their derivatives, [order + 1, n_r, n_l].

        Examples
        --------
        >>> basis.primitives(r, 0, setup, 2).shape
        (3, 9, 2)
        """
        functions = self._of_degree(degree)
        values = np.empty((order + 1, len(r), len(functions)))
        for n, function in enumerate(functions):
            name = f"custom function {n} of l = {degree}"
            values[0, :, n] = _call(function, r, name)
            if order > 0:
                values[1:, :, n] = _differentiate(function, r, self._end(setup), order, name)
        return values


def _as_functions(entry: Any, degree: int) -> tuple[RadialFunction, ...]:
    """Check the sequence of callables given for one l."""
    if not isinstance(entry, Sequence) or not all(callable(function) for function in entry):
        raise TypeError(
            f"functions must be a sequence of callables, or one such sequence per l; entry {degree} is {entry!r}"
        )
    return tuple(entry)


def _call(function: RadialFunction, r: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Evaluate a user's function on a copy of ``r`` and check what it returns."""
    values = np.asarray(function(r.copy()))
    if values.shape != r.shape:
        raise ValueError(f"{name} must return the shape of its argument, {r.shape}, got {values.shape}")
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{name} must return real numbers, got {values.dtype}")
    if not np.isfinite(values).all():
        where = r[np.argmin(np.isfinite(values))]
        raise ValueError(f"{name} is not finite at r = {where:.6g} Å")
    return values.astype(np.float64)


def _differentiate(
    function: RadialFunction, r: NDArray[np.float64], end: float, order: int, name: str
) -> NDArray[np.float64]:
    """Return derivatives 1 .. ``order`` [order, n_r] from a Chebyshev interpolant on ``[0, end]``."""
    degree = 32
    while True:
        points = chebyshev.chebpts1(degree + 1)
        samples = _call(function, 0.5 * end * (points + 1.0), name)
        coefficients = 2.0 / (degree + 1) * (chebyshev.chebvander(points, degree).T @ samples)
        coefficients[0] *= 0.5
        size = np.abs(coefficients)
        if size[-(degree // 8) :].max() <= 1e-13 * size.max():
            break
        degree *= 2
        if degree > _MAX_DEGREE:
            raise ValueError(
                f"{name} is not smooth enough on [0, {end:g}] Å for the derivatives that a delta density "
                "needs: use a positive density_width"
            )
    # Differentiation multiplies the rounding of the k-th coefficient by up to k^4: drop
    # those that are nothing but rounding.
    coefficients = coefficients[: 1 + int(np.flatnonzero(size > 1e-15 * size.max()).max(initial=0))]
    t = 2.0 * r / end - 1.0
    slopes = (chebyshev.chebder(coefficients, power, 2.0 / end) for power in range(1, order + 1))
    return np.array([chebyshev.chebval(t, slope) for slope in slopes])
