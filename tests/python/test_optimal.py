"""The optimal basis: four contractions, streaming, residual variance, determinism, two primitive bases."""

from __future__ import annotations

import math

import ase
import ase.build
import numpy as np
import oracle
import orbas
import pytest
from oracle import Setup, by_degree, relative_error

EXACT = 1e-13
SETUP = Setup(max_angular=3, n_radial=6, species=(1, 6, 7, 8))
KINDS = [(mixing, per_center) for mixing in ("separate", "combined") for per_center in (False, True)]
RAGGED = [5, 4, 2, 1]


@pytest.fixture(scope="module")
def primitive(molecules):
    """Coefficients of the oracle: list over l of [atom, m, (a, n)]."""
    return SETUP.coefficients(molecules)


@pytest.fixture(scope="module")
def numbers(molecules):
    return np.concatenate([atoms.numbers for atoms in molecules])


@pytest.fixture(scope="module")
def environments(molecules):
    """Largest sum of f over the neighbors of an atom, plus itself: how often a spline error can enter."""
    sums = []
    for atoms in molecules:
        i, _, _, D = oracle.brute_force_pairs(atoms, SETUP.radius)
        weights = SETUP.pair_weights(np.linalg.norm(D, axis=1))
        sums.append(np.bincount(i, weights, len(atoms)).max(initial=0) + 1)
    return max(sums)


def fitted(molecules, accuracy=EXACT, setup=SETUP, **options):
    return orbas.OptimalBasis(setup.density(accuracy), **options).fit(molecules)


def groups(result, numbers, per_center):
    """Pairs (rows of the atoms, what the result holds for them): one group, or one per center species."""
    if not per_center:
        return [(np.arange(len(numbers)), result)]
    assert set(result) == set(SETUP.species)
    return [(np.flatnonzero(numbers == number), result[number]) for number in SETUP.species]


def channels(c, mixing):
    """The channel groups that are contracted together: all of them, or one array per neighbor species."""
    return [c] if mixing == "combined" else np.split(c, len(SETUP.species), axis=2)


def as_list(per_degree, mixing):
    return [per_degree] if mixing == "combined" else list(per_degree)


def covariance(c):
    """Eq. 6: the mean over all environments, not centered."""
    return np.einsum("imn,imk->nk", c, c) / len(c)


def contracted(c, per_degree, mixing):
    parts = zip(channels(c, mixing), as_list(per_degree, mixing), strict=True)
    return np.concatenate([part @ U for part, U in parts], axis=2)


def spectra(coefficients, mixing):
    """Descending eigenvalues [l][group][q] of the rows given."""
    return [[np.linalg.eigvalsh(covariance(part))[::-1] for part in channels(c, mixing)] for c in coefficients]


def residuals(coefficients, mixing):
    values = spectra(coefficients, mixing)
    by_count = sum(eigenvalues for degree in values for eigenvalues in degree)
    return 1 - np.cumsum(by_count) / by_count.sum()


# ------------------------------------------------------------------ what a contraction is


@pytest.mark.parametrize(("mixing", "per_center"), KINDS)
@pytest.mark.parametrize("n_optimal", [3, RAGGED])
def test_contraction_is_pca(mixing, per_center, n_optimal, molecules, primitive, numbers):
    optimal = fitted(molecules, n_optimal=n_optimal, mixing=mixing, per_center=per_center)
    counts = [3] * 4 if n_optimal == 3 else n_optimal
    for rows, contraction in groups(optimal.contraction_, numbers, per_center):
        assert len(contraction) == SETUP.max_angular + 1
        for c, per_degree, q in zip(primitive, contraction, counts, strict=True):
            for part, U in zip(channels(c[rows], mixing), as_list(per_degree, mixing), strict=True):
                C = covariance(part)
                assert U.shape == (len(C), q)
                np.testing.assert_allclose(U.T @ U, np.eye(q), atol=1e-12)
                expected = np.diag(np.linalg.eigvalsh(C)[::-1][:q])
                np.testing.assert_allclose(U.T @ C @ U, expected, atol=1e-10 * np.trace(C) + 1e-15)


