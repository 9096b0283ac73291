"""NICE against the plain sums of its equations, featomic, and the norms that nothing may lose.

Channels are free up to a turn within one symmetry (a PCA picks them), so kernels are compared: sums over channels of
products between two environments, see :func:`nice_oracle.kernel_error`.
"""

from __future__ import annotations

import featomic
import featomic.clebsch_gordan
import nice_oracle
import numpy as np
import orbas
import pytest
from metatensor import Labels, TensorBlock, TensorMap
from oracle import Setup, by_degree, relative_error

SMALL = Setup(radius=4.0, max_angular=2, n_radial=1, species=(1, 6, 7, 8))
SILICON = Setup(radius=4.5, max_angular=2, n_radial=2, species=(14,))
VECTORS = Setup(radius=4.5, max_angular=1, n_radial=2, species=(14,))
CASES = [(SMALL, "molecules", 2), (SMALL, "molecules", 3), (SILICON, "silicon_small", 3), (VECTORS, "silicon_small", 4)]


def nice_for(density, nu_max, n_pairs=None, n_components=None, n_invariants=None):
    """Without arguments nothing is selected or truncated."""
    return orbas.NICE(density, nu_max=nu_max, n_pairs=n_pairs, n_components=n_components, n_invariants=n_invariants)


@pytest.fixture
def frames_of(systems, molecules):
    return lambda name: molecules[:6] if name == "molecules" else [systems(name)]


def numbers_of(frames):
    return np.concatenate([atoms.numbers for atoms in frames])


def of_center(equivariants, nu, center):
    """(lambda, sigma) -> values [env, m, q] of one order and one center species."""
    found = {key[1:3]: b.values for key, b in equivariants.items() if key.nu == nu and key.center_species == center}
    assert found, f"no block of order {nu} for center {center}"
    return found


def worst_kernel_error(equivariants, nu, coefficients, frames):
    """Largest kernel error of any center species against all products of the given coefficients."""
    worst, numbers = 0.0, numbers_of(frames)
    for center in np.unique(numbers):
        reference = nice_oracle.correlations([c[numbers == center] for c in coefficients], nu)
        worst = max(worst, nice_oracle.kernel_error(of_center(equivariants, nu, center), reference))
    return worst


# --- Values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("setup", "name", "nu"), CASES)
def test_equivariants_are_all_products(setup, name, nu, frames_of):
    """Eq. 11 without selection or contraction, for every order up to nu."""
    frames, density = frames_of(name), setup.density()
    coefficients = by_degree(density.transform(frames), frames)
    equivariants = nice_for(density, nu).fit(frames).equivariants(frames)
    for order in range(2, nu + 1):
        assert worst_kernel_error(equivariants, order, coefficients, frames) <= 1e-12


def test_first_order_is_the_density(molecules):
    density, frames = SMALL.density(), molecules[:4]
    equivariants = nice_for(density, 2).fit(frames).equivariants(frames)
    for center in (1, 6, 8):
        expected = of_center(density.transform(frames), 1, center)
        assert nice_oracle.kernel_error(of_center(equivariants, 1, center), expected) <= 1e-13


def test_blocks_say_what_they_hold(molecules):
    frames = molecules[:5]
    equivariants = nice_for(SMALL.density(), 3).fit(frames).equivariants(frames)
    assert {key.nu for key in equivariants} >= {2, 3}
    for key, block in equivariants.items():
        assert key.o3_sigma in (-1, 1)
        assert 0 <= key.o3_lambda <= key.nu * SMALL.max_angular
        assert block.values.shape[:2] == (len(block.samples), 2 * key.o3_lambda + 1)
        rows = [(s, k) for s, atoms in enumerate(frames) for k in np.flatnonzero(atoms.numbers == key.center_species)]
        assert block.samples.tolist() == [list(row) for row in rows]


@pytest.mark.parametrize("kept", [[3, 2, 1], [1, 3, 2]])
def test_channels_that_differ_by_degree(kept, molecules):
    frames = molecules[:6]
    optimal = orbas.OptimalBasis(SMALL.but(n_radial=2).density(), n_optimal=kept).fit(frames)
    density = optimal.expansion_
    coefficients = by_degree(density.transform(frames), frames)
    assert [c.shape[2] for c in coefficients] == kept
    equivariants = nice_for(density, 3).fit(frames).equivariants(frames)
    for order in (2, 3):
        assert worst_kernel_error(equivariants, order, coefficients, frames) <= 1e-12


def test_nothing_is_lost_for_structures_that_were_not_in_the_fit(molecules):
    """All components means all, not as many as the fit has seen."""
    density, seen, others = SMALL.density(), molecules[:2], [molecules[3], molecules[7]]
    nice = nice_for(density, 3).fit(seen)
    coefficients = by_degree(density.transform(others), others)
    for order in (2, 3):
        assert worst_kernel_error(nice.equivariants(others), order, coefficients, others) <= 1e-12


