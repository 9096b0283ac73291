"""Fig. 7: energies of QM9 against the size of the radial basis, the body order and the number of molecules.

Top: test error at one training size against the number q of radial-chemical channels, for linear models on all
correlations of up to nu neighbors: a GTO basis has q / 5 functions for each species, the optimal one q combinations of
all. Bottom: learning curves of the same models and of a Gaussian process on the power spectrum of all environments.

The composition baseline, regularizers and bases come from training molecules alone, of which the last of every size are
held out to choose the regularizer. Test molecules are the last ones of one seeded permutation.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import all_environments
import numpy as np
import orbas
from common import KCAL_PER_MOL, NU_COLORS, QM9_SPECIES, SEED, columns, main, qm9
from orbas.models import CompositionBaseline, HoldOut, LinearPotential, learning_curve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from common import Data
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from orbas import Features

#: Rate, scale in Å and exponent of the radial scaling.
Scaling = tuple[float, float, float]


@dataclass(frozen=True)
class Settings:
    """All numbers of a run."""

    n_test: int = 10_000
    n_top: int = 65_000
    sizes: tuple[int, ...] = (5_000, 20_000, 65_000, 100_000)
    n_validation: int = 2_000
    alphas: tuple[float, ...] = (1e-12, 1e-11, 1e-10, 1e-9)
    n_basis: int = 2_000
    cutoff: float = 5.0
    density_width: float = 0.3
    scaling: Scaling | None = (1.0, 2.5, 3.0)
    n_primitive: int = 20
    l_max: int = 3
    channels: tuple[tuple[int, tuple[int, ...]], ...] = ((1, (5, 10, 20, 40)), (2, (5, 10, 20)), (3, (5, 10)))
    uncontracted: int = 5
    n_pairs: int = 600
    n_components: int = 100
    n_invariant_pairs: int = 2500
    n_invariants: int = 400
    kernel_channels: int = 24
    kernel_l_max: int = 8
    kernel_scaling: Scaling = (1.0, 2.0, 7.0)
    kernel: all_environments.Settings = field(default_factory=all_environments.Settings)
    # The same five channels at other densities.
    scalings: tuple[Scaling | None, ...] = ((1.0, 2.5, 3.0), None, (1.0, 2.0, 7.0), (2.0, 1.0, 6.0))
    n_scalings: int = 6_000


FULL = Settings()
QUICK = Settings(
    n_test=300,
    n_top=1_200,
    sizes=(400, 800, 1_200),
    n_validation=100,
    n_basis=300,
    n_primitive=8,
    l_max=2,
    channels=((1, (5, 10, 20)), (2, (5, 10)), (3, (5,))),
    kernel_channels=10,
    kernel_l_max=4,
    kernel=all_environments.Settings(threshold=1e-6, noise=(1e-5, 1e-4)),
    scalings=((1.0, 2.5, 3.0), (1.0, 2.0, 7.0)),
    n_scalings=600,
)

KERNEL = "kernel of the power spectrum"
KERNEL_COLOR = "#8c6bb1"


class UpTo:
    """Invariants of all orders up to nu of one density, uncontracted, side by side."""

    def __init__(self, density: orbas.DensityExpansion, nu: int) -> None:
        self.orders = [make(density) for make in (orbas.RadialSpectrum, orbas.PowerSpectrum, orbas.Bispectrum)[:nu]]

    def transform(self, frames: Sequence[Atoms]) -> Features:
        """Return the features of every atom, [n_atoms, n_features]."""
        parts = [order.transform(frames) for order in self.orders]
        return dataclasses.replace(parts[0], values=np.concatenate([part.values for part in parts], axis=1))


def expansion(chosen: Settings, n_functions: int) -> orbas.DensityExpansion:
    """Return the density on GTO functions for each species."""
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(chosen.cutoff, width=0.5),
        scaling=None if chosen.scaling is None else orbas.RadialScaling(*chosen.scaling),
        density_width=chosen.density_width,
        max_angular=chosen.l_max,
        basis=orbas.bases.GTO(n_functions),
        species=QM9_SPECIES,
    )


def density(chosen: Settings, basis: str, n_channels: int, frames: Sequence[Atoms]) -> orbas.DensityExpansion:
    """Return the density on so many channels: GTO functions shared out among the species, or combined optimal ones."""
    if basis == "GTO":
        return expansion(chosen, n_channels // len(QM9_SPECIES))
    primitive = expansion(chosen, chosen.n_primitive)
    return orbas.OptimalBasis(primitive, n_channels, mixing="combined").fit(frames[: chosen.n_basis]).expansion_


def correlations(chosen: Settings, basis: str, nu: int, q: int, frames: Sequence[Atoms]) -> Any:
    """Return all invariants up to an order; many channels of three neighbors are contracted on the way (NICE)."""
    channels = density(chosen, basis, q, frames)
    if nu < 3 or q <= chosen.uncontracted:
        return UpTo(channels, nu)
    nice = orbas.NICE(
        channels,
        nu_max=3,
        n_pairs=(chosen.n_pairs, 1),
        n_components=(chosen.n_components, 0),
        n_invariants=(None, chosen.n_invariants),
        n_invariant_pairs=(None, chosen.n_invariant_pairs),
        max_lambda=chosen.l_max,
        per_center=True,
    )
    return nice.fit(frames[: chosen.n_basis])


def kernel_spectrum(chosen: Settings, frames: Sequence[Atoms]) -> orbas.PowerSpectrum:
    """Return the features of the kernel model."""
    own = dataclasses.replace(chosen, l_max=chosen.kernel_l_max, scaling=chosen.kernel_scaling)
    return orbas.PowerSpectrum(density(own, "optimal", chosen.kernel_channels, frames))


def name_of(basis: str, nu: int, q: int) -> str:
    """Return the name of a linear model."""
    return f"{basis}, nu <= {nu}, q = {q}"


def curve(name: str, model: Any, train: Sequence[Atoms], test: Sequence[Atoms], sizes: Sequence[int]) -> dict[str, Any]:
    """Return test errors in kcal/mol for every size."""
    found = learning_curve(model, train, test, sizes, energy_key="U0", seed=SEED)
    return shown(name, sizes, found.mae / KCAL_PER_MOL, found.rmse / KCAL_PER_MOL)


def shown(name: str, sizes: Sequence[int], mae: np.ndarray, rmse: np.ndarray) -> dict[str, Any]:
    """Print errors of one model, and return them."""
    errors = "".join(f"{size:>9}: {error:.3f}" for size, error in zip(sizes, mae, strict=True))
    print(f"{name:<32}{errors}", flush=True)
    return {"n_train": list(sizes), "mae": mae, "rmse": rmse}


def kernel_curve(chosen: Settings, train: Sequence[Atoms], test: Sequence[Atoms]) -> dict[str, Any]:
    """Return test errors of the kernel of all environments for every size."""
    known, expected = (np.array([frame.info["U0"] for frame in frames]) for frames in (train, test))
    # Of the smallest size, as for the linear models.
    baseline = CompositionBaseline().fit(train[: min(chosen.sizes)], known[: min(chosen.sizes)])
    remaining = known - baseline.predict(train)
    spectrum = kernel_spectrum(chosen, train)
    predicted, noise = all_environments.learning_curve(
        spectrum, train, remaining, test, chosen.sizes, chosen.n_validation, chosen.kernel
    )
    errors = (predicted + baseline.predict(test) - expected) / KCAL_PER_MOL
    found = shown(KERNEL, chosen.sizes, np.abs(errors).mean(axis=1), np.sqrt((errors**2).mean(axis=1)))
    return {"q": chosen.kernel_channels, "noise": noise, **found}


def compute(chosen: Settings, data: Data) -> dict[str, Any]:
    """Fit every model; keys of the curves are basis, order and number of channels."""
    frames = qm9(max(chosen.sizes) + chosen.n_test)
    train, test = frames[: -chosen.n_test], frames[-chosen.n_test :]
    held_out = HoldOut(chosen.n_validation, alphas=chosen.alphas)
    linear: dict[str, list[dict[str, Any]]] = {"GTO": [], "optimal": []}
    for basis, rows in linear.items():
        for nu, channels in chosen.channels:
            for q in channels:
                # The largest of every order has a learning curve, the others one point of it.
                sizes = chosen.sizes if basis == "optimal" and q == channels[-1] else (chosen.n_top,)
                features = correlations(chosen, basis, nu, q, train)
                model = LinearPotential(features, regularization=held_out)
                found = curve(name_of(basis, nu, q), model, train, test, sizes)
                rows.append({"nu": nu, "q": q, **found})
    return {
        "linear": linear,
        "kernel": kernel_curve(chosen, train, test),
        "densities": densities(chosen, train, test, held_out),
        "factor": at(chosen, linear["GTO"], 3, 5) / at(chosen, linear["optimal"], 3, 5),
    }


def densities(chosen: Settings, train: Sequence[Atoms], test: Sequence[Atoms], rule: HoldOut) -> list[dict[str, Any]]:
    """Return what five channels of either basis are worth for nu <= 3 at other radial scalings of the density."""
    rows = []
    for scaling in chosen.scalings:
        other = dataclasses.replace(chosen, scaling=scaling)
        row: dict[str, Any] = {"scaling": "none" if scaling is None else "/".join(f"{part:g}" for part in scaling)}
        for basis in ("GTO", "optimal"):
            model = LinearPotential(correlations(other, basis, 3, 5, train), regularization=rule)
            name = f"{basis}, scaling {row['scaling']}"
            row[basis] = curve(name, model, train[: chosen.n_scalings], test, (chosen.n_scalings,))["mae"][0]
        rows.append({**row, "factor": row["GTO"] / row["optimal"]})
    return rows


def models_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what every model is, and its error at the training size of the upper panel."""
    n_top = result["linear"]["GTO"][0]["n_train"][0]

    def row(name: str, basis: str, own: dict[str, Any], nu: int, q: int) -> dict[str, Any]:
        return {"name": name, "basis": basis, "nu": nu, "q": q, "mae": own["mae"][own["n_train"].index(n_top)]}

    rows = [
        row(name_of(basis, own["nu"], own["q"]), basis, own, own["nu"], own["q"])
        for basis, found in result["linear"].items()
        for own in found
    ]
    return [*rows, row(KERNEL, "kernel", result["kernel"], 0, result["kernel"]["q"])]


