"""The design matrix of models whose row is a structure: features summed over its atoms by center species."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from orbas.base.fields import checked
from orbas.base.kinds import Integer
from orbas.base.process import default_errors
from orbas.base.progress import progress_bar
from orbas.fit.baseline import count_atoms
from orbas.structures.batch import as_frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.base.blocks import Features
    from orbas.base.energies import Energies
    from orbas.base.gradients import JacobianRows
    from orbas.base.types import FloatArray


class Representation(Protocol):
    """Anything with ``transform(frames) -> Features``, such as ``PowerSpectrum``.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> representation: orbas.models.Representation = orbas.PowerSpectrum(density)
    """

    def transform(self, frames: Sequence[Atoms], /) -> Features:
        """Return the invariant features of every atomic environment.

        Examples
        --------
        >>> representation.transform(orbas.datasets.silicon(n=2)).values.shape[1]
        6
        """
        ...


@runtime_checkable
class Differentiable(Representation, Protocol):
    """A representation with derivatives: what models with forces need."""

    def jacobian_rows(self, frames: Sequence[Atoms], /) -> Iterator[JacobianRows]:
        """Yield the derivatives of the features summed over one structure after the other."""
        ...

    def linear_energies(
        self, frames: Sequence[Atoms], weights: FloatArray, /, *, skin_list: SkinList | None = None
    ) -> Energies:
        """Evaluate a model that is linear in the features, with forces and virials."""
        ...


@runtime_checkable
class Sized(Protocol):
    """A representation that knows its width: what model files with it are checked by."""

    def n_features(self, species: tuple[int, ...], /) -> int:
        """Return the number of features of an atom for sorted species; raise ValueError if it is of others."""
        ...


class Design(Protocol):
    """What a model with weights is linear in: a row for every structure, and its derivatives.

    ``n_columns`` is the length of a row, hence the number of weights.
    """

    @property
    def n_columns(self) -> int:
        """Number of weights."""
        ...

    def atoms(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return the part of every atom in the row of its structure, [n_atoms, n_columns]."""
        ...

    def outside(self, rows: FloatArray) -> FloatArray:
        """Return the prior variance of atoms, relative to that of weights, which their rows do not hold, [n_atoms]."""
        ...

    def structures(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return the rows of structures, [n_structures, n_columns]."""
        ...

    def derivatives(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of the rows of one structure after the other."""
        ...


class LocalDesign(Design, Protocol):
    """A design that can be evaluated in pieces of a structure."""

    @property
    def n_numbers(self) -> int:
        """How many numbers are held for an atom while :meth:`atoms` makes its row, about: what pieces are cut by."""
        ...

    @property
    def cutoff(self) -> float | None:
        """How far an environment reaches, in Å; None if that is not known."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class StructureFeatures:
    """Features summed over the atoms of a structure.

    Attributes
    ----------
    values
        Shape [n_structures, n_species * n_features]; center species vary slowest.
    species
        The center species that order the columns.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=5)
    >>> features = orbas.models.structure_features(orbas.PowerSpectrum(density), frames)
    >>> features.values.shape, features.species
    ((5, 6), (14,))
    """

    values: FloatArray
    species: tuple[int, ...]

    def take(self, rows: Sequence[int] | np.ndarray) -> StructureFeatures:
        """Return the chosen structures.

        Examples
        --------
        >>> features.take([4, 0]).values.shape
        (2, 6)
        """
        return StructureFeatures(self.values[np.asarray(rows)], self.species)


@default_errors
def structure_features(
    representation: Representation, frames: Sequence[Atoms], *, chunk: int = 4096, progress: bool = False
) -> StructureFeatures:
    """Transform structures piece by piece and keep only the sums over each structure.

    Parameters
    ----------
    representation
        Gives :class:`orbas.Features`; its species must not depend on which structures it sees.
    frames
        Structures.
    chunk
        Number of atoms after which a piece ends (a structure is never cut): it bounds the memory, whether
        there are many small molecules or a few large cells.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError
        If there is no structure, ``chunk < 1``, the features of two pieces do not fit together, or a sum is
        not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> spectrum, frames = orbas.PowerSpectrum(density), orbas.datasets.silicon(n=5)
    >>> features = orbas.models.structure_features(spectrum, frames, chunk=32)
    >>> bool(np.allclose(features.values, spectrum.transform(frames).per_structure()))
    True
    """
    frames = as_frames(frames)
    if len(frames) == 0:
        raise ValueError("there are no structures to compute features of")
    chunk = checked(Integer(1, 2**53), "chunk", chunk)
    values: FloatArray | None = None
    species: tuple[int, ...] = ()
    with progress_bar(len(frames), "features", "structure", shown=progress) as bar:
        for start, stop in pieces(frames, chunk):
            with counted_from(start):
                features = representation.transform(frames[start:stop])
            summed = features.per_structure()
            if values is None:
                values, species = np.empty((len(frames), summed.shape[1])), features.species
            if summed.shape != (stop - start, values.shape[1]) or features.species != species:
                raise ValueError(
                    f"structures {start} to {stop - 1} gave features of shape {summed.shape} for species "
                    f"{features.species}, those before {values.shape[1]} columns for species {species}: "
                    "give the representation its species, or fit it, so that no structure decides on them"
                )
            bad = np.flatnonzero(~np.isfinite(summed).all(axis=1))
            if bad.size:
                raise ValueError(f"the features of structure {start + bad[0]} are not finite")
            values[start:stop] = summed
            bar.update(stop - start)
    assert values is not None
    return StructureFeatures(values, species)


@dataclass(frozen=True, slots=True, eq=False)
class LinearDesign:
    """Features summed over the centers of each species of a structure.

    Attributes
    ----------
    representation
        Gives the features.
    species
        Center species that order the columns, slowest.
    n_columns
        Number of species times number of features.
    """

    representation: Representation
    species: tuple[int, ...]
    n_columns: int

    @classmethod
    def of(cls, representation: Representation, frames: Sequence[Atoms]) -> LinearDesign:
        """Look at the features of one structure to learn species and columns."""
        features = representation.transform(frames[:1])
        return cls(representation, features.species, len(features.species) * features.values.shape[1])

    @property
    def n_numbers(self) -> int:
        """Numbers of a row, and of the features that it is made of."""
        return self.n_columns + self.n_columns // len(self.species)

    @property
    def cutoff(self) -> float | None:
        """That of the density; None for a representation of the user's own that has no ``density``."""
        cutoff = getattr(getattr(self.representation, "density", None), "cutoff", None)
        return None if cutoff is None else float(cutoff.radius)

    def atoms(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return the features of every atom in the columns of its species, [n_atoms, n_columns]."""
        features = self.representation.transform(frames)
        width = self.n_columns // len(self.species)
        rows = np.zeros((len(features.values), self.n_columns))
        for a, number in enumerate(self.species):
            own = features.center_numbers == number
            rows[own, a * width : (a + 1) * width] = features.values[own]
        return rows

    def outside(self, rows: FloatArray) -> FloatArray:
        """Return zeros, [n_atoms]: the model is what its columns are."""
        return np.zeros(len(rows))

    def structures(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return the summed features, [n_structures, n_columns]; raise ValueError if they are not those of the design.

        Only a representation that looks at the structures for its species or its width could do that.
        """
        features = self.representation.transform(frames)
        summed = features.per_structure()
        if features.species != self.species or summed.shape[1] != self.n_columns:
            raise ValueError(
                f"the representation gave {summed.shape[1]} columns for species {features.species}, the model has "
                f"{self.n_columns} columns for species {self.species}: give the representation its species, or fit it, "
                "so that no structure decides on them"
            )
        return summed

    def derivatives(self, frames: Sequence[Atoms]) -> Iterator[JacobianRows]:
        """Yield the derivatives of the summed features of one structure after the other."""
        if not isinstance(self.representation, Differentiable):
            raise TypeError(f"{type(self.representation).__name__} has no derivatives to fit forces with")
        return self.representation.jacobian_rows(frames)

    def energies(self, frames: Sequence[Atoms], weights: FloatArray) -> Energies:
        """Return energies, forces and virials of the model with weights [n_columns], from the compiled core."""
        if not isinstance(self.representation, Differentiable):
            raise TypeError(f"{type(self.representation).__name__} has no derivatives, hence no forces")
        return self.representation.linear_energies(frames, weights.reshape(len(self.species), -1))


@contextmanager
def counted_from(start: int) -> Iterator[None]:
    """Let an error that counts structures within a piece say where the piece begins."""
    try:
        yield
    except Exception as error:
        if start > 0:
            error.add_note(f"structures are counted from structure {start} of the list here")
        raise


def pieces(frames: Sequence[Atoms], chunk: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of structures that end as soon as they hold ``chunk`` atoms."""
    start, atoms = 0, 0
    for index, count in enumerate(count_atoms(frames).tolist()):
        atoms += count
        if atoms >= chunk:
            yield start, index + 1
            start, atoms = index + 1, 0
    if start < len(frames):
        yield start, len(frames)
