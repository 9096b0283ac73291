"""Every form of label that a file may carry, and its outcome (docs/reliability.md, rows 19, 41 and 42)."""

import gzip
import logging

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read as ase_read
from ase.io import write as ase_write
from orbas import LabelError, read
from orbas.errors import StructureFileError
from orbas.structures.io import collect_labels

VOLUME = 64.0
LATTICE = 'Lattice="4 0 0 0 4 0 0 0 4" pbc="T T T"'
VOIGT = np.array([0.1, 0.2, 0.3, 0.01, 0.02, 0.03])
FULL = VOIGT[[0, 5, 4, 5, 1, 3, 4, 3, 2]]


def text(values):
    return '"' + " ".join(f"{value:.10g}" for value in np.ravel(values)) + '"'


def frame(comment=LATTICE, n_atoms=2, columns="species:S:1:pos:R:3", extra=""):
    rows = [f"Si {i}.0 0.5 0.25 {extra}".rstrip() for i in range(n_atoms)]
    return "\n".join([str(n_atoms), f"{comment} Properties={columns}", *rows, ""])


@pytest.fixture
def load(tmp_path):
    def load(*frames, **options):
        path = tmp_path / "frames.xyz"
        path.write_text("".join(frames))
        return read(path, **options)

    return load


@pytest.mark.parametrize("prefix", ["", "REF_"])
def test_all_labels_are_found_under_either_name(load, prefix):
    comment = f"{LATTICE} {prefix}energy=-3 {prefix}stress={text(FULL)}"
    (atoms,) = load(frame(comment, columns=f"species:S:1:pos:R:3:{prefix}forces:R:3", extra="1 2 3"))
    assert atoms.info["REF_energy"] == -3.0
    assert isinstance(atoms.info["REF_energy"], float)
    np.testing.assert_array_equal(atoms.arrays["REF_forces"], [[1.0, 2.0, 3.0]] * 2)
    np.testing.assert_allclose(atoms.info["REF_stress"], VOIGT, rtol=1e-9)


@pytest.mark.parametrize("prefix", ["", "REF_"])
@pytest.mark.parametrize("n_atoms", [1, 2, 3, 6, 9])
@pytest.mark.parametrize("numbers", [VOIGT, FULL], ids=["6", "9"])
def test_a_tensor_is_never_taken_for_atoms(load, prefix, numbers, n_atoms):
    for comment in (f"{prefix}stress={text(numbers)}", f"{prefix}virial={text(-VOLUME * numbers)}"):
        (atoms,) = load(frame(f"{LATTICE} {comment}", n_atoms))
        np.testing.assert_allclose(atoms.info["REF_stress"], VOIGT, rtol=1e-9)
        assert set(atoms.arrays) == {"numbers", "positions"}


def test_json_tensor_as_ase_writes_it(load, tmp_path):
    atoms = Atoms("Si3", positions=np.eye(3), cell=[4, 4, 4], pbc=True, info={"REF_stress": FULL.reshape(3, 3)})
    ase_write(tmp_path / "a.xyz", atoms)
    np.testing.assert_allclose(read(tmp_path / "a.xyz")[0].info["REF_stress"], VOIGT)


def test_per_atom_stress_column_is_an_error(load):
    for name in ("stress", "REF_stress"):
        columns = f"species:S:1:pos:R:3:{name}:R:3"
        with pytest.raises(LabelError, match=r"structure 0 carries '(REF_)?stress' in a column of the atoms"):
            load(frame(LATTICE, 3, columns, "1 2 3"))


def test_forces_in_the_comment_line_are_an_error(load):
    with pytest.raises(LabelError, match="structure 0 carries 'forces' in the comment line"):
        load(frame(f'{LATTICE} forces="1 2 3 4 5 6 7 8 9"', 3))


def test_stress_and_virial(load):
    stress = f"{LATTICE} stress={text(FULL)}"
    (atoms,) = load(frame(f"{stress} virial={text(-VOLUME * FULL)}"))
    np.testing.assert_allclose(atoms.info["REF_stress"], VOIGT, rtol=1e-9)
    for wrong in (VOLUME * FULL, -FULL, -160.2 * VOLUME * FULL):
        with pytest.raises(LabelError, match="structure 0: 'stress' and 'virial' disagree"):
            load(frame(f"{stress} virial={text(wrong)}"))


def test_asymmetric_stress(load):
    full = FULL.copy()
    full[1] += 1e-6
    (atoms,) = load(frame(f"{LATTICE} stress={text(full)}"))
    np.testing.assert_allclose(atoms.info["REF_stress"][5], 0.03 + 5e-7, atol=1e-12)
    full[1] += 1e-2
    with pytest.raises(LabelError, match=r"structure 1: 'stress' is asymmetric by 0\.01"):
        load(frame(), frame(f"{LATTICE} stress={text(full)}"))


