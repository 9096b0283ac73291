"""Primitive bases: against closed forms, on independent grids, by finite differences, and their messages."""

from __future__ import annotations

import pickle
from decimal import Decimal, getcontext
from itertools import pairwise
from math import gamma, pi

import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss
from numpy.testing import assert_allclose, assert_array_equal
from orbas.bases import DVR, GTO, Custom, LaplacianEigenstates, PrimitiveBasis, RadialIntegrals, quadrature
from orbas.bases.bessel import scaled_bessel
from orbas.bases.laplacian import bessel_zeros
from scipy.special import hyp1f1, spherical_jn

RC = 5.0


def smooth_functions(n: int, width: float = 0.7):
    """Shifted Gaussians, even in r, so that they are smooth functions of space."""
    return [
        lambda r, c=c: np.exp(-0.5 * ((r - c) / width) ** 2) + np.exp(-0.5 * ((r + c) / width) ** 2)
        for c in np.linspace(0.0, 3.0, n)
    ]


BASES = [
    GTO(1),
    GTO(6),
    GTO(12),
    DVR(24),
    LaplacianEigenstates(8),
    Custom(smooth_functions(4), support=8.0),
    Custom([smooth_functions(3), smooth_functions(2), [], smooth_functions(1)], support=8.0),
]


def name(value) -> str | None:
    return repr(value)[:24] if isinstance(value, PrimitiveBasis) else None


every_basis = pytest.mark.parametrize("basis", BASES, ids=name)


def gauss(end: float, n: int):
    nodes, weights = leggauss(n)
    return 0.5 * end * (nodes + 1), 0.5 * end * weights


def grid(end: float):
    """Many short panels: the weights of one long rule are only good to 1e-12."""
    nodes, weights = gauss(end / 50, 20)
    return (end / 50 * np.arange(50)[:, None] + nodes).ravel(), np.tile(weights, 50)


def extent(basis: PrimitiveBasis, width: float) -> float:
    far = 60.0 if basis == GTO(1) else 20.0
    return {GTO: far, DVR: RC + 3 * width, LaplacianEigenstates: RC, Custom: 8.0}[type(basis)]


def integrals(basis: PrimitiveBasis, r, width: float, max_angular: int = 3) -> list[RadialIntegrals]:
    return basis.integrals(r, max_angular=max_angular, cutoff_radius=RC, density_width=width)


def functions(basis: PrimitiveBasis, r, width: float = 0.3, max_angular: int = 3):
    return basis.functions(r, max_angular=max_angular, cutoff_radius=RC, density_width=width)


def close_to_scale(actual, expected, tolerance: float) -> None:
    """Compare relative to the largest value: a tail of 1e-20 is not asked for its digits."""
    assert np.isfinite(actual).all()
    assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max(initial=1e-300))


# Bessel functions


def test_scaled_bessel_matches_the_series_in_forty_digits():
    getcontext().prec = 60
    for z in (1e-8, 1e-3, 0.7, 5.0, 19.9, 20.1, 71.9, 72.1, 150.0, 600.0):
        values = scaled_bessel(np.array([z]), 8)[:, 0]
        for order in (0, 1, 4, 8):
            exact, square = Decimal(0), Decimal(z) ** 2
            term = Decimal(z) ** order
            for odd in range(1, 2 * order + 2, 2):
                term /= odd
            k = 0
            while term > exact * Decimal("1e-45"):
                exact += term
                k += 1
                term *= square / (2 * k * (2 * order + 2 * k + 1))
            exact *= (-Decimal(z)).exp()
            assert_allclose(values[order], float(exact), rtol=1e-14, err_msg=f"l={order} z={z}")


