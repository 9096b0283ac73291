"""Model files: the same bits again, refusals that say why, saves that leave the old file or the new one."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase
import model_files
import numpy as np
import orbas
import pytest
from model_files import density, fitted, join, labeled, same_predictions, silicon, split
from orbas.cli import main
from orbas.models import Fixed, HoldOut, KFold, LeaveOneOut, LinearPotential
from orbas.models.file import container

GOLDEN = Path(__file__).parent / "golden"


def again(potential, path):
    potential.save(path)
    return orbas.load(path)


# --- round trips


BASES = [orbas.bases.GTO(3), orbas.bases.DVR(8), orbas.bases.LaplacianEigenstates(3)]


@pytest.mark.parametrize("basis", BASES, ids=lambda basis: type(basis).__name__)
@pytest.mark.parametrize("spectrum", [orbas.PowerSpectrum, orbas.RadialSpectrum, orbas.Bispectrum])
def test_spectra_on_primitive_bases(tmp_path, molecules, spectrum, basis):
    frames = labeled(molecules)
    setup = density(basis=basis, scaling=orbas.RadialScaling(1, 2, 7), center_weight=0.5, max_angular=1)
    potential = fitted(spectrum(setup), frames)
    assert same_predictions(again(potential, tmp_path / "m.orbas"), potential, frames)


@pytest.mark.parametrize("mixing", ["separate", "combined"])
@pytest.mark.parametrize("per_center", [False, True])
@pytest.mark.parametrize("amount", [{"n_optimal": [2, 9, 0]}, {"residual": 1e-3}])
def test_optimal_bases(tmp_path, molecules, mixing, per_center, amount):
    frames = labeled(molecules)
    setup = density(basis=orbas.bases.GTO(5), species=(np.int64(8), 1, 6, 7))
    optimal = orbas.OptimalBasis(setup, mixing=mixing, per_center=per_center, **amount).fit(frames)
    potential = fitted(orbas.PowerSpectrum(optimal.expansion_), frames)
    read = again(potential, tmp_path / "m.orbas")
    assert same_predictions(read, potential, frames)
    assert repr(read.representation) == repr(potential.representation)


NICES = [
    {"nu_max": 4, "n_pairs": 15, "n_components": [4, 3, 0], "n_invariants": 8},
    {"nu_max": 3, "n_pairs": (20, 10), "n_components": 3, "n_invariants": None, "n_invariant_pairs": 30, "n_purify": 2},
    {"nu_max": 3, "n_components": [4, 0], "n_pairs": 8, "n_invariants": 3, "per_center": True, "parity": "even"},
    {"nu_max": 1},
]


@pytest.mark.parametrize("settings", NICES, ids=["contracted", "purified", "per center", "order 1"])
def test_nice(tmp_path, molecules, settings):
    frames = labeled(molecules)
    optimal = orbas.OptimalBasis(density(), 3, per_center=settings.get("per_center", False)).fit(frames)
    potential = fitted(orbas.NICE(optimal.expansion_, **settings), frames)
    read = again(potential, tmp_path / "m.orbas")
    assert same_predictions(read, potential, frames)
    old, new = potential.representation, read.representation
    assert new.transform(frames).values.tobytes() == old.transform(frames).values.tobytes()
    assert (new.retained_, new.discarded_, new.contractions_) == (old.retained_, old.discarded_, old.contractions_)
    assert new.get_params(deep=False).keys() == old.get_params(deep=False).keys()
    assert new.summary() == old.summary()
    blocks = old.equivariants(frames)
    assert all(new.equivariants(frames)[key].values.tobytes() == blocks[key].values.tobytes() for key in blocks)


RULES = ["cv", "loo", Fixed(1e-5), KFold(3, seed=4, alphas=(1e-3, 1e-2)), LeaveOneOut(), HoldOut(2, alphas=(0.1, 1.0))]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_attribute_of_a_linear_potential(tmp_path, rule):
    frames = silicon()
    potential = fitted(orbas.PowerSpectrum(density()), frames, regularization=rule, chunk=np.int64(3))
    read = again(potential, tmp_path / "m.orbas")
    assert repr(read) == repr(potential).replace("np.int64(3)", "3")
    assert vars(read).keys() == vars(potential).keys()
    for name in ("weights_", "alphas_", "cv_errors_"):
        assert getattr(read, name).tobytes() == getattr(potential, name).tobytes()
    for name in ("alpha_", "scale_", "species_", "feature_species_"):
        assert getattr(read, name) == getattr(potential, name)
    assert read.baseline_.energies_ == potential.baseline_.energies_
    assert same_predictions(read, potential, frames)


@pytest.mark.parametrize("baseline", [{"Si": -4.0, "O": -2.5}, {14: -4.0, 8: -2.5}])
def test_given_baselines(tmp_path, baseline):
    potential = fitted(orbas.PowerSpectrum(density()), silicon(), baseline=baseline)
    read = again(potential, tmp_path / "m.orbas")
    assert read.baseline == baseline
    assert read.baseline_.energies_ == {8: -2.5, 14: -4.0}


def test_a_file_is_the_same_for_the_same_model_and_safetensors_reads_it(tmp_path):
    from safetensors import safe_open

    potential = model_files.small()
    potential.save(tmp_path / "a.orbas")
    again(potential, tmp_path / "a.orbas").save(tmp_path / "b.orbas")
    assert (tmp_path / "a.orbas").read_bytes() == (tmp_path / "b.orbas").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.orbas", "b.orbas"]
    with safe_open(tmp_path / "a.orbas", "np") as file:
        assert file.metadata()["format"] == "orbas.model"
        assert file.get_tensor("model/weights_").tobytes() == potential.weights_.tobytes()


def test_the_container_holds_arrays_of_any_layout(tmp_path, rng):
    arrays = {
        "none": np.zeros((0, 3)),
        "number": np.array(1.5),
        "strided": rng.normal(size=(6, 5))[::2, ::-1],
        "fortran": np.asfortranarray(rng.normal(size=(3, 2, 2, 2))),
        "integers": np.array([-1, 1 << 62]),
        "pairs": np.arange(3, dtype=np.uint32),
        "last": np.array([-0.0, 5e-324]),
    }
    document = {"ü": [1, -2.5e-300, True, None, {"deep": ["😀", '"[{\\']}]}
    container.write(tmp_path / "c", document, arrays)
    contents = container.read(tmp_path / "c")
    assert contents.document == document
    assert list(contents.tensors) == list(arrays)
    for name, array in arrays.items():
        found = contents.tensors[name]
        assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


# --- what cannot be written


def test_what_no_file_can_hold_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    frames = silicon()
    custom = density(basis=orbas.bases.Custom([lambda r: np.exp(-r), lambda r: np.exp(-2 * r)]))
    with pytest.raises(ValueError, match=r"a Custom \(model/representation/density/basis\) cannot be written .* GTO"):
        fitted(orbas.PowerSpectrum(custom), frames).save(tmp_path / "m.orbas")

    class Mine(orbas.PowerSpectrum):
        pass

    with pytest.raises(ValueError, match=r"a Mine \(model/representation\) cannot be written"):
        fitted(Mine(density()), frames).save(tmp_path / "m.orbas")
    with pytest.raises(orbas.NotFittedError):
        LinearPotential(orbas.PowerSpectrum(density())).save(tmp_path / "m.orbas")

    potential = model_files.small()
    potential._record = replace(potential._record, weights=np.array([0.0, np.nan, 0.0]))
    with pytest.raises(ValueError, match=r"array 'model/weights_' is not finite at \(1,\)"):
        potential.save(tmp_path / "m.orbas")
    potential = model_files.small()
    potential._record = replace(potential._record, scale=np.inf)
    with pytest.raises(ValueError, match="model/scale_ is not finite"):
        potential.save(tmp_path / "m.orbas")
    with pytest.raises(AttributeError, match="scale_ of a LinearPotential is set by fit"):
        potential.scale_ = 1.0
    monkeypatch.setattr(container, "MOST_TENSORS", 2)
    with pytest.raises(ValueError, match="too large for a model file: 9 arrays"):
        model_files.small().save(tmp_path / "m.orbas")
    assert list(tmp_path.iterdir()) == []


# --- saving when things go wrong


@pytest.fixture
def saved(tmp_path):
    """A file that was there before, the potential to save over it, and the bytes it must keep."""
    path = tmp_path / "m.orbas"
    model_files.small().save(path)
    return path, fitted(orbas.PowerSpectrum(density()), silicon()), path.read_bytes()


def unharmed(path, before):
    assert path.read_bytes() == before
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    orbas.load(path)


@pytest.mark.parametrize(("call", "code"), [("fsync", errno.ENOSPC), ("replace", errno.EROFS), ("fsync", errno.EIO)])
def test_a_failing_disk_leaves_the_old_file(saved, monkeypatch, call, code):
    path, potential, before = saved

    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match=f"{os.strerror(code)}; nothing was written") as caught:
            potential.save(path)
    assert (caught.value.errno, caught.value.filename) == (code, str(path))
    unharmed(path, before)


def test_a_file_that_outgrows_its_limit_leaves_the_old_one(saved):
    """The kernel itself refuses bytes in the middle of the file, as a full disk does."""
    path, potential, before = saved
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(OSError, match=r"too large; nothing was written.*m\.orbas"):
            potential.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    unharmed(path, before)


def test_folders_that_take_no_file(tmp_path):
    potential = model_files.small()
    # Not even root can make files in /proc.
    for path in (Path("/proc/m.orbas"), tmp_path / "none" / "m.orbas", tmp_path):
        with pytest.raises(OSError, match=r"no file can be written there|No such folder|Is a directory") as caught:
            potential.save(path)
        assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, random, signal, sys, time
sys.path.insert(0, sys.argv[1])
import model_files, orbas
path = sys.argv[2]
models = [model_files.small(), model_files.fitted(orbas.PowerSpectrum(model_files.density()), model_files.silicon())]
known = {model.weights_.tobytes(): k for k, model in enumerate(models)}
models[0].save(path)
random.seed(5)
found = [0, 0]
for k in range(200):
    child = os.fork()
    if child == 0:
        while True:
            for model in models[:: -1 if k % 2 else 1]:
                model.save(path)
    time.sleep(random.uniform(0.0, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found[known[orbas.load(path).weights_.tobytes()]] += 1
print(*found)
"""


