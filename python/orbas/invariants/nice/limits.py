"""Numbers that are given once for all orders, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

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


def per_order(name: str, value: Count, nu_max: int, least: int) -> list[int | None]:
    """Return the number for every order from 2 on.

    Raises
    ------
    ValueError
        If it is neither None, an integer of at least ``least``, nor one of these for each order.
    """
    listed = list(value) if isinstance(value, Sequence | np.ndarray) else [value] * (nu_max - 1)
    sound = all(
        item is None or (isinstance(item, int | np.integer) and not isinstance(item, bool) and item >= least)
        for item in listed
    )
    if not sound or len(listed) != nu_max - 1:
        raise ValueError(
            f"{name} must be None, an integer of at least {least}, or one of these for each order 2 to {nu_max}, "
            f"got {value!r}"
        )
    return [None if item is None else int(item) for item in listed]


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
    """Return the limits of every order from 2 on, checked."""
    if isinstance(nu_max, bool) or not isinstance(nu_max, int | np.integer) or not 1 <= nu_max <= 10:
        raise ValueError(f"nu_max must be an integer in 1..10, got {nu_max!r}")
    if parity not in get_args(Parity):
        raise ValueError(f"unknown parity {parity!r}: choose one of {get_args(Parity)}")
    columns = [
        per_order("n_pairs", n_pairs, nu_max, 1),
        per_order("n_components", n_components, nu_max, 0),
        per_order("n_invariants", n_invariants, nu_max, 0),
        per_order("n_invariant_pairs", n_invariant_pairs, nu_max, 1),
        per_order("max_lambda", max_lambda, nu_max, 0),
        per_order("n_purify", n_purify, nu_max, 0),
    ]
    if any(count == 0 for count in columns[1][:-1]):
        raise ValueError(
            f"n_components can be 0 for the last order only, which nothing is built on, got {n_components!r}"
        )
    signs = (1, -1) if parity == "both" else (1,)
    return [Limits(nu, signs, *(column[nu - 2] for column in columns)) for nu in range(2, nu_max + 1)]
