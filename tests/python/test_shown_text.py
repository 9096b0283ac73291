"""What is shown of files is harmless: no character of theirs steers a terminal, a log or a page; JSON is JSON."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import unicodedata

import ase.io
import model_files
import numpy as np
import orbas
import pytest
from orbas.base.documents import json_text
from orbas.base.text import markdown, printable
from orbas.cli import main
from orbas.plots import Parity, plot_parity, save_figure

STEERING = ("\x1b[2J\x1b]0;title\x07", "\r", "\x9b31m", "\u202e", "\u2028", "\x7f", "\x00", "\ud800", "\ufeff", "\x08")


@pytest.mark.parametrize("sign", STEERING)
@pytest.mark.parametrize("lines", [False, True])
def test_characters_that_steer_are_escaped(sign, lines):
    shown = printable(f"a{sign}Å", lines=lines)
    assert shown.startswith("a\\")
    assert shown.endswith("Å")
    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert printable(shown) == shown


def test_other_text_stays_as_it_is():
    for text in ("plain", "meV/Å³ ± 1", "Überstruktur 硅", "tab\tand\nline"):
        assert printable(text, lines=True) == text
    assert printable("a\tb\nc") == "a\\tb\\nc"


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "[x](javascript:1)", "a|b", "`x`", "**b**", "&lt;", "a\nb"]
)
def test_markup_is_text_in_a_page(text):
    shown = markdown(text)
    assert "<" not in shown
    assert "\n" not in shown
    assert not any(f"{sign}" in shown.replace(f"\\{sign}", "") for sign in "[]|`*")
    assert shown.count("&") == shown.count("&lt;") + shown.count("&gt;") + shown.count("&amp;")


def test_the_log_is_printable(caplog):
    with caplog.at_level(logging.INFO, logger="orbas"):
        logging.getLogger("orbas").warning("key %s of %d\nnext line", "\x1b[2J", 3)
        logging.getLogger("orbas").info("plain %s", "text")
    assert [record.getMessage() for record in caplog.records] == ["key \\x1b[2J of 3\nnext line", "plain text"]


def write_structures(path, config="a", key="note"):
    """Structures whose config_type and name of a key come from elsewhere."""
    frames = model_files.silicon()
    ase.io.write(path, frames, format="extxyz", columns=["symbols", "positions"], write_info=False)
    lines = path.read_text().splitlines()
    for k in range(len(frames)):
        energy = frames[k].info["REF_energy"]
        kind = config if k % 2 else "plain"
        lines[4 * k + 1] += f' REF_energy={energy} config_type="{kind}" {key}=1'
    path.write_text("\n".join([*lines, ""]))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model_files.small().save("m.orbas")
    write_structures(tmp_path / "escape.xyz", config="x\x1b[2J\x1b]0;title\x07")
    write_structures(tmp_path / "markup.xyz", config="<script>alert(1)</script>|[a](b)")
    write_structures(tmp_path / "key.xyz", key="\x1b]0;title\x07")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "eval m.orbas escape.xyz",
        "eval m.orbas escape.xyz --json",
        "report m.orbas --test escape.xyz --output r.md",
        "eval m.orbas key.xyz --energy-key \x1b[2J",
        "eval m.orbas key.xyz --energy-key nothing",
        "eval \x1b[2J.orbas key.xyz",
        "inspect \x1b[2J.orbas",
        "md m.orbas escape.xyz --output \x1b[2J.html",
        "featurize \x1b[2J.xyz --output f.npz --config \x1b[2J",
        "\x1b[2J",
    ],
)
def test_no_command_lets_files_steer_the_terminal(folder, capsys, words):
    main(words.split(" "))
    out = capsys.readouterr()
    assert out.out + out.err
    assert {sign for sign in out.out + out.err if unicodedata.category(sign) == "Cc"} <= {"\n"}


def test_a_page_holds_no_markup_of_files(folder):
    (folder / "m.orbas").rename("a<b>_*$x^$.orbas")
    for name in ("escape", "markup"):
        assert main(["report", "a<b>_*$x^$.orbas", "--test", f"{name}.xyz", "--output", "r.md"]) == 0
        page = (folder / "r.md").read_text()
        assert "\x1b" not in page
        assert "<" not in page
        assert "[a](b)" not in page
        assert "a&lt;b&gt;\\_\\*$x^$.orbas" in page
        columns = [line.replace("\\|", "").count("|") for line in page.splitlines() if line.startswith("| ")]
        assert set(columns[-4:]) == {columns[-1]}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_names_that_are_no_text(folder):
    name = os.fsdecode(b"m\xff.orbas")
    (folder / "m.orbas").rename(name)
    page = os.fsdecode(b"r\xff.md")
    assert main(["report", name, "--test", "escape.xyz", "--output", page]) == 0
    assert "![parity](r%FF.png)" in (folder / page).read_text()
    for words in (["inspect", name], ["inspect", name, "--json"], ["eval", name, "escape.xyz", "--json"]):
        assert main(words) == 0


def test_a_title_of_a_picture_is_no_formula(tmp_path):
    parity = Parity("energy", "eV/atom", np.arange(3.0), np.arange(3.0))
    save_figure(plot_parity([parity], "a$b^$_{\x1b"), tmp_path / "p.png", dpi=50)


# --- JSON


def test_json_is_json():
    text = json_text({
        "nan": float("nan"), "infinite": [np.inf, -np.inf], "numpy": np.float64("nan"),
        "array": np.array([1.0, np.nan]), "count": np.int64(3), "flag": np.bool_(True),
        "nested": {"tuple": (1, float("nan"))}, "none": None, "text": "NaN",
    })  # fmt: skip

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    assert json.loads(text, parse_constant=refuse) == {
        "nan": None, "infinite": [None, None], "numpy": None, "array": [1.0, None], "count": 3, "flag": True,
        "nested": {"tuple": [1, None]}, "none": None, "text": "NaN",
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    ["inspect m.orbas", "eval m.orbas escape.xyz", "report m.orbas --test markup.xyz --output r.md", "schema"],
)
def test_documents_of_commands_are_json(folder, capsys, words):
    assert main([*words.split(" "), "--json"]) == 0
    json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))


# --- the program


def test_the_package_is_a_program():
    command = [sys.executable, "-m", "orbas", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"orbas {orbas.__version__}\n"


@pytest.mark.parametrize("command", ["train", "eval", "md", "basis fit", "inspect"])
def test_debug_is_in_the_help(capsys, command):
    assert main([*command.split(), "--help"]) == 0
    assert "--debug" in capsys.readouterr().out


ESCAPE = "\x1b]0;title\x07"
HEAD = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3'
HOSTILE = {
    "species": f"1\n{HEAD}\nS{ESCAPE} 0 0 0\n",
    "number": f"1\n{HEAD}\nSi 0 0 {ESCAPE}\n",
    "count": f"{ESCAPE}\n{HEAD}\nSi 0 0 0\n",
    "name of a column": f"1\nProperties=species:S:1:pos:R:3:{ESCAPE}:R:1\nSi 0 0 0\n",
    "cell": f'1\nLattice="{ESCAPE}" Properties=species:S:1:pos:R:3\nSi 0 0 0\n',
    "pbc": f'1\n{HEAD} pbc="{ESCAPE}"\nSi 0 0 0\n',
    "energy": f'1\n{HEAD} energy="{ESCAPE}"\nSi 0 0 0\n',
    "key": f"1\n{HEAD} a{ESCAPE}=1\nSi 0 0 0\n",
    "config_type": f'1\n{HEAD} energy=1 config_type="{ESCAPE}"\nSi 0 0 0\n',
    "error bar": f'1\n{HEAD} energy=1 energy_sigma="{ESCAPE}"\nSi 0 0 0\n',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_errors_of_python_hold_no_characters_that_steer(tmp_path, name):
    """A traceback is shown in a terminal too."""
    (tmp_path / "a.xyz").write_text(HOSTILE[name])
    noise = orbas.models.Noise(by_config={"hot": orbas.models.Noise()})
    spectrum = orbas.PowerSpectrum(model_files.density(species=[14]))
    with pytest.raises(ValueError, match=r"\S") as caught:
        orbas.models.LinearPotential(spectrum, noise=noise).fit(orbas.read(tmp_path / "a.xyz"))
    assert "\x1b" not in str(caught.value)
