"""``orbas train``, ``eval`` and ``report``: what they compute, what they refuse, and how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import ase
import ase.io
import numpy as np
import orbas
import pytest
from orbas import models
from orbas.fit.checkpoint import Checkpoint
from orbas.models import settings
from training import CONFIG, fails, fails_to_train, run, silicon, train, write_inputs

SPARSE = ("--model.kind", "sparse", "--model.n_sparse", 30, "--model.zeta", 2)
NICE = (
    "--model.representation", "nice", "--nice.nu_max", 3, "--nice.n_pairs", "all,1", "--nice.n_components", "5,0",
    "--nice.n_invariants", "all,10", "--nice.n_invariant_pairs", 40,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    return tmp_path


@pytest.fixture
def train_frames(folder):
    return [*orbas.read("a.xyz"), *orbas.read("b.xyz")]


@pytest.fixture
def test_frames(folder):
    return orbas.read("test.xyz")


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def density():
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0), density_width=0.5, max_angular=2, basis=orbas.bases.GTO(6)
    )  # fmt: skip


# --- what is computed


@pytest.mark.parametrize("words", [(), SPARSE, NICE], ids=["linear", "sparse", "nice"])
def test_train_inspect_eval_md(folder, train_frames, test_frames, capsys, words):
    document = train(capsys, *words)
    basis = orbas.OptimalBasis(density(), 3).fit(train_frames)
    spectrum = orbas.PowerSpectrum(basis.expansion_)
    if words == NICE:
        options = {"n_pairs": [None, 1], "n_components": [5, 0], "n_invariants": [None, 10], "n_invariant_pairs": 40}
        expected = models.LinearPotential(orbas.NICE(basis.expansion_, 3, **options).fit(train_frames))
    else:
        expected = models.SparseGPR(spectrum, 30, 2) if words else models.LinearPotential(spectrum)
    expected.fit(train_frames, forces_key="REF_forces", stress_key="REF_stress")
    found = orbas.load("m.orbas")
    assert same_bits(found.weights_, expected.weights_)
    assert not found.progress
    assert (document["alpha"], document["held_out_error"]) == (expected.alpha_, expected.cv_errors_.min())

    code, out, err = run(capsys, "inspect", "m.orbas", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["n_weights"] == document["n_weights"] == expected.weights_.size

    code, out, err = run(capsys, "eval", "m.orbas", "test.xyz", "--plot", "p.png", "--output", "p.xyz", "--json")
    assert (code, err) == (0, "")
    scored = json.loads(out)
    score = expected.score(test_frames, forces_key="REF_forces", stress_key="REF_stress")
    for name in ("mae", "rmse_per_atom", "forces_rmse", "stress_mae"):
        assert scored["all"][name] == pytest.approx(getattr(score, name), rel=1e-12)
        assert document["test"]["all"][name] == scored["all"][name]
    ratios = expected.extrapolation(test_frames)
    assert scored["all"]["n_extrapolating"] == sum(int((ratio > 1).sum()) for ratio in ratios)
    uncertainty = expected.uncertainty(test_frames) / [len(frame) for frame in test_frames]
    assert scored["all"]["uncertainty_per_atom"] == pytest.approx(uncertainty.mean(), rel=1e-12)
    assert Path("p.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    predicted = expected.predict(test_frames)
    for k, frame in enumerate(orbas.read("p.xyz")):
        assert frame.info["orbas_energy"] == predicted.energies[k]
        np.testing.assert_allclose(frame.arrays["orbas_forces"], predicted.forces[k], rtol=0, atol=1e-8)
        np.testing.assert_allclose(frame.arrays["orbas_extrapolation"], ratios[k], rtol=0, atol=1e-8)
        assert frame.info["REF_energy"] == test_frames[k].info["REF_energy"]

    code, out, err = run(capsys, "md", "m.orbas", "test.xyz", "--index", 0, "--steps", 2, "--json", "--check-every", 0)
    assert (code, err) == (0, "")
    assert json.loads(out)["steps"] == 2


def test_the_documents_keep_their_keys(folder, test_frames, capsys):
    document = train(capsys)
    assert list(document) == [
        "schema", "command", "config", "settings", "output", "kind", "n_weights", "alpha", "held_out_error", "train",
        "test", "seconds",
    ]  # fmt: skip
    assert document["settings"] == settings.check_train(tomllib.loads(CONFIG))
    assert document["train"]["labels"] == {"energies": 20, "forces": 20, "stress": 20}
    _, out, _ = run(capsys, "eval", "m.orbas", "test.xyz", "--json")
    scored = json.loads(out)
    assert list(scored) == ["schema", "command", "model", "structures", "labels", "all", "by_config", "plot", "output"]
    assert list(scored["all"]) == [
        "n_structures", "n_environments", "uncertainty_per_atom", "n_extrapolating", "largest_extrapolation", "mae",
        "rmse", "mae_per_atom", "rmse_per_atom", "forces_mae", "forces_rmse", "stress_mae", "stress_rmse",
        "n_energies", "n_forces", "n_stress",
    ]  # fmt: skip
    assert list(scored["by_config"]) == sorted({frame.info["config_type"] for frame in test_frames})
    assert sum(group["n_structures"] for group in scored["by_config"].values()) == len(test_frames)


def test_the_same_command_gives_the_same_bits(folder, capsys):
    for words in ((), SPARSE):
        first = train(capsys, *words)
        again = train(capsys, *words, "--threads", 1, output="again.orbas")
        assert Path("m.orbas").read_bytes() == Path("again.orbas").read_bytes()
        assert {**first, "output": "", "seconds": {}} == {**again, "output": "", "seconds": {}}


def test_for_people(folder, capsys):
    code, out, err = run(capsys, "train", "run.toml", "--output", "m.orbas")
    assert (code, err) == (0, "")
    for text in ("train  20 structures", "20 energies, 20 with forces, 20 with stress", "3 channels for l = 0..2",
                 "LinearPotential on PowerSpectrum, 18 weights", "of 25 candidates; cross-validation error",
                 "wrote  m.orbas", "errors of training structures", "errors of test structures"):  # fmt: skip
        assert text in out
    code, out, err = run(capsys, "eval", "m.orbas", "test.xyz", "a.xyz")
    assert (code, err) == (0, "")
    assert re.search(r"^  all +18 .* of \d+$", out, flags=re.MULTILINE)
    code, out, _ = run(capsys, "train", "run.toml", "--output", "e.orbas", "--regularization.kind", "evidence")
    assert "log evidence" in out
    few = ("--data.forces", "false", "--data.stress", "false", "--regularization.kind", "loo")
    code, out, _ = run(capsys, "train", "run.toml", "--output", "e.orbas", *few)
    assert "0 with forces, 0 with stress" in out
    assert "meV per structure" in out
    assert run(capsys, "train", "run.toml", "--output", "s.orbas", *SPARSE, "--model.n_sparse", 500)[2].startswith(
        "orbas: warning: n_sparse = 500: there are 106 environments, all are taken"
    )


def test_report(folder, capsys):
    train(capsys, *NICE)
    code, out, err = run(capsys, "report", "m.orbas", "--test", "test.xyz", "--output", "r.md")
    assert (code, out, err) == (0, "wrote r.md and r.png\n", "")
    page = Path("r.md").read_text()
    for text in (
        "# m.orbas",
        "| representation | NICE",
        "## What every order keeps",
        "| all | 10 |",
        "![parity](r.png)",
    ):
        assert text in page
    assert Path("r.png").stat().st_size > 10_000
    _, out, _ = run(capsys, "report", "m.orbas", "--output", "s.md", "--json")
    document = json.loads(out)
    assert (document["test"], document["plot"]) == (None, None)
    assert document["model"]["n_weights"] == orbas.load("m.orbas").weights_.size
    assert "Errors" not in Path("s.md").read_text()


def test_noise_by_config(folder, train_frames, capsys):
    (folder / "run.toml").write_text(CONFIG + "[noise]\nforces = 0.1\n[noise.by_config.diamond]\nenergy = 0.5\n")
    train(capsys, "--model.representation", "radial_spectrum")
    noise = models.Noise(forces=0.1, by_config={"diamond": models.Noise(energy=0.5, forces=0.1)})
    basis = orbas.OptimalBasis(density(), 3).fit(train_frames)
    expected = models.LinearPotential(orbas.RadialSpectrum(basis.expansion_), noise=noise)
    expected.fit(train_frames, forces_key="REF_forces", stress_key="REF_stress")
    found = orbas.load("m.orbas")
    assert same_bits(found.weights_, expected.weights_)
    assert found.noise == noise


def test_recommended(folder, train_frames, capsys):
    (folder / "run.toml").write_text(
        '[data]\ntrain = ["a.xyz", "b.xyz"]\nstress = false\n[model]\nkind = "recommended"\n'
        "[noise]\nenergy = 0.01\n[recommended]\ntime_budget = 0.01\n"
    )
    document = train(capsys)
    expected = models.recommended(
        train_frames, forces_key="REF_forces", noise=models.Noise(energy=0.01), time_budget=0.01, report=lambda _: None
    )
    assert document["kind"] == "LinearPotential"
    assert same_bits(orbas.load("m.orbas").weights_, expected.weights_)


def test_a_checkpoint_belongs_to_one_fit(folder, capsys, monkeypatch):
    monkeypatch.setattr(Checkpoint.__init__, "__defaults__", (0.0,))  # saves after every piece
    train(capsys, "--checkpoint", "c.npz")
    assert Path("c.npz").exists()
    train(capsys, "--checkpoint", "c.npz", output="again.orbas")
    assert Path("m.orbas").read_bytes() == Path("again.orbas").read_bytes()
    words = ("--output", "m2.orbas", "--checkpoint", "c.npz", "--noise.energy", 0.1)
    assert "c.npz belongs to another fit" in fails(capsys, 1, "train", "run.toml", *words)
    assert "--checkpoint is for fits of given settings" in fails(
        capsys, 2, "train", recommended_config(folder), "--output", "m2.orbas", "--checkpoint", "c.npz"
    )


def recommended_config(folder):
    (folder / "recommended.toml").write_text('[data]\ntrain = "a.xyz"\n[model]\nkind = "recommended"\n')
    return "recommended.toml"


# --- data


def test_bad_files_end_with_1(folder, capsys):
    assert "none.toml: No such file" in fails(capsys, 1, "train", "none.toml", "--output", "m.orbas")
    assert "none.xyz: No such file" in fails_to_train(capsys, 1, "--data.train", "none.xyz")
    assert "No such folder: none" in fails(capsys, 1, "train", "run.toml", "--output", "none/m.orbas")
    assert "No such folder: none" in fails_to_train(capsys, 1, "--checkpoint", "none/c")
    assert "none.orbas: No such file" in fails(capsys, 1, "eval", "none.orbas", "test.xyz")
    assert "a.xyz" in fails(capsys, 1, "eval", "a.xyz", "test.xyz")
    twins = [*silicon()[:2], ase.Atoms("Si2", positions=np.zeros((2, 3)), info={"REF_energy": 1.0})]
    ase.io.write("twins.xyz", twins, format="extxyz")
    line = fails_to_train(capsys, 1, "--data.train", "a.xyz,twins.xyz")
    assert "twins.xyz, structure 2: atoms 0 and 1 coincide" in line
    assert "KFold needs at least 50 training structures, got 20" in fails_to_train(
        capsys, 1, "--regularization.n_folds", 50
    )


def test_labels_under_other_names(folder, capsys):
    frames = silicon()[:12]
    for frame in frames:
        frame.info["dft"] = frame.info.pop("REF_energy")
        frame.arrays["dft_forces"] = frame.arrays.pop("REF_forces")
    ase.io.write("dft.xyz", frames, format="extxyz")
    code, _, err = run(capsys, "train", "run.toml", "--output", "m.orbas", "--data.train", "dft.xyz")
    warning, line = err.splitlines()
    assert code == 1
    assert "warning: dft.xyz: what looks like labels is not taken" in warning
    assert "forces_key='dft_forces' (12 structures)" in warning
    assert "0 of 12 structures carry energy under 'REF_energy'; keys seen: REF_stress, config_type, dft" in line
    line = fails_to_train(capsys, 1, "--data.energy_key", "dft")
    assert "a.xyz, from line 1 on: 0 of 8 structures carry energy under 'dft'; keys seen:" in line
    words = ("--data.energy_key", "dft", "--data.forces_key", "dft_forces")
    (folder / "run.toml").write_text(CONFIG.replace('["a.xyz", "b.xyz"]', '"dft.xyz"').replace('test = "test.xyz"', ""))
    document = train(capsys, *words)
    assert document["train"]["labels"] == {"energies": 12, "forces": 12, "stress": 12}
    assert document["test"] is None
    for frame in frames:
        del frame.info["REF_stress"]
    ase.io.write("dft.xyz", frames, format="extxyz")
    code, _, err = run(capsys, "eval", "m.orbas", "dft.xyz")
    assert code == 1
    assert "keys seen" in err
    assert "--output FILE predicts without labels" in err
    assert run(capsys, "eval", "m.orbas", "dft.xyz", "--energy-key", "dft")[0] == 0


def test_unknown_species_are_named_before_any_work(folder, capsys):
    gold = ase.Atoms("Au", info={"REF_energy": 0.0})
    ase.io.write("gold.xyz", [*silicon()[:1], gold], format="extxyz")
    expected = "gold.xyz, structure 1, atom 0: species 79 (Au) is unknown; known species: 14 (Si)"
    assert expected in fails_to_train(capsys, 1, "--data.test", "gold.xyz")
    assert expected in fails_to_train(capsys, 1, "--data.train", "gold.xyz", "--density.species", "Si")
    assert expected in fails_to_train(capsys, 1, "--data.train", "gold.xyz", "--baseline.energies", "Si=-4")
    train(capsys)
    assert expected in fails(capsys, 1, "eval", "m.orbas", "gold.xyz", "--output", "p.xyz")
    assert not Path("p.xyz").exists()


# --- the process


def start(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "orbas.cli", *map(str, words)],
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_interrupt_ends_with_130(folder):
    words = ("--optimal.n_optimal", 6, "--density.max_angular", 6, "--model.representation", "bispectrum")
    process = start("train", "run.toml", "--output", "m.orbas", *words)
    assert process.stdout.readline().startswith("train  20 structures")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "orbas: interrupted\n")
    assert not [path for path in folder.iterdir() if "orbas" in path.name]


def test_a_closed_pipe_ends_silently(folder, capsys):
    train(capsys)
    for words in (["eval", "m.orbas", "test.xyz"], ["eval", "m.orbas", "test.xyz", "--json"]):
        read, write = os.pipe()
        os.close(read)
        process = start(*words, stdout=write)
        os.close(write)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")


def test_isolated_atoms_are_not_among_the_errors_of_training_structures(folder, capsys, train_frames):
    """They are the zero of energies: nothing was fitted there, and their features are far from all others."""
    atom = ase.Atoms("Si", info={"REF_energy": -1.0, "config_type": "IsolatedAtom"})
    ase.io.write("a.xyz", atom, format="extxyz", append=True)
    document = train(capsys)
    assert document["train"]["all"]["n_structures"] == len(train_frames)
    assert "IsolatedAtom" not in document["train"]
