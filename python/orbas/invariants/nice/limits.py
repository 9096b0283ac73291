"""Numbers that are given once for all orders, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orbas.base.fields import SettingsError
from orbas.base.kinds import Each, Integer, Maybe, listed

#: A number for all orders, one for each from 2 on, None for no limit.
Count = int | Sequence[int | None] | None

Parity = Literal["both", "even"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one order may hold; None for no limit."""

    nu: int
    signs: tuple[int, ...]
    n_pairs: int | None
    n_components: int | None
    n_invariants: int | None
    n_invariant_pairs: int | None
    max_lambda: int | None
    n_purify: int | None


def counts(least: int) -> Each:
    """Return the kind of setting: an integer, None for no limit, or one of these for every order."""
    return Each(Maybe(Integer(least, 2**53), "all", "no limit"), per="order from 2 on")


def per_order(name: str, value: Count, nu_max: int) -> list[int | None]:
    """Return the number for every order from 2 on.

    Raises
    ------
    SettingsError
        If there is not one for each.
    """
    items = listed(value)
    if items is None:
        items = [value] * (nu_max - 1)
    if len(items) != nu_max - 1:
        raise SettingsError(f"NICE.{name} must be one number, or one for each order from 2 to {nu_max}, got {value!r}")
    return [None if item is None else int(item) for item in items]


def check_limits(
    nu_max: int,
    *,
    n_pairs: Count,
    n_components: Count,
    n_invariants: Count,
    n_invariant_pairs: Count,
    max_lambda: Count,
    n_purify: Count,
    parity: Parity,
) -> list[Limits]:
    """Return the limits of every order from 2 on; numbers are checked already, their number is checked here."""
    columns = [
        per_order("n_pairs", n_pairs, nu_max),
        per_order("n_components", n_components, nu_max),
        per_order("n_invariants", n_invariants, nu_max),
        per_order("n_invariant_pairs", n_invariant_pairs, nu_max),
        per_order("max_lambda", max_lambda, nu_max),
        per_order("n_purify", n_purify, nu_max),
    ]
    if any(count == 0 for count in columns[1][:-1]):
        raise SettingsError(
            f"n_components can be 0 for the last order only, which nothing is built on, got {n_components!r}"
        )
    signs = (1, -1) if parity == "both" else (1,)
    return [Limits(nu, signs, *(column[nu - 2] for column in columns)) for nu in range(2, nu_max + 1)]
