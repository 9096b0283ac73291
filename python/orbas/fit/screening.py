"""Labels that are none, found before a fit: what stands where a label should, but was not calculated.

Every rule is a pure function of structures and labels. It returns the labels with not-a-number where nothing is known,
and what it found.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from orbas.fit.baseline import count_species, species_of
from orbas.fit.compositions import other_units
from orbas.fit.findings import Finding, Topic, by_config, listed
from orbas.fit.isolated import isolated_atoms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from orbas.base.types import FloatArray
    from orbas.structures.io import Labels

#: Magnitudes that programs write for "not calculated"; as labels of forces and stresses none of them is real.
_PLACEHOLDERS = np.array([99.0, 999.0, 9999.0, 99999.0, 999999.0, *(10.0**power for power in range(2, 21))])
#: An energy that is a placeholder is farther than this from others of like composition, in eV per atom and in widths.
_FAR = (0.5, 8.0)
#: Likewise for one that has no part in the energies of the species.
_UNUSUAL = (1.0, 30.0)
#: Radius in Å within which the surroundings of an atom are looked at, and the asymmetry above which a force is due.
_RADIUS = 6.0
_ASYMMETRY = 1e-3


def screened(frames: Sequence[Atoms], labels: Labels) -> tuple[Labels, list[Finding]]:
    """Return the labels without those that are none, and what was found, rule after rule."""
    findings: list[Finding] = []
    for rule in (without_volume, placeholders, other_units, zero_stresses, fixed_atoms, zero_forces):
        labels, found = rule(frames, labels)
        findings += found
    return labels, findings


def without_volume(frames: Sequence[Atoms], labels: Labels) -> tuple[Labels, list[Finding]]:
    """Leave out stresses of structures that are not periodic in three directions: there is no volume to refer to."""
    if labels.stress is None:
        return labels, []
    known = np.isfinite(labels.stress[:, 0])
    gone = [k for k, frame in enumerate(frames) if known[k] and not all(frame.pbc)]
    if not gone:
        return labels, []
    message = (
        f"{len(gone)} of {int(known.sum())} stresses are left out: {listed(gone)}{by_config(frames, gone)} "
        "not periodic in three directions, hence without a volume"
    )
    return _without_stress(labels, gone), [Finding(Topic.NO_VOLUME, tuple(gone), message)]


def placeholders(frames: Sequence[Atoms], labels: Labels) -> tuple[Labels, list[Finding]]:
    """Leave out numbers that programs write where they have none: -100, 999, 1e6 and their like."""
    findings = []
    energies = labels.energies.copy()
    gone = np.flatnonzero(_placeholder_energies(frames, energies)).tolist()
    if gone:
        findings.append(_placeholder("energies", "eV", energies[gone], frames, gone))
        energies[gone] = np.nan
    forces = labels.forces
    if forces is not None:
        masks = [None if own is None else _placeholder_rows(own) for own in forces]
        gone = [k for k, mask in enumerate(masks) if mask is not None and mask.any()]
        if gone:
            values = np.concatenate([own[_is_placeholder(own)] for own in forces if own is not None])
            findings.append(_placeholder("forces", "eV/Å", values, frames, gone))
            forces = [_blank(own, mask) for own, mask in zip(forces, masks, strict=True)]
    labels = replace(labels, energies=energies, forces=forces)
    if labels.stress is not None:
        volumes = np.array([abs(np.linalg.det(frame.cell.array)) for frame in frames])[:, None]
        mask = _is_placeholder(labels.stress) | _is_placeholder(np.round(labels.stress * volumes, 6))
        gone = np.flatnonzero(mask.any(axis=1)).tolist()
        if gone:
            values = labels.stress[gone][mask[gone]]
            findings.append(_placeholder("stresses", "eV/Å^3", values, frames, gone))
            labels = _without_stress(labels, gone)
    return labels, findings


def zero_stresses(frames: Sequence[Atoms], labels: Labels) -> tuple[Labels, list[Finding]]:
    """Leave out stresses of exactly zero: no calculation of a crystal gives six zeros to the last digit."""
    if labels.stress is None:
        return labels, []
    gone = np.flatnonzero((labels.stress == 0).all(axis=1)).tolist()
    if not gone:
        return labels, []
    known = int(np.isfinite(labels.stress).any(axis=1).sum())
    message = (
        f"{len(gone)} of {known} stresses are exactly zero and left out as not known: {listed(gone)}"
        f"{by_config(frames, gone)}; a program that was not asked for a stress may write zeros"
    )
    return _without_stress(labels, gone), [Finding(Topic.ZEROS, tuple(gone), message)]


def fixed_atoms(frames: Sequence[Atoms], labels: Labels) -> tuple[Labels, list[Finding]]:
    """Leave out force components of exactly zero along which an atom is held fixed: a constraint made them zero."""
    if labels.forces is None:
        return labels, []
    forces, gone, n_atoms = list(labels.forces), [], 0
    for k, (frame, own) in enumerate(zip(frames, labels.forces, strict=True)):
        if own is None:
            continue
        mask = fixed_components(frame)
        mask = None if mask is None else mask & (np.abs(own) <= 1e-10)
        if mask is not None and mask.any():
            forces[k] = np.where(mask, np.nan, own)
            gone.append(k)
            n_atoms += int(mask.any(axis=1).sum())
    if not gone:
        return labels, []
    message = (
        f"forces of {n_atoms} fixed atoms in {len(gone)} structures are exactly zero and left out as not known: "
        f"{listed(gone)}{by_config(frames, gone)}"
    )
    return replace(labels, forces=forces), [Finding(Topic.FIXED_ATOMS, tuple(gone), message)]


def zero_forces(frames: Sequence[Atoms], labels: Labels) -> tuple[Labels, list[Finding]]:
    """Leave out forces of exactly zero on atoms whose surroundings are not symmetric.

    A force is a vector that the surroundings define. Where their symmetry leaves no vector (a perfect crystal), or
    there are none, it is zero rightly.
    """
    if labels.forces is None:
        return labels, []
    forces, gone, n_atoms = list(labels.forces), [], 0
    for k, (frame, own) in enumerate(zip(frames, labels.forces, strict=True)):
        if own is None:
            continue
        zero = (own == 0).all(axis=1)
        if zero.any():
            zero &= asymmetry(frame) > _ASYMMETRY
        if zero.any():
            forces[k] = _blank(own, zero)
            gone.append(k)
            n_atoms += int(zero.sum())
    if not gone:
        return labels, []
    message = (
        f"forces of {n_atoms} atoms in {len(gone)} structures are exactly zero where the surroundings are not "
        f"symmetric, and left out as not known: {listed(gone)}{by_config(frames, gone)}"
    )
    return replace(labels, forces=forces), [Finding(Topic.ZEROS, tuple(gone), message)]


def usual_energies(frames: Sequence[Atoms], energies: FloatArray) -> NDArray[np.bool_]:
    """Return which energies are known and not far from all others of like composition, [n_structures].

    The others would decide the energies of the species, above which all are fitted. A species that only they have
    keeps them.
    """
    known: NDArray[np.bool_] = np.isfinite(energies)
    gaps = _gaps(frames, energies, known)
    width = float(np.median(gaps[known])) if known.any() else 0.0
    usual = known & ((gaps <= max(_UNUSUAL[0], _UNUSUAL[1] * width)) | isolated_atoms(frames))
    missing = set(species_of([frames[k] for k in np.flatnonzero(known).tolist()]))
    missing -= set(species_of([frames[k] for k in np.flatnonzero(usual).tolist()]))
    return known if missing else usual


def fixed_components(frame: Atoms) -> NDArray[np.bool_] | None:
    """Return along which components atoms are held fixed, [n_atoms, 3]; None if the structure says nothing of it.

    Constraints of ase, and the columns ``move_mask`` (true moves) and ``fixed`` (true is fixed).
    """
    fixed = np.zeros((len(frame), 3), dtype=bool)
    for name, moves in (("move_mask", True), ("fixed", False)):
        column = frame.arrays.get(name)
        if column is not None and column.dtype.kind in "biu":
            mask = column.astype(bool).reshape(len(frame), -1)
            if mask.shape[1] in (1, 3):
                fixed |= ~mask if moves else mask
    for constraint in frame.constraints:
        given = constraint.todict()
        options = given.get("kwargs", {})
        indices = np.atleast_1d(options.get("indices", options.get("a", [])))
        match given.get("name"):
            case "FixAtoms":
                fixed[indices] = True
            case "FixCartesian":
                fixed[indices] |= np.asarray(options.get("mask", True), dtype=bool)
            case "FixScaled":
                # Along cell vectors, which are no Cartesian components: whatever is zero to the last digit.
                fixed[indices] = True
            case "FixedLine" | "FixedPlane":
                fixed[indices] = True
            case _:
                pass
    return fixed if fixed.any() else None


def asymmetry(frame: Atoms) -> FloatArray:
    """Return how far the surroundings of every atom are from leaving no vector, [n_atoms], 0 to 1.

    Sums of unit vectors to the neighbors within 6 Å with several weights by distance and species, over the sums of the
    weights.
    """
    from orbas.structures.neighbors import neighbor_list

    result = np.zeros(len(frame))
    centers, neighbors, vectors, distances = neighbor_list("ijDd", frame, _RADIUS)
    if len(centers) == 0:
        return result
    fade = (1.0 - (distances / _RADIUS) ** 2) ** 2 * (1.0 + 0.1 * np.sqrt(frame.numbers[neighbors]))
    units = (vectors / distances[:, None]).T
    for power in (0.0, 2.0, 4.0, 8.0):
        weights = fade * (1.5 / distances) ** power
        total = np.bincount(centers, weights=weights, minlength=len(frame))
        parts = [np.bincount(centers, weights=weights * unit, minlength=len(frame)) for unit in units]
        result = np.maximum(result, np.linalg.norm(parts, axis=0) / np.where(total > 0, total, 1.0))
    return result


def _is_placeholder(values: FloatArray) -> NDArray[np.bool_]:
    return np.isin(np.abs(values), _PLACEHOLDERS)


def _placeholder_rows(forces: FloatArray) -> NDArray[np.bool_]:
    rows: NDArray[np.bool_] = np.logical_or.reduce(_is_placeholder(forces), axis=1)
    return rows


def _placeholder_energies(frames: Sequence[Atoms], energies: FloatArray) -> NDArray[np.bool_]:
    """Return which energies are round numbers, or zero, far from all others of like composition."""
    suspects = (_is_placeholder(energies) | (energies == 0)) & ~isolated_atoms(frames)
    others = np.isfinite(energies) & ~suspects
    if not suspects.any() or not others.any():
        return np.zeros(len(energies), dtype=bool)
    gaps = _gaps(frames, energies, others)
    width = float(np.median(gaps[others]))
    result: NDArray[np.bool_] = suspects & (gaps > max(_FAR[0], _FAR[1] * width))
    return result


def _gaps(frames: Sequence[Atoms], energies: FloatArray, judges: NDArray[np.bool_]) -> FloatArray:
    """Return how far energies are from those of their composition, in eV per atom, as some of them have it.

    Twice, the second time without those that are far: least squares follow them.
    """
    counts = count_species(frames, species_of(frames))
    n_atoms = np.maximum(counts.sum(axis=1), 1.0)
    gaps = np.zeros(len(frames))
    for _ in range(2):
        solution = np.linalg.lstsq(counts[judges] / n_atoms[judges, None], (energies / n_atoms)[judges], rcond=None)[0]
        gaps = np.abs(energies - counts @ solution) / n_atoms
        middle = float(np.median(gaps[judges])) if judges.any() else 0.0
        judges = judges & (gaps <= 4.0 * middle)
    return gaps


def _placeholder(
    what: str, unit: str, values: FloatArray, frames: Sequence[Atoms], structures: Sequence[int]
) -> Finding:
    seen = ", ".join(f"{value:g}" for value in np.unique(values)[:4])
    message = (
        f"{what} of {len(structures)} structures are left out, which look like placeholders ({seen} {unit}): "
        f"{listed(structures)}{by_config(frames, structures)}"
    )
    return Finding(Topic.PLACEHOLDER, tuple(structures), message)


def _without_stress(labels: Labels, structures: Sequence[int]) -> Labels:
    assert labels.stress is not None
    stress = labels.stress.copy()
    stress[structures] = np.nan
    return replace(labels, stress=stress)


def _blank(values: FloatArray | None, atoms: NDArray[np.bool_] | None) -> FloatArray | None:
    """Return forces with not-a-number for some atoms."""
    return values if values is None or atoms is None else np.where(atoms[:, None], np.nan, values)
