"""What training structures cover: compositions, species, neighbors; and what therefore is not known of others."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from orbas.files.stored import is_integer, is_number, stored
from orbas.fit.baseline import count_species
from orbas.fit.findings import Finding, Topic, by_config, listed
from orbas.structures.species import check_rising

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from orbas.base.types import FloatArray, IntArray
    from orbas.structures.io import Labels

#: A species seen in fewer environments than this is rare.
HANDFUL = 5
#: Part of a composition outside the span of the training compositions that is taken for round-off.
_ROUND_OFF = 1e-6


class Unknown(enum.IntFlag):
    """What a model does not know of a structure; 0 for nothing.

    ``COMPOSITION``: it is outside the span of the training compositions, and no energies of atoms were given, so that
    its energy is known up to a constant only. ``NO_NEIGHBORS``: an atom has no neighbor within the cutoff, and no such
    atom of its species was trained on. ``RARE_SPECIES``: a species was seen in fewer than five environments.

    Examples
    --------
    >>> from orbas.models import Unknown
    >>> flags = Unknown.COMPOSITION | Unknown.RARE_SPECIES
    >>> int(flags), Unknown.NO_NEIGHBORS in flags
    (5, False)
    """

    COMPOSITION = 1
    NO_NEIGHBORS = 2
    RARE_SPECIES = 4


_TEXTS = {
    Unknown.COMPOSITION: (
        Topic.COMPOSITION,
        "a composition outside the span of those of the training structures, which do not determine the energy of each "
        "species: energies are known up to a constant only; train on other compositions or isolated atoms, or give "
        "baseline={{symbol: eV}}",
    ),
    Unknown.NO_NEIGHBORS: (
        Topic.NO_NEIGHBORS,
        "atoms without any neighbor within the cutoff ({cutoff} Å), of a kind that was not trained on: no force on "
        "them, and their energy is a guess",
    ),
    Unknown.RARE_SPECIES: (
        Topic.RARE_SPECIES,
        f"species that were seen in fewer than {HANDFUL} training environments ({{rare}}): energies and forces of them "
        "are guesses",
    ),
}


@stored("Coverage")
@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """What a training set covers.

    Attributes
    ----------
    species
        Sorted atomic numbers of the training structures.
    environments
        Number of training atoms with neighbors, by species.
    lonely
        Number of training atoms without, by species.
    compositions
        Orthonormal rows that span the counts of species of the training structures, [rank, n_species]; the identity
        if energies of atoms were given.
    cutoff
        In Å; None if it is not known.

    Examples
    --------
    >>> import ase.build
    >>> import numpy as np
    >>> import orbas
    >>> train = [ase.build.molecule("H2O") for _ in range(5)]
    >>> alone = [np.zeros(3, dtype=bool) for _ in train]
    >>> known = np.ones(5, dtype=bool)
    >>> coverage = orbas.models.Coverage.of(train, (1, 8), 4.0, known, alone, energies_given=False)
    >>> coverage.environments, coverage.lonely
    ((10, 5), (0, 0))
    """

    species: tuple[int, ...]
    environments: tuple[int, ...]
    lonely: tuple[int, ...]
    compositions: FloatArray
    cutoff: float | None

    @classmethod
    def of(
        cls,
        frames: Sequence[Atoms],
        species: tuple[int, ...],
        cutoff: float | None,
        known: NDArray[np.bool_],
        alone: Sequence[NDArray[np.bool_]],
        *,
        energies_given: bool,
    ) -> Self:
        """Look at training structures.

        Parameters
        ----------
        frames
            Training structures.
        species
            Their sorted atomic numbers.
        cutoff
            Within which atoms are neighbors.
        known
            Of which structures the energy is known, [n_structures].
        alone
            Which atoms of each structure have no neighbor, from :func:`without_neighbors`.
        energies_given
            Whether the energies of atoms were given, so that compositions need not determine them.

        Examples
        --------
        >>> given = orbas.models.Coverage.of(train, (1, 8), 4.0, known, alone, energies_given=True)
        >>> coverage.compositions.shape, given.compositions.shape
        ((1, 2), (2, 2))
        """
        counts = count_species(frames, species)
        lonely = np.zeros(256, dtype=np.int64)
        for frame, mask in zip(frames, alone, strict=True):
            lonely += np.bincount(frame.numbers[mask], minlength=256)
        if energies_given:
            span = np.eye(len(species))
        else:
            shares = np.unique(counts[known] / np.maximum(counts[known].sum(axis=1, keepdims=True), 1.0), axis=0)
            _, sizes, rows = np.linalg.svd(shares)
            span = rows[: int(np.sum(sizes > _ROUND_OFF * max(sizes.max(initial=0.0), 1.0)))]
        seen = counts.sum(axis=0) - lonely[list(species)]
        return cls(species, tuple(map(int, seen)), tuple(map(int, lonely[list(species)])), span, cutoff)

    @property
    def rare(self) -> tuple[int, ...]:
        """Species seen in fewer than a handful of environments.

        Examples
        --------
        >>> few = orbas.models.Coverage.of(train[:1], (1, 8), 4.0, known[:1], alone[:1], energies_given=True)
        >>> coverage.rare, few.rare
        ((), (1, 8))
        """
        return tuple(number for number, count in zip(self.species, self.environments, strict=True) if count < HANDFUL)

    def unknown(self, frames: Sequence[Atoms], forces: Sequence[FloatArray] | None = None) -> IntArray:
        """Return the flags :class:`Unknown` of structures, [n_structures].

        Parameters
        ----------
        frames
            Structures of known species.
        forces
            What a model predicts: neighbors are searched only where one is exactly zero, as it is without them.

        Examples
        --------
        >>> flags = coverage.unknown([ase.build.molecule("H2O"), ase.build.molecule("H2")])
        >>> flags.tolist(), orbas.models.Unknown(int(flags[1])).name
        ([0, 1], 'COMPOSITION')
        """
        counts = count_species(frames, self.species)
        sizes = np.maximum(np.linalg.norm(counts, axis=1), 1.0)
        outside = np.linalg.norm(counts - counts @ self.compositions.T @ self.compositions, axis=1)
        flags = np.where(outside > _ROUND_OFF * sizes, int(Unknown.COMPOSITION), 0)
        # Without an environment at all the baseline is right for single atoms: those are not rare.
        rare = self._table(lambda count, lonely: count < HANDFUL and count + lonely < HANDFUL)
        untrained = self._table(lambda _, lonely: lonely == 0)
        for k, frame in enumerate(frames):
            numbers = frame.numbers
            if rare[numbers].any():
                flags[k] |= Unknown.RARE_SPECIES
            if self.cutoff is None or not untrained[numbers].any():
                continue
            if forces is not None and not ((forces[k] == 0).all(axis=1) & untrained[numbers]).any():
                continue
            if (without_neighbors(frame, self.cutoff) & untrained[numbers]).any():
                flags[k] |= Unknown.NO_NEIGHBORS
        return flags

    def findings(self, frames: Sequence[Atoms], flags: IntArray) -> list[Finding]:
        """Say what is unknown of structures, a finding for each reason.

        Examples
        --------
        >>> frames = [ase.build.molecule("H2O"), ase.build.molecule("H2")]
        >>> [finding] = coverage.findings(frames, coverage.unknown(frames))
        >>> finding.topic.name, finding.structures
        ('COMPOSITION', (1,))
        """
        from ase.data import chemical_symbols

        found = []
        rare = ", ".join(chemical_symbols[number] for number in self.rare)
        for reason, (topic, text) in _TEXTS.items():
            members = np.flatnonzero(flags & int(reason)).tolist()
            if members:
                what = text.format(cutoff=f"{self.cutoff or 0.0:g}", rare=rare)
                message = f"{len(members)} of {len(frames)} structures ({listed(members)}) have {what}"
                found.append(Finding(topic, tuple(members), message))
        return found

    def _table(self, holds: object) -> NDArray[np.bool_]:
        """Return for which atomic numbers a condition on both counts holds, [256]."""
        assert callable(holds)
        table = np.zeros(256, dtype=bool)
        for number, count, lonely in zip(self.species, self.environments, self.lonely, strict=True):
            table[number] = bool(holds(count, lonely))
        return table

    def _check_restored(self) -> None:
        check_rising("the species of a coverage", self.species)
        for counts in (self.environments, self.lonely):
            if len(counts) != len(self.species) or not all(is_integer(count) and count >= 0 for count in counts):
                raise ValueError("a coverage counts environments of every species")
        rows = self.compositions
        if not isinstance(rows, np.ndarray) or rows.dtype != np.float64 or rows.shape[1:] != (len(self.species),):
            raise ValueError(f"compositions must be float64 of {len(self.species)} columns")
        if self.cutoff is not None and not (is_number(self.cutoff) and self.cutoff > 0):
            raise ValueError(f"the cutoff must be a positive number, got {self.cutoff!r}")


def training_findings(frames: Sequence[Atoms], coverage: Coverage, alone: Sequence[NDArray[np.bool_]]) -> list[Finding]:
    """Say what training structures leave open: rare species, atoms without neighbors, compositions."""
    from ase.data import chemical_symbols

    findings = []
    holders = {number: [k for k, f in enumerate(frames) if number in f.numbers] for number in coverage.species}
    rare = [number for number in coverage.rare if _is_rare(coverage, number)]
    # A single structure among many says little of a species, however many atoms it has.
    rare += [n for n in holders if n not in rare and len(holders[n]) == 1 and len(frames) >= 2 * HANDFUL]
    rare = [number for number in rare if any(len(frames[k]) > 1 for k in holders[number])]
    if rare:
        members = sorted({k for number in rare for k in holders[number]})
        counts = dict(zip(coverage.species, coverage.environments, strict=True))
        text = ", ".join(f"{chemical_symbols[number]}: {counts[number]}" for number in rare)
        message = (
            f"species in fewer than {HANDFUL} environments with neighbors, or in one structure only ({text}; "
            f"{listed(members)}): too little to learn from"
        )
        findings.append(Finding(Topic.RARE_SPECIES, tuple(members), message))
    members = [k for k, frame in enumerate(frames) if len(frame) > 1 and alone[k].any()]
    n_atoms, lonely = sum(map(len, frames)), sum(coverage.lonely)
    if members:
        message = (
            f"{lonely} of {n_atoms} atoms have no neighbor within {coverage.cutoff:g} Å, in {len(members)} structures "
            f"({listed(members)}{by_config(frames, members)}): is the cutoff long enough, are lengths in Å?"
        )
        findings.append(Finding(Topic.NO_NEIGHBORS, tuple(members), message, is_warning=lonely > 0.2 * n_atoms))
    if len(coverage.compositions) < len(coverage.species):
        message = (
            "the compositions of the training structures do not determine the energy of each species: energies of "
            "other compositions are known up to a constant only, unless baseline={symbol: eV} is given"
        )
        findings.append(Finding(Topic.COMPOSITION, (), message, is_warning=False))
    return findings


def without_neighbors(frame: Atoms, cutoff: float | None) -> NDArray[np.bool_]:
    """Return which atoms have no neighbor, [n_atoms]; none if the cutoff is not known."""
    from orbas.structures.neighbors import neighbor_list

    if cutoff is None:
        return np.zeros(len(frame), dtype=bool)
    alone = np.ones(len(frame), dtype=bool)
    alone[neighbor_list("i", frame, cutoff)] = False
    return alone


def forces_without_neighbors(
    frames: Sequence[Atoms],
    labels: Labels,
    cutoff: float | None,
    alone: Sequence[NDArray[np.bool_]],
    least: float = 0.25,
) -> list[Finding]:
    """Say where atoms without neighbors have forces larger than ``least`` (eV/Å): no model can give them."""
    members, n_atoms, largest = [], 0, 0.0
    if labels.forces is None or cutoff is None:
        return []
    for k, (frame, own) in enumerate(zip(frames, labels.forces, strict=True)):
        if own is None or not len(frame):
            continue
        sizes = np.linalg.norm(np.nan_to_num(own[alone[k]]), axis=1)
        if (sizes > least).any():
            members.append(k)
            n_atoms += int((sizes > least).sum())
            largest = max(largest, float(sizes.max()))
    if not members:
        return []
    message = (
        f"{n_atoms} atoms without a neighbor within {cutoff:g} Å have forces, up to {largest:.3g} eV/Å, which no model "
        f"of this cutoff can give: {listed(members)}{by_config(frames, members)}"
    )
    return [Finding(Topic.NO_NEIGHBORS, tuple(members), message)]


def _is_rare(coverage: Coverage, number: int) -> bool:
    place = coverage.species.index(number)
    return coverage.environments[place] + coverage.lonely[place] < HANDFUL
