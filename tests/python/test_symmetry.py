"""What must not change, and how the rest does (docs/reliability.md, rows 1 to 6)."""

from __future__ import annotations

import ase
import numpy as np
import orbas
import pytest
from oracle import Setup, by_degree, relative_error
from scipy.spatial.transform import Rotation

SYSTEMS = ["molecule", "crystal", "alloy", "slab", "single", "left_handed"]
SETUP = Setup(radius=4.5, max_angular=5, n_radial=4, scaling=(1.0, 2.0, 4.0))


def density_for(atoms, setup=SETUP):
    return setup.density(species=sorted({*atoms.numbers.tolist()}))


def spectrum(frames):
    return orbas.PowerSpectrum(density_for(frames[0])).transform(frames).values


def per_frame(frames):
    """Features [frame, atom, feature] of structures of equal size."""
    return spectrum(frames).reshape(len(frames), len(frames[0]), -1)


def turned(atoms, matrix):
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array @ matrix.T)
    copy.set_positions(atoms.positions @ matrix.T)
    return copy


def wigner(matrix, l, points):
    """Y_l(R x) = D Y_l(x), from the harmonics of a fixed set of points by least squares."""
    degree = slice(l * l, (l + 1) ** 2)
    before, after = (orbas.spherical_harmonics(p, l)[:, degree] for p in (points, points @ matrix.T))
    return np.linalg.lstsq(before, after, rcond=None)[0].T


@pytest.mark.parametrize("name", SYSTEMS)
def test_power_spectrum_does_not_turn(name, systems):  # docs/reliability.md, row 1
    atoms = systems(name)
    rotations = Rotation.random(100, random_state=1).as_matrix()
    features = per_frame([atoms, *(turned(atoms, matrix) for matrix in rotations)])
    scale = np.abs(features[0]).max()
    assert np.max(np.abs(features[1:] - features[0])) <= 1e-12 * scale


@pytest.mark.parametrize("name", SYSTEMS)
def test_coefficients_turn_like_harmonics(name, systems):  # docs/reliability.md, row 1
    atoms, points = systems(name), np.random.default_rng(0).normal(size=(60, 3))
    rotations = Rotation.random(10, random_state=2).as_matrix()
    density = density_for(atoms)
    still = by_degree(density.transform([atoms]), [atoms])
    for matrix in rotations:
        copy = turned(atoms, matrix)
        for l, c in enumerate(by_degree(density.transform([copy]), [copy])):
            D = wigner(matrix, l, points)
            np.testing.assert_allclose(D @ D.T, np.eye(2 * l + 1), atol=1e-12)
            assert np.max(np.abs(c - D @ still[l])) <= 1e-12 * max(np.abs(b).max() for b in still)


@pytest.mark.parametrize("name", SYSTEMS)
def test_inversion(name, systems):  # docs/reliability.md, row 2
    atoms = systems(name)
    mirrored, density = turned(atoms, -np.eye(3)), density_for(atoms)
    before, after = (by_degree(density.transform([a]), [a]) for a in (atoms, mirrored))
    scale = max(np.abs(c).max() for c in before)
    for l in range(SETUP.max_angular + 1):
        assert np.max(np.abs(after[l] - (-1) ** l * before[l])) <= 1e-12 * scale
    assert relative_error(spectrum([mirrored]), spectrum([atoms])) <= 1e-12
    assert {key.o3_sigma for key in density.transform([atoms])} == {1}


@pytest.mark.parametrize("name", SYSTEMS)
def test_order_of_the_atoms(name, systems, rng):  # docs/reliability.md, row 3
    atoms = systems(name)
    features = spectrum([atoms])
    for _ in range(5):
        order = rng.permutation(len(atoms))
        assert relative_error(spectrum([atoms[order]]), features[order]) <= 1e-13


def test_order_of_the_structures(molecules, rng):  # docs/reliability.md, row 3
    density = SETUP.density(species=[1, 6, 7, 8])
    spectrum = orbas.PowerSpectrum(density)
    alone = [spectrum.transform([atoms]).values for atoms in molecules]
    for _ in range(5):
        order = rng.permutation(len(molecules))
        together = spectrum.transform([molecules[k] for k in order]).values
        assert np.array_equal(together, np.concatenate([alone[k] for k in order]))


def test_mixed_batches_of_molecules_and_crystals(systems, rng):  # docs/reliability.md, row 3
    frames = [systems(name) for name in ("crystal", "molecule", "slab", "single", "left_handed", "alloy")]
    species = sorted({number for atoms in frames for number in atoms.numbers.tolist()})
    spectrum = orbas.PowerSpectrum(SETUP.but(n_radial=2).density(species=species))
    alone = [spectrum.transform([atoms]).values for atoms in frames]
    order = rng.permutation(len(frames))
    together = spectrum.transform([frames[k] for k in order]).values
    assert np.array_equal(together, np.concatenate([alone[k] for k in order]))


