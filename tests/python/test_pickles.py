"""Every public object through every protocol of pickle, and through both kinds of copies [kind 18]."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil

import ase.build
import numpy as np
import orbas
import pytest
from orbas import bases, calculators, models, selection

FIXED = models.Fixed(1e-4)


def copper(seed):
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=seed)
    atoms.info["REF_energy"], atoms.arrays["REF_forces"] = 0.1 * seed, np.zeros((4, 3))
    return atoms


FRAMES = [copper(k) for k in range(10)]
POINTS = np.random.default_rng(0).normal(size=(20, 5))


def density():
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0, 0.5),
        density_width=0.5,
        max_angular=2,
        basis=bases.GTO(3),
        scaling=orbas.RadialScaling(1.0, 2.0, 3.0),
        species=[29],
    )


def spectrum():
    return orbas.PowerSpectrum(density())


def linear():
    return models.LinearPotential(spectrum(), regularization=FIXED).fit(FRAMES, forces_key="REF_forces")


def optimal():
    return orbas.OptimalBasis(density(), n_optimal=2).fit(FRAMES)


OBJECTS = {
    "Cutoff": lambda: orbas.Cutoff(4.0),
    "RadialScaling": lambda: orbas.RadialScaling(1.0, 2.0, 3.0),
    "DensityExpansion": lambda: density().fit(FRAMES),
    "EquivariantBlocks": lambda: density().transform(FRAMES),
    "Features": lambda: spectrum().transform(FRAMES, gradients=True),
    "JacobianRows": lambda: next(iter(spectrum().jacobian_rows(FRAMES))),
    "Energies": lambda: spectrum().linear_energies(FRAMES, np.ones((1, 18))),
    "PowerSpectrum": spectrum,
    "RadialSpectrum": lambda: orbas.RadialSpectrum(density()),
    "SelectedPowerSpectrum": lambda: orbas.SelectedPowerSpectrum(density(), [1, 2]),
    "Bispectrum": lambda: orbas.Bispectrum(density()),
    "NICE": lambda: orbas.NICE(density(), 2, n_pairs=5, n_components=[2], n_invariants=5).fit(FRAMES),
    "OptimalBasis": optimal,
    "ContractedBasis": lambda: optimal().expansion_,
    "PCovRBasis": lambda: orbas.PCovRBasis(density(), n_optimal=2).fit(FRAMES),
    "SkinList": lambda: orbas.SkinList(0.7),
    "GTO": lambda: bases.GTO(3),
    "DVR": lambda: bases.DVR(8),
    "LaplacianEigenstates": lambda: bases.LaplacianEigenstates(3),
    "RadialIntegrals": lambda: bases.GTO(3).integrals(
        np.linspace(0.0, 4.0, 5), max_angular=1, cutoff_radius=4.0, density_width=0.5
    ),
    "LinearPotential": linear,
    "SparseGPR": lambda: models.SparseGPR(spectrum(), n_sparse=5, regularization=FIXED).fit(FRAMES),
    "Prediction": lambda: linear().predict(FRAMES, uncertainty=True),
    "Score": lambda: linear().score(FRAMES),
    "CompositionBaseline": lambda: linear().baseline_,
    "Posterior": lambda: linear().posterior_,
    "reach": lambda: linear().reach_,
    "Ridge": lambda: models.Ridge(np.eye(4)),
    "RidgeRegressor": lambda: models.RidgeRegressor().fit(POINTS, POINTS[:, 0]),
    "PerStructure": lambda: models.PerStructure(spectrum()),
    "StructureFeatures": lambda: models.structure_features(spectrum(), FRAMES),
    "Noise": lambda: models.Noise(by_config={"bulk": models.Noise()}),
    "rules": lambda: [models.KFold(), models.LeaveOneOut(), models.HoldOut(3), models.Evidence(), FIXED],
    "FPS": lambda: selection.FPS(3).fit(POINTS),
    "CUR": lambda: selection.CUR(3).fit(POINTS),
    "OrbasCalculator": lambda: linear().calculator(),
    "UnknownSpeciesError": lambda: orbas.UnknownSpeciesError("x"),
    "InternalError": lambda: orbas.InternalError("x"),
    "LabelError": lambda: orbas.LabelError("x"),
    "NotFittedError": lambda: orbas.NotFittedError("x"),
    "SettingsError": lambda: orbas.SettingsError("x"),
    "ModelFileError": lambda: orbas.ModelFileError("x"),
    "ExtrapolationError": lambda: calculators.ExtrapolationError("x"),
    "ExtrapolationWarning": lambda: calculators.ExtrapolationWarning("x"),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_every_public_object_through_every_protocol(name):
    given = OBJECTS[name]()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(given, protocol))
        assert type(again) is type(given)
        if not isinstance(given, calculators.OrbasCalculator):
            assert type(again).__repr__ is object.__repr__ or repr(again) == repr(given)
    assert type(copy.copy(given)) is type(copy.deepcopy(given)) is type(given)


def test_what_is_fitted_says_the_same():
    model = linear()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(model, protocol))
        assert np.array_equal(again.predict(FRAMES).energies, model.predict(FRAMES).energies)
    assert pickle.loads(pickle.dumps(orbas.SkinList(0.7), 0)).skin == 0.7


def test_no_class_has_slots_that_old_protocols_cannot_write():
    """Frozen dataclasses with slots can; of others the old protocols say nothing but TypeError."""
    for module in pkgutil.walk_packages(orbas.__path__, "orbas."):
        if module.name.endswith(("__main__", "plots")):
            continue
        for name, found in vars(importlib.import_module(module.name)).items():
            if not inspect.isclass(found) or found.__module__ != module.name:
                continue
            slots = any(vars(base).get("__slots__") for base in found.__mro__)
            written = found.__getstate__ is not object.__getstate__ or found.__reduce__ is not object.__reduce__
            assert not slots or written, f"{module.name}.{name}"
