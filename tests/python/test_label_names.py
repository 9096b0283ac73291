"""Kind 1: one table of names of labels. Every name is taken or named, in Python, in settings and by flags."""

from __future__ import annotations

import logging
import subprocess
import sys

import ase.io
import numpy as np
import orbas
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from orbas import LabelError, read
from orbas.cli import inputs, main
from orbas.cli.console import Console
from orbas.structures.label_table import LabelKind, looks_like
from orbas.structures.labels import collect_labels

CELL = 'Lattice="4 0 0 0 4 0 0 0 4" pbc="T T T"'
VOIGT = [0.1, 0.2, 0.3, 0.01, 0.02, 0.03]
VIRIAL = [-64 * x for x in VOIGT]
TAKEN = {LabelKind.ENERGY: -3.0, LabelKind.FORCES: [[1.0, 2.0, 3.0]] * 2, LabelKind.STRESS: VOIGT}
#: Names that look like labels, by kind.
NAMES = {
    LabelKind.ENERGY: "Energy ENERGY dft_energy DFT_energy energy_dft free_energy total_energy E Etot TOTEN e_tot "
    "vasp_energy ref_energy REF_Energy mace_energies Potential_Energy qm_energy U0",
    LabelKind.FORCES: "force Forces FORCES dft_force dft_forces DFT_forces ref_forces for f frc gradient "
    "gradients grad forces_dft vasp_force",
    LabelKind.STRESS: "Stress dft_stress stress_dft ref_stress STRESS stresses stress_tensor",
    LabelKind.VIRIAL: "virials Virial Virials dft_virial dft_virials ref_virial VIRIAL REF_virials",
}
PAIRS = [(kind, name) for kind, names in NAMES.items() for name in names.split()]
NOT_LABELS = [
    "energy_weight",
    "config_energy_weight",
    "energy_sigma",
    "orbas_energy",
    "orbas_forces",
    "kinetic_energy",
    "fermi_energy",
    "energy_cutoff",
    "energy_per_atom",
    "force_mask",
    "forces_std",
    "stress_weight",
    "virial_sigma",
    "uncertainty_energy",
    "config_type",
    "time",
    "step",
    "temperature",
    "charge",
    "magmoms",
    "species",
    "tags",
    "momenta",
    "reinforced",
]


def values_of(kind):
    return {LabelKind.ENERGY: "-3", LabelKind.STRESS: words(VOIGT), LabelKind.VIRIAL: words(VIRIAL)}[kind]


def words(numbers):
    return '"' + " ".join(map(str, numbers)) + '"'


def text(labels, n=1):
    """Structures with labels under some names."""
    entries = " ".join(f"{name}={values_of(kind)}" for kind, name in labels if not kind.per_atom)
    columns = "".join(f":{name}:R:3" for kind, name in labels if kind.per_atom)
    row = " 1 2 3" * columns.count(":R:3")
    return f"2\n{CELL} {entries} Properties=species:S:1:pos:R:3{columns}\nSi 0 0 0{row}\nSi 1.4 1.4 1.4{row}\n" * n


@pytest.fixture
def load(tmp_path):
    def load(content, **options):
        (tmp_path / "a.xyz").write_text(content)
        return read(tmp_path / "a.xyz", **options)

    return load


def labels_of(atoms):
    forces = atoms.arrays.get("REF_forces")
    return atoms.info.get("REF_energy"), forces, atoms.info.get("REF_stress")


def found(atoms, kind):
    """Whether a label of a kind, and no other, was taken, as it is."""
    kind = LabelKind.STRESS if kind is LabelKind.VIRIAL else kind
    for other, value in zip(TAKEN, labels_of(atoms), strict=True):
        if (value is None) == (other is kind):
            return False
        if other is kind:
            np.testing.assert_allclose(value, TAKEN[kind])
    return True


# --- the table


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_what_looks_like_a_label(kind, name):
    assert looks_like(name, per_atom=kind.per_atom) is kind
    assert looks_like(name, per_atom=not kind.per_atom) is not kind


@pytest.mark.parametrize("name", NOT_LABELS)
def test_what_does_not(name):
    assert looks_like(name, per_atom=False) is None
    assert looks_like(name, per_atom=True) is None


