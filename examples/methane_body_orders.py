"""Random methane: what a linear model learns when it may correlate one, two, three or four neighbors.

The hydrogens of these CH4 are thrown at random into a sphere around the carbon, so that the energy is a function of all
five atoms with little structure to exploit. Correlations of nu neighbors with their center span functions of nu + 1
atoms: below nu = 4, errors stop falling however many structures are learned from (Nigam, Pozdnyakov and Ceriotti,
J. Chem. Phys. 153, 121101 (2020)). The data are those of https://archive.materialscloud.org/record/2020.110, of which
the first 10,000 structures are read; `energy` is taken to be in eV, while relative errors hold in any unit.

Run it: `python examples/methane_body_orders.py methane_random.xyz.gz` (some minutes on one core; `--quick` under one;
`--plot curves.png`, `--json curves.json`). Settings were chosen by leave-one-out errors of the training structures; the
test structures are looked at once, for the curves. Three times as many features of nu = 3 do not help
(leave-one-out error of 4,000 structures: 10.0 % instead of 10.1 % of the mean magnitude; with nu = 4 it is 7.9 %).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import orbas
from orbas.models import LeaveOneOut, structure_features
from orbas.models.regularization import fit_ridge

ORDERS = (1, 2, 3, 4)
#: The whole set holds millions.
N_READ = 10_000
#: Leave-one-out errors of the training structures choose the regularizer, for every size and order anew.
RULE = LeaveOneOut(alphas=tuple(10.0 ** (exponent / 2) for exponent in range(-24, -3)))
DATA = "the random methane set (extended XYZ, https://archive.materialscloud.org/record/2020.110)"


def parse() -> argparse.Namespace:
    """Read the arguments; a file that is not there ends the program with a message."""
    parser = argparse.ArgumentParser(description="learning curves of random methane by body order")
    parser.add_argument("data", type=Path, help=DATA)
    parser.add_argument("--quick", action="store_true", help="fewer structures and features")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the learning curves")
    parser.add_argument("--json", type=Path, metavar="FILE.json", help="write all numbers")
    parser.add_argument("--seed", type=int, default=0, help="of the split into training and test (default 0)")
    options = parser.parse_args()
    if not options.data.is_file():
        parser.error(f"no file {options.data}: give the path of {DATA}")
    return options


def settings(*, quick: bool) -> dict[str, Any]:
    """Return all numbers of a run."""
    return {
        "sizes": [125, 250, 500, 1000] if quick else [250, 500, 1000, 2000, 4000, 8000],
        "n_test": 500 if quick else 2000,
        "n_fit": 300 if quick else 500,
        "cutoff": 6.3,
        "cutoff_width": 0.3,
        "density_width": 0.3,
        "max_angular": 5,
        "n_optimal": 5,
        "n_pairs": [300, 500, 1] if quick else [1000, 1500, 1],
        "n_components": [60, 60, 0] if quick else [150, 150, 0],
        "n_invariant_pairs": [None, 2000, 2000] if quick else [None, 5000, 5000],
        "n_invariants": [None, 150, 300] if quick else [None, 500, 1000],
        "n_purify": [20, 20, 50],
    }


def representation(chosen: dict[str, Any], frames: list[Any]) -> orbas.NICE:
    """Fit the basis and the iteration on structures without looking at energies.

    The center is not part of its own density: it is the same in every environment, and would mix the orders.
    """
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(chosen["cutoff"], width=chosen["cutoff_width"], smoothing="smooth"),
        density_width=chosen["density_width"],
        max_angular=chosen["max_angular"],
        basis=orbas.bases.DVR(30),
        species=(1, 6),
        center_weight=0.0,
    )
    optimal = orbas.OptimalBasis(density, chosen["n_optimal"], per_center=True).fit(frames)
    nice = orbas.NICE(
        optimal.expansion_,
        nu_max=4,
        n_pairs=chosen["n_pairs"],
        n_components=chosen["n_components"],
        n_invariants=chosen["n_invariants"],
        n_invariant_pairs=chosen["n_invariant_pairs"],
        max_lambda=chosen["max_angular"],
        n_purify=chosen["n_purify"],
        per_center=True,
    )
    return nice.fit(frames)


def up_to(nu: int, values: np.ndarray, nice: orbas.NICE) -> np.ndarray:
    """Return the columns of orders 1 to nu out of [structure, center species x feature]."""
    n_columns = sum(nice.n_features_[:nu])
    by_species = values.reshape(len(values), -1, sum(nice.n_features_))
    return np.ascontiguousarray(by_species[:, :, :n_columns]).reshape(len(values), -1)


def learn(columns: np.ndarray, energies: np.ndarray, sizes: list[int], n_test: int) -> list[dict[str, float]]:
    """Fit the first structures, for every size, and predict the last ones."""
    rows = []
    test = slice(len(energies) - n_test, None)
    spread = float(np.std(energies[test]))
    for size in sizes:
        mean = float(np.mean(energies[:size]))  # all have the same composition: its energy is the mean
        fit = fit_ridge(columns[:size], energies[:size] - mean, RULE)
        errors = mean + columns[test] @ fit.weights - energies[test]
        rmse = float(np.sqrt(np.mean(errors**2)))
        rows.append(
            {
                "n_train": size,
                "rmse_eV": rmse,
                "rmse_percent_of_spread": 100 * rmse / spread,
                "mae_eV": float(np.mean(np.abs(errors))),
                "loo_mae_eV": float(fit.errors.min()),
                "alpha": fit.alpha,
            }
        )
    return rows


def table(curves: dict[int, list[dict[str, float]]], sizes: list[int]) -> str:
    """Return test errors as text, a row for each number of training structures."""
    lines = [
        "test RMSE in % of the spread of the energies",
        f"{'n_train':>8}" + "".join(f"  nu <= {nu}" for nu in curves),
    ]
    for k, size in enumerate(sizes):
        lines.append(f"{size:>8}" + "".join(f"{curve[k]['rmse_percent_of_spread']:8.2f}" for curve in curves.values()))
    last = {nu: curve[-1]["rmse_eV"] / curve[-2]["rmse_eV"] for nu, curve in curves.items()}
    lines.append(
        "doubled: " + "".join(f"{factor:8.3f}" for factor in last.values()) + "  error after / before the last step"
    )
    return "\n".join(lines)


def draw(curves: dict[int, list[dict[str, float]]], path: Path) -> None:
    """Draw the learning curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 3.6), layout="constrained")
    axes = figure.subplots()
    sizes = [int(row["n_train"]) for row in curves[ORDERS[0]]]
    for nu, curve in curves.items():
        axes.loglog(sizes, [row["rmse_percent_of_spread"] for row in curve], "o-", label=f"ν ≤ {nu}")
    axes.set_xticks(sizes, labels=[str(size) for size in sizes])
    axes.set_yticks([5, 10, 20, 50], labels=["5", "10", "20", "50"])
    axes.minorticks_off()
    axes.set_xlabel("training structures")
    axes.set_ylabel("test RMSE / % of the spread")
    axes.legend()
    figure.savefig(path, dpi=200)


