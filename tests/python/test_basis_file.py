"""The file of an optimal basis: the same bits again, and a clear refusal of anything damaged."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import orbas
import pytest
from orbas.files import container
from orbas.files.archive import write_archive
from orbas.files.kinds import Content
from orbas.optimal import settings
from orbas.optimal.basis_file import load_basis, save_basis

R = np.linspace(0.1, 3.0, 7)


def density(**changes):
    options = {"cutoff": orbas.Cutoff(3.0, 0.4), "density_width": 0.4, "max_angular": 2, "basis": orbas.bases.GTO(5)}
    return orbas.DensityExpansion(**{**options, **changes})


def same_bits(a, b):
    """Whether nested lists and dicts of arrays are equal to the bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_bits(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same_bits, a, b))
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("mixing", ["separate", "combined"])
@pytest.mark.parametrize("per_center", [False, True])
@pytest.mark.parametrize("amount", [{"n_optimal": [3, 9, 0]}, {"residual": 1e-3}])
def test_a_basis_read_again_is_the_same_to_the_bit(tmp_path, molecules, mixing, per_center, amount):
    setup = density(scaling=orbas.RadialScaling(1, 2, 7), species=(np.int64(8), 1, 6, 7), center_weight=0.5)
    fitted = orbas.OptimalBasis(setup, mixing=mixing, per_center=per_center, **amount).fit(molecules)
    save_basis(fitted, tmp_path / "basis.orbas")
    again = load_basis(tmp_path / "basis.orbas")
    assert [path.name for path in tmp_path.iterdir()] == ["basis.orbas"]
    for name in ("contraction_", "eigenvalues_", "residual_variance_"):
        assert same_bits(getattr(again, name), getattr(fitted, name))
    assert same_bits(again.radial_functions(R), fitted.radial_functions(R))
    assert (again.species_, again.n_environments_) == (fitted.species_, fitted.n_environments_)
    assert settings.describe(again) == settings.describe(fitted)
    new, old = again.expansion_.transform(molecules), fitted.expansion_.transform(molecules)
    assert all(same_bits(new[key].values, old[key].values) for key in old)


@pytest.mark.parametrize("basis", [orbas.bases.DVR(12), orbas.bases.LaplacianEigenstates(4)])
def test_other_primitive_bases_and_ragged_counts(tmp_path, molecules, basis):
    fitted = orbas.OptimalBasis(density(basis=basis), 3).fit(molecules)
    save_basis(fitted, tmp_path / "b.npz")
    assert load_basis(tmp_path / "b.npz").density.basis == basis
    assert same_bits(load_basis(tmp_path / "b.npz").contraction_, fitted.contraction_)


