"""The table of ratios, and the same as plain data for JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness import Comparison, Cost

SCALES = {"s": 1.0, "µs": 1e6, "ns": 1e9, "kB": 1e-3}
COLUMNS = "{:<37} {:<30} {:<28} {:>9} {:>9} {:<16} {:>9} {:>7} {:>15} {:>12} {:>4}  {}"


def header() -> str:
    names = ("work", "size", "regime", "unit", "orbas", "peer", "peer's", "ratio", "quartiles", "target", "", "numbers")
    line = COLUMNS.format(*names)
    return f"{line}\n{'-' * len(line)}"


def row(result: Comparison) -> str:
    """One line of the table; the last column says how far the numbers of the two agree."""
    case, peer = result.case, result.peer
    cells: list[str] = ["", "", "", ""]
    if result.ratio is not None:
        low, high = result.ratio_quartiles() or (math.nan, math.nan)
        cells = [*(cost_in(case.unit, c) for c in (result.cost, result.peer_cost)), number(result.ratio)]
        cells.append(f"{number(low)} - {number(high)}")
    verdict = {True: "yes", False: "NO", None: ""}[result.reached]
    numbers = result.problem or (f"{result.deviation:.0e}" if result.deviation is not None else peer.note and "other")
    return COLUMNS.format(
        case.work,
        case.size,
        case.regime,
        case.unit,
        cells[0],
        peer.name,
        *cells[1:],
        str(peer.target or ""),
        verdict,
        numbers,
    ).rstrip()


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value >= 10 else f"{value:.2f}"


def cost_in(unit: str, cost: Cost | None) -> str:
    return "" if cost is None else number(cost.median * SCALES[unit.split("/")[0]])


def notes(results: list[Comparison]) -> list[str]:
    """What is not the same about a peer, once."""
    return list(dict.fromkeys(f"{result.peer.name}: {result.peer.note}" for result in results if result.peer.note))


def as_dict(result: Comparison) -> dict[str, Any]:
    case, peer = result.case, result.peer
    target = peer.target
    return {
        "id": case.id,
        "work": case.work,
        "size": case.size,
        "regime": case.regime,
        "unit": case.unit,
        "orbas": cost_dict(case.unit, result.cost),
        "peer": {"name": peer.name, "note": peer.note or None, **(cost_dict(case.unit, result.peer_cost) or {})},
        "ratio": result.ratio,
        "ratio_quartiles": result.ratio_quartiles(),
        "target": None if target is None else [target.low, None if math.isinf(target.high) else target.high],
        "reached": result.reached,
        "deviation": None if result.deviation is None or math.isinf(result.deviation) else result.deviation,
        "problem": result.problem or None,
    }


def cost_dict(unit: str, cost: Cost | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    scale = SCALES[unit.split("/")[0]]
    return {
        "median": cost.median * scale,
        "quartiles": [value * scale for value in cost.quartiles()],
        "samples": len(cost.samples),
    }
