"""What each order knows: degenerate environments, and linear models of targets of known body order.

Degenerate pairs. Two environments are the same to order nu if their multisets of nu-tuples of neighbors are, each
tuple taken up to turns and reflections (Pozdnyakov et al., PRL 125, 166001 (2020)).

* nu = 2, four neighbors, planar: angles 0, 45, 135, 180 and 0, 45, 90, 225 degrees on a circle, the homometric sets
  {0, 1, 3, 4} and {0, 1, 2, 5} modulo 8. Both have the angles 45, 45, 90, 135, 135, 180 between neighbors.
* nu = 2, four neighbors, not planar: a member of a continuous family. Keep unit vectors A, B, B' and add C with
  (A.C, B.C, B'.C) = (u, v, w) or (v, u, w): the same six angles. With M the inverse of the Gram matrix of A, B, B',
  |C|^2 = d M d for d = (u, v, w), and both are unit vectors if
  (M_AA - M_BB) (u + v) + 2 (M_AB' - M_BB') w = 0, after a common scale.
* nu = 3, six neighbors: (-1, 0, z), (0, -1, z), (1, 0, -z), (0, 1, -z), (-1, 0, 0) and either (0, 1, 0) or
  (0, -1, 0), for any z. Found by a search over subsets of the corners of a prism: all twenty triples agree.
"""

from __future__ import annotations

import itertools

import ase
import nice_oracle
import numpy as np
import orbas
import pytest
from oracle import Setup, by_degree

SETUP = Setup(radius=3.5, density_width=0.3, max_angular=3, n_radial=2, species=(1, 6), center_weight=0.0)
SOME = {"n_pairs": None, "n_components": 40, "n_invariants": 40}


def circle():
    angles = (np.radians(45) * np.array(steps) for steps in ((0, 1, 3, 4), (0, 1, 2, 5)))
    return tuple(1.1 * np.stack([np.cos(phi), np.sin(phi), 0 * phi], axis=1) for phi in angles)


def family(u=0.7, v=-0.2):
    shared = np.array([[1.0, 0.2, 0.1], [-0.3, 1.0, 0.2], [0.1, -0.5, 1.0]])
    shared /= np.linalg.norm(shared, axis=1)[:, None]
    M = np.linalg.inv(shared @ shared.T)
    w = -(M[0, 0] - M[1, 1]) * (u + v) / (2 * (M[0, 2] - M[1, 2]))
    pair = []
    for d in ([u, v, w], [v, u, w]):
        d = np.array(d) / np.sqrt(np.array(d) @ M @ np.array(d))
        pair.append(1.1 * np.vstack([shared, d @ M @ shared]))
    return tuple(pair)


def prism(z=0.63):
    shared = [[-1, 0, z], [0, -1, z], [1, 0, -z], [0, 1, -z], [-1, 0, 0]]
    return tuple(np.array([*shared, [0, y, 0]]) for y in (1.0, -1.0))


PAIRS = [(circle, 3), (family, 3), (prism, 4)]  # and the first order that tells them apart


def with_carbon(neighbors):
    return ase.Atoms("C" + "H" * len(neighbors), positions=np.vstack([[0, 0, 0], neighbors]))


def tuples(neighbors, n):
    """The sorted n-tuples of neighbors, each as the smallest of the rounded Gram matrices of its permutations."""
    found = []
    for chosen in itertools.combinations(neighbors, n):
        grams = (np.array(order) @ np.array(order).T for order in itertools.permutations(chosen))
        found.append(min(tuple(np.round(gram.ravel(), 9) + 0.0) for gram in grams))
    return sorted(found)


@pytest.mark.parametrize(("pair", "order"), PAIRS)
def test_pairs_are_what_they_say(pair, order):
    for n in range(1, order + 1):
        same = np.allclose(tuples(pair()[0], n), tuples(pair()[1], n), rtol=0, atol=1e-8)
        assert same == (n < order)


