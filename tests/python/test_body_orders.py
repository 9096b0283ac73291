"""Body-order iteration beyond its values: gradients, purification, kinds of centers, adapted bases, errors."""

from __future__ import annotations

import pickle

import numpy as np
import orbas
import pytest
from orbas.invariants.nice import adapted_basis, term_weights
from orbas.invariants.nice.contraction import FEW_ROWS, Moments
from orbas.invariants.nice.selection import ranking, select_couplings

CUT = {"n_pairs": (40, 60, 40), "n_components": (12, 12, 0), "n_invariants": (10, 20, 30)}


@pytest.fixture(scope="module")
def expansion(molecules):
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0, 0.5, smoothing="smooth"),
        density_width=0.3,
        max_angular=2,
        basis=orbas.bases.GTO(3),
        species=(1, 6, 7, 8),
    )
    return orbas.OptimalBasis(density, 3).fit(molecules)


@pytest.fixture(scope="module")
def nice(expansion, molecules):
    return orbas.NICE(expansion.expansion_, **CUT).fit(molecules)


def weights_for(representation, frames):
    features = representation.transform(frames)
    shape = (len(features.species), features.values.shape[1])
    return np.random.default_rng(4).normal(size=shape) / np.linalg.norm(features.values)


def energies_by_features(features, weights):
    rows = [features.species.index(number) for number in features.center_numbers]
    atoms = np.einsum("ik,ik->i", features.values, weights[rows])
    return np.bincount(features.samples[:, 0], atoms, features.n_structures)


def slope(function, step):
    """Fourth-order difference."""
    near, far = function(step) - function(-step), function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)


REPRESENTATIONS = {
    "shared": lambda density, frames: orbas.NICE(density, **CUT).fit(frames),
    "purified": lambda density, frames: orbas.NICE(density, **CUT, n_purify=4).fit(frames),
    "even": lambda density, frames: orbas.NICE(density, **CUT, parity="even", max_lambda=2).fit(frames),
    "per center": lambda density, frames: orbas.NICE(density, **CUT, per_center=True).fit(frames),
    "bispectrum": lambda density, frames: orbas.Bispectrum(density).fit(frames),
}


@pytest.mark.parametrize("kind", REPRESENTATIONS)
def test_forces_and_virials_are_slopes_of_the_energy(kind, expansion, molecules):
    representation = REPRESENTATIONS[kind](expansion.expansion_, molecules)
    atoms = molecules[3].copy()
    weights = weights_for(representation, [atoms])
    result = representation.linear_energies([atoms], weights)
    features = representation.transform([atoms])
    np.testing.assert_allclose(result.structures, energies_by_features(features, weights), rtol=1e-12)

    def energy(positions):
        moved = atoms.copy()
        moved.positions = positions
        return energies_by_features(representation.transform([moved]), weights)[0]

    rng = np.random.default_rng(5)
    scale = np.max(np.abs(result.forces[0]))
    for _ in range(4):
        direction = rng.normal(size=atoms.positions.shape)
        expected = slope(lambda h, d=direction: energy(atoms.positions + h * d), 1e-3)
        assert abs(np.sum(-result.forces[0] * direction) - expected) <= 1e-7 * scale
        strain = rng.normal(size=(3, 3))
        expected = slope(lambda h, s=strain: energy(atoms.positions @ (np.eye(3) + h * s).T), 1e-3)
        assert abs(np.sum(result.virials[0] * strain) - expected) <= 1e-7 * np.max(np.abs(result.virials))


def test_linear_potential_has_forces(nice, molecules):
    energies = [float(len(atoms)) for atoms in molecules]
    frames = [atoms.copy() for atoms in molecules]
    for atoms, energy in zip(frames, energies, strict=True):
        atoms.info["energy_label"] = energy
    model = orbas.models.LinearPotential(nice, regularization=orbas.models.Fixed(1e-6))
    prediction = model.fit(frames, energy_key="energy_label").predict(frames)
    assert prediction.forces is not None


def test_purified_invariants_have_nothing_of_the_lower_orders(expansion, molecules):
    frames = [molecule.copy() for molecule in molecules for _ in range(3)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=seed)
    nice = orbas.NICE(expansion.expansion_, nu_max=2, n_invariants=6, n_purify=None).fit(frames)
    values = nice.transform(frames).values
    lower, own = values[:, :3], values[:, 3:]
    overlap = lower.T @ own / np.outer(np.linalg.norm(lower, axis=0), np.linalg.norm(own, axis=0))
    assert np.max(np.abs(overlap)) <= 1e-6


def test_rows_and_moments_contract_alike():
    rng = np.random.default_rng(6)
    rows, n = 40, FEW_ROWS + 20
    x, z = rng.normal(size=(rows, n)) * np.geomspace(1, 1e-2, n), rng.normal(size=(rows, 3))
    few, many = Moments(n, 3, rows, full=True), Moments(n, 3, n, full=True)
    made = []
    for moments in (few, many):
        moments.add(x[:25], z[:25])
        moments.add(x[25:], z[25:])
        made.append(moments.contract(5, rows))
    assert few.few_rows
    assert not many.few_rows
    values = [x @ projection.matrix + z @ projection.lower for projection in made]
    np.testing.assert_allclose(made[0].variances, made[1].variances, rtol=1e-10)
    np.testing.assert_allclose(np.abs(values[0]), np.abs(values[1]), rtol=0, atol=1e-8)
    assert few.purified == pytest.approx(np.sum((x - z @ np.linalg.lstsq(z, x)[0]) ** 2), rel=1e-8)


