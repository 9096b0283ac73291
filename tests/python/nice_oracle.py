"""The slow and obvious road to every number of NICE: integers, loops over m, and einsum; no code of orbas.

Equivariants of one order nu are a dict (o3_lambda, o3_sigma) -> array [env, 2 lambda + 1, channel], m = -l..l. The
density coefficients are a list over l of arrays [env, 2l + 1, q], as :func:`oracle.by_degree` returns them. Nothing is
selected, contracted or stored twice unless a function says so.

Channels of orbas may be turned and reordered by their PCA. What such a turn leaves alone is the kernel, the sum over
channels of products between two environments: :func:`kernel` is what most tests compare.
"""

from __future__ import annotations

import functools
import itertools
import math
from fractions import Fraction

import numpy as np
from oracle import real_harmonics

# --- Clebsch-Gordan coefficients and rotations -----------------------------------------------------------------------


def complex_clebsch_gordan(l1, m1, l2, m2, l3, m3):
    """Racah's formula <l1 m1; l2 m2 | l3 m3>: integers and fractions up to one square root at the end."""
    if m1 + m2 != m3 or not abs(l1 - l2) <= l3 <= l1 + l2:
        return 0.0
    f = math.factorial
    square = Fraction((2 * l3 + 1) * f(l3 + l1 - l2) * f(l3 - l1 + l2) * f(l1 + l2 - l3), f(l1 + l2 + l3 + 1))
    for l, m in ((l1, m1), (l2, m2), (l3, m3)):
        square *= f(l + m) * f(l - m)
    total = Fraction(0)
    for k in range(l1 + l2 - l3 + 1):
        below = (k, l1 + l2 - l3 - k, l1 - m1 - k, l2 + m2 - k, l3 - l2 + m1 + k, l3 - l1 - m2 + k)
        if min(below) >= 0:
            total += Fraction((-1) ** k, math.prod(map(f, below)))
    value = total * total * square  # exact: the square of the coefficient
    return math.copysign(math.sqrt(value), total)


def real_to_complex(l):
    """U of Y^C = U Y^R: rows m of the complex harmonics (with Condon-Shortley phase), columns m of the real ones."""
    U = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)
    U[l, l] = 1
    for m in range(1, l + 1):
        U[l + m, [l + m, l - m]] = (-1) ** m / math.sqrt(2), (-1) ** m * 1j / math.sqrt(2)
        U[l - m, [l + m, l - m]] = 1 / math.sqrt(2), -1j / math.sqrt(2)
    return U


@functools.cache
def clebsch_gordan(l1, l2, l3):
    """Real coefficients [2l1+1, 2l2+1, 2l3+1]: a turn of the complex ones, real or imaginary by l1 + l2 + l3."""
    table = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    for m1, m2 in itertools.product(range(-l1, l1 + 1), range(-l2, l2 + 1)):
        if abs(m1 + m2) <= l3:
            table[l1 + m1, l2 + m2, l3 + m1 + m2] = complex_clebsch_gordan(l1, m1, l2, m2, l3, m1 + m2)
    U1, U2, U3 = map(real_to_complex, (l1, l2, l3))
    turned = np.einsum("abc,am,bn,ck->mnk", table, U1, U2, U3.conj(), optimize=True)
    kept, lost = (turned.real, turned.imag) if (l1 + l2 + l3) % 2 == 0 else (turned.imag, turned.real)
    assert np.max(np.abs(lost)) < 1e-13
    return kept


@functools.cache
def _points():
    return np.random.default_rng(11).normal(size=(800, 3))


def wigner(matrix, l):
    """D with Y_l(R x) = D Y_l(x) for a rotation or a reflection R, by least squares over fixed points."""
    degree = slice(l * l, (l + 1) ** 2)
    before, after = (real_harmonics(points, l)[:, degree] for points in (_points(), _points() @ matrix.T))
    return np.linalg.lstsq(before, after, rcond=None)[0].T


# --- Coupling --------------------------------------------------------------------------------------------------------


def first_order(coefficients):
    """Density coefficients as equivariants of order one."""
    return {(l, 1): c for l, c in enumerate(coefficients)}


def couple(left, right, max_lambda=None):
    """Eq. 11 for all pairs of channels: sigma = sigma1 sigma2 (-1)^(l1 + l2 + lambda)."""
    parts = {}
    for ((l1, s1), a), ((l2, s2), b) in itertools.product(left.items(), right.items()):
        for l3 in range(abs(l1 - l2), l1 + l2 + 1):
            if max_lambda is None or l3 <= max_lambda:
                product = np.einsum("imp,inq,mnk->ikpq", a, b, clebsch_gordan(l1, l2, l3), optimize=True)
                parts.setdefault((l3, s1 * s2 * (-1) ** (l1 + l2 + l3)), []).append(
                    product.reshape(*product.shape[:2], -1)
                )
    return {key: np.concatenate(parts[key], axis=2) for key in sorted(parts)}


def half_pairs(coefficients):
    """The same for nu = 2 over unordered pairs: sqrt 2 where the channels differ; odd self pairs vanish."""
    channels = [(l, q) for l, c in enumerate(coefficients) for q in range(c.shape[2])]
    parts = {}
    for (l1, q1), (l2, q2) in itertools.combinations_with_replacement(channels, 2):
        same = (l1, q1) == (l2, q2)
        a, b = coefficients[l1][:, :, q1], coefficients[l2][:, :, q2]
        for l3 in range(abs(l1 - l2), l1 + l2 + 1):
            product = np.einsum("im,in,mnk->ik", a, b, clebsch_gordan(l1, l2, l3))
            if same and l3 % 2 == 1:
                assert np.max(np.abs(product)) <= 1e-14 * np.max(np.abs(a)) ** 2
                continue
            key = (l3, (-1) ** (l1 + l2 + l3))
            parts.setdefault(key, []).append(product if same else math.sqrt(2) * product)
    return {key: np.stack(parts[key], axis=2) for key in sorted(parts)}


