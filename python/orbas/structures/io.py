"""Reading extended XYZ with labels.

Whatever its file calls them, a structure leaves ``read`` with the same three labels: ``info["REF_energy"]``
(eV), ``arrays["REF_forces"]`` (eV/Å) and ``info["REF_stress"]`` (eV/Å³, ASE's Voigt order xx, yy, zz, yz, xz,
xy, tensile positive). The names are not ASE's own, because ASE moves ``energy``, ``forces`` and ``stress`` into
a calculator, where ``atoms.calc = ...`` silently discards them.
"""

from __future__ import annotations

import itertools
import logging
import operator
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from orbas.base.fields import checked
from orbas.base.kinds import Choice
from orbas.base.numbers import parse_integer
from orbas.errors import LabelError, LabelFileError, StructureFileError
from orbas.files.door import open_input
from orbas.structures.extxyz import parse_frame, raw_frames, to_calculator
from orbas.structures.label_table import AXIS_OF_FORCES, KINDS, TENSORS, LabelKeys, LabelKind, looks_like
from orbas.structures.labels import (
    Labels,
    collect_labels,
    energy_of,
    forces_of,
    keys_seen,
    none_found,
    stress_of,
    unknown_labels,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from os import PathLike

    from ase import Atoms

    from orbas.structures.extxyz import Frame

__all__ = ["Labels", "collect_labels", "read"]

_LOG = logging.getLogger("orbas")
Unlabeled = Literal["keep", "skip", "error"]


def read(
    path: str | PathLike[str],
    *,
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
    index: int | str | slice = ":",
    labels: Collection[str] = tuple(KINDS),
    unlabeled: Unlabeled = "keep",
) -> list[Atoms]:
    """Read structures and their labels from an extended XYZ file, plain or packed by gzip.

    A key left at None is looked for as ``REF_energy``, ``REF_forces``, ``REF_stress`` or ``REF_virial``, then as
    plain ``energy``, ``forces``, ``stress`` or ``virial``. The choice is made once for the file: where any structure
    carries a ``REF_`` name, plain names are used for none and no kind of label, so that two sources are never mixed.
    Naming a stress or a virial key switches the search for both off. Labels may be missing on some structures, and a
    label that is nan is missing; how many were found is one line in the ``orbas`` logger. What looks like a label and
    is not taken, and columns without a name, are one warning. What is taken stands under its new name only, and as a
    result of a calculator where ASE's own reader has it; everything else is as ASE reads it.

    A stress or virial has 6 numbers (Voigt: xx, yy, zz, yz, xz, xy) or 9 (3 × 3), in eV/Å³ and eV; the stress
    of a virial is ``-virial / volume``. When both are there they must agree. Without a cell there is no stress.

    Keys of the comment line that mean the cell, ``pbc`` and the columns are taken in any case, flags in any spelling.
    ``config_type`` is a text. Masses and velocities are taken under the names of ASE, GPUMD and QUIP, in their units.

    Parameters
    ----------
    path
        The file, or a pipe that somebody writes to; Unix and Windows line ends.
    energy_key, forces_key, stress_key, virial_key
        Names of the labels in the file.
    index
        Which structures: a number, a slice, or a slice as text (``"::10"``), as in ASE.
    labels
        Kinds that are looked at, of "energy", "forces" and "stress"; others are neither checked nor taken.
    unlabeled
        What to do with structures that have none of these: "keep" them, "skip" them with a warning that counts them, or
        raise an "error".

    Returns
    -------
    list of Atoms
        With ``info["REF_energy"]`` float, ``arrays["REF_forces"]`` [n_atoms, 3] and ``info["REF_stress"]`` [6]
        wherever the file has them.

    Raises
    ------
    LabelError
        If no structure carries a key that was named; or a label is infinite, has a wrong shape or the wrong place
        (a stress as a column of atoms, forces in the comment line); or a tensor is asymmetric, or a
        stress and a virial disagree (both by more than 1e-5 eV/Å³ + 0.1 %).
    StructureFileError
        If a structure cannot be read, or a position or cell is not finite. All errors of the contents are of this
        class, those of labels too; they name file, line and structure.
    OSError
        If there is no such file, or nobody writes to the pipe.

    Examples
    --------
    >>> import orbas
    >>> frames = orbas.read("silicon.xyz", forces_key="dft_force")  # doctest: +SKIP
    """
    named = LabelKeys(energy_key, forces_key, stress_key, virial_key)
    return read_file(path, named, index=index, labels=labels, unlabeled=unlabeled).frames


@dataclass(frozen=True, slots=True)
class Reading:
    """What :func:`read` found.

    Attributes
    ----------
    frames
        The structures.
    numbers
        Place of each in the file, from 0.
    keys
        Names under which labels were found; None for kinds of which there are none.
    """

    frames: list[Atoms]
    numbers: list[int]
    keys: LabelKeys


def read_file(
    path: str | PathLike[str],
    named: LabelKeys,
    *,
    index: int | str | slice = ":",
    labels: Collection[str] = tuple(KINDS),
    unlabeled: Unlabeled = "keep",
) -> Reading:
    """Do what :func:`read` does, with names of labels in one; say more of what was found."""
    path = Path(path)
    checked(Choice(get_args(Unlabeled)), "unlabeled", unlabeled)
    for name in labels:
        checked(Choice(tuple(KINDS)), "labels", name)
    with open_input(path, unpack=True) as file:
        frames = [parse_frame(raw) for raw in _select(raw_frames(file), index)]
    if not frames:
        where = "" if index == ":" else f" at index {index!r}"
        raise StructureFileError(f"{path}, line 1: the file holds no structure{where}")
    kinds = tuple(kind for name in labels for kind in KINDS[name])
    keys = _choose(path, [frame.atoms for frame in frames], named, kinds)
    remarks = _left_behind(frames, kinds, keys)
    labeled = _take(path, frames, kinds, keys)
    for frame in frames:
        to_calculator(frame.atoms)
    if remarks:
        _LOG.warning("%s: %s", path, "; ".join(remarks))
    if unlabeled != "keep" and not all(labeled):
        frames = _labeled_only(path, frames, labeled, unlabeled)
    return Reading([frame.atoms for frame in frames], [frame.raw.index for frame in frames], keys)


def _labeled_only(path: Path, frames: Sequence[Frame], labeled: Sequence[bool], unlabeled: Unlabeled) -> list[Frame]:
    """Leave out structures without a label, and say so; or raise LabelError."""
    first, n_out = frames[labeled.index(False)].raw, len(labeled) - sum(labeled)
    if unlabeled == "error" or n_out == len(labeled):
        seen = keys_seen([frame.atoms for frame in frames])
        advice = f": {_SKIP}" if n_out < len(labeled) else f"; keys seen: {seen}"
        raise LabelFileError(f"{first.place()} carries no label, like {n_out} of {len(labeled)}{advice}")
    _LOG.warning(
        "%s: %d of %d structures carry no label and are left out; the first is structure %d, line %d",
        path, n_out, len(labeled), first.index, first.line,
    )  # fmt: skip
    return [frame for frame, is_labeled in zip(frames, labeled, strict=True) if is_labeled]


_SKIP = "unlabeled='skip' leaves them out, in Python, under [data] or as a flag"


def _select(items: Iterator[Any], index: int | str | slice) -> Iterator[Any]:
    """Yield the chosen items, without holding the others unless an index counts from the end."""
    if isinstance(index, str):
        try:
            parts = [parse_integer(part.strip()) if part.strip() else None for part in index.split(":")]
            number = parts[0] if parts[0] is not None else 0
            chosen = slice(*parts) if ":" in index else slice(number, number + 1 or None)
        except (ValueError, TypeError):
            raise ValueError(f"index must be a number or a slice such as '::10', got {index!r}") from None
    elif isinstance(index, slice):
        chosen = index
    elif isinstance(index, bool | np.bool_):
        raise TypeError(f"index must be an integer, a slice or a text, got {index!r}")
    else:
        number = operator.index(index)
        chosen = slice(number, number + 1 or None)
    if all(part is None or part >= 0 for part in (chosen.start, chosen.stop, chosen.step)):
        return itertools.islice(items, chosen.start, chosen.stop, chosen.step)
    return iter(list(items)[chosen])


# Which labels a file has


def _choose(path: Path, frames: Sequence[Atoms], named: LabelKeys, kinds: Sequence[LabelKind]) -> LabelKeys:
    """Return the keys to use for the whole file; None for kinds that are not looked at, or not there."""
    chosen: dict[str, str | None] = {kind.plain: None for kind in LabelKind}
    for kind in kinds:
        key = named.of(kind)
        if key is not None and not any(_has(atoms, key) for atoms in frames):
            raise LabelFileError(f"{path}, from line 1 on: {none_found(frames, _plain_name(kind), (key,))}")
        chosen[kind.plain] = key
    has_reference = any(
        kind.reference in home for atoms in frames for kind in LabelKind for home in (atoms.info, atoms.arrays)
    )
    for kind in kinds:
        # A named stress or virial is the only one.
        if named.of(kind) is None and not (kind in TENSORS and named.named(TENSORS)):
            name = kind.reference if has_reference else kind.plain
            chosen[kind.plain] = name if any(_has(atoms, name) for atoms in frames) else None
    return LabelKeys(**chosen)


def _has(atoms: Atoms, key: str) -> bool:
    return key in atoms.info or key in atoms.arrays


def _plain_name(kind: LabelKind) -> str:
    return LabelKind.STRESS.plain if kind in TENSORS else kind.plain


def _left_behind(frames: Sequence[Frame], kinds: Sequence[LabelKind], keys: LabelKeys) -> list[str]:
    """Say what looks like a label and is not taken, on structures that are without, and which columns have no name."""
    if not kinds:
        return []
    counts: Counter[tuple[LabelKind, str]] = Counter()
    for group in (group for group in KINDS.values() if group[0] in kinds):
        taken = [key for kind in group if (key := keys.of(kind)) is not None]
        for frame in frames:
            if not any(_has(frame.atoms, key) for key in taken):
                home = frame.atoms.arrays if group[0].per_atom else frame.atoms.info
                counts.update((kind, name) for name, value in home.items() if (kind := _kind_of(name, value, group)))
    remarks = []
    whole = {pair: count for pair, count in counts.items() if not _is_axis(pair[1])}
    if whole:
        options = [f"{kind.option}={name!r} ({count} structures)" for (kind, name), count in whole.items()]
        remarks.append(
            "what looks like labels is not taken; these take it, in Python, under [data] or as flags: "
            + ", ".join(options)
        )
    if len(whole) < len(counts):
        names = ", ".join(name for kind, name in counts if (kind, name) not in whole)
        remarks.append(f"the columns {names} look like forces and are not taken: name them in Properties as forces:R:3")
    if any(name.casefold().startswith("grad") for _, name in whole):
        remarks.append("gradients are minus the forces")
    if LabelKind.ENERGY in kinds and keys.energy is None:
        bare = [(frame, match) for frame in frames if (match := _BARE_ENERGY.match(frame.raw.comment))]
        if bare:
            frame, match = bare[0]
            remarks.append(
                f"the comments of {len(bare)} structures hold numbers without a key that look like energies (the first "
                f"in line {frame.raw.line + 1}, {(match[1] or match[2]).decode()}): write energy=NUMBER, in eV"
            )
    odd = [frame for frame in frames if frame.n_undeclared]
    if odd:
        raw = odd[0].raw
        remarks.append(
            f"the rows of {len(odd)} structures have numbers without a name, {odd[0].n_undeclared} per atom, which are "
            f"not read (the first in line {raw.line + 2}): name them in Properties, as species:S:1:pos:R:3:forces:R:3"
        )
    return remarks


#: A number alone in a comment, or behind a word for energies.
_BARE_ENERGY = re.compile(
    rb"\s*([+-]?[0-9]+\.[0-9]+)\s*(?:;|$)|.{0,200}?\b(?i:energy|E|Etot):?\s+([+-]?[0-9]+\.[0-9]+)\b"
)


def _is_axis(name: str) -> bool:
    """Whether a column of that name is one component of the forces."""
    return AXIS_OF_FORCES.fullmatch(name.casefold()) is not None


def _kind_of(name: Any, value: Any, group: tuple[LabelKind, ...]) -> LabelKind | None:
    """Return the kind of label, of some, that an entry or a column looks like by its name and its shape."""
    kind = looks_like(name, per_atom=group[0].per_atom) if isinstance(name, str) else None
    if kind not in group:
        return None
    array = np.asarray(value)
    if kind is LabelKind.ENERGY:
        is_one = array.size == 1
    elif kind is LabelKind.FORCES:
        is_one = array.shape[1:] == (() if _is_axis(name) else (3,))
    else:
        is_one = array.size in (6, 9)
    return kind if is_one and array.dtype.kind in "if" and not np.isnan(array).all() else None


def _take(path: Path, frames: Sequence[Frame], kinds: Sequence[LabelKind], keys: LabelKeys) -> list[bool]:
    """Put labels where they stand after reading, and nowhere else; return which structures have any."""
    energies, forces, stresses = [], [], []
    for frame in frames:
        atoms, where = frame.atoms, frame.raw.place(1)
        try:
            energies.append(energy_of(atoms, keys.energy, where))
            forces.append(forces_of(atoms, keys.forces, where))
            stresses.append(stress_of(atoms, keys.stress, keys.virial, where))
        except LabelError as error:
            raise LabelFileError(str(error)) from error
    unknown = unknown_labels([frame.atoms for frame in frames], energies, forces, stresses)
    if unknown:
        _LOG.warning("%s: %s", path, unknown)
    is_known = np.zeros((len(frames), 3), dtype=bool)
    for k, (frame, *values) in enumerate(zip(frames, energies, forces, stresses, strict=True)):
        atoms = frame.atoms
        for kind in kinds:
            atoms.info.pop(kind.reference, None)
            atoms.arrays.pop(kind.reference, None)
        if keys.virial == LabelKind.VIRIAL.plain:
            atoms.info.pop(LabelKind.VIRIAL.plain, None)  # ase would not always read again what it writes of it
        places = (atoms.info, LabelKind.ENERGY), (atoms.arrays, LabelKind.FORCES), (atoms.info, LabelKind.STRESS)
        for place, ((home, kind), value) in enumerate(zip(places, values, strict=True)):
            is_known[k, place] = value is not None and bool(np.isfinite(value).any() or not np.size(value))
            if is_known[k, place]:
                home[kind.reference] = value
    _LOG.info(
        "read %d structures: %d energies, %d with forces, %d stresses", len(frames), *is_known.sum(axis=0).tolist()
    )
    return [bool(row.any()) for row in is_known]
