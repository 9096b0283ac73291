"""Fit a basis on a stream of structures: any batches, whole sets that never fit into memory, the same basis.

Run it: `python examples/streaming_fit.py` (a few seconds).
"""

from __future__ import annotations

import itertools

import numpy as np
import orbas
from ase.data import chemical_symbols


def stream():
    """Stand in for a file that is read piece by piece."""
    yield from orbas.datasets.qm9(300)


def main() -> None:
    """Fit in batches, then at once, and compare."""
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0), density_width=0.3, max_angular=4, basis=orbas.bases.GTO(10)
    )
    streamed = orbas.OptimalBasis(density, n_optimal=8)
    molecules = stream()
    # Batches of any size, each with the species it happens to have.
    for size in (5, 95, 200):
        streamed.partial_fit(list(itertools.islice(molecules, size)))
        species = [chemical_symbols[number] for number in streamed.species_]
        lost = streamed.residual_variance_[7]
        print(f"{streamed.n_environments_:5d} environments of {', '.join(species)}: 8 functions lose {lost:.3e}")

    at_once = orbas.OptimalBasis(density, n_optimal=8).fit(list(stream()))
    pairs = zip(streamed.contraction_, at_once.contraction_, strict=True)
    difference = max(np.abs(a - b).max() for a, b in pairs)
    print(f"largest difference from one fit of everything: {difference:.0e}")


if __name__ == "__main__":
    main()
