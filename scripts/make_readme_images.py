"""Make docs/images/*.png, the pictures of the README, from the package and the molecules it ships.

The numbers are those of `orbas demo`: the same functions compute them. Takes about 15 seconds on one core.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from orbas import datasets, neighbor_list
from orbas.cli import study

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes
    from orbas.cli.study import EnergyStudy
    from orbas.optimal.basis import OptimalBasis
    from orbas.plots import ResidualCurve

FOLDER = Path(__file__).parents[1] / "docs" / "images"
TARGET = 1e-4
BLACK, BLUE, RED = "0.15", "#2f6fb7", "#c8322b"
SPECIES_COLORS = {1: "0.55", 6: "0.1", 7: "#1f5fd6", 8: "#d62728", 9: "#2ca02c"}
DEGREE = 2
N_FUNCTIONS = 4
LABELS = (
    ("Gaussian functions\n(GTO)", BLACK),
    ("optimal, one per\nneighbor species", BLUE),
    None,
    ("optimal, species\nmixed", RED),
    ("... and made\nfor C centers", RED),
)


def new_figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_residuals(axes: Axes, curves: list[ResidualCurve]) -> None:
    """Draw the curves with their names beside them, and what each needs for the target below."""
    # Names stand at these places (channels, residual variance), clear of all curves.
    places = {0: (52, 4e-2), 1: (46.5, 2.4e-5), 3: (3.5, 2.8e-5), 4: (3.5, 3e-6)}
    axes.axhline(TARGET, color="0.75", lw=1, zorder=0)
    for index, (curve, label) in enumerate(zip(curves, LABELS, strict=True)):
        if label is None:
            continue
        text, color = label
        shown = curve.residual > 5e-7
        needed = study.channels_needed(curve, TARGET)
        axes.semilogy(
            curve.channels[shown], curve.residual[shown], color=color, ls="--" if curve.dashed else "-", lw=2.2
        )
        axes.text(*places[index], f"{text}: {needed}", color=color, fontsize=11.5, va="center", linespacing=1.25)
    axes.text(99, TARGET * 1.25, "0.01 % lost", color="0.5", fontsize=10, ha="right")
    axes.set(xlim=(0, 100), ylim=(8e-7, 1.2), xlabel="radial channels", ylabel="lost part of the density's variance")
    axes.set_title("Channels needed around a C atom", loc="left")


def draw_errors(axes: Axes, energies: EnergyStudy) -> None:
    """Draw the error of each energy model as a bar."""
    names = ["composition\nalone", "5 Gaussian\nfunctions", "5 optimal\nfunctions"]
    errors = [energies.baseline_mae, *(model.mae for model in energies.models)]
    bars = axes.bar(names, errors, color=["0.8", BLACK, RED], width=0.62)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=11.5)
    axes.set(ylabel="mean absolute error of U0 / (kcal/mol)", ylim=(0, 1.1 * max(errors)))
    axes.tick_params(axis="x", length=0)
    axes.set_title("Linear energy model, 90 features", loc="left")


def draw_distances(axes: Axes, frames: list[Atoms], radius: float) -> None:
    """Draw where the neighbors of each species are."""
    edges = np.arange(0.0, radius + 0.02, 0.04)
    for number in (6, 1, 8, 7):
        found = []
        for frame in frames:
            j, d = neighbor_list("jd", frame, radius)
            found.append(d[frame.numbers[j] == number])
        counts = np.histogram(np.concatenate(found), edges)[0]
        color = SPECIES_COLORS[number]
        axes.fill_between(edges[:-1], counts, step="post", color=color, alpha=0.25, lw=0)
        axes.step(edges[:-1], counts, where="post", color=color, lw=1, label=chemical_symbols[number])
    axes.set(yticks=[], ylim=(0, None))
    axes.spines.left.set_visible(False)
    axes.set_title("Neighbors by distance", loc="left")


def draw_function(axes: Axes, r: np.ndarray, functions: list[np.ndarray], species: tuple[int, ...], q: int) -> None:
    """Draw what the neighbors of each species see of one mixed function."""
    axes.axhline(0, color="0.8", lw=0.8, zorder=0)
    for number, columns in zip(species, functions, strict=True):
        if number != 9:  # F is rare: next to nothing
            axes.plot(r, r * columns[:, q], color=SPECIES_COLORS[number], lw=2, label=chemical_symbols[number])
    axes.set_title(f"l = {DEGREE}, q = {q + 1}", loc="left")


def tidy(figure: Figure) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)


def compact_picture(curves: list[ResidualCurve], energies: EnergyStudy) -> Figure:
    figure = new_figure(11, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=[1.45, 1])
    draw_residuals(left, curves)
    draw_errors(right, energies)
    tidy(figure)
    return figure


def function_picture(basis: OptimalBasis, frames: list[Atoms]) -> Figure:
    radius = 4.0
    figure = new_figure(13, 3.3)
    first, *panels = figure.subplots(1, N_FUNCTIONS + 1)
    draw_distances(first, frames, radius)
    r = np.linspace(0.0, radius, 400)
    functions = basis.radial_functions(r)[DEGREE]
    for q, axes in enumerate(panels):
        draw_function(axes, r, functions, basis.species_, q)
        axes.sharey(panels[0])
        axes.tick_params(labelleft=q == 0)
    panels[0].set_ylabel(r"$r\,R_q(r)$ / Å$^{-1/2}$")
    for axes in (first, *panels):
        axes.set(xlim=(0, radius), xlabel="r / Å")
    panels[0].legend(frameon=False, handlelength=1.2, loc="upper right", title="neighbor", alignment="left")
    tidy(figure)
    return figure


def main() -> None:
    frames = datasets.qm9()
    scale = study.FULL
    curves = study.residual_variances(frames[: scale.fit], lambda: None)
    energies = study.energy_models(frames[: scale.train], frames[-scale.test :], progress=False)
    pictures = {
        "compact.png": compact_picture(curves, energies),
        "functions.png": function_picture(energies.basis, frames[: scale.fit]),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, figure in pictures.items():
        figure.savefig(FOLDER / name, dpi=160)
        print(FOLDER / name)


if __name__ == "__main__":
    main()
