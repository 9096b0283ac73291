"""Sparse Gaussian-process potentials (GAP): polynomial kernels on representative environments."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from orbas.base.estimator import Fitted
from orbas.base.fields import SettingsError, check_settings, checked, setting
from orbas.base.kinds import SKIN, Choice, Each, Instance, Integer, Number, OneOf, listed
from orbas.files.stored import stored
from orbas.fit.baseline import species_of
from orbas.fit.noise import Noise
from orbas.invariants.spectra import Spectrum
from orbas.models.kernel import KernelDesign, KernelTerm, normalized
from orbas.models.potential import Potential, PotentialRecord
from orbas.models.restored import FITTED, OPTIONAL, check_fit
from orbas.structures.species import BySpecies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.base.blocks import Features
    from orbas.base.energies import Energies
    from orbas.base.types import FloatArray, IntArray
    from orbas.fit.driver import FitResult

_LOG = logging.getLogger("orbas")
#: Environments that representative ones are chosen among, at most.
_CANDIDATES = 50_000


class _Compiled:
    """The points of every term with their weights, as the core takes them: made once; copies make their own."""

    __slots__ = ("points",)

    def __init__(self) -> None:
        self.points: list[Any] | None = None

    def __reduce__(self) -> Any:
        return _Compiled, ()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SparseRecord(PotentialRecord):
    """The record of a :class:`SparseGPR`: the kernels with their points."""

    design: KernelDesign
    _compiled: _Compiled = field(default_factory=_Compiled, init=False)

    def above_baseline(self, frames: list[Atoms], skin_lists: Sequence[SkinList] | None) -> Energies:
        """Return energies, forces and virials above the baseline, a pass of the compiled core for every term."""
        points = self._compiled.points
        if points is None:
            parts = np.split(self.weights, np.cumsum(self.design.term_widths)[:-1])
            points = [term.weighted(part) for term, part in zip(self.design.terms, parts, strict=True)]
            self._compiled.points = points
        return self.design.evaluate(frames, points, skin_lists)


_SPECTRA = Each(
    Instance(lambda: (Spectrum,), "an orbas.PowerSpectrum or orbas.RadialSpectrum"), per="term of the kernel"
)
_COUNT = Integer(1, 100_000_000)
_N_SPARSE = Each(OneOf((_COUNT, BySpecies(Integer(0, _COUNT.most), "numbers"))), per="representation")
_ZETA = Each(Integer(1, 64), per="representation")
_DELTA = Each(Number(1e-10, 1e10), per="representation")


@stored("SparseGPR", fitted=(*FITTED, "design_"), optional=OPTIONAL, record=SparseRecord)
@dataclass(eq=False, repr=False)
class SparseGPR(Potential):
    """``E(A) = E0(composition) + sum_i k(x_i, M) . alpha``, a Gaussian process with a sparse polynomial kernel.

    ``k(x, y) = sum_t delta_t^2 (x_t . y_t / |x_t| |y_t|)^zeta_t`` between centers of the same species, summed over
    representations, say a radial spectrum for pairs and a power spectrum of shorter cutoff for the rest (Bartók and
    Csányi, Int. J. Quantum Chem. 115, 1051 (2015), doi:10.1002/qua.24927). M are environments chosen from the training
    set. The fit is a ridge regression in their span by orthogonal factorizations, see :mod:`orbas.models.kernel`.

    Parameters
    ----------
    representation
        A :class:`orbas.PowerSpectrum` or :class:`orbas.RadialSpectrum`, or a list of them; copied as in
        :class:`LinearPotential`.
    n_sparse
        Number of representative environments of each representation: shared among the species in proportion to their
        number of environments, or a dict by atomic number; a list gives every representation its own.
    zeta
        Exponents of the kernels, from 1 on; a list gives every representation its own.
    delta
        Amplitudes; only their ratios matter.
    selection
        How environments are chosen, from normalized features: ``"fps"``, farthest point sampling, or ``"cur"``.
    regularization, noise, baseline, chunk, progress
        As of :class:`LinearPotential`; the weights here are those of orthonormal functions.

    Attributes
    ----------
    design_
        The kernels with their points, on the representations as they were at the fit.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(3)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=15)
    >>> model = orbas.models.SparseGPR(orbas.PowerSpectrum(density), n_sparse=10, zeta=2).fit(frames)
    >>> model.predict(frames[:2]).energies.shape
    (2,)
    """

    design_ = Fitted[KernelDesign]()

    representation: Spectrum | Sequence[Spectrum] = field(metadata=setting(_SPECTRA, "features that are compared"))
    n_sparse: int | Mapping[int, int] | Sequence[int | Mapping[int, int]] = field(
        default=1000, metadata=setting(_N_SPARSE, "number of representative environments")
    )
    zeta: int | Sequence[int] = field(default=4, metadata=setting(_ZETA, "exponent of the kernel"))
    _: KW_ONLY
    delta: float | Sequence[float] = field(default=1.0, metadata=setting(_DELTA, "amplitude of the kernel"))
    selection: Literal["fps", "cur"] = field(
        default="fps", metadata=setting(Choice(("fps", "cur")), "how environments are chosen")
    )

    def skin_lists(self, skin: float) -> list[SkinList]:
        """Return an empty neighbor memory with a skin in Å for every representation.

        Examples
        --------
        >>> [skin_list.skin for skin_list in model.skin_lists(0.5)]
        [0.5]
        """
        from orbas._core import SkinList

        skin = checked(SKIN, "skin", skin)
        return [SkinList(skin) for _ in self._fitted().design.terms]

    def _make_design(self, params: Mapping[str, Any], frames: list[Atoms]) -> KernelDesign:
        """Choose representative environments among those of structures."""
        terms = []
        for spectrum, n_sparse, zeta, delta in _terms(params):
            points = representatives(spectrum, frames, n_sparse, params["selection"])
            terms.append(KernelTerm.of(spectrum, zeta, delta, points))
        return KernelDesign(tuple(terms))

    def _make_record(self, params: dict[str, Any], result: FitResult) -> SparseRecord:
        assert isinstance(result.design, KernelDesign)
        return SparseRecord(params, **SparseRecord.fields_of(result), design=result.design)

    def _label_noise(self) -> Noise:
        return Noise() if self.noise is None else self.noise

    def check(self) -> None:
        """Raise SettingsError for a setting of a wrong type or out of its range.

        Examples
        --------
        >>> model.set_params(zeta=0).check()
        Traceback (most recent call last):
        orbas.base.fields.SettingsError: SparseGPR.zeta must be an integer from 1 to 64, or a ...
        """
        check_settings(self)
        _terms(self.get_params(deep=False))

    def _check_restored(self) -> None:
        if self._record is None:
            return
        if not isinstance(self.design_, KernelDesign):
            raise TypeError("design_ is not one of kernels")
        check_fit(self, self.design_.n_columns)
        for term in self.design_.terms:
            if not set(self.species_) <= set(term.points):
                raise ValueError(f"the species {self.species_} are not among those of a kernel, {list(term.points)}")

    if TYPE_CHECKING:

        def _fitted(self) -> SparseRecord: ...


def _terms(params: Mapping[str, Any]) -> list[tuple[Spectrum, int | Mapping[int, int], int, float]]:
    """Return representation, number of points, exponent and amplitude of every term, checked."""
    spectra: list[Spectrum] = listed(params["representation"]) or [params["representation"]]
    columns = [_spread(name, params[name], len(spectra)) for name in ("n_sparse", "zeta", "delta")]
    return list(zip(spectra, *columns, strict=True))


def representatives(
    spectrum: Spectrum, frames: Sequence[Atoms], n_sparse: int | Mapping[int, int], method: Literal["fps", "cur"]
) -> dict[int, FloatArray]:
    """Choose environments: features of unit norm [n_points, n_features] by species of the representation.

    Raises
    ------
    ValueError
        If there are no environments with neighbors to choose from, or as ``orbas.selection.select_environments``.
    """
    from orbas.selection import select_environments

    features: Features = spectrum.transform(_spread_evenly(frames))
    rows = np.flatnonzero(features.values.any(axis=1))
    if rows.size == 0:
        raise ValueError("no environment has features to compare: do the atoms have neighbors inside the cutoff?")
    numbers = features.center_numbers[rows]
    compared = features.values[rows]
    for number, floor in spectrum.norm_floors(features.species).items():
        compared[numbers == number] = normalized(compared[numbers == number], floor)
    chosen = select_environments(compared, numbers, _at_most(n_sparse, numbers), method)
    points = normalized(compared[chosen], 0.0)
    return {number: points[numbers[chosen] == number] for number in features.species}


def _spread_evenly(frames: Sequence[Atoms]) -> list[Atoms]:
    """Return structures to choose environments of, not too many, every species among them."""
    step = max(1, -(-sum(map(len, frames)) // _CANDIDATES))
    firsts = {next(k for k, atoms in enumerate(frames) if number in atoms.numbers) for number in species_of(frames)}
    return [frames[k] for k in sorted(firsts | set(range(0, len(frames), step)))]


def _at_most(n_sparse: int | Mapping[int, int], numbers: IntArray) -> int | dict[int, int]:
    """Return how many environments to choose, no more than there are: if more were asked for, that is said."""
    available = dict(zip(*(a.tolist() for a in np.unique(numbers, return_counts=True)), strict=True))
    if not isinstance(n_sparse, Mapping):
        if n_sparse > len(numbers):
            _LOG.warning("n_sparse = %d: there are %d environments, all are taken", n_sparse, len(numbers))
        return min(n_sparse, len(numbers))
    for number, count in n_sparse.items():
        if count > available.get(number, count):
            _LOG.warning("n_sparse = %d for species %d: there are %d, all are taken", count, number, available[number])
    return {number: min(count, available.get(number, count)) for number, count in n_sparse.items()}


def _spread(name: str, value: Any, n_terms: int) -> list[Any]:
    """Return one value for every term."""
    items = listed(value)
    if items is None:
        return [value] * n_terms
    if len(items) != n_terms:
        raise SettingsError(f"SparseGPR.{name} has {len(items)} values for {n_terms} representations")
    return items
