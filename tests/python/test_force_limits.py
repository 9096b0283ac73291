"""Finite differences over every option, signs, sums and the cutoff (docs/reliability.md, rows 7, 8, 9 and 12)."""

from __future__ import annotations

import ase.build
import numpy as np
import orbas
import pytest
from linear_model import linear_model
from oracle import Setup

SETUP = Setup(radius=4.5, max_angular=3, n_radial=4, smoothing="smooth", smoothing_width=1.2)
#: Finite differences of energies of 1 eV per atom.
STEP = 5e-4


def slope(function, h=STEP):
    """Central differences of fourth order."""
    return (8 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12 * h)


def moved(atoms, atom, axis, step):
    copy = atoms.copy()
    copy.positions[atom, axis] += step
    return copy


def strained(atoms, a, b, step):
    copy = atoms.copy()
    strain = np.eye(3)
    strain[a, b] += step
    copy.set_cell(atoms.cell.array @ strain.T, scale_atoms=True)
    return copy


def check_forces(model, atoms, tolerance=1e-7):
    forces = model([atoms]).forces[0]
    for atom in range(min(len(atoms), 3)):
        for axis in range(3):
            expected = -slope(lambda h, atom=atom, axis=axis: model.energy(moved(atoms, atom, axis, h)))
            assert forces[atom, axis] == pytest.approx(expected, abs=tolerance)


def check_stress(model, atoms, tolerance=1e-8):
    """All nine components of the strain, and the six of ase with their sign."""
    tensor, volume = np.zeros((3, 3)), atoms.get_volume()
    for a in range(3):
        for b in range(3):
            tensor[a, b] = slope(lambda h, a=a, b=b: model.energy(strained(atoms, a, b, h))) / volume
    np.testing.assert_allclose(model.tensors([atoms])[0], tensor, rtol=0, atol=tolerance)
    voigt = [tensor[0, 0], tensor[1, 1], tensor[2, 2], tensor[1, 2], tensor[0, 2], tensor[0, 1]]
    np.testing.assert_allclose(model.stress([atoms])[0], voigt, rtol=0, atol=tolerance)


def away_from_kinks(build, kinks, clearance=5e-3):
    """The first of many seeds at which no pair is near a distance where a third derivative jumps."""
    for seed in range(1000):
        atoms = build(seed)
        d = orbas.neighbor_list("d", atoms, max(kinks) + 2 * clearance)
        if np.min(np.abs(np.subtract.outer(d, kinks))) > clearance:
            return atoms
    raise AssertionError("no such structure")


def gallium_arsenide(seed):
    atoms = ase.build.bulk("GaAs", "zincblende", a=5.65)
    atoms.rattle(0.15, seed=seed)
    return atoms


# ------------------------------------------------------------------ every option that enters the gradient [7]

OPTIONS = {
    "plain": {},
    "cosine": {"smoothing": "cosine"},
    "hard scaling": {"scaling": (0.0, 2.0, 3.0)},
    "soft scaling": {"scaling": (1.0, 2.0, 7.0), "smoothing": "cosine"},
    "delta density": {"density_width": 0.0},
    "wide density": {"density_width": 0.8},
    "DVR": {"basis": "DVR", "n_radial": 8},
    "Laplacian": {"basis": "LaplacianEigenstates", "n_radial": 5},
    "no center": {"center_weight": 0.0},
    "l = 0": {"max_angular": 0},
    "l = 8": {"max_angular": 8, "n_radial": 2},
    "wide cutoff": {"smoothing_width": 4.5},
    "long": {"radius": 8.0, "n_radial": 3},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("spectrum", [orbas.PowerSpectrum, orbas.RadialSpectrum])
def test_forces_and_stress_of_every_option(option, spectrum):  # docs/reliability.md, rows 7 and 8
    setup = SETUP.but(**OPTIONS[option])
    atoms = away_from_kinks(gallium_arsenide, (setup.radius, setup.radius - setup.smoothing_width))
    density = setup.density(spline_accuracy=1e-10, species=[31, 33])
    model = linear_model(density, [atoms], spectrum)
    check_forces(model, atoms)
    check_stress(model, atoms)


@pytest.mark.parametrize("smoothing", ["cosine", "smooth"])
@pytest.mark.parametrize("name", ["molecule", "slab", "alloy"])
def test_forces_of_other_structures(name, smoothing, systems):  # docs/reliability.md, row 7
    setup = SETUP.but(smoothing=smoothing)

    def build(seed):
        atoms = systems(name)
        atoms.rattle(0.05, seed=seed)
        return atoms

    atoms = away_from_kinks(build, (setup.radius, setup.radius - setup.smoothing_width), clearance=2e-3)
    species = sorted({*atoms.numbers.tolist()})
    check_forces(linear_model(setup.density(1e-10, species=species), [atoms]), atoms)


# ------------------------------------------------------------------ stress [8]

TRICLINIC = np.array([[1.0, 0.1, -0.05], [0.2, 0.95, 0.1], [-0.1, 0.15, 1.05]])


def triclinic(atoms):
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array @ TRICLINIC, scale_atoms=True)
    return copy


