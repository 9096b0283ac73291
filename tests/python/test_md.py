"""Energy conservation, `orbas md`, `orbas driver` (docs/reliability.md, row 13: `examples/nve_drift.py` runs 50 ps)."""

from __future__ import annotations

import json
import signal
import threading
import uuid

import ase
import ase.io
import numpy as np
import orbas
import pytest
from ase import units
from ase.calculators.socketio import SocketIOCalculator
from ase.md.verlet import VelocityVerlet
from orbas.calculators import ShadowEnergy, energy_drift
from orbas.cli import main
from silicon_potential import crystal, silicon_potential, skewed

# --- the figure


def oscillation(n, slope):
    times = np.linspace(0.0, 2.0, n)
    return times, -4.0 + 1e-3 * (slope * times + 0.3 * np.sin(200.0 * times))


def test_a_slope_is_found_below_an_oscillation():
    times, energies = oscillation(2001, slope=-0.2)
    drift = energy_drift(times, energies)
    assert drift.slope == pytest.approx(-0.2, abs=3.0 * drift.resolution)
    assert drift.resolution < 0.05
    assert drift.fluctuation == pytest.approx(0.3 / np.sqrt(2.0), rel=1e-2)


def test_a_line_is_a_line():
    drift = energy_drift([0.0, 1.0, 2.0, 3.0], [5.0, 5.001, 5.002, 5.003])
    assert drift.slope == pytest.approx(1.0)
    assert drift.fluctuation < 1e-9
    assert energy_drift([0.0, 1.0, 2.0], [1.0, 1.0, 1.0]).resolution == 0.0


def test_the_resolution_is_the_spread_of_slopes():
    """Correlated noise, 400 runs: an error that took samples for independent would be three times too small."""
    rng, times = np.random.default_rng(0), np.linspace(0.0, 1.0, 1000)
    kernel = np.exp(-np.arange(60) / 8.0)
    runs = [np.convolve(rng.normal(size=1200), kernel, mode="valid")[:1000] for _ in range(400)]
    drifts = [energy_drift(times, run) for run in runs]
    spread = np.std([drift.slope for drift in drifts])
    assert np.mean([drift.resolution for drift in drifts]) == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize(("times", "energies"), [([0.0, 1.0], [1.0, 1.0]), ([0.0, 1.0, 2.0], [1.0, 1.0])])
def test_too_few_energies(times, energies):
    with pytest.raises(ValueError, match="three or more"):
        energy_drift(times, energies)


@pytest.mark.parametrize("energies", [[1.0, np.nan, 1.0], [1.0, np.inf, 1.0]])
def test_energies_that_are_none(energies):
    with pytest.raises(ValueError, match="finite"):
        energy_drift([0.0, 1.0, 2.0], energies)
    with pytest.raises(ValueError, match="times that differ"):
        energy_drift([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])


# --- conservation


def conserved(potential, kelvin, steps, timestep):
    """Run NVE of Si-64 and return the lines through its total energy and through its shadow energy."""
    atoms = crystal(rattle=0.0)
    momenta = np.sqrt(2.0 * units.kB * kelvin * atoms.get_masses()[:, None])
    atoms.set_momenta(momenta * np.random.default_rng(0).normal(size=(len(atoms), 3)))
    atoms.calc = potential.calculator()
    shadow, energies = ShadowEnergy(atoms, timestep * units.fs), []
    for _ in VelocityVerlet(atoms, timestep * units.fs).irun(steps):
        energies.append(atoms.get_total_energy() / len(atoms))
        shadow.record()
    times = 1e-3 * timestep * np.arange(steps + 1)
    return energy_drift(times, energies), energy_drift(times[1:-1], np.array(shadow.energies) / len(atoms))


@pytest.mark.parametrize("kelvin", [300, 1000])
def test_no_drift_in_a_picosecond(kelvin):
    """The rule is 1e-3 meV/atom/ps: in so short a run only the shadow energy can tell, not the total energy."""
    total, shadow = conserved(silicon_potential(), kelvin, steps=1000, timestep=1.0)
    assert abs(total.slope) <= max(3.0 * total.resolution, 1e-3)
    assert shadow.resolution < 5e-4
    assert abs(shadow.slope) <= 1e-3


def wrong_potential():
    """Forces 1 % too large."""

    class Wrong(type(silicon_potential())):
        def evaluate(self, frames, *, skin_lists=None):
            found = super().evaluate(frames, skin_lists=skin_lists)
            found.forces[0][:] *= 1.01
            return found

    wrong = silicon_potential()
    wrong.__class__ = Wrong
    return wrong


