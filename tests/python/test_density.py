"""The density expansion against the slow oracle, against featomic and against 50-digit numbers."""

from __future__ import annotations

import math

import ase
import featomic
import numpy as np
import oracle
import orbas
import pytest
from oracle import Setup, by_degree, relative_error

EXACT = 1e-13  # spline_accuracy that switches the splines off, for all purposes

CRYSTAL = Setup(radius=5.0, density_width=0.3, max_angular=8, n_radial=5, species=(31, 33))
MOLECULE = Setup(radius=4.0, density_width=0.5, max_angular=6, n_radial=5, species=(1, 6, 8))

# I_nl(2.7371 Å) of GTO n = 8, rc 5, density width 0.4, in 50-digit arithmetic (mpmath: eigsy and hyp1f1).
GOLDEN = {  # l: [n]
    0: [
        -0.007428835305964851,
        0.009821074952346413,
        -0.03012708559368285,
        0.15804937144683842,
        0.248435048053992,
        0.05819662097605138,
        0.024387737016584123,
        0.0009119168338610001,
    ],
    4: [
        -0.006057865114987029,
        0.008351156250441222,
        -0.02509341530651404,
        0.1225934799805657,
        0.2021523447030547,
        0.04809026521229095,
        0.02010810240778472,
        0.0008244164413636261,
    ],
    8: [
        -0.003543135885655078,
        0.00533343587435739,
        -0.015262969893825114,
        0.06350261992732163,
        0.11859068296922066,
        0.02946450189244786,
        0.012183471568819174,
        0.0006191019800921729,
    ],
}


def from_featomic(setup, frames):
    """Coefficients of featomic in our normalization (its Gaussian is normalized in L2, ours has peak 1)."""
    starts = np.cumsum([0, *map(len, frames)])
    n, degrees = setup.n_radial, range(setup.max_angular + 1)
    result = [np.zeros((starts[-1], 2 * l + 1, len(setup.species) * n)) for l in degrees]
    for key, block in featomic.SphericalExpansion(**setup.featomic()).compute(frames).items():
        a = setup.species.index(key["neighbor_type"])
        rows = starts[np.asarray(block.samples["system"])] + np.asarray(block.samples["atom"])
        values = (np.pi * setup.density_width**2) ** 0.75 * block.values
        result[int(key["o3_lambda"])][rows, :, a * n : (a + 1) * n] = values
    return result


def transform(setup, frames, spline_accuracy=EXACT):
    return by_degree(setup.density(spline_accuracy).transform(frames), frames)


# ------------------------------------------------------------------ the oracle itself


@pytest.mark.parametrize("n_radial", [1, 2, 5, 8])
@pytest.mark.parametrize("density_width", [0.3, 0.5])
def test_oracle_two_roads_of_the_radial_integral(n_radial, density_width):
    setup = CRYSTAL.but(n_radial=n_radial, density_width=density_width)
    r = np.linspace(0, setup.radius, 60)
    closed = oracle.gto_integrals_closed_form(r, setup)
    for l, integrals in enumerate(setup.integrals(r)):
        assert relative_error(closed[l], integrals) <= 1e-12


@pytest.mark.parametrize("l", [0, 4, 8])
def test_oracle_against_fifty_digits(l):
    setup = CRYSTAL.but(n_radial=8, density_width=0.4)
    assert relative_error(setup.integrals(np.array([2.7371]))[l, :, 0], np.array(GOLDEN[l])) <= 1e-13


@pytest.mark.parametrize(
    ("setup", "name"),
    [
        (CRYSTAL, "crystal"),
        (CRYSTAL.but(scaling=(1.0, 2.0, 7.0), center_weight=2.0), "crystal"),
        (CRYSTAL.but(n_radial=1, density_width=0.2), "crystal"),
        (MOLECULE, "molecule"),
    ],
)
def test_oracle_against_featomic(setup, name, systems):
    frames = [systems(name)]
    assert relative_error(setup.coefficients(frames), from_featomic(setup, frames)) <= 5e-13


# ------------------------------------------------------------------ orbas


@pytest.mark.parametrize(
    ("setup", "name", "limit"),
    [
        (CRYSTAL, "crystal", 1e-12),
        (CRYSTAL.but(scaling=(1.0, 2.0, 7.0)), "crystal", 1e-12),
        (MOLECULE, "molecule", 1e-12),
        # featomic's own S^(-1/2) is off by up to 5e-11 here (checked with 50 digits); the oracle takes over
        (CRYSTAL.but(n_radial=8), "crystal", 1e-10),
    ],
)
def test_against_featomic(setup, name, limit, systems):
    frames = [systems(name)]
    reference = from_featomic(setup, frames)
    assert relative_error(transform(setup, frames), reference) <= limit
    assert relative_error(transform(setup, frames, 1e-8), reference) <= 1e-8


