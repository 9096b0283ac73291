"""Damaged and hostile model files: always a ModelFileError, soon, in little memory."""

from __future__ import annotations

import contextlib
import copy
import os
import random
import subprocess
import sys

import model_files
import numpy as np
import orbas
import pytest
from model_files import OPENING, density, fitted, join, labeled, seal, silicon, split


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a small file."""
    path = tmp_path_factory.mktemp("whole") / "m.orbas"
    model_files.small().save(path)
    return path.read_bytes()


def put(path, content):
    """Write over what is there: emptying a file first would have some file systems go to the disk every time."""
    with path.open("r+b" if path.exists() else "xb") as file:
        file.write(content)
        file.truncate()


def refusals(path, contents):
    """Write one content after the other; count those that are refused, and refused only by ModelFileError."""
    count = 0
    for content in contents:
        put(path, content)
        with contextlib.suppress(orbas.ModelFileError):
            orbas.load(path)
            continue
        count += 1
    return count


# --- damage


def test_a_file_cut_at_any_byte_is_refused(tmp_path, whole):
    cut = [whole[:length] for length in range(len(whole))]
    assert refusals(tmp_path / "m.orbas", cut) == len(whole)
    assert refusals(tmp_path / "m.orbas", [whole + b"\0", whole + whole, whole]) == 2


def test_any_flipped_bit_is_refused(tmp_path, whole):
    def flipped():
        for place in range(len(whole)):
            for bit in range(8):
                damaged = bytearray(whole)
                damaged[place] ^= 1 << bit
                yield damaged

    assert refusals(tmp_path / "m.orbas", flipped()) == 8 * len(whole)


# --- files made to harm: the digest is right


def changed(whole, change):
    header, document, data = split(whole)
    change(header, document)
    return join(header, document, data)


def entry(name, **fields):
    def change(header, _):
        header[name].update(fields)

    return change


WEIGHTS, ALPHAS = "model/weights_", "model/alphas_"
LAST = "model/coverage_/compositions"
FEATURES = {"dtype": "F64", "shape": [6], "data_offsets": [0, 48]}

TABLES = {
    "overflow": (entry(WEIGHTS, shape=[1 << 61, 16]), "is too large"),
    "overflow to the right size": (entry(WEIGHTS, shape=[(1 << 61) + 1, 6]), "too large"),
    "hidden by a zero": (entry(ALPHAS, shape=[0, 1 << 60]), "too large"),
    "negative": (entry(WEIGHTS, shape=[-6]), "no sane shape"),
    "true": (entry(WEIGHTS, shape=[True, 6]), "no sane shape"),
    "float": (entry(WEIGHTS, shape=[6.0]), "no sane shape"),
    "axes": (entry(WEIGHTS, shape=[1, 1, 1, 1, 6]), "no sane shape"),
    "shape": (entry(WEIGHTS, shape=[5]), "of 40 bytes claims the range"),
    "gap": (entry(WEIGHTS, data_offsets=[8, 56]), "claims the range"),
    "backwards": (entry(WEIGHTS, data_offsets=[48, 0]), "claims the range"),
    "three offsets": (entry(WEIGHTS, data_offsets=[0, 48, 48]), "no sane shape"),
    "dtype": (entry(WEIGHTS, dtype="F32"), "has the dtype 'F32'"),
    "dtype list": (entry(WEIGHTS, dtype=["F64"]), "has the dtype"),
    "another field": (entry(WEIGHTS, strides=[8]), "not described by"),
    "no table": (lambda header, _: header.update({WEIGHTS: 5}), "not described by"),
    "overlap": (lambda header, _: header.update(more=FEATURES), "claims the range"),
    "missing": (lambda header, _: header.pop(WEIGHTS), "the one before ends at 0"),
    "renamed": (lambda header, _: header.update(more=header.pop(LAST)), "compositions', which is not there"),
    "unused": (lambda header, _: header.update(more={**FEATURES, "shape": [0], "data_offsets": [48, 48]}), "'more'"),
    "integers": (entry(WEIGHTS, dtype="I64"), "weights_ must be float64"),
    "format": (lambda header, _: header["__metadata__"].update(format="other"), "do not say 'orbas.model'"),
    "number": (lambda header, _: header["__metadata__"].update(note=5), "metadata do not say"),
    "escapes": (lambda header, _: header["__metadata__"].update(orbas="\x1b[2J"), "its version of orbas"),
    "no version": (lambda header, _: header["__metadata__"].pop("orbas"), "lack orbas"),
}


@pytest.mark.parametrize(("change", "message"), TABLES.values(), ids=TABLES.keys())
def test_wrong_tables_of_arrays_are_refused(tmp_path, whole, change, message):
    (tmp_path / "m.orbas").write_bytes(changed(whole, change))
    with pytest.raises(orbas.ModelFileError, match=message):
        orbas.load(tmp_path / "m.orbas")


def test_ranges_in_another_order_are_refused(tmp_path, molecules):
    potential = fitted(orbas.PowerSpectrum(density()), labeled(molecules), regularization="loo")
    potential.save(tmp_path / "m.orbas")
    header, document, data = split((tmp_path / "m.orbas").read_bytes())
    (tmp_path / "m.orbas").write_bytes(join(dict(reversed(header.items())), document, data))
    with pytest.raises(orbas.ModelFileError, match="claims the range"):
        orbas.load(tmp_path / "m.orbas")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, whole, value):
    header, document, data = split(whole)
    (tmp_path / "m.orbas").write_bytes(join(header, document, data[:8] + np.array(value).tobytes() + data[16:]))
    with pytest.raises(orbas.ModelFileError, match=r"'model/weights_' is not finite at \(1,\)"):
        orbas.load(tmp_path / "m.orbas")


def inside(path, value):
    """Set or (with ``...``) remove something in a document, by its path."""
    *parents, last = path.split("/")

    def change(_, document):
        node = document
        for name in parents:
            node = node[int(name) if isinstance(node, list) else name]
        if value is ...:
            del node[last]
        else:
            node[int(last) if isinstance(node, list) else last] = value

    return change


REPRESENTATION = "model/representation"
DENSITY = f"{REPRESENTATION}/density"

DOCUMENTS = {
    "species": ("species", [8], r"its species are \[8\], those of its model \[14\]"),
    "species of the features": ("model/feature_species_/tuple", [8], "its features are of the center species"),
    "species of the density": (f"{DENSITY}/species_/tuple", [14, 8], "must hold rising atomic numbers"),
    "species of the model": ("model/species_/tuple", [15], "no energy for the species"),
    "units": ("units/energy", "Ha", "its units are"),
    "kind": (f"{REPRESENTATION}/kind", "os.system", "unknown kind, 'os.system'"),
    "another kind": (f"{REPRESENTATION}/kind", "RadialSpectrum", "weights_ must be float64 of the shape"),
    "a representation as basis": (f"{DENSITY}/basis", {"kind": "Fixed", "alpha": 1.0}, "basis must be one of"),
    "no potential": ("model", {"kind": "Cutoff", "radius": 3.0, "width": 0.4, "smoothing": "cosine"}, "no potential"),
    "no object": ("model", {"array": "model/weights_"}, "holds a ndarray"),
    "not fitted": ("model/weights_", ..., "LinearPotential lacks weights_"),
    "not known": ("model/more", 1, r"does not know \['more'\]"),
    "functions": (f"{DENSITY}/basis/n_radial", 3, "weights_ must be float64 of the shape"),
    "too many functions": (f"{DENSITY}/basis/n_radial", 1 << 40, "n_radial must be an integer from 1 to 1000"),
    "type": (f"{DENSITY}/cutoff/radius", "3", "radius must be float"),
    "bool": (f"{DENSITY}/cutoff/radius", True, "radius must be float"),
    "range": (f"{DENSITY}/cutoff/radius", -3.0, "radius must be a number from 1e-6"),
    "narrow": (f"{DENSITY}/density_width", 1e-9, "use density_width=0"),
    "missing": (f"{DENSITY}/cutoff", ..., "DensityExpansion lacks cutoff"),
    "baseline": ("model/baseline_/energies_", {"dict": [[14, "x"]]}, "must be a dict of numbers"),
    "baseline twice": ("model/baseline_/energies_", {"dict": [[14, 1.0], [14, 2.0]]}, "has a key twice"),
    "list as key": ("model/baseline_/energies_", {"dict": [[[14], 1.0]]}, "not a list of keys and values"),
    "not in pairs": ("model/baseline_/energies_", {"dict": [14, 1.0]}, "not a list of keys and values"),
    "tag": ("model/species_", {"set": [14]}, "table without a known tag"),
    "two tags": ("model/species_", {"tuple": [14], "dict": []}, "table without a known tag"),
    "array twice": ("model/cv_errors_", {"array": "model/weights_"}, "which is not there"),
    "alpha": ("model/alpha_", -1.0, "must be positive"),
    "rule": ("model/regularization", "guess", "regularization must be one of cv"),
    "large integer": ("model/chunk", 1 << 70, "too large"),
    "chunk": ("model/chunk", 0, "chunk must be a positive integer"),
    "number": ("model/scale_", float("inf"), "not finite"),
    "section": ("more", 1, "unknown sections"),
    "no section": ("units", ..., "lacks units"),
}


@pytest.mark.parametrize(("path", "value", "message"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_wrong_documents_are_refused(tmp_path, whole, path, value, message):
    (tmp_path / "m.orbas").write_bytes(changed(whole, inside(path, value)))
    with pytest.raises(orbas.ModelFileError, match=message):
        orbas.load(tmp_path / "m.orbas")


# --- nothing takes long, or much memory


def raw(text):
    """A file of this header after its digest, without data."""
    header = OPENING + b"0" * 64 + text
    return seal(header + b" " * (-len(header) % 8), b"")


METADATA = b'","format":"orbas.model","schema":"1.0","orbas":"0.1.0","document":"{}"}'


def hostile():
    """Yield names and contents of files that ask for too much."""
    most = (1 << 21) - 400
    one = b'"%d":{"dtype":"F64","shape":[0],"data_offsets":[0,0]}'
    yield "header of 2^60 bytes", (1 << 60).to_bytes(8, "little") + b'{"__metadata__":{"sha256":"' + b"0" * 100
    yield "header of 2^64 - 1 bytes", b"\xff" * 8 + b"{}"
    yield "1e5 arrays", raw(METADATA + b"," + b",".join(one % k for k in range(100_000)) + b"}")
    yield "2e4 arrays", raw(METADATA + b"," + b",".join(one % k for k in range(20_000)) + b"}")
    yield "depth 1e4", raw(METADATA + b',"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}")
    yield "depth 1e6", raw(METADATA + b',"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}")
    yield "depth 1e4 in the document", raw(METADATA.replace(b"{}", b"[" * 10_000 + b"]" * 10_000) + b"}")
    yield "empty lists", raw(METADATA + b',"a":[' + b"[]," * (most // 3) + b"0]}")
    yield "small tables", raw(METADATA + b',"a":[' + b'{"a":0},' * (most // 8) + b"0]}")
    yield "numbers", raw(METADATA + b',"a":[' + b"1e9," * (most // 4) + b"0]}")
    yield "digits", raw(METADATA + b',"a":' + b"1" * most + b"}")
    yield "backslashes and quotes", raw(METADATA + b',"a":' + b'\\"' * (most // 2))
    yield "quotes", raw(METADATA + b"," + b'"' * most)
    yield (
        "shape of 2^120",
        raw(METADATA + b',"a":{"dtype":"F64","shape":[%d,%d],"data_offsets":[0,0]}}' % (2**60, 2**60)),
    )
    yield (
        "gigabytes announced",
        raw(METADATA + b',"a":{"dtype":"F64","shape":[1000000000],"data_offsets":[0,8000000000]}}'),
    )
    yield "empty", b""
    yield "text", b"#!/bin/sh\nrm -rf /\n" * 100


MEASURE = """
import os, sys
import orbas
from orbas import model_file
def spent(path):
    child = os.fork()
    if child == 0:
        try:
            path and orbas.load(path)
            os._exit(1)
        except orbas.ModelFileError:
            os._exit(0)
        finally:
            os._exit(2)
    _, status, usage = os.wait4(child, 0)
    return status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