def correlations(coefficients, nu, max_lambda=None):
    """Equivariants of order nu: density times the order below, every channel kept."""
    result = first_order(coefficients)
    for _ in range(nu - 1):
        result = couple(first_order(coefficients), result, max_lambda)
    return result


def invariants(coefficients, nu):
    """The block (0, +1) of order nu as [env, channel]; the last step is l = k only."""
    density = first_order(coefficients)
    if nu == 1:
        return coefficients[0][:, 0]
    parts = []
    for (k, sigma), b in correlations(coefficients, nu - 1).items():
        if sigma == 1 and (k, 1) in density:
            a = density[k, 1]
            product = (-1) ** k / math.sqrt(2 * k + 1) * np.einsum("imp,imq->ipq", a, b)
            parts.append(product.reshape(len(a), -1))
    return np.concatenate(parts, axis=1)


def iterate(coefficients, nu, n_components):
    """Eq. 11 with a contraction after every product: the leading n_components of each (lambda, sigma) of each order."""
    density = result = first_order(coefficients)
    for _ in range(nu - 1):
        expanded = couple(density, result)
        result = {key: block @ principal_components(block)[1][:, :n_components] for key, block in expanded.items()}
    return result


# --- Direct sums -----------------------------------------------------------------------------------------------------


def power_spectrum_sum(coefficients):
    """All p_{q1 q2 l} [env, feature] of the full square, summed over m one by one."""
    columns = []
    for l, c in enumerate(coefficients):
        for q1, q2 in itertools.product(range(c.shape[2]), repeat=2):
            columns.append(sum(c[:, m, q1] * c[:, m, q2] for m in range(2 * l + 1)) / math.sqrt(2 * l + 1))
    return np.array(columns).T


def bispectrum_sum(coefficients):
    """All b = (2 l3 + 1)^(-1/2) sum_m CG c c c [env, feature] with even l1 + l2 + l3, of the full cube of channels.

    The coefficient over that root is a 3j symbol up to its sign, so b does not depend on which degree is called l3.
    """
    columns = []
    degrees = range(len(coefficients))
    for l1, l2, l3 in itertools.product(degrees, repeat=3):
        if (l1 + l2 + l3) % 2 == 1 or not abs(l1 - l2) <= l3 <= l1 + l2:
            continue  # an odd sum changes its sign under inversion: no invariant
        table = clebsch_gordan(l1, l2, l3) / math.sqrt(2 * l3 + 1)
        for q1, q2, q3 in itertools.product(*(range(coefficients[l].shape[2]) for l in (l1, l2, l3))):
            total = 0.0
            for m1, m2, m3 in np.argwhere(np.abs(table) > 1e-15):
                a, b, c = coefficients[l1][:, m1, q1], coefficients[l2][:, m2, q2], coefficients[l3][:, m3, q3]
                total = total + table[m1, m2, m3] * a * b * c
            columns.append(total)
    return np.array(columns).T


# --- Contraction and comparison --------------------------------------------------------------------------------------


def principal_components(block):
    """Uncentered PCA of a block [env, m, q]: falling eigenvalues of the mean over rows (env, m), vectors as columns."""
    rows = block.reshape(-1, block.shape[2])
    values, vectors = np.linalg.eigh(rows.T @ rows / len(block))
    return values[::-1], vectors[:, ::-1]


def kernel(values):
    """Sum over channels of products of two rows (env, m): [env (2 lambda + 1), env (2 lambda + 1)]."""
    rows = values.reshape(-1, values.shape[-1])
    return rows @ rows.T


def kernel_error(ours, reference):
    """Largest deviation between the kernels of two sets of equivariants, over all symmetries.

    A value carries the rounding of the largest values of its order, of which it is a sum; so the unit of a kernel is
    the geometric mean of its own largest entry and that of all kernels. A symmetry that one side lacks counts as zero.
    """
    kernels = {key: _both_kernels(ours, reference, key) for key in {**ours, **reference}}
    largest = max(np.max(np.abs(expected)) for _, expected in kernels.values())
    worst = 0.0
    for found, expected in kernels.values():
        assert np.isfinite(found).all()
        unit = math.sqrt(max(np.max(np.abs(expected)), 1e-30 * largest) * largest)
        worst = max(worst, np.max(np.abs(found - expected)) / unit)
    return worst


def _both_kernels(ours, reference, key):
    """The kernels of one symmetry on both sides."""
    found, expected = (kernel(side[key]) if key in side else None for side in (ours, reference))
    zero = np.zeros_like(expected if found is None else found)
    found, expected = (zero if side is None else side for side in (found, expected))
    assert found.shape == expected.shape
    return found, expected


def norms(equivariants):
    """The squared norm of each environment, over all symmetries, m and channels."""
    return sum(np.sum(block**2, axis=(1, 2)) for block in equivariants.values())


def change_of_basis(before, after):
    """U of after = before @ U, from coefficients alone (least squares); both [env, m, q]."""
    flat = (block.reshape(-1, block.shape[2]) for block in (before, after))
    solution, *_ = np.linalg.lstsq(*flat, rcond=1e-13)
    return solution
