"""The README tells the truth: its programs run, its numbers come out, its messages and links exist; examples run."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import ase
import ase.io
import numpy as np
import orbas
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    "README.md",
    "ARCHITECTURE.md",
    "CONVENTIONS.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/pitfalls.md",
    "docs/adding.md",
    "docs/paper.md",
    "docs/reliability.md",
]
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
#: Run by test_cli.py already.
NOT_HERE = "orbas demo"


def fenced(language, text=README):
    """Contents of all blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def environment():
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "NO_COLOR": "1"}


def run(command, folder):
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )


def agree(printed, promised):
    """Same text, numbers within 2 %: other processors round otherwise, and a fit amplifies it."""
    found, expected = NUMBER.findall(printed), NUMBER.findall(promised)
    return (
        NUMBER.sub("#", printed) == NUMBER.sub("#", promised)
        and len(found) == len(expected)
        and all(math.isclose(float(a), float(b), rel_tol=0.02) for a, b in zip(found, expected, strict=True))
    )


def test_first_lines_are_the_two_commands():
    first = README.split("```")[1]
    assert re.findall(r"^make (\w+)", first, flags=re.MULTILINE) == ["demo", "test"]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {"demo", "test"} <= set(targets)


def test_python_blocks_print_what_their_comments_say():
    """The blocks are one program, top to bottom; `print(...)  # this` prints this."""
    blocks = fenced("python")
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")
    program = "\n".join(blocks)
    promised = re.findall(r"^print\(.*\)  # (.+)$", program, flags=re.MULTILINE)
    assert promised
    assert len(promised) == len(re.findall(r"^print\(", program, flags=re.MULTILINE))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
    lines = output.getvalue().splitlines()
    assert len(lines) == len(promised)
    for line, promise in zip(lines, promised, strict=True):
        assert agree(line, promise), f"prints {line!r}, the README says {promise!r}"


@pytest.fixture
def folder(tmp_path):
    """Hold what the README says: nothing but its settings, under the name it gives them."""
    (settings,) = fenced("toml")
    assert "an empty folder, with this as `qm9.toml`" in README
    (tmp_path / "qm9.toml").write_text(settings, encoding="utf-8")
    return tmp_path


def test_console_commands_run(folder):
    commands = [line[2:] for block in fenced("console") for line in block.splitlines() if line.startswith("$ ")]
    assert commands
    for command in commands:
        if command.startswith(NOT_HERE):
            continue
        program, *arguments = shlex.split(command)
        assert program == "orbas", command
        done = run([sys.executable, "-m", "orbas", *arguments], folder)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "--output" not in arguments or (folder / arguments[arguments.index("--output") + 1]).exists()
    assert (folder / "functions.png").exists()


def test_json_and_exit_codes(folder):
    orbas_ = [sys.executable, "-m", "orbas"]
    assert run([*orbas_, "data", "qm9", "--n", "30", "--output", "molecules.xyz"], folder).returncode == 0
    fit = ["basis", "fit", "molecules.xyz", "--config", "qm9.toml", "--output", "basis.orbas"]
    done = run([*orbas_, *fit, "--json"], folder)
    assert done.returncode == 0
    assert json.loads(done.stdout)["command"] == "basis fit"
    assert run([*orbas_, *fit, "--optimal.mixing", "mixed"], folder).returncode == 2
    assert run([*orbas_, *fit[:2], "missing.xyz", *fit[3:]], folder).returncode == 1


def _density():
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(3.0), density_width=0.3, max_angular=1, basis=orbas.bases.GTO(2), species=(1, 6, 7, 8, 9)
    )


def _transform(atoms):
    return lambda: _density().transform([atoms])


def _unlabeled():
    frames = [ase.Atoms("H2", positions=[[0, 0, 0], [0, 0, d]], info={"U0": -1.0}) for d in (0.7, 0.8)]
    orbas.models.LinearPotential(orbas.PowerSpectrum(_density()), regularization=orbas.models.Fixed(1e-6)).fit(frames)


