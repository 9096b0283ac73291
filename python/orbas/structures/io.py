"""Reading extended XYZ with labels, and collecting labels for a fit.

Whatever its file calls them, a structure leaves ``read`` with the same three labels: ``info["REF_energy"]``
(eV), ``arrays["REF_forces"]`` (eV/Å) and ``info["REF_stress"]`` (eV/Å³, ASE's Voigt order xx, yy, zz, yz, xz,
xy, tensile positive). The names are not ASE's own, because ASE moves ``energy``, ``forces`` and ``stress`` into
a calculator, where ``atoms.calc = ...`` silently discards them.
"""

from __future__ import annotations

import gzip
import io
import itertools
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orbas.errors import LabelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from os import PathLike

    from ase import Atoms

FloatArray = NDArray[np.float64]

_LOG = logging.getLogger("orbas")
_ASYMMETRY = _INCONSISTENCY = (1e-5, 1e-3)
"""Absolute (eV/Å³) and relative tolerance of two numbers that should be the same stress."""
_LARGEST = 1e100
"""Beyond this a number is refused with the infinities: its square still fits in a double."""
# Quoted text is skipped; a bare `stress` or `virial` key is caught, since ASE insists on 9 numbers there.
_TENSOR_KEY = re.compile(
    r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\{[^}]*\}|\[[^\]]*\])|(?<!\S)(stress|virial)(?=\s*=)"""
)
_HIDDEN = "_orbas_"
_VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))


@dataclass(frozen=True)
class Labels:
    """The labels of a list of structures.

    Attributes
    ----------
    energies
        Total energies in eV, shape [n].
    forces
        One array [n_atoms, 3] in eV/Å for each structure, or None when no forces were asked for. Where some structures
        may be without, theirs is None.
    stress
        Shape [n, 6] in eV/Å³ (Voigt, ASE's sign), or None when no stress was asked for. Where some structures may be
        without, theirs is not-a-number.
    """

    energies: FloatArray
    forces: list[FloatArray | None] | None
    stress: FloatArray | None

    def take(self, structures: Sequence[int] | NDArray[np.int64]) -> Labels:
        """Return those of some structures."""
        chosen = np.asarray(structures, dtype=np.int64)
        forces = None if self.forces is None else [self.forces[k] for k in chosen]
        return Labels(self.energies[chosen], forces, None if self.stress is None else self.stress[chosen])


def read(
    path: str | PathLike[str],
    *,
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
    index: int | str | slice = ":",
) -> list[Atoms]:
    """Read structures and their labels from an extended XYZ file, plain or gzipped (``.gz``).

    A key left at None is looked for as ``REF_energy``, ``REF_forces``, ``REF_stress`` or ``REF_virial``, then as
    plain ``energy``, ``forces``, ``stress`` or ``virial``. The choice is made once for the file and each kind of
    label: where any structure carries the ``REF_`` name, the plain one is used for none, so that two sources are
    never mixed (structures that this leaves unlabeled are reported as a warning). Naming a stress or a virial key
    switches the search for both off. Labels may be missing on some structures; how many were found is one
    line in the ``orbas`` logger. All other entries of ``info``, ``arrays`` and the calculator stay as ASE
    reads them, except that a plain ``stress`` or ``virial`` stays in ``info`` with the numbers of the file.

    A stress or virial has 6 numbers (Voigt: xx, yy, zz, yz, xz, xy) or 9 (3 × 3), in eV/Å³ and eV; the stress
    of a virial is ``-virial / volume``. When both are there they must agree.

    Parameters
    ----------
    path
        The file; Unix and Windows line ends.
    energy_key, forces_key, stress_key, virial_key
        Names of the labels in the file.
    index
        Which structures: a number, a slice, or a slice as text (``"::10"``), as in ASE.

    Returns
    -------
    list of Atoms
        With ``info["REF_energy"]`` float, ``arrays["REF_forces"]`` [n_atoms, 3] and ``info["REF_stress"]`` [6]
        wherever the file has them.

    Raises
    ------
    LabelError
        If no structure carries a key that was named; or a label is not finite, has a wrong shape or the wrong place
        (a stress as a column of atoms, forces in the comment line); or a tensor is asymmetric, a
        stress and a virial disagree (both by more than 1e-5 eV/Å³ + 0.1 %), or a stress has no Lattice.
    ValueError
        If a structure cannot be parsed, or a position or cell is not finite; names structure and atom.
    """
    frames, names = [], []
    for i, line, text in _select(_frame_texts(Path(path)), index):
        frames.append(_parse(i, line, text))
        names.append(f"structure {i}")
        _check_geometry(frames[-1], names[-1])
    if not frames:
        raise ValueError(f"{path} holds no structure at index {index!r}")

    energy_key, forces_key = (
        _choose(frames, what, () if key is None else (key,), (what,))[0]
        for what, key in (("energy", energy_key), ("forces", forces_key))
    )
    explicit = tuple(key for key in (stress_key, virial_key) if key is not None)
    tensors = _choose(frames, "stress", explicit, ("stress", "virial"))
    if not explicit:
        stress_key, virial_key = tensors

    counts = [0, 0, 0]
    for where, atoms in zip(names, frames, strict=True):
        labels = (
            _energy(atoms, energy_key, where),
            _forces(atoms, forces_key, where),
            _stress(atoms, stress_key, virial_key, where),
        )
        homes = (atoms.info, atoms.arrays, atoms.info)
        for k, (home, key) in enumerate(zip(homes, ("REF_energy", "REF_forces", "REF_stress"), strict=True)):
            home.pop(key, None)
            if labels[k] is not None:
                home[key] = labels[k]
                counts[k] += 1
    _LOG.info("read %d structures: %d energies, %d with forces, %d stresses", len(frames), *counts)
    return frames


def collect_labels(
    frames: Sequence[Atoms],
    energy_key: str = "REF_energy",
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
    *,
    partial: bool = False,
) -> Labels:
    """Gather the labels of structures for a fit; what is asked for must be on every structure.

    A key is looked for in ``info`` (``arrays`` for forces), then among the results of the attached calculator,
    which are used only if they belong to the present positions; nothing is calculated.

    Parameters
    ----------
    frames
        The structures.
    energy_key, forces_key, stress_key, virial_key
        Names of the labels; None leaves a kind of label out. A stress and a virial may complement each other.
    partial
        Some structures may have no forces or stress (all of them is still an error); how many have is logged.

    Returns
    -------
    Labels
        Energies [n] in eV, forces [n_atoms, 3] in eV/Å, stress [n, 6] in eV/Å³ (Voigt, ASE's sign).

    Raises
    ------
    LabelError
        If none, or only some, of the structures carry what was asked for, or a label is unusable (see ``read``).
    """
    energies = _gather(frames, "energy", (energy_key,), lambda atoms, where: _energy(atoms, energy_key, where))
    forces = stress = None
    if forces_key is not None:
        forces = _gather(
            frames, "forces", (forces_key,), lambda atoms, where: _forces(atoms, forces_key, where), partial
        )
    tensors = tuple(key for key in (stress_key, virial_key) if key is not None)
    if tensors:
        found = _gather(
            frames, "stress", tensors, lambda atoms, where: _stress(atoms, stress_key, virial_key, where), partial
        )
        stress = np.array([np.full(6, np.nan) if value is None else value for value in found])
    return Labels(np.array(energies), forces, stress)


def _gather(
    frames: Sequence[Atoms],
    what: str,
    keys: tuple[str, ...],
    get: Callable[[Atoms, str], Any],
    partial: bool = False,
) -> list[Any]:
    values = [get(atoms, f"structure {i}") for i, atoms in enumerate(frames)]
    found = sum(value is not None for value in values)
    if found == 0:
        raise _none_found(frames, what, keys)
    if found < len(values):
        if partial:
            _LOG.info("%d of %d structures carry %s", found, len(values), what)
            return values
        first = next(i for i, value in enumerate(values) if value is None)
        name = " or ".join(map(repr, keys))
        raise LabelError(f"structure {first} carries no {what} under {name} ({found} of {len(values)} do)")
    return values


# Finding the structures of a file and the keys of a structure


def _frame_texts(path: Path) -> Iterator[tuple[int, int, str]]:
    """Yield index, first line number (from 1) and text of each structure, holding one at a time."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        number, i = 1, 0
        while head := file.readline():
            if not head.strip():
                number += 1
                continue
            if not head.strip().isdecimal():
                raise ValueError(
                    f"{path}, line {number}: expected the number of atoms of structure {i}, got {head.strip()!r}"
                )
            n_atoms = int(head)
            body = [file.readline() for _ in range(n_atoms + 1)]
            if not all(body):
                n_read = max(sum(map(bool, body)) - 1, 0)
                raise ValueError(
                    f"structure {i} (line {number}) announces {n_atoms} atoms, the file ends after {n_read}"
                )
            yield i, number, head + "".join(body)
            number, i = number + n_atoms + 2, i + 1


def _select(items: Iterator[Any], index: int | str | slice) -> Iterator[Any]:
    """Yield the chosen items, without holding the others unless an index counts from the end."""
    if isinstance(index, str):
        parts = [int(part) if part.strip() else None for part in index.split(":")]
        index = slice(*parts) if ":" in index else int(index)
    if isinstance(index, int):
        index = slice(index, index + 1 or None)
    if all(part is None or part >= 0 for part in (index.start, index.stop, index.step)):
        return itertools.islice(items, index.start, index.stop, index.step)
    return iter(list(items)[index])


def _parse(i: int, line: int, text: str) -> Atoms:
    from ase.io.extxyz import read_xyz

    atoms: Atoms
    try:
        (atoms,) = read_xyz(io.StringIO(text), index=slice(0, 1), properties_parser=_parse_comment)
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        raise ValueError(f"structure {i} (line {line}) cannot be parsed: {error}") from error
    # ASE takes a column called `stress` for the stress itself, which is right for no number of atoms.
    if atoms.calc is not None and "stress" in atoms.calc.results:
        atoms.arrays["stress"] = atoms.calc.results.pop("stress")
    for key in ("stress", "virial"):
        if _HIDDEN + key in atoms.info:
            atoms.info[key] = atoms.info.pop(_HIDDEN + key)
    return atoms


def _parse_comment(line: str) -> dict[str, Any]:
    from ase.io import extxyz

    parse: Any = extxyz.key_val_str_to_dict
    found: dict[str, Any] = parse(_TENSOR_KEY.sub(lambda match: match[1] or _HIDDEN + match[2], line))
    return found


def _choose(frames: Sequence[Atoms], what: str, explicit: tuple[str, ...], plain: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys to use for the whole file."""
    for key in explicit:
        if not any(key in _keys(atoms) for atoms in frames):
            raise _none_found(frames, what, (key,))
    if explicit:
        return explicit
    reference = tuple(f"REF_{key}" for key in plain)
    with_reference = [not _keys(atoms).isdisjoint(reference) for atoms in frames]
    if not any(with_reference):
        return plain
    left = sum(
        not has and not _keys(atoms).isdisjoint(plain) for has, atoms in zip(with_reference, frames, strict=True)
    )
    if left:
        _LOG.warning("%d structures carry %s only under %s and stay unlabeled: others use %s",
                     left, what, " or ".join(plain), " or ".join(reference))  # fmt: skip
    return reference


def _keys(atoms: Atoms) -> set[str]:
    results = getattr(atoms.calc, "results", {})
    return {str(key) for key in (*atoms.info, *atoms.arrays, *results)} - {"numbers", "positions"}


def _none_found(frames: Sequence[Atoms], what: str, keys: tuple[str, ...]) -> LabelError:
    seen = sorted(set().union(*map(_keys, frames)))
    name = " or ".join(map(repr, keys))
    return LabelError(
        f"0 of {len(frames)} structures carry {what} under {name}; keys seen: {', '.join(seen) or 'none'}"
    )


# One label of one structure


def _value(atoms: Atoms, key: str | None, where: str, *, per_atom: bool) -> Any:
    if key is None:
        return None
    here, there = (atoms.arrays, atoms.info) if per_atom else (atoms.info, atoms.arrays)
    if key in here:
        return here[key]
    if key in there:
        place = ("the comment line", "a column of the atoms")
        raise LabelError(f"{where} carries {key!r} in {place[not per_atom]}, but it belongs in {place[per_atom]}")
    if key in getattr(atoms.calc, "results", {}):
        return atoms.calc.get_property(key, atoms, allow_calculation=False)
    return None


def _numbers(value: Any, key: str | None, where: str) -> FloatArray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise LabelError(f"{where} carries {key!r} = {value!r}, which is not a number")
    return array.astype(np.float64)


def _unusable(array: FloatArray) -> NDArray[np.bool_]:
    return ~(np.abs(array) < _LARGEST)


def _energy(atoms: Atoms, key: str | None, where: str) -> float | None:
    value = _value(atoms, key, where, per_atom=False)
    if value is None:
        return None
    array = _numbers(value, key, where)
    if array.size != 1:
        raise LabelError(f"{where} carries {key!r} of shape {array.shape}; an energy is one number")
    if _unusable(array).any():
        raise LabelError(f"{where} carries {key!r} = {array.item()}; an energy must be finite")
    return float(array.item())


def _forces(atoms: Atoms, key: str | None, where: str) -> FloatArray | None:
    value = _value(atoms, key, where, per_atom=True)
    if value is None:
        return None
    array = _numbers(value, key, where)
    if array.shape != (len(atoms), 3):
        raise LabelError(f"{where} carries {key!r} of shape {array.shape}, expected ({len(atoms)}, 3)")
    bad = np.flatnonzero(_unusable(array).any(axis=1))
    if bad.size:
        raise LabelError(f"{where}, atom {bad[0]} carries {key!r} = {array[bad[0]]}; forces must be finite")
    return array


def _stress(atoms: Atoms, stress_key: str | None, virial_key: str | None, where: str) -> FloatArray | None:
    values = [(key, _value(atoms, key, where, per_atom=False)) for key in (stress_key, virial_key)]
    if all(value is None for _, value in values):
        return None
    volume = abs(np.linalg.det(atoms.cell.array))
    if not volume > 0:
        key = next(key for key, value in values if value is not None)
        raise LabelError(f"{where} carries {key!r} but no Lattice: a stress needs a cell with a volume")
    stress, virial = (
        None if value is None else _voigt(_numbers(value, key, where) * scale, key, where)
        for (key, value), scale in zip(values, (1.0, -1.0 / volume), strict=True)
    )
    if stress is None or virial is None:
        return virial if stress is None else stress
    gap = np.abs(stress - virial).max()
    if gap > _INCONSISTENCY[0] + _INCONSISTENCY[1] * np.abs(stress).max():
        raise LabelError(
            f"{where}: {stress_key!r} and {virial_key!r} disagree by {gap:.3g} eV/Å^3 (stress {stress}, "
            f"-virial/volume {virial}): check signs and units"
        )
    return stress


def _voigt(array: FloatArray, key: str | None, where: str) -> FloatArray:
    if array.shape not in ((6,), (9,), (3, 3)):
        raise LabelError(f"{where} carries {key!r} of shape {array.shape}, expected 6 or 9 numbers")
    if _unusable(array).any():
        raise LabelError(f"{where} carries {key!r} = {array.ravel()}; a stress or virial must be finite")
    if array.size == 6:
        return array
    full = array.reshape(3, 3)
    gap = np.abs(full - full.T).max()
    if gap > _ASYMMETRY[0] + _ASYMMETRY[1] * np.abs(full).max():
        raise LabelError(f"{where}: {key!r} is asymmetric by {gap:.3g} eV/Å^3 (as a stress)")
    symmetric: FloatArray = (0.5 * (full + full.T))[_VOIGT]
    return symmetric


def _check_geometry(atoms: Atoms, where: str) -> None:
    bad = np.flatnonzero(_unusable(atoms.positions).any(axis=1))
    if bad.size:
        raise ValueError(f"{where}, atom {bad[0]}: position {atoms.positions[bad[0]]} is not finite")
    bad = np.flatnonzero(_unusable(atoms.cell.array).any(axis=1))
    if bad.size:
        raise ValueError(f"{where}: cell vector {bad[0]}, {atoms.cell.array[bad[0]]}, is not finite")
