"""``orbas data`` writes structures to try things on; ``orbas train --basis`` takes a basis that is fitted already."""

from __future__ import annotations

import json

import model_files
import numpy as np
import orbas
import pytest
from training import fails, run, write_inputs

TOML = '[data]\ntrain = ["a.xyz", "b.xyz"]\nforces = false\nstress = false\n[regularization]\nkind = "cv"\n'
DENSITY = "[cutoff]\nradius = 4.0\n[density]\ndensity_width = 0.5\nmax_angular = 2\n[basis]\nn_radial = 6\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    (tmp_path / "model.toml").write_text(TOML)
    (tmp_path / "basis.toml").write_text(DENSITY + "[optimal]\nn_optimal = 3\n")
    return tmp_path


@pytest.mark.parametrize(("name", "n"), [("qm9", 7), ("silicon", 5), ("silicon", None)])
def test_shipped_structures_are_written(folder, capsys, name, n):
    count = () if n is None else ("--n", n)
    code, out, err = run(capsys, "data", name, *count, "--seed", 3, "--output", "d.xyz.gz", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    expected = getattr(orbas.datasets, name)(seed=3, **({} if n is None else {"n": n}))
    key = {"qm9": "U0", "silicon": "REF_energy"}[name]
    found = orbas.read("d.xyz.gz", energy_key=key)
    assert document["structures"] == len(found) == len(expected)
    assert key in document["names"]
    assert [atoms.info["REF_energy"] for atoms in found] == [atoms.info[key] for atoms in expected]
    assert all(np.allclose(a.positions, b.positions, atol=1e-7) for a, b in zip(found, expected, strict=True))


def test_more_than_there_are_is_an_error(folder, capsys):
    assert "from 1 to 306" in fails(capsys, 2, "data", "silicon", "--n", 100_000, "--output", "d.xyz")
    assert "invalid choice" in fails(capsys, 2, "data", "gold", "--output", "d.xyz")


@pytest.mark.parametrize("how", ["flag", "flag of its section", "file"])
def test_a_fitted_basis_is_taken(folder, capsys, how):
    """The same weights as where the basis is fitted on the way, to the bit."""
    assert run(capsys, "basis", "fit", "a.xyz", "b.xyz", "--config", "basis.toml", "--output", "b.orbas")[0] == 0
    words = {"flag": ("--basis", "b.orbas"), "flag of its section": ("--data.basis", "b.orbas"), "file": ()}[how]
    if how == "file":
        (folder / "model.toml").write_text(TOML.replace("[data]", '[data]\nbasis = "b.orbas"'))
    code, out, err = run(capsys, "train", "model.toml", *words, "--output", "m.orbas", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["settings"]["data"]["basis"].endswith("b.orbas")
    (folder / "whole.toml").write_text((folder / "basis.toml").read_text() + TOML)
    assert run(capsys, "train", "whole.toml", "--output", "whole.orbas")[0] == 0
    assert np.array_equal(orbas.load("m.orbas").weights_, orbas.load("whole.orbas").weights_)


def test_a_basis_that_does_not_fit_is_refused_before_work(folder, capsys, molecules):
    orbas.save_basis(orbas.OptimalBasis(model_files.density(), 2).fit(molecules), "other.orbas")
    words = ("train", "model.toml", "--output", "m.orbas")
    assert "species 14" in fails(capsys, 1, *words, "--basis", "other.orbas")
    assert "No such file" in fails(capsys, 1, *words, "--basis", "none.orbas")
    assert "it looks like structures" in fails(capsys, 1, *words, "--basis", "a.xyz")
    model_files.small().save("model.orbas")
    assert "a model, not a basis" in fails(capsys, 1, *words, "--basis", "model.orbas")
    assert "is an input too" in fails(capsys, 1, *words[:-1], "other.orbas", "--basis", "other.orbas")
    (folder / "whole.toml").write_text(DENSITY + TOML)
    assert "[cutoff] contradicts data.basis" in fails(
        capsys, 2, "train", "whole.toml", "--output", "m.orbas", "--basis", "other.orbas"
    )
    (folder / "search.toml").write_text('[data]\ntrain = "a.xyz"\n[model]\nkind = "recommended"\n')
    assert "data.basis is for model.kind" in fails(
        capsys, 2, "train", "search.toml", "--output", "m.orbas", "--basis", "other.orbas"
    )
    assert not (folder / "m.orbas").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train a.xyz --output m.orbas", "a.xyz is not TOML: it looks like structures (XYZ)"),
        ("train model.orbas --output m.orbas", "model.orbas is not TOML: it looks like a file of orbas (.orbas)"),
        ("eval model.orbas model.orbas", "not extended XYZ: it looks like a file of orbas (.orbas)"),
        ("eval a.xyz model.orbas", "a.xyz: not a model file: it looks like structures (XYZ)"),
        ("inspect model.toml", "model.toml: not a model file: it looks like settings (TOML)"),
        ("featurize model.toml --config basis.toml --output f.npz", "not extended XYZ: it looks like settings (TOML)"),
        ("basis show model.orbas", "model.orbas: a model, not a basis: see it with `orbas inspect`"),
    ],
)
def test_files_in_the_wrong_place_are_named(folder, capsys, words, message):
    model_files.small().save("model.orbas")
    (folder / "basis.toml").write_text(DENSITY)
    code, _, err = run(capsys, *words.split())
    assert code in (1, 2)
    assert message in err


@pytest.mark.parametrize(
    "words", ["inspect b.orbas", "eval b.orbas a.xyz", "md b.orbas a.xyz", "report b.orbas --output r.md"]
)
def test_a_basis_where_a_model_is_wanted_is_named(folder, capsys, molecules, words):
    orbas.save_basis(orbas.OptimalBasis(model_files.density(), 2).fit(molecules), "b.orbas")
    (folder / "a.xyz").write_text("1\nPbc=F\nH 0 0 0\n")
    assert "b.orbas: a basis, not a model: see it with `orbas basis show`" in fails(capsys, 1, *words.split())