@pytest.mark.parametrize("kind", ["triclinic", "one atom", "three cells"])
def test_stress_is_a_finite_difference(kind, systems):  # docs/reliability.md, row 8
    """The last cell is a third of the cutoff high: neighbors are images of images."""
    setup = SETUP
    if kind == "triclinic":
        atoms = triclinic(systems("silicon_small"))
    elif kind == "one atom":
        atoms = triclinic(systems("single"))
    else:
        atoms = ase.Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.4, 0.55, 0.5]], cell=2.0 * TRICLINIC, pbc=True)
        heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
        setup = SETUP.but(radius=3.05 * heights.max())
    species = sorted({*atoms.numbers.tolist()})
    check_stress(linear_model(setup.density(1e-10, species=species), [atoms]), atoms)


def repulsion(setup):
    """A pair potential that falls with the distance: one broad Gaussian times the cutoff function."""
    density = setup.but(n_radial=1, max_angular=0, center_weight=0.0, species=(14,), smoothing_width=4.0).density()
    return linear_model(density, [ase.Atoms("Si2", positions=[[0, 0, 0], [0, 0, 2.0]])], orbas.RadialSpectrum)


@pytest.mark.parametrize("shape", ["cubic", "triclinic"])
def test_repelling_atoms_press_outward(shape):  # docs/reliability.md, row 8
    """Compressed matter has a negative stress (ase: tensile positive); what pulls together has a positive one."""
    atoms = ase.build.bulk("Si", cubic=True)
    atoms = triclinic(atoms) if shape == "triclinic" else atoms
    tight = atoms.copy()
    tight.set_cell(0.97 * atoms.cell.array, scale_atoms=True)
    push = repulsion(SETUP)
    if push.energy(ase.Atoms("Si2", positions=[[0, 0, 0], [0, 0, 2.0]])) < 0:
        push.weights[:] *= -1
    pair = push([ase.Atoms("Si2", positions=[[0, 0, 0], [0, 0, 2.4]])]).forces[0]
    assert pair[1, 2] > 0 > pair[0, 2]
    assert push.energy(tight) > push.energy(atoms)
    assert (push.stress([tight])[0, :3] < 0).all()
    assert push.stress([tight])[0, :3].sum() < push.stress([atoms])[0, :3].sum()
    push.weights[:] *= -1
    assert (push.stress([tight])[0, :3] > 0).all()


# ------------------------------------------------------------------ sums [9]


@pytest.mark.parametrize("name", ["molecule", "crystal", "alloy", "slab", "left_handed", "silicon"])
def test_forces_sum_to_zero(name, systems):  # docs/reliability.md, row 9
    atoms = systems(name)
    model = linear_model(SETUP.density(species=sorted({*atoms.numbers.tolist()})), [atoms])
    forces = model([atoms]).forces[0]
    bound = 1e-11 * len(atoms) * np.abs(forces).max()
    assert np.abs(forces.sum(axis=0)).max() <= bound
    if not any(atoms.pbc):
        centered = atoms.positions - atoms.positions.mean(axis=0)
        assert np.abs(np.cross(centered, forces).sum(axis=0)).max() <= bound