def test_scaled_bessel_at_the_ends():
    values = scaled_bessel(np.array([0.0, 1e-200, 1e5, 1e12]), 6)
    assert_array_equal(values[:, 0], [1, 0, 0, 0, 0, 0, 0])
    assert np.isfinite(values).all()
    assert_allclose(values[0, 2], 0.5e-5, rtol=1e-15)
    assert_allclose(values[6, 2], 0.5e-5 * (1 - 21e-5 + 210e-10), rtol=1e-11)
    assert scaled_bessel(np.zeros((0, 3)), 2).shape == (3, 0, 3)
    assert scaled_bessel(np.array([3.0, 30.0]), 0).shape == (1, 2)


# The values


def overlap_and_norms(n_radial: int):
    widths = RC * np.sqrt(np.maximum(np.arange(n_radial), 1)) / n_radial
    b = 0.5 / widths**2
    norms = np.array([np.sqrt(2 / (s ** (2 * n + 3) * gamma(n + 1.5))) for n, s in enumerate(widths)])
    half = 0.5 * (np.arange(n_radial)[:, None] + np.arange(n_radial) + 3)
    overlap = norms[:, None] * norms * 0.5 * np.vectorize(gamma)(half) / (b[:, None] + b) ** half
    return overlap, norms, b


def inverse_root(overlap):
    values, vectors = np.linalg.eigh(overlap)
    return vectors / np.sqrt(values) @ vectors.T


def analytic_gto(n_radial: int, max_angular: int, r, width: float):
    overlap, norms, b = overlap_and_norms(n_radial)
    alpha = 0.5 / width**2
    results = []
    for degree in range(max_angular + 1):
        primitive = np.empty((len(r), n_radial))
        for m in range(n_radial):
            upper, lower = 0.5 * (m + degree + 3), degree + 1.5
            z = alpha**2 * r**2 / (alpha + b[m])
            primitive[:, m] = (
                pi**1.5 * norms[m] * gamma(upper) / gamma(lower) * (alpha * r) ** degree
                * (alpha + b[m]) ** -upper * np.exp(-alpha * r**2) * hyp1f1(upper, lower, z)
            )  # fmt: skip
        results.append(primitive @ inverse_root(overlap))
    return results


