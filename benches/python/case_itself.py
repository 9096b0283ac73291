"""Orbas against itself: what the optimal basis costs, what threads bring, how the cost grows with size."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import orbas
from case_expansion import N_MOLECULES, SILICON, combined_basis, crystal
from case_forces import MODEL, orbas_model, small_crystal
from harness import Case, Contender, Peer, Target, Tier
from setups import count_atoms, molecules, silicon

if TYPE_CHECKING:
    from collections.abc import Callable

    import ase

#: Largest growth of the cost per atom from 1,000 atoms on.
GROWTH = 1.15


def expand(density: orbas.DensityExpansion, frames: list[ase.Atoms]) -> Contender:
    return Contender(lambda: density.transform(frames), count_atoms(frames))


# --- an optimal basis of q functions against a primitive basis of q functions ---------------------------------------


def optimal() -> orbas.DensityExpansion:
    """GTO(20) contracted to 8 functions for every l."""
    primitive = SILICON.density(orbas.bases.GTO(20))
    return orbas.OptimalBasis(primitive, SILICON.n_radial).fit([silicon(216)]).expansion_


OPTIMAL_CASE = Case(
    work="optimal basis, GTO(20) to 8",
    size="Si-1000, q 8 l 6",
    regime="big cell",
    unit="µs/atom",
    orbas=lambda: expand(optimal(), crystal()),
    peers=(Peer("orbas, GTO(8)", lambda: expand(SILICON.density(), crystal()), Target(0.95, 1.05)),),
    patience=2.0,
)

# --- threads --------------------------------------------------------------------------------------------------------


def threaded(threads: int, contender: Contender) -> Contender:
    """The same work by so many threads."""
    small = SILICON.density()

    def before() -> None:
        """Let the pool start, untimed."""
        orbas.set_num_threads(threads)
        small.transform([silicon(216)])

    return replace(contender, values=None, before=before)


def thread_case(work: str, size: str, regime: str, one: Callable[[], Contender], tier: Tier = Tier.QUICK) -> Case:
    return Case(
        work=f"{work}, 2 threads",
        size=size,
        regime=regime,
        unit="µs/atom",
        orbas=lambda: threaded(2, one()),
        peers=(Peer("orbas, 1 thread", lambda: threaded(1, one()), Target(1.8)),),
        tier=tier,
    )


def crystal_by_threads(n_atoms: int, tier: Tier = Tier.QUICK) -> Case:
    size = f"Si-{n_atoms}, n 8 l 6"
    return thread_case("density values", size, "big cell", lambda: expand(SILICON.density(), [silicon(n_atoms)]), tier)


THREAD_CASES = (
    crystal_by_threads(1000),
    crystal_by_threads(8000, Tier.DEFAULT),
    thread_case(
        "density values",
        "QM9 x 1000, combined q 8 l 6",
        "molecules, 5 species",
        lambda: expand(combined_basis().expansion_, molecules(N_MOLECULES)),
    ),
    thread_case(MODEL, "Si-1000, n 8 l 6", "big cell", lambda: orbas_model(SILICON, crystal(), small_crystal())),
)

# --- size -----------------------------------------------------------------------------------------------------------


def size_case(n_atoms: int, tier: Tier) -> Case:
    return Case(
        work="cost per atom",
        size=f"Si-{n_atoms}, n 8 l 6",
        regime="big cell",
        unit="µs/atom",
        orbas=lambda: expand(SILICON.density(), [silicon(n_atoms)]),
        peers=(
            Peer(
                "orbas, Si-1000",
                lambda: expand(SILICON.density(), crystal()),
                Target(round(1 / GROWTH, 2)),
            ),
        ),
        tier=tier,
    )


CASES = (
    OPTIMAL_CASE,
    *(THREAD_CASES if (os.cpu_count() or 1) > 1 else ()),
    size_case(8000, Tier.QUICK),
    size_case(64_000, Tier.DEFAULT),
    size_case(1_000_000, Tier.FULL),
)
