"""The file of an optimal basis: the same bits again, and a clear refusal of anything damaged."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import orbas
import pytest
from orbas.optimal import settings
from orbas.optimal.basis_file import load_basis, save_basis, write_archive

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
def arrays(tmp_path_factory, molecules):
    """What a sound basis file holds."""
    path = tmp_path_factory.mktemp("basis") / "b.npz"
    save_basis(orbas.OptimalBasis(density(), [3, 2, 1]).fit(molecules), path)
    return dict(np.load(path))


def refused(path, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_basis(path)
    assert str(path) in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path, arrays):
    write_archive(tmp_path / "b.npz", arrays)
    whole = (tmp_path / "b.npz").read_bytes()
    load_basis(tmp_path / "b.npz")
    for length in [0, 1, 50, *range(100, len(whole), 211), len(whole) - 1]:
        (tmp_path / "b.npz").write_bytes(whole[:length])
        refused(tmp_path / "b.npz", "not a sound basis file")


def test_flipped_bits_never_crash(tmp_path, arrays, rng):
    write_archive(tmp_path / "b.npz", arrays)
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {**a, "contraction_l0": a["contraction_l0"][:, :2]}, r"contraction_l0 must be float64 of the shape"),
        (lambda a: {**a, "contraction_l0": a["contraction_l0"][:-1]}, r"contraction_l0 must be float64 of the shape"),
        (lambda a: {**a, "contraction_l0": a["contraction_l0"].astype("f4")}, r"contraction_l0 .* got float32"),
        (lambda a: {**a, "contraction_l0": a["contraction_l0"] * np.nan}, r"contraction_l0 is not finite"),
        (lambda a: {**a, "contraction_l0": a["contraction_l0"] * 1.001}, r"contraction_l0 are not orthonormal"),
        (lambda a: {**a, "eigenvalues_l1": a["eigenvalues_l1"][::-1]}, r"eigenvalues_l1 must fall"),
        (lambda a: {**a, "eigenvalues_l1": a["eigenvalues_l1"][None]}, r"eigenvalues_l1 must be float64 of the shape"),
        (lambda a: {key: a[key] for key in a if key != "eigenvalues_l2"}, r"lacks 'eigenvalues_l2'"),
        (lambda a: {key: a[key] for key in a if key != "metadata"}, r"lacks 'metadata'"),
        (lambda a: {**a, "contraction_l3": a["contraction_l2"]}, r"unknown entries: contraction_l3"),
        (lambda a: {**a, "metadata": np.array([1, 2])}, r"metadata are not a text"),
        (lambda a: {**a, "metadata": np.array("{")}, r"metadata are not JSON"),
        (lambda a: {**a, "metadata": np.array("[" * 100_000)}, r"metadata are not JSON"),
        (lambda a: {**a, "metadata": np.array([[1, {}]], dtype=object)}, r"not a sound basis file"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, arrays, change, message):
    write_archive(tmp_path / "b.npz", change(arrays))
    refused(tmp_path / "b.npz", message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "numpy"}, "do not say 'orbas.basis'"),
        ({"schema": 2}, "schema 2, written by a newer orbas"),
        ({"schema": "1"}, "its schema is '1'"),
        ({"species": [6, 1]}, "species must be rising"),
        ({"species": [1, 6]}, "must be float64 of the shape"),
        ({"species": []}, "species must be rising"),
        ({"n_environments": -1}, "n_environments is -1"),
        ({"settings": []}, "settings are not a table"),
        ({"settings": {"cutoff": {"radius": 3.0}}}, "density_width is missing"),
        ({"settings": {"cutoff": {"radius": 3.0, "color": 1}}}, "unknown field cutoff.color"),
    ],
)
def test_wrong_metadata_are_refused(tmp_path, arrays, change, message):
    metadata = {**json.loads(arrays["metadata"].item()), **change}
    write_archive(tmp_path / "b.npz", {**arrays, "metadata": np.array(json.dumps(metadata))})
    refused(tmp_path / "b.npz", message)


def test_compressed_and_foreign_files_are_refused(tmp_path, arrays):
    np.savez_compressed(tmp_path / "b.npz", **arrays)
    refused(tmp_path / "b.npz", "compressed")
    np.save(tmp_path / "b.npy", arrays["eigenvalues_l0"])
    refused(tmp_path / "b.npy", "not a sound basis file")
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:  # announces 2^60 numbers and holds none
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,), }"
        archive.writestr("metadata.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    refused(tmp_path / "huge.npz", "not a sound basis file")


def test_a_failed_write_leaves_the_old_file(tmp_path, arrays, monkeypatch):
    write_archive(tmp_path / "b.npz", arrays)
    before = (tmp_path / "b.npz").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        write_archive(tmp_path / "b.npz", arrays)
    assert [path.name for path in tmp_path.iterdir()] == ["b.npz"]
    assert (tmp_path / "b.npz").read_bytes() == before
