"""Energies of QM9 molecules: a linear model on NICE features against one on the power spectrum of the same basis.

Both models see the same optimal radial functions, so what differs is how many neighbors are correlated: two by the
power spectrum, up to three by NICE. A power spectrum of more functions stands beside them, as a model with
more columns learns more in any case. Then, how much the shared basis loses for single terms against one
that is optimal for the term (Eq. 16 of Goscinski et al., J. Chem. Phys. 155, 104106 (2021)).

Run it: `python examples/qm9_nice.py` (some minutes on one core and 2 GB; needs `pip install orbas[qm9]`), or with
`--quick` on molecules that come with the package; `--json errors.json` writes all numbers.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orbas
from orbas.invariants.nice import adapted_basis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

KCAL_PER_MOL = 0.0433641  # eV
SPECIES = (1, 6, 7, 8, 9)
#: (nu, o3_lambda, o3_sigma) whose first channel is looked at with Eq. 16.
TERMS = ((1, 0, 1), (1, 1, 1), (1, 3, 1), (2, 0, 1), (2, 1, 1), (2, 1, -1), (2, 3, 1))


@dataclass(frozen=True, slots=True)
class Settings:
    """All numbers of a run."""

    sizes: tuple[int, ...] = (1250, 2500, 5000, 10_000)
    n_test: int = 2000
    n_fit: int = 1000
    n_terms: int = 150
    n_optimal: int = 8
    n_more: int = 12
    n_pairs: tuple[int, ...] = (1000, 1)
    n_components: tuple[int, ...] = (150, 0)
    n_invariant_pairs: tuple[int | None, ...] = (None, 5000)
    n_invariants: tuple[int | None, ...] = (None, 500)
    n_purify: int = 20


QUICK = Settings(
    sizes=(250, 500, 1000),
    n_test=500,
    n_fit=200,
    n_terms=50,
    n_optimal=5,
    n_more=8,
    n_pairs=(300, 1),
    n_components=(50, 0),
    n_invariant_pairs=(None, 1500),
    n_invariants=(None, 150),
)


def parse() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description="energies of QM9 with correlations of three neighbors")
    parser.add_argument("--quick", action="store_true", help="1,500 of the molecules that come with the package")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of molecules (default 0)")
    parser.add_argument("--json", type=Path, metavar="FILE.json", help="write all numbers")
    return parser.parse_args()


def fit_basis(n_optimal: int, frames: Sequence[Atoms]) -> orbas.OptimalBasis:
    """Fit functions that mix all species."""
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(5.0, width=0.5),
        scaling=orbas.RadialScaling(rate=1.0, scale=2.0, exponent=7.0),
        density_width=0.3,
        max_angular=5,
        basis=orbas.bases.GTO(12),
        species=SPECIES,
    )
    return orbas.OptimalBasis(density, n_optimal).fit(frames)


def fit_nice(optimal: orbas.OptimalBasis, chosen: Settings, frames: Sequence[Atoms]) -> orbas.NICE:
    """Fit an iteration for every center species; a power spectrum is a part of it, uncontracted."""
    nice = orbas.NICE(
        optimal.expansion_,
        nu_max=3,
        n_pairs=chosen.n_pairs,
        n_components=chosen.n_components,
        n_invariants=chosen.n_invariants,
        n_invariant_pairs=chosen.n_invariant_pairs,
        max_lambda=5,
        n_purify=chosen.n_purify,
        per_center=True,
    )
    return nice.fit(frames)


def learn(representation: Any, train: Sequence[Atoms], test: Sequence[Atoms], sizes: Sequence[int]) -> dict[str, Any]:
    """Return errors on test molecules in kcal/mol; leave-one-out errors choose the regularizer."""
    begin = time.perf_counter()
    model = orbas.models.LinearPotential(representation, regularization="loo")
    curve = orbas.models.learning_curve(model, train, test, sizes, energy_key="U0")
    n_columns = representation.transform(test[:1]).values.shape[1] * len(SPECIES)
    return {
        "n_columns": n_columns,
        "n_train": list(sizes),
        "mae": (curve.mae / KCAL_PER_MOL).tolist(),
        "rmse": (curve.rmse / KCAL_PER_MOL).tolist(),
        "baseline_mae": (curve.baseline_mae / KCAL_PER_MOL).tolist(),
        "seconds": time.perf_counter() - begin,
    }


def lost_by_sharing(optimal: orbas.OptimalBasis, nice: orbas.NICE, frames: Sequence[Atoms]) -> list[dict[str, Any]]:
    """Return what a shared basis loses for each term, of the variance weighted as Eq. 16 asks."""
    shared = orbas.OptimalBasis(**optimal.get_params(deep=False)).fit(frames)
    rows = []
    for nu, o3_lambda, o3_sigma in TERMS:
        term = {"nu": nu, "o3_lambda": o3_lambda, "o3_sigma": o3_sigma}
        adapted, lost = adapted_basis(shared, nice, frames, **term)
        rows.append({**term, "lost": lost, "residual_adapted": 1 - adapted.captured_variance(adapted)})
    return rows


def table(curves: dict[str, dict[str, Any]], sizes: Sequence[int]) -> str:
    """Return test errors as text, a row for each model."""
    lines = [f"{'MAE in kcal/mol':<34}{'columns':>8}" + "".join(f"{size:>9}" for size in sizes)]
    for name, curve in curves.items():
        lines.append(f"{name:<34}{curve['n_columns']:>8}" + "".join(f"{mae:>9.3f}" for mae in curve["mae"]))
    return "\n".join(lines)


def main() -> None:
    """Compare the models, then the bases."""
    options = parse()
    chosen = QUICK if options.quick else Settings()
    begin = time.perf_counter()
    frames = orbas.datasets.qm9(chosen.sizes[-1] + chosen.n_test, seed=options.seed)
    train, test = frames[: chosen.sizes[-1]], frames[chosen.sizes[-1] :]

    some = train[: chosen.n_fit]
    optimal = fit_basis(chosen.n_optimal, some)
    nice = fit_nice(optimal, chosen, some)
    print(f"{len(train)} training, {len(test)} test molecules; features of orders 1 to 3: {nice.n_features_}")
    spectrum, nice_name = f"power spectrum, {chosen.n_optimal} functions", f"NICE nu <= 3, {chosen.n_optimal} functions"
    representations = {
        spectrum: orbas.PowerSpectrum(optimal.expansion_),
        f"power spectrum, {chosen.n_more} functions": orbas.PowerSpectrum(fit_basis(chosen.n_more, some).expansion_),
        nice_name: nice,
    }
    curves = {name: learn(made, train, test, chosen.sizes) for name, made in representations.items()}
    print(table(curves, chosen.sizes))
    factor = curves[spectrum]["mae"][-1] / curves[nice_name]["mae"][-1]
    print(f"composition alone: {curves[spectrum]['baseline_mae'][-1]:.2f}")
    print(f"NICE has {factor:.2f} times less error than the power spectrum of the same functions\n")

    terms = lost_by_sharing(optimal, nice, train[: chosen.n_terms])
    print("share of its weighted variance that a term loses to the shared basis (Eq. 16), of as many functions")
    print(" nu  lambda sigma      lost by sharing    lost by its own basis")
    for row in terms:
        name = f"{row['nu']:3d}{row['o3_lambda']:8d}{row['o3_sigma']:+6d}"
        print(f"{name}{row['lost']:21.2e}{row['residual_adapted']:25.2e}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds = time.perf_counter() - begin
    print(f"\n{seconds:.0f} s, {memory:.2f} GB")
    if options.json:
        result = {"curves": curves, "factor": factor, "terms": terms, "seconds": seconds, "memory_GB": memory}
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
