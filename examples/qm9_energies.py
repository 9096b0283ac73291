"""Fit an optimal basis on molecules, train a linear energy model on it, and compare with a basis of the same size.

Run it: `python examples/qm9_energies.py` (a few seconds; `--n-train 1500` gives the numbers of the README).
"""

from __future__ import annotations

import argparse

import orbas

KCAL_PER_MOL = 0.0433641  # eV
SPECIES = (1, 6, 7, 8, 9)  # named once, so that no choice of molecules changes the channels


def density(n_radial: int) -> orbas.DensityExpansion:
    """Return the same density on GTOs; only their number differs."""
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(5.0, width=0.5),
        scaling=orbas.RadialScaling(rate=1.0, scale=2.0, exponent=7.0),
        density_width=0.3,
        max_angular=5,
        basis=orbas.bases.GTO(n_radial),
        species=SPECIES,
    )


def main() -> None:
    """Compare learning curves of the two bases."""
    parser = argparse.ArgumentParser(description="energies of QM9 molecules")
    parser.add_argument("--n-train", type=int, default=400, help="training molecules, at most 1500 (default 400)")
    parser.add_argument("--n-optimal", type=int, default=5, help="optimal functions kept for every l (default 5)")
    options = parser.parse_args()

    frames = orbas.datasets.qm9()
    train, test = frames[: options.n_train], frames[-500:]

    # The primitive basis is large; what is evaluated afterwards are n_optimal functions that mix all species.
    optimal = orbas.OptimalBasis(density(12), n_optimal=options.n_optimal).fit(train)
    lost = optimal.residual_variance_[options.n_optimal - 1]
    print(f"{options.n_optimal} optimal functions keep {1 - lost:.1%} of the variance of the density")

    expansions = {"GTO, 1 per species": density(1), "optimal, mixed": optimal.expansion_}
    sizes = [size for size in (100, 200, 400, 800) if size < options.n_train] + [options.n_train]
    for name, expansion in expansions.items():
        model = orbas.models.LinearPotential(orbas.PowerSpectrum(expansion))
        curve = orbas.models.learning_curve(model, train, test, sizes, energy_key="U0")
        errors = ", ".join(
            f"{error / KCAL_PER_MOL:.2f} ({size})" for size, error in zip(curve.sizes, curve.mae, strict=True)
        )
        channels = expansion.channel_counts(SPECIES)[0][0]
        print(f"{name} ({channels} channels): MAE in kcal/mol (training molecules): {errors}")


if __name__ == "__main__":
    main()
