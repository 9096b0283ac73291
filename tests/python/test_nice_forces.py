"""Forces and virials of a linear read-out on NICE: finite differences through nu = 4, conservation, turns."""

from __future__ import annotations

import ase.build
import numpy as np
import orbas
import pytest
from scipy.spatial.transform import Rotation

STEP = 2e-4
CUTS = {
    "all": {"n_pairs": None, "n_components": None, "n_invariants": None},
    "cut": {"n_pairs": 40, "n_components": 10, "n_invariants": 25},
}


@pytest.fixture(scope="module")
def crystal():
    """Triclinic, four atoms of two species, cell heights below the cutoff: atoms see their own images."""
    atoms = ase.build.bulk("GaAs", "zincblende", a=5.65) * (2, 1, 1)
    shear = np.array([[0.0, 0.08, -0.03], [0.0, 0.0, 0.05], [0.0, 0.0, 0.0]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + shear), scale_atoms=True)
    atoms.rattle(0.15, seed=3)
    return atoms


@pytest.fixture(scope="module")
def molecule():
    atoms = ase.build.molecule("CH3OH")
    atoms.rattle(0.1, seed=5)
    return atoms


def density_for(frames, max_angular=2, n_radial=2, **changes):
    species = sorted({int(number) for atoms in frames for number in atoms.numbers})
    settings = {
        "cutoff": orbas.Cutoff(4.0, 1.0, "smooth"),
        "density_width": 0.45,
        "max_angular": max_angular,
        "basis": orbas.bases.GTO(n_radial=n_radial),
        "species": species,
        "spline_accuracy": 1e-10,
    }
    return orbas.DensityExpansion(**{**settings, **changes})


def fitted(frames, nu_max, cut, **changes):
    return orbas.NICE(density_for(frames, **changes), nu_max=nu_max, **CUTS[cut]).fit(frames)


def weights_for(nice, frames, seed=0):
    """Random weights that give every feature a say: its values may be small, so each weight grows with 1 / scale."""
    features = nice.transform(frames)
    scale = np.sqrt(np.mean(features.values**2, axis=0))
    weights = np.random.default_rng(seed).normal(size=(len(features.species), len(scale)))
    return weights / np.maximum(scale, 1e-3 * scale.max())


def slope(energy):
    """Derivative at 0 of an energy of one variable, fourth order."""
    near, far = energy(STEP) - energy(-STEP), energy(2 * STEP) - energy(-2 * STEP)
    return (8 * near - far) / (12 * STEP)


def energy_of(nice, atoms, weights):
    return nice.linear_energies([atoms], weights).structures[0]


def force_by_differences(nice, atoms, weights, atom, axis):
    def moved(step):
        copy = atoms.copy()
        copy.positions[atom, axis] += step
        return energy_of(nice, copy, weights)

    return -slope(moved)


def virial_by_differences(nice, atoms, weights, a, b):
    def strained(step):
        strain = np.eye(3)
        strain[a, b] += step
        copy = atoms.copy()
        copy.set_cell(atoms.cell.array @ strain.T)
        copy.set_positions(atoms.positions @ strain.T)
        return energy_of(nice, copy, weights)

    return slope(strained)


def check_forces(nice, atoms, weights):
    """Every force and every virial component, to 1e-7 of the largest."""
    result = nice.linear_energies([atoms], weights)
    forces, virial = result.forces[0], result.virials[0]
    assert forces.shape == (len(atoms), 3)
    expected = [[force_by_differences(nice, atoms, weights, i, x) for x in range(3)] for i in range(len(atoms))]
    assert np.max(np.abs(forces - expected)) <= 1e-7 * np.max(np.abs(forces))
    expected = [[virial_by_differences(nice, atoms, weights, a, b) for b in range(3)] for a in range(3)]
    assert np.max(np.abs(virial - expected)) <= 1e-7 * max(np.max(np.abs(virial)), np.max(np.abs(forces)))


@pytest.mark.parametrize("nu_max", [2, 3, 4])
def test_crystal(nu_max, crystal):
    nice = fitted([crystal], nu_max, "cut")
    check_forces(nice, crystal, weights_for(nice, [crystal]))


@pytest.mark.parametrize("nu_max", [2, 3, 4])
def test_molecule(nu_max, molecule):
    nice = fitted([molecule], nu_max, "cut")
    check_forces(nice, molecule, weights_for(nice, [molecule]))


@pytest.mark.parametrize(("nu_max", "max_angular"), [(3, 2), (4, 1)])
def test_nothing_truncated(nu_max, max_angular, crystal):
    nice = fitted([crystal], nu_max, "all", max_angular=max_angular, n_radial=1)
    check_forces(nice, crystal, weights_for(nice, [crystal]))


