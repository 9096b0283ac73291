"""scikit-learn's manners: its own checks in full for arrays, pipelines and searches for structures."""

from __future__ import annotations

import subprocess
import sys
import types
import warnings

import numpy as np
import orbas
import pytest
import sklearn
from orbas.models import Fixed, HoldOut, KFold, LeaveOneOut, LinearPotential, PerStructure, RidgeRegressor
from orbas.selection import CUR, FPS
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

NUMERIC = [
    CUR(),
    CUR(2),
    FPS(),
    FPS(2),
    CUR(2, axis="samples"),
    FPS(2, axis="samples"),
    RidgeRegressor(),
    RidgeRegressor("loo", fit_intercept=False),
    RidgeRegressor(Fixed(1e-8)),
]


def density(width=0.4):
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(3.5, 0.5),
        density_width=width,
        max_angular=2,
        basis=orbas.bases.GTO(3),
        species=[1, 6, 7, 8],
    )


REPRESENTATIONS = [
    orbas.RadialSpectrum(density()),
    orbas.PowerSpectrum(density()),
    orbas.Bispectrum(density()),
    orbas.NICE(density(), nu_max=2, n_pairs=10, n_components=5),
]


@pytest.fixture(scope="module")
def labeled(molecules):
    frames, energies = [], []
    for seed in range(3):
        for atoms in molecules:
            copy = atoms.copy()
            copy.rattle(0.03, seed=seed)
            frames.append(copy)
            energies.append(float(np.sum(1 / orbas.neighbor_list("d", copy, 3.5) ** 2)))
    return frames, np.array(energies)


# ------------------------------------------------------------------ arrays


@pytest.mark.parametrize("estimator", NUMERIC, ids=repr)
def test_check_estimator_in_full(estimator):
    with warnings.catch_warnings():
        # Checks of data frames need pandas and polars: where these are installed they run too.
        warnings.simplefilter("ignore", SkipTestWarning)
        warnings.simplefilter("ignore", UserWarning)
        results = check_estimator(estimator)
    assert len(results) > 40
    skipped = [result["exception"] for result in results if result["status"] != "passed"]
    assert all("pandas" in str(reason) or "polars" in str(reason) for reason in skipped)


@pytest.mark.parametrize("rule", [KFold(4), LeaveOneOut(), HoldOut(10), Fixed(1e-3)])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_many_targets_with_one_alpha(rng, rule, fit_intercept):
    X = rng.normal(size=(40, 6)) + 2.0
    y = X @ rng.normal(size=(6, 3)) + 5.0 + 0.1 * rng.normal(size=(40, 3))
    model = RidgeRegressor(rule, fit_intercept=fit_intercept).fit(X, y)
    assert model.coef_.shape == (3, 6)
    shift = X.mean(axis=0) if fit_intercept else np.zeros(6)
    offset = y.mean(axis=0) if fit_intercept else np.zeros(3)
    A = X - shift
    penalty = model.alpha_ * np.sum(A**2) / len(A) * np.eye(6)
    expected = np.linalg.solve(A.T @ A + penalty, A.T @ (y - offset))
    np.testing.assert_allclose(model.coef_, expected.T, rtol=1e-8)
    np.testing.assert_allclose(model.predict(X), A @ expected + offset, rtol=1e-8)
    alone = RidgeRegressor(Fixed(model.alpha_), fit_intercept=fit_intercept).fit(X, y[:, 1])
    np.testing.assert_allclose(alone.coef_, model.coef_[1], rtol=1e-9)
    single = RidgeRegressor(rule, fit_intercept=fit_intercept).fit(X, y[:, :1])
    assert single.alpha_ == RidgeRegressor(rule, fit_intercept=fit_intercept).fit(X, y[:, 0]).alpha_
    np.testing.assert_array_equal(model.alphas_, np.sort(getattr(rule, "alphas", ())))
    assert model.score(X, y) == pytest.approx(
        np.mean(1 - np.sum((y - model.predict(X)) ** 2, 0) / np.sum((y - y.mean(0)) ** 2, 0))
    )


def test_not_fitted_is_scikit_learns_error_too(rng):
    for estimator in (RidgeRegressor(), CUR(), FPS()):
        with pytest.raises(NotFittedError) as caught:
            check_is_fitted(estimator)
        with pytest.raises(NotFittedError) as caught:
            getattr(estimator, "predict" if is_regressor(estimator) else "transform")(rng.normal(size=(3, 2)))
        assert isinstance(caught.value, orbas.NotFittedError)
        assert isinstance(caught.value.__reduce__()[0](*caught.value.args), orbas.NotFittedError)


