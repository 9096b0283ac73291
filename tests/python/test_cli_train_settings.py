"""Settings of ``orbas train``: declared once, the same in files and flags, one line for a wrong one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import orbas
import pytest
from orbas import models
from orbas.models import settings
from orbas.optimal.settings import build_density
from orbas.settings import to_toml
from training import CONFIG, fails, fails_to_train, train, write_inputs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    return tmp_path


def test_settings_round_trip():
    text = CONFIG + (
        '[model]\nrepresentation = "nice"\n[nice]\nn_pairs = ["all", 5, 1]\n[baseline]\nenergies = {Si = -4}\n'
        '[noise]\nenergy = 0.001\n[noise.by_config.liquid]\nforces = 0.2\n[noise.by_config."a b.c"]\nenergy = 1\n'
        '[regularization]\nkind = "fixed"\nalpha = 1e-6\n'
    )
    checked = settings.check_train(tomllib.loads(text))
    assert settings.check_train(tomllib.loads(to_toml(checked))) == checked
    built = settings.build_potential(checked, build_density(checked))
    liquid, other = models.Noise(0.001, 0.2), models.Noise(1.0)
    assert built.noise == models.Noise(0.001, by_config={"liquid": liquid, "a b.c": other})
    assert built.regularization == models.Fixed(1e-6)
    assert built.baseline == {"Si": -4.0}
    assert built.representation.n_pairs == [None, 5, 1]


def test_flags_and_files_give_the_same(folder, capsys):
    train(capsys, "--noise.energy", 0.01, "--baseline.energies", "Si=-4.5,O=-3", "--regularization.n_folds", 3)
    (folder / "run.toml").write_text(
        CONFIG + "[noise]\nenergy = 0.01\n[baseline]\nenergies = {Si = -4.5, O = -3}\n[regularization]\nn_folds = 3\n"
    )
    train(capsys, output="again.orbas")
    assert Path("m.orbas").read_bytes() == Path("again.orbas").read_bytes()
    assert orbas.load("m.orbas").baseline_.energies_ == {8: -3.0, 14: -4.5}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[model]\nkind = 'gap'", "model.kind must be one of linear, sparse, recommended, got 'gap'"),
        ("[model]\nrepresentations = 'nice'", "unknown field model.representations: did you mean 'representation'?"),
        ("[model]\nn_sparse = 10", "model.n_sparse is for model.kind = 'sparse', which is 'linear'"),
        ("[model]\nkind = 'sparse'\nzeta = 0", "model.zeta must be an integer from 1 to 64, or a list"),
        ("[model]\nkind = 'sparse'\nn_sparse = 0", "model.n_sparse must be an integer from 1"),
        ("[model]\nkind = 'sparse'\nrepresentation = 'nice'", "model.representation = 'nice' is for model.kind = 'lin"),
        ("[model]\nkind = 'recommended'", "[cutoff] is for model.kind = 'linear' or 'sparse', which is 'recommended'"),
        ("[recommended]\ntime_budget = 1", "[recommended] is for model.kind = 'recommended'"),
        ("[nice]\nnu_max = 3", "[nice] is for model.representation = 'nice'"),
        (
            "[model]\nrepresentation = 'nice'\n[nice]\nn_pairs = 1.5",
            'nice.n_pairs must be an integer from 1 on, or "all" for no limit',
        ),
        (
            "[model]\nrepresentation = 'nice'\n[nice]\nn_pairs = [1]",
            "[nice] NICE.n_pairs must be one number, or one for each order from 2 to 4, got [1]",
        ),
        ("[noise]\nenergy = -1", "noise.energy must be a number from 1e-10 to 1e10 eV, got -1"),
        ("[noise.by_config.liquid]\nenrgy = 1", "unknown field noise.by_config.liquid.enrgy: did you mean 'energy'?"),
        (
            "[noise.by_config.liquid]\nforces = 'x'",
            "noise.by_config.liquid.forces must be a number from 1e-10 to 1e10 eV/Å, got 'x'",
        ),
        ("[noise.by_config.liquid]\nforces = 0", "noise.by_config.liquid.forces must be a number from 1e-10"),
        ("[noise.by_config]\nliquid = 3", "noise.by_config must be a table of tables"),
        ("[regularization]\nkind = 'fixed'", "regularization.alpha is missing"),
        ("[regularization]\nkind = 'fixed'\nalpha = 0", "regularization.alpha must be a number from 1e-100"),
        ("[regularization]\nalpha = 1e-6", "regularization.alpha is for regularization.kind = 'fixed', which is 'cv'"),
        ("[regularization]\nn_folds = 1", "regularization.n_folds must be an integer from 2 on, got 1"),
        ("[regularization]\nkind = 'loo'", "regularization.kind = 'loo' is for energies alone"),
        ("[baseline]\nenergies = {Xx = 1.0}", "unknown chemical symbol 'Xx'"),
        ("[baseline]\nkind = 'composition'\nenergies = {Si = 1.0}", "baseline.kind contradicts baseline.energies"),
        ("[sample]\nn = 1", "unknown section [sample]"),
    ],
)
def test_bad_settings_are_one_line_that_names_the_field(folder, capsys, more, message):
    (folder / "run.toml").write_text(CONFIG + more)
    assert message in fails_to_train(capsys, 2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('train = ["a.xyz", "b.xyz"]', "", "data.train is missing: training structures"),
        ('train = ["a.xyz", "b.xyz"]', "train = []", "data.train must be the name of a file, or a list of such names"),
        ("[data]", "[dat]", "unknown section [dat]: did you mean 'data'?"),
        ("radius = 4.0", "", "cutoff.radius is missing"),
        ("radius = 4.0", "radius = -4.0", "cutoff.radius must be a number from 1e-6 to 1e6 Å, got -4.0"),
        ("n_optimal = 3", "n_optimal = 0", "[optimal] n_optimal must leave at least one function, got 0"),
        ("[cutoff]", "[cutoff", "run.toml is not TOML"),
    ],
)
def test_missing_settings_too(folder, capsys, old, new, message):
    assert old in CONFIG
    (folder / "run.toml").write_text(CONFIG.replace(old, new))
    assert message in fails_to_train(capsys, 2)


def test_the_other_commands_know_no_more_sections(folder, capsys):
    (folder / "run.toml").write_text(CONFIG)
    err = fails(capsys, 2, "basis", "fit", "a.xyz", "--config", "run.toml", "--output", "b.npz")
    assert "unknown section [data]" in err
    assert "--output" in fails(capsys, 2, "train", "run.toml")
    assert "nu_maxx" in fails(capsys, 2, "train", "run.toml", "--output", "m.orbas", "--nice.nu_maxx", 3)
