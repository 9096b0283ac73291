"""Settings of files and flags: each field with wrong values, typos and texts; help and schema against the classes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import sys
import tomllib

import orbas
import pytest
from orbas import bases
from orbas.base import kinds
from orbas.base.fields import SettingsError, check_settings, default_of, setting, setting_of
from orbas.bases.base import OrthonormalizedBasis
from orbas.cli import main
from orbas.models.settings import TRAIN_SECTIONS, check_train
from orbas.optimal.settings import build_density, build_optimal, check_basis, describe
from orbas.settings import schema, to_toml

NAN, INF = float("nan"), float("inf")
FIELDS = [(section, field) for section in TRAIN_SECTIONS for field in section.fields().values()]
ANY = ["x", "", [], {}, True, 1.5, -1, NAN, INF, 1e200, 10**30, [True], ["x"], [NAN], {"Si": "x"}, {"Xx": 1.0}]
CONFIG = {
    "cutoff": {"radius": 4.0},
    "density": {"density_width": 0.4, "max_angular": 2},
    "basis": {"n_radial": 4},
    "data": {"train": "a.xyz"},
}


def name_of(item):
    return getattr(item, "path", getattr(item, "name", ""))


def with_field(section, field, value):
    """Return settings with one field set, of the first kind that has it, and whatever else that kind needs."""
    table = {**CONFIG.get(section.name, {}), **({"kind": field.kinds[0]} if field.kinds else {})}
    for needed in section.fields_of_kind(table).values():
        if needed.default is dataclasses.MISSING and needed.name not in table:
            table[needed.name] = 1.0
    return {**CONFIG, section.name: {**table, field.name: value}}


def is_right(field, value):
    try:
        field.setting.kind.read(value)
    except kinds.RefusalError:
        return False
    return True


@pytest.mark.parametrize(("section", "field"), FIELDS, ids=name_of)
def test_wrong_values_of_files_are_named_with_their_field(section, field):
    wrong = [value for value in ANY if not is_right(field, value)]
    assert len(wrong) >= 8, "a setting takes nearly anything"
    for value in wrong:
        with pytest.raises(SettingsError) as caught:
            check_train(with_field(section, field, value))
        assert str(caught.value).startswith(f"{field.path} must be "), str(caught.value)
        assert caught.value.path == field.path


@pytest.mark.parametrize(("section", "field"), FIELDS, ids=name_of)
def test_wrong_texts_of_flags_are_named_too(section, field):
    numeric = isinstance(field.setting.kind, kinds.Number | kinds.Integer)
    texts = ["1_0", "nan", "inf", "1e400", "x", "0x10", "١", "", "true", " 1"]
    for text in texts if numeric else [""]:
        if isinstance(field.setting.kind, kinds.Tables):
            continue
        with pytest.raises(SettingsError, match=re.escape(f"{field.path} must be ")):
            field.parse(text)


def test_a_mistyped_flag_is_named_before_one_that_is_missing(capsys):
    assert main(["basis", "fit", "a.xyz", "--outptu", "b.orbas"]) == 2
    assert "unknown option --outptu: did you mean '--output'?" in capsys.readouterr().err


def test_wrong_flags_end_with_2(capsys):
    for words in (
        ["--cutoff.radius", "1_0"],
        ["--cutoff.smoothing", "cosin"],
        ["--no-such-thing", "3"],
        ["--cutoff.radios=3"],
    ):
        assert main(["basis", "fit", "a.xyz", "--output", "b.orbas", *words]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert words[0].partition("=")[0].strip("-") in err


@pytest.mark.parametrize(("section", "field"), FIELDS, ids=name_of)
def test_a_typo_is_answered_with_the_name(section, field):
    doubled = field.name + field.name[-1]
    with pytest.raises(SettingsError, match=re.escape(f"{section.name}.{doubled}: did you mean {field.name!r}?")):
        check_train({**CONFIG, section.name: {doubled: 1}})
    with pytest.raises(SettingsError, match=re.escape(f"[{section.name}e]: did you mean {section.name!r}?")):
        check_train({**CONFIG, f"{section.name}e": {}})
    if isinstance(field.setting.kind, kinds.Choice):
        for name in field.setting.kind.names:
            with pytest.raises(SettingsError, match=re.escape(f"did you mean {name!r}?")):
                check_train(with_field(section, field, name + name[-1]))


@pytest.fixture(scope="module")
def help_text():
    """What ``orbas train --help`` prints, in one line."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["train", "--help"]) == 0
    return " ".join(out.getvalue().split())


@pytest.mark.parametrize(("section", "field"), FIELDS, ids=name_of)
def test_help_tells_type_unit_and_default(section, field, help_text):
    kind = field.setting.kind
    if isinstance(kind, kinds.Tables):
        return
    (found,) = re.findall(
        rf"--{re.escape(field.path)} \S+ (.+?)(?= --[a-z_]+\.| \[[a-z]+\]: |$)", help_text.partition("[cutoff]:")[2]
    )
    assert field.setting.help in found
    assert " ".join(kind.allowed(in_file=True).split()) in found
    assert kind.unit in found
    declared = field.default
    if declared is dataclasses.MISSING:
        assert found.endswith("; required)")
    else:
        told = re.search(r"default ([^;]+)\)$", found)[1]
        if declared is None or declared == {}:
            assert told == (kind.nothing or "none")
        elif "..." not in told:
            assert kind.read(kind.parse(told)) == kind.take(declared)


