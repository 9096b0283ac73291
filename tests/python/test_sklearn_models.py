"""Models with scikit-learn's helpers, and structures in whatever holds them: all are taken by position."""

from __future__ import annotations

import copy
import numbers
import pickle

import ase.build
import ase.io
import numpy as np
import orbas
import pandas as pd
import pytest
from orbas.models import (
    CompositionBaseline,
    Fixed,
    KFold,
    LinearPotential,
    PerStructure,
    Score,
    SparseGPR,
    learning_curve,
    recommended,
    score,
    score_by_config,
    structure_features,
)
from orbas.structures.labels import collect_labels
from sklearn.base import is_regressor
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate


def density():
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(3.5, 1.0, "smooth"), density_width=0.5, max_angular=2, basis=orbas.bases.GTO(3)
    )


def labeled(n):
    frames = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        atoms = ase.build.bulk("Cu", cubic=True, a=3.5 + 0.02 * seed)
        atoms.positions += 0.1 * rng.normal(size=(4, 3))
        distances = orbas.neighbor_list("d", atoms, 3.5)
        atoms.info["REF_energy"] = float(np.sum(np.exp(-distances)))
        atoms.arrays["REF_forces"] = rng.normal(size=(4, 3))
        atoms.info["config_type"] = "ab"[seed % 2]
        frames.append(atoms)
    return frames


FRAMES = labeled(12)
ENERGIES = np.array([atoms.info["REF_energy"] for atoms in FRAMES])
MODELS = {
    "linear": lambda: LinearPotential(orbas.PowerSpectrum(density()), regularization=Fixed(1e-6)),
    "sparse": lambda: SparseGPR(orbas.PowerSpectrum(density()), 10, 2, regularization=Fixed(1e-5)),
    "nice": lambda: LinearPotential(orbas.Bispectrum(density()), regularization=Fixed(1e-6)),
}
each = pytest.mark.parametrize("name", MODELS)


def unlabeled():
    frames = [atoms.copy() for atoms in FRAMES]
    for atoms in frames:
        del atoms.info["REF_energy"]
    return frames


@each
def test_cross_validation_takes_energies(name):
    found = cross_val_score(MODELS[name](), unlabeled(), ENERGIES, cv=3, error_score="raise")
    assert found.dtype == np.float64
    for k, members in enumerate(np.array_split(np.arange(12), 3)):
        rest = np.setdiff1d(np.arange(12), members)
        model = MODELS[name]().fit([FRAMES[i] for i in rest])
        assert found[k] == pytest.approx(-model.score([FRAMES[i] for i in members]).mae, rel=1e-9)
    assert np.isfinite(cross_validate(MODELS[name](), FRAMES, cv=3, error_score="raise")["test_score"]).all()


@each
def test_searches_work_on_models(name):
    grid = {"representation__density__density_width": [0.4, 0.6], "regularization": [Fixed(1e-6), KFold(3)]}
    search = GridSearchCV(MODELS[name](), grid, cv=3, error_score="raise").fit(unlabeled(), ENERGIES)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.predict(FRAMES).energies.shape == (12,)
    assert float(search.score(unlabeled(), ENERGIES)) == -search.best_estimator_.score(FRAMES).mae
    assert is_regressor(MODELS[name]())


@each
def test_given_energies_are_those_that_structures_carry(name):
    carried = MODELS[name]().fit(FRAMES, forces_key="REF_forces")
    given = MODELS[name]().fit(unlabeled(), ENERGIES, forces_key="REF_forces")
    listed = MODELS[name]().fit(unlabeled(), pd.Series(ENERGIES, index=range(50, 62)), forces_key="REF_forces")
    for other in (given, listed, MODELS[name]().fit(FRAMES, "REF_energy", forces_key="REF_forces")):
        assert np.array_equal(other.weights_, carried.weights_)
    assert given.score(unlabeled(), ENERGIES, forces_key="REF_forces") == carried.score(FRAMES, forces_key="REF_forces")


@pytest.mark.parametrize("wrong", [ENERGIES[:5], ENERGIES[:, None], np.full(12, np.nan), np.inf + ENERGIES])
def test_wrong_energies_are_refused(wrong):
    with pytest.raises(orbas.LabelError, match="y must be"):
        MODELS["linear"]().fit(unlabeled(), wrong)


def test_a_score_is_a_number_with_fields():
    found = MODELS["linear"]().fit(FRAMES).score(FRAMES, forces_key="REF_forces")
    assert isinstance(found, numbers.Number)
    assert float(found) == -found.mae < 0
    assert max(found, Score(2.0, 2.0, 1.0, 1.0)) is found
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(found, protocol))
        assert (again, float(again), again.forces_mae) == (found, float(found), found.forces_mae)
    assert copy.deepcopy(found) == found
    assert repr(found).startswith("Score(mae=")


# --- structures in whatever holds them


class Trajectory:
    """As that of ase: it knows how many there are and gives one at a time."""

    def __len__(self):
        return len(FRAMES)

    def __getitem__(self, k):
        return FRAMES[k]


def objects():
    array = np.empty(len(FRAMES), dtype=object)
    array[:] = FRAMES
    return array


