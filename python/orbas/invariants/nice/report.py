"""How much of the norm an iteration kept, and what one will cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orbas.invariants.nice.selection import Symmetry, parity, reached

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orbas.invariants.nice.iteration import Contraction, Iteration
    from orbas.invariants.nice.limits import Limits

#: Multiply-adds per second of one core in matrix products, for estimates of time.
RATE = 2e10


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a fit and a transform will cost, from the settings alone.

    Pairs are taken to spread evenly over all symmetries, which is where the numbers are rough.

    Attributes
    ----------
    operations
        Multiply-adds of ``transform`` for one environment.
    plan_bytes
        Memory of the projections.
    fit_bytes
        Memory of the second moments of the largest order.
    fit_operations
        Multiply-adds of the whole fit.
    fit_seconds, transform_seconds
        The same on one core, the latter for the environments given.
    """

    operations: float
    plan_bytes: float
    fit_bytes: float
    fit_operations: float
    fit_seconds: float
    transform_seconds: float


def discarded(contractions: Sequence[Contraction]) -> dict[int, float]:
    """Return the fraction of the variance of expanded pairs that contraction discarded, by order."""
    fractions = {}
    for nu in sorted({c.nu for c in contractions}):
        of_order = [c for c in contractions if c.nu == nu]
        made = [c for c in of_order if not c.invariants] or of_order
        total, kept = sum(c.purified for c in made), sum(c.kept for c in made)
        fractions[nu] = max(0.0, 1.0 - kept / total) if total > 0 else 0.0
    return fractions


def table(iterations: Mapping[int | None, Iteration], density_residual: float | None) -> str:
    """Return what every contraction kept as a table, one row for every symmetry of every order."""
    lines = []
    for kind, iteration in iterations.items():
        if kind is not None:
            lines.append(f"center species {kind}")
        lines.append(f"{iteration.n_environments} environments; density channels per l: {list(iteration.channels)}")
        lines.append(" nu  lambda sigma   pairs  components    variance   discarded")
        for c in iteration.contractions:
            name = "  invariants" if c.invariants else f"{c.o3_lambda:8d}{c.o3_sigma:+4d}"
            row = f"{c.nu:3d}{name:12s}{c.n_pairs:10d}{c.n_components:12d}{c.variance:12.3e}{c.discarded:12.2e}"
            lines.append(row)
        retained = iteration.retained()
        for nu, fraction in discarded(iteration.contractions).items():
            text = f"nu = {nu}: contraction discards {fraction:.2e} of the variance"
            if nu in retained:
                text += f", {retained[nu]:.6f} of the norm is kept"
            if density_residual is not None and fraction > density_residual:
                text += f"; more than the density loses ({density_residual:.2e}): keep more components"
            lines.append(text)
    return "\n".join(lines)


def estimate(channels: Sequence[int], limits: Sequence[Limits], n_environments: int) -> Estimate:
    """Estimate the cost of an iteration on ``channels`` [l] for some environments."""
    below: dict[Symmetry, float] = {(l, 1): float(q) for l, q in enumerate(channels)}
    operations = plan_bytes = fit_bytes = fit_operations = 0.0
    for order in limits:
        halves = 0.5 if order.nu == 2 else 1.0
        outputs: dict[Symmetry, float] = {}
        for sign in (1, -1):
            pairs = {
                (l, s): halves * q * n for l, q in enumerate(channels) for s, n in below.items() if parity(l, s) == sign
            }
            total = sum(pairs.values())
            share = 1.0 if order.n_pairs is None or not total else min(1.0, order.n_pairs / total)
            for (l, second), n in pairs.items() if order.n_components != 0 else ():
                for symmetry in reached(l, second, order.max_lambda, order.signs):
                    outputs[symmetry] = outputs.get(symmetry, 0.0) + share * n
        available = halves * sum(q * below.get((l, 1), 0.0) for l, q in enumerate(channels))
        invariants = available if order.n_invariant_pairs is None else min(available, order.n_invariant_pairs)
        moments = 0.0
        shapes = [(n, 2 * s[0] + 1, order.n_components) for s, n in outputs.items()]
        for rows, n_m, wanted in (*shapes, (invariants, 1, order.n_invariants)):
            kept = rows if wanted is None else min(rows, wanted)
            contracted = kept < rows
            operations += n_m * (rows * kept if contracted else 4 * rows)
            if contracted:
                plan_bytes += 8 * rows * kept
                side = min(rows, n_environments * n_m)
                moments += 8 * side * max(side, rows)
                fit_operations += n_environments * n_m * rows * side / 2 + 4 * side**3
        fit_bytes = max(fit_bytes, moments)
        below = {s: n if order.n_components is None else min(n, order.n_components) for s, n in outputs.items()}
    fit_operations += len(limits) * n_environments * operations
    return Estimate(
        operations,
        plan_bytes,
        fit_bytes,
        fit_operations,
        fit_operations / RATE,
        n_environments * operations / RATE,
    )