def as_tensor_map(coefficients):
    """Coefficients [env, m, q] as metatensor wants them, so that only the coupling is featomic's."""
    samples = Labels.range("atom", len(coefficients[0]))
    blocks = [
        TensorBlock(np.ascontiguousarray(c), samples, [Labels("o3_mu", np.arange(-l, l + 1)[:, None])], properties)
        for l, c in enumerate(coefficients)
        for properties in [Labels.range("n", c.shape[2])]
    ]
    return TensorMap(Labels(["o3_lambda", "o3_sigma"], np.array([[l, 1] for l in range(len(blocks))])), blocks)


@pytest.mark.parametrize("nu", [2, 3])
def test_against_featomic(nu, systems):
    density, frames = SILICON.density(), [systems("silicon_small")]
    coefficients = by_degree(density.transform(frames), frames)
    product = featomic.clebsch_gordan.DensityCorrelations(
        n_correlations=nu - 1, max_angular=nu * SILICON.max_angular, skip_redundant=False
    )
    parts = {}
    for key, block in product.compute(as_tensor_map(coefficients)).items():
        parts.setdefault((int(key["o3_lambda"]), int(key["o3_sigma"])), []).append(block.values)
    reference = {key: np.concatenate(blocks, axis=2) for key, blocks in parts.items()}
    ours = of_center(nice_for(density, nu).fit(frames).equivariants(frames), nu, 14)
    assert nice_oracle.kernel_error(ours, reference) <= 1e-12


@pytest.mark.parametrize("nu", [2, 3])
def test_against_featomic_from_the_structures_on(nu, systems):
    """The whole road, radial integrals and harmonics of featomic included."""
    frames, density = [systems("silicon_small")], SILICON.density(spline_accuracy=1e-13)
    equivariants = nice_for(density, nu).fit(frames).equivariants(frames)
    expansion = featomic.SphericalExpansion(**SILICON.featomic()).compute(frames)
    scale = (np.pi * SILICON.density_width**2) ** 0.75
    theirs = [scale * expansion.block(o3_lambda=l).values for l in range(SILICON.max_angular + 1)]
    assert worst_kernel_error(equivariants, nu, theirs, frames) <= 1e-12


# --- Norms and contraction -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("setup", "name", "nu"), CASES)
def test_norms_are_powers(setup, name, nu, frames_of):
    """Eq. 14 and 15: the norm of order nu is that of the density to the power nu, for every environment."""
    frames, density = frames_of(name), setup.density()
    equivariants = nice_for(density, nu).fit(frames).equivariants(frames)
    for center in np.unique(numbers_of(frames)):
        first = nice_oracle.norms(of_center(density.transform(frames), 1, center))
        for order in range(2, nu + 1):
            found = nice_oracle.norms(of_center(equivariants, order, center))
            np.testing.assert_allclose(found, first**order, rtol=1e-10)


def retained(nice):
    """``retained_`` as a flat list of numbers, in whatever container it comes."""
    value = nice.retained_
    return np.ravel(list(value.values()) if hasattr(value, "values") else value).astype(float)


@pytest.mark.parametrize(("setup", "name", "nu"), CASES)
def test_retained_is_one_if_nothing_was_dropped(setup, name, nu, frames_of):
    found = retained(nice_for(setup.density(), nu).fit(frames_of(name)))
    assert len(found) >= nu - 1
    np.testing.assert_allclose(found, 1, rtol=0, atol=1e-10)


@pytest.mark.parametrize("cut", [{"n_pairs": 6}, {"n_components": 3}])
def test_retained_is_less_than_one_if_something_was_dropped(cut, systems):
    found = retained(nice_for(SILICON.density(), 3, **cut).fit([systems("silicon_small")]))
    assert np.all(found > 0)
    assert np.all(found <= 1 + 1e-12)
    assert found[-1] < 1 - 1e-6


@pytest.mark.parametrize("name", ["n_pairs", "n_components"])
def test_retained_grows_with_what_is_kept(name, systems):
    frames, density = [systems("silicon_small")], SILICON.density()
    kept = [retained(nice_for(density, 3, **{name: n}).fit(frames))[-1] for n in (2, 8, 30)]
    assert kept[0] < kept[1] < kept[2] <= 1 + 1e-12


def test_a_large_number_is_as_good_as_all(systems):
    frames, density = [systems("silicon_small")], VECTORS.density()
    every = nice_for(density, 3).fit(frames).transform(frames).values
    many = nice_for(density, 3, n_pairs=10**6, n_components=10**6, n_invariants=10**6).fit(frames)
    assert relative_error(nice_oracle.kernel(many.transform(frames).values), nice_oracle.kernel(every)) <= 1e-12
    np.testing.assert_allclose(retained(many), 1, rtol=0, atol=1e-10)


@pytest.mark.parametrize("nu", [2, 3])
def test_complete_optimal_basis_is_a_turn(nu, systems):
    """Eq. 14: an orthogonal change of the radial basis changes no kernel."""
    frames, primitive = [systems("silicon_small")], SILICON.density(spline_accuracy=1e-12)
    turned = orbas.OptimalBasis(primitive, n_optimal=SILICON.n_radial).fit(frames).expansion_
    before, after = (nice_for(d, nu).fit(frames).equivariants(frames) for d in (primitive, turned))
    assert nice_oracle.kernel_error(of_center(after, nu, 14), of_center(before, nu, 14)) <= 1e-10


