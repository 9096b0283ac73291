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


#: Numbers without axes, as ``np.load`` gives them back.
HELD = {
    "density": lambda held: density(
        int, max_angular=held(2), center_weight=held(1.0), scaling=orbas.RadialScaling(held(1.0), held(2.0), held(4))
    ).transform(FRAMES),
    "cutoff": lambda held: orbas.Cutoff(held(4.0), held(1)),
    "optimal": lambda held: orbas.OptimalBasis(density(int), n_optimal=held(2), per_center=held(False)).fit(FRAMES),
    "sparse": lambda held: models.SparseGPR(
        spectrum(int), n_sparse=held(5), zeta=held(2), delta=held(1.5), regularization=FIXED, chunk=held(100)
    ).fit(FRAMES),
    "linear": lambda held: models.LinearPotential(
        spectrum(int), regularization=models.Fixed(held(1e-3)), noise=models.Noise(energy=held(0.1))
    ).fit(FRAMES),
    "calculator": lambda held: (
        models.LinearPotential(spectrum(int), regularization=FIXED)
        .fit(FRAMES)
        .calculator(skin=held(0.5), check_every=held(3))
        .parameters
    ),
    "FPS": lambda held: selection.FPS(held(3)).fit(POINTS).selected_idx_,
}


@pytest.mark.parametrize("call", HELD.values(), ids=HELD)
def test_an_array_without_axes_is_the_number_in_it(tmp_path, call):
    held, expected = call(np.array), call(lambda number: number)
    if not hasattr(held, "predict"):
        assert str(held) == str(expected) or type(held) is orbas.OptimalBasis
        return
    held.save(tmp_path / "m.orbas")
    for model in (held, orbas.load(tmp_path / "m.orbas")):
        np.testing.assert_array_equal(model.predict(FRAMES).energies, expected.predict(FRAMES).energies)


@pytest.mark.parametrize("wrong", [np.array([5.0]), np.array("5"), np.array(True), np.array(np.nan), np.array(None)])
def test_other_arrays_are_no_number(wrong):
    with pytest.raises(orbas.errors.SettingsError):
        orbas.Cutoff(wrong)
    with pytest.raises(orbas.errors.SettingsError):
        bases.GTO(wrong)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int8, np.int32, np.uint8, np.uint32, np.float64])
def test_lists_of_settings_of_any_width_can_be_saved(tmp_path, kind):
    representations = [spectrum(int), orbas.RadialSpectrum(density(int))]
    settings = {"delta": np.array([2, 1], dtype=kind), "regularization": FIXED}
    if np.issubdtype(kind, np.integer):
        settings["zeta"] = settings["n_sparse"] = np.array([4, 2], dtype=kind)
    model = models.SparseGPR(representations, **{"n_sparse": 4, "zeta": 2, **settings}).fit(FRAMES)
    model.save(tmp_path / "m.orbas")
    read = orbas.load(tmp_path / "m.orbas")
    np.testing.assert_array_equal(read.predict(FRAMES).energies, model.predict(FRAMES).energies)
