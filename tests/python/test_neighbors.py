"""Neighbor lists, fast and slow, against vesin, ase and a double loop over images: identical sets."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys

import ase
import ase.build
import ase.neighborlist
import numpy as np
import oracle
import orbas
import pytest
import vesin

PBC_MIXES = list(itertools.product([False, True], repeat=3))
SHAPES = ("cubic", "orthorhombic", "triclinic", "sheared", "thin", "left-handed")
CASES_PER_MIX = 1250


def sorted_pairs(i, j, S):
    """Rows (i, j, S) in one order, so that equal sets are equal arrays."""
    table = np.column_stack([i, j, S]).astype(np.int64)
    return table[np.lexsort(table.T)]


def ours(atoms, cutoff, function=None):
    return sorted_pairs(*(function or orbas.neighbor_list)("ijS", atoms, cutoff))


def from_oracle(atoms, cutoff):
    return sorted_pairs(*oracle.brute_force_pairs(atoms, cutoff)[:3])


def from_vesin(atoms, cutoff):
    box = atoms.cell.complete().array
    search = vesin.NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    return sorted_pairs(*search.compute(atoms.positions, box, atoms.pbc, "ijS"))


def vesin_is_quick(shape, pbc):
    """Three quarters of the cases; vesin needs up to 14 s for a sheared or thin cell of mixed periodicity."""
    return shape not in ("sheared", "thin") or all(pbc) or not any(pbc)


def random_cell(rng, shape):
    a = rng.uniform(2.0, 6.0, 3)
    if shape == "cubic":
        return np.eye(3) * a[0]
    if shape == "orthorhombic":
        return np.diag(a)
    if shape == "thin":
        a[rng.integers(3)] = rng.uniform(0.4, 1.0)
    cell = np.diag(a) + rng.uniform(-0.2, 0.2, (3, 3)) * a.min()
    if shape == "sheared":
        cell[1] += rng.integers(-3, 4) * cell[0]
        cell[2] += rng.integers(-2, 3) * cell[0] + rng.integers(-2, 3) * cell[1]
    if shape == "left-handed":
        cell = cell[[1, 0, 2]]
    return cell


def random_case(rng, shape, pbc):
    """A small structure with unwrapped atoms, and a cutoff that may exceed the cell several times."""
    cell, n = random_cell(rng, shape), int(rng.integers(1, 13))
    if not any(pbc) and rng.random() < 0.5:
        atoms = ase.Atoms(numbers=[1] * n, positions=rng.uniform(-4, 4, (n, 3)))
        return atoms, rng.uniform(0.5, 8.0)
    fractions = rng.uniform(0, 1, (n, 3)) + rng.integers(-2, 3, (n, 3)) * (rng.random() < 0.5)
    atoms = ase.Atoms(numbers=[1] * n, cell=cell, pbc=pbc, positions=fractions @ cell)
    largest = (3 * 1500 * abs(np.linalg.det(cell)) / (4 * np.pi * n * n)) ** (1 / 3)  # about 1,500 pairs
    return atoms, min(rng.uniform(0.5, 9.0), largest)


@pytest.mark.parametrize("pbc", PBC_MIXES, ids=lambda pbc: "".join("FT"[p] for p in pbc))
def test_ten_thousand_random_cases(pbc):
    rng = np.random.default_rng([11, *pbc])
    for case in range(CASES_PER_MIX):
        shape = SHAPES[case % len(SHAPES)]
        atoms, cutoff = random_case(rng, shape, pbc)
        found = ours(atoms, cutoff)
        slow = ours(atoms, cutoff, orbas.brute_force_neighbor_list)
        assert np.array_equal(found, slow), f"case {case}, brute force: {atoms!r} within {cutoff}"
        if vesin_is_quick(shape, pbc):
            reference = from_vesin(atoms, cutoff)
            assert np.array_equal(found, reference), f"case {case}, vesin: {atoms!r} within {cutoff}"


@pytest.mark.parametrize("pbc", PBC_MIXES, ids=lambda pbc: "".join("FT"[p] for p in pbc))
def test_against_a_double_loop_with_distances(pbc):
    rng = np.random.default_rng([12, *pbc])
    for case in range(24):
        atoms, cutoff = random_case(rng, SHAPES[case % len(SHAPES)], pbc)
        i, j, d, D, S = orbas.neighbor_list("ijdDS", atoms, cutoff)
        assert np.array_equal(sorted_pairs(i, j, S), from_oracle(atoms, cutoff))
        expected = atoms.positions[j] - atoms.positions[i] + S @ atoms.cell.array
        np.testing.assert_allclose(D, expected, atol=1e-12)
        np.testing.assert_allclose(d, np.linalg.norm(expected, axis=1), atol=1e-12)


def integer_pairs(points, lengths, pbc, square):
    """Pairs with r * r < square in exact integer arithmetic, for orthorhombic cells."""
    reach = [math.isqrt(square) // length + 3 if p else 0 for length, p in zip(lengths, pbc, strict=True)]
    shifts = np.array(list(itertools.product(*(range(-k, k + 1) for k in reach))))
    rows = []
    for i, j in itertools.product(range(len(points)), repeat=2):
        D = points[j] - points[i] + shifts * lengths
        keep = np.sum(D * D, axis=1) < square
        keep &= (i != j) | np.any(shifts != 0, axis=1)
        rows += [(i, j, *s) for s in shifts[keep]]
    return sorted_pairs(*(np.array(rows, dtype=int).reshape(-1, 5)[:, k] for k in (0, 1, slice(2, 5))))


@pytest.mark.parametrize("radius", [3, 5, 7, 9])  # 1-2-2, 3-4-0, 2-3-6, 1-4-8: many points on the shell
@pytest.mark.parametrize("pbc", [(1, 1, 1), (0, 1, 1), (1, 0, 0), (0, 0, 0)])
def test_cutoff_exactly_on_a_shell(radius, pbc, rng):
    lengths = np.array([4, 8, 16])
    points = rng.permutation(np.array(list(itertools.product(range(4), range(8), range(6)))))[:24]
    atoms = ase.Atoms("H24", positions=points / 8, cell=np.diag(lengths) / 8, pbc=pbc)
    inside = integer_pairs(points, lengths, pbc, radius**2)
    with_shell = integer_pairs(points, lengths, pbc, radius**2 + 1)
    assert len(with_shell) > len(inside) or not any(pbc)
    for function in (orbas.neighbor_list, orbas.brute_force_neighbor_list):
        assert np.array_equal(ours(atoms, radius / 8, function), inside)
        assert np.array_equal(ours(atoms, float(np.nextafter(radius / 8, 9)), function), with_shell)


@pytest.mark.parametrize("quantities", ["i", "ij", "ijS", "dD", "Sijd", "ijdDS"])
def test_quantities_and_types_are_those_of_ase(quantities, systems):
    atoms = systems("slab")
    expected = ase.neighborlist.neighbor_list(quantities, atoms, 4.0)
    got = orbas.neighbor_list(quantities, atoms, 4.0)
    assert type(got) is type(expected)
    if len(quantities) == 1:
        got, expected = (got,), (expected,)
    for a, b in zip(got, expected, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
    if "i" in quantities:
        assert np.all(np.diff(got[quantities.index("i")]) >= 0)


@pytest.mark.parametrize("name", ["silicon", "molecule", "crystal", "slab", "single", "left_handed"])
@pytest.mark.parametrize("self_interaction", [False, True])
def test_same_sets_as_ase(name, self_interaction, systems):
    atoms = systems(name)
    options = {"self_interaction": True} if self_interaction else {}
    expected = sorted_pairs(*ase.neighborlist.neighbor_list("ijS", atoms, 4.1, **options))
    for function in (orbas.neighbor_list, orbas.brute_force_neighbor_list):
        assert np.array_equal(sorted_pairs(*function("ijS", atoms, 4.1, **options)), expected)


def test_every_pair_has_its_reverse(systems):
    i, j, S = orbas.neighbor_list("ijS", systems("left_handed"), 9.0)
    assert np.array_equal(sorted_pairs(i, j, S), sorted_pairs(j, i, -S))


def test_shapes_without_any_pair():
    for atoms in (ase.Atoms(), ase.Atoms("H"), ase.Atoms("H2", positions=[[0, 0, 0], [0, 0, 9]])):
        for function in (orbas.neighbor_list, orbas.brute_force_neighbor_list):
            i, j, d, D, S = function("ijdDS", atoms, 5.0)
            assert [x.shape for x in (i, j, d, D, S)] == [(0,), (0,), (0,), (0, 3), (0, 3)]


def unimodular(rng, steps=3):
    """A random integer matrix of determinant +-1: shears, then a possible swap."""
    M = np.eye(3, dtype=int)
    for _ in range(steps):
        a, b = rng.permutation(3)[:2]
        M[a] += int(rng.integers(-2, 3)) * M[b]
    return M[rng.permutation(3)]


def test_unimodular_cells_give_the_same_pairs(systems, rng):  # docs/reliability.md, row 6
    atoms = systems("left_handed")
    expected = ours(atoms, 4.5)
    for _ in range(200):
        M = unimodular(rng)
        changed = atoms.copy()
        changed.set_cell(M @ atoms.cell.array)
        i, j, S = orbas.neighbor_list("ijS", changed, 4.5)
        assert np.array_equal(sorted_pairs(i, j, S @ M), expected), f"cell of {M.tolist()}"


@pytest.mark.parametrize("repeats", [(2, 1, 1), (1, 3, 1), (2, 2, 2)])
def test_supercells_repeat_the_distances(repeats, systems):  # docs/reliability.md, row 5
    atoms = systems("crystal")
    d = np.sort(orbas.neighbor_list("d", atoms, 6.0))
    repeated = np.sort(orbas.neighbor_list("d", atoms * repeats, 6.0))
    np.testing.assert_allclose(repeated, np.repeat(d, np.prod(repeats)), atol=1e-12)


EXTREMES = """
import json
import ase, numpy as np, orbas
def peak():  # not getrusage: its ru_maxrss counts what the process that started this one held
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
points = np.random.default_rng(0).uniform(0, 4, (20, 3))
orbas.neighbor_list("ijS", ase.Atoms("H20", positions=points, cell=[4, 4, 4], pbc=True), 3.0)
far = points.copy(); far[7] = 1e9
sheared = [[4, 0, 0], [400, 4, 0], [0, 4000, 4]]
cases = {
    "far atom": ase.Atoms("H20", positions=far),
    "far atom in a slab": ase.Atoms("H20", positions=far * [0, 0, 1] + points * [1, 1, 0],
                                    cell=[4, 4, 4], pbc=(1, 1, 0)),
    "huge cell": ase.Atoms("H20", positions=points, cell=[1e6] * 3, pbc=True),
    "thin": ase.Atoms("H", cell=[0.21, 30, 30], pbc=True),
    "sheared": ase.Atoms("H20", positions=points, cell=sheared, pbc=True),
    "exploding": ase.Atoms("H20", positions=points * np.geomspace(1, 1e9, 20)[:, None]),
}
start, result = peak(), {}
for name, atoms in cases.items():
    i, d = orbas.neighbor_list("id", atoms, 3.0)
    result[name] = [len(i), int(np.sum(i == 7)), float(peak() - start)]
