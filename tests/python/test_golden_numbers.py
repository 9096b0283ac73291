"""Verb by invariant by batch: the numbers of the release before, and the same bits for any number of threads."""

from __future__ import annotations

import json

import golden_numbers
import orbas
import pytest

GOLDEN = json.loads(golden_numbers.FILE.read_text(encoding="utf-8"))
#: Of the norm: rounding of another order of sums, and that of single precision. Contractions and optimal bases are
#: eigenvectors, which another LAPACK rounds otherwise.
TOLERANCE, SINGLE, FITTED = 1e-12, 1e-6, 1e-10


@pytest.fixture(scope="module")
def numbers():
    return golden_numbers.numbers()


def test_numbers_are_those_of_the_file(numbers):
    assert numbers.keys() == GOLDEN.keys()
    for key, expected in GOLDEN.items():
        fitted = "nice/" in key or "-combined" in key or "-per-center" in key
        tolerance = SINGLE if "single" in key else FITTED if fitted else TOLERANCE
        scale = max(expected[0], 1e-300)
        for k, (value, number) in enumerate(zip(numbers[key], expected, strict=True)):
            assert abs(value - number) <= tolerance * scale * (1 if k == 0 else 10), key


def test_bits_do_not_depend_on_threads():
    before = orbas.get_num_threads()
    try:
        of_threads = []
        for threads in (1, 3):
            orbas.set_num_threads(threads)
            of_threads.append(golden_numbers.numbers(golden_numbers.bits))
    finally:
        orbas.set_num_threads(before)
    assert of_threads[0] == of_threads[1]