@pytest.mark.parametrize("nu", [2, 3])
def test_contract_before_or_after(nu, systems):
    """Eq. 13: NICE on contracted splines, or U^l on the last factor of primitive products."""
    frames, primitive = [systems("silicon_small")], SILICON.but(n_radial=4).density(spline_accuracy=1e-12)
    small = orbas.OptimalBasis(primitive, n_optimal=2).fit(frames).expansion_
    long, short = (by_degree(d.transform(frames), frames) for d in (primitive, small))
    below, parts = nice_oracle.correlations(short, nu - 1), {}
    for l, (before, after) in enumerate(zip(long, short, strict=True)):
        U = nice_oracle.change_of_basis(before, after)
        np.testing.assert_allclose(U.T @ U, np.eye(2), atol=1e-8)
        for key, block in below.items():
            turn = np.kron(U, np.eye(block.shape[2]))
            for symmetry, product in nice_oracle.couple({(l, 1): before}, {key: block}).items():
                parts.setdefault(symmetry, []).append(product @ turn)
    contracted_after = {key: np.concatenate(blocks, axis=2) for key, blocks in parts.items()}
    contracted_before = of_center(nice_for(small, nu).fit(frames).equivariants(frames), nu, 14)
    assert nice_oracle.kernel_error(contracted_before, contracted_after) <= 1e-10


@pytest.mark.parametrize("nu", [2, 3])
def test_components_are_the_leading_ones(nu, systems):
    """Uncentered PCA per (lambda, sigma) after every product; invariants have an expansion of their own."""
    n, frames, density = 4, [systems("silicon_small")], SILICON.density()
    ours = of_center(nice_for(density, nu, n_components=n).fit(frames).equivariants(frames), nu, 14)
    reference = nice_oracle.iterate(by_degree(density.transform(frames), frames), nu, n)
    for blocks in (ours, reference):
        blocks.pop((0, 1))
    assert all(block.shape[2] <= n for block in ours.values())
    assert nice_oracle.kernel_error(ours, reference) <= 1e-10


# --- Invariants ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("setup", "name", "nu"), CASES)
def test_features_are_the_invariants_of_every_order(setup, name, nu, frames_of):
    """Features hold orders 1 to nu_max side by side: their kernels add up, and each order adds its own."""
    frames, density = frames_of(name), setup.density()
    coefficients, numbers = by_degree(density.transform(frames), frames), numbers_of(frames)
    for top in range(2, nu + 1):
        features = nice_for(density, top).fit(frames).transform(frames)
        assert np.array_equal(features.center_numbers, numbers)
        for center in np.unique(numbers):
            own = [c[numbers == center] for c in coefficients]
            expected = sum(nice_oracle.kernel(nice_oracle.invariants(own, order)) for order in range(1, top + 1))
            assert relative_error(nice_oracle.kernel(features.values[numbers == center]), expected) <= 1e-12


def test_second_order_is_the_power_spectrum(molecules):
    frames, density = molecules[:6], SMALL.density()
    features = nice_for(density, 2).fit(frames).transform(frames).values
    spectra = [
        kind(density).fit(frames).transform(frames).values for kind in (orbas.RadialSpectrum, orbas.PowerSpectrum)
    ]
    for center in (1, 6, 8):
        rows = numbers_of(frames) == center
        expected = sum(nice_oracle.kernel(values[rows]) for values in spectra)
        assert relative_error(nice_oracle.kernel(features[rows]), expected) <= 1e-12


@pytest.mark.parametrize("n_invariants", [5, None])
def test_number_of_invariants(n_invariants, systems):
    frames, density = [systems("silicon_small")], SILICON.density()
    features = nice_for(density, 3, n_invariants=n_invariants).fit(frames).transform(frames)
    assert features.values.shape[0] == len(frames[0])
    if n_invariants:
        assert features.values.shape[1] <= 2 + 2 * n_invariants


@pytest.mark.parametrize(("setup", "name"), [(SMALL, "molecules"), (SILICON, "silicon_small")])
def test_bispectrum_is_the_triple_sum(setup, name, frames_of):
    """Every channel kept, none turned into another: kernels over all environments, whatever their species."""
    frames, density = frames_of(name), setup.density()
    expected = nice_oracle.bispectrum_sum(by_degree(density.transform(frames), frames))
    values = orbas.Bispectrum(density).fit(frames).transform(frames).values
    assert relative_error(nice_oracle.kernel(values), nice_oracle.kernel(expected)) <= 1e-12


def test_bispectrum_does_not_see_a_reflection(molecules):
    bispectrum, mirrored = orbas.Bispectrum(SMALL.density()), molecules[3].copy()
    mirrored.positions[:, 0] *= -1
    before, after = (bispectrum.transform([atoms]).values for atoms in (molecules[3], mirrored))
    assert relative_error(after, before) <= 1e-12


def test_summary_is_a_table(systems):
    text = str(nice_for(SILICON.density(), 3, n_components=4).fit([systems("silicon_small")]).summary())
    assert len(text.splitlines()) >= 3