def test_ties_are_decided_by_order():
    assert ranking(np.array([1.0, 2.0, 1.0 + 1e-13, 3.0, 1.0 - 1e-13])).tolist() == [3, 1, 0, 2, 4]
    assert ranking(np.zeros(0)).tolist() == []


def test_pairs_are_ranked_for_each_parity():
    density = [np.array([4.0, 1.0]), np.array([2.0])]
    below = {(0, 1): density[0], (1, 1): density[1]}
    chosen = select_couplings(density, below, 2, halve=True, max_lambda=None, signs=(1, -1))
    found = {(c.l, c.second): c.pairs.tolist() for c in chosen}
    # Even: 16, then a tie of 4 (the first of them); odd: 8 and 2.
    assert found == {(0, (0, 1)): [[0, 1], [0, 0]], (0, (1, 1)): [[0, 0], [1, 0]]}


def test_a_species_without_centers(molecules):
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0), density_width=0.3, max_angular=2, basis=orbas.bases.GTO(4), species=(1, 6, 7, 8, 9)
    )
    settings = {"n_pairs": 50, "n_components": (8, 0), "n_invariants": 9, "n_purify": 2}
    nice = orbas.NICE(density, nu_max=3, per_center=True, **settings).fit(molecules)
    assert np.isfinite(nice.transform(molecules).values).all()
    assert nice.retained_[9][1] == 1


def test_subset_of_environments(expansion, molecules):
    small = orbas.NICE(expansion.expansion_, nu_max=2, n_components=4, n_invariants=4, n_environments=20).fit(molecules)
    assert small.iterations_[None].n_environments == 20
    assert len(small.transform(molecules).values) == sum(map(len, molecules))


def test_features_stand_order_after_order(nice, molecules):
    assert nice.n_features_ == [3, 10, 20, 30]
    assert nice.transform(molecules[:2]).values.shape[1] == 63
    assert set(nice.discarded_) == {2, 3, 4}
    assert all(0 <= fraction < 1 for fraction in nice.discarded_.values())
    assert "keep more components" in nice.summary(1e-12)
    estimate = nice.estimate(molecules)
    assert estimate.operations > 0
    assert estimate.fit_bytes > 0


def test_adapted_basis_keeps_more_of_its_term(expansion, molecules):
    plain = orbas.NICE(expansion.expansion_, nu_max=2).fit(molecules)
    adapted, lost = adapted_basis(expansion, plain, molecules, nu=2, o3_lambda=1, o3_sigma=1)
    assert 0 < lost < 1
    assert adapted.captured_variance(adapted) == pytest.approx(1 - adapted.residual_variance_[2], abs=1e-12)
    ones, same = orbas.OptimalBasis(expansion.density, 3), np.ones(sum(map(len, molecules)))
    ones.fit(molecules, sample_weight=same)
    np.testing.assert_allclose(ones.eigenvalues_[1], expansion.eigenvalues_[1], rtol=1e-10)


def test_term_weights_are_squared_norms(expansion, molecules):
    plain = orbas.NICE(expansion.expansion_, nu_max=2, n_components=5).fit(molecules)
    weights = term_weights(plain, molecules, nu=2, o3_lambda=2, channel=1)
    block = plain.equivariants(molecules)[2, 2, 1, 6]
    carbon = np.concatenate([atoms.numbers for atoms in molecules]) == 6
    np.testing.assert_allclose(weights[carbon], np.sum(block.values[:, :, 1] ** 2, axis=1), rtol=1e-14)
    with pytest.raises(ValueError, match="no channel 99"):
        term_weights(plain, molecules, nu=2, o3_lambda=2, channel=99)


BAD = [
    ({"nu_max": 0}, "nu_max"),
    ({"n_pairs": 0}, "n_pairs"),
    ({"n_pairs": (1, 2)}, "n_pairs"),
    ({"n_components": (0, 5, 5)}, "last order"),
    ({"parity": "odd"}, "parity"),
    ({"n_environments": 0}, "n_environments"),
    ({"max_lambda": -1}, "max_lambda"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_bad_settings_are_refused(settings, message, expansion, molecules):
    with pytest.raises(ValueError, match=message):
        orbas.NICE(expansion.expansion_, **settings).fit(molecules)


def test_a_copy_through_a_pickle_is_the_same(nice, molecules):
    nice.linear_energies(molecules[:1], weights_for(nice, molecules[:1]))
    copy = pickle.loads(pickle.dumps(nice))
    assert np.array_equal(copy.transform(molecules).values, nice.transform(molecules).values)


def test_before_the_fit(expansion, molecules):
    with pytest.raises(orbas.NotFittedError, match="call fit first"):
        orbas.NICE(expansion.expansion_).transform(molecules)


def test_wrong_weights_are_refused(nice, molecules):
    with pytest.raises(ValueError, match="weights must have the shape"):
        nice.linear_energies(molecules, np.zeros((1, 3)))


def test_coupling_coefficients_are_orthogonal():
    parts = [orbas.clebsch_gordan(3, 2, o3_lambda).reshape(35, -1) for o3_lambda in range(1, 6)]
    matrix = np.concatenate(parts, axis=1)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(35), atol=1e-14)
    assert orbas.clebsch_gordan(1, 1, 3).any() is np.False_
    with pytest.raises(ValueError, match="l2 must be an integer"):
        orbas.clebsch_gordan(1, -1, 0)
