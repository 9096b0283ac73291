"""Pictures of bases and of predictions; matplotlib is imported here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from orbas.base.text import printable
from orbas.files.replacing import replacing
from orbas.structures.species import symbol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from orbas.base.types import FloatArray, IntArray
    from orbas.density.expansion import DensityExpansion

#: Line colors of neighbor species where chemists expect one; others take matplotlib's.
_SPECIES_COLORS = {1: "0.55", 6: "black", 7: "#1f5fd6", 8: "#d62728", 9: "#2ca02c", 15: "#ff7f0e", 16: "#c8a800"}
_FAINT: dict[str, Any] = {"color": "0.8", "lw": 0.8, "zorder": 0}


@dataclass(frozen=True, slots=True, eq=False)
class ResidualCurve:
    """Residual variance against the number of radial channels; ``channels`` and ``residual`` are both [n]."""

    label: str
    channels: IntArray
    residual: FloatArray
    color: str
    dashed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Parity:
    """Predictions against labels, both [n], of one quantity."""

    quantity: str
    unit: str
    labels: FloatArray
    predictions: FloatArray


def save_figure(figure: Figure, path: str | PathLike[str], dpi: int) -> None:
    """Write a figure whole or not at all, in the format that the suffix names (``.png``, ``.pdf``, ``.svg``)."""
    with replacing(path) as file:
        figure.savefig(file, format=Path(path).suffix[1:].lower() or "png", dpi=dpi)


def plot_parity(parities: Sequence[Parity], title: str) -> Figure:
    """Draw predictions against labels, a column for each quantity, and below what they differ by."""
    figure = _figure(3.6 * len(parities), 5.2)
    grid = figure.subplots(2, len(parities), sharex="col", squeeze=False, height_ratios=[3.0, 1.2])
    for (upper, lower), parity in zip(grid.T, parities, strict=True):
        together = np.concatenate([parity.labels, parity.predictions])
        margin = 0.04 * float(np.ptp(together)) or 1.0
        limits = (float(together.min()) - margin, float(together.max()) + margin)
        residuals = 1e3 * (parity.predictions - parity.labels)
        upper.plot(limits, limits, **_FAINT)
        lower.axhline(0.0, **_FAINT)
        for panel, values in ((upper, parity.predictions), (lower, residuals)):
            panel.plot(parity.labels, values, ".", ms=4.0, alpha=0.5, mew=0.0, rasterized=True)
            panel.spines[["top", "right"]].set_visible(False)
        rmse = float(np.sqrt(np.mean(residuals**2)))
        upper.set_title(f"RMSE {rmse:.4g} m{parity.unit}", fontsize="medium")
        upper.set(ylabel=f"prediction / {parity.unit}", xlim=limits, ylim=limits, box_aspect=1.0)
        lower.set(xlabel=f"{parity.quantity} / {parity.unit}", ylabel=f"error / m{parity.unit}")
        most = 1.1 * float(np.abs(residuals).max()) or 1.0
        lower.set(ylim=(-most, most))
    figure.suptitle(printable(title), x=0.01, ha="left", parse_math=False)
    return figure


class DrawnBasis(Protocol):
    """What is drawn of a fitted basis; see :class:`orbas.OptimalBasis`."""

    @property
    def density(self) -> DensityExpansion:
        """The primitive expansion."""
        ...

    @property
    def per_center(self) -> bool:
        """Whether every center species has functions of its own."""
        ...

    @property
    def mixing(self) -> str:
        """Whether neighbor species mix: combined or separate."""
        ...

    @property
    def species_(self) -> tuple[int, ...]:
        """Atomic numbers."""
        ...

    @property
    def residual_variance_(self) -> Any:
        """By the number of functions; a dict by center species when every one has functions of its own."""
        ...

    def radial_functions(self, r: FloatArray) -> Any:
        """Return the functions at distances."""
        ...


def plot_basis(basis: DrawnBasis, degrees: Sequence[int] | None, n_functions: int) -> Figure:
    """Draw the first optimal functions of some degrees, and the residual variance against their number.

    With one neighbor species a degree is one panel; with several it is a row of panels, one for each function, where
    colors tell the species. Of a basis per center species, the functions of the first species are drawn.
    """
    chosen = list(degrees) if degrees is not None else sorted({0, min(4, basis.density.max_angular)})
    r = np.linspace(1e-3, basis.density.cutoff.radius, 400)
    functions = basis.radial_functions(r)
    if basis.per_center:
        functions = functions[basis.species_[0]]
    by_degree = {l: functions[l] for l in chosen}
    if len(basis.species_) == 1:
        figure, panels, last = _grid(1, len(chosen) + 1)
        for panel, (l, (curves,)) in zip(panels, by_degree.items(), strict=True):
            for q, curve in enumerate(curves.T[:n_functions]):
                panel.plot(r, r * curve, color=f"C{q}", label=f"q = {q + 1}")
            panel.set(title=f"l = {l}", xlabel="r / Å")
    else:
        figure, panels, last = _grid(len(chosen), n_functions + 1)
        _draw_mixed(panels, r, by_degree, basis.species_, n_functions)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.suptitle(f"Optimal radial functions: {_description(basis)}", x=0.01, ha="left")
    figure.legend(handles, labels, loc="outside upper right", ncols=max(1, len(labels)), frameon=False)
    for panel in panels:
        panel.axhline(0, **_FAINT)
        panel.set_xlim(0, basis.density.cutoff.radius)
    for panel in panels[:: max(1, len(panels) // len(chosen))] if len(basis.species_) > 1 else panels[:1]:
        panel.set_ylabel(r"$r\,R_q(r)$ / Å$^{-1/2}$")
    _draw_residual(last, basis)
    return figure


def plot_residual_variance(curves: Sequence[ResidualCurve], title: str, target: float = 1e-4) -> Figure:
    """Draw residual variances against the number of radial channels, and where they meet a target."""
    figure, _, panel = _grid(1, 1, width=6.4, height=4.4)
    for curve in curves:
        shown = curve.residual > 1e-7
        line, fill = ("--", "white") if curve.dashed else ("-", curve.color)
        panel.semilogy(
            curve.channels[shown],
            curve.residual[shown],
            color=curve.color,
            ls=line,
            marker="o",
            ms=3.2,
            mfc=fill,
            label=curve.label,
        )
    most = max(int(curve.channels[-1]) for curve in curves)
    panel.axhline(target, color="0.7", lw=0.8, ls=":", zorder=0)
    panel.set(xlabel="radial channels", ylabel="residual variance", title=title, xlim=(0, most), ylim=(1e-6, 1.2))
    panel.legend(frameon=False, fontsize="small")
    return figure


def _figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches."""
    # Without pyplot: no global state, no display, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _grid(n_rows: int, n_columns: int, width: float = 3.1, height: float = 2.7) -> tuple[Figure, list[Axes], Axes]:
    """Return a figure, a grid of panels and, as the last column, one panel over all rows."""
    figure = _figure(width * n_columns, height * n_rows)
    grid = figure.add_gridspec(n_rows, n_columns)
    panels = [figure.add_subplot(grid[row, column]) for row in range(n_rows) for column in range(n_columns - 1)]
    last = figure.add_subplot(grid[:, -1])
    for panel in (*panels, last):
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels, last


