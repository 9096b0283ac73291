"""Real Clebsch-Gordan coefficients to l = 12: exact values, orthogonality, selection rules and rotations."""

from __future__ import annotations

import itertools
import math

import featomic.clebsch_gordan
import nice_oracle
import numpy as np
import orbas
import pytest
from oracle import real_harmonics
from scipy.spatial.transform import Rotation

TOP = 12
DEGREES = [(l1, l2) for l1 in range(TOP + 1) for l2 in range(TOP + 1)]


def triples(top):
    """All degrees (l1, l2, lambda) that couple, none above ``top``."""
    for l1, l2 in itertools.product(range(top + 1), repeat=2):
        for l3 in range(abs(l1 - l2), min(l1 + l2, top) + 1):
            yield l1, l2, l3


def all_coupled(l1, l2):
    """Side by side for every lambda that l1 and l2 couple to: [(2l1+1)(2l2+1), the same number]."""
    tables = [orbas.clebsch_gordan(l1, l2, l3) for l3 in range(abs(l1 - l2), l1 + l2 + 1)]
    return np.concatenate([table.reshape(-1, table.shape[2]) for table in tables], axis=1)


def test_shape_and_type():
    table = orbas.clebsch_gordan(2, 3, 4)
    assert table.shape == (5, 7, 9)
    assert table.dtype == np.float64


@pytest.mark.parametrize("l1", range(TOP + 1))
def test_against_exact_integers(l1):
    for a, l2, l3 in triples(TOP):
        if a == l1:
            expected = nice_oracle.clebsch_gordan(l1, l2, l3)
            np.testing.assert_allclose(orbas.clebsch_gordan(l1, l2, l3), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("l1", range(TOP + 1))
def test_orthogonal_both_ways(l1):
    """sum_{m1 m2} CG CG = delta, and sum_{lambda mu} CG CG = delta; lambda runs to l1 + l2, here 24."""
    for l2 in range(TOP + 1):
        square = all_coupled(l1, l2)
        identity = np.eye(len(square))
        assert square.shape == identity.shape
        assert np.max(np.abs(square.T @ square - identity)) <= 1e-13, (l1, l2)
        assert np.max(np.abs(square @ square.T - identity)) <= 1e-13, (l1, l2)


@pytest.mark.parametrize("l", range(TOP + 1))
def test_coupling_to_a_scalar(l):
    expected = (-1) ** l / math.sqrt(2 * l + 1) * np.eye(2 * l + 1)
    np.testing.assert_allclose(orbas.clebsch_gordan(l, l, 0)[:, :, 0], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("l", range(TOP + 1))
def test_coupling_with_a_scalar_changes_nothing(l):
    np.testing.assert_allclose(orbas.clebsch_gordan(0, l, l)[0], np.eye(2 * l + 1), rtol=0, atol=1e-15)
    np.testing.assert_allclose(orbas.clebsch_gordan(l, 0, l)[:, 0], np.eye(2 * l + 1), rtol=0, atol=1e-15)


def test_two_vectors_make_the_cross_product():
    """l = 1 is (y, z, x): lambda = 1 of two vectors is their cross product over sqrt 2, up to the sign."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 3))
    y_z_x = [1, 2, 0]
    coupled = np.einsum("m,n,mnk->k", a[y_z_x], b[y_z_x], orbas.clebsch_gordan(1, 1, 1))
    cross = np.cross(a, b)[y_z_x] / math.sqrt(2)
    assert min(np.max(np.abs(coupled - cross)), np.max(np.abs(coupled + cross))) <= 1e-14


@pytest.mark.parametrize("l1", range(TOP + 1))
def test_selection_rules(l1):
    """Only |m3| = |m1| + |m2| or ||m1| - |m2||; sines and cosines multiply as l1 + l2 + lambda is even or odd."""
    for a, l2, l3 in triples(TOP):
        if a != l1:
            continue
        table = orbas.clebsch_gordan(l1, l2, l3)
        m1, m2, m3 = np.ix_(*(np.arange(-l, l + 1) for l in (l1, l2, l3)))
        reach = (abs(m3) == abs(m1) + abs(m2)) | (abs(m3) == abs(abs(m1) - abs(m2)))
        sines = (m1 < 0).astype(int) + (m2 < 0) + (m3 < 0)
        allowed = reach & (sines % 2 == (l1 + l2 + l3) % 2)
        assert np.all(np.abs(table[~allowed]) <= 1e-15), (l1, l2, l3)


def test_exchange_of_the_two_factors():
    for l1, l2, l3 in triples(8):
        exchanged = orbas.clebsch_gordan(l2, l1, l3).transpose(1, 0, 2)
        sign = (-1) ** (l1 + l2 + l3)
        np.testing.assert_allclose(orbas.clebsch_gordan(l1, l2, l3), sign * exchanged, rtol=0, atol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_turns_with_the_harmonics(seed):
    """CG (D1 x D2) = D3 CG with Wigner matrices that know nothing of CG coefficients."""
    matrix = Rotation.random(random_state=seed).as_matrix()
    D = [nice_oracle.wigner(matrix, l) for l in range(TOP + 1)]
    for l1, l2, l3 in triples(TOP):
        if max(l1, l2) > 6 and (l1 + l2 + l3) % 5:
            continue  # a fifth of the large ones is enough
        table = orbas.clebsch_gordan(l1, l2, l3)
        before = np.einsum("mnk,ma,nb->abk", table, D[l1], D[l2], optimize=True)
        assert np.max(np.abs(before - table @ D[l3].T)) <= 1e-13, (l1, l2, l3)


def test_products_of_harmonics_are_harmonics():
    """Coupling Y_l1 and Y_l2 of one direction gives Y_lambda times a number, and zero for an odd sum."""
    Y = real_harmonics(np.random.default_rng(5).normal(size=(20, 3)), 8)
    degree = [Y[:, l * l : (l + 1) ** 2] for l in range(9)]
    for l1, l2, l3 in triples(8):
        table = orbas.clebsch_gordan(l1, l2, l3)
        coupled = np.einsum("im,in,mnk->ik", degree[l1], degree[l2], table)
        factor = nice_oracle.complex_clebsch_gordan(l1, 0, l2, 0, l3, 0)
        factor *= math.sqrt((2 * l1 + 1) * (2 * l2 + 1) / (4 * math.pi * (2 * l3 + 1)))
        assert np.max(np.abs(coupled - factor * degree[l3])) <= 1e-13, (l1, l2, l3)


def test_against_featomic():
    arguments = {"lambda_max": 8, "cg_backend": "python-dense", "arrays_backend": "numpy"}
    theirs = featomic.clebsch_gordan.calculate_cg_coefficients(**arguments, dtype=np.float64, device="cpu")
    found = 0
    for l1, l2, l3 in triples(8):
        block = theirs.block(l1=l1, l2=l2, **{"lambda": l3})
        ours = orbas.clebsch_gordan(l1, l2, l3)
        np.testing.assert_allclose(ours, block.values[0, ..., 0], rtol=0, atol=1e-13)
        found += 1
    assert found == len(theirs.keys)