@pytest.mark.parametrize("name", ["molecule", "crystal", "slab", "single", "left_handed", "silicon_small"])
@pytest.mark.parametrize("basis", ["GTO", "DVR"])
def test_against_oracle(name, basis, systems):
    atoms = systems(name)
    setup = Setup(radius=4.5, max_angular=8, n_radial=8, basis=basis, species=tuple(sorted({*atoms.numbers})))
    reference = setup.coefficients([atoms])
    largest = max(np.abs(c).max() for c in reference)
    for accuracy, limit in ((EXACT, 1e-12), (1e-8, 1e-8)):
        for c, expected in zip(transform(setup, [atoms], accuracy), reference, strict=True):
            assert c.shape == expected.shape
            assert np.max(np.abs(c - expected)) <= limit * largest


@pytest.mark.parametrize(
    "changes",
    [
        {"center_weight": 0.0},
        {"center_weight": 2.0},
        {"scaling": (1.0, 2.0, 7.0)},
        {"scaling": (0.0, 2.0, 3.0)},
        {"scaling": (1.0, 2.0, 0.0)},
        {"scaling": (0.0, 2.0, 0.0)},
        {"smoothing": "smooth", "smoothing_width": 1.5},
        {"smoothing_width": 4.0},
        {"density_width": 0.0, "n_radial": 4},
        {"density_width": 1.0, "n_radial": 3},
        {"max_angular": 0},
        {"n_radial": 1},
        {"n_radial": 2},
        {"species": (1, 6, 7, 8, 9)},
    ],
    ids=str,
)
def test_every_option_against_oracle(changes, systems):
    setup, frames = Setup(species=(1, 6, 8)).but(**changes), [systems("molecule")]
    assert relative_error(transform(setup, frames), setup.coefficients(frames)) <= 2e-12


@pytest.mark.parametrize("l", [0, 4, 8])
def test_dimer_against_fifty_digits(l):
    setup = CRYSTAL.but(n_radial=8, density_width=0.4, species=(1, 2))
    c = transform(setup, [ase.Atoms([1, 2], positions=[[0, 0, 0], [0, 0, 2.7371]])])[l]
    along_z = np.array(GOLDEN[l]) * math.sqrt((2 * l + 1) / (4 * math.pi))
    assert np.max(np.abs(c[0, l, 8:] - along_z)) <= 1e-12 * np.max(np.abs(along_z))
    assert np.all(np.abs(np.delete(c[0], l, axis=0)) <= 1e-13)


def test_a_large_gto_basis_is_as_accurate(systems):
    """n = 20, whose overlap has a condition number of 9e13, against Eq. 5 by quadrature."""
    setup, frames = Setup(n_radial=20, species=(1, 6, 8)), [systems("molecule")]
    assert relative_error(transform(setup, frames), setup.coefficients(frames)) <= 1e-7
    gram = np.einsum("amn,amk->nk", *[transform(setup, frames)[0]] * 2)
    reference = np.einsum("amn,amk->nk", *[setup.coefficients(frames)[0]] * 2)
    assert abs(np.trace(gram) / np.trace(reference) - 1) <= 1e-10


@pytest.mark.parametrize("smoothing", ["cosine", "smooth"])
def test_nothing_beyond_the_cutoff(smoothing):
    setup = Setup(species=(1, 2), smoothing=smoothing)
    far, near = (ase.Atoms([1, 2], positions=[[0, 0, 0], [0, 0, z]]) for z in (4.0, 3.9))
    alone = transform(setup, [ase.Atoms([1])])
    for l, c in enumerate(transform(setup, [far])):
        assert np.array_equal(c[:1], alone[l])
    assert not np.array_equal(transform(setup, [near])[0][:1], alone[0])


def test_the_central_atom_is_only_in_its_own_channel():
    setup = Setup(species=(1, 6, 8))
    c = transform(setup, [ase.Atoms("C")])
    n = setup.n_radial
    expected = setup.integrals(np.zeros(1))[0, :, 0] / math.sqrt(4 * math.pi)
    np.testing.assert_allclose(c[0][0, 0, n : 2 * n], expected, atol=1e-12)
    assert np.count_nonzero(np.delete(c[0], range(n, 2 * n), axis=2)) == 0
    assert all(np.count_nonzero(block) == 0 for block in c[1:])


