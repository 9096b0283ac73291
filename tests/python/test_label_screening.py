"""Labels that are none: placeholders, zeros, stresses without a volume, forces of fixed atoms."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.constraints import FixAtoms, FixCartesian, FixedLine, FixedPlane
from labeled_copper import copper, fit, labeled, said, topics
from orbas.fit.findings import Topic
from orbas.fit.screening import asymmetry, fixed_components, screened
from orbas.structures.labels import collect_labels

KEYS = {"forces_key": "REF_forces", "stress_key": "REF_stress"}


def judged(frames):
    labels = collect_labels(frames, **KEYS, partial=True)
    return screened(frames, labels)


@pytest.mark.parametrize("value", [-100.0, 100.0, 999.0, -999.0, 9999.0, 1e5, -1e6, 1e10, 99999.0, 0.0])
def test_placeholders_for_energies_are_not_known(value):
    frames = copper(20)
    for atoms in frames:
        atoms.info["REF_energy"] -= 40.0 * len(atoms)
    frames[7].info["REF_energy"] = value
    labels, findings = judged(frames)
    assert np.flatnonzero(np.isnan(labels.energies)).tolist() == [7]
    (finding,) = findings
    assert (finding.topic, finding.structures) == (Topic.PLACEHOLDER, (7,))


@pytest.mark.parametrize("value", [-100.0, 999.0, 1e6, 1000.0, -9999.0])
def test_placeholders_for_forces_and_stresses_are_not_known(value):
    frames = copper(20)
    frames[3].arrays["REF_forces"][2] = value
    frames[4].info["REF_stress"] = np.full(6, value)
    labels, findings = judged(frames)
    assert np.isnan(labels.forces[3]).any(axis=1).tolist() == [False, False, True, False]
    assert np.flatnonzero(np.isnan(labels.stress).any(axis=1)).tolist() == [4]
    assert [finding.structures for finding in findings] == [(3,), (4,)]


def test_a_round_energy_among_its_like_is_a_label():
    frames = copper(20)
    shift = 100.0 - frames[7].info["REF_energy"]
    for atoms in frames:
        atoms.info["REF_energy"] += shift
    assert frames[7].info["REF_energy"] == pytest.approx(100.0)
    frames[7].info["REF_energy"] = 100.0
    assert judged(frames)[1] == []


@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 1)])
def test_no_stress_without_three_periodic_directions(pbc, caplog):
    frames = copper(24)
    for atoms in frames[:6]:
        atoms.pbc = pbc
    model = fit(frames)
    found = [finding for finding in model.findings_ if finding.topic is Topic.NO_VOLUME]
    assert [finding.structures for finding in found] == [tuple(range(6))]
    assert "6 of 24 stresses are left out" in said(caplog)
    score = model.score(frames, **KEYS)
    assert (score.n_energies, score.n_forces, score.n_stress) == (24, 24, 18)


@pytest.mark.parametrize("share", [1, 5])
def test_zero_stresses_and_forces_are_not_known(share, caplog):
    frames = copper(30)
    best = [atoms.copy() for atoms in frames]
    for atoms, other in zip(frames[::share], best[::share], strict=True):
        atoms.info["REF_stress"] = np.zeros(6)
        atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
        del other.info["REF_stress"], other.arrays["REF_forces"]
    labels, findings = judged(frames)
    assert all(np.isnan(own).all() for own in labels.forces[::share])
    assert np.isnan(labels.stress[::share]).all()
    assert {finding.topic for finding in findings} == {Topic.ZEROS}
    model = fit(frames)
    assert "exactly zero" in said(caplog)
    assert np.array_equal(model.weights_, fit(best, kinds="E" if share == 1 else "EFS").weights_) or share == 1


@pytest.mark.parametrize("structure", ["fcc", "bcc", "diamond", "hcp", "rocksalt", "atom"])
def test_zero_forces_by_symmetry_are_labels(structure):
    atoms = {
        "fcc": lambda: bulk("Cu", "fcc", a=3.6, cubic=True),
        "bcc": lambda: bulk("Fe", "bcc", a=2.9) * (2, 1, 1),
        "diamond": lambda: bulk("Si", "diamond", a=5.4, cubic=True),
        "hcp": lambda: bulk("Mg", "hcp", a=3.2, c=5.2),
        "rocksalt": lambda: bulk("NaCl", "rocksalt", a=5.6),
        "atom": lambda: Atoms("H", cell=[9, 9, 9], pbc=True),
    }[structure]()
    assert asymmetry(atoms).max() < 1e-6
    atoms.info["REF_energy"], atoms.arrays["REF_forces"] = -1.0, np.zeros((len(atoms), 3))
    labels = collect_labels([atoms], forces_key="REF_forces")
    assert screened([atoms], labels)[1] == []


def test_asymmetry_sees_what_a_force_needs():
    assert asymmetry(molecule("H2O")).min() > 0.1
    assert asymmetry(labeled(0, rattle=0.02)).min() > 1e-3
    assert asymmetry(Atoms()).shape == (0,)


@pytest.mark.parametrize("scale", [1e-4, 1.0])
def test_small_forces_are_labels(scale):
    frames = copper(10)
    for atoms in frames:
        atoms.arrays["REF_forces"] *= scale
    assert judged(frames)[1] == []


def slab():
    atoms = fcc111("Cu", (1, 1, 4), a=3.61, vacuum=6)
    atoms.rattle(0.1, seed=1)
    return atoms


@pytest.mark.parametrize(
    ("constraint", "fixed"),
    [
        (FixAtoms([0, 1]), {0: (0, 1, 2), 1: (0, 1, 2)}),
        (FixAtoms(mask=[True, False, False, False]), {0: (0, 1, 2)}),
        (FixCartesian([0, 2], mask=(False, False, True)), {0: (2,), 2: (2,)}),
        (FixCartesian(1), {1: (0, 1, 2)}),
    ],
)
def test_zeros_of_fixed_atoms_are_not_known(constraint, fixed, caplog):
    atoms = slab()
    atoms.set_constraint(constraint)
    mask = fixed_components(atoms)
    assert {k: tuple(np.flatnonzero(row)) for k, row in enumerate(mask) if row.any()} == fixed
    forces = np.random.default_rng(0).normal(size=(len(atoms), 3))
    atoms.info["REF_energy"] = -3.0
    atoms.arrays["REF_forces"] = np.where(mask, 0.0, forces)
    labels, (finding,) = screened([atoms], collect_labels([atoms], forces_key="REF_forces"))
    assert np.array_equal(np.isnan(labels.forces[0]), mask)
    assert finding.topic is Topic.FIXED_ATOMS
    # Forces that were not zeroed are labels.
    atoms.arrays["REF_forces"] = forces
    assert screened([atoms], collect_labels([atoms], forces_key="REF_forces"))[1] == []


@pytest.mark.parametrize("constraint", [FixedPlane(0, (0, 0, 1)), FixedLine(0, (1, 0, 0))])
def test_zeros_along_planes_and_lines_are_not_known(constraint):
    atoms = slab()
    atoms.set_constraint(constraint)
    atoms.info["REF_energy"], forces = -3.0, np.ones((len(atoms), 3))
    constraint.adjust_forces(atoms, forces)
    atoms.arrays["REF_forces"] = forces
    labels, _ = screened([atoms], collect_labels([atoms], forces_key="REF_forces"))
    assert np.array_equal(np.isnan(labels.forces[0]), forces == 0)


@pytest.mark.parametrize(("name", "moves"), [("move_mask", True), ("fixed", False)])
@pytest.mark.parametrize("width", [1, 3])
def test_columns_that_mark_fixed_atoms(name, moves, width):
    atoms = slab()
    mask = np.zeros((len(atoms), width), dtype=bool)
    mask[:2] = True
    atoms.arrays[name] = (~mask if moves else mask).squeeze()
    assert fixed_components(atoms).sum(axis=1).tolist() == [3, 3, 0, 0]


def test_undamaged_sets_have_no_findings():
    assert judged(copper(40))[1] == []
    assert topics(fit(copper(40))) == set()


def test_a_crystal_of_one_atom_is_no_isolated_atom():
    """Its energy is judged like those of others."""
    frames = copper(30)
    for atoms in frames:
        atoms.info["REF_energy"] -= 4.0 * len(atoms)
    primitive = bulk("Cu")
    primitive.info["REF_energy"] = -100.0
    labels, findings = judged([*frames, primitive])
    assert np.flatnonzero(np.isnan(labels.energies)).tolist() == [30]
    assert [finding.topic for finding in findings] == [Topic.PLACEHOLDER]
    primitive.pbc = False
    assert judged([*frames, primitive])[1] == []


def sizes():
    """Cells of one to four atoms with energies of -5 eV per atom and some scatter."""
    frames = []
    for k, scatter in enumerate(np.random.default_rng(0).normal(0.0, 0.05, size=40)):
        atoms = bulk("Cu").repeat((1 + k % 4, 1, 1))
        atoms.info["REF_energy"] = (-5.0 + scatter) * len(atoms)
        frames.append(atoms)
    return frames


def energies_judged(frames):
    return screened(frames, collect_labels(frames, partial=True))


@pytest.mark.parametrize(
    ("factor", "name"),
    [(1 / 27.2114, "Hartree"), (1 / 13.6057, "Rydberg"), (23.0605, "kcal/mol"), (96.485, "kJ/mol"), (1000.0, "meV"),
     (-1.0, "minus eV")],
)  # fmt: skip
def test_energies_of_some_structures_in_another_unit(factor, name):
    frames = sizes()
    for atoms in frames[::5]:
        atoms.info["REF_energy"] *= factor
    labels, (finding,) = energies_judged(frames)
    assert np.flatnonzero(np.isnan(labels.energies)).tolist() == list(range(0, 40, 5))
    assert finding.topic is Topic.SCALE
    assert f"energies of 8 structures look as if in {name} in place of eV" in finding.message


def test_energies_per_atom():
    frames = sizes()
    for atoms in frames:
        atoms.info["REF_energy"] /= len(atoms)
    _, (finding,) = energies_judged(frames)
    assert "energies of 40 structures look as if per atom" in finding.message


@pytest.mark.parametrize("shift", [0.0, 5.0, -300.0])
def test_energies_of_other_zeros_and_high_energies_are_in_ev(shift):
    frames = sizes()
    for k, atoms in enumerate(frames):
        atoms.info["REF_energy"] += shift * len(atoms) + (0.9 * k if k % 6 == 0 else 0.0)
    labels, findings = energies_judged(frames)
    assert not findings
    assert np.isfinite(labels.energies).all()


def test_two_clusters_of_energies_are_not_per_atom():
    """Of cells of nearly one size: the middle of their energies is in either."""
    frames = []
    for k in range(60):
        atoms = bulk("Cu").repeat((1 if k % 12 == 0 else 2, 1, 1))
        atoms.info["REF_energy"] = (-2.4 - 1.1 * (k % 2)) * len(atoms) - 0.01 * k
        frames.append(atoms)
    assert energies_judged(frames)[1] == []