def at(chosen: Settings, rows: list[dict[str, Any]], nu: int, q: int) -> float:
    """Return the error of one model at the training size of the upper panel."""
    row = next(row for row in rows if (row["nu"], row["q"]) == (nu, q))
    return float(row["mae"][row["n_train"].index(chosen.n_top)])


def top(result: dict[str, Any], basis: str, nu: int) -> tuple[list[int], list[float]]:
    """Return channels and errors of the upper panel, where it is only one size that all models have."""
    rows = [row for row in result["linear"][basis] if row["nu"] == nu]
    n_top = result["linear"]["GTO"][0]["n_train"][0]
    return [row["q"] for row in rows], [row["mae"][row["n_train"].index(n_top)] for row in rows]


def table(result: dict[str, Any]) -> str:
    """Return both panels as tables, MAE in kcal/mol."""
    orders = sorted({row["nu"] for row in result["linear"]["GTO"]})
    rows = []
    for nu in orders:
        (channels, primitive), (_, optimal) = (top(result, basis, nu) for basis in ("GTO", "optimal"))
        rows += [[nu, *own, own[1] / own[2]] for own in zip(channels, primitive, optimal, strict=True)]
    n_top = result["linear"]["GTO"][0]["n_train"][0]
    first = columns(["nu <=", "q", "GTO", "optimal", "factor"], rows)
    long = [row for row in result["linear"]["optimal"] if len(row["n_train"]) > 1]
    named = [(f"linear, nu <= {row['nu']}, q = {row['q']}", row) for row in long] + [("kernel", result["kernel"])]
    second = columns(
        ["n_train", *(name for name, _ in named)],
        list(zip(result["kernel"]["n_train"], *(row["mae"] for _, row in named), strict=True)),
    )
    third = columns(
        ["scaling", "GTO", "optimal", "factor"],
        [[row[key] for key in ("scaling", "GTO", "optimal", "factor")] for row in result["densities"]],
    )
    parts = (f"MAE in kcal/mol, {n_top} training molecules:", first, "learning curves:", second)
    return "\n\n".join([*parts, "nu <= 3, q = 5, fewer molecules, by radial scaling:", third])


