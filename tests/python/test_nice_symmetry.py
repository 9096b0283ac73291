"""NICE: turns, inversion, order of atoms, threads, batches, refits (docs/reliability.md, rows 1 to 3 and 24)."""

from __future__ import annotations

import nice_oracle
import numpy as np
import orbas
import pytest
from oracle import Setup, relative_error
from scipy.spatial.transform import Rotation

SETUP = Setup(radius=4.0, max_angular=2, n_radial=2, scaling=(1.0, 2.0, 4.0))
CUTS = {
    "all": {"n_pairs": None, "n_components": None, "n_invariants": None},
    "cut": {"n_pairs": 30, "n_components": 8, "n_invariants": 12},
}
SYSTEMS = ["molecule", "crystal", "slab", "single", "left_handed"]


def fitted(frames, nu_max, cut, setup=SETUP):
    species = sorted({int(number) for atoms in frames for number in atoms.numbers})
    return orbas.NICE(setup.density(species=species), nu_max=nu_max, **CUTS[cut]).fit(frames)


def small(name, cut):
    """Settings for which keeping everything stays cheap."""
    n_species = {"molecule": 3, "left_handed": 2, "crystal": 2, "slab": 2}.get(name, 1)
    return SETUP if cut == "cut" else SETUP.but(n_radial=1 if n_species > 1 else 2, max_angular=1 + (n_species == 1))


def turned(atoms, matrix):
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array @ matrix.T)
    copy.set_positions(atoms.positions @ matrix.T)
    return copy


def scales(equivariants):
    """The largest value of each order."""
    largest = {}
    for key, block in equivariants.items():
        largest[key.nu] = max(largest.get(key.nu, 0.0), np.max(np.abs(block.values), initial=0))
    return largest


def assert_same(after, before, tolerance, change=lambda key, values: values):
    """Every block of ``after`` is the changed one of ``before``, in units of the largest value of its order."""
    assert list(after) == list(before)
    largest = scales(before)
    for key, block in before.items():
        assert after[key].samples.tolist() == block.samples.tolist()
        deviation = np.max(np.abs(after[key].values - change(key, block.values)), initial=0)
        assert deviation <= tolerance * largest[key.nu], key


@pytest.mark.parametrize("cut", ["all", "cut"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_blocks_turn_with_wigner_matrices(name, cut, systems):  # docs/reliability.md, row 1
    atoms = systems(name)
    nice = fitted([atoms], 3, cut, small(name, cut))
    before = nice.equivariants([atoms])
    for matrix in Rotation.random(2, random_state=21).as_matrix():
        D = [nice_oracle.wigner(matrix, l) for l in range(1 + max(key.o3_lambda for key in before))]
        after = nice.equivariants([turned(atoms, matrix)])
        assert_same(after, before, 1e-12, lambda key, values, D=D: D[key.o3_lambda] @ values)


@pytest.mark.parametrize("cut", ["all", "cut"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_inversion(name, cut, systems):  # docs/reliability.md, row 2
    atoms = systems(name)
    nice = fitted([atoms], 3, cut, small(name, cut))
    before, after = nice.equivariants([atoms]), nice.equivariants([turned(atoms, -np.eye(3))])
    if name != "single":  # a perfect cubic crystal has no vectors and nothing odd
        assert {key.o3_sigma for key in before} == {1, -1}
    assert_same(after, before, 1e-12, lambda key, values: key.o3_sigma * (-1) ** key.o3_lambda * values)


@pytest.mark.parametrize("name", SYSTEMS)
def test_features_do_not_turn(name, systems):  # docs/reliability.md, rows 1 and 2
    atoms = systems(name)
    nice = fitted([atoms], 4, "cut")
    features = nice.transform([atoms]).values
    for matrix in [*Rotation.random(20, random_state=22).as_matrix(), -np.eye(3), np.diag([1.0, 1.0, -1.0])]:
        assert relative_error(nice.transform([turned(atoms, matrix)]).values, features) <= 1e-12


@pytest.mark.parametrize("name", ["molecule", "slab", "left_handed"])
def test_order_of_the_atoms(name, systems, rng):  # docs/reliability.md, row 3
    atoms = systems(name)
    nice = fitted([atoms], 4, "cut")
    features = nice.transform([atoms]).values
    for _ in range(5):
        order = rng.permutation(len(atoms))
        assert relative_error(nice.transform([atoms[order]]).values, features[order]) <= 1e-13


def test_fit_does_not_depend_on_the_order_of_the_atoms(systems, rng):
    """A permuted fit differs by rounding: kernels of the features stay, channels may change their sign."""
    atoms = systems("molecule")
    shuffled = atoms[rng.permutation(len(atoms))]
    one, two = (fitted([frame], 3, "cut").transform([atoms]).values for frame in (atoms, shuffled))
    for number in np.unique(atoms.numbers):
        rows = atoms.numbers == number
        assert relative_error(nice_oracle.kernel(two[rows]), nice_oracle.kernel(one[rows])) <= 1e-10


@pytest.mark.parametrize("cut", ["all", "cut"])
def test_refit_gives_the_same_bits(cut, molecules):
    frames = molecules[:5]
    setup = SETUP if cut == "cut" else SETUP.but(n_radial=1, max_angular=1)
    nice = fitted(frames, 3, cut, setup)
    first = nice.transform(frames).values
    assert np.array_equal(nice.fit(frames).transform(frames).values, first)
    assert np.array_equal(fitted(frames, 3, cut, setup).transform(frames).values, first)


def test_threads_do_not_change_a_bit(molecules, threads):  # docs/reliability.md, row 24
    results = []
    for n in (1, 2, 3, 8):
        threads(n)
        nice = fitted(molecules, 4, "cut")
        features = nice.transform(molecules)
        weights = np.random.default_rng(0).normal(size=(len(features.species), features.values.shape[1]))
        energies = nice.linear_energies(molecules, weights)
        blocks = [block.values for block in nice.equivariants(molecules).values()]
        forces = np.concatenate(energies.forces)
        results.append([features.values, energies.structures, forces, energies.virials, *blocks])
    for other in results[1:]:
        assert len(other) == len(results[0])
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_batches_do_not_matter(molecules):
    nice = fitted(molecules, 4, "cut")
    whole, blocks = nice.transform(molecules).values, nice.equivariants(molecules)
    one_by_one = np.concatenate([nice.transform([atoms]).values for atoms in molecules])
    assert np.array_equal(one_by_one, whole)
    halves = [nice.equivariants(part) for part in (molecules[:5], molecules[5:])]
    for key, block in blocks.items():
        together = np.concatenate([half[key].values for half in halves if key in half])
        assert np.array_equal(together, block.values), key


def test_order_of_the_structures(molecules, rng):  # docs/reliability.md, row 3
    nice = fitted(molecules, 3, "cut")
    alone = [nice.transform([atoms]).values for atoms in molecules]
    order = rng.permutation(len(molecules))
    together = nice.transform([molecules[k] for k in order]).values
    assert np.array_equal(together, np.concatenate([alone[k] for k in order]))


def test_parameters_are_stored_as_given(systems):
    nice = fitted([systems("molecule")], 3, "cut")
    parameters = nice.get_params()
    assert {name: parameters[name] for name in CUTS["cut"]} == CUTS["cut"]
    assert parameters["nu_max"] == 3
