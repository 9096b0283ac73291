"""Every verb of every invariant on every kind of batch, each in a few numbers: what later changes must not change.

``python tests/python/golden_numbers.py`` writes ``golden/invariants.json``, with ``--bits`` prints digests of the bits.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import ase
import ase.build
import numpy as np
import orbas
from orbas.invariants.selected_spectrum import SelectedPowerSpectrum
from orbas.models.kernel import KernelDesign, KernelTerm

FILE = Path(__file__).parent / "golden" / "invariants.json"
SPECIES = (1, 6, 8, 14)


def molecule(name, seed):
    """A molecule of the catalog of ase, rattled."""
    atoms = ase.build.molecule(name)
    atoms.rattle(0.1, seed=seed)
    return atoms


def silicon(repeat, seed):
    """Diamond; the cell of two atoms is smaller than the cutoff, so that atoms see several images of another."""
    atoms = ase.build.bulk("Si", "diamond", a=5.43) * repeat
    atoms.rattle(0.1, seed=seed)
    return atoms


def batches():
    """One structure, several, periodic ones, and all kinds in one list with a lone atom and none at all."""
    molecules = [molecule(name, k) for k, name in enumerate(["CH3CH2OH", "C6H6", "H2O", "CH3COOH"])]
    cells = [silicon((1, 1, 1), 5), silicon((2, 2, 2), 6), silicon((3, 2, 1), 7)]
    mixed = [cells[0], molecules[0], ase.Atoms("O"), ase.Atoms(), molecules[1], cells[1]]
    return {"one": molecules[:1], "molecules": molecules, "cells": cells, "mixed": mixed}


def density_for(**changes):
    """A small expansion of four species."""
    settings = {
        "cutoff": orbas.Cutoff(4.0, 1.0, "smooth"),
        "scaling": orbas.RadialScaling(rate=1.0, scale=2.0, exponent=4.0),
        "density_width": 0.45,
        "max_angular": 3,
        "basis": orbas.bases.GTO(n_radial=2),
        "species": SPECIES,
    }
    return orbas.DensityExpansion(**{**settings, **changes})


def contracted(per_center, n_optimal=3):
    """Combined channels, the same for all centers or not."""
    basis = orbas.OptimalBasis(density_for(), n_optimal=n_optimal, mixing="combined", per_center=per_center)
    return basis.fit(batches()["mixed"]).expansion_


def invariants():
    """Each with a name; those that are fitted, on all batches."""
    flat = density_for(max_angular=2, basis=orbas.bases.GTO(n_radial=1))
    nice = orbas.NICE(contracted(False, 2), 3, n_pairs=30, n_components=5, n_invariants=12, n_purify=2)
    nice.fit(batches()["mixed"])
    return {
        "radial": orbas.RadialSpectrum(density_for()),
        "power": orbas.PowerSpectrum(density_for()),
        "power-combined": orbas.PowerSpectrum(contracted(False)),
        "power-per-center": orbas.PowerSpectrum(contracted(True)),
        "selected": SelectedPowerSpectrum(density_for(), [3, 0, 141, 17, 60, 99, 20]),
        "bispectrum": orbas.Bispectrum(flat),
        "nice": nice,
        "nice-all": orbas.NICE(flat, 3, n_components=[None, 0], max_lambda=2).fit(batches()["mixed"]),
    }


def kernel_for(invariant):
    """A kernel on the environments of the molecules: three points of hydrogen, one of carbon, none of the others."""
    features = invariant.transform(batches()["molecules"])
    of = {number: features.values[features.center_numbers == number] for number in features.species}
    points = {1: of[1][[0, 4, 9]], 6: of[6][:1], 8: of[8][:0], 14: of[14][:0]}
    return KernelDesign((KernelTerm.of(invariant, 3, 1.0, points),))


def arrays_of(name, invariant, frames):
    """Yield the results of every verb, each an array."""
    features = invariant.transform(frames)
    yield "values", features.values
    yield "values-single", invariant.transform(frames, single_precision=True).values if name != "bispectrum" else None
    weights = np.random.default_rng(1).normal(size=(len(SPECIES), features.values.shape[1]))
    yield from energies_of("linear", invariant.linear_energies(frames, weights))
    rows = list(invariant.jacobian_rows(frames))
    yield "rows", np.concatenate([row.positions.ravel() for row in rows])
    yield "rows-strain", np.concatenate([row.strain.ravel() for row in rows])
    if not isinstance(invariant, orbas.PowerSpectrum | orbas.RadialSpectrum):
        return
    gradients = invariant.transform(frames, gradients=True).gradients
    yield "gradients", gradients.values
    yield "gradients-strain", invariant.strain_gradients(frames)
    design = kernel_for(invariant)
    yield "kernel", design.atoms(frames)
    derivatives = list(design.derivatives(frames))
    yield "kernel-rows", np.concatenate([row.positions.ravel() for row in derivatives])
    yield "kernel-strain", np.concatenate([row.strain.ravel() for row in derivatives])
    term = design.terms[0]
    points = [term.weighted(np.random.default_rng(2).normal(size=design.n_columns))]
    yield from energies_of("sparse", design.evaluate(frames, points, None))


def energies_of(name, energies):
    yield f"{name}-atoms", np.concatenate(energies.atoms)
    yield f"{name}-forces", np.concatenate(energies.forces)
    yield f"{name}-virials", energies.virials


def digest(array):
    """Norm, and two projections on fixed random directions."""
    flat = np.asarray(array, dtype=np.float64).ravel()
    directions = np.random.default_rng(3).normal(size=(2, flat.size))
    return [float(np.linalg.norm(flat)), *(float(d @ flat) for d in directions)]


def bits(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def numbers(measure=digest):
    """Return what is to be kept: a digest by invariant, batch and verb."""
    result = {}
    for name, invariant in invariants().items():
        for batch, frames in batches().items():
            for verb, array in arrays_of(name, invariant, frames):
                if array is not None:
                    result[f"{name}/{batch}/{verb}"] = measure(array)
    return result


if __name__ == "__main__":
    if "--bits" in sys.argv:
        print(json.dumps(numbers(bits), indent=0))
    else:
        text = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in numbers().items())
        FILE.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
