"""How models are written, and what is checked when they are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from orbas.files.encoding import estimator_codec, is_integer, is_number, record_codec, register_codecs
from orbas.fit.baseline import BaselineRecord, CompositionBaseline
from orbas.fit.coverage import Coverage
from orbas.fit.noise import Noise
from orbas.fit.posterior import Posterior
from orbas.fit.reach import Reach
from orbas.fit.regularization import Evidence, Fixed, HoldOut, KFold, LeaveOneOut, resolve_regularization
from orbas.invariants.spectra import Spectrum
from orbas.models.kernel import KernelDesign, KernelTerm
from orbas.models.linear import LinearPotential, LinearRecord
from orbas.models.representation_codecs import check_species, n_features
from orbas.models.sparse import SparseGPR, SparseRecord


def _check_baseline(baseline: CompositionBaseline) -> None:
    fitted, binding = (None, None) if baseline._record is None else (baseline.energies_, baseline.binding_)
    for energies in (baseline.energies, fitted, binding):
        if energies is not None and not (isinstance(energies, dict) and all(map(is_number, energies.values()))):
            raise TypeError(f"baseline energies must be a dict of numbers, got {energies!r}")
    if fitted is not None:
        check_species("the species of energies_", tuple(fitted))
        if not set(baseline.binding_) <= set(fitted):
            raise ValueError(f"binding_ is of the species {list(baseline.binding_)}, energies_ of {list(fitted)}")


def _check_potential(potential: Any) -> None:
    """Check what every potential has."""
    if not isinstance(potential.baseline_, CompositionBaseline) or potential.baseline_._record is None:
        raise TypeError("baseline_ is not a fitted baseline")
    check_species("species_", potential.species_)
    unknown = set(potential.species_) - set(potential.baseline_.energies_)
    if unknown:
        raise ValueError(f"baseline_ has no energy for the species {sorted(unknown)}")
    resolve_regularization(potential.regularization)
    if not is_integer(potential.chunk) or potential.chunk < 1 or not isinstance(potential.progress, bool):
        raise ValueError("chunk must be a positive integer, progress true or false")
    if not isinstance(potential.baseline, dict) and potential.baseline != "composition":
        raise ValueError(f"unknown baseline {potential.baseline!r}")
    if not all(is_number(value) and value > 0 for value in (potential.alpha_, potential.scale_)):
        raise ValueError("alpha_ and scale_ must be positive numbers")
    check_vector("alphas_", potential.alphas_, potential.alphas_.size)
    check_vector("cv_errors_", potential.cv_errors_, potential.alphas_.size)


def check_vector(name: str, array: Any, size: int) -> None:
    """Raise unless it is a float64 array of the shape [size]."""
    if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.shape != (size,):
        shape = getattr(array, "shape", None)
        raise ValueError(f"{name} must be float64 of the shape {(size,)}, got the shape {shape}")


def _check_fit(potential: Any, n_columns: int) -> None:
    """Check what a fit with that many weights leaves behind."""
    _check_potential(potential)
    check_vector("weights_", potential.weights_, n_columns)
    posterior = potential.posterior_
    if not isinstance(posterior, Posterior) or posterior.directions.shape[0] != n_columns:
        raise ValueError(f"posterior_ does not belong to {n_columns} weights")
    imprints = potential.imprints_
    if not isinstance(imprints, np.ndarray) or imprints.dtype != np.int64 or imprints.shape != (len(imprints), 4):
        raise TypeError("imprints_ must be int64 of four columns")
    reach = potential.reach_
    if not isinstance(reach, dict) or not all(isinstance(one, Reach) for one in reach.values()):
        raise TypeError("reach_ must be a dict with the reach of every species")
    if any(one.environments.directions.shape[0] != n_columns for one in reach.values()):
        raise ValueError(f"reach_ does not belong to {n_columns} weights")
    coverage = potential.coverage_
    if coverage is not None and (not isinstance(coverage, Coverage) or coverage.species != potential.species_):
        raise ValueError("coverage_ is not of the species of the model")
    if potential.noise_ is not None and not isinstance(potential.noise_, Noise):
        raise TypeError("noise_ must be a Noise")
    if reach and set(reach) != set(potential.species_):
        raise ValueError(f"reach_ is of the species {sorted(reach)}, not of {list(potential.species_)}")


def _check_linear(potential: LinearPotential) -> None:
    if potential._record is None:
        return
    species = potential.feature_species_
    check_species("feature_species_", species)
    _check_fit(potential, len(species) * n_features(potential.representation_, species))
    if not set(potential.species_) <= set(species):
        raise ValueError(f"the species {potential.species_} are not among those of the weights, {species}")


def _check_posterior(posterior: Posterior) -> None:
    directions, singular = posterior.directions, posterior.singular_values
    if not isinstance(directions, np.ndarray) or directions.dtype != np.float64 or directions.ndim != 2:
        raise TypeError("directions must be a float64 array of two axes")
    check_vector("singular_values", singular, directions.shape[1])
    if not (is_number(posterior.alpha) and posterior.alpha > 0 and is_number(posterior.noise) and posterior.noise >= 0):
        raise ValueError("alpha must be positive, noise not negative")


def _check_reach(reach: Reach) -> None:
    if not isinstance(reach.environments, Posterior) or not (is_number(reach.largest) and reach.largest >= 0):
        raise TypeError("a reach needs environments, and a largest leverage that is not negative")


def _check_coverage(coverage: Coverage) -> None:
    check_species("the species of a coverage", coverage.species)
    for counts in (coverage.environments, coverage.lonely):
        if len(counts) != len(coverage.species) or not all(is_integer(count) and count >= 0 for count in counts):
            raise ValueError("a coverage counts environments of every species")
    rows = coverage.compositions
    if not isinstance(rows, np.ndarray) or rows.dtype != np.float64 or rows.shape[1:] != (len(coverage.species),):
        raise ValueError(f"compositions must be float64 of {len(coverage.species)} columns")
    if coverage.cutoff is not None and not (is_number(coverage.cutoff) and coverage.cutoff > 0):
        raise ValueError(f"the cutoff must be a positive number, got {coverage.cutoff!r}")


def _check_term(term: KernelTerm) -> None:
    if not isinstance(term.spectrum, Spectrum) or not is_integer(term.zeta) or not 1 <= term.zeta <= 64:
        raise TypeError("a kernel needs a spectrum and an integer zeta in 1..64")
    if not (is_number(term.delta) and term.delta > 0):
        raise ValueError(f"delta must be positive, got {term.delta!r}")
    if not isinstance(term.points, dict) or not isinstance(term.roots, dict) or list(term.points) != list(term.roots):
        raise TypeError("points and roots must be dicts of the same species")
    check_species("the species of points", tuple(term.points))
    width = n_features(term.spectrum, tuple(term.points))
    for number, points in term.points.items():
        root = term.roots[number]
        for array in (points, root):
            if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.ndim != 2:
                raise TypeError(f"points and roots of species {number} must be float64 arrays of two axes")
        if points.shape[1] != width or root.shape[0] != points.shape[0]:
            raise ValueError(f"points {points.shape} and roots {root.shape} of species {number}: {width} features")
        floor = term.floors.get(number, 0.0)
        if not (is_number(floor) and floor >= 0):
            raise ValueError(f"the floor of species {number} must be a number >= 0, got {floor!r}")
        if not np.allclose(np.linalg.norm(points, axis=1), 1.0, rtol=0, atol=1e-8):
            raise ValueError(f"points of species {number} are not normalized")


def _check_design(design: KernelDesign) -> None:
    if not isinstance(design.terms, tuple) or not all(isinstance(term, KernelTerm) for term in design.terms):
        raise TypeError("terms must be a tuple of kernels")


def _check_sparse(potential: SparseGPR) -> None:
    if potential._record is None:
        return
    if not isinstance(potential.design_, KernelDesign):
        raise TypeError("design_ is not one of kernels")
    _check_fit(potential, potential.design_.n_columns)
    for term in potential.design_.terms:
        if not set(potential.species_) <= set(term.points):
            raise ValueError(f"the species {potential.species_} are not among those of a kernel, {list(term.points)}")


_FIT = ("baseline_", "species_", "weights_", "alpha_", "scale_", "alphas_", "cv_errors_", "posterior_")

CODECS = (
    estimator_codec(
        CompositionBaseline, ("energies_",), optional=("binding_",), record=BaselineRecord, check=_check_baseline
    ),
    record_codec(LeaveOneOut),
    record_codec(KFold),
    record_codec(HoldOut),
    record_codec(Evidence),
    record_codec(Fixed),
    record_codec(Noise),
    record_codec(Posterior, _check_posterior),
    record_codec(Reach, _check_reach),
    record_codec(Coverage, _check_coverage),
    record_codec(KernelTerm, _check_term),
    record_codec(KernelDesign, _check_design),
    estimator_codec(
        LinearPotential,
        (*_FIT, "feature_species_"),
        optional=("imprints_", "reach_", "noise_", "coverage_"),
        record=LinearRecord,
        check=_check_linear,
    ),
    estimator_codec(
        SparseGPR,
        (*_FIT, "design_"),
        optional=("imprints_", "reach_", "noise_", "coverage_"),
        record=SparseRecord,
        check=_check_sparse,
    ),
)

register_codecs(lambda: CODECS)
