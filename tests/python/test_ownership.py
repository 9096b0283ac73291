"""A fitted thing owns what it was fitted with: one frozen record, set in one assignment, that nothing reaches."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
import threading

import ase.build
import joblib
import numpy as np
import orbas
import pytest
from orbas.base import process
from orbas.base.estimator import Fitted
from orbas.models import CompositionBaseline, Fixed, LinearPotential, PerStructure, RidgeRegressor, SparseGPR
from orbas.selection import CUR, FPS
from sklearn.base import clone


def structures(shift, seeds, numbers=(29,)):
    """Four atoms each, with energies and forces of no physical meaning."""
    frames = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        atoms = ase.build.bulk("Cu", cubic=True, a=3.6)
        atoms.numbers[:] = [numbers[k % len(numbers)] for k in range(4)]
        atoms.positions += 0.1 * rng.normal(size=(4, 3))
        atoms.info["REF_energy"] = 4 * shift + float(rng.normal())
        atoms.arrays["REF_forces"] = rng.normal(size=(4, 3))
        frames.append(atoms)
    return frames


FIRST, SECOND = structures(0.0, range(8)), structures(-5.0, range(50, 58))
OTHERS = structures(0.0, range(8), numbers=(28, 29))
TEST = structures(0.0, [99])


def density(**changes):
    options = {"cutoff": orbas.Cutoff(3.5, 1.0, "smooth"), "density_width": 0.5, "max_angular": 2}
    return orbas.DensityExpansion(**{**options, "basis": orbas.bases.GTO(3), **changes})


def nice():
    return orbas.NICE(density(), nu_max=3, n_pairs=8, n_components=[3, 0], n_invariants=5)


def fit_labeled(model, frames):
    return model.fit(frames, forces_key="REF_forces")


def matrix(frames):
    return np.array([frame.positions.ravel() for frame in frames])


def energies(frames):
    return np.array([frame.info["REF_energy"] for frame in frames])


def predicted(model):
    found = model.predict(TEST)
    return np.concatenate([found.energies, found.forces[0].ravel()])


def features(representation):
    return representation.transform(TEST).values


def functions(basis):
    radial = np.concatenate([f.ravel() for by_l in basis.radial_functions(np.linspace(0.5, 3, 5)) for f in by_l])
    return np.concatenate([radial, *(block.values.ravel() for block in basis.expansion_.transform(TEST).values())])


def linear(representation):
    return LinearPotential(representation, regularization=Fixed(1e-6))


def fit_plainly(estimator, frames):
    return estimator.fit(frames)


def selected():
    return orbas.SelectedPowerSpectrum(density(), np.arange(0, 18, 2))


def two_kernels():
    spectra = [orbas.RadialSpectrum(density()), orbas.PowerSpectrum(density())]
    return SparseGPR(spectra, [4, 5], [1, 2], regularization=Fixed(1e-4))


#: What is fitted, how, and what is looked at afterwards.
CASES = {
    "linear": (lambda: linear(orbas.PowerSpectrum(density())), fit_labeled, predicted),
    "linear on NICE": (lambda: linear(nice().fit(FIRST)), fit_labeled, predicted),
    "linear on a bispectrum": (lambda: linear(orbas.Bispectrum(density())), fit_labeled, predicted),
    "linear on a selection": (lambda: linear(selected()), fit_labeled, predicted),
    "sparse": (
        lambda: SparseGPR(orbas.PowerSpectrum(density()), 6, 2, regularization=Fixed(1e-4)),
        fit_labeled,
        predicted,
    ),
    "sparse of two": (two_kernels, fit_labeled, predicted),
    "NICE": (nice, fit_plainly, features),
    "optimal basis": (lambda: orbas.OptimalBasis(density(), 2), fit_plainly, functions),
    "PCovR": (lambda: orbas.PCovRBasis(density(), 2, 0.5, regularization=Fixed(1e-4)), fit_plainly, functions),
    "per structure": (lambda: PerStructure(nice()), fit_plainly, lambda step: step.transform(TEST)),
    "baseline": (
        CompositionBaseline,
        lambda model, frames: model.fit(frames, energies(frames)),
        lambda model: model.predict(TEST),
    ),
    "regressor": (
        lambda: RidgeRegressor(Fixed(1e-6)),
        lambda model, frames: model.fit(matrix(frames), energies(frames)),
        lambda model: model.predict(matrix(TEST)),
    ),
    "CUR": (lambda: CUR(3), lambda model, frames: model.fit(matrix(frames)), lambda m: m.transform(matrix(TEST))),
    "FPS": (lambda: FPS(3), lambda model, frames: model.fit(matrix(frames)), lambda m: m.transform(matrix(TEST))),
}
ON_DENSITY = [name for name in CASES if name not in ("baseline", "regressor", "CUR", "FPS")]
each = pytest.mark.parametrize("name", CASES)


def densities_below(estimator):
    """The densities that the estimator was given, whatever they are wrapped in."""
    below = getattr(estimator, "representation", None) or getattr(estimator, "density", None)
    if isinstance(below, orbas.DensityExpansion):
        return [below]
    parts = below if isinstance(below, list) else [below]
    return [found for part in parts for found in densities_below(part)]


@each
def test_a_fit_sets_one_frozen_record(name):
    make, fit, _ = CASES[name]
    estimator = make()
    before = set(vars(estimator))
    fit(estimator, FIRST)
    assert set(vars(estimator)) - before <= {"_record", "_compiled"}
    record = estimator._record
    assert dataclasses.is_dataclass(record)
    assert not hasattr(record, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(record)[0].name, None)


@each
def test_attributes_of_a_fit_are_read_from_the_record_and_cannot_be_set(name):
    make, fit, _ = CASES[name]
    estimator = make()
    every = {key for cls in type(estimator).__mro__ for key in vars(cls)} - {"feature_names_in_"}
    names = [key for key in every if key.endswith("_") and not key.startswith("_")]
    assert names
    for key in names:
        with pytest.raises(orbas.NotFittedError):
            getattr(estimator, key)
    fit(estimator, FIRST)
    for key in names:
        getattr(estimator, key)
        with pytest.raises(AttributeError):
            setattr(estimator, key, None)


def interrupted(fit, estimator, line):
    """Fit with an interrupt at a line of the estimator, or of what guards its fit; return how many lines there were."""
    reached = [0]
    owners = {sys.modules[type(estimator).__module__].__file__, process.__file__}

    def step(frame, event, _):
        if event == "line":
            reached[0] += 1
            if reached[0] == line:
                raise KeyboardInterrupt
        return step

    sys.settrace(lambda frame, event, _: step if frame.f_code.co_filename in owners else None)
    try:
        fit(estimator, SECOND)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    return reached[0]


@each
def test_an_interrupt_in_a_second_fit_leaves_the_old_or_the_new(name):
    make, fit, look = CASES[name]
    old, new = (look(fit(make(), frames)) for frames in (FIRST, SECOND))
    n_lines = interrupted(fit, fit(make(), FIRST), 0)
    last = range(max(1, n_lines - 4), n_lines + 1)
    for line in sorted({*range(1, n_lines + 1, max(1, n_lines // 4)), *last}):
        estimator = fit(make(), FIRST)
        interrupted(fit, estimator, line)
        found = look(estimator)
        assert np.array_equal(found, old) or np.array_equal(found, new), line


@pytest.mark.parametrize("name", ["linear", "sparse", "linear on NICE", "NICE"])
def test_whoever_looks_during_a_fit_sees_the_old_or_the_new(name):
    make, fit, look = CASES[name]
    old, new = (look(fit(make(), frames)) for frames in (FIRST, SECOND))
    estimator, wrong, done = fit(make(), FIRST), [], threading.Event()

    def watch():
        while not done.is_set():
            found = look(estimator)
            if not (np.array_equal(found, old) or np.array_equal(found, new)):
                wrong.append(found)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for frames in (SECOND, FIRST, SECOND):
            fit(estimator, frames)
    finally:
        done.set()
        watcher.join()
    assert not wrong


CHANGES = {
    "cutoff": lambda below: below.set_params(cutoff=orbas.Cutoff(4.5, 1.0)),
    "width": lambda below: below.set_params(density_width=0.7),
    "center": lambda below: below.set_params(center_weight=0.3),
    "degree": lambda below: below.set_params(max_angular=1),
    "basis": lambda below: below.set_params(basis=orbas.bases.GTO(4)),
    "species": lambda below: below.set_params(species=[1, 29]),
    "fit": lambda below: below.fit(OTHERS),
}


@pytest.mark.parametrize("name", ON_DENSITY)
def test_later_changes_below_do_not_reach_it(name, tmp_path):
    make, fit, look = CASES[name]
    for change in CHANGES.values():
        estimator = fit(make(), FIRST)
        before = look(estimator)
        for below in densities_below(estimator):
            change(below)
        assert np.array_equal(look(estimator), before)
        if isinstance(estimator, orbas.models.Potential):
            energy = estimator.calculator(check_every=None).get_potential_energy(TEST[0].copy())
            assert energy == pytest.approx(before[0], abs=1e-12)
            estimator.save(tmp_path / "m.orbas")
            assert np.array_equal(look(orbas.load(tmp_path / "m.orbas")), before)


@pytest.mark.parametrize("name", ["linear", "sparse", "linear on NICE"])
def test_a_loaded_model_owns_what_it_was_read_with(name, tmp_path):
    make, fit, look = CASES[name]
    fit(make(), FIRST).save(tmp_path / "m.orbas")
    read = orbas.load(tmp_path / "m.orbas")
    before = look(read)
    for below in densities_below(read):
        below.set_params(cutoff=orbas.Cutoff(4.5, 1.0))
    assert np.array_equal(look(read), before)


def state(estimator):
    return {key: value for key, value in vars(estimator).items() if key != "_compiled"}


@pytest.mark.parametrize("name", ON_DENSITY)
def test_a_fit_changes_nothing_that_it_was_given(name):
    make, fit, _ = CASES[name]
    estimator = make()
    below = densities_below(estimator)
    before = [state(one) for one in below]
    fit(estimator, FIRST if name == "linear on NICE" else OTHERS)
    assert [state(one) for one in below] == before


@pytest.mark.parametrize("kind", [orbas.PowerSpectrum, orbas.RadialSpectrum, orbas.Bispectrum])
def test_spectra_follow_their_settings_and_keep_their_species(kind):
    """What they learn are the species: another fit of the density does not change these, a setting changes features."""
    below = density()
    spectrum = kind(below).fit(FIRST)
    assert "_record" not in vars(below)
    before = features(spectrum)
    below.fit(OTHERS)
    assert spectrum.species_ == (29,)
    assert np.array_equal(features(spectrum), before)
    below.set_params(density_width=0.7)
    assert not np.array_equal(features(spectrum), before)


def test_a_loop_over_cutoffs_with_one_spectrum():
    spectrum = orbas.PowerSpectrum(density()).fit(FIRST)
    models, alone = [], []
    for radius in (3.0, 4.0, 5.0):
        spectrum.set_params(density__cutoff=orbas.Cutoff(radius))
        models.append(LinearPotential(spectrum, regularization=Fixed(1e-6)).fit(FIRST))
        other = orbas.PowerSpectrum(density(cutoff=orbas.Cutoff(radius)))
        alone.append(LinearPotential(other, regularization=Fixed(1e-6)).fit(FIRST))
    for model, right in zip(models, alone, strict=True):
        assert np.array_equal(predicted(model), predicted(right))


def test_streamed_bases_refuse_another_density():
    basis = orbas.OptimalBasis(density(), 2).partial_fit(FIRST)
    basis.density.set_params(cutoff=orbas.Cutoff(4.5))
    with pytest.raises(ValueError, match="fit all anew"):
        basis.partial_fit(SECOND)
    assert basis.fit(SECOND).expansion_.cutoff.radius == 4.5


@each
@pytest.mark.parametrize(
    "copied",
    [lambda e, _: copy.copy(e), lambda e, _: copy.deepcopy(e), lambda e, _: pickle.loads(pickle.dumps(e)), "joblib"],
    ids=["copy", "deepcopy", "pickle", "joblib"],
)
def test_copies_are_fitted_too(name, copied, tmp_path):
    make, fit, look = CASES[name]
    estimator = fit(make(), FIRST)
    before = look(estimator)
    if copied == "joblib":
        joblib.dump(estimator, tmp_path / "e.joblib")
        twin = joblib.load(tmp_path / "e.joblib")
    else:
        twin = copied(estimator, tmp_path)
    assert np.array_equal(look(twin), before)
    fit(twin, SECOND)
    assert np.array_equal(look(estimator), before)


@each
def test_clones_are_not_fitted(name):
    make, fit, look = CASES[name]
    twin = clone(fit(make(), FIRST))
    assert not twin.__sklearn_is_fitted__()
    with pytest.raises(orbas.NotFittedError):
        look(twin)


def test_a_model_on_a_plain_basis_learns_its_species_from_all_structures():
    """Also from one that stands last, and for every kind of model; what is unknown is refused before any work."""
    frames = [*FIRST, *structures(0.0, [70], numbers=(28, 29))]
    for make in (CASES["linear"][0], CASES["sparse"][0], CASES["linear on a bispectrum"][0], CASES["sparse of two"][0]):
        model = fit_labeled(make(), frames)
        assert model.species_ == (28, 29)
        assert np.isfinite(model.predict(TEST).energies).all()
        with pytest.raises(orbas.UnknownSpeciesError):
            model.predict(structures(0.0, [1], numbers=(79,)))


@each
def test_arrays_of_a_fit_cannot_be_written_to(name):
    """A model whose weights are changed in place would predict the old and save the new."""
    make, fit, _ = CASES[name]
    estimator = make()
    fit(estimator, FIRST)
    names = [key for key in dir(type(estimator)) if isinstance(getattr(type(estimator), key, None), Fitted)]
    arrays = [value for value in (getattr(estimator, key) for key in names) if isinstance(value, np.ndarray)]
    assert not any(value.flags.writeable for value in arrays)
