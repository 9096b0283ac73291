"""The oracle of NICE against roads that share nothing with it: featomic, direct sums, rotations, norms."""

from __future__ import annotations

import itertools

import featomic
import featomic.clebsch_gordan
import nice_oracle as nice
import numpy as np
import pytest
from metatensor import Labels
from oracle import Setup, relative_error
from scipy.spatial.transform import Rotation

SETUP = Setup(radius=4.0, max_angular=2, n_radial=1, species=(1, 6, 8))


def random_coefficients(seed, top, n_env=5, q=2):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n_env, 2 * l + 1, q)) for l in range(top + 1)]


@pytest.fixture(scope="module")
def methanol():
    import ase.build

    atoms = ase.build.molecule("CH3OH")
    atoms.rattle(0.05, seed=8)
    return atoms


def featomic_equivariants(setup, atoms, nu):
    """(lambda, sigma) -> [env, m, channel] of featomic's DensityCorrelations, turned to a Gaussian of peak 1."""
    calculator = featomic.SphericalExpansion(**setup.featomic())
    density = calculator.compute(atoms).keys_to_properties(Labels("neighbor_type", np.array(setup.species)[:, None]))
    product = featomic.clebsch_gordan.DensityCorrelations(
        n_correlations=nu - 1, max_angular=nu * setup.max_angular, skip_redundant=False
    )
    scale = (np.pi * setup.density_width**2) ** (0.75 * nu)
    parts = {}
    for key, block in product.compute(density).items():
        dense = np.zeros((len(atoms), *block.values.shape[1:]))
        dense[block.samples["atom"]] = scale * block.values
        names = [name for name in key.names if name not in ("o3_lambda", "o3_sigma", "center_type")]
        path = tuple(int(key[name]) for name in names)
        whole = parts.setdefault((int(key["o3_lambda"]), int(key["o3_sigma"])), {})
        whole[path] = whole.get(path, 0) + dense  # centers of different species share the channels
    return {key: np.concatenate(list(paths.values()), axis=2) for key, paths in parts.items()}


@pytest.mark.parametrize("nu", [2, 3])
def test_against_featomic_density_correlations(nu, methanol):
    ours = nice.correlations(SETUP.coefficients([methanol]), nu)
    assert nice.kernel_error(ours, featomic_equivariants(SETUP, methanol, nu)) <= 1e-12


def test_against_featomic_equivariant_power_spectrum(methanol):
    """featomic leaves out l1 > l2 here: sqrt 2 for l1 < l2 makes up for it."""
    calculator = featomic.SphericalExpansion(**SETUP.featomic())
    spectrum = featomic.clebsch_gordan.EquivariantPowerSpectrum(calculator, neighbor_types=list(SETUP.species))
    parts = {}
    for key, block in spectrum.compute(methanol, neighbors_to_properties=True).items():
        entry = (int(key["o3_lambda"]), int(key["o3_sigma"]))
        dense = parts.setdefault(entry, np.zeros((len(methanol), *block.values.shape[1:])))
        weights = np.where(block.properties["l_1"] < block.properties["l_2"], np.sqrt(2), 1)
        dense[block.samples["atom"]] = (np.pi * SETUP.density_width**2) ** 1.5 * weights * block.values
    assert nice.kernel_error(nice.correlations(SETUP.coefficients([methanol]), 2), parts) <= 1e-12


@pytest.mark.parametrize("top", [0, 1, 2, 3])
def test_half_pairs_lose_nothing(top):
    coefficients = random_coefficients(top, top)
    full, half = nice.correlations(coefficients, 2), nice.half_pairs(coefficients)
    n_channels = 2 * (top + 1)
    assert half[0, 1].shape[2] < full[0, 1].shape[2] or n_channels == 1
    # A block of nothing but odd self pairs is zero in the full set, and missing in the half one.
    for key in full.keys() - half.keys():
        assert np.max(np.abs(full.pop(key))) <= 1e-14
    assert nice.kernel_error(half, full) <= 1e-13


