"""Stresses against what energies and forces imply: exchanged components and constant offsets.

What is compared comes from fits to energies and forces alone, of structures that were held out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orbas.base.energies import VOIGT
from orbas.fit.findings import Finding, Topic, by_config, config_of, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray, IntArray

#: Structures of a config_type from which it is looked at by itself.
_FEWEST = 5
#: Components are exchanged if the squared differences of those concerned fall below this fraction.
_EXCHANGED = 0.3
#: An offset is named from this size (eV/Å^3) on, if it is larger than so many times the scatter around it.
_OFFSET, _SCATTERS = 0.008, 2.0
#: Errors relative to the forces below which forces agree, and are likely to.
_AGREES, _LIKELY = 0.5, 0.8
#: Least root mean square of a component in eV/Å to tell, and fewest structures.
_WEAK, _FEWEST_REVERSED = 0.02, 3
_GPA = 160.2176634
_NAMES = tuple("xyz"[a] + "xyz"[b] for a, b in VOIGT)


def exchanges(frames: Sequence[Atoms], stress: FloatArray, derived: FloatArray) -> list[Finding]:
    """Name exchanged components of stresses, by config_type; parameters as of :func:`stress_findings`."""
    return _exchanges(_groups(frames, stress, derived), stress, derived)


def stress_findings(
    frames: Sequence[Atoms], stress: FloatArray, derived: FloatArray, *, offsets: bool
) -> list[Finding]:
    """Name exchanged components and offsets of stresses, by config_type.

    Parameters
    ----------
    frames
        Structures.
    stress
        Labels, [n_structures, 6] in eV/Å^3; not-a-number where not known.
    derived
        What energies and forces imply, [n_structures, 6].
    offsets
        Look for offsets too. Energies and forces of few structures leave the pressure open: an offset means something
        only where stresses spoil the others.
    """
    groups = _groups(frames, stress, derived)
    found = _exchanges(groups, stress, derived)
    return found + _offsets(groups, stress, derived) if offsets else found


def exchange(stress: FloatArray, derived: FloatArray) -> tuple[int, ...] | None:
    """Return where each component of labels [n, 6] belongs, if other places than its own fit much better, else None.

    All orders of the six components are compared, as an assignment problem; a common offset of the diagonal is left
    out of the comparison.
    """
    from scipy.optimize import linear_sum_assignment

    labels = stress.copy()
    labels[:, :3] -= np.median(stress[:, :3] - derived[:, :3])
    costs = np.mean((labels[:, :, None] - derived[:, None, :]) ** 2, axis=0)
    places = linear_sum_assignment(costs)[1]
    moved = np.flatnonzero(places != np.arange(6))
    if moved.size == 0:
        return None
    before, after = costs[moved, moved].sum(), costs[moved, places[moved]].sum()
    # A few odd structures do not make an exchange.
    gains = ((labels - derived) ** 2 - (labels - derived[:, places]) ** 2)[:, moved].sum(axis=1)
    usual = np.mean(gains > 0) > 0.7
    return tuple(places.tolist()) if after < _EXCHANGED * before and usual else None


def offset(stress: FloatArray, derived: FloatArray) -> float | None:
    """Return the common offset of the diagonal of labels [n, 6], if it stands out of the scatter, else None."""
    gaps = stress[:, :3] - derived[:, :3]
    middle = float(np.median(gaps))
    scatter = float(np.sqrt(np.mean((gaps - middle) ** 2)))
    return middle if abs(middle) > max(_OFFSET, _SCATTERS * scatter) else None


def _groups(frames: Sequence[Atoms], stress: FloatArray, derived: FloatArray) -> dict[str, IntArray]:
    """Return the structures of every config_type that has enough of them, in the order of their names."""
    known = np.flatnonzero(np.isfinite(stress).all(axis=1) & np.isfinite(derived).all(axis=1))
    configs = np.array([config_of(frames[k]) for k in known.tolist()])
    groups = {name: known[configs == name] for name in sorted(set(configs.tolist()))}
    return {name: members for name, members in groups.items() if len(members) >= _FEWEST}


def _exchanges(groups: dict[str, IntArray], stress: FloatArray, derived: FloatArray) -> list[Finding]:
    """Return one finding for every order of components that some config_types have."""
    orders: dict[tuple[int, ...], list[str]] = {}
    for name, members in groups.items():
        places = exchange(stress[members], derived[members])
        if places is not None:
            orders.setdefault(places, []).append(name)
    findings = []
    for places, names in orders.items():
        members = np.sort(np.concatenate([groups[name] for name in names]))
        counts = _counts(groups, names)
        others = [name for name in groups if name not in names]
        rest = f", not those of {', '.join(others[:5])}" if others else ""
        message = (
            f"components {_cycles(places)} of the stresses look exchanged in {len(members)} structures{counts}{rest}, "
            "compared with what energies and forces imply: correct the labels or leave these stresses out"
        )
        findings.append(Finding(Topic.COMPONENTS, tuple(members.tolist()), message))
    return findings


def _offsets(groups: dict[str, IntArray], stress: FloatArray, derived: FloatArray) -> list[Finding]:
    """Return one finding for all config_types with an offset."""
    found = {name: offset(stress[members], derived[members]) for name, members in groups.items()}
    sizes = {name: size for name, size in found.items() if size is not None}
    if not sizes:
        return []
    members = np.sort(np.concatenate([groups[name] for name in sizes]))
    listed = ", ".join(f"{size:+.4f}" for size in list(sizes.values())[:5])
    gpa = ", ".join(f"{size * _GPA:+.2g}" for size in list(sizes.values())[:5])
    message = (
        f"the diagonal of the stresses of {len(members)} structures{_counts(groups, list(sizes))} has a constant "
        f"offset from what energies and forces imply: {listed} eV/Å^3 ({gpa} GPa); too few plane waves make such "
        "offsets"
    )
    return [Finding(Topic.OFFSET, tuple(members.tolist()), message)]


def _counts(groups: dict[str, IntArray], names: Sequence[str]) -> str:
    if list(groups) == ["none"]:
        return ""
    return " (config_type " + ", ".join(f"{name}: {len(groups[name])}" for name in names[:5]) + ")"


def _cycles(places: tuple[int, ...]) -> str:
    """Return ``yz and xz``, or ``yz, xz, xy (label yz where xy belongs, ...)`` for longer cycles."""
    moved = [k for k in range(6) if places[k] != k]
    names = [_NAMES[k] for k in moved]
    if all(places[places[k]] == k for k in moved):
        pairs = [(_NAMES[k], _NAMES[places[k]]) for k in moved if k < places[k]]
        return "; ".join(f"{a} and {b}" for a, b in pairs)
    chain = ", ".join(f"{_NAMES[places[k]]} stands under {_NAMES[k]}" for k in moved)
    return f"{', '.join(names[:-1])} and {names[-1]} ({chain})"


__all__ = ["exchange", "offset", "stress_findings"]


def reversed_forces(labels: Sequence[FloatArray | None], derived: Sequence[FloatArray]) -> list[int]:
    """Return the structures whose forces point against what all others imply, where those of the most do not.

    Parameters
    ----------
    labels, derived
        Forces of every structure, [n_atoms, 3], and what held-out fits say of them.
    """
    errors, turned = np.full((2, len(labels)), np.nan)
    for k, (own, other) in enumerate(zip(labels, derived, strict=True)):
        if own is not None and own.size:
            known = np.isfinite(own)
            size = float(np.linalg.norm(own[known]))
            if size > _WEAK * np.sqrt(known.sum()):
                errors[k] = np.linalg.norm(own[known] - other[known]) / size
                turned[k] = np.linalg.norm(own[known] + other[known]) / size
    sure = turned < _AGREES
    # A model that is wrong by more than the forces elsewhere too says nothing.
    n_bad = int(np.count_nonzero((errors > 1.0) & ~(turned < _LIKELY)))
    if sure.sum() < max(_FEWEST_REVERSED, 2 * n_bad) or not np.nanmedian(errors) < _AGREES:
        return []
    against: list[int] = np.flatnonzero(turned < _LIKELY).tolist()
    return against


def reversed_finding(
    frames: Sequence[Atoms], structures: list[int], numbers: IntArray, consequence: str
) -> list[Finding]:
    """Name the structures of :func:`reversed_forces`, if any, by ``numbers``, and what became of them."""
    if not structures:
        return []
    message = (
        f"forces of {len(structures)} structures{by_config(frames, structures)} point against what the labels of all "
        f"others imply, as gradients (dE/dr) do: {listed(numbers[structures].tolist())}; {consequence}"
    )
    return [Finding(Topic.SCALE, tuple(structures), message).renumbered(numbers)]
