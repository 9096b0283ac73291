"""What a primitive radial basis is, and the part all bases have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from orbas.base.fields import SettingsError, check_settings, setting, setting_of
from orbas.base.kinds import LENGTH, Integer, Number
from orbas.base.process import default_errors
from orbas.bases.quadrature import (
    GAUSSIAN_BAND,
    Grid,
    RadialIntegrals,
    gaussian_integrals,
    orthonormalize,
    panel_grid,
)
from orbas.files.stored import stored

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Basis = TypeVar("Basis", bound="PrimitiveBasis")

# The grid grows with cutoff_radius / density_width: a Gaussian narrower than this is a delta to any spline.
_NARROWEST = 1e-3
#: Degrees l that a basis is asked for, and numbers of functions: more than anybody can tell apart.
DEGREE = Integer(0, 100)
FUNCTIONS = Integer(1, 1000)


@dataclass(frozen=True, slots=True)
class Setup:
    """The checked surroundings of a basis: lengths in Å, ``max_angular`` inclusive.

    Examples
    --------
    >>> from orbas.bases import Setup
    >>> Setup(max_angular=2, cutoff_radius=4.0, density_width=0.5)
    Setup(max_angular=2, cutoff_radius=4.0, density_width=0.5)
    """

    max_angular: int = field(metadata=setting(DEGREE, "largest degree l"))
    cutoff_radius: float = field(metadata=setting(LENGTH, "cutoff radius"))
    density_width: float = field(metadata=setting(Number(0, 1e6, "Å"), "width of the Gaussian; 0 for a delta"))

    def __post_init__(self) -> None:
        check_settings(self, owner="")
        if 0 < self.density_width < _NARROWEST * self.cutoff_radius:
            raise SettingsError(
                f"a density width of {self.density_width} Å is below {_NARROWEST} of the cutoff radius "
                f"{self.cutoff_radius} Å: use density_width=0, the delta density, instead"
            )


def _check_distances(r: ArrayLike) -> NDArray[np.float64]:
    distances = np.asarray(r, dtype=np.float64)
    if distances.ndim != 1:
        raise ValueError(f"r must be a one-dimensional array of distances, got shape {distances.shape}")
    if not (np.isfinite(distances).all() and (distances >= 0).all()):
        raise ValueError("r must hold finite distances in Å that are not negative")
    return distances


#: The bases that files and flags can hold, by the name of their class.
BASES: dict[str, type[PrimitiveBasis]] = {}


def register(cls: type[Basis]) -> type[Basis]:
    """Let files and flags hold a basis: a decorator of its class.

    The class is a frozen dataclass whose fields all have metadata (:func:`orbas.base.fields.setting`): settings of TOML
    files and flags, their help, and what model and basis files hold are made from these. Whoever reads such a file must
    have registered the class before.

    Raises
    ------
    TypeError
        If it is no such class.
    ValueError
        If another class has its name.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from orbas import bases
    >>> @bases.register
    ... @dataclass(frozen=True, slots=True)
    ... class Quadrature(bases.DVR):
    ...     pass
    >>> bases.BASES.pop("Quadrature") is Quadrature  # taken out again
    True
    """
    if not (isinstance(cls, type) and issubclass(cls, PrimitiveBasis) and is_dataclass(cls)):
        raise TypeError(f"a basis is a dataclass derived from orbas.bases.PrimitiveBasis, got {cls!r}")
    if not cls.__dataclass_params__.frozen:
        raise TypeError(f"{cls.__name__} must be frozen: @dataclass(frozen=True)")
    for item in fields(cls):
        found = setting_of(item)
        if found is None or not found.plain:
            raise TypeError(f"{cls.__name__}.{item.name} needs metadata=setting(kind, help) of a kind that files hold")
    older = BASES.get(cls.__name__)
    if older is not None and (older.__module__, older.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"there is a basis {cls.__name__} already, of {older.__module__}")
    stored(cls.__name__)(cls)  # raises for a name that files have for something else
    BASES[cls.__name__] = cls
    return cls


class PrimitiveBasis(ABC):
    """A set of orthonormal radial functions ``R_nl(r)`` and their integrals with a density.

    The number of functions may depend on l (:meth:`counts`). Orthonormal means ``∫ R_nl R_n'l r² dr = δ``.
    Arguments common to the methods:

    - ``max_angular``: the largest angular degree l, inclusive, at least 0;
    - ``cutoff_radius``: in Å, positive;
    - ``density_width``: of the Gaussian, in Å; 0 is the delta density; otherwise at least a thousandth
      of the cutoff radius.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas import bases
    >>> basis = bases.GTO(3)
    >>> isinstance(basis, bases.PrimitiveBasis)
    True
    >>> setup = {"max_angular": 1, "cutoff_radius": 4.0, "density_width": 0.5}
    """

    __slots__ = ()

    @abstractmethod
    def counts(self, max_angular: int) -> tuple[int, ...]:
        """Return the number of radial functions for ``l = 0 .. max_angular``.

        Examples
        --------
        >>> basis.counts(2)
        (3, 3, 3)
        """

    @abstractmethod
    def _sample(self, setup: Setup) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        """Return quadrature nodes [n_x] and, per l, ``w x² R_nl(x)`` there [n_x, n_l]."""

    @abstractmethod
    def _evaluate(self, r: NDArray[np.float64], setup: Setup, order: int) -> list[NDArray[np.float64]]:
        """Return per l the functions and ``order`` derivatives, [order + 1, n_r, n_l]."""

    @default_errors
    def functions(
        self, r: ArrayLike, *, max_angular: int, cutoff_radius: float, density_width: float
    ) -> list[NDArray[np.float64]]:
        """Return the orthonormal radial functions themselves.

        Parameters
        ----------
        r
            Distances in Å, ``[n_r]``, not negative.
        max_angular, cutoff_radius, density_width
            See the class. The width matters only to a basis whose extent depends on it (:class:`DVR`).

        Returns
        -------
        Per l, ``R_nl(r)`` in Å^-1.5, ``[n_r, n_l]``.

        Raises
        ------
        ValueError
            If an argument is out of range.

        Examples
        --------
        >>> r = np.linspace(0.0, 20.0, 2001)
        >>> values = basis.functions(r, **setup)[0]
        >>> overlap = np.einsum("rn,rm,r->nm", values, values, r**2) * (r[1] - r[0])
        >>> bool(np.allclose(overlap, np.eye(3), atol=1e-6))
        True
        """
        setup = Setup(max_angular, cutoff_radius, density_width)
        return [values[0] for values in self._evaluate(_check_distances(r), setup, 0)]

    @default_errors
    def integrals(
        self, r: ArrayLike, *, max_angular: int, cutoff_radius: float, density_width: float
    ) -> list[RadialIntegrals]:
        """Return the radial integrals ``I_nl(r)``, Eq. 5 of Goscinski et al. 2021, with two derivatives.

        A neighbor at distance r and direction r̂ contributes ``I_nl(r) Y_lm(r̂)`` to the density
        coefficients. Its Gaussian has *peak* 1, that is a norm (integral) of ``(2π density_width²)^(3/2)``.
        The delta density of ``density_width = 0`` is normalized to *integral* 1 instead, so that
        ``I_nl(r) = R_nl(r)``: it is the limit of the Gaussian integrals divided by that norm.

        Parameters
        ----------
        r
            Distances in Å, ``[n_r]``, not negative. At ``r = 0`` a Gaussian density leaves only l = 0; with
            a delta density every l keeps ``R_nl(0)``, whose direction is undefined.
        max_angular, cutoff_radius, density_width
            See the class.

        Returns
        -------
        Per l, the values (Å^1.5; Å^-1.5 for the delta density) and analytic derivatives, each ``[n_r,
        n_l]``.

        Raises
        ------
        ValueError
            If an argument is out of range, or the functions are linearly dependent.

        Examples
        --------
        >>> integrals = basis.integrals([0.0, 1.0, 2.0], **setup)
        >>> integrals[1].values.shape
        (3, 3)
        >>> bool(np.allclose(integrals[1].values[0], 0.0))  # at r = 0 a Gaussian leaves l = 0 alone
        True
        """
        setup = Setup(max_angular, cutoff_radius, density_width)
        distances = _check_distances(r)
        if setup.density_width == 0:
            return [RadialIntegrals(*values) for values in self._evaluate(distances, setup, 2)]
        nodes, projectors = self._sample(setup)
        return gaussian_integrals(distances, nodes, projectors, setup.density_width)


class OrthonormalizedBasis(PrimitiveBasis):
    """Functions that are not orthonormal by themselves: sampled on a grid and orthonormalized there.

    A subclass gives the number of its functions (:meth:`counts`), the functions (:meth:`primitives`), where they end
    and how fast they vary (:meth:`extent`); ``examples/adding_basis.py`` is one.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas import bases
    >>> basis = bases.GTO(3)
    >>> isinstance(basis, bases.OrthonormalizedBasis)
    True
    >>> setup = bases.Setup(max_angular=1, cutoff_radius=4.0, density_width=0.5)
    """

    __slots__ = ()

    @abstractmethod
    def primitives(self, r: NDArray[np.float64], degree: int, setup: Setup, order: int) -> NDArray[np.float64]:
        """Return the functions of one l and ``order`` derivatives, [order + 1, n_r, n_l]; r <= end.

        Examples
        --------
        >>> basis.primitives(np.linspace(0.0, 4.0, 9), 0, setup, 2).shape
        (3, 9, 3)
        """

    @abstractmethod
    def extent(self, setup: Setup) -> tuple[float, float]:
        """Return where the functions end (Å) and the largest wave number in them (1/Å).

        Examples
        --------
        >>> end, wave_number = basis.extent(setup)
        >>> end > 4.0, wave_number > 0.0
        (True, True)
        """

    def _grid(self, setup: Setup) -> Grid:
        end, wave_number = self.extent(setup)
        density = GAUSSIAN_BAND / setup.density_width if setup.density_width > 0 else 0.0
        # Products are integrated: of two functions (overlap) and of a function with the density (Eq. 5).
        return panel_grid(end, wave_number + max(wave_number, density))

    def twin(self, degree: int) -> int:
        """Return the smallest l with the same functions as ``degree``: they are orthonormalized once.

        Examples
        --------
        >>> basis.twin(2)
        0
        """
        return degree

    def _orthonormalized(self, grid: Grid, setup: Setup) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return the polar factor [n_x, n_l] and the transformation [n_l, n_l] of every distinct l."""
        results = {}
        for degree in sorted({self.twin(degree) for degree in range(setup.max_angular + 1)}):
            primitives = self.primitives(grid.nodes, degree, setup, 0)[0]  # [n_x, n_l]
            results[degree] = orthonormalize(grid.root_measure[:, None] * primitives, degree)
        return results

    def _sample(self, setup: Setup) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        grid = self._grid(setup)
        polar = {key: factor for key, (factor, _) in self._orthonormalized(grid, setup).items()}
        root = grid.root_measure[:, None]
        return grid.nodes, [root * polar[self.twin(degree)] for degree in range(setup.max_angular + 1)]

    def _evaluate(self, r: NDArray[np.float64], setup: Setup, order: int) -> list[NDArray[np.float64]]:
        inside = r <= self.extent(setup)[0]
        results = {}
        for degree, (_, transform) in self._orthonormalized(self._grid(setup), setup).items():
            values = np.zeros((order + 1, len(r), len(transform)))
            values[:, inside] = self.primitives(r[inside], degree, setup, order) @ transform
            results[degree] = values
        return [results[self.twin(degree)].copy() for degree in range(setup.max_angular + 1)]