@pytest.mark.parametrize(("potential_of", "exact"), [(silicon_potential, True), (wrong_potential, False)])
def test_what_fluctuates_is_the_error_of_the_integrator(potential_of, exact):
    """Half a time step: a fourth of it in the total energy, a sixteenth in the shadow energy; not with wrong forces."""
    coarse, fine = (conserved(potential_of(), 1000, round(200 / timestep), timestep) for timestep in (2.0, 1.0))
    total, shadow = (a.fluctuation / b.fluctuation for a, b in zip(coarse, fine, strict=True))
    if exact:
        assert 3.5 < total < 4.5
        assert 12.0 < shadow < 20.0
    else:
        assert max(total, shadow) < 2.0


# --- orbas md


@pytest.fixture
def potential(monkeypatch):
    potential = silicon_potential()
    monkeypatch.setattr(orbas, "load", lambda path: potential, raising=False)
    return potential


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ase.io.write("start.xyz", crystal(), format="extxyz")
    ase.io.write("two.xyz", [skewed(), crystal()], format="extxyz")
    free = crystal()
    free.pbc = False
    ase.io.write("free.xyz", free, format="extxyz")
    return tmp_path


def run(capsys, *words):
    code = main([*map(str, words)])
    out = capsys.readouterr()
    return code, out.out, out.err


def md(capsys, *words):
    """Return the JSON document of a run that works."""
    code, out, err = run(capsys, "md", "m.orbas", *words, "--json")
    assert (code, err) == (0, ""), err
    return json.loads(out)


@pytest.mark.parametrize("ensemble", ["nve", "nvt", "npt"])
def test_ensembles(potential, start, capsys, ensemble):
    words = ["start.xyz", "--ensemble", ensemble, "--steps", 40, "--output", "t.xyz", "--every", 15]
    document = md(capsys, *words)
    assert document["command"] == "md"
    assert (document["steps"], document["interrupted"], document["written"]) == (40, False, 4)
    # What each integrator conserves is conserved; heat alone would be meV per atom in these 40 fs.
    assert document["drift"]["fluctuation"] < 0.05
    assert document["largest_extrapolation"] == 0.5
    frames = ase.io.read("t.xyz", ":")
    assert [frame.info["step"] for frame in frames] == [0, 15, 30, 40]
    last = frames[-1]
    assert last.get_potential_energy() == pytest.approx(potential.evaluate([last]).structures[0], abs=1e-4)
    assert last.get_velocities().any()
    assert (ensemble == "npt") == (abs(last.cell.volume - crystal().cell.volume) > 1e-6)
    first = frames[0]
    # The center of mass, at rest, is no degree of freedom; ase counts it.
    assert first.get_temperature() == pytest.approx(300.0 * 63 / 64)
    assert abs(first.get_momenta().sum(axis=0)).max() < 1e-4
    again = md(capsys, *words)
    assert again["mean_temperature"] == document["mean_temperature"]
    other = md(capsys, *words, "--seed", 1)
    assert other["mean_temperature"] != document["mean_temperature"]


def test_for_people(potential, start, capsys):
    potential.farthest = 2.5
    code, out, err = run(capsys, "md", "m.orbas", "start.xyz", "--steps", 20, "--output", "t.xyz")
    assert code == 0
    assert err.count("\n") == 1
    assert err.startswith("orbas: warning: Si64, evaluation 0, atom 63 (Si) is far from the training set")
    for text in ("NVE of Si64: 20 steps of 1 fs from 300 K", "steps/s", "mean temperature", "meV/atom/ps",
                 "largest extrapolation 2.50: not within", "wrote t.xyz: 3 structures"):  # fmt: skip
        assert text in out


def test_options_reach_the_calculator(potential, start, capsys):
    md(capsys, "start.xyz", "--steps", 9, "--check-every", 5)
    assert potential.n_looked == 2
    assert md(capsys, "start.xyz", "--steps", 1, "--check-every", 0)["largest_extrapolation"] is None
    assert potential.n_looked == 2
    potential.farthest = 3.0
    code, _, err = run(capsys, "md", "m.orbas", "start.xyz", "--on-extrapolation", "raise")
    assert code == 1
    assert "error: after step 0: Si64, evaluation 0, atom 63 (Si) is far" in err


