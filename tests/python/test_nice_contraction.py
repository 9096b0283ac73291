"""Contractions of NICE against LAPACK's other roads to the same components, and in threads."""

import numpy as np
import orbas
import pytest
from orbas.invariants.nice.contraction import FEW_ROWS, Moments, orthonormal
from orbas.optimal.basis import eigenpairs
from orbas.parallel import each
from scipy.linalg import eigh, qr


def rows(n, width, seed, decay=0.05):
    """Rows whose variances fall by a factor from each direction to the next: every component has a gap."""
    generator = np.random.default_rng(seed)
    turn = qr(generator.normal(size=(width, width)))[0]
    return generator.normal(size=(n, width)) * np.exp(-decay * np.arange(width)) @ turn


def test_eigenpairs_are_those_of_a_subset_by_bisection():
    x = rows(500, 120, seed=1)
    matrix = x.T @ x / len(x)
    values, vectors = eigenpairs(matrix, 30)
    reference, directions = eigh(matrix, subset_by_index=(90, 119))
    assert vectors.shape == (120, 30)
    np.testing.assert_allclose(values, reference[::-1], rtol=1e-12)
    overlap = np.abs(np.sum(vectors * directions[:, ::-1], axis=0))
    np.testing.assert_allclose(overlap, 1, atol=1e-10)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(30), atol=1e-13)
    captured = np.sum((x @ vectors) ** 2) / len(x)
    assert abs(captured - reference.sum()) <= 1e-10 * reference.sum()


def test_eigenpairs_of_nothing_and_of_all():
    assert eigenpairs(np.zeros((0, 0)), 5)[1].shape == (0, 0)
    assert eigenpairs(np.diag([1.0, 3.0, 2.0]), 7)[0].tolist() == [3, 2, 1]


def test_columns_become_orthonormal_in_their_order():
    nearly = qr(np.random.default_rng(2).normal(size=(80, 20)), mode="economic")[0]
    nearly = nearly + 1e-6 * np.random.default_rng(3).normal(size=nearly.shape)
    reference, triangle = qr(nearly, mode="economic")
    made = orthonormal(nearly)
    np.testing.assert_allclose(made, reference * np.sign(np.diag(triangle)), atol=1e-14)
    np.testing.assert_allclose(made.T @ made, np.eye(20), atol=1e-14)


@pytest.mark.parametrize("n_lower", [0, 3])
def test_few_rows_give_the_components_of_the_covariance(n_lower):
    n, width, kept = 150, FEW_ROWS + 50, 40
    x, z = rows(n, width, seed=4, decay=0.02), np.random.default_rng(5).normal(size=(n, n_lower))
    made = []
    for n_rows in (n, 10 * width):  # what is announced decides what is kept: rows, or their products
        moments = Moments(width, n_lower, n_rows, full=True)
        assert moments.few_rows == (n_rows == n)
        moments.add(x[:70], z[:70])
        moments.add(x[70:], z[70:])
        made.append(moments.contract(kept, n))
    few, many = made
    np.testing.assert_allclose(few.variances, many.variances, rtol=1e-10)
    assert abs(few.variances.sum() - many.variances.sum()) <= 1e-10 * many.variances.sum()
    np.testing.assert_allclose(few.matrix @ few.matrix.T, many.matrix @ many.matrix.T, atol=1e-8)
    np.testing.assert_allclose(few.matrix.T @ few.matrix, np.eye(kept), atol=1e-13)


def test_a_fit_is_the_same_to_the_bit_in_any_number_of_threads(threads):
    frames = orbas.datasets.qm9(n=15, seed=2)
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(3.5, 0.5), density_width=0.4, max_angular=2, basis=orbas.bases.GTO(2)
    )
    features, reports = [], []
    for n in (1, 2, 5):
        threads(n)
        nice = orbas.NICE(density, nu_max=3, n_components=(10, 0), n_invariants=20, n_purify=5).fit(frames)
        features.append(nice.transform(frames[:3]).values)
        reports.append(nice.contractions_)
    for other, told in zip(features[1:], reports[1:], strict=True):
        np.testing.assert_array_equal(other, features[0])
        assert told == reports[0]


@pytest.mark.parametrize("n", [1, 4])
def test_each_keeps_the_order_and_hands_on_errors(threads, n):
    threads(n)
    assert each(lambda x: x * x, [3, 1, 2]) == [9, 1, 4]
    assert each(lambda x: x, []) == []
    with pytest.raises(ZeroDivisionError):
        each(lambda x: 1 / x, [1, 0, 2])