def test_torques_of_molecules_are_zero(molecules):  # docs/reliability.md, row 9
    model = linear_model(SETUP.density(species=[1, 6, 7, 8]), molecules)
    for atoms, forces in zip(molecules, model(molecules).forces, strict=True):
        bound = 1e-11 * len(atoms) * np.abs(forces).max()
        centered = atoms.positions - atoms.positions.mean(axis=0)
        assert np.abs(np.cross(centered, forces).sum(axis=0)).max() <= bound


# ------------------------------------------------------------------ the cutoff [12]

PULL = 1e-6


def check_passage(model, frames, forces_along):
    """Energies and forces of ``frames``, in steps of ``PULL``; the cutoff is crossed in the middle.

    What the energy loses in a step is the work of the force, to 1e-12 eV, and forces change in the step across the
    cutoff by no more than in the steps before or after it.
    """
    result = model(frames)
    forces = np.stack(result.forces)
    along = forces_along(forces)
    work = np.diff(result.structures) + 0.5 * PULL * (along[1:] + along[:-1])
    assert np.abs(work).max() <= 1e-12
    changes = np.abs(np.diff(forces, axis=0)).max(axis=(1, 2))
    crossing = len(changes) // 2 - 1
    noise = 1e-13 * np.abs(forces).max() + 1e-15
    assert changes[crossing] <= 1.01 * np.delete(changes, crossing).max() + noise
    return result


@pytest.mark.parametrize("smoothing", ["cosine", "smooth"])
def test_pulling_an_atom_out_of_reach(smoothing, systems):  # docs/reliability.md, row 12
    """Only one neighbor is left when it leaves: the energy changes by less than 1e-12 eV, then not by one bit."""
    setup = SETUP.but(smoothing=smoothing)
    molecule = systems("molecule")
    last = int(np.argmax(molecule.positions[:, 2]))
    model = linear_model(setup.density(species=[1, 6, 8]), [molecule])
    frames = []
    for step in range(-20, 21):
        atoms = molecule + ase.Atoms("O", positions=[molecule.positions[last]])
        atoms.positions[-1, 2] += setup.radius + (step + 0.5) * PULL
        frames.append(atoms)
    assert len(orbas.neighbor_list("i", frames[0], setup.radius)) == 2 + len(
        orbas.neighbor_list("i", molecule, setup.radius)
    )
    result = check_passage(model, frames, lambda forces: forces[:, -1, 2])
    assert abs(result.structures[20] - result.structures[19]) <= 1e-12
    assert np.ptp(result.structures[20:]) == 0
    assert np.count_nonzero(np.stack(result.forces[20:])[:, -1]) == 0


@pytest.mark.parametrize("smoothing", ["cosine", "smooth"])
def test_pulling_an_atom_through_a_crystal(smoothing, systems):  # docs/reliability.md, row 12
    """One pair after the other crosses the cutoff, among 2,000 that do not."""
    setup = SETUP.but(smoothing=smoothing)
    crystal = systems("silicon")
    model = linear_model(setup.density(species=[14]), [crystal])
    i, j, D, d = orbas.neighbor_list("ijDd", crystal, setup.radius)
    outer = np.argsort(-d)[:3]
    for pair in outer:
        direction = D[pair] / d[pair]
        frames = []
        for step in range(-10, 11):
            atoms = crystal.copy()
            atoms.positions[j[pair]] += (setup.radius - d[pair] + (step + 0.5) * PULL) * direction
            frames.append(atoms)
        assert i[pair] != j[pair]
        check_passage(model, frames, lambda forces, pair=pair, u=direction: forces[:, j[pair]] @ u)