def nice_features(nu_max, density, frames, centers):
    """Features of the first atoms of two structures, of a NICE fitted to all of them."""
    features = orbas.NICE(density, nu_max=nu_max, **SOME).fit(frames).transform(frames)
    rows = [np.flatnonzero((features.samples == [s, 0]).all(axis=1))[0] for s in centers]
    return features.values[rows]


@pytest.mark.parametrize(("pair", "order"), PAIRS)
def test_oracle_tells_them_apart_where_it_must(pair, order):
    frames = [with_carbon(neighbors) for neighbors in pair()]
    coefficients = SETUP.but(max_angular=2, n_radial=1).coefficients(frames)
    centers = [c[[0, len(frames[0])]] for c in coefficients]
    for nu in range(1, order + 1):
        one, two = nice_oracle.invariants(centers, nu)
        distance = np.linalg.norm(one - two) / np.linalg.norm(one)
        assert distance <= 1e-13 if nu < order else distance >= 1e-2


@pytest.mark.parametrize(("pair", "order"), PAIRS)
def test_nice_tells_them_apart_where_it_must(pair, order):
    frames = [with_carbon(neighbors) for neighbors in pair()]
    density = SETUP.but(max_angular=2).density()
    for nu_max in range(2, order + 1):
        one, two = nice_features(nu_max, density, frames, (0, 1))
        distance = np.linalg.norm(one - two) / np.linalg.norm(one)
        assert distance <= 1e-10 if nu_max < order else distance >= 1e-3, nu_max


@pytest.mark.parametrize("pair", [circle, family])
def test_power_spectrum_and_bispectrum(pair):
    frames = [with_carbon(neighbors) for neighbors in pair()]
    for kind, least, most in ((orbas.PowerSpectrum, 0, 1e-10), (orbas.Bispectrum, 1e-2, np.inf)):
        features = kind(SETUP.density()).fit(frames).transform(frames)
        one, two = features.values[[0, len(frames[0])]]
        assert least <= np.linalg.norm(one - two) / np.linalg.norm(one) <= most


def test_bispectrum_is_blind_where_order_four_is_not():
    frames = [with_carbon(neighbors) for neighbors in prism()]
    features = orbas.Bispectrum(SETUP.density()).fit(frames).transform(frames)
    one, two = features.values[[0, len(frames[0])]]
    assert np.linalg.norm(one - two) <= 1e-10 * np.linalg.norm(one)


# --- Learning --------------------------------------------------------------------------------------------------------


def random_methane(n, seed):
    """Hydrogens anywhere between 0.7 and 2.4 Å from the carbon, not closer than 0.5 Å to each other."""
    rng, frames = np.random.default_rng(seed), []
    while len(frames) < n:
        directions = rng.normal(size=(4, 3))
        radii = rng.uniform(0.7, 2.4, size=(4, 1))
        hydrogens = radii * directions / np.linalg.norm(directions, axis=1)[:, None]
        if min(np.linalg.norm(a - b) for a, b in itertools.combinations(hydrogens, 2)) > 0.5:
            frames.append(with_carbon(hydrogens))
    return frames


def carbon_features(nice, frames):
    features = nice.transform(frames)
    return features.values[features.center_numbers == 6]


def error_of_linear_model(features, target, n_train, ridge):
    """Relative root mean square error on the structures after the first n_train, columns scaled, with a constant."""
    X = np.column_stack([np.ones(len(features)), features])
    X = X / np.maximum(np.sqrt(np.mean(X[:n_train] ** 2, axis=0)), 1e-12 * np.abs(X).max())
    rows = np.vstack([X[:n_train], np.sqrt(ridge * n_train) * np.eye(X.shape[1])])
    right = np.concatenate([target[:n_train], np.zeros(X.shape[1])])
    weights = np.linalg.lstsq(rows, right, rcond=1e-14)[0]
    residual = target[n_train:] - X[n_train:] @ weights
    return np.sqrt(np.mean(residual**2)) / np.std(target[n_train:])


