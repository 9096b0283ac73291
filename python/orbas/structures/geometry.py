"""What a structure hands on to one that is made from it: never labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase import Atoms

#: What belongs to an atom, whatever its place; everything else may be a label of the geometry.
_OF_ATOMS = ("numbers", "positions", "momenta", "masses", "tags")


def without_labels(atoms: Atoms) -> Atoms:
    """Return a copy with species, positions, cell, velocities, masses, tags and constraints, and nothing else.

    A label belongs to the geometry that it was calculated for. Frames of a run, supercells and structures for other
    programs are made of this copy: no energy, forces or stress of the first structure travels with them, under whatever
    name, and no text of its file.
    """
    from ase import Atoms as Structure

    copy = Structure(cell=atoms.cell.copy(), pbc=atoms.pbc.copy(), constraint=[*atoms.constraints])
    for name in _OF_ATOMS:
        if name in atoms.arrays:
            copy.arrays[name] = atoms.arrays[name].copy()
    return copy