@pytest.mark.parametrize(("mixing", "per_center"), KINDS)
def test_eigenvalues(mixing, per_center, molecules, primitive, numbers):
    optimal = fitted(molecules, n_optimal=3, mixing=mixing, per_center=per_center)
    for rows, values in groups(optimal.eigenvalues_, numbers, per_center):
        expected = spectra([c[rows] for c in primitive], mixing)
        first = as_list(values[0], mixing)[0][0]
        if per_center and not math.isclose(first, expected[0][0][0], rel_tol=1e-6):  # N may be all environments
            expected = [[e * len(rows) / len(numbers) for e in degree] for degree in expected]
        for got_degree, degree in zip(values, expected, strict=True):
            for got, reference in zip(as_list(got_degree, mixing), degree, strict=True):
                assert got.ndim == 1
                assert 3 <= len(got) <= len(reference)
                np.testing.assert_allclose(got, reference[: len(got)], atol=1e-11 * reference.max() + 1e-15)


@pytest.mark.parametrize(("mixing", "per_center"), KINDS)
@pytest.mark.parametrize("n_optimal", [4, RAGGED])
@pytest.mark.parametrize("accuracy", [1e-8, 1e-11])
def test_contracted_splines_equal_post_processing(
    mixing, per_center, n_optimal, accuracy, molecules, primitive, numbers, environments
):
    optimal = fitted(molecules, accuracy, n_optimal=n_optimal, mixing=mixing, per_center=per_center)
    direct = by_degree(optimal.expansion_.transform(molecules), molecules)
    for rows, contraction in groups(optimal.contraction_, numbers, per_center):
        for l, c in enumerate(primitive):
            expected = contracted(c[rows], contraction[l], mixing)
            bound = accuracy * environments * math.sqrt((2 * l + 1) / (4 * math.pi)) + 2e-12
            assert direct[l][rows].shape == expected.shape
            assert np.max(np.abs(direct[l][rows] - expected), initial=0) <= bound


@pytest.mark.parametrize(("mixing", "per_center"), KINDS)
def test_fewer_functions_are_the_first_of_more(mixing, per_center, molecules):
    small, large = (
        fitted(molecules, n_optimal=n, mixing=mixing, per_center=per_center).expansion_.transform(molecules)
        for n in (2, 5)
    )
    n_groups = 1 if mixing == "combined" else len(SETUP.species)
    for key, block in small.items():
        parts = np.split(large[key].values, n_groups, axis=2)
        first = np.concatenate([part[:, :, :2] for part in parts], axis=2)
        np.testing.assert_allclose(block.values, first, atol=1e-11)


def test_expansion_is_an_ordinary_density(molecules):
    small = fitted(molecules, 1e-8, n_optimal=3).expansion_
    assert isinstance(small, orbas.DensityExpansion)
    with pytest.raises(orbas.UnknownSpeciesError):
        small.transform([ase.Atoms("F")])
    alone = np.concatenate([orbas.PowerSpectrum(small).transform([atoms]).values for atoms in molecules])
    assert np.array_equal(orbas.PowerSpectrum(small).transform(molecules).values, alone)


def test_a_species_that_never_occurs(molecules):
    """Its channels have no variance; it changes nothing for the others, and can still be evaluated."""
    wide = fitted(molecules, setup=SETUP.but(species=(1, 6, 7, 8, 9)), n_optimal=3).expansion_
    narrow = fitted(molecules, n_optimal=3).expansion_
    pairs = zip(*(by_degree(e.transform(molecules), molecules) for e in (wide, narrow)), strict=True)
    for c, expected in pairs:
        assert relative_error(c, expected) <= 1e-9
    by_degree(wide.transform([ase.Atoms("HF", positions=[[0, 0, 0], [0, 0, 0.9]])]), [ase.Atoms("HF")])


# ------------------------------------------------------------------ how many functions


@pytest.mark.parametrize(("mixing", "per_center"), KINDS)
def test_residual_variance(mixing, per_center, molecules, primitive, numbers):
    optimal = fitted(molecules, n_optimal=3, mixing=mixing, per_center=per_center)
    for rows, curve in groups(optimal.residual_variance_, numbers, per_center):
        expected = residuals([c[rows] for c in primitive], mixing)
        assert 3 <= len(curve) <= len(expected)
        np.testing.assert_allclose(curve, expected[: len(curve)], atol=1e-11)