def test_fields_of_files_are_those_of_the_classes():
    for section in TRAIN_SECTIONS:
        classes = {"": section.classes} if isinstance(section.classes, type) else section.classes
        declared = {
            field.name: default_of(field)
            for cls in classes.values()
            for field in dataclasses.fields(cls)
            if (found := setting_of(field)) and found.plain and field.name not in section.without
        }
        fields = section.fields()
        assert declared.keys() <= fields.keys()
        assert {name: fields[name].default for name in declared} == declared


def test_the_schema_holds_every_field(capsys):
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(json.dumps(schema(TRAIN_SECTIONS)))
    for section, field in FIELDS:
        found = printed["properties"][section.name]["properties"][field.name]
        assert field.setting.help in found["description"]
        assert {"type", "enum", "anyOf"} & found.keys()
        if "default" in found:
            assert field.setting.kind.read(found["default"]) == field.setting.kind.take(field.default)


@dataclasses.dataclass(frozen=True, slots=True)
class Shells(OrthonormalizedBasis):
    """A basis of the user's own, with two settings."""

    n_radial: int = dataclasses.field(metadata=setting(kinds.Integer(1, 1000), "number of functions for every l"))
    decay: float = dataclasses.field(metadata=setting(kinds.Number(0.1, 100.0, "1/Å"), "decay of the functions"))

    def __post_init__(self):
        check_settings(self)

    def counts(self, max_angular):
        return (self.n_radial,) * (max_angular + 1)

    def extent(self, setup):
        return setup.cutoff_radius, 10.0 * self.decay

    def primitives(self, r, degree, setup, order):
        raise NotImplementedError


@pytest.fixture
def registry():
    """The registered bases; those that a test adds are gone afterwards."""
    before = dict(bases.BASES)
    yield bases.BASES
    bases.BASES.clear()
    bases.BASES.update(before)


def test_a_basis_of_two_numbers_can_be_set_and_written(registry):
    registry["Shells"] = Shells
    given = {**CONFIG, "basis": {"kind": "Shells", "n_radial": 3, "decay": 2.0}}
    checked = check_train(given)
    assert build_density(checked).basis == Shells(3, 2.0)
    optimal = orbas.OptimalBasis(
        orbas.DensityExpansion(cutoff=orbas.Cutoff(2.5), density_width=0.4, max_angular=1, basis=Shells(3, 2.0)), 1
    )
    written = to_toml(describe(optimal))
    assert 'kind = "Shells"\nn_radial = 3\ndecay = 2.0\n' in written
    assert repr(build_optimal(check_basis(tomllib.loads(written)))) == repr(optimal)
    with pytest.raises(SettingsError, match=r"basis.decay must be a number from 0.1 to 100 1/Å, got 0"):
        check_train({**given, "basis": {**given["basis"], "decay": 0}})
    with pytest.raises(SettingsError, match=r"basis.decay is for basis.kind = 'Shells', which is 'GTO'"):
        check_train({**given, "basis": {"n_radial": 3, "decay": 2.0}})
    with pytest.raises(SettingsError, match=r"basis.decay is missing: decay of the functions"):
        check_train({**given, "basis": {"kind": "Shells", "n_radial": 3}})


PLUGIN = """
from dataclasses import dataclass, field
from orbas import bases
from orbas.base.fields import setting
from orbas.base.kinds import Integer

@bases.register
@dataclass(frozen=True)
class {name}(bases.GTO):
    n_more: int = field(default=1, metadata=setting(Integer(0, 9), "number of nothing"))
"""


@pytest.mark.usefixtures("registry")
def test_a_module_of_ones_own_is_imported_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_bases.py").write_text(PLUGIN.format(name="Mine"))
    command = ["basis", "fit", "a.xyz", "--output", "b.orbas", "--basis.n_more", "1_0"]
    assert main(command) == 2
    assert "unknown option --basis.n_more" in capsys.readouterr().err
    path = list(sys.path)
    assert main([*command, "--import", "my_bases"]) == 2
    assert "basis.n_more must be an integer from 0 to 9" in capsys.readouterr().err
    assert main([*command, "--import=my_base"]) == 1
    assert "No module named 'my_base'" in capsys.readouterr().err
    assert main(["basis", "show", "b.orbas", "--import"]) == 2
    assert "--import: expected one argument" in capsys.readouterr().err
    assert sys.path == path


def test_only_bases_that_files_can_hold_are_registered(registry):
    for _ in range(2):
        assert bases.register(Shells) is Shells
    assert registry["Shells"] is Shells

    @dataclasses.dataclass(frozen=True)
    class Bare(bases.GTO):
        bare: int = 3

    @dataclasses.dataclass
    class Loose:
        pass

    for wrong, message in (
        (Bare, r"Bare\.bare needs metadata=setting"),
        (Loose, "a basis is a dataclass derived from"),
        (bases.Custom, r"Custom\.callables needs metadata"),
        (bases.PrimitiveBasis, "a basis is a dataclass"),
        (3, "a basis is a dataclass"),
    ):
        with pytest.raises(TypeError, match=message):
            bases.register(wrong)
    with pytest.raises(ValueError, match=r"there is a basis GTO already, of orbas.bases.gto"):
        bases.register(dataclasses.make_dataclass("GTO", [], bases=(Shells,), frozen=True))