def test_kill_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path):
    arguments = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "m.orbas")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    old, new = map(int, done.stdout.split())
    assert old + new == 200
    assert min(old, new) > 20  # it was in the middle of things


# --- versions


def rewritten(tmp_path, change):
    """The file of a small potential with its header and document changed, sealed again."""
    model_files.small().save(tmp_path / "m.orbas")
    parts = list(split((tmp_path / "m.orbas").read_bytes()))
    change(parts)
    (tmp_path / "m.orbas").write_bytes(join(*parts))
    return tmp_path / "m.orbas"


def refused(path, message):
    with pytest.raises(orbas.ModelFileError, match=message) as caught:
        orbas.load(path)
    assert str(path) in str(caught.value)


def set_schema(schema):
    return lambda parts: parts[0]["__metadata__"].update(schema=schema)


def test_a_future_major_version_is_refused(tmp_path):
    refused(
        rewritten(tmp_path, set_schema("2.0")), r"written by orbas \d.* in schema 2.0; this orbas .* reads schema 1"
    )
    refused(rewritten(tmp_path, set_schema("0.9")), "schema 0.9")
    refused(rewritten(tmp_path, set_schema("one")), "its schema is 'one'")


def test_a_parameter_younger_than_the_file_has_its_default(tmp_path):
    path = rewritten(tmp_path, lambda parts: [parts[1]["model"].pop(name) for name in ("chunk", "progress")])
    assert orbas.load(path).chunk == LinearPotential(None).chunk


