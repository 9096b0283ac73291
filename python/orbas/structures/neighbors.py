"""Neighbor lists with ase's signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orbas import _core
from orbas._core import SkinList
from orbas.base.fields import checked
from orbas.base.kinds import LENGTH, Switch
from orbas.structures.batch import to_batch

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

__all__ = ["SkinList", "brute_force_neighbor_list", "neighbor_list"]


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

    Examples
    --------
    >>> import ase.build
    >>> import orbas
    >>> i, d = orbas.neighbor_list("id", ase.build.bulk("Si"), 2.5)
    >>> len(i), d.round(3).tolist()[:2]
    (8, [2.351, 2.351])
    """
    radius, with_itself = _check(quantities, cutoff, self_interaction)
    letters = quantities if "i" in quantities or not with_itself else quantities + "i"
    arrays = _core.neighbor_list(to_batch([atoms]), 0, radius, letters)
    return _pick(quantities, arrays, len(atoms) if with_itself else 0)


def brute_force_neighbor_list(
    quantities: str,
    atoms: Atoms,
    cutoff: float,
    self_interaction: bool = False,
) -> NDArray | tuple[NDArray, ...]:  # type: ignore[type-arg]
    """Do the same as :func:`neighbor_list` by trying every pair and every image: slow, the oracle of the tests.

    Examples
    --------
    >>> import ase.build
    >>> import orbas
    >>> silicon = ase.build.bulk("Si")
    >>> d = orbas.brute_force_neighbor_list("d", silicon, 4.0)
    >>> sorted(d.round(6)) == sorted(orbas.neighbor_list("d", silicon, 4.0).round(6))
    True
    """
    radius, with_itself = _check(quantities, cutoff, self_interaction)
    arrays = _core.brute_force_neighbor_list(to_batch([atoms]), 0, radius)
    return _pick(quantities, arrays, len(atoms) if with_itself else 0)


def _check(quantities: str, cutoff: float, self_interaction: bool) -> tuple[float, bool]:
    if not quantities or set(quantities) - set("ijSDd"):
        raise ValueError(f"quantities must be letters of 'ijSDd', got {quantities!r}")
    return checked(LENGTH, "cutoff", cutoff), checked(Switch(), "self_interaction", self_interaction)


def _pick(quantities: str, arrays: tuple[NDArray | None, ...], n_own: int) -> NDArray | tuple[NDArray, ...]:  # type: ignore[type-arg]
    """Order the arrays as asked for, with ``n_own`` atoms paired with themselves."""
    by_letter = {letter: array for letter, array in zip("ijSDd", arrays, strict=True) if array is not None}
    if n_own:
        # Each atom before its neighbors, so that centers stay in rising order.
        own = np.arange(n_own)
        places = np.searchsorted(by_letter["i"], own)
        for letter, array in by_letter.items():
            by_letter[letter] = np.insert(array, places, own if letter in "ij" else 0, axis=0)
    picked = tuple(by_letter[letter] for letter in quantities)
    return picked[0] if len(picked) == 1 else picked


__all__ = ["brute_force_neighbor_list", "neighbor_list"]
