"""The command line: what it computes, one-line errors, exit codes, interrupts and closed pipes."""

from __future__ import annotations

import json
import os
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
from orbas.cli import inputs, main, study
from orbas.optimal import settings
from orbas.optimal.basis_file import load_basis, save_basis
from orbas.settings import to_toml

CONFIG = """
[cutoff]
radius = 3.0
width = 0.4
[density]
density_width = 0.4
max_angular = 2
[basis]
kind = "GTO"
n_radial = 5
[optimal]
n_optimal = 3
"""


@pytest.fixture
def folder(tmp_path, molecules, monkeypatch):
    """The working folder: two files of structures and a file of settings."""
    monkeypatch.chdir(tmp_path)
    for name, frames in (("a.xyz", molecules[:8]), ("b.xyz", molecules[8:])):
        ase.io.write(name, frames, format="extxyz")
    (tmp_path / "run.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def frames(folder):
    return [*orbas.read(folder / "a.xyz"), *orbas.read(folder / "b.xyz")]


def density(**changes):
    options = {"cutoff": orbas.Cutoff(3.0, 0.4), "density_width": 0.4, "max_angular": 2, "basis": orbas.bases.GTO(5)}
    return orbas.DensityExpansion(**{**options, **changes})


def run(capsys, *words):
    """Run a command in this process: exit code, stdout, stderr."""
    code = main([str(word) for word in words])
    out = capsys.readouterr()
    return code, out.out, out.err


def fails(capsys, code, *words):
    """Run a command that must fail with one line on stderr; return the line."""
    found, out, err = run(capsys, *words)
    assert found == code, err
    assert out == ""
    assert err.startswith("orbas: error: ")
    assert err.count("\n") == 1
    return err


def start(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "orbas.cli", *map(str, words)],
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# --- the demonstration


def test_demo_json(tmp_path, capsys):
    code, out, err = run(capsys, "demo", "--quick", "--json", "--output", tmp_path / "d")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert set(document) == {"schema", "command", "molecules", "residual_variance", "energies", "seconds", "files"}
    assert (document["schema"], document["command"]) == (1, "demo")

    gto, separate, separate_c, combined, combined_c = document["residual_variance"]
    for curve in document["residual_variance"]:
        assert set(curve) == {"basis", "channels", "residual", "needed"}
        assert len(curve["channels"]) == len(curve["residual"])
        assert all(np.diff(curve["residual"]) < 1e-12)
    at_last = [curve["needed"][-1]["channels"] for curve in (gto, separate, separate_c, combined, combined_c)]
    assert at_last[0] >= 80
    assert at_last[0] > at_last[1] >= at_last[2] > at_last[4]
    assert at_last[1] > at_last[3] >= at_last[4] >= 20

    baseline, models = document["energies"]["baseline_mae"], document["energies"]["models"]
    assert models[1]["mae"] < models[0]["mae"] < baseline
    assert models[0]["n_channels"] == models[1]["n_channels"] == 5
    assert models[0]["n_features"] == models[1]["n_features"] == 6 * 15

    for name in ("residual_variance", "optimal_functions"):
        assert Path(document["files"][name]).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    files = document["files"]
    code, out, err = run(
        capsys, "featurize", files["some_test_molecules"], "--basis", files["optimal_basis"],
        "--output", tmp_path / "f.npz",
    )  # fmt: skip
    assert (code, err) == (0, "")
    written = settings.check_basis(tomllib.loads(Path(files["its_settings"]).read_text()))
    assert written == settings.describe(load_basis(files["optimal_basis"]))


def test_demo_text(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(study, "QUICK", study.Scale(fit=8, train=200, test=30))
    monkeypatch.setattr(study, "LARGEST", 4)
    code, out, err = run(capsys, "demo", "--quick", "--output", tmp_path)
    assert (code, err) == (0, "")
    for text in ("optimal, mixed, for C centers", "composition alone", "kcal/mol", str(tmp_path / "qm9_basis.orbas")):
        assert text in out
    assert max(map(len, out.splitlines())) < 100 + 3 * len(str(tmp_path))


@pytest.mark.parametrize("mixing", ["separate", "combined"])
def test_residual_of_a_shared_basis_at_one_kind_of_center(molecules, mixing):
    setup = density(species=(1, 6, 7, 8))
    shared, specific = (
        orbas.OptimalBasis(setup, 20, mixing=mixing, per_center=per_center).fit(molecules)
        for per_center in (False, True)
    )
    everything = sum(np.sum(setup.transform(molecules)[1, l, 1, 6].values ** 2) for l in range(3))
    residual = study.residual_at(shared, specific, 6)
    for q in (1, 2, 5):
        few = orbas.OptimalBasis(setup, q, mixing=mixing).fit(molecules).expansion_.transform(molecules)
        kept = sum(np.sum(few[1, l, 1, 6].values ** 2) for l in range(3))
        assert residual[q - 1] == pytest.approx(1 - kept / everything, abs=1e-7)
    assert (residual >= specific.residual_variance_[6] - 1e-12).all()


# --- bases and features


def test_fit_show_featurize(folder, frames, capsys):
    flags = ("--cutoff.radius", 3.5, "--optimal.residual", 0.01, "--optimal.per_center", "true")
    code, out, err = run(
        capsys, "basis", "fit", "a.xyz", "b.xyz", "--config", "run.toml", "--output", "b.npz", "--threads", 1, *flags
    )
    assert (code, err) == (0, "")
    fitted = orbas.OptimalBasis(density(cutoff=orbas.Cutoff(3.5, 0.4)), residual=0.01, per_center=True).fit(frames)
    written = load_basis("b.npz").contraction_
    assert all(same_bits(written[a][l], fitted.contraction_[a][l]) for a in (1, 6, 7, 8) for l in range(3))

    code, out, err = run(capsys, "basis", "show", "b.npz", "--plot", "b.png")
    assert (code, err) == (0, "")
    assert "radius = 3.5" in out
    assert "C centers" in out
    assert (folder / "b.png").stat().st_size > 10_000
    code, out, err = run(capsys, "basis", "show", "b.npz", "--json")
    document = json.loads(out)
    assert document["settings"] == settings.describe(fitted)
    assert document["residual_variance"]["N centers"] == fitted.residual_variance_[7].tolist()


@pytest.mark.parametrize("chunk", [1, 10_000])
def test_features_equal_those_of_python(folder, frames, capsys, monkeypatch, chunk):
    monkeypatch.setattr(inputs, "CHUNK_ATOMS", chunk)
    fitted = orbas.OptimalBasis(density(), 3).fit(frames)
    save_basis(fitted, "b.npz")
    spectrum = orbas.PowerSpectrum(fitted.expansion_).transform(frames)
    words = ("featurize", "a.xyz", "b.xyz", "--basis", "b.npz", "--output", "f.npz")

    assert run(capsys, *words)[0] == 0
    found = np.load("f.npz")
    assert same_bits(found["values"], spectrum.values)
    np.testing.assert_array_equal(found["samples"], spectrum.samples)
    np.testing.assert_array_equal(found["center_numbers"], spectrum.center_numbers)
    metadata = json.loads(found["metadata"].item())
    assert (metadata["representation"], metadata["files"]) == ("power_spectrum", ["a.xyz", "b.xyz"])
    assert metadata["settings"] == settings.describe(fitted)

    _, out, _ = run(capsys, *words, "--per-structure", "--json")
    assert same_bits(np.load("f.npz")["values"], spectrum.per_structure())
    assert json.loads(out)["arrays"]["values"] == list(spectrum.per_structure().shape)

    assert run(capsys, *words, "--representation", "density")[0] == 0
    found = np.load("f.npz")
    for key, block in fitted.expansion_.transform(frames).items():
        assert same_bits(found[f"values_l{key.o3_lambda}_c{key.center_species}"], block.values)
        np.testing.assert_array_equal(found[f"samples_c{key.center_species}"], block.samples)


def test_features_on_a_primitive_basis(folder, frames, capsys):
    flags = ("--cutoff.radius", 3, "--cutoff.width", 0.4, "--density.density_width", 0.4, "--density.max_angular", 2)
    words = ("--basis.n_radial", 5, "--density.species", "H,C,7,O", "--representation", "radial_spectrum")
    code, _, err = run(capsys, "featurize", "a.xyz", "b.xyz", *flags, *words, "--output", "f.npz")
    assert (code, err) == (0, "")
    expected = orbas.RadialSpectrum(density(species=(1, 6, 7, 8))).transform(frames)
    assert same_bits(np.load("f.npz")["values"], expected.values)


# --- settings


def test_toml_round_trip(molecules):
    fitted = orbas.OptimalBasis(density(species=(1, 6)), [3, 2, 1], mixing="separate")
    described = settings.describe(fitted)
    assert settings.check_basis(tomllib.loads(to_toml(described))) == described
    assert repr(settings.build_optimal(described)) == repr(fitted)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("radius = 3.0", "radios = 3.0", "run.toml, line 3: unknown field cutoff.radios: did you mean 'radius'?"),
        ("radius = 3.0", "", "cutoff.radius is missing"),
        ("radius = 3.0", "radius = '3'", "cutoff.radius must be a number from 1e-6 to 1e6 Å, got '3'"),
        (
            "radius = 3.0",
            "radius = -3.0",
            "run.toml, line 3: cutoff.radius must be a number from 1e-6 to 1e6 Å, got -3.0",
        ),
        (
            "radius = 3.0",
            "radius = 3.0\nsmoothing = 'cosin'",
            "cutoff.smoothing must be one of cosine, smooth, got 'cosin': did you mean 'cosine'?",
        ),
        ("[cutoff]", "[cutof]", "unknown section [cutof]: did you mean 'cutoff'?"),
        ("[cutoff]", "sample = 3\n[cutoff]", "unknown section [sample]"),
        ("[cutoff]", "scaling = 3\n[cutoff]", "run.toml, line 2: [scaling] must be a section, got 3"),
        ("[cutoff]", "[scaling]\nrate = 1\n[cutoff]", "scaling.scale is missing"),
        ("[cutoff]", "[cutoff", "is not TOML"),
        ("max_angular = 2", "max_angular = 2.0", "density.max_angular must be an integer"),
        ("max_angular = 2", "max_angular = -2", "density.max_angular must be an integer from 0 to 40, got -2"),
        ("max_angular = 2", "max_angular = 2\nspecies = ['H', 'Xy']", "got ['H', 'Xy']: unknown chemical symbol 'Xy'"),
        ('"GTO"', '"STO"', "basis.kind must be one of DVR, GTO"),
        ("n_radial = 5", "n_radial = 0", "basis.n_radial must be an integer from 1 to 1000, got 0"),
        (
            "n_optimal = 3",
            "n_optimal = [3, true, 1]",
            "optimal.n_optimal must be an integer from 0 to 1000000, or a list of these with one for every l",
        ),
        ("n_optimal = 3", "n_optimal = [3, 1]", "[optimal] n_optimal must have one number for each of 3 degrees"),
        ("n_optimal = 3", "n_optimal = 3\nresidual = 0.1", "[optimal] give either n_optimal"),
        ("n_optimal = 3", "per_center = 1", "optimal.per_center must be true or false"),
        ("n_optimal = 3", "", "[optimal] give either n_optimal"),
        ("n_radial = 5", "n_radial = 1_0", "run.toml, line 10: 1_0 is not a number here"),
        ("n_radial = 5", "n_radial = 0x5", "run.toml, line 10: 0x5 is not a number here"),
        ("n_radial = 5", "n_radial = true", "basis.n_radial must be an integer from 1 to 1000, got True"),
        ("radius = 3.0", "radius = nan", "cutoff.radius must be a number from 1e-6 to 1e6 Å, got nan"),
        ("radius = 3.0", "radius = 1e200", "cutoff.radius must be a number from 1e-6 to 1e6 Å, got 1e+200"),
        ("width = 0.4", "width = 4", "run.toml, line 2: [cutoff] Cutoff.width must be at most the radius, 3.0 Å"),
    ],
)
def test_bad_settings_are_one_line_that_names_the_field(folder, capsys, old, new, message):
    assert old in CONFIG
    (folder / "run.toml").write_text(CONFIG.replace(old, new))
    err = fails(capsys, 2, "basis", "fit", "a.xyz", "--config", "run.toml", "--output", "b.npz")
    assert message in err
    assert not (folder / "b.npz").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["basis", "fit", "a.xyz", "--output", "b.npz", "--cutoff.radius", "x"], "a number from 1e-6 to 1e6 Å"),
        (["basis", "fit", "a.xyz", "--output", "b.npz", "--cutoff.radius", "1_0"], "a number from 1e-6 to 1e6 Å"),
        (["basis", "fit", "a.xyz", "--output", "b.npz", "--cutoff.radios", "3"], "did you mean '--cutoff.radius'?"),
        (["basis", "fit", "a.xyz", "--output", "b.npz", "--cutoff.radios=3"], "did you mean '--cutoff.radius'?"),
        (["basis", "fti"], "did you mean 'fit'?"),
        (["basis", "fit", "a.xyz", "--output", "b.npz", "--config", "run.toml", "--threads", "0"], "--threads"),
        (["basis", "fit", "a.xyz", "--config", "run.toml"], "--output"),
        (["basis"], "fit|show"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["featurize", "a.xyz", "--output", "f.npz"], "--basis"),
        (["featurize", "a.xyz", "--output", "f.npz", "--basis", "b.npz", "--config", "run.toml"], "contradicts"),
        (["featurize", "a.xyz", "--output", "f.npz", "--config", "run.toml"], "unknown section [optimal]"),
        (["featurize", "a.xyz", "--output", "f.npz", "--basis", "b", "--representation", "soap"], "power_spectrum"),
        (["featurize", "a.xyz", "--output", "f.npz", "--basis", "b", "--representation", "density",
          "--per-structure"], "not invariant"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2(folder, capsys, words, message):
    assert message in fails(capsys, 2, *words)


def test_bad_files_and_structures_end_with_1(folder, molecules, capsys):
    fit = ("--config", "run.toml", "--output", "b.npz")
    assert "none.xyz: No such file" in fails(capsys, 1, "basis", "fit", "none.xyz", *fit)
    assert "none.toml: No such file" in fails(
        capsys, 1, "basis", "fit", "a.xyz", "--config", "none.toml", "--output", "b.npz"
    )
    assert "No such folder: none" in fails(capsys, 1, "basis", "fit", "a.xyz", *fit[:2], "--output", "none/b.npz")
    assert "none.npz: No such file" in fails(capsys, 1, "basis", "show", "none.npz")
    assert "a.xyz: not a basis file: it looks like structures (XYZ)" in fails(capsys, 1, "basis", "show", "a.xyz")
    (folder / "broken.xyz").write_text("3\n\nH 0 0 0\n")
    assert "broken.xyz, line 1: structure 0" in fails(capsys, 1, "basis", "fit", "broken.xyz", *fit)

    twins = ase.Atoms("H2", positions=np.zeros((2, 3)))
    ase.io.write("twins.xyz", [molecules[0], twins], format="extxyz")
    words = ("a.xyz", "twins.xyz", *fit, "--json")
    assert "twins.xyz, structure 1: atoms 0 and 1 coincide" in fails(capsys, 1, "basis", "fit", *words)
    ase.io.write("gold.xyz", [molecules[0], ase.Atoms("Au")], format="extxyz")
    save_basis(orbas.OptimalBasis(density(), 2).fit(molecules), "b.npz")
    words = ("a.xyz", "gold.xyz", "--basis", "b.npz", "--output", "f.npz", "--json")
    assert "gold.xyz, structure 1, atom 0: species 79 (Au)" in fails(capsys, 1, "featurize", *words)
    assert not (folder / "f.npz").exists()


# --- the process


def test_interrupt_ends_with_130(tmp_path):
    process = start("demo", "--output", tmp_path)
    assert process.stdout.readline().startswith("orbas on QM9")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "orbas: interrupted\n")


