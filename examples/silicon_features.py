"""Features of silicon: as many functions for each l as the data ask for, then one row per atom or per structure.

Run it: `python examples/silicon_features.py` (a few seconds; `--plot functions.png` also draws the functions).
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
import orbas


def main() -> None:
    """Fit a basis, then compute coefficients and features."""
    parser = argparse.ArgumentParser(description="features of silicon structures")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the optimal functions")
    options = parser.parse_args()

    frames = orbas.datasets.silicon(200)
    kinds = Counter(frame.info["config_type"] for frame in frames)
    print(f"{len(frames)} structures, {sum(map(len, frames))} atoms: {', '.join(sorted(kinds))}")

    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(5.0, width=0.5, smoothing="smooth"),  # C2: forces will be smooth
        density_width=0.4,
        max_angular=6,
        basis=orbas.bases.DVR(30),
    )
    # Not a number of functions but what may be lost: the number kept then differs by l.
    optimal = orbas.OptimalBasis(density, residual=1e-3).fit(frames)
    counts = optimal.expansion_.channel_counts(optimal.species_)[0]
    print("functions for l = 0, 1, ...:", *counts)
    if options.plot:
        optimal.plot(degrees=[0, 3]).savefig(options.plot, dpi=200)

    # Coefficients [sample, m, q] of one symmetry ...
    blocks = optimal.expansion_.transform(frames)
    block = blocks[1, 2, 1, 14]  # nu, o3_lambda, o3_sigma, center_species
    print("coefficients with l = 2 [sample, m, q]:", block.values.shape)

    # ... and invariant features, one row per atom, or summed over each structure.
    features = orbas.PowerSpectrum(optimal.expansion_).transform(frames)
    print("power spectrum [atom, feature]:", features.values.shape)
    means = features.per_structure() / np.array([[len(frame)] for frame in frames])

    # Which kinds of structures look alike on average?
    diamond = means[[frame.info["config_type"] == "diamond" for frame in frames]].mean(axis=0)
    for kind in sorted(kinds):
        mean = means[[frame.info["config_type"] == kind for frame in frames]].mean(axis=0)
        cosine = mean @ diamond / (np.linalg.norm(mean) * np.linalg.norm(diamond))
        print(f"  {kind:20s} similarity to diamond {cosine:.4f}")


if __name__ == "__main__":
    main()
