"""Numbers as files and flags write them: digits, a point, an exponent.

Python reads more than that: ``float("1_0")`` is 10, ``float("١")`` is 1, ``float("1e400")`` is infinite. In a file each
of these is a slip, never a number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eEdD][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_UNKNOWN = re.compile(r"[+-]?nan", re.IGNORECASE)
# Of words made of these alone, float() takes what _NUMBER matches and nothing else; Fortran's D goes the slow way.
_OTHER = re.compile(r"[^0-9eE.+\- ]")
_SHOWN = 40
#: Beyond this a number is refused with the infinities: its square would not fit in a double.
LARGEST = 1e100


def parse_number(text: str, *, unknown: bool = False) -> float:
    """Return the finite number that a text is; an exponent may be written with ``D``, as Fortran does.

    Parameters
    ----------
    text
        One word, without blanks.
    unknown
        Whether ``nan`` may stand for a number that is not known.

    Raises
    ------
    ValueError
        If it is anything else, or too large for a double.

    Examples
    --------
    >>> parse_number("-1.5e3")
    -1500.0
    >>> parse_number("1_0")
    Traceback (most recent call last):
        ...
    ValueError: '1_0' is not a number
    """
    if unknown and _UNKNOWN.fullmatch(text):
        return float("nan")
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not a number")
    value = float(text.replace("d", "e").replace("D", "e"))
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{_shown(text)} is too large for a number of double precision")
    return value


def parse_numbers(words: Sequence[str], *, unknown: bool = False) -> NDArray[np.float64]:
    """Return the numbers that words are, [n], many at once: :func:`parse_number` says which.

    Raises
    ------
    ValueError
        At the first word that is none.

    Examples
    --------
    >>> parse_numbers(["1", "2.5", "1e-3"]).tolist()
    [1.0, 2.5, 0.001]
    """
    if words and _OTHER.search(" ".join(words)) is None:
        try:
            values = np.array([float(word) for word in words])
        except ValueError:
            pass  # said below, with the word
        else:
            if np.isfinite(values).all():
                return values
    return np.array([parse_number(word, unknown=unknown) for word in words], dtype=np.float64)


def parse_integer(text: str) -> int:
    """Return the integer of 64 bits that a text is.

    Raises
    ------
    ValueError
        If it is anything else, ``3.0`` and ``1e3`` too.

    Examples
    --------
    >>> parse_integer("007")
    7
    """
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not an integer")
    if len(text.lstrip("+-0")) > 19 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{_shown(text)} is too large for an integer of 64 bits")
    return int(text)


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."
