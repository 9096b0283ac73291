"""The grammar of numbers in files and flags, and what is said of a name that nobody has."""

from __future__ import annotations

import math

import numpy as np
import pytest
from orbas.base import names, numbers
from orbas.structures import species

GOOD = {
    "1": 1.0,
    "-1.5": -1.5,
    "+.5": 0.5,
    "5.": 5.0,
    "1e3": 1e3,
    "1E-3": 1e-3,
    "2.5D+01": 25.0,
    "1d2": 100.0,
    "00": 0.0,
}
BAD = [
    "", " ", "1_0", "_1", "0x10", "1e", "e5", ".", "+", "--1", "1.2.3", "1,5", "١", "１", "½", "inf", "-inf",
    "Infinity", "nan", "1e400", "-1e400", "true", "None", "1 2", "1\n", "1j", "1e1_0", "1e5.0", "9" * 400,
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_number_is_digits_a_point_and_an_exponent(text):
    assert numbers.parse_number(text) == GOOD[text]
    assert numbers.parse_numbers(["7", text, "1e-2"]).tolist() == [7.0, GOOD[text], 0.01]


@pytest.mark.parametrize("text", BAD)
def test_everything_else_is_none(text):
    with pytest.raises(ValueError, match="number"):
        numbers.parse_number(text)
    with pytest.raises(ValueError, match="number"):
        numbers.parse_numbers(["1", text])


def test_nan_stands_for_what_is_not_known_where_it_may():
    for text in ("nan", "NaN", "-nan", "+NAN"):
        assert math.isnan(numbers.parse_number(text, unknown=True))
        assert np.isnan(numbers.parse_numbers([text, "1"], unknown=True)).tolist() == [True, False]
    with pytest.raises(ValueError, match="nano"):
        numbers.parse_number("nano", unknown=True)


@pytest.mark.parametrize("text", ["0", "-7", "+7", "007", str(2**63 - 1), str(-(2**63))])
def test_integers(text):
    assert numbers.parse_integer(text) == int(text)


@pytest.mark.parametrize("text", ["1.0", "1e3", "1_0", "", "٣", "0x1", str(2**63), "9" * 5000, "nan", " 1"])
def test_what_is_no_integer(text):
    with pytest.raises(ValueError, match="integer"):
        numbers.parse_integer(text)


@pytest.mark.parametrize("function", [numbers.parse_number, numbers.parse_integer])
def test_messages_are_short(function):
    with pytest.raises(ValueError, match="xxx") as caught:
        function("x" * 100_000)
    assert len(str(caught.value)) < 100


def test_no_numbers_of_no_words():
    assert numbers.parse_numbers([]).shape == (0,)


@pytest.mark.parametrize(
    ("name", "there", "end"),
    [
        ("gto", ["GTO", "DVR"], ": did you mean 'GTO'?"),
        ("max-angular", ["max_angular", "species"], ": did you mean 'max_angular'?"),
        ("cuttoff", ["cutoff", "density"], ": did you mean 'cutoff'?"),
        ("zzz", ["cutoff", "density"], "; there are: cutoff, density"),
        ("zzz", [f"name{k}" for k in range(100)], ""),
        ("zzz", [], "; there are none"),
        (7, ["a", "b"], "; there are: a, b"),
    ],
)
def test_a_name_like_it_or_those_there_are(name, there, end):
    assert names.did_you_mean(name, there) == end
    assert names.unknown_name("thing", name, there) == f"unknown thing {name!r}{end}"


def test_elements_by_symbol_and_number():
    assert [species.atomic_number(item) for item in ("H", "Si", 8, np.int64(79), "X")] == [1, 14, 8, 79, 0]
    assert (species.symbol(14), species.symbol(200)) == ("Si", "200")


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        *(("si", "mean 'Si'"), ("Sii", "mean 'Si'"), ("14", "'14'"), ("", "''"), ("Silicon", "'Silicon'")),
        *((True, "True"), (14.0, "14.0"), (-1, "0..255"), (256, "0..255"), (None, "None")),
    ],
)
def test_what_is_no_element(wrong, part):
    with pytest.raises((TypeError, ValueError), match=part):
        species.atomic_number(wrong)
