"""Structures from files: read, taken in pieces, and named by file and place when something is wrong."""

from __future__ import annotations

import gzip
import io
import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ase import Atoms

    from orbas.cli.console import Console

_LOG = logging.getLogger("orbas")
#: About this many atoms are worked on at once.
CHUNK_ATOMS = 4096


@dataclass(frozen=True, slots=True)
class Structures:
    """The structures of some files, one after the other.

    Attributes
    ----------
    frames
        All structures.
    places
        File and index in it of every structure.
    """

    frames: list[Atoms]
    places: list[tuple[Path, int]]

    @property
    def files(self) -> list[str]:
        """Names of the files that have structures."""
        return [str(path) for path in dict.fromkeys(path for path, _ in self.places)]

    @property
    def summary(self) -> str:
        """Counts and species, for people."""
        n_atoms = sum(map(len, self.frames))
        return f"{len(self.frames):,} structures, {n_atoms:,} atoms of {symbols(self.species)}"

    @property
    def species(self) -> tuple[int, ...]:
        """Sorted atomic numbers that occur."""
        from orbas.structures.batch import species_of

        return species_of(self.frames)

    def chunks(self, console: Console, what: str) -> Iterator[tuple[int, list[Atoms]]]:
        """Yield (index of the first structure, structures), whole ones of about CHUNK_ATOMS atoms, with progress."""
        with console.progress(len(self.frames), what, "structure") as bar:
            start, atoms = 0, 0
            for index, frame in enumerate(self.frames):
                atoms += len(frame)
                if atoms >= CHUNK_ATOMS or index + 1 == len(self.frames):
                    yield start, self.frames[start : index + 1]
                    bar.update(index + 1 - start)
                    start, atoms = index + 1, 0

    @contextmanager
    def locating(self, start: int) -> Iterator[None]:
        """Let errors about the structures from ``start`` on name file and place instead of the index in the piece."""

        def place(match: re.Match[str]) -> str:
            path, index = self.places[start + int(match[1])]
            return f"{path}, structure {index}"

        try:
            yield
        except ValueError as error:
            raise ValueError(re.sub(r"\bstructure (\d+)", place, str(error), count=1)) from error


def read_structures(paths: Sequence[Path], console: Console, **options: Any) -> Structures:
    """Read extended XYZ files; ``options`` are those of :func:`orbas.read`, which names labels ``REF_energy`` etc.

    Files whose labels have other names, some with ``REF_`` and some without, are a warning.

    Raises
    ------
    ValueError
        If a structure cannot be used; names file and structure.
    OSError
        If a file cannot be read.
    """
    from orbas.structures.io import read_file
    from orbas.structures.label_table import REFERENCE, LabelKeys, LabelKind

    named = LabelKeys(*(options.pop(kind.option, None) for kind in LabelKind))
    twice = [path for k, path in enumerate(paths) if path.resolve() in {other.resolve() for other in paths[:k]}]
    if twice:
        _LOG.warning("%s: given twice, so that each of its structures counts twice", twice[0])
    frames: list[Atoms] = []
    places: list[tuple[Path, int]] = []
    sources: dict[bool, Path] = {}
    with console.progress(len(paths), "reading", "file") as bar:
        for path in paths:
            found = read_file(path, named, **options)
            frames += found.frames
            places += [(path, number) for number in found.numbers]
            for kind in LabelKind:
                if (key := found.keys.of(kind)) is not None and named.of(kind) is None:
                    sources.setdefault(key.startswith(REFERENCE), path)
            bar.update()
    if len(sources) > 1:
        _LOG.warning(
            "labels of %s have names with %s, those of %s have not: are they of one source? name them (energy_key)",
            sources[True], REFERENCE, sources[False],
        )  # fmt: skip
    return Structures(frames, places)


def check_geometry(found: Structures, console: Console) -> None:
    """Raise ValueError, with file and structure, for a structure that nothing can be computed of."""
    from orbas.bases import GTO
    from orbas.density.expansion import DensityExpansion
    from orbas.density.weight import Cutoff

    # Of all expansions the quickest: what it accepts, others do.
    probe = DensityExpansion(cutoff=Cutoff(1.0), density_width=0.5, max_angular=0, basis=GTO(1), species=found.species)
    for start, frames in found.chunks(console, "checking"):
        with found.locating(start):
            probe.transform(frames)


def write_structures(frames: Sequence[Atoms], path: Path) -> None:
    """Write extended XYZ, packed if the name ends in ``.gz``; the file appears whole or not at all."""
    from ase.io.extxyz import write_extxyz

    from orbas.files.outputs import is_packed
    from orbas.files.replacing import replacing

    text = io.StringIO()
    write_extxyz(text, frames)
    content = text.getvalue().encode()
    with replacing(path) as file:
        file.write(gzip.compress(content) if is_packed(path) else content)


def symbols(species: Sequence[int]) -> str:
    """Return ``H, C, O``."""
    from orbas.structures import species as names

    return ", ".join(map(names.symbol, species))


def symbol(number: Any) -> str:
    """Return ``C`` for 6."""
    return symbols([int(number)])
