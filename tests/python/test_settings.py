"""Every setting of every class is checked by type and range, in Python, TOML and flags, and told in the help."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pickle
import pkgutil
from fractions import Fraction

import numpy as np
import orbas
import pytest
from ase import Atoms
from orbas import bases, models, selection
from orbas.base import kinds
from orbas.base.estimator import Estimator
from orbas.base.fields import SettingsError, check_settings, setting_of
from orbas.fit.regularization import Groups
from orbas.models.recommend import Search
from orbas.structures.species import BySpecies, SpeciesList

NAN, INF = float("nan"), float("inf")
FRAMES = [Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.8 + 0.05 * k]], info={"REF_energy": -1.0 - k}) for k in range(6)]
MATRIX = np.random.default_rng(0).normal(size=(12, 6))


def density(**changes):
    given = {"cutoff": orbas.Cutoff(2.5), "density_width": 0.4, "max_angular": 1, "basis": bases.GTO(2)}
    return orbas.DensityExpansion(**{**given, **changes})


def fits(estimator):
    return estimator.fit(FRAMES)


#: What a class is made of, and what begins to work with it.
CLASSES = {
    orbas.Cutoff: ({"radius": 4.0}, None),
    orbas.RadialScaling: ({"rate": 1.0, "scale": 2.0, "exponent": 4.0}, None),
    bases.GTO: ({"n_radial": 2}, None),
    bases.DVR: ({"n_radial": 2}, None),
    bases.LaplacianEigenstates: ({"n_radial": 2}, None),
    bases.Custom: ({"functions": [np.cos]}, None),
    models.Noise: ({}, None),
    models.KFold: ({}, None),
    models.LeaveOneOut: ({}, None),
    models.HoldOut: ({}, None),
    models.Evidence: ({}, None),
    models.Fixed: ({"alpha": 1e-6}, None),
    Search: ({}, None),
    orbas.DensityExpansion: (vars(density()), fits),
    orbas.OptimalBasis: ({"density": density(), "n_optimal": 1}, fits),
    orbas.PCovRBasis: ({"density": density(), "n_optimal": 1}, fits),
    orbas.PowerSpectrum: ({"density": density()}, fits),
    orbas.RadialSpectrum: ({"density": density()}, fits),
    orbas.SelectedPowerSpectrum: ({"density": density(), "selection": [0]}, fits),
    orbas.Bispectrum: ({"density": density()}, fits),
    orbas.NICE: ({"density": density(), "nu_max": 2}, fits),
    models.CompositionBaseline: ({}, lambda baseline: baseline.fit(FRAMES, np.zeros(6))),
    models.LinearPotential: ({"representation": orbas.PowerSpectrum(density())}, fits),
    models.SparseGPR: ({"representation": orbas.PowerSpectrum(density()), "n_sparse": 2}, fits),
    models.RidgeRegressor: ({}, lambda ridge: ridge.fit(MATRIX, MATRIX[:, 0])),
    models.PerStructure: ({"representation": orbas.PowerSpectrum(density())}, fits),
    selection.FPS: ({"n": 2}, lambda fps: fps.fit(MATRIX)),
    selection.CUR: ({"n": 2}, lambda cur: cur.fit(MATRIX)),
}
SETTINGS = [(cls, field) for cls in CLASSES for field in dataclasses.fields(cls) if setting_of(field) is not None]


def wrong_values(kind):
    """Values that a kind must refuse."""
    match kind:
        case kinds.Number(least=least, most=most):
            beyond = [np.nextafter(least, -INF), np.nextafter(most, INF), least - 1e6, 1e200, -1e200]
            return [True, np.True_, "1", "1_0", "nan", b"1", None, NAN, INF, -INF, 10**400, [1.0], 1j, {}, *beyond]
        case kinds.Integer(least=least, most=most):
            beyond = [least - 1, most + 1, 10**400, -(10**400)]
            return [True, np.False_, 3.0, np.float64(3), "3", None, NAN, INF, [3], 2.5, Fraction(3), *beyond]
        case kinds.Switch():
            return ["no", "true", 0, 1, 0.5, None, [True], NAN]
        case kinds.Choice(names=names):
            return [names[0] + "x", names[0].encode(), 1, True, None, "", [names[0]]]
        case kinds.Maybe(inner=inner):
            return [value for value in wrong_values(inner) if value is not None]
        case kinds.Each(inner=inner):
            single = [value for value in wrong_values(inner) if not isinstance(value, list)]
            return [*single, *([value] for value in single), {1, "x"}]
        case kinds.ListOf(inner=inner):
            return [(), [], "12", 3, None, {}, *([value] for value in wrong_values(inner))]
        case kinds.OneOf(kinds=several):
            refused = [wrong_values(one) for one in several]
            return [value for value in refused[0] if any(value is other for other in refused[1]) or value is None]
        case SpeciesList():
            return [[], "Si", 14, [14.0], [True], ["si"], ["Xx"], [300], [-1], [None], {}, [NAN]]
        case BySpecies(inner=inner):
            good = 1 if isinstance(inner, kinds.Integer) else 1.0
            keys = [{key: good} for key in ("si", "", 14.5, True, 300, None, NAN)]
            return [{}, [], "Si", 3, {"Si": good, 14: good}, *keys, *({"Si": value} for value in wrong_values(inner))]
        case Groups():
            return ["", 3, None, True, {}, b"config_type", NAN]
        case kinds.Tables():
            return ["x", 3, None, {"a": 3}, {3: models.Noise()}, {"a": {"energy": 1}}, [models.Noise()]]
        case kinds.Instance() | kinds.Having():
            return ["x", 3, None, True, NAN, [], object, {}]
    raise AssertionError(f"no wrong values for {kind!r}")


@pytest.mark.parametrize(
    ("cls", "field"), SETTINGS, ids=lambda item: getattr(item, "__name__", getattr(item, "name", ""))
)
def test_wrong_values_are_refused(cls, field):
    good, use = CLASSES[cls]
    for value in wrong_values(setting_of(field).kind):
        given = {**good, field.name: value}
        if field.name in ("n_optimal", "residual") and value is None:
            continue
        with pytest.raises(SettingsError) as caught:
            (use or (lambda made: None))(cls(**given))
        message = str(caught.value)
        assert message.startswith(f"{cls.__name__}.{field.name} must be "), message
        assert len(message) < 500
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, TypeError)


def estimators(cls=Estimator):
    for subclass in cls.__subclasses__():
        if not subclass.__name__.startswith("_") and subclass.__module__.startswith("orbas."):
            yield subclass
        yield from estimators(subclass)


def test_no_class_and_no_parameter_is_left_out():
    for module in pkgutil.walk_packages(orbas.__path__, "orbas."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    public = {cls for cls in estimators() if dataclasses.is_dataclass(cls) and "fit" in dir(cls)}
    parts = {orbas.invariants.spectra.Spectrum, models.Potential, *(cls for cls in public if inspect.isabstract(cls))}
    assert public - parts <= set(CLASSES)
    for cls in CLASSES:
        known = {field.name for field in dataclasses.fields(cls) if setting_of(field) is not None}
        assert set(inspect.signature(cls).parameters) - {"functions"} == known, cls
    helps = [setting_of(field).help for _, field in SETTINGS]
    assert all(helps)
    assert all(len(text) <= 60 for text in helps)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_defaults_and_numbers_of_numpy_are_accepted(cls):
    good, _ = CLASSES[cls]
    of_numpy = {name: np.int64(value) if type(value) is int else value for name, value in good.items()}
    of_numpy = {name: np.float64(value) if type(value) is float else value for name, value in of_numpy.items()}
    made = cls(**of_numpy)
    check_settings(made)
    if cls.__dataclass_params__.frozen:
        assert made == cls(**good)
        assert all(type(getattr(made, name)) in (int, float) for name in of_numpy if name != "functions")


def test_an_error_of_settings_can_be_pickled():
    with pytest.raises(SettingsError) as caught:
        orbas.Cutoff(True)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (SettingsError, str(caught.value))
    assert orbas.SettingsError is SettingsError


def test_a_parameter_that_nobody_has():
    with pytest.raises(ValueError, match=r"no parameter 'max_angluar': did you mean 'max_angular'\?"):
        density().set_params(max_angluar=3)


def test_names_of_modules_and_kinds_of_structures_too():
    with pytest.raises(AttributeError, match=r"no attribute 'PowrSpectrum': did you mean 'PowerSpectrum'\?"):
        orbas.PowrSpectrum  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'qm8': did you mean 'qm9'\?"):
        orbas.datasets.qm8  # noqa: B018
    frames = [atoms.copy() for atoms in FRAMES]
    for atoms in frames:
        atoms.info["config_type"] = "slab"
    noise = models.Noise(by_config={"Slab": models.Noise(0.1)})
    for model in (
        models.LinearPotential(orbas.PowerSpectrum(density()), noise=noise, regularization=models.Fixed(1e-6)),
        orbas.PCovRBasis(density(), 1, noise=noise, regularization=models.Fixed(1e-6)),
    ):
        with pytest.raises(SettingsError, match=r"no structure has the config_type 'Slab': did you mean 'slab'\?"):
            model.fit(frames)
    assert noise.among(frames) == models.Noise()


@pytest.mark.parametrize(
    ("rate", "scale", "exponent"),
    [(0.0, 1e6, 100.0), (0.0, 1e-6, 100.0), (1.0, 1e-6, 100.0), (1e-300, 2.0, 4.0), (0.0, 1e4, 8.0)],
)
def test_a_scaling_leaves_neighbors_a_weight(rate, scale, exponent):
    with pytest.raises(SettingsError, match="RadialScaling gives a neighbor at 1 Å a weight of about 1e"):
        orbas.RadialScaling(rate, scale, exponent)
    orbas.RadialScaling(1.0, 1e6, 100.0)  # never far from 1


@pytest.mark.parametrize("wrong", ["no", 1, None, 0.5])
def test_switches_of_methods(wrong):
    expansion = density(species=[1])
    linear = models.LinearPotential(orbas.PowerSpectrum(expansion), regularization=models.Fixed(1e-6)).fit(FRAMES)
    calls = {
        "gradients": [expansion.transform, orbas.PowerSpectrum(expansion).transform],
        "single_precision": [expansion.transform, orbas.PowerSpectrum(expansion).transform],
        "uncertainty": [linear.predict],
        "self_interaction": [lambda frames, **given: orbas.neighbor_list("ij", frames[0], 2.0, **given)],
    }
    for name, functions in calls.items():
        for function in functions:
            with pytest.raises(SettingsError, match=f"{name} must be True or False"):
                function(FRAMES, **{name: wrong})


LINEAR = models.LinearPotential(orbas.PowerSpectrum(density()), regularization=models.Fixed(1e-6))


@pytest.mark.parametrize("wrong", [True, "4", NAN, INF, -1.0, 0.0, 1e200, None])
def test_numbers_of_functions(wrong):
    for call in (
        lambda: orbas.neighbor_list("ij", FRAMES[0], wrong),
        lambda: orbas.spherical_harmonics([0, 0, 1.0], wrong),
        lambda: orbas.clebsch_gordan(1, wrong, 1),
        lambda: orbas.datasets.qm9(wrong),
        lambda: orbas.datasets.qm9(3, seed=wrong),
        lambda: orbas.metrics.gfre(MATRIX, MATRIX, seed=wrong),
        lambda: orbas.metrics.lfre(MATRIX, MATRIX, wrong),
        lambda: models.structure_features(orbas.PowerSpectrum(density()), FRAMES, chunk=wrong),
        lambda: models.learning_curve(LINEAR, FRAMES[:4], FRAMES[4:], [3], seed=wrong),
        lambda: models.learning_curve(LINEAR, FRAMES[:4], FRAMES[4:], [wrong]),
    ):
        with pytest.raises((ValueError, TypeError)):
            call()


@pytest.mark.parametrize(
    "matrix", [MATRIX.astype(str), [["1", "2"]], MATRIX.astype(object).astype(str).tolist(), MATRIX * 1e200]
)
def test_matrices_of_texts_and_of_numbers_whose_squares_overflow(matrix):
    for call in (
        lambda: selection.FPS(1).fit(matrix),
        lambda: selection.CUR(1).fit(matrix),
        lambda: orbas.metrics.gfre(matrix, matrix),
        lambda: models.RidgeRegressor().fit(matrix, np.zeros(len(matrix))),
    ):
        with pytest.raises(ValueError, match=r"must hold numbers|squares overflow"):
            call()


@pytest.mark.parametrize("wrong", [True, "1", NAN, INF, -1.0, 1e200, 10**400], ids=lambda value: repr(value)[:9])
def test_numbers_of_fitted_things(wrong):
    optimal = orbas.OptimalBasis(density(), 2).fit(FRAMES)
    nice = orbas.NICE(density(), nu_max=2).fit(FRAMES)
    linear = models.LinearPotential(orbas.PowerSpectrum(density()), regularization=models.Fixed(1e-6)).fit(FRAMES)
    sparse = models.SparseGPR(orbas.PowerSpectrum(density()), 2, regularization=models.Fixed(1e-6)).fit(FRAMES)
    for call in (
        lambda: optimal.covariance(wrong),
        lambda: optimal.plot(n_functions=wrong),
        lambda: optimal.plot(degrees=[wrong]),
        lambda: optimal.fit(FRAMES, sample_weight=[wrong] * 12 if wrong is not True else "1"),
        lambda: nice.summary(density_residual=wrong),
        lambda: linear.skin_lists(wrong),
        lambda: sparse.skin_lists(wrong),
        lambda: linear.calculator(skin=wrong),
        lambda: linear.calculator(check_every=wrong),
        lambda: orbas.calculators.run_driver(linear, FRAMES[0], port=wrong),
        lambda: orbas.calculators.run_driver(linear, FRAMES[0], timeout=wrong),
    ):
        with pytest.raises((ValueError, TypeError)):
            call()
