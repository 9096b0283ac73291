"""What a case is, and how it is timed: contenders in turn, so that drift of the machine hits all of them."""

from __future__ import annotations

import enum
import gc
import math
import statistics
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Largest deviation, in units of the largest number, at which two programs count as doing the same work.
AGREEMENT = 1e-6
#: A timed sample repeats what is faster than this, in seconds, or than a tenth of what the slowest contender takes (up
#: to a limit), so that a sample is not ruled by the caches that a slow one leaves behind.
SHORTEST_SAMPLE, LONGEST_BATCH = 4e-3, 0.2
MOST_SAMPLES = 400
#: What takes several times the budget gets fewer samples than wanted.
SLOW, FEWEST_OF_SLOW = 4.0, 3


class Tier(enum.IntEnum):
    """How much time a run may take; a case belongs to the shortest run that it is part of."""

    QUICK = 0
    DEFAULT = 1
    FULL = 2


#: Seconds that are spent on the samples of one case, and the fewest samples that are taken of a contender.
BUDGET = {Tier.QUICK: (1.5, 5), Tier.DEFAULT: (6.0, 7), Tier.FULL: (10.0, 9)}


@dataclass(frozen=True, slots=True)
class Target:
    """Bounds on the ratio peer / orbas."""

    low: float
    high: float = math.inf

    def __str__(self) -> str:
        return f">= {self.low:g}" if self.high == math.inf else f"{self.low:g} - {self.high:g}"

    def holds(self, ratio: float) -> bool:
        return self.low <= ratio <= self.high


