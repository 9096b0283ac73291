"""NICE in single precision, against double precision and what its arithmetic allows."""

import numpy as np
import orbas
import pytest

#: Largest relative error of one rounding.
UNIT = 2.0**-24
MAX_ANGULAR = 2
#: Roundings on the way of one expanded pair: both factors, its own, and a sum over products of orders m.
COUPLING = 4 + (2 * MAX_ANGULAR + 1) ** 2


@pytest.fixture(scope="module")
def frames():
    return orbas.datasets.qm9(n=12, seed=3)


def fitted(frames, **settings):
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(3.5, 0.5), density_width=0.4, max_angular=MAX_ANGULAR, basis=orbas.bases.GTO(2)
    )
    return orbas.NICE(density, max_lambda=MAX_ANGULAR, **settings).fit(frames)


def norms(nice, frames):
    density = nice.density.transform(frames)
    squares = np.zeros(sum(map(len, frames)))
    starts = np.cumsum([0, *map(len, frames)])
    for block in density.values():
        atoms = starts[block.samples[:, 0]] + block.samples[:, 1]
        squares[atoms] += np.sum(block.values**2, axis=(1, 2))
    return np.sqrt(squares)


def by_order(nice, features):
    return np.split(features.values, np.cumsum(nice.n_features_)[:-1], axis=1)


@pytest.mark.parametrize(("n_components", "n_invariants"), [((None, 0), None), ((12, 0), 20)])
def test_errors_are_those_of_the_arithmetic(frames, n_components, n_invariants):
    """Couplings and projections are orthogonal: errors grow by what each order rounds, in units of |density|^nu.

    A product with A^T of k rows and p orthonormal columns rounds by at most ``k UNIT sqrt(p) |x|``, and A itself, once
    rounded, by ``UNIT sqrt(p) |x|``.
    """
    nice = fitted(frames, nu_max=3, n_components=n_components, n_invariants=n_invariants)
    double = nice.transform(frames)
    single = nice.transform(frames, single_precision=True)
    assert double.values.dtype == np.float64
    assert single.values.dtype == np.float32
    lengths, roundings = norms(nice, frames), 1.0
    for nu, (a, b) in enumerate(zip(by_order(nice, single), by_order(nice, double), strict=True), start=1):
        made = [c for c in nice.contractions_ if c.nu == nu]
        contracted = [c for c in made if c.n_components < c.n_pairs]
        roundings += COUPLING + max(((c.n_pairs + 1) * np.sqrt(c.n_components) for c in contracted), default=0.0)
        error = np.linalg.norm(a - b, axis=1)
        assert np.all(error <= roundings * UNIT * lengths**nu)
        # Roundings are random: far below the bound.
        assert np.all(error <= 1e-6 * lengths**nu)


def test_purification_adds_what_it_multiplies_with(frames):
    nice = fitted(frames, nu_max=2, n_components=0, n_invariants=30, n_purify=None)
    double, single = nice.transform(frames), nice.transform(frames, single_precision=True)
    _, _, (matrix, [(_, lower)]) = nice.iterations_[None].orders[0].invariants
    z, lengths = np.linalg.norm(by_order(nice, double)[0], axis=1), norms(nice, frames)
    pairs = (COUPLING + np.sqrt(matrix.shape[1]) * (len(matrix) + len(lower) + 2)) * UNIT * lengths**2
    purified = (len(matrix) + len(lower) + 3) * UNIT * np.linalg.norm(lower) * z
    error = np.linalg.norm(by_order(nice, single)[1] - by_order(nice, double)[1], axis=1)
    assert np.all(error <= pairs + purified)


def test_per_center_and_empty_features(frames):
    nice = fitted(frames, nu_max=2, n_components=0, n_invariants=5, per_center=True)
    double, single = nice.transform(frames), nice.transform(frames, single_precision=True)
    assert single.values.dtype == np.float32
    assert np.array_equal(double.values == 0, single.values == 0)
    assert np.abs(single.values - double.values).max() <= 1e-6 * np.abs(double.values).max()


def test_threads_and_batches_do_not_change_a_bit(frames, threads):
    nice = fitted(frames, nu_max=3, n_components=(12, 0), n_invariants=20)
    results = []
    for n in (1, 2, 5):
        threads(n)
        results.append(nice.transform(frames, single_precision=True).values)
    results.append(np.concatenate([nice.transform([frame], single_precision=True).values for frame in frames]))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_numbers_beyond_the_range_are_refused():
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(3.5, 0.5),
        density_width=0.4,
        max_angular=1,
        basis=orbas.bases.GTO(2),
        center_weight=1e6,
    )
    frames = orbas.datasets.qm9(n=2, seed=0)
    nice = orbas.NICE(density, nu_max=8, n_pairs=4, n_components=1).fit(frames)
    assert np.isfinite(nice.transform(frames).values).all()
    with pytest.raises(ValueError, match="atom 9 of structure 0 exceed single precision"):
        nice.transform(frames, single_precision=True)
