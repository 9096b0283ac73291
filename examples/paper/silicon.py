"""What the regressions on silicon share: structures, folds, and errors of held-out predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from common import SEED, evenly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms
    from common import Data
    from orbas.models import Potential

ENERGY, FORCES = "REF_energy", "REF_forces"


@dataclass
class Errors:
    """Errors of held-out predictions, collected over folds: energies in eV/atom, forces in eV/Å."""

    energies: list[float] = field(default_factory=list)
    forces: list[np.ndarray] = field(default_factory=list)

    def add(self, model: Potential, frames: Sequence[Atoms]) -> None:
        """Predict structures the model has not seen; forces that vanish by symmetry are no test and do not count."""
        predicted = model.predict(frames)
        assert predicted.forces is not None
        for frame, energy, forces in zip(frames, predicted.energies, predicted.forces, strict=True):
            self.energies.append((energy - frame.info[ENERGY]) / len(frame))
            if np.abs(frame.arrays[FORCES]).max() > 1e-8:
                self.forces.append((forces - frame.arrays[FORCES]).ravel())

    def rmse(self) -> tuple[float, float]:
        """Return the root mean square errors of energies in meV/atom and of force components in eV/Å."""
        energy = float(np.sqrt(np.mean(np.square(self.energies))))
        return 1e3 * energy, float(np.sqrt(np.mean(np.concatenate(self.forces) ** 2)))


def structures(data: Data, name: str, n: int, window: float) -> list[Atoms]:
    """Return n structures at equal steps through a set, each once, up to an energy in eV/atom above the lowest.

    The energy leaves out isolated atoms and molecules that are pulled apart, where they are part of a set: their
    errors would be all that one sees. Copies, which would be learned in one fold and tested in another, are known by
    energy and volume.
    """
    frames = data.silicon(name)
    lowest = min(energy_per_atom(frame) for frame in frames)
    distinct = {}
    for frame in frames:
        if energy_per_atom(frame) < lowest + window:
            distinct.setdefault((round(energy_per_atom(frame), 6), round(frame.get_volume(), 3), len(frame)), frame)
    return evenly(list(distinct.values()), n)


def by_set(
    sets: Sequence[tuple[str, int]], data: Data, window: float, cross_validate: Callable[[list[Atoms]], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return what a cross-validation finds on every set, or on the complete GAP-18 alone if it was given."""
    results = {}
    for name, n in (("GAP-18", sets[0][1]),) if data.gap18 is not None else sets:
        frames = structures(data, name, n, window)
        print(f"{name}: {len(frames)} structures", flush=True)
        results[name] = cross_validate(frames)
    return results


def energy_per_atom(frame: Atoms) -> float:
    """Return the label in eV per atom."""
    return float(frame.info[ENERGY]) / len(frame)


def folds(frames: Sequence[Atoms], n: int) -> list[np.ndarray]:
    """Return the members of every fold.

    Structures of one ``config_type`` stay together, the largest types first, each in the fold with the fewest atoms;
    with fewer types than folds structures are dealt in random order.
    """
    kinds = np.array([str(frame.info.get("config_type")) for frame in frames])
    atoms = {kind: sum(len(frames[k]) for k in np.flatnonzero(kinds == kind)) for kind in sorted(set(kinds.tolist()))}
    if len(atoms) < n:
        return [np.sort(part) for part in np.array_split(np.random.default_rng(SEED).permutation(len(frames)), n)]
    sizes, members = np.zeros(n, dtype=int), [np.zeros(0, dtype=int) for _ in range(n)]
    for kind in sorted(atoms, key=lambda kind: -atoms[kind]):
        smallest = int(np.argmin(sizes))
        sizes[smallest] += atoms[kind]
        members[smallest] = np.append(members[smallest], np.flatnonzero(kinds == kind))
    return [np.sort(part) for part in members]


def split(frames: Sequence[Atoms], test: np.ndarray) -> tuple[list[Atoms], list[Atoms]]:
    """Return training and held-out structures."""
    held_out = set(test.tolist())
    return [frame for k, frame in enumerate(frames) if k not in held_out], [frames[k] for k in test]
