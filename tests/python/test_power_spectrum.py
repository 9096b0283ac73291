"""Power spectrum and radial spectrum: order, norm, and the same numbers as the oracle and featomic."""

from __future__ import annotations

import itertools
import math

import ase
import featomic
import numpy as np
import oracle
import orbas
import pytest
from oracle import Setup, by_degree, relative_error

CRYSTAL = Setup(radius=5.0, density_width=0.3, max_angular=8, n_radial=5, species=(31, 33))
MOLECULE = Setup(radius=4.0, density_width=0.5, max_angular=6, n_radial=4, species=(1, 6, 8))


def spectrum(setup, frames, spline_accuracy=1e-13):
    return orbas.PowerSpectrum(setup.density(spline_accuracy)).transform(frames)


def channel_pairs(setup):
    n_channels = len(setup.species) * setup.n_radial
    return list(itertools.combinations_with_replacement(range(n_channels), 2))


def from_featomic(setup, frames):
    """Features of featomic in ours: order, (-1)^l, sqrt(2) also within one species, Gaussian of peak 1."""
    starts = np.cumsum([0, *map(len, frames)])
    n, pairs = setup.n_radial, channel_pairs(setup)
    columns = {pair: k for k, pair in enumerate(pairs)}
    result = np.zeros((starts[-1], setup.max_angular + 1, len(pairs)))
    scale = (np.pi * setup.density_width**2) ** 1.5
    for key, block in featomic.SoapPowerSpectrum(**setup.featomic()).compute(frames).items():
        a, b = (setup.species.index(key[name]) for name in ("neighbor_1_type", "neighbor_2_type"))
        rows = starts[np.asarray(block.samples["system"])] + np.asarray(block.samples["atom"])
        for (l, n1, n2), values in zip(block.properties.values.tolist(), block.values.T, strict=True):
            if a == b and n1 > n2:
                continue
            factor = math.sqrt(2) if a == b and n1 < n2 else 1.0
            result[rows, l, columns[a * n + n1, b * n + n2]] = scale * factor * (-1) ** l * values
    return result.reshape(len(result), -1)


@pytest.mark.parametrize(("setup", "name"), [(CRYSTAL, "crystal"), (MOLECULE, "molecule")])
def test_against_featomic(setup, name, systems):
    frames = [systems(name)]
    reference = from_featomic(setup, frames)
    assert relative_error(oracle.power_spectrum(setup.coefficients(frames)), reference) <= 1e-12
    assert relative_error(spectrum(setup, frames).values, reference) <= 2e-12
    assert relative_error(spectrum(setup, frames, 1e-8).values, reference) <= 2e-8


@pytest.mark.parametrize("name", ["molecule", "crystal", "slab", "single", "left_handed"])
@pytest.mark.parametrize("basis", ["GTO", "DVR"])
def test_against_oracle(name, basis, systems):
    atoms = systems(name)
    species = tuple(sorted({*atoms.numbers}))
    setup = Setup(species=species, scaling=(1.0, 2.0, 5.0), basis=basis, center_weight=0.5)
    reference = oracle.power_spectrum(setup.coefficients([atoms]))
    assert relative_error(spectrum(setup, [atoms]).values, reference) <= 2e-12


def test_is_the_product_of_the_coefficients_of_orbas(molecules):
    setup = Setup(species=(1, 6, 7, 8), max_angular=3, n_radial=3)
    c = by_degree(setup.density().transform(molecules), molecules)
    assert relative_error(spectrum(setup, molecules, 1e-8).values, oracle.power_spectrum(c)) <= 1e-13


def test_order_of_the_features():
    """l slowest, then (q1, q2) row by row with q1 <= q2: spelled out on the smallest example."""
    setup = Setup(species=(1, 2), n_radial=1, max_angular=1)
    frames = [ase.Atoms([1, 2], positions=[[0, 0, 0], [0, 0, 1.5]])]
    c0, c1 = (c[0] for c in setup.coefficients(frames))
    s, r = c0[0], c1[1]  # l = 0; l = 1 with m = 0, the only one for a dimer along z
    expected = [
        *(s[0] * s[0], math.sqrt(2) * s[0] * s[1], s[1] * s[1]),
        *(r[0] * r[0] / math.sqrt(3), math.sqrt(2 / 3) * r[0] * r[1], r[1] * r[1] / math.sqrt(3)),
    ]
    np.testing.assert_allclose(spectrum(setup, frames).values[0], expected, atol=1e-12)


