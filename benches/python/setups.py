"""Structures and settings of the cases, and the same settings in the words of every program."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ase.build
import numpy as np
import orbas

if TYPE_CHECKING:
    from numpy.typing import NDArray

QM9_SPECIES = (1, 6, 7, 8, 9)


@functools.cache
def silicon(n_atoms: int) -> ase.Atoms:
    """Rattled diamond, 8 k³ atoms: 42.7 neighbors within 6 Å."""
    side = round((n_atoms / 8) ** (1 / 3))
    if 8 * side**3 != n_atoms:
        raise ValueError(f"{n_atoms} atoms do not fill a cube of diamond cells")
    atoms: ase.Atoms = ase.build.bulk("Si", "diamond", a=5.43, cubic=True) * (side, side, side)
    atoms.rattle(0.1, seed=0)
    return atoms


@functools.cache
def molecules(n: int) -> list[ase.Atoms]:
    """Molecules of QM9, 18 atoms on average; fewer are the first of more."""
    return orbas.datasets.qm9(n)


def count_atoms(frames: list[ase.Atoms]) -> int:
    return sum(map(len, frames))


@dataclass(frozen=True, slots=True)
class Setup:
    """Settings of a density expansion that orbas, featomic, dscribe and quippy all have."""

    n_radial: int
    max_angular: int
    species: tuple[int, ...]
    radius: float = 6.0
    smoothing_width: float = 0.5
    density_width: float = 0.5

    def density(self, basis: Any = None) -> orbas.DensityExpansion:
        return orbas.DensityExpansion(
            cutoff=orbas.Cutoff(radius=self.radius, width=self.smoothing_width),
            density_width=self.density_width,
            max_angular=self.max_angular,
            basis=orbas.bases.GTO(self.n_radial) if basis is None else basis,
            species=self.species,
        )

    def featomic(self) -> dict[str, Any]:
        return {
            "cutoff": {"radius": self.radius, "smoothing": {"type": "ShiftedCosine", "width": self.smoothing_width}},
            "density": {"type": "Gaussian", "width": self.density_width},
            "basis": {
                "type": "TensorProduct",
                "max_angular": self.max_angular,
                "radial": {"type": "Gto", "max_radial": self.n_radial - 1},
            },
        }

    def dscribe(self) -> dict[str, Any]:
        return {
            "r_cut": self.radius,
            "n_max": self.n_radial,
            "l_max": self.max_angular,
            "sigma": self.density_width,
            "species": list(self.species),
            "periodic": True,
        }

    def quippy(self) -> str:
        numbers = " ".join(map(str, self.species))
        return (
            f"soap cutoff={self.radius} cutoff_transition_width={self.smoothing_width} n_max={self.n_radial} "
            f"l_max={self.max_angular} atom_sigma={self.density_width} n_Z={len(self.species)} Z={{{numbers}}} "
            f"n_species={len(self.species)} species_Z={{{numbers}}}"
        )


def by_degree(blocks: orbas.EquivariantBlocks, frames: list[ase.Atoms]) -> list[NDArray[np.float64]]:
    """Blocks of orbas as one array [atom, m, q] for every l."""
    starts = np.cumsum([0, *map(len, frames)])
    result: dict[int, NDArray[np.float64]] = {}
    for key, block in blocks.items():
        rows = starts[block.samples[:, 0]] + block.samples[:, 1]
        degree = result.setdefault(key.o3_lambda, np.zeros((starts[-1], *block.values.shape[1:])))
        degree[rows] = block.values
    return [result[l] for l in sorted(result)]


def featomic_by_degree(blocks: Any, frames: list[ase.Atoms], setup: Setup) -> list[NDArray[np.float64]]:
    """Coefficients of featomic, whose Gaussian is normalized, in the order of orbas and for Gaussians of peak 1."""
    starts = np.cumsum([0, *map(len, frames)])
    n, width = setup.n_radial, setup.n_radial * len(setup.species)
    result = [np.zeros((starts[-1], 2 * l + 1, width)) for l in range(setup.max_angular + 1)]
    for key, block in blocks.items():
        a = setup.species.index(key["neighbor_type"])
        rows = starts[np.asarray(block.samples["system"])] + np.asarray(block.samples["atom"])
        scaled = (np.pi * setup.density_width**2) ** 0.75 * block.values
        result[int(key["o3_lambda"])][rows, :, a * n : (a + 1) * n] = scaled
    return result
