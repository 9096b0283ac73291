"""Beyond the paper: random methane, what a linear model learns from correlations of one, two, three, four neighbors.

The hydrogens of these CH4 are thrown at random into a sphere around the carbon, so that the energy is a function of all
five atoms with little structure to exploit. Correlations of nu neighbors with their center span functions of nu + 1
atoms: below nu = 4, errors stop falling however many structures are learned from (Nigam, Pozdnyakov and Ceriotti,
J. Chem. Phys. 153, 121101 (2020)). The data are those of https://archive.materialscloud.org/record/2020.110, of which
the first 10,000 structures are read; `energy` is taken to be in eV, while relative errors hold in any unit.

Settings were chosen by leave-one-out errors of the training structures; the test structures are looked at once, for the
curves. Three times as many features of nu = 3 do not help (leave-one-out error of 4,000 structures: 10.0 % instead of
10.1 % of the mean magnitude; with nu = 4 it is 7.9 %).

Run it: `python beyond_methane.py --data FOLDER`, which holds methane_random.xyz.gz (some minutes on one core and
2 GB; `--quick` under one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orbas
from common import NU_COLORS, SEED, Data, columns, main
from orbas.fit.dense import fit_ridge
from orbas.models import LeaveOneOut, structure_features
from orbas.structures.labels import collect_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from matplotlib.figure import Figure

ORDERS = (1, 2, 3, 4)
#: Leave-one-out errors of the training structures choose the regularizer, for every size and order anew.
RULE = LeaveOneOut(alphas=tuple(10.0 ** (exponent / 2) for exponent in range(-24, -3)))


@dataclass(frozen=True)
class Settings:
    """All numbers of a run; those of the iteration are by order from 2 on, as :class:`orbas.NICE` takes them."""

    sizes: tuple[int, ...] = (250, 500, 1000, 2000, 4000, 8000)
    n_read: int = 10_000  # the published set holds millions
    n_test: int = 2000
    n_fit: int = 500
    cutoff: float = 6.3
    cutoff_width: float = 0.3
    density_width: float = 0.3
    max_angular: int = 5
    n_primitive: int = 30
    n_optimal: int = 5
    n_pairs: tuple[int, ...] = (1000, 1500, 1)
    n_components: tuple[int, ...] = (150, 150, 0)
    n_invariant_pairs: tuple[int | None, ...] = (None, 5000, 5000)
    n_invariants: tuple[int | None, ...] = (None, 500, 1000)
    n_purify: tuple[int, ...] = (20, 20, 50)


QUICK = Settings(
    sizes=(125, 250, 500, 1000),
    n_test=500,
    n_fit=300,
    n_pairs=(300, 500, 1),
    n_components=(60, 60, 0),
    n_invariant_pairs=(None, 2000, 2000),
    n_invariants=(None, 150, 300),
)
FULL = Settings()


def split(settings: Settings, frames: Sequence[Atoms]) -> tuple[list[Atoms], list[Atoms]]:
    """Return the structures of the largest training set, of which smaller ones are the first, and those of the test."""
    frames = frames[: settings.n_read]
    needed = settings.sizes[-1] + settings.n_test
    if len(frames) < needed:
        raise SystemExit(f"the random methane set holds {len(frames)} structures, {needed} are needed")
    order = np.random.default_rng(SEED).permutation(len(frames))
    train = [frames[k] for k in order[: settings.sizes[-1]]]
    return train, [frames[k] for k in order[len(order) - settings.n_test :]]


def representation(settings: Settings, frames: Sequence[Atoms]) -> orbas.NICE:
    """Fit the basis and the iteration on structures without looking at energies.

    The center is not part of its own density: it is the same in every environment, and would mix the orders.
    """
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(settings.cutoff, width=settings.cutoff_width, smoothing="smooth"),
        density_width=settings.density_width,
        max_angular=settings.max_angular,
        basis=orbas.bases.DVR(settings.n_primitive),
        species=(1, 6),
        center_weight=0.0,
    )
    optimal = orbas.OptimalBasis(density, settings.n_optimal, per_center=True).fit(frames)
    nice = orbas.NICE(
        optimal.expansion_,
        nu_max=ORDERS[-1],
        n_pairs=settings.n_pairs,
        n_components=settings.n_components,
        n_invariants=settings.n_invariants,
        n_invariant_pairs=settings.n_invariant_pairs,
        max_lambda=settings.max_angular,
        n_purify=settings.n_purify,
        per_center=True,
    )
    return nice.fit(frames)


def up_to(nu: int, values: np.ndarray, nice: orbas.NICE) -> np.ndarray:
    """Return the columns of orders 1 to nu out of [structure, center species x feature]."""
    n_columns = sum(nice.n_features_[:nu])
    by_species = values.reshape(len(values), -1, sum(nice.n_features_))
    return np.ascontiguousarray(by_species[:, :, :n_columns]).reshape(len(values), -1)


def learn(features: np.ndarray, energies: np.ndarray, settings: Settings) -> dict[str, list[float]]:
    """Fit the first structures, for every size, and predict the last ones."""
    test = slice(len(energies) - settings.n_test, None)
    spread = float(np.std(energies[test]))
    curve: dict[str, list[float]] = {"rmse_percent": [], "mae_eV": [], "loo_mae_eV": [], "alpha": []}
    for size in settings.sizes:
        mean = float(np.mean(energies[:size]))  # all have the same composition: its energy is the mean
        fit = fit_ridge(features[:size], energies[:size] - mean, RULE)
        errors = mean + features[test] @ fit.weights - energies[test]
        curve["rmse_percent"].append(100 * float(np.sqrt(np.mean(errors**2))) / spread)
        curve["mae_eV"].append(float(np.mean(np.abs(errors))))
        curve["loo_mae_eV"].append(float(fit.errors.min()))
        curve["alpha"].append(fit.alpha)
    return curve


def compute(settings: Settings, data: Data) -> dict[str, Any]:
    """Return learning curves by order."""
    train, test = split(settings, data.read("methane_random"))
    energies = np.array(collect_labels([*train, *test], energy_key="energy").energies)
    nice = representation(settings, train[: settings.n_fit])
    print(f"features of orders 1 to 4: {nice.n_features_} for C and H each", flush=True)
    values = structure_features(nice, [*train, *test]).values
    print(f"features of {len(values)} structures are made", flush=True)
    return {
        "n_train": settings.sizes,
        "n_test": settings.n_test,
        "n_features": nice.n_features_,
        "spread_eV": float(np.std(energies[len(train) :])),
        "curves": {str(nu): learn(up_to(nu, values, nice), energies, settings) for nu in ORDERS},
    }


def table(result: dict[str, Any]) -> str:
    """Return test errors, a row for each number of training structures."""
    curves = [result["curves"][str(nu)]["rmse_percent"] for nu in ORDERS]
    rows = [[size, *(curve[k] for curve in curves)] for k, size in enumerate(result["n_train"])]
    rows.append(["last step: error after / before", *(curve[-1] / curve[-2] for curve in curves)])
    text = columns(["training structures", *(f"ν ≤ {nu}" for nu in ORDERS)], rows)
    return f"Test RMSE in % of the spread of the energies ({result['spread_eV']:.3f} eV)\n\n{text}"


def draw(result: dict[str, Any], figure: Figure) -> None:
    """Draw the learning curves."""
    figure.set_size_inches(4.6, 3.6)
    axes = figure.subplots()
    sizes = result["n_train"]
    for nu, marker in zip(ORDERS, "osD^", strict=True):
        curve = result["curves"][str(nu)]["rmse_percent"]
        axes.loglog(sizes, curve, marker=marker, color=NU_COLORS[nu], label=f"ν ≤ {nu}")
    axes.set_xticks(sizes, labels=[f"{size:,}" for size in sizes])
    axes.set_yticks([5, 10, 20, 50], labels=["5", "10", "20", "50"])
    axes.minorticks_off()
    axes.set_xlabel("training structures")
    axes.set_ylabel("test RMSE / % of the spread of energies")
    axes.set_title("random CH$_4$, linear models")
    axes.legend(title="neighbors correlated", loc="upper left", bbox_to_anchor=(1.0, 1.0))


if __name__ == "__main__":
    main(__file__, __doc__, QUICK, FULL, compute, table, draw)
