"""The slow and obvious road to every number, by loops, closed forms and scipy; no code of orbas.

A :class:`Setup` holds one choice of settings and walks three roads with it: ``density()`` is orbas,
``coefficients()`` is this file, ``featomic()`` are the same settings in the words of featomic.
Coefficients are lists over l of arrays [atom, 2l+1, q] with q = a * n_radial + n. Pairs are those of ase:
D = r_j - r_i + S @ cell.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Setup:
    radius: float = 4.0
    smoothing_width: float = 0.5
    smoothing: str = "cosine"
    density_width: float = 0.4
    max_angular: int = 4
    basis: str = "GTO"
    n_radial: int = 5
    species: tuple[int, ...] = ()
    scaling: tuple[float, float, float] | None = None  # rate, scale, exponent
    center_weight: float = 1.0

    def but(self, **changes):
        return replace(self, **changes)

    def density(self, spline_accuracy=1e-8, **changes):
        import orbas

        settings = {
            "cutoff": orbas.Cutoff(radius=self.radius, width=self.smoothing_width, smoothing=self.smoothing),
            "density_width": self.density_width,
            "max_angular": self.max_angular,
            "basis": getattr(orbas.bases, self.basis)(self.n_radial),
            "scaling": None if self.scaling is None else orbas.RadialScaling(*self.scaling),
            "species": list(self.species) or None,
            "center_weight": self.center_weight,
            "spline_accuracy": spline_accuracy,
        }
        return orbas.DensityExpansion(**{**settings, **changes})

    def featomic(self):
        rate, scale, exponent = self.scaling or (0, 0, 0)
        willatt = {"type": "Willatt2018", "rate": rate, "scale": scale, "exponent": exponent}
        return {
            "cutoff": {
                "radius": self.radius,
                "smoothing": {"type": "ShiftedCosine", "width": self.smoothing_width},
            },
            "density": {
                "type": "Gaussian",
                "width": self.density_width,
                "center_atom_weight": self.center_weight,
                **({"scaling": willatt} if self.scaling else {}),
            },
            "basis": {
                "type": "TensorProduct",
                "max_angular": self.max_angular,
                "radial": {"type": "Gto", "max_radial": self.n_radial - 1},
                "spline_accuracy": None,
            },
        }

    def pair_weights(self, r):
        return cutoff_function(r, self) * radial_scaling(r, self.scaling)

    def integrals(self, r):
        return radial_integrals(r, self)

    def coefficients(self, frames):
        """Sections 1 and 2 of the specification, term by term, for a list of structures."""
        parts = [self._one(atoms) for atoms in frames]
        return [np.concatenate(degree) for degree in zip(*parts, strict=True)]

    def _one(self, atoms):
        species, n = list(self.species), self.n_radial
        i, j, _, D = brute_force_pairs(atoms, self.radius)
        r = np.linalg.norm(D, axis=1)
        weights, integrals = self.pair_weights(r), self.integrals(r)  # [pair], [l, n, pair]
        Y = real_harmonics(D, self.max_angular)
        at_center = self.integrals(np.zeros(1))[0, :, 0] / math.sqrt(4 * math.pi)
        result = [np.zeros((len(atoms), 2 * l + 1, len(species) * n)) for l in range(self.max_angular + 1)]
        for p in range(len(i)):
            a = species.index(atoms.numbers[j[p]])
            for l, c in enumerate(result):
                values = weights[p] * np.outer(Y[p, l * l : (l + 1) ** 2], integrals[l, :, p])
                c[i[p], :, a * n : (a + 1) * n] += values
        for k, number in enumerate(atoms.numbers):
            a = species.index(number)
            result[0][k, 0, a * n : (a + 1) * n] += self.center_weight * at_center
        return result


def brute_force_pairs(atoms, cutoff):
    """Return i, j, S, D of all pairs with r < cutoff, by a double loop over atoms and all possible images."""
    cell, pbc = atoms.cell.complete().array, atoms.pbc
    positions, inverse = atoms.positions, np.linalg.inv(cell)
    heights = 1 / np.linalg.norm(inverse, axis=0)
    moves = np.where(pbc, np.floor(positions @ inverse), 0).astype(int)  # into the home cell, where pbc
    reach = np.where(pbc, np.ceil(cutoff / heights) + 1, 0).astype(int)
    shifts = np.array(list(itertools.product(*(range(-k, k + 1) for k in reach))))
    found = []
    for i, j in itertools.product(range(len(atoms)), repeat=2):
        S = shifts + moves[i] - moves[j]
        D = positions[j] - positions[i] + S @ cell
        keep = np.linalg.norm(D, axis=1) < cutoff
        if i == j:
            keep &= np.any(S != 0, axis=1)
        found += [(i, j, s, d) for s, d in zip(S[keep], D[keep], strict=True)]
    first, second, S, D = zip(*found, strict=True) if found else ((), (), (), ())
    S, D = np.reshape(S, (-1, 3)).astype(int), np.reshape(D, (-1, 3))
    return np.array(first, int), np.array(second, int), S, D


def real_harmonics(vectors, max_angular):
    """Real orthonormal Y_lm at index l*l + l + m, without Condon-Shortley phase: l = 1 is (y, z, x)."""
    x, y, z = np.asarray(vectors, dtype=float).T
    phi, cosine = np.arctan2(y, x), z / np.sqrt(x * x + y * y + z * z)
    Y = np.empty((len(x), (max_angular + 1) ** 2))
    for l in range(max_angular + 1):
        for m in range(l + 1):
            norm = math.sqrt((2 * l + 1) / (4 * math.pi) * math.factorial(l - m) / math.factorial(l + m))
            legendre = (-1) ** m * norm * special.lpmv(m, l, cosine)
            factor = math.sqrt(2) if m else 1.0
            Y[:, l * l + l + m] = factor * legendre * np.cos(m * phi)
            if m:
                Y[:, l * l + l - m] = factor * legendre * np.sin(m * phi)
    return Y


def cutoff_function(r, setup):
    t = np.clip((r - setup.radius + setup.smoothing_width) / setup.smoothing_width, 0, 1)
    inside = r < setup.radius
    if setup.smoothing == "cosine":
        return inside * 0.5 * (1 + np.cos(np.pi * t))
    return inside * (1 - 10 * t**3 + 15 * t**4 - 6 * t**5)


def radial_scaling(r, scaling):
    if scaling is None or scaling[2] == 0:
        return np.ones_like(r)
    rate, scale, exponent = scaling
    return (scale / r) ** exponent if rate == 0 else rate / (rate + (r / scale) ** exponent)


def gto_primitives(x, n, radius):
    """Normalized, not orthogonal r^n exp(-b_n r^2): shape [n, x]; also the b_n and the norms N_n."""
    k = np.arange(n)
    sigma = radius * np.maximum(np.sqrt(k), 1) / n
    b, norms = 1 / (2 * sigma**2), np.sqrt(2 / (sigma ** (2 * k + 3) * special.gamma(k + 1.5)))
    return norms[:, None] * x ** k[:, None] * np.exp(-b[:, None] * x**2), b, norms


@functools.cache
def gto_loewdin(n, radius):
    """S^(-1/2) of the GTO primitives, through the singular values of their samples on a fine grid."""
    x, w = gauss_legendre(400, 10 * radius)
    samples = gto_primitives(x, n, radius)[0] * np.sqrt(w) * x
    left, singular, _ = np.linalg.svd(samples, full_matrices=False)
    return (left / singular) @ left.T


def gto_functions(x, n, radius):
    """Orthonormal GTO functions [n, x]."""
    return gto_loewdin(n, radius) @ gto_primitives(x, n, radius)[0]


@functools.cache
def gauss_legendre(n, length):
    x, w = np.polynomial.legendre.leggauss(n)
    return 0.5 * length * (x + 1), 0.5 * length * w


def radial_integrals(r, setup):
    """I_nl(r) as an array [l, n, r]: Eq. 5 by quadrature (GTO), the sum itself (DVR), R_nl (no width)."""
    n, length = setup.n_radial, setup.radius + 3 * setup.density_width
    if setup.basis == "DVR":
        x, w = gauss_legendre(n, length)
        return np.sqrt(w)[:, None] * x[:, None] * bessel_kernel(x, r, setup)
    if setup.density_width == 0:
        return np.stack([gto_functions(r, n, setup.radius)] * (setup.max_angular + 1))
    x, w = gauss_legendre(120, length + 5 * setup.density_width)
    functions = gto_functions(x, n, setup.radius)
    return np.einsum("nx,lxr->lnr", functions * w * x**2, bessel_kernel(x, r, setup))


def bessel_kernel(x, r, setup):
    """4 pi exp(-alpha (x - r)^2) i~_l(2 alpha x r) as [l, x, r], i~ the scaled modified spherical Bessel."""
    alpha, top = 1 / (2 * setup.density_width**2), setup.max_angular + 1
    z = 2 * alpha * np.outer(x, r)
    safe = np.maximum(z, 1e-15)
    scaled = np.empty((top + 1, *z.shape))
    for l in (top, top - 1):
        scaled[l] = np.sqrt(np.pi / (2 * safe)) * special.ive(l + 0.5, safe)
    for l in range(top - 1, 0, -1):  # stable downwards
        scaled[l - 1] = scaled[l + 1] + (2 * l + 1) / safe * scaled[l]
    scaled[:, z == 0] = np.eye(top + 1)[:, :1]
    return 4 * math.pi * np.exp(-alpha * np.subtract.outer(x, r) ** 2) * scaled[:top]


def gto_integrals_closed_form(r, setup):
    """Eq. 5 for the GTO through 1F1, the second road to ``radial_integrals``: [l, n, r]."""
    n = setup.n_radial
    _, b, norms = gto_primitives(np.ones(1), n, setup.radius)
    alpha, k = 1 / (2 * setup.density_width**2), np.arange(n)[:, None]
    raw = []
    for l in range(setup.max_angular + 1):
        A, B, z = (k + l + 3) / 2, l + 1.5, (alpha * r) ** 2 / (alpha + b[:, None])
        front = math.pi**1.5 * norms[:, None] * special.gamma(A) / special.gamma(B)
        tail = (alpha * r) ** l * (alpha + b[:, None]) ** -A * np.exp(-alpha * r**2)
        raw.append(front * tail * special.hyp1f1(A, B, z))
    return gto_loewdin(n, setup.radius) @ np.array(raw)


def power_spectrum(coefficients):
    """Eq. 10 [atom, feature]: l slowest, then pairs q1 <= q2 with sqrt(2) off the diagonal."""
    columns = []
    for l, c in enumerate(coefficients):
        for q1, q2 in itertools.combinations_with_replacement(range(c.shape[2]), 2):
            pair = np.sum(c[:, :, q1] * c[:, :, q2], axis=1) / math.sqrt(2 * l + 1)
            columns.append(pair if q1 == q2 else math.sqrt(2) * pair)
    return np.array(columns).T


def by_degree(blocks, frames):
    """Blocks of orbas as a list over l of arrays [atom of all frames, 2l+1, q]; every atom must occur."""
    samples = [(s, k) for s, atoms in enumerate(frames) for k in range(len(atoms))]
    rows = {sample: row for row, sample in enumerate(samples)}
    numbers = np.concatenate([atoms.numbers for atoms in frames])
    result = []
    for l in range(1 + max(key.o3_lambda for key in blocks)):
        parts = [(key, block) for key, block in blocks.items() if key.o3_lambda == l]
        dense = np.full((len(rows), 2 * l + 1, parts[0][1].values.shape[2]), np.nan)
        for key, block in parts:
            index = [rows[tuple(sample)] for sample in block.samples.tolist()]
            assert np.all(numbers[index] == key.center_species)
            dense[index] = block.values
        assert not np.isnan(dense).any(), f"l = {l}: some atom has no coefficients"
        result.append(dense)
    return result


def relative_error(values, reference):
    """Largest deviation in units of the largest reference value; lists are compared block by block."""
    if isinstance(reference, list):
        assert len(values) == len(reference)
        return max(relative_error(v, r) for v, r in zip(values, reference, strict=True))
    assert values.shape == reference.shape
    assert np.isfinite(values).all()
    return float(np.max(np.abs(values - reference), initial=0) / (np.max(np.abs(reference), initial=0) or 1))