@pytest.mark.parametrize(("mixing", "per_center"), [("combined", False), ("combined", True), ("separate", False)])
def test_optimal_bases(mixing, per_center, crystal):
    primitive = density_for([crystal], n_radial=4, scaling=orbas.RadialScaling(1.0, 2.0, 4.5))
    optimal = orbas.OptimalBasis(primitive, n_optimal=2, mixing=mixing, per_center=per_center).fit([crystal])
    nice = orbas.NICE(optimal.expansion_, nu_max=4, **CUTS["cut"]).fit([crystal])
    check_forces(nice, crystal, weights_for(nice, [crystal]))


def test_bispectrum(crystal):
    bispectrum = orbas.Bispectrum(density_for([crystal], n_radial=1)).fit([crystal])
    check_forces(bispectrum, crystal, weights_for(bispectrum, [crystal]))


def test_a_structure_that_was_not_in_the_fit(molecule, molecules):
    nice = fitted([molecule, *molecules[:4]], 4, "cut")
    other = molecules[3].copy()
    other.rattle(0.2, seed=12)
    check_forces(nice, other, weights_for(nice, [molecule]))


def test_one_weight_at_a_time(molecule):
    """A unit weight gives the energy of one feature: the order of weights is that of the features."""
    nice = fitted([molecule], 4, "cut")
    features = nice.transform([molecule])
    n_species, n_features = len(features.species), features.values.shape[1]
    for column in np.linspace(0, n_features - 1, 7, dtype=int):
        for a, number in enumerate(features.species):
            weights = np.zeros((n_species, n_features))
            weights[a, column] = 1
            found = nice.linear_energies([molecule], weights).atoms[0]
            expected = np.where(molecule.numbers == number, features.values[:, column], 0)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_energies_are_weighted_features_in_any_batch(molecules):
    nice = fitted(molecules, 4, "cut")
    weights = weights_for(nice, molecules)
    result = nice.linear_energies(molecules, weights)
    expected = nice.transform(molecules).per_structure() @ weights.ravel()
    assert np.max(np.abs(result.structures - expected)) <= 1e-12 * np.max(np.abs(expected))
    for k in (0, 5, 11):
        alone = nice.linear_energies([molecules[k]], weights)
        assert np.array_equal(alone.forces[0], result.forces[k])
        assert np.array_equal(alone.virials[0], result.virials[k])


def test_sums_of_forces_and_torques_vanish(molecules, crystal):  # docs/reliability.md, row 9
    nice = fitted(molecules, 4, "cut")
    forces = nice.linear_energies(molecules, weights_for(nice, molecules)).forces
    for atoms, force in zip(molecules, forces, strict=True):
        bound = 1e-11 * len(atoms) * np.max(np.abs(force))
        assert np.max(np.abs(force.sum(axis=0))) <= bound
        assert np.max(np.abs(np.cross(atoms.positions, force).sum(axis=0))) <= bound
    nice = fitted([crystal], 4, "cut")
    result = nice.linear_energies([crystal], weights_for(nice, [crystal]))
    assert np.max(np.abs(result.forces[0].sum(axis=0))) <= 1e-11 * len(crystal) * np.max(np.abs(result.forces[0]))
    virial = result.virials[0]  # symmetric, because the energy does not turn
    assert np.max(np.abs(virial - virial.T)) <= 1e-11 * len(crystal) * np.max(np.abs(virial))


def test_forces_turn_with_the_structure(crystal):  # docs/reliability.md, row 1
    nice = fitted([crystal], 4, "cut")
    weights = weights_for(nice, [crystal])
    before = nice.linear_energies([crystal], weights)
    for matrix in [*Rotation.random(3, random_state=8).as_matrix(), -np.eye(3)]:
        copy = crystal.copy()
        copy.set_cell(crystal.cell.array @ matrix.T)
        copy.set_positions(crystal.positions @ matrix.T)
        after = nice.linear_energies([copy], weights)
        scale = np.max(np.abs(before.forces[0]))
        assert np.max(np.abs(after.forces[0] - before.forces[0] @ matrix.T)) <= 1e-10 * scale
        turned = matrix @ before.virials[0] @ matrix.T
        assert np.max(np.abs(after.virials[0] - turned)) <= 1e-10 * np.max(np.abs(turned))
        assert after.structures[0] == pytest.approx(before.structures[0], rel=1e-11)


def test_an_atom_that_sees_only_its_own_images_feels_no_force(systems):  # docs/reliability.md, row 10
    atoms = systems("single")
    nice = fitted([atoms], 4, "cut")
    result = nice.linear_energies([atoms], weights_for(nice, [atoms]))
    assert np.max(np.abs(result.forces[0])) <= 1e-12 * max(np.max(np.abs(result.virials[0])), 1e-300)


def test_bad_weights(molecule):
    nice = fitted([molecule], 3, "cut")
    weights = weights_for(nice, [molecule])
    for bad in (weights[:, :-1], weights[:-1], np.full_like(weights, np.nan)):
        with pytest.raises(ValueError, match=r"weight|finite|features"):
            nice.linear_energies([molecule], bad)