print(json.dumps(result))
"""


def test_extreme_geometries_stay_small():  # docs/reliability.md, row 20
    command = [sys.executable, "-c", EXTREMES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    points = np.random.default_rng(0).uniform(0, 4, (20, 3))
    alone = ase.Atoms("H19", positions=np.delete(points, 7, axis=0))
    assert result["far atom"][:2] == [len(oracle.brute_force_pairs(alone, 3.0)[0]), 0]
    free = ase.Atoms("H20", positions=points)
    assert result["huge cell"][0] == len(oracle.brute_force_pairs(free, 3.0)[0])
    assert result["thin"][0] == 28  # 0.21 k < 3: 14 images on both sides
    cubic = ase.Atoms("H20", positions=points, cell=[4, 4, 4], pbc=True)  # the same lattice
    assert result["sheared"][0] == len(oracle.brute_force_pairs(cubic, 3.0)[0])
    assert max(memory for *_, memory in result.values()) <= 50


@pytest.mark.parametrize("pbc", PBC_MIXES, ids=lambda pbc: "".join("FT"[p] for p in pbc))
def test_zero_and_singular_cells(pbc):  # docs/reliability.md, row 21
    points = [[0, 0, 0], [0, 0, 1.1], [0.9, 0, 0]]
    zero = ase.Atoms("H3", positions=points, pbc=pbc)
    parallel = ase.Atoms("H3", positions=points, cell=[[3, 0, 0], [6, 0, 0], [0, 0, 4]], pbc=pbc)
    for atoms in (zero, parallel):
        vectors = atoms.cell.array[np.array(pbc)]
        if np.linalg.matrix_rank(vectors) < len(vectors):
            for function in (orbas.neighbor_list, orbas.brute_force_neighbor_list):
                with pytest.raises(ValueError, match="cell"):
                    function("ijS", atoms, 2.0)
    if not any(pbc):
        assert len(ours(zero, 2.0)) == 6


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slab_without_the_third_vector(axis):
    cell = np.diag([3.0, 3.5, 4.0])
    cell[axis] = 0
    pbc = np.arange(3) != axis
    atoms = ase.Atoms("H2", positions=[[0, 0, 0], [1, 1.1, 1.2]], cell=cell, pbc=pbc)
    assert np.array_equal(ours(atoms, 5.0), from_oracle(atoms, 5.0))


@pytest.mark.parametrize("cutoff", [-1.0, float("nan"), float("inf")])
def test_bad_cutoffs(cutoff, systems):
    with pytest.raises(ValueError, match="cutoff"):
        orbas.neighbor_list("ij", systems("crystal"), cutoff)


def test_unknown_quantity(systems):
    with pytest.raises(ValueError, match="x"):
        orbas.neighbor_list("ijx", systems("crystal"), 3.0)