def test_keys_shapes_and_samples(molecules):
    setup = Setup(species=(1, 6, 7, 8), max_angular=3)
    blocks = setup.density().transform(molecules)
    expected = [(1, l, 1, a) for l in range(4) for a in setup.species]
    assert [tuple(key) for key in blocks] == expected
    for key, block in blocks.items():
        rows = [(s, k) for s, atoms in enumerate(molecules) for k in np.flatnonzero(atoms.numbers == key[3])]
        assert np.issubdtype(block.samples.dtype, np.integer)
        assert block.samples.tolist() == [list(row) for row in rows]
        assert block.values.shape == (len(rows), 2 * key.o3_lambda + 1, 4 * setup.n_radial)
        assert block.values.dtype == np.float64


def test_species_are_taken_from_the_data_and_sorted(systems):
    frames = [systems("molecule")]
    with_species = transform(Setup(species=(1, 6, 8)), frames)
    for species in (None, [8, 1, 6]):
        density = Setup().density(EXACT, species=species)
        for c, expected in zip(by_degree(density.transform(frames), frames), with_species, strict=True):
            assert np.array_equal(c, expected)


def test_species_absent_from_the_data_only_add_zero_channels(systems):
    frames, n = [systems("molecule")], Setup().n_radial
    narrow = transform(Setup(species=(1, 6, 8)), frames)
    wide = transform(Setup(species=(1, 3, 6, 8, 9)), frames)
    columns = np.concatenate([np.arange(a * n, (a + 1) * n) for a in (0, 2, 3)])
    for c, expected in zip(wide, narrow, strict=True):
        assert relative_error(c[:, :, columns], expected) <= 1e-14
        assert np.count_nonzero(np.delete(c, columns, axis=2)) == 0
    for key, block in Setup(species=(1, 3, 6, 8)).density().transform(frames).items():
        assert len(block.values) == np.count_nonzero(frames[0].numbers == key.center_species)


def test_coefficients_add_up_over_neighbors(systems):
    """Linear in the density: center plus pairs, one neighbor at a time."""
    setup, atoms = Setup(species=(1, 6, 8), center_weight=0.0, radius=6.0), systems("molecule")
    pairs = [atoms[[0, k]] for k in range(1, len(atoms))]
    whole, parts = transform(setup, [atoms]), transform(setup, pairs)
    for c, part in zip(whole, parts, strict=True):
        np.testing.assert_allclose(c[0], part[::2].sum(axis=0), atol=1e-12)


def test_default_spline_keeps_its_promise(systems):
    """Every pair is off by at most spline_accuracy times f and the bound of Y_lm."""
    atoms, accuracy = systems("silicon_small"), 1e-6
    setup = Setup(species=(14,), radius=5.0, max_angular=6, n_radial=8)
    i, _, _, D = oracle.brute_force_pairs(atoms, setup.radius)
    weights = np.bincount(i, setup.pair_weights(np.linalg.norm(D, axis=1)), len(atoms)) + 1
    reference = setup.coefficients([atoms])
    for l, c in enumerate(transform(setup, [atoms], accuracy)):
        bound = accuracy * weights * math.sqrt((2 * l + 1) / (4 * math.pi))
        assert np.all(np.abs(c - reference[l]).max(axis=(1, 2)) <= bound + 1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        {"density_width": -0.1},
        {"density_width": math.nan},
        {"max_angular": -1},
        {"max_angular": 2.5},
        {"center_weight": math.nan},
        {"spline_accuracy": 0.0},
        {"spline_accuracy": -1e-8},
        {"species": [-1, 1]},
        {"species": []},
        {"cutoff": 5.0},
        {"scaling": "willatt"},
        {"basis": "GTO"},
    ],
    ids=str,
)
def test_bad_settings(changes):
    with pytest.raises((ValueError, TypeError)):
        Setup().density(**changes).transform([ase.Atoms("H")])


@pytest.mark.parametrize("n_radial", [0, -1, 1.5])
def test_bad_sizes_of_a_basis(n_radial):
    with pytest.raises((ValueError, TypeError)):
        Setup(n_radial=n_radial).density().transform([ase.Atoms("H")])


def test_settings_are_keywords_only_and_known():
    with pytest.raises(TypeError):
        orbas.DensityExpansion(orbas.Cutoff(4.0))
    with pytest.raises(TypeError, match="max_radial"):
        Setup().density(max_radial=4)
