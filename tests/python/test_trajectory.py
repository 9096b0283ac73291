"""Runs and their files (F kinds 6, 7, 17; F2 kinds 27, 28): no label travels, whole frames only, runs that explode."""

from __future__ import annotations

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import orbas
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from orbas.cli import main
from orbas.files.trajectory import TrajectoryFile
from orbas.structures.geometry import without_labels
from silicon_potential import crystal, silicon_potential


@pytest.fixture
def potential(tmp_path, monkeypatch):
    potential = silicon_potential()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(orbas, "load", lambda path: potential, raising=False)
    ase.io.write("start.xyz", crystal(), format="extxyz")
    return potential


def md(capsys, *words, code=0):
    """Return document and stderr of a run."""
    found = main(["md", "m.orbas", "start.xyz", "--json", *map(str, words)])
    out, err = capsys.readouterr()
    assert found == code, err
    return (json.loads(out, parse_constant=pytest.fail) if out else None), err


# --- labels


def labeled(kind):
    """Return a start with labels of a kind, far from those of the potential."""
    atoms = crystal()
    n = len(atoms)
    wrong = {"energy": -999.0, "forces": np.full((n, 3), 9.0), "stress": np.full(6, 0.5)}
    if kind == "results":
        atoms.calc = SinglePointCalculator(atoms, **wrong)
    elif kind == "virial":
        atoms.info["virial"] = np.eye(3) * 7.0
    else:
        atoms.info |= {f"{kind}energy": -999.0, f"{kind}stress": np.eye(3) * 0.5, "config_type": "bulk", "free": 1.5}
        atoms.arrays[f"{kind}forces"] = wrong["forces"]
        atoms.arrays["charge_dft"] = np.arange(n) * 1.0
    return atoms


@pytest.mark.parametrize("kind", ["results", "virial", "REF_", "dft_", "orbas_", "my_"])
@pytest.mark.parametrize("words", [[], ["--ensemble", "npt"]], ids=str)
def test_no_label_of_the_start_is_in_a_trajectory(potential, capsys, kind, words):
    ase.io.write("start.xyz", labeled(kind), format="extxyz")
    md(capsys, "--steps", 4, "--every", 2, "--output", "t.xyz", *words)
    for step, frame in zip([0, 2, 4], ase.io.read("t.xyz", ":"), strict=True):
        assert set(frame.info) == {"step", "time_ps"}
        assert frame.info["step"] == step
        assert set(frame.arrays) <= {"numbers", "positions", "momenta"}
        right = potential.evaluate([frame])
        assert frame.get_potential_energy() == pytest.approx(right.structures[0], abs=1e-3)
        np.testing.assert_allclose(frame.get_forces(), right.forces[0], atol=1e-4)
        np.testing.assert_allclose(frame.get_stress(), right.stress([frame])[0], atol=1e-6)


def test_what_a_structure_hands_on():
    atoms = labeled("REF_")
    atoms.set_tags(range(64))
    atoms.set_masses(np.arange(1.0, 65.0))
    atoms.set_initial_charges(np.ones(64))
    copy = without_labels(atoms)
    assert copy.info == {}
    assert set(copy.arrays) == {"numbers", "positions", "tags", "masses"}
    assert np.array_equal(copy.get_masses(), atoms.get_masses())
    copy.positions += 1.0
    copy.cell[0, 0] += 1.0
    assert np.array_equal(atoms.positions, labeled("REF_").positions)
    assert np.array_equal(atoms.cell.array, labeled("REF_").cell.array)


# --- files


@pytest.mark.parametrize("name", ["t.xyz", "t.xyz.gz", "t.extxyz", "T.XYZ.GZ"])
def test_names_say_what_is_written(potential, capsys, name):
    md(capsys, "--steps", 20, "--output", name)
    content = Path(name).read_bytes()
    assert (content[:2] == b"\x1f\x8b") == name.lower().endswith(".gz")
    text = gzip.decompress(content) if name.lower().endswith(".gz") else content
    assert text.count(b"\n") == 3 * 66
    Path(name).rename(name.lower())
    assert len(orbas.read(name.lower())) == 3