@pytest.mark.parametrize("mixing", ["separate", "combined"])
def test_residual_variance_is_what_the_coefficients_lose(mixing, molecules, primitive):
    optimal = fitted(molecules, n_optimal=3, mixing=mixing)
    kept = sum(np.sum(c**2) for c in by_degree(optimal.expansion_.transform(molecules), molecules))
    full = sum(np.sum(c**2) for c in primitive)
    assert abs(1 - kept / full - optimal.residual_variance_[2]) <= 1e-11


@pytest.mark.parametrize(("mixing", "per_center"), KINDS)
@pytest.mark.parametrize("target", [1e-1, 1e-3])
def test_residual_target(mixing, per_center, target, molecules, primitive, numbers):
    """The target is met, with no more functions than one count for every l would take."""
    optimal = fitted(molecules, residual=target, mixing=mixing, per_center=per_center)
    for rows, contraction in groups(optimal.contraction_, numbers, per_center):
        own = [c[rows] for c in primitive]
        values = spectra(own, mixing)
        shapes = [[U.shape[1] for U in as_list(degree, mixing)] for degree in contraction]
        pairs = [
            (reference, q)
            for degree, counts in zip(values, shapes, strict=True)
            for reference, q in zip(degree, counts, strict=True)
        ]
        total = sum(reference.sum() for reference, _ in pairs)
        assert 1 - sum(reference[:q].sum() for reference, q in pairs) / total <= target * (1 + 1e-9)
        uniform = 1 + int(np.argmax(residuals(own, mixing) <= target))
        assert sum(q for _, q in pairs) <= uniform * len(pairs)


# ------------------------------------------------------------------ streaming and determinism


def flat(result):
    """All arrays of a nested result, in order."""
    if isinstance(result, dict):
        return [array for key in sorted(result) for array in flat(result[key])]
    if isinstance(result, list | tuple):
        return [array for part in result for array in flat(part)]
    return [result]


@pytest.mark.parametrize(("mixing", "per_center"), KINDS)
def test_partial_fit_equals_one_shot(mixing, per_center, molecules):
    """Unequal batches; the first has no O, the second no H or C, one is a single molecule."""
    order = [0, 2, 5, 6, 11, 1, 3, 4, 7, 8, 9, 10]
    frames = [molecules[k] for k in order]
    batches = [frames[:4], frames[4:5], frames[5:6], frames[6:]]
    options = {"n_optimal": 3, "mixing": mixing, "per_center": per_center}
    streamed = orbas.OptimalBasis(SETUP.density(), **options)
    for batch in batches:
        assert streamed.partial_fit(batch) is streamed
    once = orbas.OptimalBasis(SETUP.density(), **options).fit(molecules)
    for got, expected in zip(flat(streamed.eigenvalues_), flat(once.eigenvalues_), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-12 * max(expected.max(), 1e-3))
    for got, expected in zip(flat(streamed.contraction_), flat(once.contraction_), strict=True):
        np.testing.assert_allclose(got[:, 0], expected[:, 0], atol=1e-9)
    curves = (flat(o.residual_variance_) for o in (streamed, once))
    np.testing.assert_allclose(*(np.concatenate(list(curve)) for curve in curves), atol=1e-12)


def test_partial_fit_counts_environments_without_the_species(molecules):
    """N is the number of all environments, also in batches where a species does not occur."""
    optimal = orbas.OptimalBasis(SETUP.density(EXACT), n_optimal=2, mixing="separate")
    optimal.partial_fit(molecules[:1]).partial_fit(molecules[1:2])  # CH4, H2O
    c = SETUP.coefficients(molecules[:2])[0]
    oxygen = np.split(c, 4, axis=2)[3]
    expected = np.linalg.eigvalsh(np.einsum("imn,imk->nk", oxygen, oxygen) / 8)[::-1]
    np.testing.assert_allclose(optimal.eigenvalues_[0][3][:2], expected[:2], rtol=1e-10)


