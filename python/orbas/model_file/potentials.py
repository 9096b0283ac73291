"""How models are written, and what is checked when they are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from orbas.model_file.encoding import estimator_codec, is_integer, is_number, record_codec
from orbas.model_file.representations import check_species, n_features
from orbas.models import CompositionBaseline, Fixed, HoldOut, KFold, LeaveOneOut, LinearPotential
from orbas.models.regularization import resolve_regularization


def _check_baseline(baseline: CompositionBaseline) -> None:
    for energies in (baseline.energies, vars(baseline).get("energies_")):
        if energies is not None and not (isinstance(energies, dict) and all(map(is_number, energies.values()))):
            raise TypeError(f"baseline energies must be a dict of numbers, got {energies!r}")
    if "energies_" in vars(baseline):
        check_species("the species of energies_", tuple(baseline.energies_))


def _check_potential(potential: Any) -> None:
    """Check what every potential has."""
    if not isinstance(potential.baseline_, CompositionBaseline) or "energies_" not in vars(potential.baseline_):
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


def _check_linear(potential: LinearPotential) -> None:
    if "weights_" not in vars(potential):
        return
    _check_potential(potential)
    species = potential.feature_species_
    check_species("feature_species_", species)
    if not set(potential.species_) <= set(species):
        raise ValueError(f"the species {potential.species_} are not among those of the weights, {species}")
    check_vector("weights_", potential.weights_, len(species) * n_features(potential.representation, species))


_LINEAR = ("baseline_", "species_", "feature_species_", "weights_", "alpha_", "scale_", "alphas_", "cv_errors_")

CODECS = (
    estimator_codec(CompositionBaseline, ("energies_",), check=_check_baseline),
    record_codec(LeaveOneOut),
    record_codec(KFold),
    record_codec(HoldOut),
    record_codec(Fixed),
    estimator_codec(LinearPotential, _LINEAR, check=_check_linear),
)
