"""Structures that are the same to a model, with labels that contradict each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.fit.copies import find_copies
from orbas.fit.findings import Finding, Topic, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import IntArray
    from orbas.structures.io import Labels

#: Labels contradict beyond this: eV per square root of atoms, and eV/Å.
_GAPS = (0.05, 0.25)
#: Entries of info that say nothing of a structure.
_IGNORED = ("config_type", "index", "id", "name", "file", "step", "time")


def contradicting_copies(frames: Sequence[Atoms], labels: Labels, copies: IntArray, numbers: IntArray) -> list[Finding]:
    """Name equal structures (also translated, rotated, or with atoms in another order) with different labels.

    Parameters
    ----------
    frames, labels
        Structures and their labels.
    copies
        From :func:`orbas.fit.copies.find_copies`, of those that are nearly equal.
    numbers
        What structures are called in messages, [n_structures].
    """
    pairs = []
    for members in _groups(frames, copies):
        energies = labels.energies[members]
        if np.isfinite(energies).sum() > 1:
            low, high = int(np.nanargmin(energies)), int(np.nanargmax(energies))
            gap = float(energies[high] - energies[low])
            if gap > _GAPS[0] * math.sqrt(max(len(frames[members[0]]), 1)):
                pairs.append((gap, "eV", min(members[low], members[high]), max(members[low], members[high]), members))
                continue
        forces = [] if labels.forces is None else [labels.forces[k] for k in members]
        sizes = [np.sort(np.linalg.norm(own, axis=1)) for own in forces if own is not None and np.isfinite(own).all()]
        if len(sizes) == len(members):
            spread = float(np.max(np.ptp(np.array(sizes), axis=0), initial=0.0))
            if spread > _GAPS[1]:
                pairs.append((spread, "eV/Å", members[0], members[1], members))
    if not pairs:
        return []
    gap, unit, first, second, _ = max(pairs, key=lambda pair: pair[0])
    every = sorted(k for *_, members in pairs for k in members)
    different = sorted({name for _, _, a, b, _ in pairs for name in _different(frames[a].info, frames[b].info)})
    entries = f"; entries that differ: {', '.join(different[:8])}" if different else ""
    names = f"structures {numbers[first]} and {numbers[second]}"
    message = (
        f"{len(pairs)} groups of equal structures have labels that contradict each other, by up to {gap:.3g} {unit} "
        f"({names}){entries}; all of them: {listed(numbers[every].tolist())}. A model can only learn their mean"
    )
    return [Finding(Topic.COPIES, tuple(every), message)]


def _groups(frames: Sequence[Atoms], copies: IntArray) -> list[list[int]]:
    """Return groups of equal structures among those that are nearly equal."""
    _, place, counts = np.unique(copies, return_inverse=True, return_counts=True)
    near = np.flatnonzero(counts[place] > 1)
    equal = find_copies([frames[k] for k in near.tolist()], nearly=False)
    groups: dict[int, list[int]] = {}
    for k, number in zip(near.tolist(), equal.tolist(), strict=True):
        groups.setdefault(number, []).append(k)
    return [members for members in groups.values() if len(members) > 1]


def _different(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return the names of plain entries that are not the same in both."""
    names = (first.keys() | second.keys()) - set(_IGNORED)
    plain = (str, int, float, bool, np.generic, type(None))
    return [
        name
        for name in map(str, names)
        if isinstance(first.get(name), plain)
        and isinstance(second.get(name), plain)
        and first.get(name) != second.get(name)
        and not any(word in name.lower() for word in ("energy", "stress", "virial", "free"))
    ]