def add_a_section(parts):
    parts[1]["training"] = {"author": "somebody", "n_structures": 6}
    parts[0]["training/labels"] = {"dtype": "I64", "shape": [1], "data_offsets": [len(parts[2]), len(parts[2]) + 8]}
    parts[2] += bytes(8)


def test_a_newer_minor_version_is_read_if_nothing_unknown_is_needed(tmp_path):
    path = rewritten(tmp_path, add_a_section)
    refused(path, r"unknown sections: \['training'\]")
    path = rewritten(tmp_path, lambda parts: (add_a_section(parts), set_schema("1.7")(parts)))
    assert same_predictions(orbas.load(path), model_files.small(), silicon())
    path = rewritten(tmp_path, lambda p: (p[1]["model"]["representation"].update(kind="Moments"), set_schema("1.7")(p)))
    refused(path, r"model/representation is of an unknown kind, 'Moments': a newer orbas may know it")
    path = rewritten(tmp_path, lambda p: (p[1]["model"].update(dispersion=True), set_schema("1.7")(p)))
    refused(path, r"LinearPotential does not know \['dispersion'\]")


def test_the_golden_file_of_schema_1():
    path = GOLDEN / "si-linear-schema1.orbas"
    assert path.stat().st_size <= 30_000
    expected = json.loads((GOLDEN / "si-linear-schema1.json").read_text())
    frames = [ase.Atoms("Si8", positions=p, cell=expected["cell"], pbc=True) for p in expected["positions"]]
    found = orbas.load(path).predict(frames)
    np.testing.assert_allclose(found.energies, expected["energies"], rtol=1e-12)
    scale = np.abs(expected["forces"]).max()
    np.testing.assert_allclose(np.array(found.forces), expected["forces"], rtol=0, atol=1e-12 * scale)


