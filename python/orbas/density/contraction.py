"""Which combination of primitive functions every channel is, for every center and neighbor species.

A primitive basis, a basis contracted per species and one mixed over species differ only here; the tables, the
kernel and the output arrays know nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.bases import PrimitiveBasis
from orbas.files.stored import stored
from orbas.structures.species import check_rising

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbas.base.types import FloatArray

_MOST_DEGREE = 40


@stored("Channels")
@dataclass(frozen=True, slots=True)
class Channels:
    """Channels that the neighbors of one species fill at one degree: ``first .. first + matrix.shape[1]``.

    ``matrix`` [n_l, count] holds the primitive functions' coefficients.
    """

    first: int
    matrix: FloatArray


@stored("CenterContraction")
@dataclass(frozen=True, slots=True)
class CenterContraction:
    """The contraction for one kind of center: ``blocks[a][l]`` for neighbor species a."""

    blocks: tuple[tuple[Channels, ...], ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of channels of every degree."""
        degrees = zip(*self.blocks, strict=True)
        return tuple(max(block.first + block.matrix.shape[1] for block in species) for species in degrees)


def primitive(counts: Sequence[int], n_species: int) -> CenterContraction:
    """Keep every function, species by species: channel ``a * n_l + n``."""
    return separate([[np.eye(n)] * n_species for n in counts])


def separate(matrices: Sequence[Sequence[FloatArray]]) -> CenterContraction:
    """Contract every species on its own (Eq. 9); ``matrices[l][a]`` [n_l, q_al], species after species."""
    degrees = []
    for by_species in matrices:
        sizes = [matrix.shape[1] for matrix in by_species]
        firsts = np.cumsum([0, *sizes[:-1]])
        degrees.append([Channels(int(first), matrix) for first, matrix in zip(firsts, by_species, strict=True)])
    return CenterContraction(tuple(zip(*degrees, strict=True)))


def combined(matrices: Sequence[FloatArray], n_species: int) -> CenterContraction:
    """Mix species and radial functions (Eq. 18); ``matrices[l]`` [n_species * n_l, q_l], species slowest."""
    degrees = [[Channels(0, part) for part in np.split(matrix, n_species)] for matrix in matrices]
    return CenterContraction(tuple(zip(*degrees, strict=True)))


@stored("ContractedBasis")
@dataclass(frozen=True, slots=True, eq=False)
class ContractedBasis:
    """An optimal basis, fitted: what :attr:`orbas.OptimalBasis.expansion_` expands on.

    Attributes
    ----------
    primitive
        The large basis it was made from.
    species
        Sorted atomic numbers; they order ``blocks`` and, with one contraction per center species, ``centers``.
    centers
        One contraction for all centers, or one per center species.
    """

    primitive: PrimitiveBasis
    species: tuple[int, ...]
    centers: tuple[CenterContraction, ...]

    @property
    def n_degrees(self) -> int:
        """Number of degrees l."""
        return len(self.centers[0].blocks[0])

    def __repr__(self) -> str:
        sizes = " | ".join(str(list(center.counts)) for center in self.centers)
        return f"ContractedBasis(channels per l: {sizes}, from {self.primitive!r})"

    def _check_restored(self) -> None:
        check_rising("species", self.species)
        if not isinstance(self.primitive, PrimitiveBasis) or not isinstance(self.centers, tuple):
            raise TypeError("it is not contracted from a primitive basis")
        if len(self.centers) not in (1, len(self.species)):
            raise ValueError(f"{len(self.centers)} kinds of centers for {len(self.species)} species")
        n_degrees = self.n_degrees
        if not 0 < n_degrees <= _MOST_DEGREE + 1:
            raise ValueError(f"{n_degrees} degrees")
        counts = self.primitive.counts(n_degrees - 1)
        for center in self.centers:
            sizes = [len(by_degree) for by_degree in center.blocks]
            if sizes != [n_degrees] * len(self.species):
                raise ValueError(f"blocks of {sizes} degrees for the neighbor species {self.species}")
            for l, n in enumerate(counts):
                _check_degree([by_degree[l] for by_degree in center.blocks], n)


def _check_degree(blocks: list[Channels], n_rows: int) -> None:
    """Check one degree: channels of all neighbor species begin together, or one after the other."""
    if any(block.matrix.ndim != 2 or block.matrix.shape[0] != n_rows for block in blocks):
        raise ValueError(f"a contraction of {[block.matrix.shape for block in blocks]}, not of {n_rows} functions")
    firsts, widths = [block.first for block in blocks], [block.matrix.shape[1] for block in blocks]
    together = firsts == [0] * len(blocks) and len(set(widths)) == 1
    if not together and firsts != np.cumsum([0, *widths[:-1]]).tolist():
        raise ValueError(f"channels begin at {firsts} and are {widths}")
