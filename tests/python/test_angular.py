"""Real spherical harmonics and their gradients: against sphericart, against quadrature, and at the poles."""

from __future__ import annotations

import numpy as np
import oracle
import orbas
import pytest
import sphericart

L_MAX = 12


def degree(l):
    return slice(l * l, (l + 1) ** 2)


@pytest.fixture
def vectors(rng):
    return rng.normal(size=(400, 3)) * rng.uniform(0.1, 8.0, (400, 1))


@pytest.mark.parametrize("max_angular", [0, 1, 2, 5, L_MAX])
def test_values_against_sphericart(max_angular, vectors):
    values = orbas.spherical_harmonics(vectors, max_angular)
    reference = sphericart.SphericalHarmonics(max_angular).compute(vectors)
    assert values.shape == (len(vectors), (max_angular + 1) ** 2)
    assert values.dtype == np.float64
    assert np.max(np.abs(values - reference)) <= 1e-13


def test_values_against_scipy(vectors):
    values = orbas.spherical_harmonics(vectors, L_MAX)
    assert np.max(np.abs(values - oracle.real_harmonics(vectors, L_MAX))) <= 1e-12


@pytest.mark.parametrize("max_angular", [0, 1, 6, L_MAX])
def test_gradients_against_sphericart(max_angular, vectors):
    values, gradients = orbas.spherical_harmonics(vectors, max_angular, gradients=True)
    reference, slopes = sphericart.SphericalHarmonics(max_angular).compute_with_gradients(vectors)
    assert gradients.shape == (len(vectors), 3, (max_angular + 1) ** 2)
    lengths = np.linalg.norm(vectors, axis=1)[:, None, None]
    assert np.max(np.abs(values - reference)) <= 1e-13
    assert np.max(np.abs(gradients - slopes) * lengths) <= 1e-12


def test_gradients_against_finite_differences(vectors):
    vectors = vectors[:20] / np.linalg.norm(vectors[:20], axis=1)[:, None]
    _, gradients = orbas.spherical_harmonics(vectors, 6, gradients=True)
    step = 1e-5
    for k in range(3):
        plus, minus = (orbas.spherical_harmonics(vectors + s * step * np.eye(3)[k], 6) for s in (1, -1))
        np.testing.assert_allclose(gradients[:, k], (plus - minus) / (2 * step), atol=1e-7)


def test_gradients_are_tangential(vectors):
    _, gradients = orbas.spherical_harmonics(vectors, 8, gradients=True)
    assert np.max(np.abs(np.einsum("nk,nkm->nm", vectors, gradients))) <= 1e-12


def test_orthonormal_by_quadrature():
    """Gauss-Legendre in cos(theta) times equidistant phi: exact for all products up to l = 12."""
    cosine, weights = np.polynomial.legendre.leggauss(L_MAX + 2)
    phi = 2 * np.pi * np.arange(2 * L_MAX + 3) / (2 * L_MAX + 3)
    sine = np.sqrt(1 - cosine**2)
    grid = [np.outer(sine, np.cos(phi)), np.outer(sine, np.sin(phi)), np.outer(cosine, np.ones_like(phi))]
    Y = orbas.spherical_harmonics(np.stack([g.ravel() for g in grid], axis=1), L_MAX)
    overlap = Y.T @ (np.repeat(weights, len(phi))[:, None] * Y) * 2 * np.pi / len(phi)
    assert np.max(np.abs(overlap - np.eye(len(overlap)))) <= 1e-12


def test_first_degrees_in_words():
    """l = 0 is constant and l = 1 is (y, z, x), without a Condon-Shortley phase."""
    vectors = np.array([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0], [1.0, 2.0, -2.0]])
    Y = orbas.spherical_harmonics(vectors, 1)
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    np.testing.assert_allclose(Y[:, 0], 1 / np.sqrt(4 * np.pi), rtol=1e-15)
    np.testing.assert_allclose(Y[:, 1:], np.sqrt(3 / (4 * np.pi)) * unit[:, [1, 2, 0]], atol=1e-15)


def test_addition_theorem_and_parity(vectors):
    Y, mirrored = (orbas.spherical_harmonics(v, L_MAX) for v in (vectors, -vectors))
    for l in range(L_MAX + 1):
        norms = np.sum(Y[:, degree(l)] ** 2, axis=1)
        np.testing.assert_allclose(norms, (2 * l + 1) / (4 * np.pi), rtol=1e-13)
        np.testing.assert_allclose(mirrored[:, degree(l)], (-1) ** l * Y[:, degree(l)], atol=1e-14)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e6])
def test_length_of_the_vector_does_not_matter(scale, vectors):
    Y = orbas.spherical_harmonics(vectors, 8)
    np.testing.assert_allclose(orbas.spherical_harmonics(scale * vectors, 8), Y, atol=1e-13)


def test_poles_and_axes():
    """Where phi is undefined the values are still right, also with gradients."""
    vectors = np.concatenate([np.eye(3), -np.eye(3), [[1e-9, 0, 1], [0, -1e-12, -1]]])
    values, gradients = orbas.spherical_harmonics(vectors, L_MAX, gradients=True)
    reference, slopes = sphericart.SphericalHarmonics(L_MAX).compute_with_gradients(vectors)
    assert np.max(np.abs(values - reference)) <= 1e-13
    assert np.max(np.abs(gradients - slopes)) <= 1e-12


@pytest.mark.parametrize("gradients", [False, True])
def test_zero_vector_is_finite_or_refused(gradients):
    try:
        result = orbas.spherical_harmonics(np.zeros((1, 3)), 4, gradients=gradients)
    except ValueError:
        return
    for array in result if gradients else (result,):
        assert np.isfinite(array).all()


def test_no_vectors():
    assert orbas.spherical_harmonics(np.zeros((0, 3)), 3).shape == (0, 16)
    values, gradients = orbas.spherical_harmonics(np.zeros((0, 3)), 3, gradients=True)
    assert (values.shape, gradients.shape) == ((0, 16), (0, 3, 16))


@pytest.mark.parametrize("dtype", [np.float32, np.int64, "list", "fortran", "strided"])
def test_layouts_and_types_of_input(dtype):
    exact = np.array([[1.0, 2.0, -3.0], [0.0, 4.0, 1.0], [5.0, 0.0, 0.0]])
    if dtype == "list":
        given = exact.tolist()
    elif dtype == "fortran":
        given = np.asfortranarray(exact)
    elif dtype == "strided":
        given = np.repeat(exact, 2, axis=0)[::2]
    else:
        given = exact.astype(dtype)
    assert np.array_equal(orbas.spherical_harmonics(given, 5), orbas.spherical_harmonics(exact, 5))


@pytest.mark.parametrize("shape", [(4,), (4, 2), (2, 2, 3)])
def test_wrong_shapes(shape):
    with pytest.raises((ValueError, TypeError)):
        orbas.spherical_harmonics(np.ones(shape), 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite(value):
    vectors = np.ones((5, 3))
    vectors[3, 1] = value
    with pytest.raises(ValueError, match="3"):
        orbas.spherical_harmonics(vectors, 3)


@pytest.mark.parametrize("max_angular", [-1, 1.5, "2"])
def test_bad_degrees(max_angular):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        orbas.spherical_harmonics(np.ones((1, 3)), max_angular)
