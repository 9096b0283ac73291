"""Kinds 2, 10, 13, 17, 25, 26: what a file of structures may look like, and what is said of one that cannot be read."""

import contextlib
import gzip
import io
import logging
import os
import random
import re
import sys
import time

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian
from ase.io.extxyz import read_xyz
from ase.units import fs
from orbas import read
from orbas.errors import LabelError, StructureFileError
from orbas.structures import extxyz
from orbas.structures.comment import parse_comment

LATTICE = 'Lattice="4 0 0 0 5 0 0 1 6"'
CELL = [[4, 0, 0], [0, 5, 0], [0, 1, 6]]
COLUMNS = "Properties=species:S:1:pos:R:3"
ROWS = "Si 0 0 0\nSi 1.4 1.4 1.4\n"


@pytest.fixture
def load(tmp_path):
    def load(content, name="some.xyz", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read(path, **options)

    return load


def one(load, comment, rows=ROWS):
    (atoms,) = load(f"{rows.count(chr(10))}\n{comment}\n{rows}", labels=())
    return atoms


# --- the same as ase, where ase is right


def rich():
    """A structure with everything that ase writes, of which no label."""
    atoms = fcc111("Cu", (2, 2, 2), vacuum=5)
    atoms.rattle(0.1, seed=3)
    atoms.set_initial_charges(np.linspace(-1, 1, len(atoms)))
    atoms.set_initial_magnetic_moments(np.linspace(0, 1, len(atoms)))
    atoms.set_tags(range(len(atoms)))
    atoms.set_masses([63.0] * 7 + [65.0])
    atoms.set_momenta(np.random.default_rng(0).normal(size=(len(atoms), 3)))
    atoms.set_array("flags", np.arange(len(atoms)) % 2 == 0)
    atoms.set_array("names", np.array([f"atom{k}" for k in range(len(atoms))], dtype=object))
    atoms.set_array("tensor", np.random.default_rng(1).normal(size=(len(atoms), 9)))
    atoms.info.update(
        integer=3, real=-1.5e-7, truth=True, truths=np.array([True, False]), vector=np.array([1, 2, 3]),
        matrix=np.eye(3), text="some words", quoted='with "quotes" inside', brackets="[1, 2",
        nested={"a": [1, {"b": 2}]},        letters=["a", "b"], equation="a = b", one=np.array([1.5]),
    )  # fmt: skip
    return atoms


VARIANTS = {
    "rich": rich,
    "fixed atoms": lambda: with_constraint(FixAtoms([0, 3])),
    "fixed components": lambda: with_constraint([FixCartesian(k, [k % 2 == 0, False, True]) for k in range(8)]),
    "molecule": lambda: molecule("CH3OH"),
    "wire": lambda: Atoms("Cu2", [[0, 0, 0], [0, 0, 2]], cell=[9, 9, 4], pbc=[False, False, True]),
    "results": lambda: with_results(bulk("Si", cubic=True)),
    "no atoms": lambda: Atoms(cell=[3, 3, 3], pbc=True),
}


def with_constraint(constraint):
    atoms = rich()
    atoms.set_constraint(constraint)
    return atoms


def with_results(atoms):
    n = len(atoms)
    atoms.calc = SinglePointCalculator(
        atoms, energy=-3.0, free_energy=-3.1, forces=np.ones((n, 3)), stress=np.arange(6.0), dipole=[1, 2, 3],
        charges=np.zeros(n), magmoms=np.ones(n), energies=np.ones(n),
    )  # fmt: skip
    return atoms


@pytest.mark.parametrize("labels", [(), ("energy", "forces", "stress")], ids=["without labels", "with labels"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_ase_writes_is_read_as_ase_reads_it(tmp_path, variant, labels):
    ase.io.write(tmp_path / "a.xyz", [VARIANTS[variant](), VARIANTS[variant]()], format="extxyz")
    text = (tmp_path / "a.xyz").read_text()
    expected = (
        list(read_xyz(io.StringIO(text), index=slice(None))) if variant != "no atoms" else [VARIANTS[variant]()] * 2
    )
    for found, other in zip(read(tmp_path / "a.xyz", labels=labels), expected, strict=True):
        assert np.array_equal(found.numbers, other.numbers)
        assert np.array_equal(found.cell, other.cell)
        assert np.array_equal(found.pbc, other.pbc)
        assert str([c.todict() for c in found.constraints]) == str([c.todict() for c in other.constraints])
        for mine, theirs in (
            (found.info, other.info),
            (found.arrays, other.arrays),
            (getattr(found.calc, "results", {}), getattr(other.calc, "results", {})),
        ):
            assert {key for key in mine if not key.startswith("REF_")} == set(theirs)
            for key, value in theirs.items():
                assert type(mine[key]) is type(value)
                np.testing.assert_array_equal(mine[key], value)
                assert np.asarray(mine[key]).dtype == np.asarray(value).dtype


def test_what_is_read_is_written_and_read_again(tmp_path):
    """Nothing that was taken for a label is left where ase trips over it."""
    for k, comment in enumerate((
        'energy=1 stress="1 2 3 4 5 6"', 'energy=1 stress="1 0 0 0 2 0 0 0 3"', 'virial="1 2 3 4 5 6"',
        'REF_energy=1 REF_stress="1 2 3 4 5 6"', 'energy=1 virial="1 0 0 0 2 0 0 0 3" stress="-1 0 0 0 -2 0 0 0 -3"',
    )):  # fmt: skip
        volume = 'Lattice="1 0 0 0 1 0 0 0 1"'
        (tmp_path / "a.xyz").write_text(f"1\n{volume} {comment} {COLUMNS}:forces:R:3\nH 0 0 0 1 2 3\n")
        for labels in ((), ("energy", "forces", "stress")):
            first = read(tmp_path / "a.xyz", labels=labels)
            ase.io.write(tmp_path / f"b{k}.xyz", first, format="extxyz")
            ase.io.read(tmp_path / f"b{k}.xyz")
            (again,) = read(tmp_path / f"b{k}.xyz", labels=labels)
            for key, value in first[0].info.items():
                np.testing.assert_allclose(again.info[key], value)


# --- cells and periodicity

FLAGS = [
    *("T T F", "t t f", "true True FALSE", "TTF", "ttf", "110", "1 1 0", "yes yes no", "y y n", "on on off"),
    *("[T, T, F]", "[True, True, False]", "{T T F}", "(1,1,0)", "T,T,F", "p p f", "ppf", "pp pp ff", "p p s"),
    ".true. .true. .false.",
]  # fmt: skip


@pytest.mark.parametrize("key", ["pbc", "PBC", "Pbc"])
@pytest.mark.parametrize("flags", FLAGS)
def test_flags_in_every_spelling(load, key, flags):
    for quote in ['"', "'", *([""] if " " not in flags else [])]:
        atoms = one(load, f"{LATTICE} {key}={quote}{flags}{quote} {COLUMNS}")
        assert atoms.pbc.tolist() == [True, True, False]
        assert not {name for name in atoms.info if name.lower() == "pbc"}


@pytest.mark.parametrize("flags", ["T F T", "True False True", "(True, False, True)", "[T, F, T]", "1 0 1", "T, F, T"])
def test_flags_without_quotes(load, flags):
    """Three words behind pbc are its flags, not one flag for all directions and two odd entries."""
    for comment in (f"{LATTICE} pbc={flags} {COLUMNS}", f"{LATTICE} {COLUMNS} pbc = {flags} energy=1"):
        atoms = one(load, comment)
        assert atoms.pbc.tolist() == [True, False, True]
        assert set(atoms.info) <= {"REF_energy"}


@pytest.mark.parametrize(("flags", "expected"), [("T", True), ("1", True), ("true", True), ("F", False), ("no", False)])
def test_one_flag_is_for_all_directions(load, flags, expected):
    assert one(load, f"{LATTICE} pbc={flags} {COLUMNS}").pbc.tolist() == [expected] * 3


@pytest.mark.parametrize("key", ["periodic", "boundary", "Boundary_Conditions", "bc"])
def test_flags_under_keys_of_other_programs(load, key):
    atoms = one(load, f'{LATTICE} {key}="p p f" {COLUMNS}')
    assert atoms.pbc.tolist() == [True, True, False]
    assert one(load, f"{LATTICE} {key}=surface {COLUMNS}").info[key] == "surface"


@pytest.mark.parametrize("flags", ["xyz", "T T", "2", "T T F F", "maybe", "1.5 0 0", "TTFF", "none"])
def test_flags_that_nobody_understands_are_an_error(load, flags):
    with pytest.raises(StructureFileError, match=r"some.xyz, line 2: structure 0: pbc is not understood"):
        one(load, f'{LATTICE} pbc="{flags}" {COLUMNS}')


@pytest.mark.parametrize("key", ["Lattice", "lattice", "LATTICE"])
@pytest.mark.parametrize(
    "text",
    ['"4 0 0 0 5 0 0 1 6"', "'4 0 0 0 5 0 0 1 6'", "{4 0 0 0 5 0 0 1 6}", "[4, 0, 0, 0, 5, 0, 0, 1, 6]",
     "[[4,0,0],[0,5,0],[0,1,6]]", '"[[4, 0, 0], [0, 5, 0], [0, 1, 6]]"', "4,0,0,0,5,0,0,1,6",
     '" 4.0 0 0 0 5e0 0 0 1 6 "', '"4.0D0 0 0 0 0.5d+01 0 0 1 6"'],
)  # fmt: skip
def test_cells_in_every_spelling(load, key, text):
    for comment in (f"{key}={text} {COLUMNS}", f"{COLUMNS} {key} = {text}"):
        atoms = one(load, comment)
        np.testing.assert_array_equal(atoms.cell, CELL)
        assert atoms.pbc.all()


@pytest.mark.parametrize("key", ["Properties", "properties", "PROPERTIES"])
def test_columns_in_any_case(load, key):
    atoms = one(load, f"{LATTICE} {key}=pos:R:3:species:S:1", "0 0 0 Fe\n1 1 1 Fe\n")
    assert atoms.numbers.tolist() == [26, 26]


@pytest.mark.parametrize(
    "comment",
    ['Lattice="4 0 0 0 5 0 0 1"', "Lattice=4", 'Lattice="a b c d e f g h i"', 'Lattice="4 0 0 0 5 0 0 1 1_0"',
     "Lattice=",
     'Lattice="4 0 0 0 5 0 0 1 6', 'cell="4 4 4"', 'Cell="4 0 0 0 4 0 0 0 4"', 'box="10 10 10 90 90 90"',
     "unit_cell=[4,4,4]", "10.0 10.0 10.0", "10 10 10 90 90 90", "4 0 0 0 4 0 0 0 4", "box 10 10 10",
     "CELL(abc): 4.0 4.0 4.0", "a=4 b=4 c=4", "Lx=4.0 Ly=4.0 Lz=4.0", "xlo=0 xhi=4 ylo=0 yhi=4",
     'a1="1 0 0" a2="0 1 0"',
     'vec1="4 0 0"', "Lattice=4 0 0 0 5 0 0 1 6", "CRYST1 10.0 10.0 10.0 90.00 90.00 90.00 P 1",
     "# CELL(abcABC): 35.2 35.2 35.2 90.0 90.0 90.0 Step: 1 Bead: 0 positions{angstrom} cell{angstrom}",
     "cell 4 0 0 0 4 0 0 0 4"],
)  # fmt: skip
def test_a_cell_that_nobody_understands_is_no_cluster(load, comment):
    with pytest.raises(StructureFileError, match=r"some.xyz, line 2: structure 0: .*not understood") as caught:
        one(load, comment)
    assert "Lattice" in str(caught.value)


@pytest.mark.parametrize(
    "comment",
    ["", "water", "gdb 1 157.7 157.7 157.7 0. 13.21", "0.1 0.2 0.3", "-76.4", "i = 10, time = 5.0, E = -17.3",
     "3 x 3 supercell", 'pbc="F F F" 10 10 10', "it's a cluster",
      'cell="4 4 4" pbc="F F F"', "12 atoms of Si", "cell 5"],
)  # fmt: skip
def test_other_comments_are_clusters(load, comment):
    atoms = one(load, comment)
    assert not atoms.pbc.any()
    assert not atoms.cell.any()


def test_a_cell_behind_an_odd_word_is_found(load):
    """Quotes that do not close and values that are missing hide nothing."""
    for before in (
        "author=O'Brien",
        "it's",
        "comment=",
        "comment = ",
        'name=""',
        "x={",
        "[",
        "a\\ b",
        'size=5"',
        "=",
        "= =",
    ):
        assert one(load, f"{before} {LATTICE} {COLUMNS}").pbc.all(), before


def test_entries_that_contradict_each_other(load):
    for comment in (
        f'{LATTICE} lattice="1 0 0 0 1 0 0 0 1"',
        f"{LATTICE} pbc=T PBC=F",
        f"{COLUMNS} properties=pos:R:3",
    ):
        with pytest.raises(StructureFileError, match="stands twice"):
            one(load, comment)


# --- entries

TEXTS = ["T", "F", "true", "1e3", "007", "1_0", "nan", "inf", "-1", "3.5", "[1,2]"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_config_type_is_a_name(load, text):
    assert one(load, f'config_type="{text}" {COLUMNS}').info["config_type"] == text
    assert one(load, f"config_type={text} {COLUMNS}").info["config_type"] == text.strip("[]")


def test_numbers_have_the_grammar_of_files():
    entries = parse_comment("a=1_0 b=0x10 c=1e3 d=1d3 e=+1 f=.5 g=5. h=1e400 i=٣ j=12345678901234567890").entries
    assert (entries["a"], entries["b"], entries["d"], entries["i"]) == ("1_0", "0x10", "1d3", "٣")
    assert (entries["c"], entries["e"], entries["f"], entries["g"], entries["h"]) == (1e3, 1, 0.5, 5.0, np.inf)
    assert entries["j"] == 12345678901234567890.0


def test_damaged_json_is_named(load):
    with pytest.raises(StructureFileError, match="line 2: structure 0: the value of 'a' is not JSON"):
        one(load, 'a="_JSON [1, 2"')


# --- columns


@pytest.mark.parametrize("name", ["mtt::aux::charge", "a:b", "::", "R:x", "x:S"])
def test_names_of_columns_may_have_colons(load, name):
    atoms = one(load, f"Properties=species:S:1:pos:R:3:{name}:R:1:last:I:2", "Cu 0 0 0 0.5 1 2\n")
    np.testing.assert_array_equal(atoms.arrays[name], [0.5])
    np.testing.assert_array_equal(atoms.arrays["last"], [[1, 2]])


@pytest.mark.parametrize(
    "columns", ["species:S:1:pos:R", "species:S:1:pos:X:3", "species", "pos:R:3:", "a:R:0:pos:R:3", "::::"]
)
def test_columns_that_nobody_understands(load, columns):
    with pytest.raises(StructureFileError, match=r"line 2: structure 0: (Properties|no column)"):
        one(load, f"Properties={columns}")


GOOD_COLUMNS = {
    "species:S:1:pos:R:3": "Si 0 0 0", "Z:I:1:pos:R:3": "14 0 0 0", "numbers:I:1:pos:R:3": "14 0 0 0",
    "atomic_numbers:I:1:positions:R:3": "14 0 0 0", "element:S:1:pos:R:3": "Si 0 0 0",
    "Species:S:1:Pos:R:3": "si 0 0 0",
    "symbols:S:1:coords:R:3": "SI 0 0 0", "type:S:1:position:R:3": "Si 0 0 0", "species:S:1:pos:I:3": "Si 0 0 0",
    "species:S:1:x:R:1:y:R:1:z:R:1": "Si 0 0 0", "pos:R:3:species:S:1:Z:I:1": "0 0 0 Si 14",
    "species:S:1:Z:I:1:pos:R:3": "Si1 14 0 0 0", "id:I:1:species:S:1:pos:R:3": "1 Si 0D+00 0.0d0 0",
}  # fmt: skip


@pytest.mark.parametrize("columns", GOOD_COLUMNS)
def test_usual_names_of_elements_and_positions(load, columns):
    atoms = one(load, f"Properties={columns}", GOOD_COLUMNS[columns] + "\n")
    assert atoms.numbers.tolist() == [14]
    assert not atoms.positions.any()


BAD_COLUMNS = {
    "pos:R:3": "0 0 0", "id:I:1:pos:R:3": "1 0 0 0", "type:I:1:pos:R:3": "14 0 0 0", "species:S:1": "Si",
    "species:S:1:forces:R:3": "Si 0 0 0", "species:I:1:pos:R:3": "14 0 0 0", "species:S:1:pos:R:2": "Si 0 0",
    "species:S:1:scaled_positions:R:3": "Si 0 0 0", "species:S:1:x:R:1:y:R:1": "Si 0 0", "Z:R:1:pos:R:3": "14 0 0 0",
}  # fmt: skip


@pytest.mark.parametrize("columns", BAD_COLUMNS)
def test_elements_and_positions_must_be_named(load, columns):
    with pytest.raises(
        StructureFileError, match=r"some.xyz, line 2: structure 0: no column names the (elements|positions)"
    ):
        one(load, f"Properties={columns}", BAD_COLUMNS[columns] + "\n")


@pytest.mark.parametrize(
    ("row", "message"),
    [("Si1 0 0 0", "'Si1' is no symbol of an element: is it Si, with a label"), ("D 0 0 0", "'D' is no symbol .* mass"),
     ("1 0 0 0", "'1' is no symbol of an element: a type"), ("Qq 0 0 0", "'Qq' is no symbol of an element"),
     ("Si 0 0 x", "'x' in the column 'pos' is not a number"), ("Si 0 0", "the row has 3 words, its columns are 4"),
     ("Si 0 0 1_0", "'1_0' in the column 'pos' is not a number"), ("", "the row has 0 words"),
     ("Si 0 0 inf", "position .* is not finite"), ("Si 0 nan 0", "position .* is not finite")],
)  # fmt: skip
def test_faults_of_rows_are_named_with_their_line(load, row, message):
    text = f"2\n{COLUMNS}\n{ROWS}3\n{COLUMNS}\nH 0 0 0\n{row}\nH 0 0 1\n"
    with pytest.raises(StructureFileError, match=rf"some.xyz, line 8: structure 1.*{message}"):
        load(text)


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [("n:I:1", "1.5", "not an integer"), ("n:I:1", "99999999999999999999", "not an integer"),
     ("f:L:1", "maybe", "not T or F"),     ("Z:I:1", "15", "contradicts itself"), ("mass:R:1", "-1", "no mass"),
     ("mass:R:3", "1 2 3", "masses must be mass:R:1"),
     ("vel:R:3", "1 inf 0", "not finite"), ("vel:R:1", "1", "velocities must be vel:R:3"),
     ("move_mask:R:1", "1", "move_mask"), ("positions:R:3", "1 1 1", "say twice")],
)  # fmt: skip
def test_faults_of_other_columns(load, columns, row, message):
    with pytest.raises(StructureFileError, match=rf"some.xyz, line [23]: structure 0.*{message}"):
        one(load, f"{COLUMNS}:{columns}", f"Si 0 0 0 {row}\n")


@pytest.mark.parametrize("text", ["T", "True", "true", "TRUE", "t", "1"])
def test_truth_values_of_columns(load, text):
    atoms = one(load, f"{COLUMNS}:flag:L:1", f"Si 0 0 0 {text}\nSi 1 1 1 F\n")
    assert atoms.arrays["flag"].tolist() == [True, False]


# --- masses and velocities

SPEED = [[0.01, -0.02, 0.03], [0.0, 0.0, 0.01]]


@pytest.mark.parametrize(
    ("columns", "factor"),
    [("vel", 1 / fs), ("velo", 1 / fs), ("velocity", 1 / fs), ("velocities", 1.0)],
)
@pytest.mark.parametrize(("mass", "masses"), [("", None), ("mass:R:1:", [28.0, 200.0]), ("masses:R:1:", [28.0, 200.0])])
def test_masses_and_velocities_are_taken(load, columns, factor, mass, masses):
    rows = "".join(
        f"Si 0 0 {k} {'' if masses is None else masses[k]} {' '.join(map(str, SPEED[k]))}\n" for k in range(2)
    )
    atoms = one(load, f"{COLUMNS}:{mass}{columns}:R:3", rows)
    np.testing.assert_allclose(atoms.get_masses(), masses or [28.085] * 2)
    np.testing.assert_allclose(atoms.get_velocities(), np.multiply(SPEED, factor), atol=1e-15)
    assert not {"mass", columns} & set(atoms.arrays)


def test_masses_in_the_unit_of_quip(load):
    atoms = one(load, f"{COLUMNS}:mass:R:1", f"Si 0 0 0 {28.085 * 103.6427}\nH 1 1 1 {1.008 * 103.6427}\n")
    np.testing.assert_allclose(atoms.get_masses(), [28.085, 1.008], rtol=1e-3)


def test_isotopes_stay_what_they_are(load):
    atoms = one(load, f"{COLUMNS}:mass:R:1", "H 0 0 0 2.014\nH 1 1 1 3.016\n")
    np.testing.assert_array_equal(atoms.get_masses(), [2.014, 3.016])


# --- whole files


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("2\n", 3),
        ("2\nenergy=1\n", 3),
        ("2\nenergy=1\nSi 0 0 0\n", 3),
        ("two\n", 3),
        ("-2\n", 3),
        ("2.0\n", 3),
        ("Si 0 0 0\n", 3),
    ],
)
def test_what_is_whole_is_offered(load, packed, cut, whole):
    content = (f"2\nenergy=1\n{ROWS}" * whole + cut).encode()
    content, name = (gzip.compress(content), "a.xyz.gz") if packed else (content, "a.xyz")
    with pytest.raises(StructureFileError, match=rf"{name}, line 13: .*structure 3.*index=':3'"):
        load(content, name)
    assert len(load(content, name, index=":3")) == 3


def test_a_cut_gzip_file_offers_what_is_whole(load):
    rng = np.random.default_rng(0)
    frame = "2\nenergy={}\n" + "Si {} 0 0\nSi 0 0 0\n"
    content = gzip.compress("".join(frame.format(*rng.normal(size=2)) for _ in range(3000)).encode())[:-20_000]
    with pytest.raises(StructureFileError, match="cut short") as caught:
        load(content, "a.xyz.gz")
    index = re.search(r"index='(:\d+)'", str(caught.value))[1]
    assert len(load(content, "a.xyz.gz", index=index)) == int(index[1:]) > 500


@pytest.mark.parametrize(
    "number", [np.int64(2), np.int32(-1), np.uint8(2), np.array(2), "2", "-1", slice(np.int64(2), None)]
)
def test_numbers_of_structures(load, number):
    (atoms,) = load("".join(f"1\nenergy={k}\nH 0 0 0\n" for k in range(3)), index=number)
    assert atoms.info["REF_energy"] == 2.0


@pytest.mark.parametrize("number", [True, 1.5, None, "a", "1:a", [1]])
def test_what_is_no_number_of_structures(load, number):
    with pytest.raises((TypeError, ValueError), match=r"index|integer"):
        load("1\n\nH 0 0 0\n", index=number)


OTHERS = {
    "utf-16.xyz": ("1\n\nH 0 0 0\n".encode("utf-16"), "UTF-16"),
    "a.npz": (b"PK\x03\x04rest", "NumPy"),
    "a.h5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "a.bz2": (b"BZh91AY", "bzip2"),
    "a.xz": (b"\xfd7zXZ\x00", "xz"),
    "a.zst": (b"\x28\xb5\x2f\xfd", "zstd"),
    "a.db": (b"SQLite format 3\x00", "database"),
    "a.json": (b'{"a": 1}', "JSON"),
    "vasprun.xml": (b"<?xml version='1.0'?>", "VASP"),
    "a.dump": (b"ITEM: TIMESTEP\n0\n", "LAMMPS"),
    "a.cif": (b"data_si\n", "CIF"),
    "a.pdb": (b"CRYST1 10 10 10\n", "PDB"),
    "zeros.xyz": (bytes(10_000), "not text"),
    "twice.gz": (gzip.compress(gzip.compress(b"1\n\nH 0 0 0\n")), "packed twice"),
    "POSCAR": (b"Si8\n1.0\n", "expected the number of atoms"),
    "empty.xyz": (b"", "no structure"),
    "blank.xyz": (b"\n\n", "no structure"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_named(load, name):
    content, message = OTHERS[name]
    with pytest.raises(StructureFileError, match=message) as caught:
        load(content, name)
    assert name in str(caught.value)
    assert "line 1" in str(caught.value)
    assert "codec" not in str(caught.value)


def test_an_ase_trajectory_is_named(tmp_path):
    ase.io.write(tmp_path / "run.traj", Atoms("H"))
    with pytest.raises(StructureFileError, match=r"run.traj.*an ase trajectory"):
        read(tmp_path / "run.traj")


def test_marks_and_letters(load):
    text = f'1\n{COLUMNS} energy=-1.0 author="Müller"\nH 0 0 0\n'
    (atoms,) = load(b"\xef\xbb\xbf" + text.encode())
    assert (atoms.info["REF_energy"], atoms.info["author"]) == (-1.0, "Müller")
    with pytest.raises(StructureFileError, match=r"line 2: structure 0: the comment is not text in UTF-8 .*Latin-1"):
        load(text.encode("latin-1"))
    with pytest.raises(StructureFileError, match=r"line 3: structure 0: .* is no symbol"):
        load(f"1\n{COLUMNS}\nSi\xe9 0 0 0\n".encode("latin-1"))


def test_structures_without_atoms(load):
    atoms, other = load(f"0\n{LATTICE} energy=0 {COLUMNS}:forces:R:3\n1\nenergy=1\nH 0 0 0\n")
    assert (len(atoms), atoms.arrays["REF_forces"].shape, len(other)) == (0, (0, 3), 1)


# --- bounds

LONG = {
    **{f"many {letter}": letter * 200_000 for letter in "{[\"'\\=:("},
    **{f"many {pair}": pair * 100_000 for pair in ("a=", "= ", "[{", "a='", '="', "[a] ", "[[]", "a:R", '\\"', "1 ")},
    "backslashes in a quote": 'a="' + "\\" * 200_001,
    "a long number": "x=" + "1" * 200_000,
    "nearly a number": "x=" + "1" * 200_000 + "y",
    "a deep list": 'x="_JSON ' + "[" * 200_000 + '"',
    "columns": "Properties=" + ":" * 200_000,
    "flags": "pbc=" + "T" * 200_000,
}


@pytest.mark.parametrize("what", LONG)
def test_comments_take_linear_time(what):
    """Twice the length takes about twice the time, never four times: no step looks at the rest again and again."""

    def lines(text):
        count = 0

        def trace(frame, event, _):
            nonlocal count
            count += 1
            return trace

        sys.settrace(trace)
        try:
            parse_comment(text)
        except ValueError:
            pass
        finally:
            sys.settrace(None)
        return count

    half = LONG[what][: len(LONG[what]) // 20]
    assert lines(half + half) < 3 * lines(half) + 1000
    start = time.process_time()
    with contextlib.suppress(ValueError):
        parse_comment(LONG[what])
    print(f"{what}: {time.process_time() - start:.2f} s")


@pytest.mark.parametrize("count", ["100000000000", "50000000", "9" * 19, "9" * 25])
def test_announced_sizes_are_bounded_by_the_file(load, count):
    with pytest.raises(StructureFileError, match=r"some.xyz, line 1: .*(the file ends after 1|expected the number)"):
        load(f"{count}\n{COLUMNS}\nSi 0 0 0\n")


def test_structures_take_bytes(load, monkeypatch):
    """A small packed file cannot fill the memory with structures."""
    monkeypatch.setattr(extxyz, "FREE_FRAMES", 1000)
    with pytest.raises(StructureFileError, match=r"more structures than .* bytes can hold"):
        load(gzip.compress(b"0\n\n" * 20_000), "a.xyz.gz")
    assert len(load(b"1\n\nH 0 0 0\n" * 3000)) == 3000


def test_names_in_messages_are_few_and_harmless(load):
    entries = " ".join(f"entry{k}=1" for k in range(1000))
    with pytest.raises(LabelError, match=r"keys seen: .*\\x1b.* and 97\d more$") as caught:
        load(f"1\n{entries} \x1b[31mred=1\nH 0 0 0\n", energy_key="e")
    assert "\x1b" not in str(caught.value)


def test_wide_columns_are_bounded_by_the_row(load):
    with pytest.raises(StructureFileError, match="line 3: structure 0: the row has 4 words, its columns are 1000003"):
        one(load, f"{COLUMNS}:x:R:999999", "Si 0 0 0\n")


def test_errors_of_labels_are_errors_of_files_too(load):
    with pytest.raises(StructureFileError, match=r"some.xyz, line 2: structure 0 carries 'energy'") as caught:
        load("1\nenergy=low\nH 0 0 0\n")
    assert isinstance(caught.value, LabelError)


def test_a_warning_names_columns_without_a_name(load, caplog):
    for comment in ("energy=-1.0", f"{LATTICE} {COLUMNS} energy=-1.0"):
        caplog.clear()
        load(f"2\n{comment}\nSi 0 0 0 0.1 0 0\nSi 1 1 1 -0.1 0 0\n")
        (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "numbers without a name, 3 per atom" in record.getMessage()
        assert "line 3" in record.getMessage()
    caplog.clear()
    load("2\nenergy=-1\nSi 0 0 0 0.1\nSi 1 1 1 -0.1\n", labels=())
    assert not caplog.records


def test_pipes_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="nobody writes"):
        read(tmp_path / "pipe")


PIECES = [
    *(
        b"nan",
        b"inf",
        b"=",
        b'"',
        b"'",
        b"{",
        b"[",
        b"\\",
        b"\0",
        b"\xff",
        b"-1",
        b"1e400",
        b"9" * 20,
        b" ",
        b"\n",
        b"\r",
        b":",
    ),
    *(b"T", b"_JSON ", b"Lattice", b"pbc", b"Properties", b"species:S:1", b"D", b"_", b"virial=1", b"forces:R:3:"),
]
WHOLE = (
    b'3\nLattice="4 0 0 0 4 0 0 0 4" PBC=TTF Properties=species:S:1:pos:R:3:mass:R:1:vel:R:3:move_mask:L:1:'
    b'a::q:R:1:tag:I:1 energy=-1 config_weight=2 stress="1 2 3 4 5 6" x="_JSON [1, 2]" {a b} \'q r\'=3\n'
    b"Si 0 0 0 28 0 0 0 T 1 1\nSi 1 1 1 28 0 0 0 F 1 1\nSi 2 2 2 28 0 0 0 T 1 1\n"
)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_read_or_refused(load, seed):
    """Whatever is wrong inside is one kind of error, which names the file and the line."""
    rng = random.Random(seed)
    refused = unnamed = 0
    for _ in range(200):
        content = bytearray(WHOLE * 2)
        for _ in range(rng.randint(1, 3)):
            place, how = rng.randrange(len(content)), rng.random()
            if how < 0.3:
                content[place] = rng.randrange(256)
            elif how < 0.6:
                content[place:place] = rng.choice(PIECES)
            elif how < 0.9:
                del content[place : place + rng.randint(1, 30)]
            else:
                del content[place or 1 :]
        try:
            load(bytes(content))
        except StructureFileError as error:
            refused += re.search(r"some\.xyz, (from )?line \d+", str(error)) is not None
            unnamed += re.search(r"some\.xyz, (from )?line \d+", str(error)) is None
    assert unnamed == 0
    assert 50 < refused < 200


def test_many_rows_are_read_in_blocks(load):
    rows = [f"Si {k} 0 0 {k}\n" for k in range(5000)]
    atoms = one(load, f"{COLUMNS}:tag:I:1", "".join(rows))
    np.testing.assert_array_equal(atoms.positions[:, 0], range(5000))
    np.testing.assert_array_equal(atoms.arrays["tag"], range(5000))
    rows[4000] = "Si x 0 0 1\n"
    with pytest.raises(StructureFileError, match="line 4003: structure 0: 'x' in the column 'pos'"):
        one(load, f"{COLUMNS}:tag:I:1", "".join(rows))
