"""Make python/orbas/datasets/silicon.npz: silicon in many phases, labeled by ASE's Tersoff potential (ase >= 3.25).

The parameters are those of Tersoff, Phys. Rev. B 39, 5566 (1989), DOI 10.1103/PhysRevB.39.5566, Table I: diamond
with a = 5.432 Å, -4.630 eV/atom, C11 = 142 GPa, C12 = 75 GPa. Every random number is seeded, but another processor
may round the melt to other frames. Takes about a minute and a half on one core.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk, diamond100, diamond111, make_supercell
from ase.calculators.tersoff import Tersoff, TersoffParameters
from ase.md.verlet import VelocityVerlet
from ase.neighborlist import NeighborList
from orbas.datasets import _packed
from tqdm import tqdm

TARGET = Path(__file__).parents[1] / "python" / "orbas" / "datasets" / "silicon.npz"
LATTICE = 5.432  # Å, the minimum of the potential
TERSOFF = TersoffParameters(
    A=1830.8,  # eV
    B=471.18,  # eV
    lambda1=2.4799,  # 1/Å
    lambda2=1.7322,  # 1/Å
    lambda3=0.0,
    beta=1.1e-6,
    n=0.78734,
    c=1.0039e5,
    d=16.217,
    h=-0.59825,
    gamma=1.0,
    m=3.0,
    R=2.85,  # Å, half way between the published R = 2.7 and S = 3.0
    D=0.15,  # Å
)


class SiliconTersoff(Tersoff):
    """ASE's Tersoff with two repairs: a shorter neighbor list (its own holds pairs to 2 (R + D)), and bonds
    without a third atom, where the derivative of the bond order is multiplied by nothing but divides by zero.
    """

    def _update_nl(self, atoms: Atoms) -> None:
        radius = 0.5 * (TERSOFF.R + TERSOFF.D)
        self.nl = NeighborList([radius] * len(atoms), skin=0.0, self_interaction=False, bothways=True)
        self.nl.update(atoms)

    def _calc_bij_d(self, zeta: float, beta: float, n: float) -> float:
        return 0.0 if zeta == 0 else super()._calc_bij_d(zeta, beta, n)


def calculator() -> SiliconTersoff:
    return SiliconTersoff({("Si", "Si", "Si"): TERSOFF})


def distorted(atoms: Atoms, rng: np.random.Generator, strain: float, rattle: float) -> Atoms:
    """Apply a random symmetric strain and random displacements (Å), both normal with these deviations."""
    atoms = atoms.copy()
    random = rng.normal(scale=strain, size=(3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (random + random.T)), scale_atoms=True)
    atoms.positions += rng.normal(scale=rattle, size=(len(atoms), 3))
    return atoms


def crystals(rng: np.random.Generator) -> list[tuple[str, Atoms]]:
    """Diamond in several sizes, and phases whose lattice constants scatter around their minima."""
    primitive, cubic = bulk("Si", "diamond", a=LATTICE), bulk("Si", "diamond", a=LATTICE, cubic=True)
    fixed = [
        ("diamond", primitive, 24, 0.03, 0.05),
        ("diamond", cubic, 32, 0.02, 0.12),
        ("diamond", primitive * (2, 2, 2), 24, 0.02, 0.15),
        ("diamond", primitive * (4, 4, 2), 20, 0.01, 0.12),
        ("hexagonal_diamond", lonsdaleite(), 12, 0.02, 0.10),
        ("beta_tin", beta_tin(), 16, 0.03, 0.08),
        ("sc", bulk("Si", "sc", a=2.54) * (2, 2, 2), 12, 0.03, 0.08),
        ("bcc", bulk("Si", "bcc", a=3.08, cubic=True) * (2, 2, 1), 12, 0.03, 0.08),
        ("fcc", bulk("Si", "fcc", a=3.90, cubic=True), 12, 0.03, 0.08),
        ("hcp", bulk("Si", "hcp", a=2.75, c=4.50) * (2, 2, 1), 12, 0.03, 0.08),
    ]
    return [
        (name, distorted(atoms, rng, strain, rattle))
        for name, atoms, count, strain, rattle in fixed
        for _ in range(count)
    ]


def beta_tin() -> Atoms:
    a, c = 4.83, 2.65
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0, 0.5, 0.25), (0.5, 0, 0.75)]
    return Atoms("Si4", scaled_positions=sites, cell=[a, a, c], pbc=True)


def lonsdaleite() -> Atoms:
    a = LATTICE / np.sqrt(2)
    c = a * np.sqrt(8 / 3)
    sites = [(1 / 3, 2 / 3, 1 / 16), (2 / 3, 1 / 3, 9 / 16), (2 / 3, 1 / 3, 15 / 16), (1 / 3, 2 / 3, 7 / 16)]
    return Atoms("Si4", scaled_positions=sites, cell=[a, a, c, 90, 90, 120], pbc=True)


def shuffle111(symbol: str, size: tuple[int, int, int], **options: float) -> Atoms:
    """Cut (111) where each surface atom keeps three bonds; ASE's own cut leaves it with one."""
    slab = diamond111(symbol, size=(*size[:2], size[2] + 2), **options)
    heights = slab.positions[:, 2]
    return slab[(heights > heights.min() + 0.1) & (heights < heights.max() - 0.1)]


