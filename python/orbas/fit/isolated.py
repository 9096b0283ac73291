"""Isolated atoms among training structures: their energies are the zero of their species.

MACE marks them ``config_type=IsolatedAtom``, gap_fit ``isolated_atom``. Rows of a fit they are not: far from all other
structures, alone in a fold, and exact, three of them make the forces of acetylacetone worse by 12 %. Who gives them a
noise, ``Noise(by_config={"IsolatedAtom": ...})``, has them fitted with it; they are never held out.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ase import Atoms

    from orbas.base.types import BoolArray, FloatArray
    from orbas.fit.noise import Noise

_LOG = logging.getLogger("orbas")
#: As files have them, in small letters and without what is neither letter nor digit.
_MARKS = ("isolatedatom", "isolatedatoms", "isolated", "freeatom", "singleatom")
#: Images of an atom that are so far away, in Å, are no neighbors: programs with plane waves put atoms into boxes.
_FAR = 7.0
#: Energies of two isolated atoms of a species that are farther apart, in eV, are not the same state.
_SAME = 1e-3


def is_isolated(atoms: Atoms) -> bool:
    """Whether a structure is an isolated atom: a single one far from its images, or that ``config_type`` calls so."""
    if len(atoms) != 1:
        return False
    mark = "".join(letter for letter in str(atoms.info.get("config_type", "")).lower() if letter.isalnum())
    if mark in _MARKS or not any(atoms.pbc):
        return True
    # Distances between the planes of images, which are not farther apart than the images.
    distances = 1.0 / np.linalg.norm(atoms.cell.complete().reciprocal(), axis=1)
    return bool((distances[atoms.pbc] >= _FAR).all())


def isolated_atoms(frames: Sequence[Atoms]) -> BoolArray:
    """Return which structures are isolated atoms, [n_structures]."""
    return np.array([is_isolated(atoms) for atoms in frames], dtype=bool)


def isolated_energies(frames: Sequence[Atoms], energies: FloatArray) -> dict[int, float]:
    """Return the energy of an isolated atom in eV by atomic number, of those that are among structures.

    Of several of a species it is the lowest: the ground state. That they differ is said.
    """
    found: dict[int, list[float]] = {}
    for atoms, energy in zip(frames, energies.tolist(), strict=True):
        if is_isolated(atoms) and np.isfinite(energy):
            found.setdefault(int(atoms.numbers[0]), []).append(energy)
    for number, values in found.items():
        if max(values) - min(values) > _SAME:
            from ase.data import chemical_symbols

            _LOG.warning(
                "isolated atoms of %s have energies from %.6g to %.6g eV: the lowest is the zero of the species",
                chemical_symbols[number],
                min(values),
                max(values),
            )
    return {number: min(values) for number, values in sorted(found.items())}


def set_aside(frames: Sequence[Atoms], noise: Noise | None) -> BoolArray:
    """Return which structures are isolated atoms that are no rows of a fit, [n_structures]; none if all are such."""
    named = set() if noise is None else set(noise.by_config)
    aside = np.array([is_isolated(atoms) and str(atoms.info.get("config_type")) not in named for atoms in frames], bool)
    return aside if not aside.all() else np.zeros(len(frames), dtype=bool)


def say_isolated(frames: Sequence[Atoms], energies: FloatArray, zeros: Mapping[int, float]) -> None:
    """Say which species have the energy of an isolated atom for their zero, and which were given another one."""
    from ase.data import chemical_symbols

    found = isolated_energies(frames, energies)
    if not found:
        return
    others = [number for number, energy in found.items() if abs(zeros[number] - energy) > _SAME]
    if others:
        _LOG.warning(
            "the baseline is not that of the isolated atoms among the structures: %s",
            ", ".join(f"{chemical_symbols[k]} {zeros[k]:.6g} eV instead of {found[k]:.6g}" for k in others),
        )
    else:
        _LOG.info("energies are counted from isolated atoms of %s", ", ".join(chemical_symbols[k] for k in found))
