"""What docs/adding.md promises: examples of extensions run, and the command line finds them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import orbas
import pytest
from orbas.files.stored import stored

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")


def run(*words, folder):
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the example and what it writes."""
    made = tmp_path_factory.mktemp("adding")
    source = ROOT / "examples" / "adding_basis.py"
    (made / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    done = run(source.name, "--folder", made, folder=made)
    assert done.returncode == 0, done.stderr
    assert "the same functions" in done.stdout
    assert "the potential stands on Slater(n_radial=6, decay=3.0)" in done.stdout
    return made


def test_train_with_a_basis_of_ones_own(folder):
    command = ("-m", "orbas.cli", "train", "slater.toml", "--output", "again.orbas")
    done = run(*command, "--import", "adding_basis", folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "again.orbas").read_bytes() == (folder / "potential.orbas").read_bytes()
    done = run(*command, "--import", "adding_basis", "--basis.decay", "0", folder=folder)
    assert (done.returncode, "basis.decay must be a number from 0.1 to 100 1/Å" in done.stderr) == (2, True)


def test_whoever_did_not_import_it_is_told(folder):
    done = run("-m", "orbas.cli", "inspect", "potential.orbas", folder=folder)
    assert done.returncode == 1
    assert "unknown kind, 'Slater'" in done.stderr
    done = run("-m", "orbas.cli", "inspect", "potential.orbas", "--import", "adding_basis", "--json", folder=folder)
    assert "Slater(n_radial=6, decay=3.0)" in json.loads(done.stdout)["representations"][0]["basis"]


def test_the_first_program_says_what_it_promises():
    (program,) = re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
    *lines, last = program.rstrip().splitlines()
    call, promised = last.split("  # SettingsError: ")
    names: dict[str, object] = {"__name__": __name__}
    exec("\n".join(lines), names)
    with pytest.raises(ValueError, match=re.escape(promised)):
        exec(call, names)


def test_every_recipe_has_its_example():
    examples = {path.name for path in (ROOT / "examples").glob("adding_*.py")}
    assert len(examples) == 5
    assert {Path(name).name for name in re.findall(r"examples/adding_\w+\.py", TEXT)} == examples


def test_places_named_by_the_recipes_exist():
    named = set(re.findall(r"`((?:src|bindings|python|tests|examples|docs)/[\w./]*)`", TEXT))
    assert len(named) > 15
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]


def test_files_hold_features_of_ones_own(tmp_path):
    done = run(ROOT / "examples" / "adding_invariant.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "read again: the same energies" in done.stdout


def test_a_name_in_files_is_of_one_class():
    other = type(orbas.Cutoff.__name__, (), {})
    with pytest.raises(ValueError, match="files hold a Cutoff already"):
        stored("Cutoff")(other)