@pytest.mark.parametrize("width", [0.2, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("n_radial", [1, 4, 8])
def test_gto_integrals_match_the_closed_form(n_radial, width):
    r = np.linspace(0.0, RC, 41)
    expected = analytic_gto(n_radial, 8, r, width)
    for actual, reference in zip(integrals(GTO(n_radial), r, width, 8), expected, strict=True):
        close_to_scale(actual.values, reference, 1e-11)


@every_basis
def test_functions_are_orthonormal_on_an_independent_grid(basis):
    end = {GTO: 60.0 if basis == GTO(1) else 20.0, DVR: RC + 0.9, LaplacianEigenstates: RC, Custom: 8.0}[type(basis)]
    x, w = grid(end)
    for degree, values in enumerate(functions(basis, x)):
        assert values.shape == (len(x), basis.counts(3)[degree])
        gram = values.T @ (values * (w * x**2)[:, None])
        assert_allclose(gram, np.eye(len(gram)), rtol=0, atol=1e-12)


def test_twenty_gtos_are_orthonormal_within_the_documented_rounding():
    x, w = grid(20.0)
    values = functions(GTO(20), x)[0]
    assert_allclose(values.T @ (values * (w * x**2)[:, None]), np.eye(20), rtol=0, atol=5e-9)


@every_basis
def test_integrals_are_equation_five_of_the_functions(basis):
    """Integrate over directions by brute force instead of by Bessel functions."""
    width, r = 0.4, np.array([0.3, 1.7, 3.6])
    end = {GTO: 60.0 if basis == GTO(1) else 20.0, DVR: RC + 1.2, LaplacianEigenstates: RC, Custom: 8.0}[type(basis)]
    x, w = grid(end)
    u, wu = grid(2.0)  # 1 + cosine of the angle between x and r
    u -= 1.0
    square = x**2 + r[:, None, None] ** 2 - 2 * x * r[:, None, None] * u[:, None]  # [r, u, x]
    density = np.exp(-0.5 * square / width**2)
    results = integrals(basis, r, width)
    for degree, values in enumerate(functions(basis, x, width)):
        legendre = np.polynomial.legendre.Legendre.basis(degree)(u)
        angular = 2 * pi * np.einsum("u,rux->rx", wu * legendre, density)
        expected = angular @ (values * (w * x**2)[:, None])
        # The nodes of a DVR are a coarse quadrature, which is part of its definition.
        close_to_scale(results[degree].values, expected, 3e-3 if isinstance(basis, DVR) else 1e-12)


def test_dvr_matches_its_formula():
    width, n = 0.3, 30
    alpha, end = 0.5 / width**2, RC + 3 * width
    x, w = gauss(end, n)
    r = np.linspace(0.0, RC, 23)[:, None]
    bessel = scaled_bessel(2 * alpha * x * r, 7)
    common = 4 * pi * np.sqrt(w) * x * np.exp(-alpha * (x - r) ** 2)
    for degree, result in enumerate(integrals(DVR(n), r[:, 0], width, 6)):
        below = bessel[degree - 1] if degree else 0
        slope = (degree * below + (degree + 1) * bessel[degree + 1]) / (2 * degree + 1)
        close_to_scale(result.values, common * bessel[degree], 1e-14)
        close_to_scale(result.first, common * (-2 * alpha * r * bessel[degree] + 2 * alpha * x * slope), 1e-13)


@pytest.mark.parametrize("width", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("basis", [GTO(1), GTO(12), LaplacianEigenstates(8), BASES[5]], ids=name)
def test_the_quadrature_has_converged(basis, width, monkeypatch):
    r = np.linspace(0.0, RC, 31)
    coarse = integrals(basis, r, width, 4)
    monkeypatch.setattr(quadrature, "PANEL_PHASE", quadrature.PANEL_PHASE / 2)
    for one, two in zip(coarse, integrals(basis, r, width, 4), strict=True):
        # What is left is rounding: of nearly dependent functions, and the documented one of the derivatives.
        rounding = 2e-14 if basis.counts(0)[0] < 12 else 3e-12
        size = np.abs(two.values).max()
        assert_allclose(one.values, two.values, rtol=0, atol=rounding * size)
        assert_allclose(one.first, two.first, rtol=0, atol=rounding * size * (RC / width) / width)
        assert_allclose(one.second, two.second, rtol=0, atol=rounding * size * (RC / width**2) ** 2)


def test_twenty_gtos_are_spanned_by_forty_dvr_functions():
    """The optimal functions must not depend on the primitive basis: project one onto the other."""
    width, r = 0.3, np.linspace(0.0, 3.5, 30)
    x, w = gauss(RC + 3 * width, 40)
    overlap = functions(GTO(20), x, width, 2)[0] * (x * np.sqrt(w))[:, None]  # [k, n]
    for gto, dvr in zip(integrals(GTO(20), r, width, 2), integrals(DVR(40), r, width, 2), strict=True):
        close_to_scale(dvr.values @ overlap, gto.values, 1e-6)


# Orthonormalization


def test_polar_factor_is_loewdin():
    samples = np.random.default_rng(0).normal(size=(50, 6))
    unit = samples / np.linalg.norm(samples, axis=0)
    polar, transform = quadrature.orthonormalize(samples, 0)
    assert_allclose(polar, unit @ inverse_root(unit.T @ unit), atol=1e-13)
    assert_allclose(samples @ transform, polar, atol=1e-13)
    x = np.linspace(0.0, 8.0, 50)
    # The same for GTOs, whose overlap is known in closed form.
    overlap, norms, b = overlap_and_norms(8)
    primitive = norms * x[:, None] ** np.arange(8) * np.exp(-b * x[:, None] ** 2)
    assert_allclose(functions(GTO(8), x)[0], primitive @ inverse_root(overlap), atol=1e-11)


def test_gtos_are_not_nested():
    r = np.linspace(0.0, RC, 20)
    assert not np.allclose(functions(GTO(4), r)[0], functions(GTO(5), r)[0][:, :4], atol=1e-2)


def test_custom_functions_with_the_shapes_of_gtos_are_gtos():
    widths = RC * np.sqrt(np.maximum(np.arange(6), 1)) / 6
    shapes = [lambda r, n=n, s=s: r**n * np.exp(-0.5 * (r / s) ** 2) for n, s in enumerate(widths)]
    r = np.linspace(0.0, RC, 25)
    for width in (0.3, 0.0):
        pairs = zip(integrals(Custom(shapes, support=22.0), r, width), integrals(GTO(6), r, width), strict=True)
        for custom, gto in pairs:
            close_to_scale(custom.values, gto.values, 1e-12)
            # Rounding of the Chebyshev interpolant grows towards the ends with each derivative.
            close_to_scale(custom.first, gto.first, 1e-9)
            close_to_scale(custom.second, gto.second, 1e-6)


def test_custom_functions_may_differ_by_l_and_end_at_the_cutoff_by_default():
    basis = Custom([smooth_functions(3), smooth_functions(2)])
    assert basis.counts(1) == (3, 2)
    assert basis == Custom(functions=basis.callables, support=None)
    inside, outside = (functions(basis, np.array([r]), max_angular=1) for r in (RC - 1e-9, RC + 1e-9))
    assert all((value != 0).any() for value in inside)
    assert all((value == 0).all() for value in outside)


# Laplacian eigenstates


def test_laplacian_counts_are_ragged():
    basis = LaplacianEigenstates(6)
    counts = basis.counts(20)
    assert counts[0] == 6
    assert all(lower <= higher for higher, lower in pairwise(counts))
    assert counts[-1] == 0  # the first zero of j_20 is 25.4, beyond 6 pi
    results = integrals(basis, np.linspace(0, RC, 5), 0.3, 20)
    assert [result.values.shape for result in results] == [(5, n) for n in counts]
    assert [values.shape for values in functions(basis, [1.0], max_angular=20)] == [(1, n) for n in counts]


def test_laplacian_zeros_are_all_of_them():
    dense = np.linspace(1e-3, 8 * pi, 200_001)
    for degree in range(9):
        zeros = np.array(bessel_zeros(8, degree))
        signs = np.sign(spherical_jn(degree, dense[: -1 if degree else None]))
        crossings = int((signs[1:] * signs[:-1] < 0).sum())
        assert len(zeros) == crossings + (degree == 0 and signs[-1] == signs[-2])
        assert (np.diff(zeros) > 1).all()
        assert_allclose(spherical_jn(degree, zeros), 0, atol=1e-15)
    assert_allclose(bessel_zeros(8, 1)[:2], [4.493409457909064, 7.725251836937707], rtol=1e-15)


def test_laplacian_eigenstates_vanish_at_the_cutoff():
    for values in functions(LaplacianEigenstates(6), np.array([RC, RC + 0.1])):
        assert_allclose(values[0], 0, atol=1e-13)
        assert_array_equal(values[1], 0)


# Derivatives

STENCIL = np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280])


@every_basis
@pytest.mark.parametrize("width", [0.0, 0.3, 0.8])
def test_derivatives_match_finite_differences(basis, width):
    step = 0.004
    r = np.linspace(0.2, RC - 0.2, 30)
    points = (r[:, None] + step * np.arange(-4, 5)).ravel()
    for result in integrals(basis, points, width):
        values, first, second = (getattr(result, name).reshape(len(r), 9, -1) for name in ("values", "first", "second"))
        close_to_scale(first[:, 4], np.einsum("s,rsn->rn", STENCIL, values) / step, 1e-9)
        close_to_scale(second[:, 4], np.einsum("s,rsn->rn", STENCIL, first) / step, 1e-9)


@pytest.mark.parametrize("basis", [GTO(6), LaplacianEigenstates(6), BASES[5]], ids=name)
def test_derivatives_at_the_ends(basis):
    """Taylor's theorem at r = 0, where the derivatives have parity (-1)^l, and near the cutoff."""
    step = 1e-3
    near = np.array([0.0, step, RC - step, RC])
    for result in integrals(basis, near, 0.3, 4):
        for start, end in ((0, 1), (2, 3)):
            predicted = result.values[start] + step * result.first[start] + 0.5 * step**2 * result.second[start]
            assert_allclose(result.values[end], predicted, atol=1e-6)
            assert_allclose(result.first[end], result.first[start] + step * result.second[start], atol=1e-3)


# r = 0 and the delta density


@every_basis
def test_only_l_zero_survives_at_the_center(basis):
    results = integrals(basis, np.array([0.0, 1e-300, 1e-8]), 0.3)
    assert (results[0].values[0] != 0).any()
    assert_array_equal(results[0].first[0], 0)
    for degree, result in enumerate(results):
        for values in (result.values, result.first, result.second):
            assert np.isfinite(values).all()
        if degree > 0:
            assert_array_equal(result.values[0], 0)
        if degree > 1:
            assert_array_equal(result.first[0], 0)
    assert (results[1].first[0] != 0).any() or basis.counts(1)[1] == 0


@every_basis
def test_delta_density_is_the_functions_themselves(basis):
    r = np.linspace(0.1, RC, 17)
    for result, values in zip(integrals(basis, r, 0.0), functions(basis, r, 0.0), strict=True):
        assert_array_equal(result.values, values)


@pytest.mark.parametrize("basis", [GTO(4), LaplacianEigenstates(4), BASES[5]], ids=name)
def test_delta_density_is_the_limit_of_normalized_gaussians(basis):
    """The error is even in the width: eliminate its square from two widths."""
    r = np.linspace(1.0, 3.5, 9)
    narrow, wide = (
        [result.values / (2 * pi * width**2) ** 1.5 for result in integrals(basis, r, width, 0)]
        for width in (0.01, 0.02)
    )
    limit = integrals(basis, r, 0.0, 0)
    for one, two, exact in zip(narrow, wide, limit, strict=True):
        close_to_scale((4 * one - two) / 3, exact.values, 1e-5)


def test_dvr_is_undefined_at_the_center_with_a_delta_density():
    r = np.array([0.0, 1.0])
    with pytest.raises(ValueError, match=r"undefined at r = 0: use a positive density_width"):
        integrals(DVR(8), r, 0.0)
    with pytest.raises(ValueError, match="undefined at r = 0"):
        functions(DVR(8), r)


# Counts, copies, messages


def test_bases_are_values():
    assert GTO(np.int64(4)) == GTO(4)
    assert type(GTO(np.int64(4)).n_radial) is int
    assert len({GTO(4), GTO(4), DVR(4), LaplacianEigenstates(4)}) == 3
    for basis in (GTO(4), DVR(4), LaplacianEigenstates(4), Custom([np.cos])):
        assert pickle.loads(pickle.dumps(basis)) == basis
    assert DVR(7).counts(2) == GTO(7).counts(2) == (7, 7, 7)
    with pytest.raises(AttributeError):
        GTO(4).n_radial = 5


@pytest.mark.parametrize("width", [0.0, 0.3])
@every_basis
def test_results_do_not_share_memory(basis, width):
    for results in (integrals(basis, [0.5, 1.0], width), integrals(basis, [], width)):
        arrays = [values for result in results for values in (result.values, result.first, result.second)]
        assert all(values.dtype == np.float64 for values in arrays)
        for i, one in enumerate(arrays):
            assert not any(np.shares_memory(one, two) for two in arrays[i + 1 :])


@pytest.mark.parametrize("kind", [GTO, DVR, LaplacianEigenstates])
def test_counts_are_checked(kind):
    for wrong in (True, 4.0, "4", None, np.float64(3)):
        with pytest.raises(TypeError, match="n_radial must be an integer"):
            kind(wrong)
    for wrong in (0, -3):
        with pytest.raises(ValueError, match=f"n_radial must be an integer from 1 to 1000, got {wrong}"):
            kind(wrong)
    with pytest.raises(ValueError, match="max_angular must be an integer from 0 to 100, got -1"):
        kind(3).counts(-1)
    with pytest.raises(TypeError, match="max_angular must be an integer"):
        kind(3).counts(1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": [[1.0]]}, "one-dimensional"),
        ({"r": [-0.1]}, "not negative"),
        ({"r": [np.nan]}, "finite distances"),
        ({"max_angular": -1}, "max_angular must be an integer from 0 to 100"),
        ({"cutoff_radius": 0.0}, "cutoff_radius must be a number from 1e-6 to 1e6 Å"),
        ({"cutoff_radius": np.inf}, "cutoff_radius must be a number from 1e-6 to 1e6 Å"),
        ({"density_width": -0.1}, "density_width must be a number from 0 to 1e6 Å"),
        ({"density_width": np.nan}, "density_width must be a number from 0 to 1e6 Å"),
        ({"density_width": 1e-3}, "use density_width=0, the delta density"),
    ],
)
def test_arguments_are_checked(change, message):
    arguments = {"r": [1.0], "max_angular": 1, "cutoff_radius": RC, "density_width": 0.3} | change
    r = arguments.pop("r")
    with pytest.raises(ValueError, match=message):
        GTO(3).integrals(r, **arguments)
    with pytest.raises(ValueError, match=message):
        GTO(3).functions(r, **arguments)