@pytest.mark.parametrize("name", ["t.traj", "t.html", "t", "t.gz", "t.xyz.zip", "start.xyz", "m.orbas"])
def test_outputs_are_checked_before_the_run(potential, capsys, name):
    Path("m.orbas").touch()
    before = Path("start.xyz").read_bytes()
    md(capsys, "--output", name, code=1)
    assert potential.n_evaluated == 0
    assert Path("start.xyz").read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["m.orbas", "start.xyz"]


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_the_start_is_never_the_output(potential, capsys, link):
    link("start.xyz", "other.xyz")
    before = Path("start.xyz").read_bytes()
    _, err = md(capsys, "--output", "other.xyz", code=1)
    assert "input" in err
    assert Path("start.xyz").read_bytes() == before


def test_a_run_that_does_not_begin_leaves_an_older_output(potential, capsys, monkeypatch):
    Path("t.xyz").write_text("an older run")

    def fail(*_, **__):
        raise ValueError("no")

    monkeypatch.setattr(potential, "evaluate", fail)
    md(capsys, "--output", "t.xyz", code=1)
    assert Path("t.xyz").read_text() == "an older run"


def test_what_is_swallowed_stays_a_device(potential, capsys):
    document, _ = md(capsys, "--steps", 20, "--output", os.devnull)
    assert document["written"] == 3
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("name", ["t.xyz", "t.xyz.gz"])
@pytest.mark.parametrize("part", [0, 1, 100])
def test_a_full_disk_leaves_whole_structures(potential, capsys, monkeypatch, name, part):
    """Room for two structures and some bytes of the third."""
    left, write = [2], os.write

    def full(descriptor, content):
        if len(content) < 200:  # not of a trajectory
            return write(descriptor, content)
        if left[0] == 0:
            left[0] = -1
            return write(descriptor, content[:part]) if part else write_nothing()
        if left[0] < 0:
            write_nothing()
        left[0] -= 1
        return write(descriptor, content)

    def write_nothing():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    _, err = md(capsys, "--steps", 100, "--output", name, code=1)
    assert f"{name}: step 20: No space left on device; 2 whole structures are in the file" in err
    assert [frame.info["step"] for frame in orbas.read(name)] == [0, 10]


@pytest.mark.parametrize("older", ["", "an older run\n" * 100])
def test_a_disk_that_is_full_from_the_start(tmp_path, monkeypatch, older):
    path = tmp_path / "t.xyz"
    path.write_text(older)
    write = os.write
    calls = []

    def full(descriptor, content):
        calls.append(1)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content[:7])

    with TrajectoryFile(path) as file:
        with monkeypatch.context() as context:
            context.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space left on device") as caught:
                file.append("first frame\n")
        assert caught.value.filename == str(path)
        assert path.read_text() == older


def test_an_older_run_is_replaced(tmp_path):
    path = tmp_path / "t.xyz"
    path.write_text("an older run\n" * 100)
    with TrajectoryFile(path) as file:
        file.append("first frame\n")
        assert path.read_text() == "first frame\n"
        file.append("second frame\n")
    assert path.read_text() == "first frame\nsecond frame\n"


def test_an_interrupt_while_a_frame_is_written(tmp_path, monkeypatch):
    write, calls = os.write, [0]

    def interrupted(descriptor, content):
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return write(descriptor, content[: 5 if calls[0] == 2 else None])

    monkeypatch.setattr(os, "write", interrupted)
    path = tmp_path / "t.xyz"
    with TrajectoryFile(path) as file:
        file.append("first frame\n")
        with pytest.raises(KeyboardInterrupt):
            file.append("second frame\n")
        assert path.read_text() == "first frame\n"
        file.append("third frame\n")
    assert path.read_text() == "first frame\nthird frame\n"
    assert file.n_frames == 2


def test_two_runs_do_not_write_to_one_file(tmp_path):
    path = tmp_path / "t.xyz"
    with TrajectoryFile(path) as first, TrajectoryFile(path) as second:
        first.append("first\n")
        with pytest.raises(OSError, match="another run is writing"):
            second.append("second\n")
    assert path.read_text() == "first\n"


# --- runs that explode


def test_a_run_that_gets_hot_is_stopped(potential, capsys):
    """A time step far too long."""
    words = ["--timestep", 30, "--steps", 2000, "--on-extrapolation", "ignore", "--output", "t.xyz"]
    document, err = md(capsys, *words, code=1)
    last = ase.io.read("t.xyz", -1)
    assert document["steps"] == last.info["step"] < 2000
    assert document["stopped"].startswith(f"the run exploded at step {document['steps']}: its temperature of")
    assert "--max-temperature" in err
    assert err.count("\n") == 1
    assert last.get_temperature() > 3000.0
    assert np.isfinite(last.get_potential_energy())
    _, err = md(capsys, *words, "--max-temperature", "400", code=1)
    assert "above --max-temperature (400 K)" in err


