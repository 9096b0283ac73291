"""Neighbor lists with ase's signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orbas import _core
from orbas.structures import to_batch

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray


def neighbor_list(
    quantities: str, atoms: Atoms, cutoff: float, self_interaction: bool = False
) -> NDArray | tuple[NDArray, ...]:  # type: ignore[type-arg]
    """Find all pairs of atoms closer than a cutoff, in any cell, periodic or not.

    ``D = r_j - r_i + S @ cell`` and ``|D| < cutoff``, evaluated on the positions as given; a pair stands in the list
    once from each of its atoms, and an atom pairs with its own images.

    Parameters
    ----------
    quantities
        Any of the letters below; the arrays come back in their order (a single letter gives a bare array).

        ===  =========================================  ==============
        i    center                                     int [pair]
        j    neighbor                                   int [pair]
        S    cells by which the neighbor is shifted     int [pair, 3]
        D    vector from i to j in Å                    [pair, 3]
        d    distance in Å                              [pair]
        ===  =========================================  ==============
    atoms
        One structure.
    cutoff
        Radius in Å.
    self_interaction
        Also list every atom with itself, at the distance 0.

    Notes
    -----
    Centers are in rising order; the order of the neighbors of one center is not guaranteed.

    Raises
    ------
    ValueError
        For an unknown letter, a cutoff that is no length, a bad structure, or two atoms on one point.
    """
    return _select(quantities, atoms, cutoff, self_interaction, exhaustive=False)


def brute_force_neighbor_list(
    quantities: str,
    atoms: Atoms,
    cutoff: float,
    self_interaction: bool = False,
) -> NDArray | tuple[NDArray, ...]:  # type: ignore[type-arg]
    """Do the same as :func:`neighbor_list` by trying every pair and every image: slow, the oracle of the tests."""
    return _select(quantities, atoms, cutoff, self_interaction, exhaustive=True)


def _select(
    quantities: str, atoms: Atoms, cutoff: float, self_interaction: bool, *, exhaustive: bool
) -> NDArray | tuple[NDArray, ...]:  # type: ignore[type-arg]
    unknown = sorted(set(quantities) - set("ijSDd"))
    if unknown or not quantities:
        raise ValueError(f"quantities must be letters of 'ijSDd', got {quantities!r}")
    arrays = _core.neighbor_list(to_batch([atoms]), 0, float(cutoff), exhaustive)
    by_letter: dict[str, NDArray] = dict(zip("ijSDd", arrays, strict=True))  # type: ignore[type-arg]
    if self_interaction:
        # Each atom before its neighbors, so that centers stay in rising order.
        own = np.arange(len(atoms))
        places = np.searchsorted(by_letter["i"], own)
        for letter, array in by_letter.items():
            by_letter[letter] = np.insert(array, places, own if letter in "ij" else 0, axis=0)
    picked = tuple(by_letter[letter] for letter in quantities)
    return picked[0] if len(picked) == 1 else picked


__all__ = ["brute_force_neighbor_list", "neighbor_list"]
