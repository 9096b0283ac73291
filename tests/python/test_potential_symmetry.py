"""Energies, forces and stress of a linear power-spectrum model (docs/reliability.md, rows 1 to 6 and 10)."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from linear_model import linear_model
from oracle import Setup
from scipy.spatial.transform import Rotation
from test_neighbors import unimodular
from test_symmetry import hermite_normal_form, skewed_supercell, turned

SYSTEMS = ["molecule", "crystal", "alloy", "slab", "single", "left_handed"]
PERIODIC = ["crystal", "alloy", "single", "left_handed"]
SETUP = Setup(radius=4.5, max_angular=4, n_radial=3, smoothing="smooth", smoothing_width=1.0)

#: eV per atom, eV/Å and eV/Å^3, where the largest energy of an atom is 1 eV.
ENERGY, FORCE, STRESS = 1e-11, 1e-10, 1e-10


def model_for(atoms):
    return linear_model(SETUP.density(species=sorted({*atoms.numbers.tolist()})), [atoms])


def deviation(values, expected):
    return np.max(np.abs(np.asarray(values) - expected))


def check_same(model, atoms, frames, orders=None, stress=True):
    """Every one of ``frames`` has the energy, forces (in another order) and stress of ``atoms``."""
    expected, got = model([atoms]), model(frames)
    orders = [np.arange(len(atoms))] * len(frames) if orders is None else orders
    assert deviation(got.structures, expected.structures[0]) <= ENERGY * len(atoms)
    assert max(deviation(f, expected.forces[0][o]) for f, o in zip(got.forces, orders, strict=True)) <= FORCE
    if stress:
        assert deviation(model.tensors(frames), model.tensors([atoms])) <= STRESS


@pytest.mark.parametrize("name", SYSTEMS)
def test_rotations(name, systems):  # docs/reliability.md, row 1
    atoms = systems(name)
    model = model_for(atoms)
    rotations = Rotation.random(100, random_state=1).as_matrix()
    frames = [turned(atoms, matrix) for matrix in rotations]
    still, got, stress = model([atoms]), model(frames), model.tensors([atoms])[0]
    assert deviation(got.structures, still.structures[0]) <= ENERGY * len(atoms)
    assert deviation(np.stack(got.forces), still.forces[0] @ rotations.swapaxes(1, 2)) <= FORCE
    assert deviation(model.tensors(frames), rotations @ stress @ rotations.swapaxes(1, 2)) <= STRESS


@pytest.mark.parametrize("name", SYSTEMS)
def test_inversion_turns_forces_around(name, systems):  # docs/reliability.md, row 2
    atoms = systems(name)
    model, mirrored = model_for(atoms), turned(atoms, -np.eye(3))
    before, after = model([atoms]), model([mirrored])
    assert deviation(after.structures, before.structures) <= ENERGY * len(atoms)
    assert deviation(after.forces[0], -before.forces[0]) <= FORCE
    assert deviation(model.tensors([mirrored]), model.tensors([atoms])) <= STRESS


@pytest.mark.parametrize("name", SYSTEMS)
def test_order_of_the_atoms(name, systems, rng):  # docs/reliability.md, row 3
    atoms = systems(name)
    model, orders = model_for(atoms), [rng.permutation(len(atoms)) for _ in range(10)]
    expected, got = model([atoms]), model([atoms[order] for order in orders])
    largest = np.abs(expected.forces[0]).max()
    for k, order in enumerate(orders):
        assert deviation(got.atoms[k], expected.atoms[0][order]) <= 1e-13
        assert deviation(got.forces[k], expected.forces[0][order]) <= 1e-13 * max(largest, 1)


def test_order_of_the_structures_is_the_same_bits(molecules, rng):  # docs/reliability.md, row 3
    density = SETUP.density(species=[1, 6, 7, 8])
    model = linear_model(density, molecules)
    alone = [model([atoms]) for atoms in molecules]
    for _ in range(5):
        order = rng.permutation(len(molecules))
        together = model([molecules[k] for k in order])
        for row, k in enumerate(order):
            assert np.array_equal(together.atoms[row], alone[k].atoms[0])
            assert np.array_equal(together.forces[row], alone[k].forces[0])
            assert np.array_equal(together.virials[row], alone[k].virials[0])


@pytest.mark.parametrize("name", SYSTEMS)
def test_translation(name, systems, rng):  # docs/reliability.md, row 4
    atoms = systems(name)
    frames = [atoms.copy() for _ in range(10)]
    for copy, shift in zip(frames, rng.uniform(-50, 50, (10, 3)), strict=True):
        copy.translate(shift)
    check_same(model_for(atoms), atoms, frames)


@pytest.mark.parametrize("name", ["slab", *PERIODIC])
def test_unwrapped_atoms(name, systems, rng):  # docs/reliability.md, row 4
    atoms = systems(name)
    frames = [atoms.copy() for _ in range(10)]
    for copy, far in zip(frames, [1, 1000] * 5, strict=True):
        steps = rng.integers(-far, far + 1, (len(atoms), 3)) * atoms.pbc
        copy.positions += steps @ atoms.cell.array
    check_same(model_for(atoms), atoms, frames)


def check_supercells(atoms, supercells):
    """Atoms of a supercell repeat those of the cell, cell after cell."""
    model = model_for(atoms)
    once, stress = model([atoms]), model.tensors([atoms])
    for supercell in supercells:
        copies = len(supercell) // len(atoms)
        got = model([supercell])
        assert abs(got.structures[0] / copies - once.structures[0]) / len(atoms) <= ENERGY
        assert deviation(got.forces[0], np.tile(once.forces[0], (copies, 1))) <= FORCE
        if all(atoms.pbc):
            assert deviation(model.tensors([supercell]), stress) <= STRESS


@pytest.mark.parametrize("name", ["slab", *PERIODIC])
def test_supercells(name, systems):  # docs/reliability.md, row 5
    atoms = systems(name)
    repeats = [np.where(atoms.pbc, n, 1) for n in ([2, 1, 1], [1, 1, 3], [2, 2, 2])]
    check_supercells(atoms, [atoms * tuple(n.tolist()) for n in repeats])


@pytest.mark.parametrize("name", ["single", "crystal"])
def test_fifty_skewed_supercells(name, systems, rng):  # docs/reliability.md, row 5
    atoms = systems(name)
    check_supercells(atoms, [skewed_supercell(atoms, hermite_normal_form(rng)) for _ in range(25)])


@pytest.mark.parametrize("name", PERIODIC)
def test_unimodular_cells(name, systems, rng):  # docs/reliability.md, row 6
    atoms = systems(name)
    frames = [atoms.copy() for _ in range(50)]
    for copy in frames:
        copy.set_cell(unimodular(rng) @ atoms.cell.array)
    check_same(model_for(atoms), atoms, frames)


@pytest.mark.parametrize("cell", [(2.5, 2.7, 2.9), (1.3, 40.0, 2.2)])
def test_self_images_pull_at_nothing(cell):  # docs/reliability.md, row 10
    """Also of atoms whose cell holds another one beyond the cutoff."""
    skewed = np.diag(cell) + 0.1 * np.eye(3, k=1)
    alone = ase.Atoms("Cu", cell=skewed, pbc=True)
    apart = ase.Atoms("Cu2", positions=[[0, 0, 0], [0.3, 20.0, 0.2]], cell=np.diag([1.9, 40.0, 2.2]), pbc=True)
    for atoms in (alone, apart):
        model = model_for(atoms)
        result = model([atoms])
        assert np.count_nonzero(result.forces[0]) == 0
        assert np.abs(result.virials[0]).max() > 1e-3  # there are neighbors