def test_a_run_that_leaves_the_training_set_is_stopped(potential, capsys, monkeypatch):
    looks = []

    def farther(frames):
        looks.append(len(looks))
        return [np.full(len(frames[0]), 6.0 * looks[-1])]

    monkeypatch.setattr(potential, "extrapolation", farther)
    document, err = md(capsys, "--steps", 50, "--check-every", 5, "--output", "t.xyz", code=1)
    assert document["steps"] == 10
    assert [frame.info["step"] for frame in ase.io.read("t.xyz", ":")] == [0, 10]
    assert "the run exploded at step 10: its extrapolation of 12 is above --max-extrapolation (10)" in err
    for words in (["--max-extrapolation", "inf"], ["--on-extrapolation", "ignore"]):
        document, _ = md(capsys, "--steps", 30, "--check-every", 5, *words)
        assert (document["steps"], document["stopped"]) == (30, None)


def test_a_start_that_cannot_be_run(potential, capsys):
    potential.farthest = 40.0
    document, err = md(capsys, "--steps", 50, "--output", "t.xyz", code=1)
    assert "the start cannot be run: its extrapolation of 40 is above --max-extrapolation (10)" in err
    assert (document["steps"], document["written"]) == (0, 1)


def test_the_structure_that_was_refused_is_written(potential, capsys, monkeypatch):
    def farther(frames):
        return [np.full(len(frames[0]), 1.5 if potential.n_evaluated > 14 else 0.5)]

    monkeypatch.setattr(potential, "extrapolation", farther)
    _, err = md(capsys, "--steps", 50, "--check-every", 7, "--output", "t.xyz", "--on-extrapolation", "raise", code=1)
    assert "after step 13" in err
    frames = ase.io.read("t.xyz", ":")
    assert [frame.info["step"] for frame in frames] == [0, 10, 13, 14]
    assert frames[-1].calc is None


@pytest.mark.parametrize("what", ["energy", "forces"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_end_a_run(potential, capsys, monkeypatch, what, value):
    evaluate = potential.evaluate

    def broken(frames, *, skin_lists=None):
        found = evaluate(frames, skin_lists=skin_lists)
        if potential.n_evaluated == 6:
            (found.structures if what == "energy" else found.forces[0])[...] = value
        return found

    monkeypatch.setattr(potential, "evaluate", broken)
    _, err = md(capsys, "--steps", 50, "--every", 100, "--output", "t.xyz", code=1)
    assert "after step 4: Si64: the potential gives" in err
    assert err.count("\n") == 1
    assert [frame.info["step"] for frame in orbas.read("t.xyz")] == [0, 4]


# --- signals, in a process of its own


SCRIPT = """
import signal, sys
sys.path.insert(0, {tests!r})
import orbas
from orbas.cli import main
from silicon_potential import silicon_potential
potential = silicon_potential()
orbas.load = lambda path: potential
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
evaluate = potential.evaluate
def signaling(frames, *, skin_lists=None):
    if potential.n_evaluated == 17:
        signal.raise_signal({number})
    return evaluate(frames, skin_lists=skin_lists)
potential.evaluate = signaling
code = main(["md", "m.orbas", "start.xyz", "--steps", "30", "--output", "t.xyz", "--json"])
after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
assert before == after, (before, after)
sys.exit(code)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [False, True])
def test_signals(potential, number, ignored):
    """What is ignored stays so; else a step ends, the file is whole, and the signal has its usual effect."""
    script = SCRIPT.format(tests=str(Path(__file__).parent), number=int(number))
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN) if ignored else None,
        check=False,
    )
    document = json.loads(done.stdout)
    steps = [frame.info["step"] for frame in ase.io.read("t.xyz", ":")]
    if ignored:
        assert (done.returncode, steps) == (0, [0, 10, 20, 30]), done.stderr
    else:
        assert done.returncode == (130 if number == signal.SIGINT else -number), done.stderr
        assert steps == [0, 10, 17]
    assert document["interrupted"] is not ignored
