"""Integers of numpy are integers wherever one is asked for, of any width [kind 18]."""

from __future__ import annotations

import ase.build
import numpy as np
import orbas
import pytest
from orbas import bases, models, selection

POINTS = np.random.default_rng(0).normal(size=(30, 6))
FIXED = models.Fixed(1e-3)


def copper(seed):
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=seed)
    atoms.info["REF_energy"] = 0.1 * seed
    return atoms


FRAMES = [copper(k) for k in range(8)]


def density(kind, **options):
    settings = {"max_angular": kind(2), "basis": bases.GTO(kind(3)), "species": np.array([29], dtype=kind), **options}
    return orbas.DensityExpansion(cutoff=orbas.Cutoff(kind(4), kind(1)), density_width=0.5, **settings)


def spectrum(kind):
    return orbas.PowerSpectrum(density(kind))


CALLS = {
    "density": lambda kind: density(kind).transform(FRAMES)[kind(1), kind(0), kind(1), kind(29)].values,
    "DVR": lambda kind: density(kind, basis=bases.DVR(kind(8))).transform(FRAMES)[1, 2, 1, 29].values,
    "Laplacian": lambda kind: bases.LaplacianEigenstates(kind(3)).counts(kind(4)),
    "harmonics": lambda kind: orbas.spherical_harmonics(POINTS[:, :3], max_angular=kind(3)),
    "Clebsch-Gordan": lambda kind: orbas.clebsch_gordan(kind(1), kind(2), kind(2)),
    "optimal": lambda kind: orbas.OptimalBasis(density(kind), n_optimal=kind(2)).fit(FRAMES).covariance(kind(1)),
    "optimal, list": lambda kind: orbas.OptimalBasis(density(kind), n_optimal=[kind(2), kind(1), kind(1)]).fit(FRAMES),
    "PCovR": lambda kind: orbas.PCovRBasis(density(kind), n_optimal=kind(2)).fit(FRAMES),
    "NICE": lambda kind: orbas.NICE(
        density(kind), kind(3), n_pairs=kind(5), n_components=kind(2), n_invariants=kind(5), n_purify=kind(1)
    ).fit_transform(FRAMES),
    "selected": lambda kind: orbas.SelectedPowerSpectrum(density(kind), np.array([1, 2], dtype=kind)).transform(FRAMES),
    "sparse": lambda kind: models.SparseGPR(
        spectrum(kind), n_sparse={kind(29): kind(5)}, zeta=kind(2), regularization=FIXED, chunk=kind(100)
    ).fit(FRAMES),
    "linear": lambda kind: models.LinearPotential(
        spectrum(kind), baseline={kind(29): 0.1}, regularization=models.KFold(kind(3), seed=kind(1))
    ).fit(FRAMES),
    "FPS": lambda kind: selection.FPS(kind(3), start=kind(1)).fit(POINTS).selected_idx_,
    "CUR": lambda kind: selection.CUR(kind(3)).fit(POINTS).selected_idx_,
    "environments": lambda kind: selection.select_environments(POINTS, np.full(30, 29, dtype=kind), kind(3)),
    "lfre": lambda kind: orbas.metrics.lfre(POINTS[:, :2], POINTS, kind(6), seed=kind(1)),
}


def plain(value):
    """What can be compared of a result."""
    if isinstance(value, models.LinearPotential | models.SparseGPR):
        return value.weights_
    if isinstance(value, orbas.OptimalBasis | orbas.PCovRBasis):
        return value.transform(FRAMES)[1, 1, 1, 29].values if hasattr(value, "transform") else value.n_environments_
    return value.values if isinstance(value, orbas.Features) else value


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64, np.intp], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", CALLS)
def test_integers_of_numpy_are_integers(name, kind):
    given, expected = plain(CALLS[name](kind)), plain(CALLS[name](int))
    for one, other in zip(np.atleast_1d(given), np.atleast_1d(expected), strict=True):
        assert np.array_equal(one, other)