def test_a_closed_pipe_ends_silently(tmp_path, molecules):
    save_basis(orbas.OptimalBasis(density(), 2).fit(molecules), tmp_path / "b.npz")
    for words in (["basis", "show", tmp_path / "b.npz"], ["basis", "show", tmp_path / "b.npz", "--json"]):
        read, write = os.pipe()
        os.close(read)
        process = start(*words, stdout=write)
        os.close(write)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("where", ["closed pipe", "full disk", "closed"])
def test_what_writes_a_file_goes_on_where_nothing_can_be_printed(tmp_path, molecules, where):
    inputs.write_structures(molecules, tmp_path / "a.xyz")
    save_basis(orbas.OptimalBasis(density(), 2).fit(molecules), tmp_path / "b.orbas")
    words = f"featurize {tmp_path}/a.xyz --basis {tmp_path}/b.orbas --output {tmp_path}/f.npz"
    command = f"{sys.executable} -m orbas {words} > /dev/full" if where == "full disk" else None
    if where == "closed":
        command = f"{sys.executable} -m orbas {words} >&-"
    if command is None:
        command = f"set -o pipefail; {sys.executable} -m orbas {words} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    said = "orbas: warning: nothing more is printed: No space left on device\n"
    assert (done.returncode, done.stderr) == (0, said if where == "full disk" else "")
    assert np.load(tmp_path / "f.npz")["values"].any()


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="needs /dev/stdin")
@pytest.mark.parametrize("given", ["{} < {}", "cat {1} | {0}"])
def test_files_in_settings_of_stdin_are_those_of_the_working_folder(tmp_path, monkeypatch, given):
    settings = {"data.train": '"missing.xyz"', "cutoff.radius": 4, "density.density_width": 1.0}
    settings |= {"density.max_angular": 1, "basis.n_radial": 2}
    (tmp_path / "a.toml").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    monkeypatch.chdir(tmp_path)
    command = given.format(f"{sys.executable} -m orbas train /dev/stdin --output m.orbas", "a.toml")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "orbas: error: missing.xyz: No such file or directory\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_shell_has_closed(tmp_path, closed):
    for words, code in ((f"data silicon --n 1 --output {tmp_path}/s.xyz", 0), ("inspect nothing.orbas", 1)):
        command = f"{sys.executable} -m orbas {words} {closed}"
        assert subprocess.run(["bash", "-c", command], timeout=60, check=False, capture_output=True).returncode == code
    assert len(orbas.read(tmp_path / "s.xyz")) == 1


@pytest.mark.parametrize(
    ("words", "heavy", "text"),
    [
        (["--help"], {"numpy", "ase", "scipy", "matplotlib", "tqdm"}, "COMMAND"),
        (["--version"], {"ase", "scipy", "matplotlib", "tqdm"}, "orbas 0"),
        # Flags are made of the fields of the classes that they set.
        (["basis", "fit", "--help"], {"ase", "scipy", "matplotlib", "tqdm"}, "--optimal.n_optimal"),
    ],
)
def test_help_imports_nothing_heavy(words, heavy, text):
    code = f"import sys; from orbas.cli import main; code = main({words}); print({heavy} & set(sys.modules) or 0, code)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0 0\n")
    assert text in done.stdout


def test_debug_shows_where(folder):
    process = start("basis", "show", "none.npz", "--debug")
    assert "Traceback" in process.communicate(timeout=60)[1]
