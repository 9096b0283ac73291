"""The triangular factor of rows in pieces, and ridge regression read off it, against dense linear algebra."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from orbas.fit.triangle import Triangle
from orbas.models import DEFAULT_ALPHAS
from scipy.stats import multivariate_normal

SHAPES = [(300, 12), (12, 12), (7, 12), (3000, 5)]
ALPHAS = np.array(DEFAULT_ALPHAS)


def problem(shape, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=shape)
    return rows, rows @ rng.normal(size=shape[1]) + 0.1 * rng.normal(size=shape[0])


def triangle_of(rows, targets, sizes=(10**9,)):
    triangle, start = Triangle(rows.shape[1]), 0
    while start < len(rows):
        for size in sizes:
            triangle.add(rows[start : start + size], targets[start : start + size])
            start += size
    return triangle


def by_augmented_lstsq(rows, targets, alpha):
    n = rows.shape[1]
    stacked = np.vstack([rows, np.sqrt(alpha) * np.eye(n)])
    return np.linalg.lstsq(stacked, np.concatenate([targets, np.zeros(n)]), rcond=None)[0]


@pytest.mark.parametrize("sizes", [(1,), (7, 1, 100), (1024,), (1025, 3), (10**9,)])
@pytest.mark.parametrize("shape", SHAPES)
def test_pieces_of_any_size_have_the_factor_of_all_rows(shape, sizes):
    rows, targets = problem(shape)
    triangle = triangle_of(rows, targets, sizes)
    factor, both = triangle.factor, np.column_stack([rows, targets])
    assert triangle.n_rows == len(rows)
    assert factor.shape == (shape[1] + 1, shape[1] + 1)
    assert np.array_equal(factor, np.triu(factor))
    np.testing.assert_allclose(factor.T @ factor, both.T @ both, rtol=1e-12, atol=1e-11)
    if shape[0] > shape[1]:
        expected = np.linalg.qr(both, mode="r")
        np.testing.assert_allclose(np.abs(factor), np.abs(expected), atol=1e-11)


@pytest.mark.parametrize("n_rows", [30, 600, 1500])
def test_factors_of_several_panels(n_rows):
    """More columns than one panel holds, some of them zero, and copies; in pieces, merged and damped."""
    rows, targets = problem((n_rows, 530))
    rows[:, [3, 255, 256, 400]] = 0.0
    rows[:, 300] = rows[:, 2]
    triangle, both = triangle_of(rows, targets, (700,)), np.column_stack([rows, targets])
    expected = both.T @ both
    assert np.array_equal(triangle.factor, np.triu(triangle.factor))
    np.testing.assert_allclose(triangle.factor.T @ triangle.factor, expected, rtol=1e-11, atol=1e-10)
    merged = triangle.merged(triangle_of(rows[:20], targets[:20])).factor
    np.testing.assert_allclose(merged.T @ merged, expected + both[:20].T @ both[:20], rtol=1e-11, atol=1e-10)
    for alpha in (1e-6, 10.0):
        found = triangle.weights([alpha])[0]
        np.testing.assert_allclose(found, by_augmented_lstsq(rows, targets, alpha), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_of_single_regularizers_are_those_of_the_path(shape):
    rows, targets = problem(shape)
    triangle = triangle_of(rows, targets, (50,))
    path, alphas = triangle.path(), 10.0 ** np.arange(-8.0, 3.0)
    assert triangle.scale == pytest.approx(path.scale, rel=1e-13)
    np.testing.assert_allclose(triangle.weights(alphas), path.weights(alphas), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        triangle.weights([0.1])[0], by_augmented_lstsq(rows, targets, 0.1), rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_merged_is_the_triangle_of_both(shape):
    first, second = problem(shape, 1), problem((50, shape[1]), 2)
    merged = triangle_of(*first).merged(triangle_of(*second, (9,)))
    rows, targets = np.vstack([first[0], second[0]]), np.concatenate([first[1], second[1]])
    both = np.column_stack([rows, targets])
    assert merged.n_rows == len(rows)
    np.testing.assert_allclose(merged.factor.T @ merged.factor, both.T @ both, rtol=1e-12, atol=1e-11)
    empty = Triangle(shape[1])
    for same in (empty.merged(triangle_of(*first)), triangle_of(*first).merged(empty)):
        np.testing.assert_allclose(np.abs(same.factor), np.abs(triangle_of(*first).factor), atol=1e-12)


def test_merging_leaves_both_as_they_were():
    first, second = triangle_of(*problem((40, 6), 1)), triangle_of(*problem((30, 6), 2))
    before = first.factor.copy(), second.factor.copy()
    first.merged(second)
    assert np.array_equal(first.factor, before[0])
    assert np.array_equal(second.factor, before[1])


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_for_every_alpha(shape):
    rows, targets = problem(shape)
    path = triangle_of(rows, targets, (37,)).path()
    assert path.scale == pytest.approx(np.mean(np.sum(rows**2, axis=1)), rel=1e-12)
    alphas = ALPHAS * path.scale
    weights, squares = path.weights(alphas), path.squares(alphas)
    assert weights.shape == (25, shape[1])
    for found, square, alpha in zip(weights, squares, alphas, strict=True):
        expected = by_augmented_lstsq(rows, targets, alpha)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
        residual = np.sum((rows @ expected - targets) ** 2)
        assert square == pytest.approx(residual, rel=1e-7, abs=1e-11 * np.sum(targets**2))


def test_squares_of_any_weights(rng):
    rows, targets = problem((200, 9))
    triangle = triangle_of(rows, targets, (13,))
    weights = rng.normal(size=(4, 3, 9))
    expected = np.sum((np.einsum("kc,abc->abk", rows, weights) - targets) ** 2, axis=-1)
    np.testing.assert_allclose(triangle.squares(weights), expected, rtol=1e-12)
    assert triangle.squares(weights[0, 0]) == pytest.approx(expected[0, 0], rel=1e-12)


@pytest.mark.parametrize("shape", [(60, 8), (8, 8), (5, 8)])
def test_evidence_is_the_marginal_likelihood(shape):
    """``y ~ N(0, noise (1 + X X^T / alpha))``, at the noise of the largest likelihood, up to a constant."""
    rows, targets = problem(shape)
    alphas = np.geomspace(1e-4, 1e2, 7)
    found = triangle_of(rows, targets).path().evidence(alphas)
    expected = []
    for alpha in alphas:
        covariance = np.eye(len(rows)) + rows @ rows.T / alpha
        noise = targets @ np.linalg.solve(covariance, targets) / len(rows)
        expected.append(multivariate_normal.logpdf(targets, cov=noise * covariance))
    np.testing.assert_allclose(found - found[0], np.array(expected) - expected[0], rtol=1e-7, atol=1e-7)


def test_zero_rows_and_zero_columns():
    path = triangle_of(np.zeros((20, 4)), np.zeros(20)).path()
    assert path.scale == 1.0
    assert np.array_equal(path.weights(ALPHAS), np.zeros((25, 4)))
    rows, targets = problem((30, 4))
    rows[:, 2] = 0
    assert np.array_equal(triangle_of(rows, targets).path().weights(ALPHAS)[:, 2], np.zeros(25))


def graded(n_rows, n_columns, condition, seed=3):
    """Singular values that fall evenly over decades, and targets of weights that all of them carry."""
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.normal(size=(n_rows, n_columns)))[0]
    right = np.linalg.qr(rng.normal(size=(n_columns, n_columns)))[0]
    rows = left * np.geomspace(1, 1 / condition, n_columns) @ right.T
    return rows, rows @ rng.normal(size=n_columns) + 1e-7 * rng.normal(size=n_rows)


def by_svd(rows, targets, alpha):
    left, singular, right = np.linalg.svd(rows, full_matrices=False)
    return (singular / (singular**2 + alpha) * (left.T @ targets)) @ right


@pytest.mark.parametrize("kind", ["condition 1e16", "duplicated columns", "duplicated rows"])
def test_ill_conditioned_rows_predict_as_the_svd_does(kind):  # docs/reliability.md, row 43
    rows, targets = graded(400, 30, 1e16 if kind == "condition 1e16" else 1e3)
    if kind == "duplicated columns":
        rows = np.hstack([rows, rows, rows[:, :5]])
    if kind == "duplicated rows":
        rows, targets = np.vstack([rows, rows]), np.concatenate([targets, targets])
    path = triangle_of(rows, targets, (64,)).path()
    alphas = ALPHAS * path.scale
    for weights, alpha in zip(path.weights(alphas), alphas, strict=True):
        assert np.isfinite(weights).all()
        expected = rows @ by_svd(rows, targets, alpha)
        assert np.abs(rows @ weights - expected).max() <= 1e-6 * np.abs(targets).max()
    assert np.isfinite(path.evidence(alphas)).all()
    assert np.isfinite(path.posterior(alphas[0], 1.0).leverages(rows)).all()


def test_small_singular_values_keep_their_digits():
    """At 1e-10 of the largest, where a Gram matrix has lost everything."""
    rows, _ = graded(400, 11, 1e10)
    found = triangle_of(rows, np.zeros(400), (50,)).path().singular_values
    np.testing.assert_allclose(found, np.geomspace(1, 1e-10, 11), rtol=1e-4)


def peak_of(n_pieces):
    rng = np.random.default_rng(0)
    triangle = Triangle(40)
    tracemalloc.start()
    for _ in range(n_pieces):
        triangle.add(rng.normal(size=(500, 40)), rng.normal(size=500))
    triangle.path()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_rows():
    peak_of(8)  # what is imported and made once
    assert peak_of(160) <= 1.05 * peak_of(8)


@pytest.mark.parametrize("done", [0, 5, 1023, 1024, 1500])
def test_a_restored_triangle_goes_on_to_the_same_bits(done):
    rows, targets = problem((2500, 17))

    def add(triangle, start, stop):
        for k in range(start, stop, 5):
            triangle.add(rows[k : min(k + 5, stop)], targets[k : min(k + 5, stop)])

    whole, half = Triangle(17), Triangle(17)
    add(whole, 0, done)
    add(half, 0, done)
    copy = Triangle.restored(*(np.copy(part) if isinstance(part, np.ndarray) else part for part in half.state()))
    for triangle in (whole, copy):
        add(triangle, done, 2500)
    assert copy.n_rows == whole.n_rows == 2500
    assert np.array_equal(copy.factor, whole.factor)
