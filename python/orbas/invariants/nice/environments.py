"""The environments of a fit: density coefficients of an evenly spread subset, a chunk of structures at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from orbas import structures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms

    from orbas import _core
    from orbas.base.types import FloatArray, IntArray
    from orbas.density.expansion import DensityExpansion

#: Coefficients of a chunk, in bytes.
CHUNK_BYTES = 1 << 25

#: Coefficients kept between two passes, in bytes; beyond it every pass expands the density again.
KEPT_BYTES = 1 << 28


def pieces(frames: list[Atoms], counts: list[tuple[int, ...]]) -> Iterator[tuple[int, int]]:
    """Yield ranges of structures whose coefficients, of ``counts`` [center][l] channels, take a limited memory."""
    width = max(sum((2 * l + 1) * q for l, q in enumerate(center)) for center in counts)
    most = max(1, CHUNK_BYTES // (8 * max(1, width)))
    start = 0
    while start < len(frames):
        end, atoms = start, 0
        while end < len(frames) and (end == start or atoms + len(frames[end]) <= most):
            atoms += len(frames[end])
            end += 1
        yield start, end
        start = end


@contextmanager
def counted_from(start: int) -> Iterator[None]:
    """Tell what an error's index of a structure counts from."""
    try:
        yield
    except Exception as error:
        if start > 0:
            error.add_note(f"structures are counted from structure {start} of the list here")
        raise


def check_batch(plan: _core.DensityPlan, species: tuple[int, ...], frames: list[Atoms]) -> None:
    """Raise for bad structures and unknown species before any work."""
    batch = structures.to_batch(frames)
    if not np.isin(structures.atomic_numbers(frames), species).all():
        plan.density(batch)  # which raises, and knows the atom


def check_range(values: FloatArray, samples: IntArray) -> None:
    """Raise for features [sample, feature] beyond the range of single precision; samples are (structure, atom)."""
    lost = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(lost):
        structure, atom = samples[lost[0]]
        raise ValueError(
            f"features of atom {atom} of structure {structure} exceed single precision (3e38): use double "
            "precision, or scale the density"
        )


class Rows:
    """Packed density coefficients of the environments of one kind of center.

    Parameters
    ----------
    density
        The expansion.
    frames
        Structures.
    center
        Atomic number of the centers; None for all.
    n_environments
        Size of the subset; None for all. The k-th of n out of N environments is number ``k N // n``.
    """

    def __init__(
        self, density: DensityExpansion, frames: list[Atoms], center: int | None, n_environments: int | None
    ) -> None:
        numbers = structures.atomic_numbers(frames)
        found = np.arange(len(numbers)) if center is None else np.flatnonzero(numbers == center)
        n = len(found) if n_environments is None else min(n_environments, len(found))
        chosen = np.zeros(len(numbers), dtype=bool)
        chosen[found[np.arange(n) * len(found) // max(1, n)]] = True
        ends = np.cumsum([len(frame) for frame in frames], dtype=np.int64)[:-1]
        self.n_environments = n
        self._density = density
        self._frames = [
            (frame, part)
            for frame, part in zip(frames, np.split(chosen, ends) if frames else [], strict=True)
            if part.any()
        ]
        _, self._species = density.plan_for(frames)
        self._kept: list[FloatArray] | None = None

    def chunks(self) -> Iterator[FloatArray]:
        """Yield coefficients [environment, width]; every pass yields the same."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[FloatArray] | None = []
        size = 0
        for rows in self._expanded():
            size += rows.nbytes
            if size > KEPT_BYTES:
                kept = None
            if kept is not None:
                kept.append(rows)
            yield rows
        self._kept = kept

    def _expanded(self) -> Iterator[FloatArray]:
        frames = [frame for frame, _ in self._frames]
        for start, end in pieces(frames, self._density.channel_counts(self._species)):
            with counted_from(start):
                chunk = self._chunk(frames[start:end], start, end)
            yield chunk

    def _chunk(self, frames: list[Atoms], start: int, end: int) -> FloatArray:
        plan, _ = self._density.plan_for(frames)
        numbers = structures.atomic_numbers(frames)
        chosen = np.concatenate([part for _, part in self._frames[start:end]])
        arrays = plan.density(structures.to_batch(frames))
        rows = [
            array[chosen[numbers == number]]
            for array, number in zip(arrays, self._species, strict=True)
            if np.any(chosen & (numbers == number))
        ]
        return np.ascontiguousarray(np.concatenate(rows))