@dataclass(frozen=True, slots=True)
class Contender:
    """One program at work.

    ``values`` gives numbers that are the same for every contender of a case that gives any, as a list of arrays: it is
    called once, untimed, and may look at a part of the work. ``before`` runs untimed before every sample.
    """

    run: Callable[[], object]
    items: int
    values: Callable[[], list[NDArray[np.float64]]] | None = None
    before: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Quoted:
    """What a peer cost once, in seconds per item: a reference from elsewhere that this run does not measure."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Peer:
    """A contender that is made when its case runs; ``make`` raises ImportError if it is not installed.

    ``note`` says what is not the same, for a peer whose numbers cannot be. With ``memory``, a bound on their ratio,
    peak memories are compared too; that of a quoted peer is ``quoted_memory``, in bytes per item.
    """

    name: str
    make: Callable[[], Contender | Quoted]
    target: Target | None = None
    note: str = ""
    memory: Target | None = None
    quoted_memory: float | None = None

    def of_memory(self) -> Peer:
        return replace(self, target=self.memory)


@dataclass(frozen=True, slots=True)
class Case:
    """Work of one size in one regime, done by orbas and by peers.

    ``unit`` is the cost that is printed: "µs/atom", "ns/pair", "ns/vector". ``patience`` multiplies the time budget,
    for ratios that are wanted precisely. ``clock`` is processor time where the peer's is a constant: contenders in
    turn share what else the machine does, a constant does not.
    """

    work: str
    size: str
    regime: str
    unit: str
    orbas: Callable[[], Contender]
    peers: tuple[Peer, ...]
    tier: Tier = Tier.QUICK
    patience: float = 1.0
    clock: Callable[[], float] = time.perf_counter

    @property
    def id(self) -> str:
        return "/".join(part.replace(" ", "-").replace(",", "") for part in (self.work, self.size, self.regime))

    def of_memory(self) -> Case:
        """The row of the table on peak memory."""
        return replace(self, work=f"peak memory, {self.work}", unit=f"kB/{self.unit.split('/')[1]}")


@dataclass(slots=True)
class Cost:
    """Samples of one contender in seconds per item, or in bytes per item."""

    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def quartiles(self) -> tuple[float, float]:
        return quartiles(self.samples)


@dataclass(slots=True)
class Comparison:
    """Orbas against one peer; ``peer_cost`` is None for a peer that was not timed, and ``problem`` says why."""

    case: Case
    peer: Peer
    cost: Cost | None = None
    peer_cost: Cost | None = None
    deviation: float | None = None
    problem: str = ""
    failed: bool = False

    @property
    def ratio(self) -> float | None:
        return self.peer_cost.median / self.cost.median if self.cost and self.peer_cost else None

    def ratio_quartiles(self) -> tuple[float, float] | None:
        """Quartiles of the ratios of neighboring samples: how far this run can be trusted."""
        if not self.cost or not self.peer_cost:
            return None
        theirs = self.peer_cost.samples
        if len(theirs) == 1:  # quoted, or measured once
            theirs = theirs * len(self.cost.samples)
        return quartiles([b / a for a, b in zip(self.cost.samples, theirs, strict=True)])

    @property
    def reached(self) -> bool | None:
        return None if self.peer.target is None or self.ratio is None else self.peer.target.holds(self.ratio)


def quartiles(samples: list[float]) -> tuple[float, float]:
    if len(samples) < 2:
        return samples[0], samples[0]
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, high


def compare(case: Case, tier: Tier) -> list[Comparison]:
    """Check that the peers of a case give the same numbers, then time those that do."""
    ours = case.orbas()
    comparisons = [Comparison(case, peer) for peer in case.peers]
    reference, timed = None, []
    for comparison in comparisons:
        try:
            contender = comparison.peer.make()
        except ImportError as error:
            comparison.problem = f"missing: {error.name or error}"
            continue
        if isinstance(contender, Quoted):
            comparison.peer_cost = Cost([contender.seconds])
            continue
        if ours.values is not None and contender.values is not None:
            reference = ours.values() if reference is None else reference
            comparison.deviation = deviation(reference, contender.values())
            if not comparison.deviation <= AGREEMENT:
                comparison.problem = f"not timed: numbers differ by {comparison.deviation:.0e}"
                comparison.failed = True
                continue
        timed.append((comparison, contender))
    del reference
    quoted = [comparison for comparison in comparisons if comparison.peer_cost is not None]
    if timed or quoted:
        contenders = [ours, *(contender for _, contender in timed)]
        cost, *costs = measure(contenders, tier, case.patience, case.clock)
        for comparison in quoted:
            comparison.cost = cost
        for (comparison, _), peer_cost in zip(timed, costs, strict=True):
            comparison.cost, comparison.peer_cost = cost, peer_cost
    return comparisons


def deviation(ours: list[NDArray[np.float64]], theirs: list[NDArray[np.float64]]) -> float:
    """Largest difference in units of the largest number, block by block."""
    if [a.shape for a in ours] != [b.shape for b in theirs]:
        return math.inf
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.abs(a - b).max(initial=0) / (np.abs(b).max(initial=0) or 1)) for a, b in pairs)


def measure(
    contenders: list[Contender], tier: Tier, patience: float = 1.0, clock: Callable[[], float] = time.perf_counter
) -> list[Cost]:
    """Time contenders in turn, A B C A B C ..., as long as the budget lasts."""
    budget, fewest = BUDGET[tier]
    seconds = [warm_up(contender) for contender in contenders]
    shortest = max(SHORTEST_SAMPLE, min(LONGEST_BATCH, max(seconds) / 10))
    batches = [max(1, math.ceil(shortest / once)) for once in seconds]
    costs = [Cost() for _ in contenders]
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for taken in range(MOST_SAMPLES):
            spent = (time.perf_counter() - start) / (budget * patience)
            if (taken >= fewest and spent >= 1) or (taken >= FEWEST_OF_SLOW and spent >= SLOW):
                break
            for contender, batch, cost in zip(contenders, batches, costs, strict=True):
                cost.samples.append(sample(contender, batch, clock))
    finally:
        gc.enable()
    return costs


def warm_up(contender: Contender) -> float:
    """Run twice, or once if it is slow, and return the seconds of a run."""
    if contender.before is not None:
        contender.before()
    seconds = math.inf
    for _ in range(2):
        start = time.perf_counter()
        contender.run()
        seconds = min(seconds, time.perf_counter() - start)
        if seconds > 0.5:
            break
    return seconds


def sample(contender: Contender, batch: int, clock: Callable[[], float]) -> float:
    """Seconds per item of one timed batch."""
    if contender.before is not None:
        contender.before()
    start = clock()
    for _ in range(batch):
        contender.run()
    return (clock() - start) / (batch * contender.items)
