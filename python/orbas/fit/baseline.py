"""The energy of a composition: a sum of one energy per atom of a species."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from orbas.base.estimator import Estimator, Fitted
from orbas.base.fields import check_settings, setting
from orbas.base.kinds import Choice, Maybe, Number, OneOf
from orbas.files.stored import is_number, stored
from orbas.fit.isolated import is_isolated, isolated_energies
from orbas.structures.batch import as_frames
from orbas.structures.species import BySpecies, atomic_number, check_rising

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ase import Atoms
    from numpy.typing import ArrayLike

    from orbas.base.types import FloatArray, IntArray


#: Of atoms, in eV: all-electron energies of the heaviest reach a million.
ENERGIES = BySpecies(Number(-1e8, 1e8, "eV"), "energies")
#: Of models: what they stand on.
BASELINE = OneOf((Choice(("composition",)), ENERGIES))


@dataclass(frozen=True, slots=True, eq=False)
class BaselineRecord:
    """Energies of atoms in eV by atomic number, and what adds to those of isolated ones; a table of 256 sums."""

    energies: dict[int, float]
    binding: dict[int, float] = field(default_factory=dict)
    table: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        table = np.zeros(256)
        for part in (self.energies, self.binding):
            if not isinstance(part, dict) or not all(isinstance(energy, int | float) for energy in part.values()):
                raise TypeError(f"baseline energies must be a dict of numbers, got {part!r}")
            table[list(part)] += list(part.values())
        table.setflags(write=False)
        object.__setattr__(self, "table", table)


@stored("CompositionBaseline", fitted=("energies_",), optional=("binding_",), record=BaselineRecord)
@dataclass(eq=False, repr=False)
class CompositionBaseline(Estimator):
    """``E0(A) = sum_i e(species of i)``: fitted to atom counts, or from given isolated-atom energies.

    Parameters
    ----------
    energies
        Energy in eV of one atom by symbol or atomic number; None takes those of isolated atoms among the structures
        (:mod:`orbas.fit.isolated`), and fits the others to the training energies by linear least squares. Where
        compositions do not determine them (all structures are SiO2, say) the solution of least norm is taken: it still
        gives the best energies for compositions like those of the training set.

    Attributes
    ----------
    energies_
        dict from atomic number to eV, in rising order of the atomic number: the zero of each species; after ``fit``.
    binding_
        Likewise, of species whose zero is an isolated atom: what an atom of the other structures is bound by, the
        least squares of what is left. It is part of what is predicted, and of no other use. Empty without such species.

    Examples
    --------
    >>> import ase.build
    >>> import orbas
    >>> frames = [ase.build.molecule(name) for name in ("H2", "O2", "H2O")]
    >>> baseline = orbas.models.CompositionBaseline().fit(frames, [-2.0, -4.0, -4.0])
    >>> {number: round(energy, 3) for number, energy in baseline.energies_.items()}
    {1: -1.0, 8: -2.0}
    """

    energies_ = Fitted[dict[int, float]]()
    binding_ = Fitted[dict[int, float]]()

    energies: Mapping[str, float] | Mapping[int, float] | None = field(
        default=None, metadata=setting(Maybe(ENERGIES, meaning="fitted"), "energies of isolated atoms")
    )

    def fit(self, frames: Sequence[Atoms], energies: ArrayLike) -> Self:
        """Fit the energies of the species, or check that the given ones cover the structures.

        Parameters
        ----------
        frames
            Structures.
        energies
            Total energies in eV, shape [n_structures].

        Raises
        ------
        ValueError
            If there is no structure, shapes disagree, or an energy is not finite.
        UnknownSpeciesError
            If energies are given and a structure has a species without one.

        Examples
        --------
        >>> given = orbas.models.CompositionBaseline({"H": -13.6, "O": -2041.0}).fit(frames, [0.0, 0.0, 0.0])
        >>> given.energies_
        {1: -13.6, 8: -2041.0}
        """
        check_settings(self)
        frames = as_frames(frames)
        targets = np.asarray(energies, dtype=np.float64)
        if len(frames) == 0 or targets.shape != (len(frames),):
            raise ValueError(f"{len(frames)} structures need one energy each, got shape {targets.shape}")
        if not np.isfinite(targets).all():
            structure = np.flatnonzero(~np.isfinite(targets))[0]
            raise ValueError(f"the energy of structure {structure} is not finite: {targets[structure]}")
        if self.energies is not None:
            given = _by_number(self.energies)
            check_species(frames, given)
            self._record = BaselineRecord(given)
            return self
        zeros = isolated_energies(frames, targets)
        others = [k for k, frame in enumerate(frames) if not is_isolated(frame)]
        self._record = _fitted_record([frames[k] for k in others], targets[others], zeros)
        return self

    def predict(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return the baseline energies in eV, shape [n_structures].

        Raises
        ------
        NotFittedError
            Before ``fit``.
        UnknownSpeciesError
            If a structure has a species that was not in the training set or not among the given energies.

        Examples
        --------
        >>> baseline.predict([ase.build.molecule("H2O2")]).round(3).tolist()
        [-6.0]
        """
        record: BaselineRecord | None = self._record
        if record is None:
            from orbas.errors import not_fitted

            raise not_fitted("this CompositionBaseline is not fitted: call fit(frames, energies) first")
        listed = as_frames(frames)
        check_species(listed, record.energies)
        return self.totals(listed)

    @property
    def table(self) -> FloatArray:
        """The energy of an atom in eV by atomic number, [256]: zero for species that are not known.

        Examples
        --------
        >>> baseline.table[[1, 8]].round(3).tolist()
        [-1.0, -2.0]
        """
        record: BaselineRecord = self._record
        return record.table

    def totals(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return the baseline energies in eV, [n_structures], of structures whose species were checked.

        Examples
        --------
        >>> baseline.totals(frames).round(3).tolist()
        [-2.0, -4.0, -4.0]
        """
        table = self.table
        return np.array([np.bincount(frame.numbers, minlength=256) @ table for frame in frames], dtype=np.float64)

    def _check_restored(self) -> None:
        fitted, binding = (None, None) if self._record is None else (self.energies_, self.binding_)
        for energies in (self.energies, fitted, binding):
            if energies is not None and not (isinstance(energies, dict) and all(map(is_number, energies.values()))):
                raise TypeError(f"baseline energies must be a dict of numbers, got {energies!r}")
        if fitted is not None:
            check_rising("the species of energies_", tuple(fitted))
            if not set(self.binding_) <= set(fitted):
                raise ValueError(f"binding_ is of the species {list(self.binding_)}, energies_ of {list(fitted)}")


def _fitted_record(frames: Sequence[Atoms], energies: FloatArray, zeros: dict[int, float]) -> BaselineRecord:
    """Return energies of the species: those given, and by least squares the others and what adds to the given ones."""
    species = sorted({*species_of(frames), *zeros})
    above = energies - count_species(frames, list(zeros)) @ np.array(list(zeros.values()))
    found = np.linalg.lstsq(count_species(frames, species), above, rcond=None)[0]
    fitted = dict(zip(species, found.tolist(), strict=True))
    binding = {number: fitted[number] for number in zeros}
    return BaselineRecord({number: zeros.get(number, fitted[number]) for number in species}, binding)


def species_of(frames: Sequence[Atoms]) -> tuple[int, ...]:
    """Return the sorted atomic numbers that occur in any structure."""
    found = {int(number) for frame in frames for number in np.unique(frame.numbers)}
    return tuple(sorted(found))


def count_species(frames: Sequence[Atoms], species: Sequence[int]) -> FloatArray:
    """Return how many atoms of each species a structure has, shape [n_structures, n_species]."""
    counts = np.zeros((len(frames), len(species)))
    for row, frame in zip(counts, frames, strict=True):
        row[:] = (frame.numbers[:, None] == np.asarray(species, dtype=np.int64)).sum(axis=0)
    return counts


def count_atoms(frames: Sequence[Atoms]) -> IntArray:
    """Return the number of atoms of each structure, shape [n_structures]."""
    return np.array([len(frame) for frame in frames], dtype=np.int64)


def check_species(frames: Sequence[Atoms], known: Iterable[int]) -> None:
    """Raise UnknownSpeciesError, naming structure and atom, at the first species that is not known."""
    known = tuple(sorted(known))
    # A table is looked up ten times faster than numpy's isin works on a small structure: this runs at every step.
    missing = np.ones(256, dtype=bool)
    missing[[number for number in known if 0 <= number < 256]] = False
    for structure, frame in enumerate(frames):
        numbers = frame.numbers
        if (numbers.min(initial=0) < 0 or numbers.max(initial=0) > 255) or missing[numbers].any():
            unknown = np.flatnonzero(~np.isin(numbers, known))
            from orbas.errors import UnknownSpeciesError

            atom = int(unknown[0])
            listed = ", ".join(_name(number) for number in known)
            raise UnknownSpeciesError(
                f"structure {structure}, atom {atom}: species {_name(int(frame.numbers[atom]))} is unknown; "
                f"known species: {listed}"
            )


def _name(number: int) -> str:
    """Return ``8 (O)`` for 8."""
    from ase.data import chemical_symbols

    symbol = chemical_symbols[number] if 0 <= number < len(chemical_symbols) else "?"
    return f"{number} ({symbol})"


def _by_number(energies: Mapping[str, float] | Mapping[int, float]) -> dict[int, float]:
    """Return energies by atomic number in rising order."""
    result = {atomic_number(key): float(value) for key, value in energies.items()}
    return dict(sorted(result.items()))