def test_scikit_learn_is_not_needed():
    """Nor loaded by anything but its own calls."""
    code = """
import sys, numpy as np, orbas
from orbas.models import RidgeRegressor
from orbas.selection import CUR, FPS
X = np.random.default_rng(0).normal(size=(20, 4))
RidgeRegressor().fit(CUR(2).fit_transform(X), X[:, 0])
FPS(2).set_output(transform="default").fit_transform(X)
try: CUR().selected_idx_
except orbas.NotFittedError: pass
assert "sklearn" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


class Frame:
    """Stands for a data frame of pandas: what it was made of."""

    def __init__(self, values, columns=None, index=None, copy=None, schema=None, orient=None):
        self.values, self.columns, self.index = values, list(columns if schema is None else schema), index


def test_output_containers(rng, monkeypatch, labeled):
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=Frame))
    monkeypatch.setitem(sys.modules, "polars", types.SimpleNamespace(DataFrame=Frame))
    X = rng.normal(size=(10, 4))
    selector = CUR(2).fit(X)
    for container in ("pandas", "polars"):
        framed = selector.set_output(transform=container).transform(X)
        assert isinstance(framed, Frame)
        assert framed.columns == list(selector.get_feature_names_out())
        np.testing.assert_array_equal(framed.values, X[:, selector.get_support()])
    assert selector.set_output(transform=None)._sklearn_output_config == {"transform": "polars"}
    assert clone(selector)._sklearn_output_config == {"transform": "polars"}
    assert isinstance(selector.set_output(transform="default").transform(X), np.ndarray)
    with pytest.raises(ValueError, match="must be one of default, pandas, polars"):
        selector.set_output(transform="excel")
    features = PerStructure(REPRESENTATIONS[0]).set_output(transform="pandas").fit_transform(labeled[0][:3])
    assert features.columns[:4] == ["H_0", "H_1", "H_2", "H_3"]
    assert features.values.shape == (3, len(features.columns))
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(CUR(2).fit_transform(X), Frame)


# ------------------------------------------------------------------ structures


@pytest.mark.parametrize("representation", REPRESENTATIONS, ids=lambda r: type(r).__name__)
def test_pipelines_of_representations(labeled, representation):
    frames, energies = labeled
    pipeline = make_pipeline(PerStructure(representation), CUR(10), RidgeRegressor())
    pipeline.fit(frames, energies)
    assert pipeline.predict(frames[:5]).shape == (5,)
    assert pipeline.score(frames, energies) > 0.9
    step = pipeline[0]
    features = step.representation_.transform(frames).per_structure()
    np.testing.assert_array_equal(step.transform(frames), features)
    np.testing.assert_array_equal(step.fit_transform(frames), features)
    assert len(step.get_feature_names_out()) == features.shape[1]
    assert "PerStructure" in pipeline._repr_html_inner()


def test_grid_search_over_the_density(labeled):
    frames, energies = labeled
    pipeline = make_pipeline(PerStructure(orbas.PowerSpectrum(density())), RidgeRegressor("loo"))
    widths = [0.3, 0.5]
    name = "perstructure__representation__density__density_width"
    search = GridSearchCV(pipeline, {name: widths}, cv=3, error_score="raise").fit(frames, energies)
    assert search.best_params_[name] in widths
    by_hand = [
        np.mean(cross_val_score(clone(pipeline).set_params(**{name: width}), frames, energies, cv=3))
        for width in widths
    ]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], by_hand, rtol=1e-12)
    assert pipeline[0].representation.density.density_width == 0.4


@pytest.mark.parametrize(
    "estimator",
    [
        *REPRESENTATIONS,
        density(),
        orbas.OptimalBasis(density(), 2),
        orbas.PCovRBasis(density(), 2),
        LinearPotential(REPRESENTATIONS[1]),
        PerStructure(REPRESENTATIONS[1]),
    ],
    ids=lambda e: type(e).__name__,
)
def test_clones_have_the_same_settings(estimator):
    copied = clone(estimator)
    assert copied is not estimator
    assert repr(copied) == repr(estimator)
    assert set(copied.get_params()) == set(estimator.get_params())
    if "density__density_width" in estimator.get_params():
        copied.set_params(density__density_width=0.7)
        assert estimator.density.density_width == 0.4
    with pytest.raises(ValueError, match="no parameter"):
        copied.set_params(no_such_parameter=1)


def test_a_representation_that_was_not_fitted(labeled):
    step = PerStructure(orbas.PowerSpectrum(density()))
    with pytest.raises(orbas.NotFittedError):
        step.transform(labeled[0])
    step.fit(labeled[0])
    before = step.transform(labeled[0])
    step.representation.density.set_params(max_angular=1)  # takes effect with the next fit
    np.testing.assert_array_equal(step.transform(labeled[0]), before)
    assert step.fit_transform(labeled[0]).shape[1] < before.shape[1]