def test_custom_and_unfitted_bases_cannot_be_saved(tmp_path, molecules):
    custom = orbas.bases.Custom([lambda r: np.exp(-r), lambda r: np.exp(-2 * r)])
    fitted = orbas.OptimalBasis(density(basis=custom), 1).fit(molecules)
    with pytest.raises(ValueError, match="Custom basis consists of Python functions"):
        save_basis(fitted, tmp_path / "b.npz")
    with pytest.raises(orbas.NotFittedError):
        save_basis(orbas.OptimalBasis(density(), 1), tmp_path / "b.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def contents(tmp_path_factory, molecules):
    """What a sound basis file holds: document and arrays."""
    path = tmp_path_factory.mktemp("basis") / "b.orbas"
    save_basis(orbas.OptimalBasis(density(), [3, 2, 1]).fit(molecules), path)
    found = container.read(path, Content.BASIS)
    return found.document, found.tensors


def write_new(path, document, arrays):
    container.write(path, document, arrays, Content.BASIS)


def write_old(path, document, arrays):
    """As orbas wrote bases before they stood in the container of models."""
    text = json.dumps({"format": "orbas.basis", "schema": 1, **document})
    write_archive(path, {"metadata": np.array(text), **arrays})


WRITERS = pytest.mark.parametrize("write", [write_new, write_old])


def refused(path, message):
    with pytest.raises(orbas.ModelFileError, match=message) as caught:
        load_basis(path)
    assert str(path) in str(caught.value)


def test_a_basis_of_an_older_version_is_read():
    golden = Path(__file__).parent / "golden"
    expected = json.loads((golden / "basis-archive1.json").read_text())
    basis = load_basis(golden / "basis-archive1.npz")
    assert settings.describe(basis) == expected["settings"]
    assert basis.n_environments_ == expected["n_environments"]
    assert same_bits(basis.contraction_, list(map(np.array, expected["contraction"])))
    assert same_bits(basis.residual_variance_, np.array(expected["residual_variance"]))


def test_an_older_name_is_taken_for_the_new_contents(tmp_path, contents):
    write_old(tmp_path / "old.npz", *contents)
    save_basis(load_basis(tmp_path / "old.npz"), tmp_path / "new.npz")
    assert container.read(tmp_path / "new.npz", Content.BASIS).tensors.keys() == contents[1].keys()
    with pytest.raises(ValueError, match=r"a basis would be written.*end it in \.orbas"):
        save_basis(load_basis(tmp_path / "old.npz"), tmp_path / "new.zip")


@WRITERS
def test_a_truncated_file_is_refused(tmp_path, contents, write):
    path = tmp_path / "b.orbas"
    write(path, *contents)
    whole = path.read_bytes()
    load_basis(path)
    for length in [0, 1, 50, *range(100, len(whole), 211), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, "not a sound basis file|not a basis file|cut short")


def test_a_changed_bit_is_always_refused(tmp_path, contents, rng):
    path = tmp_path / "b.orbas"
    write_new(path, *contents)
    whole = path.read_bytes()
    for place in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(orbas.ModelFileError):
            load_basis(path)


def test_changed_bits_of_an_older_file_never_crash(tmp_path, contents, rng):
    write_old(tmp_path / "b.npz", *contents)
    whole = (tmp_path / "b.npz").read_bytes()
    refusals = 0
    for place in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        (tmp_path / "b.npz").write_bytes(damaged)
        try:
            load_basis(tmp_path / "b.npz")
        except ValueError:
            refusals += 1
    assert refusals > 100


@WRITERS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {**a, "contraction_l0": a["contraction_l0"][:, :2]}, r"contraction_l0 must be float64 of the shape"),
        (lambda a: {**a, "contraction_l0": a["contraction_l0"][:-1]}, r"contraction_l0 must be float64 of the shape"),
        (lambda a: {**a, "contraction_l0": a["contraction_l0"].astype("i8")}, r"contraction_l0 .* got int64"),
        (lambda a: {**a, "contraction_l0": a["contraction_l0"] * 1.001}, r"contraction_l0 are not orthonormal"),
        (lambda a: {**a, "eigenvalues_l1": a["eigenvalues_l1"][::-1]}, r"eigenvalues_l1 must fall"),
        (lambda a: {**a, "eigenvalues_l1": a["eigenvalues_l1"][None]}, r"eigenvalues_l1 must be float64 of the shape"),
        (lambda a: {key: a[key] for key in a if key != "eigenvalues_l2"}, r"lacks 'eigenvalues_l2'"),
        (lambda a: {**a, "contraction_l3": a["contraction_l2"]}, r"unknown entries: contraction_l3"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, contents, write, change, message):
    document, arrays = contents
    write(tmp_path / "b.orbas", document, change(arrays))
    refused(tmp_path / "b.orbas", message)


@WRITERS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"species": [6, 1]}, "species must be rising"),
        ({"species": [1, 6]}, "must be float64 of the shape"),
        ({"species": []}, "species must be rising"),
        ({"n_environments": -1}, "n_environments is -1"),
        ({"settings": []}, "settings are not a table"),
        ({"settings": {"cutoff": {"radius": 3.0}}}, "density_width is missing"),
        ({"settings": {"cutoff": {"radius": 3.0, "color": 1}}}, "unknown field cutoff.color"),
    ],
)
def test_wrong_documents_are_refused(tmp_path, contents, write, change, message):
    document, arrays = contents
    write(tmp_path / "b.orbas", {**document, **change}, arrays)
    refused(tmp_path / "b.orbas", message)


