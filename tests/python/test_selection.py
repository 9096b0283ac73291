"""Greedy selection: the same picks as scikit-matter and as the equations written out, ties, copies, environments."""

from __future__ import annotations

import warnings

import ase.build
import numpy as np
import orbas
import pytest
import skmatter.feature_selection
import skmatter.sample_selection
from orbas.selection import CUR, FPS, select_environments

SKMATTER = {"features": skmatter.feature_selection, "samples": skmatter.sample_selection}
SHAPES = [(60, 30), (30, 60), (150, 90)]
SELECTORS = [CUR, FPS]


def decaying(rng, shape):
    """A dense matrix whose singular values fall over six decades."""
    rotation = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))[0]
    return rng.normal(size=shape) * np.geomspace(1, 1e-6, shape[1]) @ rotation + 0.3


def slow_fps(points, count, start=0):
    """Max-min distance, from differences."""
    picked, distances = [start], [np.inf]
    nearest = np.full(len(points), np.inf)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, np.linalg.norm(points - points[picked[-1]], axis=1))
        nearest[picked] = -1
        picked.append(int(np.argmax(nearest)))
        distances.append(nearest[picked[-1]])
    return picked, distances


def slow_cur(points, count):
    """Columns of the matrix are the points; a full decomposition for every pick."""
    matrix = points.T.copy()
    picked, scores = [], []
    for _ in range(count):
        pi = np.linalg.svd(matrix, full_matrices=False)[2][0] ** 2
        pi[picked] = -1
        picked.append(int(np.argmax(pi)))
        scores.append(pi[picked[-1]])
        direction = matrix[:, picked[-1]] / np.linalg.norm(matrix[:, picked[-1]])
        matrix -= np.outer(direction, direction @ matrix)
    return picked, scores


SLOW = {CUR: slow_cur, FPS: slow_fps}


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("axis", ["features", "samples"])
@pytest.mark.parametrize("shape", SHAPES)
def test_picks_are_those_of_scikit_matter(rng, selector, axis, shape):
    X = decaying(rng, shape)
    count = min(shape) // 2
    oracle = getattr(SKMATTER[axis], selector.__name__)(n_to_select=count).fit(X)
    found = selector(count, axis=axis).fit(X)
    np.testing.assert_array_equal(found.selected_idx_, oracle.selected_idx_)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("axis", ["features", "samples"])
@pytest.mark.parametrize("shape", [(20, 12), (12, 20)])
def test_picks_and_scores_are_those_of_the_equations(rng, selector, axis, shape):
    X = rng.normal(size=shape)
    points = X.T if axis == "features" else X
    picked, scores = SLOW[selector](points, 10)
    found = selector(10, axis=axis).fit(X)
    np.testing.assert_array_equal(found.selected_idx_, picked)
    np.testing.assert_allclose(found.scores_, scores, rtol=1e-9)


def test_bounds_of_distances_change_nothing(rng):
    """Enough points that most of them are passed over by the projection."""
    X = rng.normal(size=(3000, 80)) * np.geomspace(1, 1e-3, 80)
    picked, scores = slow_fps(X, 60, start=7)
    found = FPS(60, axis="samples", start=7).fit(X)
    np.testing.assert_array_equal(found.selected_idx_, picked)
    np.testing.assert_allclose(found.scores_, scores, rtol=1e-9)


def test_fps_of_a_distant_cloud(rng):
    """Norms a million times the distances: differences of norms alone would be rounding."""
    X = 1e6 + rng.normal(size=(200, 5))
    exact = X - 1e6
    found = FPS(40, axis="samples").fit(X)
    picked, scores = slow_fps(exact, 40)
    np.testing.assert_array_equal(found.selected_idx_, picked)
    np.testing.assert_allclose(found.scores_, scores, rtol=1e-6)


