"""Settings that are made to keep a reader busy: refused by their shape, before the parser sees them."""

from __future__ import annotations

import pytest
from orbas.errors import SettingsError
from orbas.files.toml import MOST_BYTES, read_toml

N = MOST_BYTES // 4
HOSTILE = {
    "dotted key": ("a." * N + "a = 1", "line 1: a name of more than 32 levels"),
    "spaces between": ("a . " * (N // 2) + "a = 1", "line 1: a name of more than 32 levels"),
    "quoted names": ('"a".' * (N // 2) + "a = 1", "line 1: a name of more than 32 levels"),
    "header": ("\n[" + "a." * N + "a]", "line 2: a name of more than 32 levels"),
    "key of an inline table": ("x = {" + "a." * N + "a = 1}", "line 1: a name of more than 32 levels"),
    "ever deeper headers": ("\n".join(f"[{'.'.join('a' * k)}]" for k in range(1, 300)), "line 34: a name"),
    "brackets": ("a = " + "[" * N, "not TOML"),
    "braces": ("a = " + "{a = " * (N // 2), "not TOML"),
    "a string without an end": ('a = "' + '\\"' * N, "not TOML"),
    "long strings without an end": ('a = """' + '""\\"' * (N // 2), "not TOML"),
    "many digits": ("a = " + "1" * N, "not TOML"),
    "too long": ("#" * (MOST_BYTES + 1), "larger than"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_settings_are_refused(tmp_path, name):
    text, message = HOSTILE[name]
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises((SettingsError, OSError), match=message):
        read_toml(tmp_path / "a.toml")


def test_what_only_looks_so_is_read(tmp_path):
    text = f'a = "{"b." * 100}"\n# {"c." * 100}\nd = [{"1.5, " * 100}]\n[e.f.g]\nh = """\n{"i." * 100}"""\n'
    (tmp_path / "a.toml").write_text(text)
    assert read_toml(tmp_path / "a.toml").tables["e"]["f"]["g"]["h"] == "i." * 100
