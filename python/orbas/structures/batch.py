"""ase structures to the arrays of the compiled core; shapes and dtypes are checked here, numbers in the core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas._core import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import IntArray


def as_frames(frames: Atoms | Iterable[Atoms]) -> list[Atoms]:
    """Return the list of structures that something holds, in their order; a single one is a list of one.

    Every public call begins with it. A list, a tuple, a generator, a trajectory of ase, an array of objects and a
    column of pandas, whatever its index, are taken by position.

    Raises
    ------
    TypeError
        For a dict, a table, a text or a path, and if something in it is not an ``ase.Atoms``; names its index.
    """
    if hasattr(frames, "get_atomic_numbers"):
        return [frames]  # type: ignore[list-item]
    kind = type(frames).__name__
    if isinstance(frames, str | bytes | PathLike):
        raise TypeError(f"expected structures, got the {kind} {str(frames)!r}: read it with orbas.read")
    if isinstance(frames, Mapping) or hasattr(frames, "columns"):
        raise TypeError(f"expected structures, got a {kind}: give a list of them, or the column that holds them")
    try:
        listed = list(np.ravel(frames)) if isinstance(frames, np.ndarray) and frames.dtype == object else list(frames)
    except TypeError as error:
        if hasattr(frames, "__iter__") or hasattr(frames, "__getitem__"):
            raise  # of what it holds, not of what it is
        raise TypeError(f"expected an ase.Atoms or a list of them, got a {kind}") from error
    for index, frame in enumerate(listed):
        if not hasattr(frame, "get_atomic_numbers"):
            raise TypeError(f"structure {index} is a {type(frame).__name__}; expected ase.Atoms")
    return listed


def _checked(name: str, index: int, value: Any, shape: tuple[int, ...]) -> Any:
    if value.shape != shape or value.dtype.kind not in "fiu":
        raise ValueError(
            f"structure {index}: {name} must be a real array of the shape {shape}, "
            f"got {value.dtype} of the shape {value.shape}"
        )
    return value


def to_batch(frames: Sequence[Atoms]) -> Batch:
    """Gather structures into one checked batch.

    Raises
    ------
    ValueError
        For positions, cells or species that are not finite, not spanning or of a wrong shape; the message names
        the structure and the atom.
    """
    positions, numbers, cells, pbc, counts = [], [], [], [], [0]
    for index, frame in enumerate(frames):
        arrays = frame.arrays
        count = len(arrays["numbers"])
        positions.append(_checked("positions", index, arrays["positions"], (count, 3)))
        numbers.append(arrays["numbers"])
        cells.append(_checked("cell", index, frame.cell.array, (3, 3)))
        pbc.append(frame.pbc)
        counts.append(count)
    return Batch(
        np.ascontiguousarray(np.concatenate(positions or [np.zeros((0, 3))]), dtype=np.float64),
        np.concatenate(numbers or [np.zeros(0)]).astype(np.int32),
        np.cumsum(counts, dtype=np.int64),
        np.array(cells, dtype=np.float64).reshape(-1, 3, 3),
        np.array(pbc, dtype=bool).reshape(-1, 3),
    )


def atomic_numbers(frames: Sequence[Atoms]) -> IntArray:
    """Atomic numbers of all atoms of all structures, [atom]."""
    return np.concatenate([np.zeros(0, np.int64), *(frame.arrays["numbers"] for frame in frames)]).astype(np.int64)


def samples_of(frames: Sequence[Atoms]) -> IntArray:
    """(structure, atom) of all atoms of all structures, [atom, 2]."""
    counts = np.array([len(frame) for frame in frames], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    structure = np.repeat(np.arange(counts.size), counts)
    return np.stack([structure, np.arange(structure.size) - np.repeat(starts, counts)], axis=1)


def species_of(frames: Sequence[Atoms]) -> tuple[int, ...]:
    """Sorted atomic numbers that occur."""
    return tuple(int(number) for number in np.unique(atomic_numbers(frames)))