def one_channel(frames):
    """A density with one function for each l <= 2, and its coefficients s, v (a vector), Q (a matrix) at carbons."""
    primitive = SETUP.but(max_angular=2, n_radial=4).density()
    density = orbas.OptimalBasis(primitive, n_optimal=1).fit(frames).expansion_
    carbons = np.concatenate([atoms.numbers for atoms in frames]) == 6
    s, v, q = (c[carbons, :, 0] for c in by_degree(density.transform(frames), frames))
    xy, yz, zz, xz, xx_yy = q.T
    xx, yy = (-zz / np.sqrt(3) + xx_yy), (-zz / np.sqrt(3) - xx_yy)
    Q = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, 2 * zz / np.sqrt(3)]]).transpose(2, 0, 1)
    return density, s[:, 0], v[:, [2, 0, 1]], Q  # v as x, y, z


@pytest.fixture(scope="module")
def methane():
    return random_methane(160, seed=7)


@pytest.fixture(scope="module")
def bodies(methane):
    """Targets of exactly nu neighbors, polynomials in s, v and Q that no lower order can make."""
    density, s, v, Q = one_channel(methane)
    vQv = np.einsum("ia,iab,ib->i", v, Q, v)
    vQQv = np.einsum("ia,iab,ibc,ic->i", v, Q, Q, v)
    targets = {2: np.sum(v * v, axis=1), 3: vQv, 4: vQQv}
    assert np.std(s) > 0
    return density, {nu: (target - target.mean()) / target.std() for nu, target in targets.items()}


@pytest.mark.parametrize("nu_max", [2, 3, 4])
def test_order_nu_learns_targets_of_nu_neighbors_exactly(nu_max, bodies, methane):
    density, targets = bodies
    nice = orbas.NICE(density, nu_max=nu_max, n_pairs=None, n_components=None, n_invariants=None).fit(methane)
    features = carbon_features(nice, methane)
    for order, target in targets.items():
        error = error_of_linear_model(features, target, 120, ridge=1e-28)
        assert error <= 1e-6 if order <= nu_max else error >= 0.02, (order, error)


def many_body_target(frames):
    """Terms of one to four hydrogens, each with unit spread: distances, angles, triple products, volumes."""
    columns = []
    for atoms in frames:
        r = atoms.positions[1:] - atoms.positions[0]
        g = np.exp(-np.linalg.norm(r, axis=1))
        unit = r / np.linalg.norm(r, axis=1)[:, None]
        pairs = sum(g[j] * g[k] * (unit[j] @ unit[k]) ** 2 for j, k in itertools.combinations(range(4), 2))
        triples = sum(
            np.prod(g[list(t)]) * np.linalg.det(unit[list(t)]) ** 2 for t in itertools.combinations(range(4), 3)
        )
        volume = np.prod(g) * np.linalg.det(unit[1:] - unit[0]) ** 2
        columns.append([g.sum(), pairs, triples, volume])
    columns = np.array(columns)
    return np.sum((columns - columns.mean(axis=0)) / columns.std(axis=0), axis=1)


def test_each_order_learns_more():
    """The point of NICE on random methane: below the body order of the target a linear model saturates."""
    frames = random_methane(600, seed=17)
    target, n_train = many_body_target(frames), 500
    primitive = SETUP.but(n_radial=6).density()
    density = orbas.OptimalBasis(primitive, n_optimal=[3, 2, 2, 1]).fit(frames[:n_train]).expansion_
    errors = [error_of_linear_model(by_degree(density.transform(frames), frames)[0][::5, 0], target, n_train, 1e-8)]
    for nu_max in (2, 3, 4):
        nice = orbas.NICE(density, nu_max=nu_max, n_pairs=300, n_components=60, n_invariants=80)
        features = carbon_features(nice.fit(frames[:n_train]), frames)
        errors.append(error_of_linear_model(features, target, n_train, ridge=1e-8))
    assert all(after < 0.85 * before for before, after in itertools.pairwise(errors)), errors