@pytest.mark.parametrize("name", SYSTEMS)
def test_translation(name, systems, rng):  # docs/reliability.md, row 4
    atoms = systems(name)
    features = spectrum([atoms])
    for shift in rng.uniform(-50, 50, (5, 3)):
        moved = atoms.copy()
        moved.translate(shift)
        assert relative_error(spectrum([moved]), features) <= 1e-10


@pytest.mark.parametrize("name", ["crystal", "alloy", "slab", "single", "left_handed"])
@pytest.mark.parametrize("far", [1, 1000])
def test_unwrapped_atoms(name, far, systems, rng):  # docs/reliability.md, row 4
    atoms = systems(name)
    features = spectrum([atoms])
    for _ in range(5):
        moved = atoms.copy()
        steps = rng.integers(-far, far + 1, (len(atoms), 3)) * atoms.pbc
        moved.positions += steps @ atoms.cell.array
        assert relative_error(spectrum([moved]), features) <= 1e-10


@pytest.mark.parametrize("name", ["crystal", "alloy", "single", "left_handed", "slab"])
@pytest.mark.parametrize("repeats", [(2, 1, 1), (1, 1, 3), (2, 2, 2)])
def test_supercells(name, repeats, systems):  # docs/reliability.md, row 5
    atoms = systems(name)
    repeats = tuple(n if periodic else 1 for n, periodic in zip(repeats, atoms.pbc, strict=True))
    features = spectrum([atoms])
    repeated = spectrum([atoms * repeats])
    assert relative_error(repeated, np.tile(features, (np.prod(repeats), 1))) <= 1e-12


def hermite_normal_form(rng, largest=3):
    """A random integer supercell: lower triangular, entries below a diagonal entry smaller than it."""
    H = np.diag(rng.integers(1, largest + 1, 3))
    for row, column in ((1, 0), (2, 0), (2, 1)):
        H[row, column] = rng.integers(0, H[row, row])
    return H


def skewed_supercell(atoms, H):
    """All atoms inside the cell H @ cell."""
    cell = H @ atoms.cell.array
    grid = np.indices([2 * abs(H).sum() + 1] * 3).reshape(3, -1).T - abs(H).sum()
    fractions = grid @ np.linalg.inv(H)
    grid = grid[np.all((fractions > -1e-9) & (fractions < 1 - 1e-9), axis=1)]
    assert len(grid) == round(abs(np.linalg.det(H)))
    positions = (grid @ atoms.cell.array)[:, None] + atoms.positions
    numbers = np.tile(atoms.numbers, len(grid))
    return ase.Atoms(numbers, positions=positions.reshape(-1, 3), cell=cell, pbc=True)


@pytest.mark.parametrize("name", ["single", "crystal"])
def test_fifty_skewed_supercells(name, systems, rng):  # docs/reliability.md, row 5
    atoms = systems(name)
    features = spectrum([atoms])
    for _ in range(25):
        H = hermite_normal_form(rng)
        copies = round(np.linalg.det(H))
        repeated = spectrum([skewed_supercell(atoms, H)])
        assert relative_error(repeated, np.tile(features, (copies, 1))) <= 1e-12, H.tolist()


@pytest.mark.parametrize("name", ["single", "crystal", "left_handed"])
def test_unimodular_cells(name, systems, rng):  # docs/reliability.md, row 5 and 6: the same lattice in other words
    atoms = systems(name)
    frames = [atoms]
    for _ in range(20):
        M = np.eye(3, dtype=int)
        for _ in range(3):
            a, b = rng.permutation(3)[:2]
            M[a] += int(rng.integers(-2, 3)) * M[b]
        copy = atoms.copy()
        copy.set_cell(M[rng.permutation(3)] @ atoms.cell.array)
        frames.append(copy)
    features = per_frame(frames)
    assert np.max(np.abs(features - features[0])) <= 1e-12 * np.abs(features[0]).max()


def test_contracted_basis_keeps_the_symmetry(molecules):
    density = SETUP.density(species=[1, 6, 7, 8])
    small = orbas.OptimalBasis(density, n_optimal=4, per_center=True).fit(molecules).expansion_
    matrix = Rotation.random(random_state=3).as_matrix()
    spectrum = orbas.PowerSpectrum(small)
    rotated = spectrum.transform([turned(atoms, matrix) for atoms in molecules]).values
    assert relative_error(rotated, spectrum.transform(molecules).values) <= 1e-12
