"""Files of settings: lines in messages, files relative to them, numbers that are none."""

from __future__ import annotations

import os
import tomllib

import orbas
import pytest
from orbas.cli import main
from orbas.files.toml import read_toml
from orbas.settings import to_toml
from training import CONFIG, fails_to_train, write_inputs

TEXT = """# comment [cutoff]
[cutoff]
radius = 4.0 # radius = 3
 smoothing="cosine"
[noise.by_config."a b"]
energy = 1
[data]
train = [
  "a.xyz",
]
[model]
kind = "linear"
"""


@pytest.mark.parametrize(
    ("name", "line"),
    [("cutoff.radius", 3), ("cutoff.smoothing", 4), ("cutoff", 2), ("cutoff.width", 2), ("data.train", 8),
     ("model.kind", 12), ("noise.by_config.ab.energy", 6), ("basis.n_radial", None)],
)  # fmt: skip
def test_lines_of_values(tmp_path, name, line):
    (tmp_path / "a.toml").write_text(TEXT)
    assert read_toml(tmp_path / "a.toml").line_of(name) == line


@pytest.mark.parametrize(
    "text", ["1_0", "10_00", "1_", "1__000", "0x10", "0o7", "0b1", "1_0.5", "1.5_0", "1e1_0", "-1_0"]
)
def test_numbers_that_are_slips(tmp_path, text):
    for line in (f"a = {text}", f"a = [1, {text}]", f"a = {{b = {text}}}"):
        (tmp_path / "a.toml").write_text(f'# 1_0\n[x]\ns = "= 1_0"\nt = """\n= 1_0\n"""\n{line}\n')
        with pytest.raises(orbas.SettingsError, match=r"is not TOML|line 7: .* is not a number here"):
            read_toml(tmp_path / "a.toml")


def test_numbers_that_are_right(tmp_path):
    (tmp_path / "a.toml").write_text("a_1_0 = 1\nb = [100_000, -1_000_000, 1e-3, 5., 1_000.5]\n".replace("5.,", "5.0,"))
    assert read_toml(tmp_path / "a.toml").tables == {"a_1_0": 1, "b": [100_000, -1_000_000, 1e-3, 5.0, 1000.5]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "is not TOML"),
        (b"a = ", "is not TOML"),
        (b"[" * 100_000, "is not TOML"),
        (b"a = 1\na = 2", "is not TOML"),
    ],
)
def test_what_is_no_toml(tmp_path, content, message):
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(orbas.SettingsError, match=message):
        read_toml(tmp_path / "a.toml")


def test_byte_order_marks_and_windows_lines(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf[cutoff]\r\nradius = 3\r\n")
    file = read_toml(tmp_path / "a.toml")
    assert file.tables == {"cutoff": {"radius": 3}}
    assert file.line_of("cutoff.radius") == 2


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Structures and settings in a folder below the working folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    write_inputs(folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_files_in_toml_are_relative_to_it_and_those_in_flags_to_the_working_folder(project, capsys):
    assert main(["train", "project/run.toml", "--output", "m.orbas"]) == 0
    assert (
        main(["train", "project/run.toml", "--output", "n.orbas", "--data.train", "project/a.xyz,project/b.xyz"]) == 0
    )
    assert (project.parent / "m.orbas").read_bytes() == (project.parent / "n.orbas").read_bytes()
    assert main(["train", "project/run.toml", "--output", "o.orbas", "--data.train", "a.xyz"]) == 1
    assert "a.xyz: No such file" in capsys.readouterr().err


def test_a_pipe_has_no_folder(project, capsys):
    os.chdir(project)
    read, write = os.pipe()
    os.write(write, CONFIG.encode())
    os.close(write)
    assert main(["train", f"/dev/fd/{read}", "--output", "m.orbas"]) == 0, capsys.readouterr().err
    os.close(read)


@pytest.mark.parametrize("text", ["a b.c", 'q"uote', "back\\slash", "ü", "😀", "\x7f\x01", "", "new\nline", "#", "'"])
def test_any_name_and_text_can_be_written(text):
    settings = {"data": {"train": [text], "energy_key": text}, "noise": {"by_config": {text: {"energy": 1e-8}}}}
    assert tomllib.loads(to_toml(settings)) == settings


def test_long_names_are_cut(project, capsys):
    os.chdir(project)
    (project / "run.toml").write_text(CONFIG + f"[{'x' * 10_000}]\n")
    assert len(fails_to_train(capsys, 2)) < 300
    (project / "run.toml").write_text(CONFIG + f"[noise]\n{'x' * 10_000} = 1\n")
    assert len(fails_to_train(capsys, 2)) < 300


def test_absolute_files_stay(project, capsys):
    text = (project / "run.toml").read_text().replace('"a.xyz"', f'"{project / "a.xyz"}"')
    (project / "run.toml").write_text(text)
    assert main(["train", "project/run.toml", "--output", "m.orbas"]) == 0


def test_errors_name_file_line_and_field(project, capsys):
    os.chdir(project)
    for old, new, message in (
        ("radius = 4.0", "radius = true", "run.toml, line {line}: cutoff.radius must be a number"),
        (
            "radius = 4.0",
            "radiuss = 4.0",
            "run.toml, line {line}: unknown field cutoff.radiuss: did you mean 'radius'?",
        ),
        ("radius = 4.0", "radius = 0.1", "run.toml, line {line}: [cutoff] Cutoff.width must be at most the radius"),
    ):
        (project / "run.toml").write_text(CONFIG.replace(old, new))
        lines = CONFIG.replace(old, new).splitlines()
        line = lines.index(new) + 1 if "Cutoff." not in message else lines.index("[cutoff]") + 1
        assert message.format(line=line) in fails_to_train(capsys, 2)
