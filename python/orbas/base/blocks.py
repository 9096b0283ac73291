"""What a transformer returns: equivariant blocks by symmetry, and flat invariant features."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from orbas.base.gradients import Gradients
    from orbas.base.types import FloatArray, IntArray


class BlockKey(NamedTuple):
    """The symmetry and the center species of one block."""

    nu: int
    o3_lambda: int
    o3_sigma: int
    center_species: int


@dataclass(frozen=True, slots=True)
class Block:
    """Values of one symmetry for all centers of one species.

    ``values`` has shape [n_samples, 2 * o3_lambda + 1, q] with m = -l..l; ``samples`` has shape [n_samples, 2]
    and holds (structure, atom) in rising order. ``gradients`` is None unless they were asked for.
    """

    values: FloatArray
    samples: IntArray
    gradients: Gradients | None = None


class EquivariantBlocks(Mapping[BlockKey, Block]):
    """A read-only mapping from (nu, o3_lambda, o3_sigma, center_species) to blocks [sample, m, q].

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(3)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> blocks = density.transform(orbas.datasets.silicon(n=1))
    >>> blocks[1, 1, 1, 14].values.shape[1:]
    (3, 3)
    """

    def __init__(self, blocks: dict[BlockKey, Block]) -> None:
        self._blocks = dict(blocks)

    def __getitem__(self, key: tuple[int, int, int, int]) -> Block:
        """Return one block; a plain 4-tuple serves as a key."""
        try:
            return self._blocks[BlockKey(*key)]
        except (KeyError, TypeError):
            known = ", ".join(str(tuple(k)) for k in self._blocks)
            raise KeyError(f"no block {key!r} (nu, o3_lambda, o3_sigma, center_species); there are: {known}") from None

    def __iter__(self) -> Iterator[BlockKey]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)

    def keys(self) -> KeysView[BlockKey]:
        """Block keys, ordered by o3_lambda, then center species.

        Examples
        --------
        >>> [tuple(key) for key in blocks.keys()]
        [(1, 0, 1, 14), (1, 1, 1, 14)]
        """
        return self._blocks.keys()

    def values(self) -> ValuesView[Block]:
        """Blocks in the order of the keys.

        Examples
        --------
        >>> [block.values.shape[1:] for block in blocks.values()]
        [(1, 3), (3, 3)]
        """
        return self._blocks.values()

    def items(self) -> ItemsView[BlockKey, Block]:
        """Pairs of key and block.

        Examples
        --------
        >>> {o3_lambda: block.values.shape[1] for (_, o3_lambda, _, _), block in blocks.items()}
        {0: 1, 1: 3}
        """
        return self._blocks.items()

    def __repr__(self) -> str:
        rows = [f"  {tuple(key)}: {block.values.shape}" for key, block in self._blocks.items()]
        return "\n".join(["EquivariantBlocks (nu, o3_lambda, o3_sigma, center_species): [sample, m, q]", *rows])


@dataclass(frozen=True, slots=True)
class Features:
    """Invariant features of every atomic environment.

    Attributes
    ----------
    values
        Shape [n_samples, n_features].
    samples
        Shape [n_samples, 2]: structure and atom of each row, in rising order.
    center_numbers
        Shape [n_samples]: atomic number of each center.
    species
        The sorted species the transformer knows; they order the columns of :meth:`per_structure`.
    n_structures
        Number of structures, those without atoms included.
    gradients
        Derivatives by the positions, samples as the rows of ``values``; None unless they were asked for.

    Examples
    --------
    >>> import ase.build
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> features = orbas.PowerSpectrum(density).transform([ase.build.molecule("CH4"), ase.build.molecule("H2O")])
    >>> features.values.shape, features.species
    ((8, 42), (1, 6, 8))
    >>> features.samples[4:6].tolist()
    [[0, 4], [1, 0]]
    """

    values: FloatArray
    samples: IntArray
    center_numbers: IntArray
    species: tuple[int, ...]
    n_structures: int
    gradients: Gradients | None = None

    def per_structure(self) -> FloatArray:
        """Sum the features of a structure separately for each center species.

        Returns
        -------
        Array of shape [n_structures, n_species * n_features]; species vary slowest.

        Examples
        --------
        >>> features.per_structure().shape  # 2 structures; 3 center species times 42 features
        (2, 126)
        """
        n_features = self.values.shape[1]
        summed = np.zeros((self.n_structures, len(self.species), n_features))
        starts = np.searchsorted(self.samples[:, 0], np.arange(self.n_structures + 1))
        for a, number in enumerate(self.species):
            rows = np.flatnonzero(self.center_numbers == number)
            if rows.size == 0:
                continue
            counts = np.searchsorted(rows, starts)
            filled = np.flatnonzero(np.diff(counts))
            summed[filled, a] = np.add.reduceat(self.values[rows], counts[filled], axis=0)
        return summed.reshape(self.n_structures, len(self.species) * n_features)