@pytest.mark.parametrize("prefix", ["", "REF_"])
@pytest.mark.parametrize("kind", LabelKind)
def test_plain_and_reference_names_are_taken(load, caplog, prefix, kind):
    (atoms,) = load(text([(kind, prefix + kind.plain)]))
    assert found(atoms, kind)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_a_named_name_is_taken(load, caplog, kind, name):
    (atoms,) = load(text([(kind, name)]), **{kind.option: name})
    assert found(atoms, kind)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_a_name_that_nobody_named_is_one_warning(load, caplog, kind, name):
    (atoms, _) = load(text([(kind, name)], 2))
    assert labels_of(atoms) == (None, None, None)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"{kind.option}={name!r} (2 structures)" in record.getMessage()
    assert "a.xyz" in record.getMessage()


def test_several_names_are_one_warning(load, caplog):
    load(text([(LabelKind.ENERGY, "energy"), (LabelKind.FORCES, "force"), (LabelKind.VIRIAL, "virials")], 3))
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "forces_key='force' (3 structures), virial_key='virials' (3 structures)" in record.getMessage()


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_no_word_of_other_names_where_the_label_is_there(load, caplog, kind, name):
    load(text([(kind, kind.plain), (kind, name)]))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("labels", [(), ("energy",), ("forces",), ("stress",), ("energy", "stress")])
def test_kinds_that_are_not_used_are_not_looked_at(load, caplog, labels):
    """Neither checked, nor taken, nor named."""
    wrong = text([(kind, kind.plain) for kind in LabelKind]).replace("-3", "low").replace("0.01", "x")
    wrong = wrong.replace(" 1 2 3", " 1 2 1e300").replace("-6.4", "x")
    for name in ("energy", "forces", "stress"):
        if name in labels:
            with pytest.raises(LabelError, match="structure 0"):
                load(wrong, labels=labels)
            break
    else:
        (atoms,) = load(wrong, labels=labels)
        assert labels_of(atoms) == (None, None, None)
    good = text([(kind, kind.plain) for kind in (LabelKind.ENERGY, LabelKind.FORCES, LabelKind.STRESS)])
    (atoms,) = load(good, labels=labels)
    is_taken = [value is not None for value in labels_of(atoms)]
    assert is_taken == [name in labels for name in ("energy", "forces", "stress")]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("reference", LabelKind)