@pytest.mark.parametrize(("nu", "top", "q"), [(2, 4, 2), (3, 2, 2), (4, 1, 2), (4, 2, 1)])
def test_norms_are_powers(nu, top, q):
    """Eq. 14 and 15, for every environment, with lambda to nu * l_max."""
    coefficients = random_coefficients(nu, top, n_env=2, q=q)
    equivariants = nice.correlations(coefficients, nu)
    assert max(o3_lambda for o3_lambda, _ in equivariants) == nu * top
    expected = nice.norms(nice.first_order(coefficients)) ** nu
    np.testing.assert_allclose(nice.norms(equivariants), expected, rtol=1e-12)


def test_norm_is_lost_when_lambda_is_cut():
    coefficients = random_coefficients(0, 3)
    kept = nice.norms(nice.correlations(coefficients, 2, max_lambda=3))
    assert np.all(kept < 0.8 * nice.norms(nice.first_order(coefficients)) ** 2)


@pytest.mark.parametrize("matrix", [*Rotation.random(2, random_state=4).as_matrix(), -np.eye(3)])
@pytest.mark.parametrize("nu", [1, 2, 3])
def test_turns_with_wigner_matrices(nu, matrix, methanol):
    turned = methanol.copy()
    turned.positions = methanol.positions @ matrix.T
    before, after = (nice.correlations(SETUP.coefficients([a]), nu) for a in (methanol, turned))
    inverted = np.linalg.det(matrix) < 0
    for (o3_lambda, o3_sigma), block in before.items():
        expected = np.einsum("mk,ikq->imq", nice.wigner(matrix, o3_lambda), block)
        expected *= o3_sigma if inverted else 1  # Y itself has parity (-1)^lambda, which D knows
        assert relative_error(after[o3_lambda, o3_sigma], expected) <= 1e-12


def test_invariants_are_direct_sums():
    coefficients = random_coefficients(7, 2)
    power, bispectrum = nice.power_spectrum_sum(coefficients), nice.bispectrum_sum(coefficients)
    for nu, features in ((2, power), (3, bispectrum)):
        short, full = nice.invariants(coefficients, nu), nice.correlations(coefficients, nu)[0, 1][:, 0]
        assert relative_error(nice.kernel(short), nice.kernel(full)) <= 1e-13
        assert relative_error(nice.kernel(features), nice.kernel(full)) <= 1e-13


@pytest.mark.parametrize("nu", [2, 3, 4])
def test_contract_before_or_after(nu):
    """Eq. 13: U^l may turn the density before the product, or the radial index n of the product itself."""
    coefficients, rng = random_coefficients(13, 1, q=3), np.random.default_rng(2)
    U = [np.linalg.qr(rng.normal(size=(3, 2)))[0] for _ in coefficients]
    small = [c @ u for c, u in zip(coefficients, U, strict=True)]
    below = nice.correlations(small, nu - 1)
    parts = {}
    for l, (key, block) in itertools.product(range(len(U)), below.items()):
        turn = np.kron(U[l], np.eye(block.shape[2]))  # channels are (n, Q)
        for symmetry, product in nice.couple({(l, 1): coefficients[l]}, {key: block}).items():
            parts.setdefault(symmetry, []).append(product @ turn)
    after = {key: np.concatenate(blocks, axis=2) for key, blocks in parts.items()}
    assert nice.kernel_error(nice.correlations(small, nu), after) <= 1e-13


def test_pca_is_the_best_subspace():
    block = random_coefficients(1, 2, n_env=40, q=6)[2]
    values, vectors = nice.principal_components(block)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(6), atol=1e-13)
    kept = np.sum((block @ vectors[:, :4]) ** 2) / len(block)
    assert kept == pytest.approx(values[:4].sum(), rel=1e-12)
    assert values.sum() == pytest.approx(np.sum(block**2) / len(block), rel=1e-12)
