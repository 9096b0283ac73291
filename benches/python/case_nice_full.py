"""The iteration at the full size of the public settings "methane small": fit, memory, and transform in both precisions.

Part of ``--full`` only: the fit behind the transforms takes about a minute, and is measured four times where it is the
case itself.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

import orbas
from case_nice import UNIT, methane
from harness import Case, Contender, Peer, Quoted, Target, Tier
from orbas import structures
from orbas.invariants.nice import environments
from orbas.invariants.nice.iteration import Iteration

if TYPE_CHECKING:
    from collections.abc import Callable

HYDROGEN = 1
SPECIES = (1, 6)
N_MOLECULES = 600  # 2,400 hydrogens

#: The public code, measured once with two threads on a machine of this kind.
PUBLIC_TRANSFORM, PUBLIC_FIT, PUBLIC_MEMORY = 21.9e-3, 230.0, 14.7e9


@functools.cache
def settings() -> orbas.NICE:
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(6.3, 0.3),
        density_width=0.05,
        max_angular=5,
        basis=orbas.bases.GTO(5),
        species=SPECIES,
    )
    return orbas.NICE(
        density,
        nu_max=4,
        n_pairs=(1000, 3000, 1),
        n_components=(500, 500, 0),
        n_invariants=(None, 1000, 2000),
        n_invariant_pairs=(None, 5000, 5000),
        max_lambda=5,
        n_purify=(100, 100, 0),
    )


def fit_hydrogens() -> Iteration:
    """The public code was fitted on hydrogens alone, which a ``NICE`` of its own would do for all or each species."""
    nice, frames = settings(), methane(N_MOLECULES)
    rows = environments.Rows(nice.density, frames, HYDROGEN, None)
    channels = nice.density.channel_counts(SPECIES)[SPECIES.index(HYDROGEN)]
    return Iteration.fit(channels, nice.limits(), rows.chunks, rows.n_environments)


fitted = functools.cache(fit_hydrogens)


def transform(*, single_precision: bool) -> Contender:
    nice, frames, iteration = settings(), methane(N_MOLECULES // 2), fitted()
    plan, species = nice.density.plan_for(frames)

    def run() -> object:
        density = plan.density(structures.to_batch(frames))[species.index(HYDROGEN)]
        return iteration.plan.invariants(density, single_precision)

    return Contender(run, 4 * len(frames))


def fit() -> Contender:
    methane(N_MOLECULES)
    return Contender(fit_hydrogens, 1)


NOTE = "quoted at two threads: measured once on a machine of this kind, not in this run; numbers not compared"


def case(
    work: str,
    unit: str,
    contender: Callable[[], Contender],
    seconds: float,
    target: float,
    *,
    quoted_memory: float | None = None,
    clock: Callable[[], float] = time.process_time,
) -> Case:
    peer = Peer(
        "public NICE",
        lambda: Quoted(seconds),
        Target(target),
        NOTE if clock is time.perf_counter else f"{NOTE}; set against processor time of all threads of orbas",
        memory=None if quoted_memory is None else Target(10),
        quoted_memory=quoted_memory,
    )
    return Case(work, "methane small", "hydrogens of CH4", unit, contender, (peer,), Tier.FULL, clock=clock)


CASES = (
    case("NICE transform, nu <= 4", UNIT, lambda: transform(single_precision=False), PUBLIC_TRANSFORM, 4),
    case("NICE transform, nu <= 4, float32", UNIT, lambda: transform(single_precision=True), PUBLIC_TRANSFORM, 8),
    case("NICE fit, nu <= 4", "s/fit", fit, PUBLIC_FIT, 5, quoted_memory=PUBLIC_MEMORY, clock=time.perf_counter),
)