def test_fps_of_tight_clusters(rng):
    """Points of one cluster differ by 1e-5 of their norm."""
    centers = 10 * rng.normal(size=(4, 6))
    X = np.repeat(centers, 25, axis=0) + 1e-4 * rng.normal(size=(100, 6))
    found = FPS(30, axis="samples").fit(X)
    picked, scores = slow_fps(X - X.mean(axis=0), 30)
    np.testing.assert_array_equal(found.selected_idx_, picked)
    np.testing.assert_allclose(found.scores_, scores, rtol=1e-6)


def test_ties_go_to_the_lowest_index():
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5]])
    assert FPS(4, axis="samples").fit(corners).selected_idx_.tolist() == [0, 3, 1, 2]
    assert CUR(3).fit(np.eye(5) + 1.0).selected_idx_[0] == 0
    # Rotated, they are equal up to rounding only.
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(2, 2)))[0]
    assert FPS(4, axis="samples").fit(corners @ turn).selected_idx_.tolist() == [0, 3, 1, 2]


@pytest.mark.parametrize("selector", SELECTORS)
def test_copies_are_never_picked_twice(rng, selector):
    distinct = rng.normal(size=(12, 5))
    X = np.concatenate([distinct, distinct[::-1], distinct * (1 + 1e-15)])
    with pytest.warns(UserWarning, match=r"30 samples were asked for, 12 were selected"):
        found = selector(30, axis="samples").fit(X)
    assert len(found.selected_idx_) == 12
    kept = X[found.selected_idx_]
    assert np.linalg.matrix_rank(np.round(kept, 9)) == 5
    assert len(np.unique(np.round(kept, 9), axis=0)) == 12


def test_cur_begins_a_new_round_when_all_is_spanned(rng):
    """More picks than dimensions: the second round is what the rest alone would give."""
    X = rng.normal(size=(40, 5))
    picked = CUR(12, axis="samples").fit(X).selected_idx_
    assert len(set(picked)) == 12
    rest = np.setdiff1d(np.arange(40), picked[:5])
    np.testing.assert_array_equal(picked[5:10], rest[CUR(5, axis="samples").fit(X[rest]).selected_idx_])


def test_cur_spans_the_features(rng):
    """As many picks as the rank reproduce the matrix, however small its last singular values."""
    X = rng.normal(size=(50, 6)) * np.geomspace(1, 1e-5, 6) @ rng.normal(size=(6, 20))
    kept = CUR(6).fit(X).transform(X)
    solution = np.linalg.lstsq(kept, X, rcond=None)[0]
    np.testing.assert_allclose(kept @ solution, X, atol=1e-9)


@pytest.mark.parametrize("selector", SELECTORS)
def test_what_is_fitted(rng, selector):
    X = rng.normal(size=(30, 8))
    found = selector(3).fit(X)
    rising = np.sort(found.selected_idx_)
    np.testing.assert_array_equal(found.transform(X), X[:, rising])
    np.testing.assert_array_equal(found.get_support(indices=True), rising)
    np.testing.assert_array_equal(np.flatnonzero(found.get_support()), rising)
    assert found.get_support().shape == (8,)
    assert list(found.get_feature_names_out()) == [f"x{k}" for k in rising]
    assert len(selector().fit(X).selected_idx_) == 4
    np.testing.assert_array_equal(selector(3).fit_transform(X), found.transform(X))
    rows = selector(3, axis="samples").fit(X)
    assert rows.get_support().shape == (30,)
    assert not hasattr(rows, "transform")
    for n in (1, 2):  # a shorter selection is the beginning of a longer one
        np.testing.assert_array_equal(selector(n).fit(X).selected_idx_, found.selected_idx_[:n])