@pytest.mark.parametrize("plain", LabelKind)
def test_two_sources_are_never_mixed(load, caplog, reference, plain):
    """An energy under REF_ and a stress under the plain name are two sources."""
    (atoms,) = load(text([(reference, reference.reference), (plain, plain.plain)]))
    assert found(atoms, reference)
    said = " ".join(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    tensors = {LabelKind.STRESS, LabelKind.VIRIAL}
    if plain is reference or {plain, reference} <= tensors:
        assert not said
    else:
        assert f"{plain.option}={plain.plain!r} (1 structures)" in said


@pytest.mark.parametrize("name", ["fx", "f_x", "Fx", "force_x", "Force.X", "forces_x", "forcex"])
def test_columns_of_forces_by_axis_are_named(load, caplog, name):
    axes = [name[:-1] + axis for axis in ("xyz" if name[-1] == "x" else "XYZ")]
    columns = ":".join(f"{axis}:R:1" for axis in axes)
    load(f"1\n{CELL} energy=1 Properties=species:S:1:pos:R:3:{columns}\nSi 0 0 0 1 2 3\n")
    assert (
        f"the columns {', '.join(axes)} look like forces and are not taken: name them in Properties as forces:R:3"
        in caplog.text
    )


@pytest.mark.parametrize(
    "comment",
    ["-97208.4", " -97208.4 ", "-97208.4; [[1, 2, 3]]", "energy: -97208.4 gnorm: 0.1", "ORCA-job test E -97208.4"],
)
def test_energies_without_a_key_are_named(load, caplog, comment):
    for rows in ("Si 0 0 0\n", "Si 0 0 0\nSi 1 1 1\n"):
        caplog.clear()
        load(f"{rows.count('Si')}\n{comment}\n{rows}")
        assert "look like energies (the first in line 2, -97208.4): write energy=NUMBER, in eV" in caplog.text
    caplog.clear()
    load(f"1\n{comment} energy=1\nSi 0 0 0\n")
    load(f"1\n{comment}\nSi 0 0 0\n", labels=["forces"])
    load("1\nstep 5 of 8 at 300.0 K\nSi 0 0 0\n")
    assert not caplog.records


def test_gradients_are_minus_the_forces(load, caplog):
    load(text([(LabelKind.FORCES, "gradients")]))
    assert "gradients are minus the forces" in caplog.text


# --- what is not known


@pytest.mark.parametrize("nan", ["nan", "NaN", "NAN", "-nan"])
def test_nan_is_not_known(load, caplog, nan):
    frames = load(
        f"2\n{CELL} energy={nan} stress={words([nan] * 9)} Properties=species:S:1:pos:R:3:forces:R:3\n"
        f"Si 0 0 0 {nan} {nan} {nan}\nSi 1 1 1 1 2 3\n" + text([(kind, kind.plain) for kind in LabelKind])
    )
    assert "REF_energy" not in frames[0].info
    assert "REF_stress" not in frames[0].info
    np.testing.assert_array_equal(frames[0].arrays["REF_forces"], [[np.nan] * 3, [1, 2, 3]])
    assert (
        "labels that are nan are not known, and not used: 1 energies, forces of 1 atoms in 1 structures, 1 stresses"
        in (caplog.text)
    )
    labels = collect_labels(frames, forces_key="REF_forces", stress_key="REF_stress", partial=True)
    assert labels.known.tolist() == [[False, True, False], [True, True, True]]


@pytest.mark.parametrize("word", ["=None", "=null", "=N/A", '=""', "=nan", '="_JSON null"', ""])
@pytest.mark.parametrize("kind", ["energy", "stress", "virial"])
def test_words_for_what_is_not_known(load, caplog, kind, word):
    """As scripts write them; a name without a value is what ase writes for None."""
    value = "-3" if kind == "energy" else '"1 0 0 0 1 0 0 0 1"'
    rows = "Properties=species:S:1:pos:R:3\nSi 0 0 0\n"
    frames = load(f"1\n{CELL} {kind}{word} {rows}1\n{CELL} {kind}={value} {rows}")
    name = LabelKind.ENERGY.reference if kind == "energy" else LabelKind.STRESS.reference
    assert [name in atoms.info for atoms in frames] == [False, True]
    assert "labels that are nan are not known, and not used: 1 " in caplog.text


def test_a_word_of_a_text_is_no_label(load):
    (atoms,) = load("1\nminimum of energy and stress\nSi 0 0 0\n")
    assert labels_of(atoms) == (None, None, None)


@pytest.mark.parametrize("text", ["-1.5D0", "-15d-1", "[-1.5]", "-1.5,"])
def test_spellings_of_an_energy(load, text):
    (atoms,) = load(f"1\n{CELL} energy={text} Properties=species:S:1:pos:R:3\nSi 0 0 0\n")
    assert atoms.info["REF_energy"] == -1.5


def test_tensors_in_nested_brackets(load):
    for value in ("[[1,6,5],[6,2,4],[5,4,3]]", "[[1.0, 6D0, 5], [6, 2, 4], [5, 4, 3]]", "[1, 2, 3, 4, 5, 6]"):
        (atoms,) = load(f"1\n{CELL} stress={value} Properties=species:S:1:pos:R:3\nSi 0 0 0\n")
        assert atoms.info["REF_stress"].tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["energy", "REF_energy"])
def test_a_label_with_two_values_is_refused_where_it_is_used(load, name):
    text = f"1\n{CELL} {name}=-1.5 {name}=%s Properties=species:S:1:pos:R:3\nSi 0 0 0\n"
    assert load(text % "-1.5")[0].info["REF_energy"] == -1.5
    with pytest.raises(LabelError, match=r"line 2: structure 0 carries .* '-1.5 and -2.5, twice in the line'"):
        load(text % "-2.5")
    load(text % "-2.5", labels=["forces"])


