"""The calculator of ase: energies, forces and stress of a fitted potential for optimizers, dynamics and filters."""

from __future__ import annotations

import copy
import os
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from ase.calculators.calculator import (
    CalculationFailed,
    Calculator,
    CalculatorSetupError,
    InputError,
    PropertyNotImplementedError,
    all_changes,
)

from orbas.base.fields import SettingsError, checked, shown
from orbas.base.kinds import SKIN, Choice, Integer, Maybe
from orbas.base.locks import ForkSafeLock
from orbas.base.names import unknown_name
from orbas.base.process import default_errors
from orbas.calculators.continuation import Continuation
from orbas.errors import NotFittedError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.base.energies import Energies
    from orbas.base.types import FloatArray
    from orbas.calculators.engine import Evaluator

OnExtrapolation = Literal["warn", "raise", "ignore"]

_PROPERTIES = ("energy", "free_energy", "energies", "forces", "stress")
#: Not among the results, since ase refuses results that it has no name for.
_DIAGNOSTICS = ("uncertainty", "extrapolation")
#: The energy does not depend on them.
_INDIFFERENT = ("initial_charges", "initial_magmoms")
_OPTIONS = {
    "skin": SKIN,
    "check_every": Maybe(Integer(1), meaning="never"),
    "on_extrapolation": Choice(("warn", "raise", "ignore")),
}


class ExtrapolationWarning(UserWarning):
    """An atom is in an environment farther from the training set than those that the model was trained on.

    Examples
    --------
    >>> import warnings
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(3)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=15)
    >>> model = orbas.models.LinearPotential(orbas.PowerSpectrum(density)).fit(frames)
    >>> squeezed = frames[0].copy()
    >>> squeezed.set_cell(0.6 * squeezed.cell, scale_atoms=True)
    >>> squeezed.calc = model.calculator()
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     energy = squeezed.get_potential_energy()
    >>> issubclass(caught[0].category, orbas.calculators.ExtrapolationWarning)
    True
    """


class ExtrapolationError(CalculationFailed):
    """As :class:`ExtrapolationWarning`, with ``on_extrapolation="raise"``.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(3)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=15)
    >>> model = orbas.models.LinearPotential(orbas.PowerSpectrum(density)).fit(frames)
    >>> squeezed = frames[0].copy()
    >>> squeezed.set_cell(0.6 * squeezed.cell, scale_atoms=True)
    >>> squeezed.calc = model.calculator(on_extrapolation="raise")
    >>> squeezed.get_potential_energy()
    Traceback (most recent call last):
    orbas.calculators.ase_calculator.ExtrapolationError: Si8, evaluation 0, atom 4 (Si) is ...
    """


class OptionError(InputError, SettingsError):
    """An option of a calculator is unknown, of a wrong type or out of its range: an error of ase and of settings."""