def test_wrong_number_of_components(load):
    with pytest.raises(LabelError, match=r"shape \(5,\), expected 6 or 9"):
        load(frame(f"{LATTICE} stress={text(FULL[:5])}"))
    with pytest.raises(LabelError, match=r"shape \(2, 2\), expected \(2, 3\)"):
        load(frame(LATTICE, 2, "species:S:1:pos:R:3:forces:R:2", "1 2"))
    with pytest.raises(LabelError, match="an energy is one number"):
        load(frame(f'{LATTICE} REF_energy="1 2"'))
    with pytest.raises(LabelError, match="not a number"):
        load(frame(f"{LATTICE} energy=low"))


def test_reference_labels_win_over_plain_ones(load, caplog):
    both = frame(f"{LATTICE} energy=1 REF_energy=2 stress={text(-FULL)} REF_virial={text(-VOLUME * FULL)}")
    atoms, plain = load(both, frame(f"{LATTICE} energy=5"))
    assert atoms.info["REF_energy"] == 2.0
    np.testing.assert_allclose(atoms.info["REF_stress"], VOIGT, rtol=1e-9)
    assert "REF_energy" not in plain.info
    assert "energy_key='energy' (1 structures)" in caplog.text


def test_a_named_key_replaces_the_reference(load):
    atoms, other = load(frame("REF_energy=2 dft=7"), frame("REF_energy=3"), energy_key="dft")
    assert atoms.info["REF_energy"] == 7.0
    assert "REF_energy" not in other.info


def test_missing_labels_are_counted(load, caplog):
    caplog.set_level(logging.INFO, logger="orbas")
    frames = load(frame(f"{LATTICE} energy=1"), frame(), frame(f"{LATTICE} virial={text(FULL)}"))
    assert ["REF_energy" in atoms.info for atoms in frames] == [True, False, False]
    assert caplog.messages == ["read 3 structures: 1 energies, 0 with forces, 1 stresses"]


@pytest.mark.parametrize("what", ["energy", "forces", "stress", "virial"])
def test_wrong_key(load, what):
    name = "stress" if what == "virial" else what
    message = f"0 of 2 structures carry {name} under 'foo'; keys seen: config_type, energy$"
    with pytest.raises(LabelError, match=message):
        load(frame("energy=1 config_type=a"), frame(), **{f"{what}_key": "foo"})


def test_windows_line_ends_gzip_and_last_line_without_end(tmp_path):
    content = (frame(f"{LATTICE} energy=-1.5") * 2).rstrip().replace("\n", "\r\n").encode()
    (tmp_path / "a.xyz").write_bytes(content)
    (tmp_path / "a.xyz.gz").write_bytes(gzip.compress(content))
    for name in ("a.xyz", "a.xyz.gz"):
        frames = read(tmp_path / name)
        assert [atoms.info["REF_energy"] for atoms in frames] == [-1.5, -1.5]


@pytest.mark.parametrize("label", [f"stress={text(FULL)}", f"virial={text(VOIGT)}", f"REF_stress={text(VOIGT)}"])
def test_stress_without_lattice_is_not_known(load, label, caplog):
    (atoms,) = load(frame(f"{label} {'REF_' * label.startswith('REF_')}energy=1"))
    assert set(atoms.info) == {"REF_energy"}
    assert "1 stresses of structures without a cell are not used" in caplog.text


def test_stress_inside_a_quoted_comment_is_left_alone(load):
    (atoms,) = load(frame(f'desc="a stress=5 \\" virial = 6" {LATTICE} stress = {text(VOIGT)}'))
    assert atoms.info["desc"] == 'a stress=5 " virial = 6'
    np.testing.assert_allclose(atoms.info["REF_stress"], VOIGT)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "1e300"])
def test_unusable_geometry_names_structure_and_atom(load, bad):
    good = frame(f"{LATTICE} energy=1")
    with pytest.raises(StructureFileError, match=r"frames.xyz, line 8: structure 1, atom 1: position"):
        load(good, frame().replace("Si 1.0", f"Si {bad}"))
    with pytest.raises(StructureFileError, match=r"frames.xyz, line 6: structure 1: cell vector 2"):
        load(good, frame(LATTICE.replace('0 4"', f'0 {bad}"')))


@pytest.mark.parametrize("bad", ["inf", "-inf", "1e300"])
def test_unusable_numbers_name_structure_and_atom(load, bad):
    good = frame(f"{LATTICE} energy=1")
    cases = {
        "structure 1 carries 'energy'": frame(f"energy={bad}"),
        "structure 1 carries 'stress'": frame(f'{LATTICE} stress="1 1 1 0 0 {bad}"'),
        "structure 1 carries 'virial'": frame(f'{LATTICE} virial="1 0 0 0 1 0 0 0 {bad}"'),
        "structure 1, atom 0 carries 'forces'": frame(LATTICE, 2, "species:S:1:pos:R:3:forces:R:3", f"1 2 {bad}"),
    }
    for message, second in cases.items():
        with pytest.raises(ValueError, match=message):
            load(good, second)


