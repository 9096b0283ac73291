"""What the demonstration computes: how compact each basis is, and how well a linear model does on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.bases import GTO
from orbas.density.expansion import DensityExpansion
from orbas.density.weight import Cutoff, RadialScaling
from orbas.fit.labels import energies_of
from orbas.invariants.spectra import PowerSpectrum
from orbas.models import CompositionBaseline, LinearPotential
from orbas.optimal.basis import OptimalBasis
from orbas.plots import ResidualCurve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray
    from orbas.optimal.fitted_basis import Mixing

SPECIES = (1, 6, 7, 8, 9)
CARBON = 6
LARGEST = 20
THRESHOLDS = (1e-2, 1e-3, 1e-4)
TARGET = "U0"
KCAL_PER_MOL = 0.0433641
"""eV."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers of molecules: to fit bases on, to train on, to test on."""

    fit: int
    train: int
    test: int


FULL = Scale(fit=500, train=1500, test=500)
QUICK = Scale(fit=50, train=200, test=100)


@dataclass(frozen=True, slots=True)
class ModelResult:
    """A linear model on one basis: its errors of test molecules in kcal/mol."""

    name: str
    n_channels: int
    n_features: int
    mae: float
    alpha: float


@dataclass(frozen=True, slots=True)
class EnergyStudy:
    """Errors of the composition baseline and of the models, in kcal/mol, and the optimal basis that was used."""

    baseline_mae: float
    models: list[ModelResult]
    basis: OptimalBasis


def coefficient_density(n_radial: int) -> DensityExpansion:
    """Return the density of Fig. 2 on a primitive GTO basis."""
    return DensityExpansion(
        cutoff=Cutoff(3.5, width=0.5), density_width=0.3, max_angular=5, basis=GTO(n_radial), species=SPECIES
    )


def model_density(n_radial: int) -> DensityExpansion:
    """Return the density of the energy model: further out, with a scaling that looks less at far atoms."""
    return DensityExpansion(
        cutoff=Cutoff(5.0, width=0.5),
        density_width=0.3,
        max_angular=5,
        basis=GTO(n_radial),
        scaling=RadialScaling(rate=1.0, scale=2.0, exponent=7.0),
        species=SPECIES,
    )


def residual_variances(frames: Sequence[Atoms], tick: Callable[[], Any]) -> list[ResidualCurve]:
    """Residual variance of the density of C atoms in bases of all kinds (Fig. 2): the primitive one, then optimal ones.

    Parameters
    ----------
    frames
        Molecules to fit on and to judge by.
    tick
        Called after each of the ``LARGEST + 4`` steps.
    """
    curves = [_primitive_curve(frames, tick)]
    mixings: tuple[Mixing, ...] = ("separate", "combined")
    for mixing in mixings:
        fits = []
        for per_center in (False, True):
            everything = LARGEST * (len(SPECIES) if mixing == "combined" else 1)
            basis = OptimalBasis(coefficient_density(LARGEST), everything, mixing=mixing, per_center=per_center)
            fits.append(basis.fit(frames))
            tick()
        shared, specific = fits
        color, name = ("C0", "optimal, one species at a time") if mixing == "separate" else ("C3", "optimal, mixed")
        step = len(SPECIES) if mixing == "separate" else 1
        for label, residual, dashed in (
            (f"{name}, for all centers", residual_at(shared, specific, CARBON), False),
            (f"{name}, for C centers", specific.residual_variance_[CARBON], True),
        ):
            curves.append(ResidualCurve(label, step * np.arange(1, residual.size + 1), residual, color, dashed))
    return curves


def residual_at(shared: OptimalBasis, specific: OptimalBasis, center: int) -> FloatArray:
    """Residual variance of one kind of center on the functions that all centers share, q = 1, 2, ...

    ``1 - sum_l tr(U_l^T C_l U_l) / sum_l tr C_l`` with ``C_l`` the covariance of that center.

    Parameters
    ----------
    shared, specific
        Fits of the same structures with the same mixing and all functions kept, the second ``per_center``: its
        eigenpairs are the covariance.
    center
        Atomic number.
    """
    kept = np.zeros(max(values.size for values in _groups(shared, shared.eigenvalues_)))
    total = 0.0
    for shared_vectors, vectors, values in zip(
        _groups(shared, shared.contraction_),
        _groups(specific, specific.contraction_[center]),
        _groups(specific, specific.eigenvalues_[center]),
        strict=True,
    ):
        kept[: values.size] += values @ (vectors.T @ shared_vectors) ** 2
        total += values.sum()
    residual: FloatArray = np.maximum(1.0 - np.cumsum(kept) / total, 0.0)
    return residual


def _groups(basis: OptimalBasis, by_degree: Any) -> list[FloatArray]:
    """Return the arrays of all degrees and, when separate, of all neighbor species, in one list."""
    return list(by_degree) if basis.mixing == "combined" else [array for groups in by_degree for array in groups]


def _primitive_curve(frames: Sequence[Atoms], tick: Callable[[], Any]) -> ResidualCurve:
    """Compare traces: small GTO sets are not contained in the large one, so that nothing can be projected."""
    variances = []
    for n_radial in range(1, LARGEST + 1):
        blocks = coefficient_density(n_radial).transform(frames)
        variances.append(sum(np.vdot(b.values, b.values) for key, b in blocks.items() if key.center_species == CARBON))
        tick()
    captured = np.array(variances)
    residual = np.maximum(1.0 - captured / captured[-1], 0.0)
    return ResidualCurve("GTO, primitive", len(SPECIES) * np.arange(1, LARGEST + 1), residual, "black")


def channels_needed(curve: ResidualCurve, threshold: float) -> int | None:
    """Return the fewest radial channels with a residual variance below a threshold; None if there are too few."""
    below = np.flatnonzero(curve.residual < threshold)
    return int(curve.channels[below[0]]) if below.size else None


def energy_models(train: Sequence[Atoms], test: Sequence[Atoms], *, progress: bool) -> EnergyStudy:
    """Train linear models of U0 on power spectra of 5 channels; nothing, the basis included, sees test molecules."""
    truth = energies_of(test, TARGET)
    baseline = CompositionBaseline().fit(train, energies_of(train, TARGET))
    basis = OptimalBasis(model_density(12), n_optimal=len(SPECIES)).fit(train)
    models = [
        _trained("GTO, one function per species", model_density(1), train, test, progress=progress),
        _trained("optimal, mixed", basis.expansion_, train, test, progress=progress),
    ]
    error = float(np.mean(np.abs(baseline.predict(test) - truth)))
    return EnergyStudy(error / KCAL_PER_MOL, models, basis)


def _trained(
    name: str, density: DensityExpansion, train: Sequence[Atoms], test: Sequence[Atoms], *, progress: bool
) -> ModelResult:
    model = LinearPotential(PowerSpectrum(density), regularization="cv", progress=progress)
    score = model.fit(train, TARGET).score(test, TARGET)
    n_channels = density.channel_counts(SPECIES)[0][0]
    n_features = len(model.weights_) // len(SPECIES)
    assert score.mae is not None  # all energies are known
    return ModelResult(name, n_channels, n_features, score.mae / KCAL_PER_MOL, model.alpha_)