class OrbasCalculator(Calculator):
    """A potential as an ase calculator.

    One evaluation yields energy, atomic energies, forces and stress, and asking for another of them costs nothing.
    ``uncertainty`` (eV) and ``extrapolation`` [n_atoms] are computed if they are asked for:
    ``calculator.get_property("uncertainty", atoms)``; they are then among ``diagnostics``, never among ``results``,
    which hold what ase has a name for. The stress needs a structure periodic in three directions. Threads that share a
    calculator wait for each other; each gets what it asked for.

    Parameters
    ----------
    potential
        A fitted model. Nothing here changes it, and a later fit of it does not reach this calculator.
    skin
        Neighbors within the cutoff and this much more, in Å, are remembered from call to call, until an atom has moved
        by half of it. It spares the search, some percent of a step. The last bits then depend on the calls before,
        since sums run in the order of the remembered neighbors; 0 searches every time: same structure, same bits.
    check_every
        The first evaluation, then each one after this many, looks how far atoms are from the training set, which
        costs more than the evaluation itself. So does every structure that does not go on from the one before: other
        atoms, another cell, a jump (:mod:`orbas.calculators.continuation`). None never looks.
    on_extrapolation
        What such a look does about an atom with a ratio above 1: ``"warn"`` (:class:`ExtrapolationWarning`, once
        until :meth:`reset`), ``"raise"`` (:class:`ExtrapolationError`) or ``"ignore"``, which only keeps
        ``largest_extrapolation``.

    Attributes
    ----------
    n_evaluations
        How often the potential was evaluated.
    virial
        Of the last evaluation, in eV, [3, 3]: dE/d(strain), also where there is no volume. None before.
    largest_extrapolation
        The largest ratio that a look found; None before the first.
    diagnostics
        ``uncertainty`` and ``extrapolation`` of the present structure, if they were asked for or looked at, and with
        each look ``unknown``, flags of :class:`orbas.models.Unknown`: what the training set does not tell.

    Raises
    ------
    CalculatorSetupError
        If the potential is not fitted. Its subclass ``InputError`` for a wrong option; later, for a structure that
        the potential cannot take: an unknown species, coincident atoms, positions that are not finite.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(3)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=15)
    >>> model = orbas.models.LinearPotential(orbas.PowerSpectrum(density)).fit(frames)
    >>> calculator = orbas.calculators.OrbasCalculator(model, on_extrapolation="ignore")
    >>> atoms = frames[0].copy()
    >>> atoms.calc = calculator
    >>> atoms.get_forces().shape == (len(atoms), 3), atoms.get_stress().shape
    (True, (6,))
    """

    # Declared by ase, as a list and a set.
    implemented_properties = [*_PROPERTIES, *_DIAGNOSTICS]  # noqa: RUF012
    ignored_changes = set(_INDIFFERENT)  # noqa: RUF012

    virial: FloatArray | None
    largest_extrapolation: float | None
    diagnostics: dict[str, Any]
    _memory: list[SkinList] | None
    _process: int
    _continuation: Continuation
    _due: bool
    _n_since: int
    _warned: bool

    def __init__(
        self,
        potential: Evaluator,
        *,
        skin: float = 1.0,
        check_every: int | None = 100,
        on_extrapolation: OnExtrapolation = "warn",
    ) -> None:
        try:
            self.species: tuple[int, ...] = tuple(potential.species_)
        except NotFittedError as error:
            raise CalculatorSetupError(str(error)) from error
        except AttributeError:
            raise CalculatorSetupError(
                f"{shown(potential)} is no potential: fit one, or read one from its file by orbas.load"
            ) from None
        self._lock = ForkSafeLock()
        self.potential = potential
        self._as_fitted = copy.copy(potential)
        self.n_evaluations = 0
        self.diagnostics = {}
        self._forget()
        super().__init__(skin=skin, check_every=check_every, on_extrapolation=on_extrapolation)

    def set(self, **options: Any) -> dict[str, Any]:
        """Change options of the constructor; returns those that changed.

        Raises
        ------
        InputError
            If there is no such option, or its value is of no use.

        Examples
        --------
        >>> calculator.set(skin=0.5)
        {'skin': 0.5}
        """
        changed: dict[str, Any] = super().set(**{name: _option(name, value) for name, value in options.items()})
        if "skin" in changed:
            self._memory = None
        return changed

    def reset(self) -> None:
        """Forget results, remembered neighbors, and what was warned of.

        Examples
        --------
        >>> calculator.reset()
        >>> calculator.results
        {}
        """
        super().reset()
        self.diagnostics = {}
        self._forget()

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """Return a property, computed if it must be; ``uncertainty`` and ``extrapolation`` too.

        Raises
        ------
        PropertyNotImplementedError
            If there is no such property of this structure or potential.

        Examples
        --------
        >>> calculator.get_property("uncertainty", atoms) > 0.0
        True
        >>> calculator.get_property("extrapolation", atoms).shape == (len(atoms),)
        True
        """
        with self._lock:
            if name not in _DIAGNOSTICS:
                return super().get_property(name, atoms, allow_calculation)
            if atoms is not None and self.check_state(atoms):
                self.results, self.diagnostics = {}, {}
                if allow_calculation:
                    self.calculate(atoms, [name])
            elif name not in self.diagnostics and allow_calculation:
                self.calculate(None, [name], [])
            value = self.diagnostics.get(name)
            return value.copy() if isinstance(value, np.ndarray) else value

    def calculation_required(self, atoms: Atoms, properties: Sequence[str]) -> bool:
        """Whether one of the properties must be computed first.

        Examples
        --------
        >>> calculator.calculation_required(atoms, ["energy"])  # there already
        False
        >>> atoms.rattle(0.01, seed=1)
        >>> calculator.calculation_required(atoms, ["energy"])
        True
        """
        results = [name for name in properties if name not in _DIAGNOSTICS]
        return bool(super().calculation_required(atoms, results)) or any(
            name in _DIAGNOSTICS and name not in self.diagnostics for name in properties
        )

    @default_errors
    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Collection[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute the properties, and all that come with the energy; see ``ase.calculators.calculator.Calculator``.

        Raises
        ------
        PropertyNotImplementedError
            For the stress of a structure without a volume, or what the potential does not offer.
        InputError
            If the potential cannot take the structure; names the atom.
        ExtrapolationError
            See ``on_extrapolation``.

        Examples
        --------
        >>> calculator.calculate(atoms, ["energy"])
        >>> sorted(calculator.results)
        ['energies', 'energy', 'forces', 'free_energy', 'stress']
        """
        with self._lock:
            if system_changes:  # before the structure is another: nobody takes old results for its own
                self.results, self.diagnostics = {}, {}
            super().calculate(atoms, properties, system_changes)
            structure = self._structure
            if "stress" in properties and not all(structure.pbc):
                raise PropertyNotImplementedError(
                    f"{structure.symbols} has no stress: it is not periodic in three directions "
                    f"(pbc {structure.pbc.tolist()}); set pbc, and for a slab a cell with enough vacuum"
                )
            try:
                self._compute(structure, properties)
            except ValueError as error:
                raise InputError(f"{structure.symbols}: {error}") from error

    def _compute(self, structure: Atoms, properties: Collection[str]) -> None:
        """Compute what is missing of the properties."""
        if "energy" not in self.results:
            self._evaluate(structure)
        if "extrapolation" in properties and "extrapolation" not in self.diagnostics:
            self._look(structure)
        if "uncertainty" in properties:
            self.diagnostics["uncertainty"] = float(self._asked("uncertainty", structure)[0])

    def _get_name(self) -> str:
        return "orbas"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_memory": None}

    @property
    def _structure(self) -> Atoms:
        """The structure at work: ase keeps a copy of what it was given."""
        if self.atoms is None:
            raise InputError("there are no atoms yet: set atoms.calc, or give atoms")
        structure: Atoms = self.atoms
        return structure

    @property
    def _model(self) -> Evaluator:
        """The potential, or what it was when the calculator was made if it was fitted again since."""
        now, then = (getattr(model, "_record", None) for model in (self.potential, self._as_fitted))
        return self.potential if now is then else self._as_fitted

    def _forget(self) -> None:
        self._memory = None
        self._warned = False
        self._continuation = Continuation()
        self._due, self._n_since = True, 0
        self.virial = None
        self.largest_extrapolation = None

    def _evaluate(self, structure: Atoms) -> None:
        """Fill the results with everything that one pass yields, and look for extrapolation if it is time."""
        found = self._model.evaluate([structure], skin_lists=self._skin_lists())
        _check_finite(structure, found)
        every = self.parameters["check_every"]
        self._due |= self._continuation.is_new(structure) or (every is not None and self._n_since >= every)
        if self._due:
            self._ask_what_is_unknown(structure, found)
            if every is not None:
                self._check_extrapolation(structure)
            self._due, self._n_since = False, 0
            self._continuation.looked()
        self._n_since += 1
        self.n_evaluations += 1
        self.virial = found.virials[0].copy()
        energy = float(found.structures[0])
        results = {
            "energy": energy,
            "free_energy": energy,
            "energies": found.atoms[0].copy(),
            "forces": found.forces[0].copy(),
        }
        if all(structure.pbc):
            results["stress"] = found.stress([structure])[0]
        self.results.update(results)

    def _skin_lists(self) -> list[SkinList] | None:
        """Return the remembered neighbors; those of a parent process stay there, another thread of it may hold them."""
        if self.parameters["skin"] <= 0.0:
            return None
        if self._memory is None or self._process != os.getpid():
            self._memory, self._process = self._model.skin_lists(self.parameters["skin"]), os.getpid()
        return self._memory

    def _look(self, structure: Atoms) -> FloatArray:
        ratios: FloatArray = np.array(self._asked("extrapolation", structure)[0], dtype=np.float64)
        self.diagnostics["extrapolation"] = ratios
        self.largest_extrapolation = max(self.largest_extrapolation or 0.0, float(ratios.max(initial=0.0)))
        return ratios

    def _asked(self, name: str, structure: Atoms) -> Any:
        """Return ``potential.<name>([structure])``."""
        try:
            return getattr(self._model, name)([structure])
        except NotImplementedError as error:
            raise PropertyNotImplementedError(f"{type(self.potential).__name__} has no {name}") from error

    def _ask_what_is_unknown(self, structure: Atoms, found: Energies) -> None:
        """Let the potential say, once, what its training set does not tell of such structures."""
        flags = self._model.unknown([structure], found.forces)
        if flags is not None:
            self.diagnostics["unknown"] = int(flags[0])

    def _check_extrapolation(self, structure: Atoms) -> None:
        action = self.parameters["on_extrapolation"]
        try:
            ratios = self._look(structure)
        except PropertyNotImplementedError as error:
            if action == "raise":
                raise
            self._warn(f"{error}: nothing will tell when atoms leave the training set", UserWarning)
            return
        outside = int((ratios > 1.0).sum())
        if not outside:
            return
        atom = int(ratios.argmax())
        text = (
            f"{structure.symbols}, evaluation {self.n_evaluations}, atom {atom} ({structure.symbols[atom]}) is far "
            f"from the training set: extrapolation {ratios[atom]:.3g}, above 1 for {outside} of {len(ratios)} atoms; "
            "do not trust energy and forces"
        )
        if action == "raise":
            raise ExtrapolationError(text)
        self._warn(text, ExtrapolationWarning)

    def _warn(self, text: str, kind: type[UserWarning]) -> None:
        if self.parameters["on_extrapolation"] == "warn" and not self._warned:
            warnings.warn(text, kind, stacklevel=2)
            self._warned = True


def _check_finite(structure: Atoms, found: Energies) -> None:
    """Raise CalculationFailed for energies or forces that are none: nobody goes on with them."""
    bad = np.flatnonzero(~(np.isfinite(found.atoms[0]) & np.isfinite(found.forces[0]).all(axis=1)))
    if bad.size or not np.isfinite(found.structures[0]):
        atom = f" of atom {bad[0]} ({structure.symbols[bad[0]]})" if bad.size else ""
        raise CalculationFailed(
            f"{structure.symbols}: the potential gives an energy or a force{atom} that is not finite"
        )


def _option(name: str, value: Any) -> Any:
    """Return the plain value of an option; raises InputError if it is none, or of no use."""
    if name not in _OPTIONS:
        raise OptionError(unknown_name("option", name, _OPTIONS))
    try:
        return checked(_OPTIONS[name], name, value)
    except SettingsError as error:
        raise OptionError(str(error)) from None
