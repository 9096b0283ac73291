"""Dynamics count what moves (F2 kind 26): starts, thermostats and temperatures; masses and velocities of files."""

from __future__ import annotations

import json

import ase
import ase.build
import ase.io
import numpy as np
import orbas
import pytest
from ase import units
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms, FixBondLength, FixCartesian, FixCom
from orbas.calculators import dynamics
from orbas.cli import main
from orbas.structures.motion import ASE_VELOCITY_NAMES, MASS_NAMES, VELOCITY_NAMES
from silicon_potential import crystal, silicon_potential


class Springs(Calculator):
    """Every pair at its distance of the start."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, atoms):
        super().__init__()
        self.lengths = atoms.get_all_distances()

    def calculate(self, atoms=None, properties=(), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        vectors = self.atoms.positions[:, None] - self.atoms.positions
        distances = np.linalg.norm(vectors, axis=2)
        stretched = distances - self.lengths
        pulls = -stretched / (distances + np.eye(len(distances)))
        self.results = {"energy": 0.25 * np.sum(stretched**2), "forces": (pulls[..., None] * vectors).sum(axis=1)}


def few(n=3, constraint=None):
    positions = [[0, 0, 0], [2.3, 0, 0], [1.15, 2.0, 0], [1.1, 0.7, 2.0]]
    atoms = ase.Atoms(f"Si{n}", positions=positions[:n], constraint=constraint)
    atoms.set_masses([28.0, 1.0, 10.0, 16.0][:n])
    return atoms


#: Constraints of four atoms, and the degrees of freedom that are left of twelve.
CONSTRAINTS = {
    "none": (None, 9),
    "one atom": (FixAtoms([0]), 9),
    "two atoms": (FixAtoms([0, 3]), 6),
    "all atoms": (FixAtoms([0, 1, 2, 3]), 0),
    "one direction": (FixCartesian(1, mask=(True, False, False)), 11),
    "the center of mass": (FixCom(), 9),
    "a bond": (FixBondLength(0, 1), 8),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_degrees_of_freedom(name):
    constraint, degrees = CONSTRAINTS[name]
    assert dynamics.degrees_of_freedom(few(4, constraint)) == degrees


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("n", [1, 2, 4])
def test_first_velocities_have_the_temperature(name, n):
    constraint, degrees = CONSTRAINTS[name]
    if n < 4 and constraint is not None:
        constraint, degrees = None, 0
    degrees = degrees if n == 4 else 3 * n - 3
    atoms = few(n, constraint)
    dynamics.draw_velocities(atoms, 300.0, np.random.default_rng(0))
    assert atoms.get_kinetic_energy() == pytest.approx(0.5 * degrees * units.kB * 300.0)
    if degrees:
        assert dynamics.temperature(atoms) == pytest.approx(300.0)
    else:
        assert np.isnan(dynamics.temperature(atoms))
    if constraint is None:
        assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-12


def test_a_moving_center_of_mass_is_no_heat():
    atoms = few()
    atoms.set_velocities(np.full((3, 3), 0.01))
    assert dynamics.temperature(atoms) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("n", "constraint"),
    [(2, None), (3, None), (4, None), (4, FixAtoms([0])), (4, FixAtoms([0, 1, 2])), (3, FixCom())],
    ids=["two", "three", "four", "one of four fixed", "three of four fixed", "center fixed"],
)
def test_the_thermostat_of_nvt(n, constraint):
    atoms = few(n, constraint)
    atoms.calc = Springs(atoms)
    atoms.positions += 0.0
    rng = np.random.default_rng(1)
    dynamics.draw_velocities(atoms, 300.0, rng)
    integrator, conserved = dynamics.nvt(atoms, 3.0, 300.0, rng)
    before = conserved()
    kelvins = [dynamics.temperature(atoms) for _ in integrator.irun(2500)]
    degrees = dynamics.degrees_of_freedom(atoms)
    # The error of a mean of 80 independent values; ase's count would be off by 1.33 to 2 for free atoms.
    assert np.mean(kelvins) == pytest.approx(300.0, rel=3.0 * np.sqrt(2.0 / degrees / 80.0))
    assert conserved() == pytest.approx(before, abs=1e-2)


def test_the_thermostat_of_npt():
    """A chain of Nose and Hoover has the mean kinetic energy as the mean of its own equation of motion."""
    atoms = ase.build.bulk("Si")
    atoms.rattle(0.02, seed=1)
    atoms.calc = silicon_potential().calculator(check_every=None)
    dynamics.draw_velocities(atoms, 300.0, np.random.default_rng(0))
    integrator, conserved = dynamics.npt(atoms, 2.0, 300.0, 0.0)
    before = conserved()
    kelvins = [dynamics.temperature(atoms) for _ in integrator.irun(1500)]
    assert np.mean(kelvins) == pytest.approx(300.0, rel=0.15)  # 600 K with the count of ase
    assert conserved() == pytest.approx(before, abs=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda atoms: atoms.set_constraint(FixAtoms(range(4))), "nvt needs something that can move"),
        (lambda atoms: atoms.set_momenta(np.zeros((4, 3))), "nvt scales velocities, and all are zero"),
    ],
)
def test_thermostats_that_have_nothing_to_do(change, message):
    atoms = few(4)
    dynamics.draw_velocities(atoms, 300.0, np.random.default_rng(0))
    change(atoms)
    with pytest.raises(ValueError, match=message):
        dynamics.nvt(atoms, 1.0, 300.0, np.random.default_rng(0))


def test_npt_holds_nothing_fixed():
    atoms = crystal()
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(ValueError, match="npt cannot hold atoms fixed"):
        dynamics.npt(atoms, 1.0, 300.0, 0.0)


@pytest.mark.parametrize("mass", [0.0, -1.0, np.nan, np.inf])
def test_masses_that_are_none(mass):
    atoms = few()
    atoms.arrays["masses"] = np.array([28.0, mass, 28.0])
    with pytest.raises(ValueError, match=r"atom 1 \(Si\) has the mass"):
        dynamics.check_dynamics(atoms)


# --- orbas md: what it starts from


@pytest.fixture
def folder(tmp_path, monkeypatch):
    potential = silicon_potential()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(orbas, "load", lambda path: potential, raising=False)
    return tmp_path


def md(capsys, atoms, *words):
    """Run from a structure; return the document and the trajectory."""
    ase.io.write("start.xyz", atoms, format="extxyz")
    code = main(["md", "m.orbas", "start.xyz", "--steps", "4", "--every", "2", "--output", "t.xyz", "--json", *words])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out, parse_constant=pytest.fail), ase.io.read("t.xyz", ":"), err


def moving():
    atoms = crystal()
    atoms.set_momenta(np.random.default_rng(0).normal(size=(64, 3)))
    return atoms


@pytest.mark.parametrize("ensemble", ["nve", "nvt", "npt"])
@pytest.mark.parametrize(
    "words", [[], ["--temperature", "500"], ["--temperature", "500", "--keep-velocities"]], ids=str
)
def test_velocities_are_kept_unless_a_temperature_is_asked_for(folder, capsys, ensemble, words):
    start = moving()
    _, frames, _ = md(capsys, start, "--ensemble", ensemble, *words)
    momenta = start.get_momenta()
    if ensemble != "nve":  # thermostats act on what is relative to the center of mass
        momenta -= momenta.mean(axis=0)
    drawn = words == ["--temperature", "500"]
    assert np.allclose(frames[0].get_momenta(), momenta, atol=1e-6) != drawn
    if drawn:
        assert dynamics.temperature(frames[0]) == pytest.approx(500.0, rel=1e-5)


def test_a_run_goes_on_from_its_last_structure(folder, capsys):
    _, frames, _ = md(capsys, crystal(), "--seed", "3")
    _, more, _ = md(capsys, frames[1])
    np.testing.assert_allclose(more[1].positions, frames[2].positions, rtol=0, atol=1e-6)
    np.testing.assert_allclose(more[1].get_momenta(), frames[2].get_momenta(), rtol=0, atol=1e-5)


def test_fixed_atoms_stay_and_are_written(folder, capsys):
    start = crystal()
    start.set_constraint(FixAtoms(range(60)))
    document, frames, _ = md(capsys, start, "--ensemble", "nvt", "--temperature", "300")
    assert all(frame.constraints for frame in frames)
    assert np.array_equal(frames[-1].positions[:60], frames[0].positions[:60])
    assert dynamics.temperature(frames[0]) == pytest.approx(300.0, rel=1e-5)
    assert document["mean_temperature"] > 0.0


def test_what_is_fixed_does_not_count_as_moving(folder, capsys):
    """Columns of a file may give fixed atoms a velocity."""
    start = moving()
    still = start.get_momenta()
    start.set_constraint(FixAtoms(range(32)))
    still[:32] = 0.0
    document, frames, _ = md(capsys, start)
    np.testing.assert_allclose(frames[0].get_momenta(), still, atol=1e-6)
    expected = np.sum(still**2 / start.get_masses()[:, None]) / (96 * units.kB)
    assert document["start_temperature"] == pytest.approx(expected, rel=1e-5)


def test_what_is_done_to_velocities_is_said(folder, capsys):
    ase.io.write("start.xyz", moving(), format="extxyz")
    assert main(["md", "m.orbas", "start.xyz", "--steps", "1", "--ensemble", "nvt"]) == 0
    assert "velocities of start.xyz, the center of mass put at rest, kept at 300 K" in capsys.readouterr().out
    assert main(["md", "m.orbas", "start.xyz", "--steps", "1", "--temperature", "50"]) == 0
    assert "from 50 K, new velocities: --keep-velocities takes those of start.xyz" in capsys.readouterr().out


def test_what_cannot_move_has_no_temperature(folder, capsys):
    start = crystal()
    start.set_constraint(FixAtoms(range(64)))
    document, frames, _ = md(capsys, start)
    assert document["mean_temperature"] is None
    assert np.array_equal(frames[-1].positions, frames[0].positions)


def test_masses_of_the_file_are_used(folder, capsys):
    start = crystal()
    start.set_masses(np.linspace(10.0, 300.0, 64))
    _, frames, _ = md(capsys, start)
    for frame in frames:
        np.testing.assert_allclose(frame.get_masses(), start.get_masses(), rtol=1e-6)


@pytest.mark.parametrize("name", MASS_NAMES)
def test_masses_under_every_name(folder, capsys, name):
    start = crystal()
    masses = np.linspace(10.0, 300.0, 64)
    start.set_array(name, masses)
    _, frames, _ = md(capsys, start)
    np.testing.assert_allclose(frames[-1].get_masses(), masses, rtol=1e-6)


@pytest.mark.parametrize("name", [*ASE_VELOCITY_NAMES, *VELOCITY_NAMES])
def test_velocities_under_every_name(folder, capsys, name):
    start = crystal()
    velocities = 1e-3 * np.random.default_rng(0).normal(size=(64, 3))
    start.set_array(name, velocities)
    _, frames, _ = md(capsys, start)
    in_ase = velocities / (1.0 if name in ASE_VELOCITY_NAMES else units.fs)
    np.testing.assert_allclose(frames[0].get_velocities(), in_ase, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "label",
    [
        {"forces": np.full((64, 3), np.nan)}, {"REF_forces": np.ones((64, 3))}, {"energy": np.nan},
        {"stress": np.ones(5)}, {"virial": np.eye(3) * np.nan}, {"energy": "none"}, {"REF_stress": np.ones((3, 3))},
    ],
    ids=str,
)  # fmt: skip
def test_labels_of_the_start_are_not_looked_at(folder, capsys, label):
    start = crystal()
    for name, value in label.items():
        where = start.arrays if np.shape(value) == (64, 3) else start.info
        where[name] = value
    document, frames, err = md(capsys, start)
    assert document["steps"] == 4
    assert err == ""
    assert set(frames[-1].info) == {"step", "time_ps"}
