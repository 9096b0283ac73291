"""A small training from the command line: its files, and how to run it."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import orbas
from orbas.cli import main

CONFIG = """
[cutoff]
radius = 4.0
[density]
density_width = 0.5
max_angular = 2
[basis]
n_radial = 6
[optimal]
n_optimal = 3
[data]
train = ["a.xyz", "b.xyz"]
test = "test.xyz"
"""


def silicon():
    """Thirty small structures of some kinds, ten of which are for tests."""
    return [atoms for atoms in orbas.datasets.silicon() if 2 <= len(atoms) <= 8][:30]


def write_inputs(folder):
    """Three files of structures and a file of settings."""
    frames = silicon()
    for name, part in (("a.xyz", frames[:8]), ("b.xyz", frames[8:20]), ("test.xyz", frames[20:])):
        ase.io.write(folder / name, part, format="extxyz")
    (folder / "run.toml").write_text(CONFIG)


#: What is said of so few structures of so many phases.
EXPECTED = (
    "orbas: warning: the chosen alpha, 1, is the largest",
    "orbas: warning: the best settings are taken, though",
    "orbas: warning: n_invariant_pairs = 40 for order 2: there are",
    "orbas: warning: 8 of 18 structures are training structures",
)


def run(capsys, *words):
    """Run a command in this process: exit code, stdout, and of stderr what is not expected."""
    code = main([str(word) for word in words])
    out = capsys.readouterr()
    return code, out.out, "".join(line for line in out.err.splitlines(True) if not line.startswith(EXPECTED))


def train(capsys, *words, output="m.orbas"):
    """Return the JSON document of a training that works."""
    code, out, err = run(capsys, "train", "run.toml", "--output", output, "--json", *words)
    assert (code, err) == (0, ""), err
    return json.loads(out)


def fails(capsys, code, *words):
    """Run a command that must fail with one line on stderr; return the line."""
    found, _, err = run(capsys, *words)
    assert found == code, err
    assert err.startswith("orbas: error: ")
    assert err.count("\n") == 1
    return err


def fails_to_train(capsys, code, *words):
    err = fails(capsys, code, "train", "run.toml", "--output", "m.orbas", *words)
    assert not Path("m.orbas").exists()
    return err