@pytest.mark.parametrize("json_output", [False, True])
def test_an_interrupt_leaves_a_whole_file(potential, start, capsys, monkeypatch, json_output):
    evaluate = potential.evaluate

    def interrupting(frames, *, skin_lists=None):
        if potential.n_evaluated == 17:
            signal.raise_signal(signal.SIGINT)
        return evaluate(frames, skin_lists=skin_lists)

    monkeypatch.setattr(potential, "evaluate", interrupting)
    words = ["md", "m.orbas", "start.xyz", "--steps", 1000, "--output", "t.xyz", *(["--json"] if json_output else [])]
    code, out, err = run(capsys, *words)
    assert (code, err) == (130, "orbas: interrupted\n")
    assert [frame.info["step"] for frame in ase.io.read("t.xyz", ":")] == [0, 10, 17]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if json_output:
        document = json.loads(out)
        assert (document["steps"], document["interrupted"], document["written"]) == (17, True, 3)
    else:
        assert "17 steps in" in out


def test_a_second_interrupt_does_not_wait(potential, start, capsys, monkeypatch):
    def interrupting(frames, *, skin_lists=None):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError

    monkeypatch.setattr(potential, "evaluate", interrupting)
    code, _, err = run(capsys, "md", "m.orbas", "start.xyz", "--output", "t.xyz")
    assert (code, err) == (130, "orbas: interrupted\n")


def test_structures_are_chosen(potential, start, capsys):
    code, _, err = run(capsys, "md", "m.orbas", "two.xyz")
    assert (code, err) == (1, "orbas: error: two.xyz has 2 structures: choose one with --index 0, 1, ...\n")
    code, out, _ = run(capsys, "md", "m.orbas", "two.xyz", "--index", 0, "--steps", 1)
    assert code == 0
    assert "NVE of Si16" in out
    assert "drift" not in out  # two energies make no line
    code, _, err = run(capsys, "md", "m.orbas", "two.xyz", "--index", 2)
    assert (code, err) == (1, "orbas: error: two.xyz has no structure 2, but 2\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["missing.xyz"], 1, "missing.xyz: No such file or directory"),
        (["start.xyz", "--output", "no/t.xyz"], 1, "no/t.xyz: No such folder"),
        (["free.xyz", "--ensemble", "npt"], 1, "--ensemble npt needs a structure that is periodic in three"),
        (["start.xyz", "--ensemble", "nph"], 2, "invalid choice: 'nph'"),
        (["start.xyz", "--steps", "0"], 2, "--steps: must be an integer from 1 on, got '0'"),
        (["start.xyz", "--timestep", "-1"], 2, "--timestep: must be a number from 1e-12 to 1e12, got '-1'"),
        (["start.xyz", "--temperature", "nan"], 2, "--temperature: must be a number from 1e-12 to 1e12, got 'nan'"),
        (["start.xyz", "--skin", "x"], 2, "--skin: must be a number from 0 to 1e6 Å, got 'x'"),
        (["start.xyz", "--check-every", "-1"], 2, "--check-every: must be an integer from 0 on"),
    ],
    ids=str,
)
def test_errors_are_one_line(potential, start, capsys, words, code, message):
    found, _, err = run(capsys, "md", "m.orbas", *words)
    assert found == code
    assert err.startswith("orbas: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_an_unknown_species_is_named(potential, start, capsys):
    ase.io.write("co.xyz", ase.Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]]), format="extxyz")
    code, _, err = run(capsys, "md", "m.orbas", "co.xyz")
    assert code == 1
    assert "after step 0: CO: structure 0, atom 0: species 6 (C) is unknown" in err
    assert err.count("\n") == 1


# --- orbas driver


def test_driver(potential, start, capsys):
    name = f"orbas_{uuid.uuid4().hex}"
    atoms = crystal()
    energies = []

    def serve():
        for _ in range(3):
            atoms.rattle(0.01, seed=3)
            energies.append(atoms.get_potential_energy())
        server.close()

    with SocketIOCalculator(unixsocket=name, timeout=30) as server:
        atoms.calc = server
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        code, out, err = run(capsys, "driver", "m.orbas", "start.xyz", "--unix", name, "--json")
        thread.join(30)
    assert (code, err) == (0, "")
    assert json.loads(out)["answered"] == 3
    assert energies[-1] == pytest.approx(potential.evaluate([atoms]).structures[0], abs=1e-10)


def test_driver_without_a_server(potential, start, capsys):
    code, _, err = run(capsys, "driver", "m.orbas", "start.xyz", "--unix", "orbas_nobody")
    assert code == 1
    assert err.count("\n") == 1