ERRORS = {
    "a NaN position": _transform(ase.Atoms("CO", positions=[[0, 0, 0], [0, 0, math.nan]])),
    "two atoms on one point": _transform(ase.Atoms("CO", positions=[[0, 0, 0], [0, 0, 0]])),
    "`pbc` without a cell": _transform(ase.Atoms("H", pbc=True)),
    "an element not seen in the fit": _transform(ase.Atoms("Si")),
    "labels under another name": _unlabeled,
    "an unknown option": lambda: orbas.OptimalBasis(_density(), 2, mixing="mixed").fit([ase.Atoms("H")]),
}


def test_errors_look_like_that():
    rows = dict(re.findall(r"^\| (.+?) \| `(\w+Error: .+?)` \|$", README, flags=re.MULTILINE))
    assert rows.keys() == ERRORS.keys()
    for name, call in ERRORS.items():
        with pytest.raises(ValueError, match=r".") as error:
            call()
        assert f"{type(error.value).__name__}: {error.value}" == rows[name]


def test_names_in_the_table_of_use_exist():
    for path in re.findall(r"`orbas\.([A-Za-z_.]+)`", README):
        target = orbas
        for name in path.split("."):
            target = getattr(target, name)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", text)
    for link in links:
        if not link.startswith("http"):
            assert ((ROOT / name).parent / link).exists(), link


def _rows():
    """The files that test every row of docs/reliability.md; "the same" are those of the row before."""
    rows, files = {}, []
    for line in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines():
        found = re.match(r"\| (\d+) \|.*\|([^|]*)\|$", line)
        if found:
            files = (files if "the same" in found[2] else []) + re.findall(r"`(test_\w+\.py)`", found[2])
            rows[int(found[1])] = files
    return rows


def test_rows_of_reliability_are_tested_where_they_say():
    rows, folder = _rows(), Path(__file__).parent
    assert {name for files in rows.values() for name in files} <= {path.name for path in folder.iterdir()}
    assert len(rows) > 40
    for path in folder.glob("test_*.py"):
        for cited in re.findall(r"docs/reliability\.md, rows? (\d+)", path.read_text(encoding="utf-8")):
            assert path.name in rows[int(cited)], f"{path.name} cites row {cited}, which does not name it"


def test_files_named_by_the_architecture_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    named = set(re.findall(r"`((?:src|bindings|python|tests|benches|scripts|examples|docs)/[\w./]*)`", text))
    assert len(named) > 20
    missing = [path for path in sorted(named) if not (ROOT / path).exists()]
    assert not missing


#: Those that take minutes run on less.
EXAMPLE_ARGUMENTS = {"qm9_nice": ["--quick"], "nve_drift": ["--quick"], "damaged_labels": ["--quick"]}
#: Needs files that do not come with the package.
NEEDS_DATA = "potentials"
EXAMPLES = [path for path in sorted((ROOT / "examples").glob("*.py")) if path.stem != NEEDS_DATA]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path, tmp_path):
    done = run([sys.executable, str(path), *EXAMPLE_ARGUMENTS.get(path.stem, [])], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not list(tmp_path.iterdir()), "an example writes files without being asked"


def test_potentials_beside_published_figures_run_on_the_shipped_silicon(tmp_path):
    """Its data do not come with the package; the shipped structures stand in for them."""
    frames = [frame for frame in orbas.datasets.silicon() if len(frame) <= 16]
    for name, part in (("si_zuo_train", frames[::2]), ("si_zuo_test", frames[1::4]), ("si_vasp_pbe", frames[::2])):
        for frame in part:
            frame.info["REF_stress"] = np.asarray(frame.info["REF_stress"])
        with gzip.open(tmp_path / f"{name}.xyz.gz", "wt") as file:
            ase.io.write(file, part, format="extxyz")
    for command in (["zuo", "si"], ["elastic"]):
        script = str(ROOT / "examples" / f"{NEEDS_DATA}.py")
        done = run([sys.executable, script, "--data", str(tmp_path), "--quick", *command], tmp_path)
        assert done.returncode == 0, done.stderr
        assert "| orbas" in done.stdout