CONTAINERS = {
    "tuple": lambda: tuple(FRAMES),
    "generator": lambda: (atoms for atoms in FRAMES),
    "array": objects,
    "shuffled series": lambda: pd.Series(FRAMES, index=np.random.default_rng(0).permutation(len(FRAMES))),
    "filtered series": lambda: pd.Series([None, *FRAMES, None])[1:-1],
    "trajectory": Trajectory,
}
FITTED = {name: make().fit(FRAMES, forces_key="REF_forces") for name, make in MODELS.items()}


def arrays_of(found):
    """What a call returned, as arrays."""
    if isinstance(found, np.ndarray | float | int):
        return [np.asarray(found)]
    if isinstance(found, list | tuple):
        return [part for item in found for part in arrays_of(item)]
    if isinstance(found, dict):
        return arrays_of(list(found.values()))
    names = getattr(found, "__slots__", None) or vars(found)
    return [part for name in names for part in arrays_of(getattr(found, name)) if not isinstance(found, str)]


def again(model, *arguments, **keys):
    return type(model)(**model.get_params(deep=False)).fit(*arguments, **keys).weights_


def pcovr():
    return orbas.PCovRBasis(density(), 2, regularization=Fixed(1e-4))


CALLS = {
    "fit": lambda model, frames: again(model, frames, forces_key="REF_forces"),
    "fit energies": lambda model, frames: again(model, frames, ENERGIES),
    "predict": lambda model, frames: [p := model.predict(frames), p.energies, p.forces, p.atoms][1:],
    "uncertain": lambda model, frames: model.predict(frames, uncertainty=True).uncertainty,
    "evaluate": lambda model, frames: model.evaluate(frames).forces,
    "uncertainty": lambda model, frames: model.uncertainty(frames),
    "extrapolation": lambda model, frames: model.extrapolation(frames),
    "score": lambda model, frames: list(vars(model.score(frames, forces_key="REF_forces")).values())[:6],
    "trained_on": lambda model, frames: model.trained_on(frames),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("call", CALLS)
@each
def test_every_call_of_a_model_takes_structures_by_position(name, call, container):
    right, found = (arrays_of(CALLS[call](FITTED[name], frames)) for frames in (FRAMES, CONTAINERS[container]()))
    assert len(right) == len(found) > 0
    assert all(np.array_equal(a, b) for a, b in zip(right, found, strict=True))


def prediction():
    return FITTED["linear"].predict(FRAMES), collect_labels(FRAMES, forces_key="REF_forces")


FUNCTIONS = {
    "learning curve, train": lambda frames: learning_curve(MODELS["linear"](), frames, FRAMES, [6, 12]).mae,
    "learning curve, test": lambda frames: learning_curve(MODELS["linear"](), FRAMES, frames, [6, 12]).mae,
    "score": lambda frames: score(*prediction(), frames).forces_mae,
    "by config": lambda frames: [s.mae_per_atom for s in score_by_config(*prediction(), frames).values()],
    "features": lambda frames: structure_features(orbas.PowerSpectrum(density()).fit(FRAMES), frames).values,
    "baseline": lambda frames: CompositionBaseline().fit(frames, ENERGIES).energies_[29],
    "baseline, predict": lambda frames: CompositionBaseline().fit(FRAMES, ENERGIES).predict(frames),
    "PCovR": lambda frames: pcovr().fit(frames).weights_,
    "PCovR with energies": lambda frames: pcovr().fit(frames, ENERGIES).weights_,
    "per structure": lambda frames: PerStructure(orbas.PowerSpectrum(density())).fit_transform(frames),
    "optimal basis": lambda frames: orbas.OptimalBasis(density(), 2).fit(frames).eigenvalues_,
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_takes_structures_by_position(function, container):
    right, found = (arrays_of(FUNCTIONS[function](frames)) for frames in (FRAMES, CONTAINERS[container]()))
    assert all(np.array_equal(a, b) for a, b in zip(right, found, strict=True))


def test_recommended_takes_structures_by_position():
    options = {"time_budget": 1e-6, "report": lambda _: None}
    found = recommended(CONTAINERS["shuffled series"](), **options)
    assert np.array_equal(found.weights_, recommended(FRAMES, **options).weights_)


@each
def test_one_structure_is_a_list_of_one(name):
    for call in ("predict", "uncertain", "evaluate", "uncertainty", "extrapolation", "score", "trained_on"):
        right, found = (arrays_of(CALLS[call](FITTED[name], frames)) for frames in (FRAMES[:1], FRAMES[0]))
        assert all(np.array_equal(a, b) for a, b in zip(right, found, strict=True))


@each
def test_structures_without_atoms_add_nothing(name):
    nothing = ase.Atoms(cell=[4, 4, 4], pbc=True, info={"REF_energy": 0.0})
    nothing.arrays["REF_forces"] = np.zeros((0, 3))
    for place in (0, 5, 12):
        frames = [*FRAMES[:place], nothing, *FRAMES[place:]]
        # Energies alone: one more row of zeros is in the mean that alpha is relative to.
        found, right = (MODELS[name]().fit(some).predict(FRAMES).energies for some in (frames, FRAMES))
        np.testing.assert_allclose(found, right, atol=5e-3)
        model = MODELS[name]().fit(frames, forces_key="REF_forces")
        assert model.predict(frames).forces[place].shape == (0, 3)
        assert model.predict([nothing]).energies[0] == 0.0
        assert np.isfinite(float(model.score(frames, forces_key="REF_forces")))
