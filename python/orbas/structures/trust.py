"""How far labels are to be trusted, as files of other programs say: weights, expected errors and masks.

The one table of their names, in any case, each with the meaning it has in the program that reads it there:

- MACE: ``config_weight`` and ``config_energy_weight``, ``..forces..``, ``..stress..``, ``..virials..`` multiply
  squared errors;
- GPUMD: ``energy_weight`` multiplies the squared error of the energy, ``weight`` all errors (squares by its square);
- gap_fit: ``energy_sigma``, ``force_sigma``, ``virial_sigma`` and the columns ``force_atom_sigma``,
  ``force_component_sigma`` are expected errors in eV, eV/Å and eV, which go before those of settings; a column
  ``force_mask`` that is true takes the force of an atom out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orbas.errors import LabelError
from orbas.structures.label_table import LARGEST

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ase import Atoms

FloatArray = NDArray[np.float64]

_ENERGY, _FORCES, _STRESS = 0, 1, 2
_ALL = (_ENERGY, _FORCES, _STRESS)
#: Name of a weight: the kinds of label it is for, and the power of it that multiplies squared errors.
WEIGHTS: dict[str, tuple[tuple[int, ...], int]] = {
    "config_weight": (_ALL, 1),
    "config_energy_weight": ((_ENERGY,), 1),
    "config_forces_weight": ((_FORCES,), 1),
    "config_stress_weight": ((_STRESS,), 1),
    "config_virials_weight": ((_STRESS,), 1),
    "weight": (_ALL, 2),
    "energy_weight": ((_ENERGY,), 1),
    "force_weight": ((_FORCES,), 1),
    "forces_weight": ((_FORCES,), 1),
    "stress_weight": ((_STRESS,), 1),
    "virial_weight": ((_STRESS,), 1),
    "virials_weight": ((_STRESS,), 1),
}
#: Names of expected errors in the comment line; a stress_sigma in eV/Å³ is times the volume.
SIGMAS = {
    "energy_sigma": _ENERGY,
    "force_sigma": _FORCES,
    "forces_sigma": _FORCES,
    "virial_sigma": _STRESS,
    "stress_sigma": _STRESS,
}
#: Names of columns: expected errors of forces, [n_atoms] and [n_atoms, 3], the finer one first; atoms left out.
FORCES_SIGMAS = ("force_component_sigma", "force_atom_sigma")
MASKS = ("force_mask", "forces_mask")

_KNOWN = WEIGHTS.keys() | SIGMAS.keys()
_COLUMNS = frozenset((*FORCES_SIGMAS, *MASKS))
_UNKNOWN = re.compile(
    r"(?=.*(weight|sigma|mask))(?=.*(energ|force|stress|virial|config)).*"
    r"|(sample|frame|structure|loss|fit|train(ing)?|data)?[\W_]?weights?|sigma",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """What a structure says about its own labels.

    Attributes
    ----------
    weights
        Factors of the squared errors of energy, forces and stress; 0 takes a label out.
    energy_sigma, virial_sigma
        Expected errors in eV, of the whole structure; None where settings decide.
    forces_sigma
        In eV/Å, one number, [n_atoms, 1] or [n_atoms, 3]; None where settings decide.
    left_out
        Atoms whose forces are not used, [n_atoms]; None for none.
    names
        Where all this stood.
    """

    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    energy_sigma: float | None = None
    forces_sigma: FloatArray | None = None
    virial_sigma: float | None = None
    left_out: NDArray[np.bool_] | None = None
    names: tuple[str, ...] = ()


#: Of a structure that says nothing.
FULL_TRUST = Trust()


def trust_of(atoms: Atoms, where: str) -> Trust:
    """Return what a structure says about its labels.

    Raises
    ------
    LabelError
        If a weight is negative or no number, or an expected error not positive.
    """
    info, arrays = _by_table(atoms.info, _KNOWN), _by_table(atoms.arrays, _COLUMNS)
    if not info and not arrays:
        return FULL_TRUST
    names = sorted((*info, *arrays))
    if "weight" in names and _is_mass(atoms):
        names.remove("weight")
    weights = [1.0, 1.0, 1.0]
    for place in _ALL:
        general = [
            w
            for name in names
            if name in WEIGHTS and len(WEIGHTS[name][0]) > 1
            for w in [_weight(info[name], name, where)]
        ]
        # Of a stress and a virial one is there: the weight of the other is 0 in many files.
        own = [_weight(info[name], name, where) for name in names if name in WEIGHTS and WEIGHTS[name][0] == (place,)]
        weights[place] = float(np.prod(general) * max(own, default=1.0))
    sigmas: dict[int, float] = {}
    for name in names:
        if name in SIGMAS:
            volume = abs(np.linalg.det(atoms.cell.array)) if name == "stress_sigma" else 1.0
            sigmas[SIGMAS[name]] = float(_positive(info[name], name, where).item() * (volume or 1.0))
    forces = None if _FORCES not in sigmas else np.array(sigmas[_FORCES])
    column = next((name for name in FORCES_SIGMAS if name in names), None)
    if column is not None:
        forces = _positive(arrays[column], column, where).reshape(len(atoms), -1)
    masks = [np.asarray(arrays[name]).astype(bool) for name in names if name in MASKS]
    left_out = np.any(masks, axis=0) if masks else None
    three = (weights[0], weights[1], weights[2])
    return Trust(three, sigmas.get(_ENERGY), forces, sigmas.get(_STRESS), left_out, tuple(names))


def _by_table(home: Mapping[Any, Any], table: Collection[str]) -> dict[str, Any]:
    """Return the entries of a structure that a table has, by their names there, which are in small letters."""
    return {low: value for name, value in home.items() if isinstance(name, str) and (low := name.casefold()) in table}


def unknown_names(frames: Sequence[Atoms]) -> list[str]:
    """Return names that look like weights or expected errors of labels, and have no meaning here."""
    homes = ((frame.info for frame in frames), _KNOWN), ((frame.arrays for frame in frames), _COLUMNS)
    found = {
        name
        for home, table in homes
        for name in set().union(*home)
        if isinstance(name, str) and name.casefold() not in table and _UNKNOWN.fullmatch(name)
    }
    if any(_is_mass(frame) for frame in frames):
        found.add("weight, the mass of the molecule")
    return sorted(found)


def _is_mass(atoms: Atoms) -> bool:
    """Whether ``weight`` is the molecular one."""
    try:
        weight = float(_by_table(atoms.info, ("weight",))["weight"])
    except (KeyError, TypeError, ValueError):
        return False
    return len(atoms) > 0 and abs(weight / atoms.get_masses().sum() - 1.0) < 0.01


def _weight(given: Any, name: str, where: str) -> float:
    value = _number(given, name, where)
    if value.size != 1 or not 0.0 <= value.item() < LARGEST:
        raise LabelError(f"{where} carries {name!r} = {given!r}; a weight is one number, 0 or more")
    return float(value.item() ** WEIGHTS[name][1])


def _positive(value: Any, name: str, where: str) -> FloatArray:
    array = _number(value, name, where)
    if not ((array > 0) & (array < LARGEST)).all():
        raise LabelError(
            f"{where} carries {name!r} that is not positive: an expected error is; leave out unknown labels"
        )
    return array


def _number(value: Any, name: str, where: str) -> FloatArray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise LabelError(f"{where} carries {name!r} = {value!r}, which is not a number")
    return array.astype(np.float64)