_, _, before = spent("")
for path in sys.argv[1:]:
    status, seconds, most = spent(path)
    print(os.path.basename(path), status, seconds, (most - before) / 1e3, sep="|")
"""


def test_hostile_files_are_refused_at_once_and_in_little_memory(tmp_path):
    """CPU time below 1 s each, memory below 100 MB, no pipe blocks (docs/reliability.md, row 35)."""
    names = []
    for name, content in hostile():
        names.append(name)
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    names += ["pipe", "folder", "link"]
    paths = [*(str(tmp_path / name) for name in names), "/dev/zero", "/dev/tty", "/proc/self/maps"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *paths], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert len(rows) == len(paths)
    rows = [(name, int(status), float(seconds), float(most)) for name, status, seconds, most in rows]
    print(*(f"{name:30s} {seconds:.3f} s {most:.1f} MB" for name, _, seconds, most in rows), sep="\n")
    assert [row for row in rows if row[1] != 0] == []  # anything but a ModelFileError
    assert [row for row in rows if row[2] > 1.0 or row[3] > 100.0] == []


# --- seeded mutations of sound files, sealed again

ODD = [
    None, True, False, -1, 0, 1, 2, 14, 255, 256, 1 << 31, 1 << 40, 1 << 61, 1 << 63, -(1 << 61), 0.5, -0.5, 1e300,
    -1e300, 5e-324, float("nan"), float("inf"), "", "x", "GTO", "NICE", "cv", "\ud800", "\x00", [], {}, [[]], [1],
    {"tuple": []}, {"tuple": [1, 2]}, {"tuple": [[1]]}, {"dict": []}, {"dict": [[1, 2]]}, {"dict": [[None, None]]},
    {"array": "model/weights_"}, {"kind": "GTO", "n_radial": 1}, {"kind": "Fixed", "alpha": 1.0}, {"kind": {}},
    {"kind": "LaplacianEigenstates", "n_radial": 1000}, {"kind": "DVR", "n_radial": 1000},
]  # fmt: skip


def nodes(tree):
    """Every place in a tree: (container, key)."""
    found = []
    stack = [tree]
    while stack:
        node = stack.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            found.append((node, key))
            if isinstance(node[key], dict | list):
                stack.append(node[key])
    return found


def mutate(chance, tree):
    """Change one place of a tree in one of six ways."""
    node, key = chance.choice(nodes(tree))
    match chance.randrange(6):
        case 0 | 1:
            node[key] = copy.deepcopy(chance.choice(ODD))
        case 2:
            del node[key]
        case 3 if isinstance(node, list):
            node.append(copy.deepcopy(node[key]))
        case 3:
            node[chance.choice(["x", "kind", "tuple", "species_", ""])] = node.pop(key)
        case 4:
            other, place = chance.choice(nodes(tree))
            node[key] = copy.deepcopy(other[place])
        case 5:
            value = node[key]
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            node[key] = (
                chance.choice([-value, value + 1, value * 10**9, float(value), str(value)]) if is_number else [value]
            )


def nice_potential(_):
    frames = silicon()
    optimal = orbas.OptimalBasis(density(max_angular=1), 2).fit(frames)
    nice = orbas.NICE(optimal.expansion_, nu_max=3, n_pairs=6, n_components=[3, 0], n_invariants=4, n_purify=1)
    return fitted(nice, frames)


def mixed_potential(molecules):
    frames = labeled(molecules)
    optimal = orbas.OptimalBasis(density(max_angular=1), 2, mixing="separate", per_center=True).fit(frames)
    return fitted(orbas.PowerSpectrum(optimal.expansion_), frames, regularization="loo")


def bispectrum_potential(_):
    return fitted(orbas.Bispectrum(density(basis=orbas.bases.LaplacianEigenstates(2))), silicon(), regularization="cv")


@pytest.mark.parametrize(
    "make", [nice_potential, mixed_potential, bispectrum_potential], ids=lambda make: make.__name__
)
def test_mutations_with_a_right_digest(tmp_path, molecules, make):
    """Files that load in spite of a mutation describe another sound model: it predicts, or says why it does not."""
    make(molecules).save(tmp_path / "m.orbas")
    whole = (tmp_path / "m.orbas").read_bytes()
    parts = split(whole)
    frame = silicon(1) if make is not mixed_potential else labeled(molecules)[:1]
    chance = random.Random(35)
    refused = 0
    n_cases = 700
    for _ in range(n_cases):
        header, document, data = copy.deepcopy(parts)
        for _ in range(chance.choice([1, 1, 1, 2, 5])):
            mutate(chance, {"header": header} if chance.random() < 0.25 else {"document": document})
        try:
            content = join(header, document, data)
        except (AttributeError, TypeError):  # what the test's own writer cannot put together
            content = changed(whole, lambda *_: None)[:-1]
        put(tmp_path / "m.orbas", content)
        try:
            potential = orbas.load(tmp_path / "m.orbas")
        except orbas.ModelFileError:
            refused += 1
            continue
        try:
            predicted = potential.predict(frame)
        except ValueError:
            continue
        assert predicted.energies.shape == (1,)
    assert refused > 0.6 * n_cases
