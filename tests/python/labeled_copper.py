"""Copper by effective medium theory: a small set with right labels, to be damaged."""

from __future__ import annotations

import copy
import functools
import logging

import numpy as np
import orbas
from ase.build import bulk
from ase.calculators.emt import EMT
from orbas.models import LinearPotential


def labeled(seed, *, cubes=(1, 1, 1), rattle=0.1, strain=0.01, symbol="Cu", config="bulk"):
    """One structure with energy, forces and stress."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", "fcc", a=3.61, cubic=True) * cubes
    atoms.set_cell(atoms.cell @ (np.eye(3) + strain * rng.normal(size=(3, 3))), scale_atoms=True)
    atoms.rattle(rattle, seed=seed)
    atoms.symbols[0] = symbol
    truth = atoms.copy()
    truth.calc = EMT()
    atoms.info |= {"config_type": config, "REF_energy": truth.get_potential_energy(), "REF_stress": truth.get_stress()}
    atoms.arrays["REF_forces"] = truth.get_forces()
    return atoms


@functools.cache
def _made(n):
    return [labeled(k, config="hot" if k % 3 else "cold", rattle=0.1 if k % 3 else 0.06) for k in range(n)]


def copper(n=60):
    """Copies of n structures."""
    return copy.deepcopy(_made(n))


def spectrum(species=(29,), cutoff=4.5):
    """A small representation."""
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(cutoff, 1.0, "smooth"),
        density_width=0.5,
        max_angular=3 if len(species) == 1 else 2,
        basis=orbas.bases.GTO(5 if len(species) == 1 else 3),
        species=list(species),
    )
    return orbas.PowerSpectrum(density)


def fit(frames, *, kinds="EFS", model=None, **options):
    """Return a model fitted to some kinds of labels."""
    model = LinearPotential(spectrum(), **options) if model is None else model
    return model.fit(
        frames,
        forces_key="REF_forces" if "F" in kinds else None,
        stress_key="REF_stress" if "S" in kinds else None,
    )


def topics(model):
    """Topics of what was found, without what is only worth a line of information."""
    return {finding.topic for finding in model.findings_ if finding.is_warning}


def said(caplog):
    """All warnings as one text."""
    return "\n".join(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