def test_too_many_gtos_are_linearly_dependent():
    with pytest.raises(ValueError, match=r"basis function 49 of l = 0 is linearly dependent"):
        integrals(GTO(50), [1.0], 0.3)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda r: 1.0, r"custom function 1 of l = 0 must return the shape of its argument"),
        (lambda r: r[:, None], r"custom function 1 of l = 0 must return the shape"),
        (lambda r: 1j * r, r"custom function 1 of l = 0 must return real numbers, got complex128"),
        (lambda r: np.where(r < 2, r, np.nan), r"custom function 1 of l = 0 is not finite at r = 2\.\d+ Å"),
        (lambda r: 0 * r, r"basis function 1 of l = 0 is zero on the whole grid"),
        (lambda r: 3 * np.cos(r), r"basis function 1 of l = 0 is linearly dependent"),
    ],
)
def test_custom_functions_are_checked(function, message):
    with pytest.raises(ValueError, match=message):
        integrals(Custom([np.cos, function, np.sin]), [1.0], 0.3)


def test_linear_dependence_names_the_angular_degree():
    basis = Custom([[np.cos, np.sin], [np.cos, np.sin, lambda r: np.sin(r) - np.cos(r)]])
    with pytest.raises(ValueError, match=r"basis function 2 of l = 1 is linearly dependent"):
        integrals(basis, [1.0], 0.3, 1)
    with pytest.raises(ValueError, match=r"functions are given up to l = 1, but l = 2 is asked for"):
        basis.counts(2)


def test_custom_constructor_is_checked():
    for wrong in (np.cos, 3, [3], [np.cos, [np.sin]], [[np.cos], 3], [[[np.cos]]]):
        with pytest.raises(TypeError, match="functions must be a sequence of callables"):
            Custom(wrong)
    for empty in ([], [[], []]):
        with pytest.raises(ValueError, match="at least one function"):
            Custom(empty)
    for support in (0.0, -1.0, np.inf):
        with pytest.raises(ValueError, match="support must be None"):
            Custom([np.cos], support=support)


def test_rough_custom_functions_cannot_be_differentiated():
    basis = Custom([lambda r: np.abs(r - 2.0)])
    integrals(basis, [1.0], 0.3)
    functions(basis, [1.0])
    with pytest.raises(ValueError, match=r"custom function 0 of l = 0 is not smooth enough on \[0, 5\] Å"):
        integrals(basis, [1.0], 0.0)