def test_nan_in_labels_of_python(caplog):
    frames = [Atoms("Si2", cell=[4, 4, 4], pbc=True) for _ in range(3)]
    for k, atoms in enumerate(frames):
        atoms.info["e"] = np.nan if k == 1 else 1.0
        atoms.info["s"] = np.full(6, np.nan) if k == 0 else np.zeros(6)
        atoms.arrays["f"] = np.where(k == 2, [[np.nan], [0.0]], 1.0) * np.ones((2, 3))
    labels = collect_labels(frames, "e", "f", "s")
    assert np.isnan(labels.energies).tolist() == [False, True, False]
    assert np.isnan(labels.forces[2]).tolist() == [[True] * 3, [False] * 3]
    assert np.isnan(labels.stress).all(axis=1).tolist() == [True, False, False]
    assert "1 energies, forces of 1 atoms in 1 structures, 1 stresses" in caplog.text


CHANGES = {
    "wrap": lambda atoms: atoms.wrap(), "rattle": lambda atoms: atoms.rattle(0.1),
    "cell": lambda atoms: atoms.set_cell([5, 5, 5]), "pbc": lambda atoms: setattr(atoms, "pbc", False),
    "numbers": lambda atoms: atoms.set_atomic_numbers([29, 28]),
    "charges": lambda atoms: atoms.set_initial_charges([1, -1]),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_results_that_ase_hides_are_explained(change):
    frames = []
    for _ in range(2):
        atoms = Atoms("Cu2", [[-1, 0, 0], [1, 1, 1]], cell=[4, 4, 4], pbc=True)
        atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.zeros((2, 3)), stress=np.zeros(6))
        frames.append(atoms)
    CHANGES[change](frames[0])
    for keys in ({}, {"forces_key": "forces"}, {"stress_key": "stress"}):
        with pytest.raises(LabelError, match=r"structure 0 carries no .* belongs to other positions, as"):
            collect_labels(frames, "energy", **keys)
    CHANGES[change](frames[1])
    with pytest.raises(LabelError, match="0 of 2 structures carry energy under 'energy': the calculators of 2 do, but"):
        collect_labels(frames, "energy")


# --- structures without labels


def test_structures_without_labels(load, caplog):
    content = text([(LabelKind.ENERGY, "energy")]) + text([]) + text([(LabelKind.FORCES, "forces")]) + text([])
    assert len(load(content)) == 4
    assert len(load(content, unlabeled="skip")) == 2
    assert "2 of 4 structures carry no label and are left out; the first is structure 1, line 5" in caplog.text
    with pytest.raises(LabelError, match="line 5: structure 1 carries no label, like 2 of 4: unlabeled='skip'"):
        load(content, unlabeled="error")
    assert len(load(content, unlabeled="skip", labels=["forces"])) == 1
    with pytest.raises(LabelError, match="carries no label, like 2 of 2; keys seen"):
        load(text([(LabelKind.ENERGY, "dft")], 2), unlabeled="skip")
    with pytest.raises(ValueError, match="unlabeled must be one of keep, skip, error"):
        load(content, unlabeled="drop")
    with pytest.raises(ValueError, match="labels must be one of energy, forces, stress"):
        load(content, labels=["virial"])


# --- settings and flags


CONFIG = """[cutoff]
radius = 4.0
[density]
density_width = 0.5
max_angular = 1
[basis]
n_radial = 3
[regularization]
kind = "fixed"
alpha = 1e-6
"""


def silicon(names):
    """Labeled crystals, their labels under some names."""
    frames = []
    for k in range(8):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.1, seed=k)
        rng = np.random.default_rng(k)
        stress = 0.01 * rng.normal(size=6)
        values = {
            LabelKind.ENERGY: rng.normal(), LabelKind.FORCES: rng.normal(size=(8, 3)), LabelKind.STRESS: stress,
            LabelKind.VIRIAL: -stress * atoms.get_volume(),
        }  # fmt: skip
        for kind, name in names.items():
            (atoms.arrays if kind.per_atom else atoms.info)[name] = values[kind]
        frames.append(atoms)
    return frames


