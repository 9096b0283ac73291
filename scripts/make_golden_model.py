"""Write the golden model file of the present schema and what it predicts, for ``tests/python/test_model_file.py``.

To be run once for a schema that is released, never again: what it wrote must be readable forever.
"""

from __future__ import annotations

import json
from pathlib import Path

import ase.build
import numpy as np
import orbas
from orbas.files.container import SCHEMA
from orbas.models import Fixed, LinearPotential

GOLDEN = Path(__file__).parents[1] / "tests" / "python" / "golden"


def cells(seeds: range) -> list[ase.Atoms]:
    """Cubic cells of silicon, rattled."""
    frames = [ase.build.bulk("Si", "diamond", a=5.43, cubic=True) for _ in seeds]
    for seed, frame in zip(seeds, frames, strict=True):
        frame.rattle(0.15, seed=seed)
    return frames


def pair_energy(frame: ase.Atoms) -> float:
    """An energy of the right size: 4.6 eV an atom and a Morse-like well for every bond."""
    distances = orbas.neighbor_list("d", frame, 3.5)
    return float(-2.0 * len(frame) + 0.65 * np.sum((1 - np.exp(-1.5 * (distances - 2.35))) ** 2 - 1))


def main() -> None:
    frames = cells(range(24))
    for frame in frames:
        frame.info["REF_energy"] = pair_energy(frame)
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0, 0.5, "smooth"),
        scaling=orbas.RadialScaling(rate=1.0, scale=2.0, exponent=4.0),
        density_width=0.4,
        max_angular=4,
        basis=orbas.bases.DVR(16),
    )
    optimal = orbas.OptimalBasis(density, n_optimal=5).fit(frames)
    potential = LinearPotential(orbas.PowerSpectrum(optimal.expansion_), regularization=Fixed(1e-4)).fit(frames)
    name = f"si-linear-schema{SCHEMA[0]}"
    GOLDEN.mkdir(exist_ok=True)
    potential.save(GOLDEN / f"{name}.orbas")
    unseen = cells(range(100, 103))
    predicted = potential.predict(unseen)
    assert predicted.forces is not None
    expected = {
        "cell": unseen[0].cell.array.tolist(),
        "positions": [frame.positions.tolist() for frame in unseen],
        "energies": predicted.energies.tolist(),
        "forces": [forces.tolist() for forces in predicted.forces],
    }
    (GOLDEN / f"{name}.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    mae = np.mean(np.abs(predicted.energies - [pair_energy(frame) for frame in unseen])) / 8
    print(f"{name}: {1e3 * mae:.1f} meV/atom on unseen cells")


if __name__ == "__main__":
    main()