def draw(result: dict[str, Any], figure: Figure) -> None:
    """Draw errors against channels, and against training molecules."""
    figure.set_size_inches(5.4, 7.6)
    upper, lower = figure.subplots(2, 1)
    n_top = result["linear"]["GTO"][0]["n_train"][0]
    for nu in sorted({row["nu"] for row in result["linear"]["GTO"]}):
        upper.loglog(*top(result, "GTO", nu), "s--", color=NU_COLORS[nu], mfc="white")
        upper.loglog(*top(result, "optimal", nu), "o-", color=NU_COLORS[nu], label=rf"$\nu \leq {nu}$")
    upper.plot([], [], "s--", color="0.4", mfc="white", label="GTO")
    upper.plot([], [], "o-", color="0.4", label="optimal, species mixed")
    upper.set(xlabel="radial-chemical channels $q$", title=f"linear models, {n_top:,} training molecules")
    for row in result["linear"]["optimal"]:
        if len(row["n_train"]) > 1:
            label = rf"linear, $\nu \leq {row['nu']}$, $q = {row['q']}$"
            lower.loglog(row["n_train"], row["mae"], "o-", color=NU_COLORS[row["nu"]], label=label)
    kernel = result["kernel"]
    lower.loglog(kernel["n_train"], kernel["mae"], "D-", color=KERNEL_COLOR, label=KERNEL)
    lower.set(xlabel="training molecules", title="learning curves on optimal bases")
    for axes in (upper, lower):
        finish(axes)


def finish(axes: Axes) -> None:
    """Give an axis of errors plain numbers, and the line of chemical accuracy."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.axhline(1.0, color="0.7", lw=0.8, zorder=0)
    axes.set_ylabel("test MAE / (kcal/mol)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


if __name__ == "__main__":
    main(__file__, __doc__, QUICK, FULL, compute, table, draw)
