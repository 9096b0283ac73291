"""NICE where there is little to correlate, at high orders, and where it must refuse.

docs/reliability.md, rows 18, 19 and 22.
"""

from __future__ import annotations

import ase
import nice_oracle
import numpy as np
import orbas
import pytest
from oracle import Setup, by_degree

SETUP = Setup(radius=4.0, max_angular=2, n_radial=2, species=(1, 6, 7, 8))
SOME = {"n_pairs": 30, "n_components": 8, "n_invariants": 12}


def fitted(frames, nu_max=3, setup=SETUP, **limits):
    return orbas.NICE(setup.density(), nu_max=nu_max, **(limits or SOME)).fit(frames)


def test_empty_structures_and_lone_atoms_leave_the_others_alone(molecules):
    nice = fitted(molecules)
    mixed = [ase.Atoms(), molecules[0], ase.Atoms("C"), ase.Atoms(), molecules[1], ase.Atoms("O")]
    features, alone = nice.transform(mixed), nice.transform(molecules[:2])
    assert features.n_structures == len(mixed)
    assert np.isfinite(features.values).all()
    assert np.array_equal(features.values[np.isin(features.samples[:, 0], (1, 4))], alone.values)
    weights = np.ones((len(features.species), features.values.shape[1]))
    energies = nice.linear_energies(mixed, weights)
    assert energies.structures[[0, 3]].tolist() == [0, 0]
    assert [forces.shape for forces in energies.forces] == [(len(atoms), 3) for atoms in mixed]
    assert np.all(energies.forces[2] == 0)
    assert np.all(energies.virials[[0, 2, 3, 5]] == 0)


def test_a_lone_atom_is_its_self_term(molecules):
    """Only l = 0 of the own species is there: order nu is that number to the power nu, in the block (0, +1)."""
    nice = fitted(molecules[:3], 3, SETUP.but(n_radial=1, max_angular=1), n_pairs=None)
    for key, block in nice.equivariants([ase.Atoms("C")]).items():
        if key.center_species != 6:
            assert block.values.shape[0] == 0
        elif (key.o3_lambda, key.o3_sigma) != (0, 1):
            assert np.max(np.abs(block.values), initial=0) <= 1e-14
        else:
            self_term = SETUP.but(n_radial=1).integrals(np.zeros(1))[0, 0, 0] / np.sqrt(4 * np.pi)
            assert np.sum(block.values**2) == pytest.approx(self_term ** (2 * key.nu), rel=1e-7)


def test_no_structures(molecules):
    nice = fitted(molecules)
    features = nice.transform([])
    assert features.values.shape == (0, nice.transform(molecules[:1]).values.shape[1])
    assert all(block.values.shape[0] == 0 for block in nice.equivariants([]).values())
    energies = nice.linear_energies([], np.zeros((len(features.species), features.values.shape[1])))
    assert len(energies.structures) == 0


def test_every_structure_gets_the_same_blocks(molecules):
    """Keys and widths come from the fit, not from what is transformed."""
    nice = fitted(molecules)
    widths = {key[:3]: block.values.shape[2] for key, block in nice.equivariants(molecules).items()}
    for atoms in molecules:
        found = nice.equivariants([atoms])
        assert {key[:3] for key in found} == set(widths)
        assert all(block.values.shape[2] == widths[key[:3]] for key, block in found.items())


@pytest.mark.parametrize("nu_max", [5, 6])
def test_norms_of_high_orders(nu_max, systems):
    """Eq. 14 and 15 where all channels still fit into memory: one function of each l <= 1, of silicon."""
    frames = [systems("silicon_small")]
    setup = SETUP.but(species=(14,), n_radial=1, max_angular=1)
    nice = orbas.NICE(setup.density(), nu_max=nu_max, n_pairs=None, n_components=None, n_invariants=None).fit(frames)
    equivariants = nice.equivariants(frames)
    first = nice_oracle.norms(nice_oracle.first_order(by_degree(setup.density().transform(frames), frames)))
    for order in range(2, nu_max + 1):
        blocks = {key[1:3]: block.values for key, block in equivariants.items() if key.nu == order}
        np.testing.assert_allclose(nice_oracle.norms(blocks), first**order, rtol=1e-10)


