"""Pictures of bases; matplotlib is imported here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from orbas.blocks import FloatArray
    from orbas.optimal import OptimalBasis


def _figure(n_panels: int, width: float = 4.2, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    # Without pyplot: no global state, no display, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * n_panels, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, n_panels, k + 1) for k in range(n_panels)]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plot_basis(basis: OptimalBasis, degrees: Sequence[int] | None, n_functions: int) -> Figure:
    """Draw the first optimal functions of some degrees, and the residual variance against their number."""
    from ase.data import chemical_symbols

    top = basis.density.max_angular
    chosen = list(degrees) if degrees is not None else sorted({0, min(4, top)})
    r = np.linspace(1e-3, basis.density.cutoff.radius, 400)
    functions = basis.radial_functions(r)
    center = basis.species_[0] if basis.per_center else None
    functions = functions[center] if center is not None else functions
    figure, axes = _figure(len(chosen) + 1)
    styles = ["-", "--", ":", "-.", (0, (1, 3))]
    for panel, l in zip(axes, chosen, strict=False):
        for a, number in enumerate(basis.species_):
            for q in range(min(n_functions, functions[l][a].shape[1])):
                label = f"q = {q + 1}" if a == 0 else None
                panel.plot(r, functions[l][a][:, q], color=f"C{q}", ls=styles[a % len(styles)], label=label)
        panel.axhline(0, color="0.8", lw=0.8, zorder=0)
        panel.set(xlabel="r / Å", ylabel="optimal function", title=f"l = {l}")
        panel.legend(frameon=False, fontsize="small")
    residual = basis.residual_variance_
    curves = residual if isinstance(residual, dict) else {None: residual}
    for number, curve in curves.items():
        label = "all centers" if number is None else f"{chemical_symbols[number]} centers"
        axes[-1].semilogy(np.arange(1, curve.size + 1), np.maximum(curve, 1e-16), ".-", label=label)
    axes[-1].set(xlabel="functions per l", ylabel="residual variance", title=f"{basis.mixing} basis")
    axes[-1].legend(frameon=False, fontsize="small")
    species = ", ".join(
        f"{chemical_symbols[number]} {name}"
        for number, name in zip(basis.species_, ["solid", "dashed", "dotted", "dash-dot", "sparse"], strict=False)
    )
    figure.suptitle(f"neighbors: {species}" if len(basis.species_) > 1 else "", fontsize="small")
    return figure


def plot_residual_variance(curves: Mapping[str, tuple[FloatArray, FloatArray]], title: str) -> Figure:
    """Draw residual variances against the number of radial channels: name -> (channels, residual variance)."""
    figure, (panel,) = _figure(1, 5.5, 4.0)
    for name, (channels, residual) in curves.items():
        shown = residual > 1e-12
        panel.loglog(channels[shown], residual[shown], ".-", label=name)
    panel.axhline(1e-4, color="0.7", lw=0.8, ls="--", zorder=0)
    panel.set(xlabel="radial channels", ylabel="residual variance", title=title)
    panel.legend(frameon=False, fontsize="small")
    return figure