def test_broken_files(load):
    with pytest.raises(StructureFileError, match="line 5: structure 1 announces 4 atoms, the file ends after 2"):
        load(frame(), frame().replace("2\n", "4\n", 1))
    with pytest.raises(ValueError, match="line 5: expected the number of atoms of structure 1, got 'Si"):
        load(frame().replace("2\n", "1\n", 1).replace("Si 1.0", "\nSi 1.0"))
    with pytest.raises(StructureFileError, match="line 4: structure 0: 'oops' in the column 'pos' is not a number"):
        load(frame().replace("Si 1.0 0.5", "Si oops 0.5"))
    with pytest.raises(ValueError, match="holds no structure"):
        load("\n")


def test_index(load):
    frames = [frame(f"energy={i}") for i in range(5)]
    for index, expected in (
        (":", [0, 1, 2, 3, 4]),
        ("::2", [0, 2, 4]),
        (-1, [4]),
        ("1", [1]),
        (slice(-2, None), [3, 4]),
    ):
        assert [atoms.info["REF_energy"] for atoms in load(*frames, index=index)] == expected
    with pytest.raises(LabelError, match="line 14: structure 3 carries"):
        load(*frames[:3], frame("energy=inf"), index="3:")


def test_what_read_gives_can_be_written_and_read_again(load, tmp_path):
    comment = f"{LATTICE} energy=-3 stress={text(VOIGT)} config_type=a"
    first = load(frame(comment, columns="species:S:1:pos:R:3:forces:R:3", extra="1 2 3"))
    ase_write(tmp_path / "again.xyz", first)
    for frames in (read(tmp_path / "again.xyz"), ase_read(tmp_path / "again.xyz", ":")):
        labels = collect_labels(frames, forces_key="REF_forces", stress_key="REF_stress")
        assert labels.energies.tolist() == [-3.0]
        np.testing.assert_array_equal(labels.forces[0], [[1, 2, 3]] * 2)
        np.testing.assert_allclose(labels.stress, [VOIGT])
    first[0].calc = None
    assert first[0].info["REF_energy"] == -3.0


def test_collect_labels_from_a_calculator():
    frames = [Atoms("Si", cell=[4, 4, 4], pbc=True) for _ in range(2)]
    for k, atoms in enumerate(frames):
        atoms.calc = SinglePointCalculator(atoms, energy=k, forces=[[1, 2, 3]], stress=VOIGT)
    labels = collect_labels(frames, "energy", "forces", "stress")
    assert labels.energies.dtype == np.float64
    assert labels.energies.tolist() == [0.0, 1.0]
    np.testing.assert_array_equal(labels.stress, [VOIGT] * 2)
    assert collect_labels(frames, "energy").forces is None
    frames[1].positions += 0.1  # what the calculator knows no longer belongs to the structure
    with pytest.raises(
        LabelError, match=r"structure 1 carries no energy under 'energy' \(1 of 2 do\): it belongs to other"
    ):
        collect_labels(frames, "energy")


def test_collect_labels_errors():
    frames = [Atoms("Si", info={"REF_energy": 1.0}), Atoms("Si", info={"REF_energy": 2.0, "dft": 3.0})]
    with pytest.raises(LabelError, match="0 of 2 structures carry energy under 'foo'; keys seen: REF_energy, dft"):
        collect_labels(frames, "foo")
    with pytest.raises(LabelError, match="structure 0 carries no energy under 'dft'"):
        collect_labels(frames, "dft")
    with pytest.raises(LabelError, match="0 of 2 structures carry forces"):
        collect_labels(frames, forces_key="REF_forces")
    with pytest.raises(LabelError, match="no structure to carry energy: the list is empty"):
        collect_labels([])
    frames[1].info["REF_energy"] = np.inf
    with pytest.raises(LabelError, match="structure 1 carries 'REF_energy' = inf"):
        collect_labels(frames)


def test_messages_about_labels_are_short():
    frames = [Atoms("Si40", positions=np.arange(120.0).reshape(40, 3)) for _ in range(3)]
    for energy in (10**400, "x" * 5000, np.zeros((100, 100), dtype=bool)):
        frames[0].info["REF_energy"] = energy
        with pytest.raises(LabelError, match="not a number") as error:
            collect_labels(frames, forces_key=None)
        assert len(str(error.value)) < 200
    for frame in frames:
        frame.info["REF_energy"] = None
    with pytest.raises(LabelError) as error:
        collect_labels(frames)
    assert "did you mean" not in str(error.value)
