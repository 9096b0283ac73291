"""What of a potential is checked when it was read from a file; each model adds its own part."""

from __future__ import annotations

from typing import Any

import numpy as np

from orbas.files.stored import check_vector, is_integer, is_number
from orbas.fit.baseline import CompositionBaseline
from orbas.fit.coverage import Coverage
from orbas.fit.noise import Noise
from orbas.fit.posterior import Posterior
from orbas.fit.reach import Reach
from orbas.fit.regularization import resolve_regularization
from orbas.structures.species import check_rising

#: What every fit leaves, and what only some do: attributes in files.
FITTED = ("baseline_", "species_", "weights_", "alpha_", "scale_", "alphas_", "cv_errors_", "posterior_")
OPTIONAL = ("imprints_", "reach_", "noise_", "coverage_")


def check_fit(potential: Any, n_columns: int) -> None:
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


def _check_potential(potential: Any) -> None:
    """Check what every potential has."""
    if not isinstance(potential.baseline_, CompositionBaseline) or potential.baseline_._record is None:
        raise TypeError("baseline_ is not a fitted baseline")
    check_rising("species_", potential.species_)
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