def test_density_without_angles(systems):
    """max_angular = 0: every order is a symmetric product of scalars, and nothing is odd."""
    frames = [systems("silicon_small")]
    nice = fitted(frames, 4, SETUP.but(species=(14,), max_angular=0), n_pairs=None, n_components=None)
    assert {key[1:3] for key in nice.equivariants(frames)} == {(0, 1)}
    assert np.isfinite(nice.transform(frames).values).all()


def test_one_channel_per_degree(systems):
    """Odd self pairs vanish: with one channel, whole symmetries of order 2 are empty."""
    frames = [systems("silicon_small")]
    setup = SETUP.but(species=(14,), n_radial=1)
    nice = fitted(frames, 3, setup, n_pairs=None, n_components=None, n_invariants=None)
    coefficients = by_degree(setup.density().transform(frames), frames)
    for order in (2, 3):
        ours = {key[1:3]: block.values for key, block in nice.equivariants(frames).items() if key.nu == order}
        assert nice_oracle.kernel_error(ours, nice_oracle.correlations(coefficients, order)) <= 1e-12


def test_a_species_that_the_fit_has_not_seen(molecules):
    """It has channels, because it was given; no atom of the fit was one."""
    nice = fitted([molecules[0], molecules[2]])  # C and H only
    water = nice.transform([molecules[1]]).values
    assert np.isfinite(water).all()
    assert np.abs(water).max() > 0


def test_unknown_species_is_refused(molecules):
    nice = fitted(molecules)
    weights = np.zeros((4, nice.transform(molecules[:1]).values.shape[1]))
    for call in (nice.transform, nice.equivariants, lambda frames: nice.linear_energies(frames, weights)):
        with pytest.raises(orbas.UnknownSpeciesError, match=r"14|Si"):
            call([molecules[0], ase.Atoms("Si")])


def test_not_fitted():
    nice = orbas.NICE(SETUP.density(), nu_max=3, **SOME)
    for call in (nice.transform, nice.equivariants):
        with pytest.raises(orbas.NotFittedError):
            call([ase.Atoms("C")])
    with pytest.raises(orbas.NotFittedError):
        nice.linear_energies([ase.Atoms("C")], np.zeros((4, 1)))


@pytest.mark.parametrize("frames", [[], [ase.Atoms()]])
def test_nothing_to_fit(frames):
    with pytest.raises(ValueError, match=r"structure|atom|environment"):
        fitted(frames)


@pytest.mark.parametrize(
    "bad",
    [
        {"nu_max": 0},
        {"nu_max": 2.5},
        {"n_pairs": -1},
        {"n_pairs": 1.5},
        {"n_components": -3},
        {"n_invariants": -1},
        {"n_pairs": [10, 10, 10, 10, 10]},
        {"n_pairs": [10]},
    ],
)
def test_bad_settings(bad, molecules):
    (name,) = bad
    with pytest.raises((ValueError, TypeError), match=name):
        orbas.NICE(SETUP.density(), **{"nu_max": 3, **SOME, **bad}).fit(molecules)


def test_limits_per_order(molecules):
    """A sequence gives a count for every order from 2 on; order 2 does not know what comes after it."""
    frames, blocks, features = molecules[:6], [], []
    for nu_max, n_pairs in ((2, 20), (3, [20, 40]), (3, [20, 20])):
        nice = orbas.NICE(SETUP.density(), nu_max=nu_max, **{**SOME, "n_pairs": n_pairs}).fit(frames)
        blocks.append(nice.equivariants(frames))
        features.append(nice.transform(frames).values)
    assert all(np.array_equal(other[:, : features[0].shape[1]], features[0]) for other in features[1:])
    for key, block in blocks[0].items():
        assert all(np.array_equal(other[key].values, block.values) for other in blocks[1:])
    wide, narrow = (sum(np.sum(block.values**2) for key, block in part.items() if key.nu == 3) for part in blocks[1:])
    assert wide > narrow * (1 + 1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_positions_are_named(value, molecules):
    nice, broken = fitted(molecules), molecules[2].copy()
    broken.positions[3, 1] = value
    with pytest.raises(ValueError, match=r"structure 1.*atom 3"):
        nice.transform([molecules[0], broken])


def test_a_failed_fit_leaves_the_old_one(molecules):
    nice = fitted(molecules)
    before, broken = nice.transform(molecules).values, molecules[2].copy()
    broken.positions[0] = np.nan
    with pytest.raises(ValueError, match=r"structure 0"):
        nice.fit([broken])
    assert np.array_equal(nice.transform(molecules).values, before)
