"""Cost against accuracy: time per atom of the models of Fig. 7, and their error at the size of its upper panel.

Energies and forces of the same molecules on one thread, the best of some rounds in which all models take turns.
Errors are read from what `fig7_learning_qm9.py` wrote: run it before, with the same `--out` and size. Times differ from
machine to machine and stand in the table and the picture, not in the JSON.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import all_environments
import fig7_learning_qm9 as fig7
import numpy as np
import orbas
from common import NU_COLORS, columns, main, qm9

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms
    from common import Data
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Settings:
    """All numbers of a run; ``size`` is the run of Fig. 7 whose models are timed."""

    size: fig7.Settings = fig7.FULL
    n_molecules: int = 200
    n_rounds: int = 7


QUICK = Settings(size=fig7.QUICK, n_molecules=50, n_rounds=3)


def evaluator(representation: Any, frames: Sequence[Atoms]) -> Callable[[], Any]:
    """Return a call that evaluates energies and forces of a linear model; weights do not matter for its time."""
    parts = representation.orders if isinstance(representation, fig7.UpTo) else [representation]
    shapes = [(len(f.species), f.values.shape[1]) for f in (part.transform(frames[:1]) for part in parts)]
    weights = [np.full(shape, 1e-3) for shape in shapes]
    return lambda: [part.linear_energies(frames, own) for part, own in zip(parts, weights, strict=True)]


def models(chosen: fig7.Settings, train: Sequence[Atoms], frames: Sequence[Atoms]) -> list[Callable[[], Any]]:
    """Return the evaluation of every model of Fig. 7, in the order of ``fig7.models_of``."""
    calls = [
        evaluator(fig7.correlations(chosen, basis, nu, q, train), frames)
        for basis in ("GTO", "optimal")
        for nu, channels in chosen.channels
        for q in channels
    ]
    components = all_environments.Components.fit(fig7.kernel_spectrum(chosen, train), train, chosen.kernel)
    kernel = components.quadratic({species: np.eye(matrix.shape[1]) for species, matrix in components.matrices.items()})
    return [*calls, lambda: components.evaluate(kernel, frames)]


def compute(chosen: Settings, data: Data) -> dict[str, Any]:
    """Time all models in turns, and read their errors."""
    quick = chosen.size == fig7.QUICK
    path = data.out / f"fig7_learning_qm9{'_quick' if quick else ''}.json"
    if not path.exists():
        raise SystemExit(
            f"there is no {path}: run fig7_learning_qm9.py{' --quick' if quick else ''} with the same --out"
        )
    rows = fig7.models_of(json.loads(path.read_text())["result"])
    frames = qm9(chosen.size.n_basis + chosen.n_molecules)
    train, timed = frames[: chosen.size.n_basis], frames[chosen.size.n_basis :]
    calls = models(chosen.size, train, timed)
    times = np.empty((chosen.n_rounds + 1, len(calls)))
    for turn in times:
        for k, call in enumerate(calls):
            start = time.process_time()
            call()
            turn[k] = time.process_time() - start
    # The first round fills caches.
    return {"models": rows, "_microseconds": 1e6 * times[1:].min(axis=0) / sum(map(len, timed))}


def table(result: dict[str, Any]) -> str:
    """Return times and errors, the cheapest first."""
    rows = [
        [row["name"], microseconds, row["mae"]]
        for microseconds, row in sorted(
            zip(result["_microseconds"], result["models"], strict=True), key=lambda pair: pair[0]
        )
    ]
    return columns(["model", "µs/atom, energy and forces", "MAE, kcal/mol"], rows)


def draw(result: dict[str, Any], figure: Figure) -> None:
    """Draw errors against times, a point for each model."""
    figure.set_size_inches(6.4, 4.0)
    axes = figure.subplots()
    for microseconds, row in zip(result["_microseconds"], result["models"], strict=True):
        color = NU_COLORS.get(row["nu"], fig7.KERNEL_COLOR)
        marker = {"optimal": "o", "GTO": "s", "kernel": "D"}[row["basis"]]
        axes.loglog(microseconds, row["mae"], marker, color=color, mfc="white" if row["basis"] == "GTO" else color)
        style = {"textcoords": "offset points", "fontsize": 7}
        # Numbers of the two bases do not meet: above and below.
        beside, side = ((4, 3), "left") if row["basis"] == "GTO" else ((-4, -9), "right")
        axes.annotate(f"{row['q']}", (microseconds, row["mae"]), beside, ha=side, **style)
    for nu in sorted({row["nu"] for row in result["models"]} & set(NU_COLORS)):
        axes.plot([], [], "o", color=NU_COLORS[nu], label=rf"$\nu \leq {nu}$")
    axes.plot([], [], "D", color=fig7.KERNEL_COLOR, label="kernel")
    axes.plot([], [], "o", color="0.4", label="optimal basis")
    axes.plot([], [], "s", color="0.4", mfc="white", label="GTO")
    axes.set(xlabel="energy and forces, µs per atom (one thread)", title="numbers: channels $q$")
    fig7.finish(axes)


if __name__ == "__main__":
    orbas.set_num_threads(1)
    main(__file__, __doc__, QUICK, Settings(), compute, table, draw)