def test_norm_is_that_of_the_full_square(molecules):
    setup = Setup(species=(1, 6, 7, 8), max_angular=4, n_radial=3)
    full = 0.0
    for l, c in enumerate(by_degree(setup.density().transform(molecules), molecules)):
        square = np.einsum("amq,amp->aqp", c, c) / math.sqrt(2 * l + 1)
        full = full + np.sum(square**2, axis=(1, 2))
    norms = np.sum(spectrum(setup, molecules, 1e-8).values ** 2, axis=1)
    np.testing.assert_allclose(norms, full, rtol=1e-13)


def test_shapes_and_samples(molecules):
    setup = Setup(species=(1, 6, 7, 8), max_angular=2, n_radial=2)
    features = spectrum(setup, molecules)
    samples = [[s, k] for s, atoms in enumerate(molecules) for k in range(len(atoms))]
    assert features.samples.tolist() == samples
    assert features.values.shape == (len(samples), 3 * len(channel_pairs(setup)))
    assert np.array_equal(features.center_numbers, np.concatenate([atoms.numbers for atoms in molecules]))
    assert tuple(features.species) == setup.species
    assert features.n_structures == len(molecules)


def test_per_structure_sums_by_center_species(molecules):
    setup = Setup(species=(1, 6, 7, 8, 9), max_angular=2, n_radial=2)
    frames = [molecules[0], ase.Atoms(), *molecules[1:4], ase.Atoms("F"), ase.Atoms()]
    features = spectrum(setup, frames)
    expected = np.zeros((len(frames), 5, features.values.shape[1]))
    for (structure, atom), row in zip(features.samples, features.values, strict=True):
        expected[structure, setup.species.index(frames[structure].numbers[atom])] += row
    assert features.per_structure().shape == (len(frames), 5 * features.values.shape[1])
    np.testing.assert_allclose(features.per_structure(), expected.reshape(len(frames), -1), atol=1e-13)


def test_batches_do_not_matter(molecules):
    setup = Setup(species=(1, 6, 7, 8), max_angular=3, n_radial=3)
    whole = spectrum(setup, molecules).values
    one_by_one = np.concatenate([spectrum(setup, [atoms]).values for atoms in molecules])
    assert np.array_equal(whole, one_by_one)


def test_without_species_those_of_the_data_are_taken(molecules):
    free = orbas.PowerSpectrum(Setup(n_radial=2).density()).transform(molecules)
    fixed = orbas.PowerSpectrum(Setup(n_radial=2, species=(1, 6, 7, 8)).density()).transform(molecules)
    assert tuple(free.species) == (1, 6, 7, 8)
    assert np.array_equal(free.values, fixed.values)


def test_radial_spectrum_is_the_invariant_part(molecules):
    setup = Setup(species=(1, 6, 7, 8), max_angular=3)
    density = setup.density()
    features = orbas.RadialSpectrum(density).transform(molecules)
    scalars = by_degree(density.transform(molecules), molecules)[0][:, 0]
    np.testing.assert_allclose(features.values, scalars, rtol=1e-13, atol=1e-14)
    assert relative_error(features.values, setup.coefficients(molecules)[0][:, 0]) <= 1e-8
    assert features.per_structure().shape == (len(molecules), 4 * scalars.shape[1])


@pytest.mark.parametrize("kept", [[4, 3, 3, 1], [2, 2, 2, 2]])
def test_ragged_channels(kept, molecules):
    """An optimal basis may keep fewer channels at higher l; each l has its own pairs."""
    density = Setup(species=(1, 6, 7, 8), max_angular=3).density()
    small = orbas.OptimalBasis(density, n_optimal=kept).fit(molecules).expansion_
    features = orbas.PowerSpectrum(small).transform(molecules)
    c = by_degree(small.transform(molecules), molecules)
    assert [block.shape[2] for block in c] == kept
    assert features.values.shape[1] == sum(q * (q + 1) // 2 for q in kept)
    assert relative_error(features.values, oracle.power_spectrum(c)) <= 1e-13


def test_only_a_density_is_accepted():
    with pytest.raises((TypeError, ValueError, AttributeError)):
        orbas.PowerSpectrum("density").transform([ase.Atoms("H")])
