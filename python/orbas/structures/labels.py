"""Labels of structures: one value of one structure, checked; and the labels of a list of structures for a fit.

Not known is not-a-number, wherever a number should be.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orbas.base.fields import shown
from orbas.base.names import did_you_mean
from orbas.base.text import listed, printable
from orbas.errors import LabelError
from orbas.structures.batch import as_frames
from orbas.structures.label_table import LARGEST, TENSORS, LabelKeys, LabelKind
from orbas.structures.trust import FULL_TRUST, Trust, trust_of, unknown_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ase import Atoms

FloatArray = NDArray[np.float64]

_LOG = logging.getLogger("orbas")
_ASYMMETRY = _INCONSISTENCY = (1e-5, 1e-3)
"""Absolute (eV/Å³) and relative tolerance of two numbers that should be the same stress."""
_VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))


@dataclass(frozen=True)
class Labels:
    """The labels of a list of structures. What is not known, or taken out by a weight of 0 or a mask, is nan.

    Attributes
    ----------
    energies
        Total energies in eV, shape [n].
    forces
        One array [n_atoms, 3] in eV/Å for each structure, or None when no forces were asked for. Where some structures
        may be without, theirs is None.
    stress
        Shape [n, 6] in eV/Å³ (Voigt, ASE's sign), or None when no stress was asked for.
    trust
        What each structure says about its labels: weights and expected errors.
    """

    energies: FloatArray
    forces: list[FloatArray | None] | None
    stress: FloatArray | None
    trust: tuple[Trust, ...] = ()

    def take(self, structures: Sequence[int] | NDArray[np.int64]) -> Labels:
        """Return those of some structures."""
        chosen = np.asarray(structures, dtype=np.int64)
        forces = None if self.forces is None else [self.forces[k] for k in chosen]
        trust = tuple(self.trust[k] for k in chosen) if self.trust else ()
        return Labels(self.energies[chosen], forces, None if self.stress is None else self.stress[chosen], trust)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether anything is known of the energy, the forces and the stress of each structure, [n, 3]."""
        n = len(self.energies)
        forces = np.array([own is not None and bool(np.isfinite(own).any()) for own in self.forces or [None] * n], bool)
        stress = np.zeros(n, bool) if self.stress is None else np.isfinite(self.stress).any(axis=1)
        return np.stack([np.isfinite(self.energies), forces, stress], axis=1)


def collect_labels(
    frames: Sequence[Atoms],
    energy_key: str | None = LabelKind.ENERGY.reference,
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
    *,
    partial: bool = False,
) -> Labels:
    """Gather the labels of structures for a fit; what is asked for must be on every structure.

    A key is looked for in ``info`` (``arrays`` for forces), then among the results of the attached calculator,
    which are used only if they belong to the present positions; nothing is calculated. Numbers that are nan are not
    known; how many is a warning. Weights, expected errors and masks that structures carry are honored, as
    :mod:`orbas.structures.trust` lists them.

    Parameters
    ----------
    frames
        The structures.
    energy_key, forces_key, stress_key, virial_key
        Names of the labels; None leaves a kind of label out: it is not looked at. A stress and a virial may complement
        each other.
    partial
        Some structures may be without (all of them is still an error); how many is logged.

    Returns
    -------
    Labels
        Energies [n] in eV, forces [n_atoms, 3] in eV/Å, stress [n, 6] in eV/Å³ (Voigt, ASE's sign).

    Raises
    ------
    LabelError
        If none, or only some, of the structures carry what was asked for, or a label is unusable (see ``read``).
    """
    return labels_under(as_frames(frames), LabelKeys(energy_key, forces_key, stress_key, virial_key), partial=partial)


def known_labels(frames: Iterable[Atoms], keys: LabelKeys) -> Labels:
    """Return the labels of structures; some may be without, but not all of any kind that has a name."""
    return labels_under(as_frames(frames), keys, partial=True)


def labels_under(frames: list[Atoms], keys: LabelKeys, *, partial: bool) -> Labels:
    """Do what :func:`collect_labels` does."""
    energies: list[float | None] = [None] * len(frames)
    forces: list[FloatArray | None] | None = None
    stress: list[FloatArray | None] | None = None
    if keys.energy is not None:
        energies = _gather(frames, "energy", (keys.energy,), lambda a, w: energy_of(a, keys.energy, w), partial)
        without = [k for k, value in enumerate(energies) if value is None]
        if without:
            _LOG.warning(
                "%d of %d structures carry no energy under %r, the first is structure %d: what else they carry is used",
                len(without), len(frames), keys.energy, without[0],
            )  # fmt: skip
    if keys.forces is not None:
        forces = _gather(frames, "forces", (keys.forces,), lambda a, w: forces_of(a, keys.forces, w), partial)
    tensors = keys.named(TENSORS)
    if tensors:
        stress = _gather(frames, "stress", tensors, lambda a, w: stress_of(a, keys.stress, keys.virial, w), partial)
    unknown = unknown_labels(frames, energies, forces or (), stress or ())
    if unknown:
        _LOG.warning("%s", unknown)
    numbers = np.array([np.nan if value is None else value for value in energies], dtype=np.float64)
    rows = None if stress is None else np.array([np.full(6, np.nan) if own is None else own for own in stress])
    return _trusted(frames, Labels(numbers, forces, None if rows is None else rows.reshape(-1, 6)))


def _gather(
    frames: list[Atoms],
    what: str,
    keys: tuple[str, ...],
    get: Callable[[Atoms, str], Any],
    partial: bool,
) -> list[Any]:
    values = [get(atoms, f"structure {i}") for i, atoms in enumerate(frames)]
    found = sum(value is not None for value in values)
    if found == 0:
        raise none_found(frames, what, keys)
    if found < len(values):
        if partial:
            _LOG.info("%d of %d structures carry %s", found, len(values), what)
            return values
        first = next(i for i, value in enumerate(values) if value is None)
        name = " or ".join(map(repr, keys))
        hidden = f": {_HIDDEN}" if any(is_hidden(frames[first], key) for key in keys) else ""
        raise LabelError(f"structure {first} carries no {what} under {name} ({found} of {len(values)} do){hidden}")
    return values


def none_found(frames: Sequence[Atoms], what: str, keys: tuple[str, ...]) -> LabelError:
    """Return the error that says that no structure has a label under some names, and which names there are."""
    if not frames:
        return LabelError(f"there is no structure to carry {what}: the list is empty")
    name = " or ".join(map(repr, keys))
    text = f"0 of {len(frames)} structures carry {what} under {name}"
    n_hidden = sum(any(is_hidden(atoms, key) for key in keys) for atoms in frames)
    if n_hidden:
        return LabelError(f"{text}: the calculators of {n_hidden} do, but {_HIDDEN}")
    seen = sorted(set().union(*map(keys_of, frames)))
    meant = [hint for hint in (did_you_mean(key, seen) for key in keys if key not in seen) if hint.startswith(":")]
    return LabelError(f"{text}; keys seen: {keys_seen(frames)}{printable(''.join(meant[:1]))}")


def keys_seen(frames: Sequence[Atoms]) -> str:
    """Return the names of all that structures carry, for messages."""
    return printable(listed(sorted(set().union(*map(keys_of, frames)))) or "none")


_HIDDEN = (
    "it belongs to other positions, as the atoms were changed since (moved, wrapped, another cell): keep labels in "
    "info and arrays, as orbas.read does, or change the atoms before the calculation"
)


def is_hidden(atoms: Atoms, key: str) -> bool:
    """Whether a calculator has a result for other positions than the present ones."""
    if key in atoms.info or key in atoms.arrays or key not in getattr(atoms.calc, "results", {}):
        return False
    return _result(atoms, key) is None


def keys_of(atoms: Atoms) -> set[str]:
    """Return the names of all that a structure carries."""
    results = getattr(atoms.calc, "results", {})
    return {str(key) for key in (*atoms.info, *atoms.arrays, *results)} - {"numbers", "positions"}


# What is not known


def unknown_labels(
    frames: Sequence[Atoms],
    energies: Sequence[float | None],
    forces: Sequence[FloatArray | None],
    stress: Sequence[FloatArray | None],
) -> str:
    """Say how many labels that are there are not known; empty if all are. None is what is not there."""
    parts = []
    n_energies = sum(value is not None and bool(np.isnan(value)) for value in energies)
    if n_energies:
        parts.append(f"{n_energies} energies")
    n_atoms = [int(np.isnan(own).any(axis=1).sum()) for own in forces if own is not None]
    if any(n_atoms):
        parts.append(f"forces of {sum(n_atoms)} atoms in {np.count_nonzero(n_atoms)} structures")
    gone = [k for k, own in enumerate(stress) if own is not None and np.isnan(own).any()]
    flat = sum(not has_volume(frames[k]) for k in gone)
    if len(gone) > flat:
        parts.append(f"{len(gone) - flat} stresses")
    text = f"labels that are nan are not known, and not used: {', '.join(parts)}" if parts else ""
    without = f"{flat} stresses of structures without a cell are not used" if flat else ""
    return "; ".join(part for part in (text, without) if part)


def has_volume(atoms: Atoms) -> bool:
    """Whether the cell of a structure spans a volume, to which a stress refers."""
    return bool(abs(np.linalg.det(atoms.cell.array)) > 0)


def _trusted(frames: list[Atoms], labels: Labels) -> Labels:
    """Return the labels with what structures say about them; what has a weight of 0 or a mask becomes unknown."""
    trust = tuple(trust_of(atoms, f"structure {i}") for i, atoms in enumerate(frames))
    strangers = unknown_names(frames)
    if strangers:
        _LOG.warning("not used, though they look like weights or expected errors: %s", ", ".join(strangers))
    if all(own is FULL_TRUST for own in trust):
        return labels
    weights = np.array([own.weights for own in trust])
    energies = np.where(weights[:, 0] > 0, labels.energies, np.nan)
    forces = labels.forces
    if forces is not None:
        forces = [_without(own, said) for own, said in zip(forces, trust, strict=True)]
    stress = labels.stress if labels.stress is None else np.where(weights[:, 2:] > 0, labels.stress, np.nan)
    trusted = Labels(energies, forces, stress, trust)
    names = sorted({name for own in trust for name in own.names})
    _LOG.info("labels are weighted as structures say: %s", ", ".join(names))
    n_before, n_after = _n_known(labels), _n_known(trusted)
    gone = [
        f"{before - after} {what}"
        for before, after, what in zip(
            n_before, n_after, ("energies", "force components", "stress components"), strict=True
        )
        if before > after
    ]
    if gone:
        _LOG.warning("taken out by weights of 0 and masks (%s): %s", ", ".join(names), ", ".join(gone))
    return trusted


def _without(forces: FloatArray | None, said: Trust) -> FloatArray | None:
    if forces is None or said.weights[1] == 0:
        return None
    return forces if said.left_out is None else np.where(said.left_out[:, None], np.nan, forces)


def _n_known(labels: Labels) -> tuple[int, int, int]:
    return (
        int(np.isfinite(labels.energies).sum()),
        sum(int(np.isfinite(own).sum()) for own in labels.forces or () if own is not None),
        0 if labels.stress is None else int(np.isfinite(labels.stress).sum()),
    )


# One label of one structure


def _result(atoms: Atoms, key: str) -> Any:
    return atoms.calc.get_property(key, atoms, allow_calculation=False)


def value_of(atoms: Atoms, key: str | None, where: str, *, per_atom: bool) -> Any:
    """Return what a structure carries under a key, None without; raise LabelError if it stands in the wrong place."""
    if key is None:
        return None
    here, there = (atoms.arrays, atoms.info) if per_atom else (atoms.info, atoms.arrays)
    if key in here:
        return here[key]
    if key in there:
        place = ("the comment line", "a column of the atoms")
        raise LabelError(f"{where} carries {key!r} in {place[not per_atom]}, but it belongs in {place[per_atom]}")
    if key in getattr(atoms.calc, "results", {}):
        return _result(atoms, key)
    return None


def _numbers(value: Any, key: str | None, where: str) -> FloatArray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise LabelError(f"{where} carries {key!r} = {shown(value)}, which is not a number")
    return array.astype(np.float64)


def _unusable(array: FloatArray) -> NDArray[np.bool_]:
    """Infinite, or as good as that; nan is not known, which is another thing."""
    return np.abs(array) >= LARGEST


def energy_of(atoms: Atoms, key: str | None, where: str) -> float | None:
    """Return the energy of a structure in eV, nan if it is not known; None without one."""
    value = value_of(atoms, key, where, per_atom=False)
    if value is None:
        return None
    array = _numbers(value, key, where)
    if array.size != 1:
        raise LabelError(f"{where} carries {key!r} of shape {array.shape}; an energy is one number")
    if _unusable(array).any():
        raise LabelError(f"{where} carries {key!r} = {array.item()}; an energy must be finite")
    return float(array.item())


def forces_of(atoms: Atoms, key: str | None, where: str) -> FloatArray | None:
    """Return the forces of a structure [n_atoms, 3] in eV/Å, nan where they are not known; None without any."""
    value = value_of(atoms, key, where, per_atom=True)
    if value is None:
        return None
    array = _numbers(value, key, where)
    if array.shape != (len(atoms), 3):
        raise LabelError(f"{where} carries {key!r} of shape {array.shape}, expected ({len(atoms)}, 3)")
    bad = np.flatnonzero(_unusable(array).any(axis=1))
    if bad.size:
        raise LabelError(f"{where}, atom {bad[0]} carries {key!r} = {array[bad[0]]}; forces must be finite")
    return array


def stress_of(atoms: Atoms, stress_key: str | None, virial_key: str | None, where: str) -> FloatArray | None:
    """Return the stress of a structure [6] in eV/Å³, nan where it is not known; None without stress and virial."""
    values = [(key, value_of(atoms, key, where, per_atom=False)) for key in (stress_key, virial_key)]
    if all(value is None for _, value in values):
        return None
    if not has_volume(atoms):
        return np.full(6, np.nan)
    scale = -1.0 / abs(np.linalg.det(atoms.cell.array))
    stress, virial = (
        None if value is None else _voigt(_numbers(value, key, where) * factor, key, where)
        for (key, value), factor in zip(values, (1.0, scale), strict=True)
    )
    one = virial if stress is None else stress
    if stress is None or virial is None:
        return one
    gap = _largest(stress - virial)
    if gap > _INCONSISTENCY[0] + _INCONSISTENCY[1] * _largest(stress):
        raise LabelError(
            f"{where}: {stress_key!r} and {virial_key!r} disagree by {gap:.3g} eV/Å^3 (stress {stress}, "
            f"-virial/volume {virial}): check signs and units"
        )
    return np.where(np.isfinite(stress), stress, virial)


def _largest(array: FloatArray) -> float:
    """Return the largest magnitude of what is known."""
    return float(np.nan_to_num(np.abs(array)).max(initial=0.0))


def _voigt(array: FloatArray, key: str | None, where: str) -> FloatArray:
    if array.size == 1 and np.isnan(array).all():
        return np.full(6, np.nan)
    if array.shape not in ((6,), (9,), (3, 3)):
        raise LabelError(f"{where} carries {key!r} of shape {array.shape}, expected 6 or 9 numbers")
    if _unusable(array).any():
        raise LabelError(f"{where} carries {key!r} = {array.ravel()}; a stress or virial must be finite")
    if array.size == 6:
        return array
    full = array.reshape(3, 3)
    gap = _largest(full - full.T)
    if gap > _ASYMMETRY[0] + _ASYMMETRY[1] * _largest(full):
        raise LabelError(f"{where}: {key!r} is asymmetric by {gap:.3g} eV/Å^3 (as a stress)")
    symmetric: FloatArray = (0.5 * (full + full.T))[_VOIGT]
    return symmetric