# --- what files must never do


def test_nothing_in_the_package_runs_what_files_say():
    """docs/reliability.md, row 36: no pickle, joblib, eval, allow_pickle."""
    wrong = re.compile(
        r"^\s*(import|from)\s+(pickle|cPickle|dill|joblib|marshal|shelve)\b|\b(pickle|joblib|marshal)\.(load|dump)"
        r"|(?<![\w.])(eval|exec|__import__)\(|allow_pickle\s*=\s*True",
        re.MULTILINE,
    )
    files = list(Path(orbas.__file__).parent.rglob("*.py"))
    assert len(files) > 50
    assert [path.name for path in files if wrong.search(path.read_text(encoding="utf-8"))] == []


# --- orbas inspect


@pytest.fixture
def file(tmp_path, molecules):
    optimal = orbas.OptimalBasis(density(), 2).fit(molecules)
    potential = fitted(orbas.PowerSpectrum(optimal.expansion_), labeled(molecules), regularization="loo")
    potential.save(tmp_path / "m.orbas")
    return tmp_path / "m.orbas"


def test_inspect_says_what_is_in_a_file(file, capsys):
    assert main(["inspect", str(file)]) == 0
    out = capsys.readouterr().out
    for text in (
        "m.orbas: LinearPotential of H, C, N, O", "energy eV", "PowerSpectrum, 9 features of an atom", "cutoff",
        "3.0 Å", "[2, 2, 2]", "GTO(n_radial=3)", "weights            36", "loo: alpha", "of 25 candidates", "baseline",
        "schema 1.0", f"orbas {orbas.__version__}", container.read(file).digest,
    ):  # fmt: skip
        assert text in out
    assert main(["inspect", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["schema"], document["kind"]) == ("inspect", 1, "LinearPotential")
    assert document["species"] == [1, 6, 7, 8]
    assert document["representations"][0]["channels"] == [[2, 2, 2]]
    assert document["n_weights"] == 36
    assert document["baseline"] == {
        ase.data.chemical_symbols[number]: energy for number, energy in orbas.load(file).baseline_.energies_.items()
    }
    assert document["sha256"] == container.read(file).digest


def test_inspect_refuses_in_one_line(file, capsys):
    file.write_bytes(file.read_bytes()[:-1])
    for path, message in (
        (file, "cut short"),
        (file.parent, "not a regular file"),
        (file.parent / "no", "No such file"),
    ):
        assert main(["inspect", str(path)]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("orbas: error: ")
        assert message in err
        assert str(path) in err
        assert err.count("\n") == 1
    assert main(["inspect"]) == 2