def defects(rng: np.random.Generator) -> list[tuple[str, Atoms]]:
    """Vacancies in 16- and 64-atom diamond, slabs with pbc T T F, and atoms alone or in pairs."""
    frames = []
    for cells, count in (((2, 2, 2), 12), ((4, 4, 2), 16)):
        for _ in range(count):
            atoms = distorted(bulk("Si", "diamond", a=LATTICE) * cells, rng, 0.01, 0.08)
            del atoms[rng.integers(len(atoms))]
            frames.append(("vacancy", atoms))
    for make, size, count in ((diamond100, (2, 2, 6), 18), (shuffle111, (2, 2, 6), 18)):
        for _ in range(count):
            slab = make("Si", size=size, a=LATTICE, vacuum=6.0)
            slab.pbc = (True, True, False)
            lateral = 1 + rng.normal(scale=0.01, size=2)
            slab.set_cell(slab.cell.array * [*lateral, 1.0], scale_atoms=True)
            slab.positions += rng.normal(scale=0.10, size=(len(slab), 3))
            frames.append(("surface", slab))
    box = [12.0, 12.0, 12.0]
    frames.append(("isolated_atom", Atoms("Si", positions=[[6, 6, 6]], cell=box, pbc=True)))
    for distance in (1.9, 2.1, 2.3, 2.6, 2.9):
        pair = Atoms("Si2", positions=[[5, 6, 6], [5 + distance, 6, 6]], cell=box, pbc=True)
        frames.append(("dimer", pair))
    return frames


def disordered(rng: np.random.Generator) -> list[tuple[str, Atoms]]:
    """Melt 32 and 64 atoms at several densities by molecular dynamics, momenta redrawn every 24 fs, then quench."""
    frames = []
    stages = [("liquid", 4000, 7), ("liquid", 2500, 3), ("quenched", 600, 5)]
    for shape, scale in itertools.product((np.diag([2, 2, 1]), np.diag([2, 2, 2])), (0.96, 1.0)):
        cubic = bulk("Si", "diamond", a=LATTICE * scale, cubic=True)
        atoms = distorted(make_supercell(cubic, shape), rng, 0.0, 0.25)
        atoms.calc = calculator()
        dynamics = VelocityVerlet(atoms, 2.0 * units.fs)
        for name, temperature, count in stages:
            spread = np.sqrt(atoms.get_masses()[:, None] * units.kB * temperature)
            for _ in range(count):
                atoms.set_momenta(spread * rng.normal(size=(len(atoms), 3)))
                dynamics.run(12)
                frames.append((name, Atoms("Si" * len(atoms), atoms.positions, cell=atoms.cell, pbc=True)))
    return frames


def pack(frames: list[tuple[str, Atoms]]) -> dict[str, np.ndarray]:
    calculators = [calculator() for _ in frames]
    for (_, atoms), calc in tqdm(list(zip(frames, calculators, strict=True)), desc="Tersoff"):
        atoms.wrap()
        atoms.calc = calc
        atoms.get_potential_energy()
    every = [atoms for _, atoms in frames]
    return {
        "offsets": _packed.offsets([len(atoms) for atoms in every]),
        "positions": np.concatenate([atoms.positions for atoms in every]),
        "cells": np.array([atoms.cell.array for atoms in every]),
        "pbc": np.array([atoms.pbc for atoms in every]),
        "energies": np.array([calc.results["energy"] for calc in calculators]),
        "forces": np.concatenate([calc.results["forces"] for calc in calculators]),
        "stress": np.array([calc.results["stress"] for calc in calculators]),
        "config_types": np.array([name for name, _ in frames]),
    }


def main() -> None:
    rng = np.random.default_rng(2024)
    arrays = pack(crystals(rng) + defects(rng) + disordered(rng))
    if not all(np.isfinite(a).all() for name, a in arrays.items() if name != "config_types"):
        raise ValueError("a label is not finite")
    np.savez_compressed(TARGET, **arrays)
    names, counts = np.unique(arrays["config_types"], return_counts=True)
    print(f"{TARGET}: {counts.sum()} structures, {TARGET.stat().st_size / 1e6:.2f} MB")
    print(", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True)))


if __name__ == "__main__":
    main()
