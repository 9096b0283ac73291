"""Fig. 6: two-body models of silicon on primitive, optimal and supervised radial functions.

Run it: `python examples/paper/fig6_two_body_silicon.py --data FOLDER`, or with `--quick`. FOLDER holds
`si_vasp_pbe.xyz.gz` and `si_zuo_train.xyz.gz`, which stand in for the GAP-18 set (`--gap18 FILE`).

Features are the coefficients of degree 0 on q radial functions: GTO, DVR, the principal components of GTO(20) (PCA),
or their principal covariates (PCovR, 1:9 weights of variance and energies; made orthonormal, since the kernel compares
directions). Models of energies and forces: linear, and the polynomial kernel with zeta = 4. Every structure is
predicted by the model that was fitted without its fold; PCA and PCovR are fitted without it too. The reconstruction
error (GFRE) is that of the GTO(20) coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orbas
from common import COLORS, SEED, Data, columns, evenly, main
from orbas.bases import DVR, GTO
from orbas.metrics import gfre
from orbas.models import LinearPotential, Noise, SparseGPR
from silicon import ENERGY, FORCES, Errors, by_set, folds, split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from orbas.models import Potential

SILICON = 14
BASES = ("GTO", "DVR", "PCA", "PCovR")
LABELS = {"GTO": "GTO", "DVR": "DVR", "PCA": "optimal (PCA)", "PCovR": "optimal (PCovR)"}
LINES = {"GTO": COLORS["GTO"], "DVR": COLORS["DVR"], "PCA": COLORS["optimal"], "PCovR": COLORS["PCovR"]}
#: Reconstruction errors below are zero to rounding.
_LOWEST = 1e-6
MARKERS = {"GTO": "s", "DVR": "^", "PCA": "o", "PCovR": "D"}


@dataclass(frozen=True)
class Settings:
    """What the figure is computed with.

    ``sets`` names data and how many structures of it are taken; ``energy_window`` in eV/atom above the lowest leaves
    out isolated atoms and molecules that are pulled apart. ``linear`` and ``kernel`` are numbers of functions: of a
    single one the normalized kernel is a constant.
    """

    sets: tuple[tuple[str, int], ...] = (("si_vasp_pbe", 1000), ("si_zuo_train", 60))
    energy_window: float = 1.5
    n_folds: int = 5
    cutoff: float = 6.0
    cutoff_width: float = 1.0
    density_width: float = 0.5
    n_primitive: int = 20
    alpha: float = 0.1
    linear: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 20)
    kernel: tuple[int, ...] = (2, 4, 6, 8, 12, 20)
    zeta: int = 4
    n_sparse: int = 200
    noise_energy: float = 0.002
    noise_forces: float = 0.05
    n_environments: int = 20000


QUICK = Settings(sets=(("si_vasp_pbe", 180),), linear=(1, 2, 4, 8, 20), kernel=(2, 6), n_sparse=50, n_environments=2000)
FULL = Settings()


def spectrum(settings: Settings, basis: Any, spline_accuracy: float = 1e-8) -> orbas.RadialSpectrum:
    """Return the radial spectrum on a basis."""
    return orbas.RadialSpectrum(
        orbas.DensityExpansion(
            cutoff=orbas.Cutoff(settings.cutoff, settings.cutoff_width, "smooth"),
            density_width=settings.density_width,
            max_angular=0,
            basis=basis,
            species=(SILICON,),
            spline_accuracy=spline_accuracy,
        )
    )


def features(settings: Settings, name: str, n: int, train: Sequence[Atoms]) -> orbas.RadialSpectrum:
    """Return the radial spectrum on n functions of a basis, fitted to training structures if it is fitted at all."""
    if name in ("GTO", "DVR"):
        return spectrum(settings, {"GTO": GTO, "DVR": DVR}[name](n))
    primitive = spectrum(settings, GTO(settings.n_primitive)).density
    if name == "PCA":
        return orbas.RadialSpectrum(orbas.OptimalBasis(primitive, n).fit(train).expansion_)
    supervised = orbas.PCovRBasis(primitive, n, settings.alpha, orthonormalize=True)
    return orbas.RadialSpectrum(supervised.fit(train, energy_key=ENERGY).expansion_)


def pure_regression(settings: Settings, train: Sequence[Atoms]) -> orbas.RadialSpectrum:
    """Return the one function that is the linear two-body model of energies and forces on all primitive functions."""
    # The function is a difference of large ones, which costs its table two digits.
    primitive = spectrum(settings, GTO(settings.n_primitive), spline_accuracy=1e-6).density
    supervised = orbas.PCovRBasis(primitive, 1, alpha=0.0, noise=noise(settings))
    return orbas.RadialSpectrum(supervised.fit(train, energy_key=ENERGY, forces_key=FORCES).expansion_)


def noise(settings: Settings) -> Noise:
    """Return the expected errors of the labels, the weights of their rows."""
    return Noise(settings.noise_energy, settings.noise_forces)


def linear(settings: Settings) -> Callable[[orbas.RadialSpectrum], Potential]:
    """Return what makes a linear model of features."""
    return lambda given: LinearPotential(given, noise=noise(settings))


def kernel(settings: Settings) -> Callable[[orbas.RadialSpectrum], Potential]:
    """Return what makes a kernel model of features."""
    return lambda given: SparseGPR(given, settings.n_sparse, settings.zeta, noise=noise(settings))


def cross_validate(settings: Settings, frames: Sequence[Atoms]) -> dict[str, Any]:
    """Return the errors of all models on all bases, by basis and number of functions; and the reconstruction errors."""
    parts = folds(frames, settings.n_folds)
    environments = evenly(frames, len(frames) * settings.n_environments // sum(map(len, frames)))
    full = spectrum(settings, GTO(settings.n_primitive)).transform(environments)
    models = {"linear": (linear(settings), settings.linear), "kernel": (kernel(settings), settings.kernel)}
    errors = {(kind, name, n): Errors() for kind, (_, sizes) in models.items() for name in BASES for n in sizes}
    lost: dict[tuple[str, int], list[float]] = {}
    limit = Errors()
    for k, part in enumerate(parts):
        train, test = split(frames, part)
        for name in BASES:
            for n in sorted({*settings.linear, *settings.kernel}):
                given = features(settings, name, n, train)
                if n in settings.linear:
                    lost.setdefault((name, n), []).append(gfre(given.transform(environments), full, seed=SEED))
                for kind, (make, sizes) in models.items():
                    if n in sizes:
                        fitted = make(given).fit(train, ENERGY, forces_key=FORCES)
                        errors[kind, name, n].add(fitted, test)
            print(f"fold {k + 1}, {name}", flush=True)
        limit.add(linear(settings)(pure_regression(settings, train)).fit(train, ENERGY, forces_key=FORCES), test)
    return {
        "n_structures": len(frames),
        "n_atoms": sum(map(len, frames)),
        "folds": [sorted({str(frames[j].info.get("config_type")) for j in part}) for part in parts],
        "rmse": {
            kind: {name: [errors[kind, name, n].rmse() for n in sizes] for name in BASES}
            for kind, (_, sizes) in models.items()
        },
        "gfre": {name: [float(np.mean(lost[name, n])) for n in settings.linear] for name in BASES},
        "pure_regression": limit.rmse(),
    }


def compute(settings: Settings, data: Data) -> dict[str, Any]:
    """Cross-validate on every set."""
    results = by_set(settings.sets, data, settings.energy_window, lambda frames: cross_validate(settings, frames))
    return {"linear": settings.linear, "kernel": settings.kernel, "sets": results}


def table(result: dict[str, Any]) -> str:
    """Return the errors and reconstruction errors of every set as tables."""
    text = []
    for name, found in result["sets"].items():
        for kind in ("linear", "kernel"):
            for column, unit in enumerate(("meV/atom", "eV/Å")):
                rows = [
                    [n, *(found["rmse"][kind][basis][k][column] for basis in BASES)] for k, n in enumerate(result[kind])
                ]
                text += [f"{name}, {kind} models, RMSE in {unit}:\n", columns(["q", *LABELS.values()], rows), ""]
        rows = [[n, *(found["gfre"][basis][k] for basis in BASES)] for k, n in enumerate(result["linear"])]
        text += [f"{name}, GFRE:\n", columns(["q", *LABELS.values()], rows), ""]
        one, all_ = found["pure_regression"], found["rmse"]["linear"]["GTO"][-1]
        text.append(
            f"{name}, pure regression: one function {one[0]:.2f} meV/atom, {one[1]:.4f} eV/Å; "
            f"the linear model on {result['linear'][-1]} GTO {all_[0]:.2f} meV/atom, {all_[1]:.4f} eV/Å\n"
        )
    return "\n".join(text)


def draw(result: dict[str, Any], figure: Figure) -> None:
    """Draw energies, forces and reconstruction errors below each other, a column for every set."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    sets = result["sets"]
    figure.set_size_inches(0.9 + 2.65 * len(sets), 6.1)
    axes = figure.subplots(3, len(sets), sharex=True, squeeze=False)
    for column, (name, found) in enumerate(sets.items()):
        draw_errors(axes[0, column], axes[1, column], result, found)
        for basis in BASES:
            style = {"color": LINES[basis], "marker": MARKERS[basis]}
            lost = np.array(found["gfre"][basis])
            axes[2, column].plot(result["linear"], np.where(lost < _LOWEST, np.nan, lost), **style)
        axes[2, column].set_ylim(_LOWEST, 2)
        axes[2, column].set_xlabel("number of radial functions")
        axes[0, column].set_title(f"{name}, {found['n_structures']} structures", fontsize=9)
    for axis in axes.ravel():
        axis.set_yscale("log")
        axis.set_xticks([1, 4, 8, 12, 16, 20])
    for axis in axes[:2].ravel():
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 6)))
        axis.yaxis.set_major_formatter(ScalarFormatter())
        axis.yaxis.set_minor_formatter(NullFormatter())
    for row, label in enumerate(("energy RMSE, meV/atom", "force RMSE, eV/Å", "GFRE of 20 GTO")):
        axes[row, 0].set_ylabel(label)
    handles = [Line2D([], [], color=LINES[b], marker=MARKERS[b], label=LABELS[b]) for b in BASES]
    handles.append(Line2D([], [], color="0.4", label="linear model"))
    handles.append(Line2D([], [], color="0.4", linestyle="--", label="kernel, ζ = 4"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)


def draw_errors(energies: Axes, forces: Axes, result: dict[str, Any], found: dict[str, Any]) -> None:
    """Draw the errors of linear models as full and of kernels as dashed lines."""
    for kind, line in (("linear", "-"), ("kernel", "--")):
        for basis in BASES:
            values = np.array(found["rmse"][kind][basis])
            style = {"color": LINES[basis], "marker": MARKERS[basis], "linestyle": line}
            energies.plot(result[kind], values[:, 0], **style)
            forces.plot(result[kind], values[:, 1], **style)


if __name__ == "__main__":
    main(__file__, __doc__, QUICK, FULL, compute, table, draw)
