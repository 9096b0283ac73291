"""Sparse Gaussian-process potentials (GAP): polynomial kernels on representative environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from orbas.fit.labels import fit_baseline, labels_of, targets_of
from orbas.fit.noise import Noise
from orbas.fit.regularization import resolve_regularization
from orbas.fit.streamed import fit_streamed
from orbas.invariants.spectra import Spectrum
from orbas.models.kernel import KernelDesign, KernelTerm
from orbas.models.potential import Potential

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.base.blocks import Features, FloatArray
    from orbas.base.energies import Energies
    from orbas.fit.labels import BaselineLike
    from orbas.fit.regularization import RegularizationLike

#: Environments that representative ones are chosen among, at most.
_CANDIDATES = 50_000


class SparseGPR(Potential):
    """``E(A) = E0(composition) + sum_i k(x_i, M) . alpha``, a Gaussian process with a sparse polynomial kernel.

    ``k(x, y) = sum_t delta_t^2 (x_t . y_t / |x_t| |y_t|)^zeta_t`` between centers of the same species, summed over
    representations, say a radial spectrum for pairs and a power spectrum of shorter cutoff for the rest (Bartók and
    Csányi, Int. J. Quantum Chem. 115, 1051 (2015), doi:10.1002/qua.24927). M are environments chosen from the training
    set. The fit is a ridge regression in their span by orthogonal factorizations, see :mod:`orbas.models.kernel`.

    Parameters
    ----------
    representation
        A :class:`orbas.PowerSpectrum` or :class:`orbas.RadialSpectrum`, or a list of them, used as they are.
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
        The kernels with their points.
    """

    def __init__(
        self,
        representation: Spectrum | Sequence[Spectrum],
        n_sparse: int | Mapping[int, int] | Sequence[int | Mapping[int, int]] = 1000,
        zeta: int | Sequence[int] = 4,
        *,
        delta: float | Sequence[float] = 1.0,
        selection: Literal["fps", "cur"] = "fps",
        regularization: RegularizationLike = "cv",
        noise: Noise | None = None,
        baseline: BaselineLike = "composition",
        chunk: int = 4096,
        progress: bool = False,
    ) -> None:
        self.representation = representation
        self.n_sparse = n_sparse
        self.zeta = zeta
        self.delta = delta
        self.selection = selection
        self.regularization = regularization
        self.noise = noise
        self.baseline = baseline
        self.chunk = chunk
        self.progress = progress

    def fit(
        self,
        frames: Sequence[Atoms],
        energy_key: str = "REF_energy",
        *,
        forces_key: str | None = None,
        stress_key: str | None = None,
        virial_key: str | None = None,
        checkpoint: str | PathLike[str] | None = None,
    ) -> Self:
        """Choose environments and alpha, and fit the weights; parameters and errors as of ``LinearPotential.fit``.

        Raises
        ------
        TypeError
            If a representation is not one of those named above.
        """
        self.check()
        rule = resolve_regularization(self.regularization)
        labels = labels_of(frames, energy_key, forces_key, stress_key, virial_key)
        baseline = fit_baseline(self.baseline, frames, labels.energies, rule)
        design = self._design_for(frames)
        targets = targets_of(frames, labels, baseline)
        fit = fit_streamed(
            design,
            frames,
            targets,
            self._label_noise(),
            rule,
            chunk=self.chunk,
            progress=self.progress,
            checkpoint=checkpoint,
        )
        self.design_ = design
        self.__dict__.pop("_cached_points", None)
        self._keep(fit, frames, baseline)
        self._set_reach(design, frames)
        return self

    def evaluate(self, frames: Sequence[Atoms], *, skin_lists: Sequence[SkinList] | None = None) -> Energies:
        """Return energies, forces and virials, a pass of the compiled core for every term: ``Potential.evaluate``."""
        self._check(frames)
        return self._with_baseline(frames, self.design_.evaluate(frames, self._points(), skin_lists))

    def skin_lists(self, skin: float) -> list[SkinList]:
        """Return an empty neighbor memory with a skin in Å for every representation."""
        from orbas._core import SkinList

        return [SkinList(skin) for _ in self._terms()]

    def _design(self) -> KernelDesign:
        return self.design_

    def _design_for(self, frames: Sequence[Atoms]) -> KernelDesign:
        """Choose representative environments among those of structures."""
        terms = []
        for spectrum, n_sparse, zeta, delta in self._terms():
            points = representatives(spectrum, frames, n_sparse, self.selection)
            terms.append(KernelTerm.of(spectrum, zeta, delta, points))
        return KernelDesign(tuple(terms))

    def _label_noise(self) -> Noise:
        return Noise() if self.noise is None else self.noise

    def _points(self) -> list[Any]:
        """Return what the compiled core evaluates, made once."""
        cached = self.__dict__.get("_cached_points")
        if cached is None:
            ends = np.cumsum(self.design_.term_widths)[:-1]
            parts = np.split(self.weights_, ends)
            cached = [term.weighted(own) for term, own in zip(self.design_.terms, parts, strict=True)]
            self._cached_points = cached
        points: list[Any] = cached
        return points

    def _terms(self) -> list[tuple[Spectrum, int | Mapping[int, int], int, float]]:
        """Return representation, number of points, exponent and amplitude of every term, checked."""
        given = self.representation
        spectra = [given] if isinstance(given, Spectrum) else list(given)
        for spectrum in spectra:
            if not isinstance(spectrum, Spectrum):
                raise TypeError(f"SparseGPR needs a PowerSpectrum or RadialSpectrum, got {type(spectrum).__name__}")
        columns = [_spread(name, getattr(self, name), len(spectra)) for name in ("n_sparse", "zeta", "delta")]
        for zeta in columns[1]:
            if isinstance(zeta, bool) or not isinstance(zeta, int | np.integer) or not 1 <= zeta <= 64:
                raise ValueError(f"zeta must be an integer in 1..64, got {zeta!r}")
        for delta in columns[2]:
            if not (np.isfinite(delta) and delta > 0):
                raise ValueError(f"delta must be positive, got {delta!r}")
        return list(zip(spectra, *columns, strict=True))

    def check(self) -> None:
        """Raise TypeError or ValueError for a setting out of its range."""
        for _, n_sparse, _, _ in self._terms():
            if isinstance(n_sparse, int) and n_sparse < 1:
                raise ValueError(f"n_sparse must be at least 1, got {n_sparse!r}")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_cached_points"}


def representatives(
    spectrum: Spectrum, frames: Sequence[Atoms], n_sparse: int | Mapping[int, int], method: Literal["fps", "cur"]
) -> dict[int, FloatArray]:
    """Choose environments: normalized features [n_points, n_features] by species of the representation.

    Raises
    ------
    ValueError
        If there are no environments with neighbors to choose from, or as ``orbas.selection.select_environments``.
    """
    from orbas.selection import select_environments

    n_atoms = sum(map(len, frames))
    features: Features = spectrum.transform(list(frames)[:: max(1, -(-n_atoms // _CANDIDATES))])
    norms = np.linalg.norm(features.values, axis=1)
    rows = np.flatnonzero(norms > 0)
    if rows.size == 0:
        raise ValueError("no environment has features to compare: do the atoms have neighbors inside the cutoff?")
    unit = features.values[rows] / norms[rows, None]
    numbers = features.center_numbers[rows]
    chosen = select_environments(unit, numbers, n_sparse, method)
    return {number: unit[chosen[numbers[chosen] == number]] for number in features.species}


def _spread(name: str, value: Any, n_terms: int) -> list[Any]:
    """Return one value for every term."""
    if not isinstance(value, list | tuple):
        return [value] * n_terms
    if len(value) != n_terms:
        raise ValueError(f"{name} has {len(value)} values for {n_terms} representations")
    return list(value)
