"""Orbas against itself: what the optimal basis costs, what threads bring, how the cost grows with size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orbas
from case_expansion import N_MOLECULES, SILICON, combined_basis, crystal
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


def threaded(threads: int, density: Callable[[], orbas.DensityExpansion], frames: list[ase.Atoms]) -> Contender:
    expansion = density()

    def before() -> None:
        """Let the pool start, untimed."""
        orbas.set_num_threads(threads)
        expansion.transform(frames[:1])

    return Contender(lambda: expansion.transform(frames), count_atoms(frames), before=before)


def thread_case(
    size: str,
    regime: str,
    density: Callable[[], orbas.DensityExpansion],
    frames: Callable[[], list[ase.Atoms]],
    tier: Tier = Tier.QUICK,
) -> Case:
    return Case(
        work="density values, 2 threads",
        size=size,
        regime=regime,
        unit="µs/atom",
        orbas=lambda: threaded(2, density, frames()),
        peers=(Peer("orbas, 1 thread", lambda: threaded(1, density, frames()), Target(1.8)),),
        tier=tier,
    )


THREAD_CASES = (
    thread_case("Si-1000, n 8 l 6", "big cell", SILICON.density, crystal),
    thread_case("Si-8000, n 8 l 6", "big cell", SILICON.density, lambda: [silicon(8000)], Tier.DEFAULT),
    thread_case(
        "QM9 x 1000, combined q 8 l 6",
        "molecules, 5 species",
        lambda: combined_basis().expansion_,
        lambda: molecules(N_MOLECULES),
    ),
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
