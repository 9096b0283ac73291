"""Reconstruction errors: against scikit-matter with the same splits, and on features whose errors are known."""

from __future__ import annotations

import numpy as np
import orbas
import pytest
import skmatter.metrics
from orbas.metrics import gfre, lfre, residual_variance
from orbas.models import Fixed, HoldOut, KFold, LeaveOneOut

N = 80
TRAIN, TEST = np.arange(0, N, 2), np.arange(1, N, 2)


@pytest.fixture
def features(rng):
    """Two nonlinear views of the same five numbers per sample."""
    hidden = rng.normal(size=(N, 5))
    a = np.tanh(hidden @ rng.normal(size=(5, 8))) + 3.0
    b = np.tanh(hidden @ rng.normal(size=(5, 6))) * np.geomspace(1, 1e-2, 6)
    return a, b


class NormalEquations:
    """Ridge by its normal equations, alpha relative to the mean squared norm of a row: what skmatter fits with."""

    def __init__(self, alpha):
        self.alpha = alpha

    def fit(self, X, Y):
        penalty = self.alpha * np.sum(X**2) / len(X) * np.eye(X.shape[1])
        self.weights = np.linalg.solve(X.T @ X + penalty, X.T @ Y)
        return self

    def predict(self, X):
        return X @ self.weights


@pytest.mark.parametrize("alpha", [1e-6, 1e-2])
@pytest.mark.parametrize("swapped", [False, True])
def test_gfre_equals_scikit_matter(features, alpha, swapped):
    a, b = features[::-1] if swapped else features
    expected = skmatter.metrics.global_reconstruction_error(
        a, b, train_idx=TRAIN, test_idx=TEST, estimator=NormalEquations(alpha)
    )
    found = gfre(a, b, split=(TRAIN, TEST), regularization=Fixed(alpha))
    assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("n_neighbors", [5, 20])
def test_lfre_equals_scikit_matter(features, n_neighbors):
    a, b = features
    expected = skmatter.metrics.local_reconstruction_error(
        a, b, n_neighbors, train_idx=TRAIN, test_idx=TEST, estimator=NormalEquations(1e-3)
    )
    found = lfre(a, b, n_neighbors, split=(TRAIN, TEST), regularization=Fixed(1e-3))
    assert found == pytest.approx(expected, rel=1e-8)


def test_lfre_with_all_neighbors_is_the_gfre(features):
    a, b = features
    rule = Fixed(1e-4)
    whole = lfre(a, b, N // 2, regularization=rule)
    assert whole == pytest.approx(gfre(a, b, regularization=rule), rel=1e-10)


@pytest.mark.parametrize("rule", [LeaveOneOut(), KFold(2), HoldOut(10), "cv", "loo"])
def test_every_rule_chooses_on_the_training_half(features, rule):
    a, b = features
    found = gfre(a, b, split=(TRAIN, TEST), regularization=rule)
    candidates = [gfre(a, b, split=(TRAIN, TEST), regularization=Fixed(10.0**k)) for k in range(-12, 1)]
    assert 0.9 * min(candidates) <= found <= max(candidates)
    # Test rows must have no say: with other values in all but one of them that one has the same error.
    changed = a.copy()
    changed[TEST[1:]] += 1.0
    one = (TRAIN, TEST[:1])
    assert gfre(changed, b, split=one, regularization=rule) == gfre(a, b, split=one, regularization=rule)


def test_what_is_contained_is_reconstructed(features, rng):
    a, _ = features
    linear = 4.0 + a @ rng.normal(size=(8, 20))
    assert gfre(a, linear) < 1e-9
    assert gfre(linear, a) < 1e-7  # the map back amplifies the regularizer
    assert gfre(a, a) < 1e-9
    assert lfre(a, linear, 15) < 1e-9
    assert residual_variance(a, a @ rng.normal(size=(8, 20))) < 1e-28


def test_unrelated_features_cost_one(rng):
    a, b = rng.normal(size=(2000, 3)), rng.normal(size=(2000, 4))
    assert gfre(a, b) == pytest.approx(1.0, abs=0.03)
    assert residual_variance(a, b) == pytest.approx(1.0, abs=0.03)
    assert gfre(np.ones((50, 2)), b[:50]) == pytest.approx(1.0, abs=0.3)


def test_scale_and_shift_do_not_matter(features):
    a, b = features
    assert gfre(1e6 * a - 5.0, 1e-6 * b + 1e-3) == pytest.approx(gfre(a, b), rel=1e-6)


def test_the_split_is_seeded(features):
    a, b = features
    assert gfre(a, b) == gfre(a, b)
    assert gfre(a, b) != gfre(a, b, seed=1)


def test_residual_variance_of_an_optimal_basis(systems):
    """By linear decoding of the primitive coefficients an orthonormal basis loses what its eigenvalues say."""
    frames = [systems("silicon_small")]
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0, 0.5),
        density_width=0.4,
        max_angular=2,
        basis=orbas.bases.GTO(6),
        spline_accuracy=1e-12,
    )
    optimal = orbas.OptimalBasis(density, n_optimal=2).fit(frames)

    lost = total = 0.0
    for key, block in density.transform(frames).items():
        rows = block.values.reshape(-1, block.values.shape[2])
        small = optimal.expansion_.transform(frames)[key].values
        lost += residual_variance(small.reshape(len(rows), -1), rows) * np.sum(rows**2)
        total += np.sum(rows**2)
    assert lost / total == pytest.approx(optimal.residual_variance_[1], rel=1e-8)


def test_features_are_taken_as_they_are(systems):
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0, 0.5), density_width=0.4, max_angular=2, basis=orbas.bases.GTO(4)
    )
    features = orbas.PowerSpectrum(density).transform([systems("silicon")])
    assert gfre(features.values[:, :3], features) == gfre(features.values[:, :3], features.values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, b: gfre(a, b[:-1]), "same samples, got 80 and 79"),
        (lambda a, b: gfre(a, np.ones_like(b)), "nothing to reconstruct"),
        (lambda a, b: gfre(np.where(a > 3, np.nan, a), b), "finite"),
        (lambda a, b: gfre(a[:, 0], b), "Reshape"),
        (lambda a, b: gfre(a, b, split=([0, 1, 80], TEST)), r"0\.\.79"),
        (lambda a, b: gfre(a, b, split=(TRAIN, [])), "training and test rows|row indices"),
        (lambda a, b: gfre(a, b, regularization="best"), "regularization"),
        (lambda a, b: gfre(a[:2], b[:2]), "training structures|nothing"),
        (lambda a, b: lfre(a, b, 41), "n_neighbors"),
        (lambda a, b: lfre(a, b, 4, regularization="cv"), "at least 5"),
        (lambda a, b: residual_variance(a, 0 * b), "b is zero"),
    ],
)
def test_errors_say_what_is_wrong(features, call, message):
    with pytest.raises(ValueError, match=message):
        call(*features)