def main() -> None:
    """Compare the orders."""
    options = parse()
    begin = time.perf_counter()
    chosen = settings(quick=options.quick)
    frames = orbas.read(options.data, index=slice(N_READ))
    needed = chosen["sizes"][-1] + chosen["n_test"]
    if len(frames) < needed:
        raise SystemExit(f"{options.data} holds {len(frames)} structures, {needed} are needed: try --quick")
    order = np.random.default_rng(options.seed).permutation(len(frames))
    train = [frames[k] for k in order[: chosen["sizes"][-1]]]
    test = [frames[k] for k in order[len(order) - chosen["n_test"] :]]
    energies = np.array(orbas.io.collect_labels([*train, *test], energy_key="energy").energies)

    nice = representation(chosen, train[: chosen["n_fit"]])
    fitted = time.perf_counter()
    print(f"features of orders 1 to 4: {nice.n_features_} for C and H each; fit {fitted - begin:.0f} s")
    values = structure_features(nice, [*train, *test]).values
    made = time.perf_counter()
    print(f"features of {5 * len(values)} environments: {made - fitted:.0f} s")
    curves = {}
    for nu in ORDERS:
        curves[nu] = learn(up_to(nu, values, nice), energies, chosen["sizes"], chosen["n_test"])
    print(f"models: {time.perf_counter() - made:.0f} s\n")
    print(f"{len(train)} training, {len(test)} test; spread {np.std(energies[len(train) :]):.3f} eV")
    print(table(curves, chosen["sizes"]))
    if options.plot:
        draw(curves, options.plot)
    if options.json:
        result = {
            "settings": chosen,
            "seed": options.seed,
            "n_features": nice.n_features_,
            "spread_eV": float(np.std(energies[len(train) :])),
            "curves": curves,
            "seconds": time.perf_counter() - begin,
            "processor_seconds": time.process_time(),
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