SETS = [
    {kind: kind.plain for kind in (LabelKind.ENERGY, LabelKind.FORCES, LabelKind.VIRIAL)},
    {kind: kind.reference for kind in (LabelKind.ENERGY, LabelKind.FORCES, LabelKind.STRESS)},
    {LabelKind.ENERGY: "dft_energy", LabelKind.FORCES: "dft_force", LabelKind.VIRIAL: "dft_virial"},
    {LabelKind.ENERGY: "Energy", LabelKind.FORCES: "for", LabelKind.STRESS: "Stress"},
    {LabelKind.ENERGY: "free_energy", LabelKind.FORCES: "force", LabelKind.VIRIAL: "virials"},
]


@pytest.mark.parametrize("way", ["settings", "flags"])
@pytest.mark.parametrize("names", SETS, ids=lambda names: next(iter(names.values())))
def test_names_in_settings_and_flags(tmp_path, monkeypatch, capsys, names, way):
    monkeypatch.chdir(tmp_path)
    for atoms in silicon(names):
        # ase writes no virial of six numbers that it reads, and puts what it knows into a calculator.
        (tmp_path / "train.xyz").open("a").write(as_text(atoms, names))
    options = {kind.option: name for kind, name in names.items() if name not in (kind.plain, kind.reference)}
    data = ['train = "train.xyz"', *(f'{key} = "{name}"' for key, name in options.items() if way == "settings")]
    (tmp_path / "run.toml").write_text("[data]\n" + "\n".join(data) + "\n" + CONFIG)
    flags = [word for key, name in options.items() for word in (f"--data.{key}", name)] if way == "flags" else []
    assert main(["train", "run.toml", "--output", "m.orbas", *flags]) == 0
    out, err = capsys.readouterr()
    assert "8 energies, 8 with forces, 8 with stress" in out
    assert "not taken" not in err
    flags = [word for key, name in options.items() for word in (f"--{key.replace('_', '-')}", name)]
    assert main(["eval", "m.orbas", "train.xyz", *flags]) == 0
    assert "8 energies, 8 with forces, 8 with stress" in capsys.readouterr().out
    frames = read("train.xyz", **options)
    weights = orbas.load("m.orbas").weights_
    model = orbas.load("m.orbas").fit(frames, forces_key="REF_forces", stress_key="REF_stress")
    np.testing.assert_array_equal(model.weights_, weights)


def as_text(atoms, names):
    lattice = words(atoms.cell.array.ravel())
    entries = " ".join(
        f"{name}={words(np.ravel(atoms.info[name]))}" for kind, name in names.items() if not kind.per_atom
    )
    column = names[LabelKind.FORCES]
    rows = np.hstack([atoms.positions, atoms.arrays[column]])
    lines = "\n".join(f"Si {' '.join(map(repr, row.tolist()))}" for row in rows)
    return f"8\nLattice={lattice} Properties=species:S:1:pos:R:3:{column}:R:3 {entries}\n{lines}\n"