def test_unknown_species_in_a_later_batch_is_never_silent(molecules):
    optimal = orbas.OptimalBasis(SETUP.density(species=[1, 6]), n_optimal=2).partial_fit(molecules[:1])
    with pytest.raises(orbas.UnknownSpeciesError, match="8"):
        optimal.partial_fit(molecules[1:2])


@pytest.mark.parametrize(("mixing", "per_center"), KINDS)
def test_refit_gives_the_same_bits(mixing, per_center, molecules):
    first, second = (fitted(molecules, 1e-8, n_optimal=4, mixing=mixing, per_center=per_center) for _ in range(2))
    for name in ("contraction_", "eigenvalues_", "residual_variance_"):
        for a, b in zip(flat(getattr(first, name)), flat(getattr(second, name)), strict=True):
            assert np.array_equal(a, b), name
    a, b = (by_degree(o.expansion_.transform(molecules), molecules) for o in (first, second))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_fit_forgets_earlier_data(molecules):
    optimal = fitted(molecules[6:], 1e-8, n_optimal=2)
    fresh = fitted(molecules, 1e-8, n_optimal=2)
    for a, b in zip(optimal.fit(molecules).contraction_, fresh.contraction_, strict=True):
        assert np.array_equal(a, b)


def test_signs_do_not_depend_on_the_order_of_the_data(molecules):
    forward, backward = (fitted(frames, 1e-8, n_optimal=2) for frames in (molecules, molecules[::-1]))
    for a, b in zip(forward.contraction_, backward.contraction_, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)


# ---------------------------------------------------- Fig. 1: the primitive basis does not matter


@pytest.mark.parametrize(("radius", "leading"), [(5.0, 0.99997), (6.0, 0.9999)])
def test_gto_and_dvr_give_the_same_functions(radius, leading):
    """Overlaps of the optimal functions of GTO(20) and DVR(40), Eq. 17, on the nodes of the DVR."""
    frames = []
    for seed, amplitude in enumerate((0.05, 0.1, 0.2, 0.3)):
        atoms = ase.build.bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2)
        atoms.rattle(amplitude, seed=seed)
        frames.append(atoms)
    setup = Setup(radius=radius, density_width=0.5, max_angular=6, n_radial=20, species=(14,))
    both = (setup, setup.but(basis="DVR", n_radial=40))
    gto, dvr = (fitted(frames, 1e-8, s, n_optimal=9).contraction_ for s in both)
    x, w = oracle.gauss_legendre(40, radius + 3 * setup.density_width)
    on_nodes = oracle.gto_functions(x, 20, radius) * np.sqrt(w) * x
    for l in range(7):
        overlap = np.abs(np.sum((on_nodes.T @ gto[l]) * dvr[l], axis=0))
        assert overlap[:5].min() >= leading, f"l = {l}: {overlap}"
        if l in (0, 4):
            assert overlap[8] >= {0: 0.9988, 4: 0.973}[l]


# ------------------------------------------------------------------ misuse


def test_nothing_before_fit():
    optimal = orbas.OptimalBasis(SETUP.density(), n_optimal=2)
    for name in ("contraction_", "eigenvalues_", "residual_variance_", "expansion_"):
        with pytest.raises(orbas.NotFittedError):
            getattr(optimal, name)


@pytest.mark.parametrize(
    "options",
    [
        {"n_optimal": 0},
        {"n_optimal": -1},
        {"n_optimal": 2.5},
        {"n_optimal": [2, 2]},
        {"n_optimal": 2, "mixing": "both"},
        {"residual": -0.1},
        {"residual": math.nan},
        {"n_optimal": 2, "max_iterations": 3},
    ],
    ids=str,
)
def test_bad_options(options, molecules):
    with pytest.raises((ValueError, TypeError)):
        orbas.OptimalBasis(SETUP.density(), **options).fit(molecules)


def test_fit_needs_data():
    with pytest.raises(ValueError, match=r"(?i)structure|environment|atom|empty"):
        orbas.OptimalBasis(SETUP.density(), n_optimal=2).fit([])