def test_unknown_sections_are_refused(tmp_path, contents):
    document, arrays = contents
    write_new(tmp_path / "b.orbas", {**document, "more": 1}, arrays)
    refused(tmp_path / "b.orbas", "unknown sections: more")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contraction_l0": np.full((20, 3), np.nan)}, r"contraction_l0 is not finite"),
        ({"metadata": np.array([1, 2])}, r"metadata are not a text"),
        ({"metadata": np.array("{")}, r"metadata is not sound JSON"),
        ({"metadata": np.array("[" * 100_000)}, r"nested deeper"),
        ({"metadata": np.array('{"format": "numpy"}')}, r"do not say 'orbas.basis'"),
        ({"metadata": np.array('{"format": "orbas.basis", "schema": 2}')}, r"it has schema 2"),
        ({"metadata": np.array('{"format": "orbas.basis"}')}, r"lacks 'schema'"),
        ({"metadata": np.array([[1, {}]], dtype=object)}, r"not a sound basis file"),
    ],
)
def test_wrong_archives_are_refused(tmp_path, contents, change, message):
    write_old(tmp_path / "b.npz", *contents)
    write_archive(tmp_path / "b.npz", {**dict(np.load(tmp_path / "b.npz")), **change})
    refused(tmp_path / "b.npz", message)


def test_archives_take_no_more_memory_than_their_size(tmp_path, contents):
    """Compressed members, members that announce more than they hold, and members that share their bytes."""
    np.savez_compressed(tmp_path / "b.npz", **contents[1])
    refused(tmp_path / "b.npz", "compressed")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,), }"
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:  # announces 2^60 numbers and holds none
        archive.writestr("metadata.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    refused(tmp_path / "huge.npz", "0 bytes are there")
    with zipfile.ZipFile(tmp_path / "shared.npz", "w") as archive:
        archive.writestr("metadata.npy", bytes(10_000))
        (info,) = archive.infolist()
        archive.filelist = [info] * 1000
    refused(tmp_path / "shared.npz", "members claim more bytes than it has")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("structures.xyz", b"2\nPbc=F\nH 0 0 0\nH 0 0 1\n", r"it looks like structures \(XYZ\)"),
        ("settings.toml", b"# of a fit\n[cutoff]\nradius = 5.0\n", r"it looks like settings \(TOML\)"),
        ("packed.gz", b"\x1f\x8b\x08\x00\x00\x00", r"it looks like a gzip file"),
        ("model.pkl", b"\x80\x04\x95\x00\x00\x00\x00", r"it looks like a Python pickle"),
        ("array.npy", b"\x93NUMPY\x01\x00", r"it looks like a NumPy array"),
        ("nothing", b"", r"it looks like an empty file"),
    ],
)
def test_other_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, f"not a basis file: {message}")
    with pytest.raises(orbas.ModelFileError, match=f"not a model file: {message}"):
        orbas.load(tmp_path / name)


def test_a_basis_is_no_model_and_says_so(tmp_path, contents):
    write_new(tmp_path / "b.orbas", *contents)
    with pytest.raises(orbas.ModelFileError, match=r"b\.orbas: a basis, not a model: see it with `orbas basis show`"):
        orbas.load(tmp_path / "b.orbas")
    container.write(tmp_path / "m.orbas", {}, {})
    refused(tmp_path / "m.orbas", "m.orbas: a model, not a basis: see it with `orbas inspect`")


def test_a_failed_write_leaves_the_old_file(tmp_path, contents, monkeypatch):
    write_new(tmp_path / "b.orbas", *contents)
    before = (tmp_path / "b.orbas").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_new(tmp_path / "b.orbas", *contents)
    assert [path.name for path in tmp_path.iterdir()] == ["b.orbas"]
    assert (tmp_path / "b.orbas").read_bytes() == before