def test_zeros_have_nothing_to_select():
    with pytest.warns(UserWarning, match="0 were selected"):
        assert len(CUR(2).fit(np.zeros((4, 3))).selected_idx_) == 0
    with pytest.warns(UserWarning, match="1 were selected"):
        assert FPS(2).fit(np.zeros((4, 3))).selected_idx_.tolist() == [0]


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (CUR(9), "n=9 of n_features=8"),
        (CUR(0), "an integer from 1 on, got 0"),
        (CUR(2.0), "an integer from 1 on, got 2.0"),
        (CUR(2, axis="rows"), "axis"),
        (FPS(2, start=8), r"0\.\.7"),
        (FPS(2, start="first"), "start"),
    ],
)
def test_settings_out_of_range(rng, selector, message):
    with pytest.raises(ValueError, match=message):
        selector.fit(rng.normal(size=(30, 8)))


# ------------------------------------------------------------------ environments


@pytest.fixture
def environments(rng):
    """Features of 60 carbon, 30 hydrogen and 2 oxygen environments, in mixed order."""
    numbers = rng.permutation(np.repeat([6, 1, 8], [60, 30, 2]))
    return rng.normal(size=(92, 7)), numbers


@pytest.mark.parametrize("method", ["fps", "cur", FPS(), CUR()])
def test_environments_are_chosen_by_species(environments, method):
    values, numbers = environments
    rows = select_environments(values, numbers, {1: 5, 6: 10, 8: 0}, method)
    assert (np.diff(rows) > 0).all()
    selector = CUR if method == "cur" or isinstance(method, CUR) else FPS
    for number, count in {1: 5, 6: 10}.items():
        own = np.flatnonzero(numbers == number)
        expected = own[selector(count, axis="samples").fit(values[own]).selected_idx_]
        np.testing.assert_array_equal(rows[numbers[rows] == number], np.sort(expected))
    assert len(rows) == 15


@pytest.mark.parametrize(
    ("total", "expected"), [(3, [1, 1, 1]), (4, [1, 2, 1]), (23, [8, 14, 1]), (91, [30, 59, 2]), (92, [30, 60, 2])]
)
def test_species_share_in_proportion(environments, total, expected):
    values, numbers = environments
    chosen = numbers[select_environments(values, numbers, total)]
    assert len(chosen) == total
    assert [int(np.sum(chosen == number)) for number in (1, 6, 8)] == expected


def test_parameters_of_the_method_are_kept(environments):
    values, numbers = environments
    rows = select_environments(values, numbers, {1: 1, 6: 1, 8: 1}, FPS(start=1))
    np.testing.assert_array_equal(rows, np.sort([np.flatnonzero(numbers == number)[1] for number in (1, 6, 8)]))


def test_too_many_environments_are_all_of_them(environments):
    values, numbers = environments
    with pytest.warns(UserWarning, match="100 environments were asked for, there are 92"):
        assert len(select_environments(values, numbers, 100)) == 92
    with pytest.warns(UserWarning, match="3 environments of species 8 were asked for, there are 2"):
        assert len(select_environments(values, numbers, {1: 0, 6: 0, 8: 3})) == 2


def test_a_perfect_crystal_has_one_environment():
    atoms = ase.build.bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2)
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0, 0.5), density_width=0.4, max_angular=3, basis=orbas.bases.GTO(4)
    )
    features = orbas.PowerSpectrum(density).transform([atoms])
    for method in ("fps", "cur"):
        with pytest.warns(UserWarning, match="were selected"):
            rows = select_environments(features.values, features.center_numbers, 10, method)
        assert rows.tolist() == [0]


def test_wrong_requests(environments):
    values, numbers = environments
    for n_sparse, message in [
        (2, ">= 3"),
        ({1: 1, 6: 1}, r"\[8\]"),
        ({1: 1, 6: 1, 8: 1, 7: 1}, "species 7"),
        ({1: 1, 6: 1, 8: -1}, ">= 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            select_environments(values, numbers, n_sparse)
    with pytest.raises(ValueError, match="92 atomic numbers"):
        select_environments(values, numbers[:-1], 5)
    with pytest.raises(TypeError, match="method"):
        select_environments(values, numbers, 5, "random")


def test_no_warning_where_all_is_well(environments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        select_environments(*environments, 20)