@pytest.mark.parametrize("words", [(), ("--data.unlabeled", "skip"), ("--data.unlabeled", "error")])
def test_unlabeled_structures_in_training(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    frames = silicon(SETS[1])
    for k in (2, 5):
        frames[k].info, frames[k].arrays = (
            {"failed": True},
            {key: frames[k].arrays[key] for key in ("numbers", "positions")},
        )
    for atoms in frames:
        ase.io.write("train.xyz", atoms, format="extxyz", append=True)
    (tmp_path / "run.toml").write_text('[data]\ntrain = "train.xyz"\n' + CONFIG)
    code = main(["train", "run.toml", "--output", "m.orbas", *words])
    out, err = capsys.readouterr()
    if "error" in words:
        assert code == 1
        assert "structure 2 carries no label, like 2 of 8" in err
        assert "unlabeled='skip'" in err
    else:
        assert code == 0
        assert "2 of 8 structures carry no label and are left out" in err
        assert "6 energies" in out


def test_prediction_without_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frames = silicon(SETS[1])
    ase.io.write("train.xyz", frames, format="extxyz")
    (tmp_path / "run.toml").write_text('[data]\ntrain = "train.xyz"\n' + CONFIG)
    assert main(["train", "run.toml", "--output", "m.orbas"]) == 0
    ase.io.write("new.xyz", [Atoms(a.numbers, a.positions, cell=a.cell, pbc=True) for a in frames], format="extxyz")
    ase.io.write("mixed.xyz", frames[:3], format="extxyz")
    with (tmp_path / "mixed.xyz").open("a") as file:
        file.write((tmp_path / "new.xyz").read_text())
    assert main(["eval", "m.orbas", "new.xyz"]) == 1
    assert "--output FILE predicts without labels" in capsys.readouterr().err
    for name, count in (("new.xyz", 8), ("mixed.xyz", 11)):
        assert main(["eval", "m.orbas", name, "--output", "p.xyz"]) == 0
        predicted = read("p.xyz", labels=())
        expected = orbas.load("m.orbas").predict(read(name, labels=())).energies
        np.testing.assert_allclose([atoms.info["orbas_energy"] for atoms in predicted], expected)
        assert len(predicted) == count
    capsys.readouterr()
    assert main(["eval", "m.orbas", "mixed.xyz", "--output", "p.xyz", "--json"]) == 0
    assert '"energies": 3' in capsys.readouterr().out


@pytest.mark.parametrize("command", ["featurize", "basis fit"])
def test_commands_without_labels_look_at_none(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    wrong = text([(kind, kind.plain) for kind in LabelKind]).replace("-3", "low").replace("0.01", "x")
    (tmp_path / "a.xyz").write_text(wrong * 3)
    (tmp_path / "run.toml").write_text(CONFIG.partition("[regularization]")[0])
    options = ["--optimal.n_optimal", "2"] if "fit" in command else []
    assert main([*command.split(), "a.xyz", "--config", "run.toml", "--output", "out.npz", *options]) == 0
    assert capsys.readouterr().err == ""


def test_warnings_reach_people_without_a_word_of_configuration(tmp_path):
    (tmp_path / "a.xyz").write_text(text([(LabelKind.FORCES, "force")]))
    code = f"import orbas; orbas.read({str(tmp_path / 'a.xyz')!r})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "forces_key='force'" in run.stderr


def test_files_of_two_sources_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ase.io.write("a.xyz", silicon(SETS[1]), format="extxyz")
    (tmp_path / "b.xyz").write_text("".join(as_text(atoms, SETS[0]) for atoms in silicon(SETS[0])))
    for train, is_named in (('["a.xyz", "b.xyz"]', True), ('"a.xyz"', False), ('"b.xyz"', False)):
        (tmp_path / "run.toml").write_text(f"[data]\ntrain = {train}\n" + CONFIG)
        assert main(["train", "run.toml", "--output", "m.orbas"]) == 0
        said = "labels of a.xyz have names with REF_, those of b.xyz have not" in capsys.readouterr().err
        assert said == is_named


def test_places_are_those_of_the_file(tmp_path):
    """Where structures were left out, an error names the number in the file."""
    content = text([]) + text([(LabelKind.ENERGY, "energy")]) + text([]) + text([(LabelKind.ENERGY, "energy")])
    (tmp_path / "a.xyz").write_text(content)
    found = inputs.read_structures([tmp_path / "a.xyz"], Console(quiet=True), unlabeled="skip")
    assert [number for _, number in found.places] == [1, 3]


def test_structures_without_an_energy_are_counted(caplog):
    frames = silicon(SETS[1])
    del frames[3].info["REF_energy"]
    labels = collect_labels(frames, forces_key="REF_forces", partial=True)
    assert "1 of 8 structures carry no energy under 'REF_energy', the first is structure 3" in caplog.text
    assert labels.known[3].tolist() == [False, True, False]
    fitted = []
    for energy in (None, np.nan):
        if energy is not None:
            frames[3].info["REF_energy"] = energy
        spectrum = orbas.PowerSpectrum(
            orbas.DensityExpansion(
                cutoff=orbas.Cutoff(4.0), density_width=0.5, max_angular=1, basis=orbas.bases.GTO(3), species=[14]
            )
        )
        model = orbas.models.LinearPotential(spectrum, regularization=orbas.models.Fixed(1e-6))
        fitted.append(model.fit(frames, forces_key="REF_forces").weights_)
    np.testing.assert_array_equal(*fitted)