def _draw_mixed(
    panels: Sequence[Axes],
    r: FloatArray,
    by_degree: dict[int, list[FloatArray]],
    species: Sequence[int],
    n_functions: int,
) -> None:
    """Draw one panel for every function: its part for every neighbor species."""
    for row, (l, by_species) in enumerate(by_degree.items()):
        own = panels[row * n_functions : (row + 1) * n_functions]
        weighted = [r[:, None] * curves[:, :n_functions] for curves in by_species]
        largest = max(float(np.abs(curves).max(initial=1e-12)) for curves in weighted)
        for q, panel in enumerate(own):
            for a, (number, curves) in enumerate(zip(species, weighted, strict=True)):
                if q < curves.shape[1]:
                    color = _SPECIES_COLORS.get(number, f"C{a}")
                    panel.plot(r, curves[:, q], color=color, lw=1.6, zorder=3 - 0.01 * a, label=symbol(number))
            panel.set_title(f"l = {l},  q = {q + 1}", fontsize="medium")
            panel.set_ylim(-1.08 * largest, 1.08 * largest)
            if q > 0:
                panel.tick_params(labelleft=False)
            if row == len(by_degree) - 1:
                panel.set_xlabel("r / Å")
            else:
                panel.tick_params(labelbottom=False)


def _draw_residual(panel: Axes, basis: DrawnBasis) -> None:
    residual = basis.residual_variance_
    curves = residual if isinstance(residual, dict) else {None: residual}
    for number, curve in curves.items():
        shown = np.flatnonzero(curve > 1e-8)
        label = None if number is None else f"{symbol(number)} centers"
        panel.loglog(shown + 1, curve[shown], ".-", label=label)
    panel.set(xlabel="functions for every l", title="residual variance")
    if len(curves) > 1:
        panel.legend(frameon=False, fontsize="small")


def _description(basis: DrawnBasis) -> str:
    if len(basis.species_) == 1:
        mixing = f"{symbol(basis.species_[0])} neighbors"
    else:
        mixing = "neighbor species mixed" if basis.mixing == "combined" else "one neighbor species at a time"
    return f"{mixing}, around {symbol(basis.species_[0])}" if basis.per_center else mixing
