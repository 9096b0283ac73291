"""Potentials: a step of molecular dynamics and a fit, against GAP as quippy-ase ships it.

GAP's costs do not depend on what it was trained on, only on the number of representative environments: it is trained on
a few crystals labeled by Stillinger and Weber's potential.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ase.io
import ase.stress
import numpy as np
import orbas
from harness import Case, Contender, Peer, Target, Tier
from orbas.models import Fixed, LinearPotential, Noise, SparseGPR
from setups import Setup, silicon

if TYPE_CHECKING:
    from collections.abc import Callable

    from orbas.models import Potential

SETUP = Setup(n_radial=8, max_angular=6, species=(14,), radius=5.0, smoothing_width=1.0)
LABELS = {"forces_key": "REF_forces", "stress_key": "REF_stress"}
NOISE = Noise(0.001, 0.1, 0.05)


@functools.cache
def training(n_frames: int) -> list[ase.Atoms]:
    """Rattled and strained crystals of 64 atoms with energies, forces and stress."""
    from matscipy.calculators.manybody import Manybody
    from matscipy.calculators.manybody.explicit_forms.stillinger_weber import (
        Stillinger_Weber_PRB_31_5262_Si,
        StillingerWeber,
    )

    frames = []
    for seed in range(n_frames):
        frame = silicon(64).copy()
        random = np.random.default_rng(seed)
        frame.set_cell(frame.cell.array @ (np.eye(3) + 0.03 * random.normal(size=(3, 3))), scale_atoms=True)
        frame.rattle(0.05 + 0.1 * random.random(), seed=seed)
        frame.calc = Manybody(**StillingerWeber(Stillinger_Weber_PRB_31_5262_Si))
        frame.info["REF_energy"] = frame.get_potential_energy()
        frame.arrays["REF_forces"] = frame.get_forces()
        frame.info["REF_stress"] = frame.get_stress()
        frame.info["REF_virial"] = -ase.stress.voigt_6_to_full_3x3_stress(frame.get_stress()) * frame.get_volume()
        frame.calc = None
        frames.append(frame)
    return frames


def sparse(n_sparse: int) -> SparseGPR:
    """The settings of GAP's descriptor; a given regularizer, as it has."""
    return SparseGPR(orbas.PowerSpectrum(SETUP.density()), n_sparse, 4, noise=NOISE, regularization=Fixed(1e-6))


def gap(folder: Path, n_sparse: int, n_frames: int) -> Path:
    """Run gap_fit and return its model."""
    frames = [frame.copy() for frame in training(n_frames)]
    for frame in frames:
        for label in ("energy", "virial"):
            frame.info[label] = frame.info.pop(f"REF_{label}")
        frame.arrays["force"] = frame.arrays.pop("REF_forces")
        frame.info.pop("REF_stress")
    ase.io.write(folder / "train.xyz", frames, format="extxyz")
    model = folder / "gap.xml"
    descriptor = SETUP.quippy().replace("soap ", "soap zeta=4 delta=3.0 f0=0.0 central_weight=1.0 ")
    settings = {
        "at_file": str(folder / "train.xyz"),
        "gap": f"{{{descriptor} n_sparse={n_sparse} covariance_type=dot_product sparse_method=cur_points}}",
        "default_sigma": "{0.001 0.1 0.05 0.0}",
        "energy_parameter_name": "energy",
        "force_parameter_name": "force",
        "virial_parameter_name": "virial",
        "sparse_jitter": "1e-8",
        "e0_method": "average",
        "do_copy_at_file": "F",
        "sparse_separate_file": "T",
        "gp_file": str(model),
    }
    program = Path(sys.executable).parent / "gap_fit"
    if not program.exists():
        raise ImportError("gap_fit", name="quippy-ase")
    subprocess.run([program, *(f"{name}={value}" for name, value in settings.items())], check=True, capture_output=True)
    return model


@functools.cache
def gap_model(n_sparse: int) -> tuple[tempfile.TemporaryDirectory[str], Path]:
    """Fit a GAP to be evaluated, once; the folder goes when the program ends."""
    folder = tempfile.TemporaryDirectory()
    return folder, gap(Path(folder.name), n_sparse, 12)


# --- a step of molecular dynamics -----------------------------------------------------------------------------------


def steps(calculator: object) -> Contender:
    """Energy, forces and stress of 1,000 atoms that move a little, with the neighbors that a calculator remembers."""
    atoms = silicon(1000).copy()
    atoms.calc = calculator
    random = np.random.default_rng(1)

    def move() -> None:
        atoms.positions += 0.002 * random.normal(size=atoms.positions.shape)

    def run() -> None:
        atoms.positions += 1e-6
        atoms.get_stress()
        atoms.get_forces()

    return Contender(run, len(atoms), before=move)


def orbas_step(potential: Callable[[], Potential]) -> Contender:
    return steps(potential().fit(training(12), **LABELS).calculator(skin=0.5, check_every=None))  # type: ignore[attr-defined]


def quippy_step() -> Contender:
    from quippy.potential import Potential as Quippy

    return steps(Quippy(param_filename=str(gap_model(500)[1])))


def linear() -> LinearPotential:
    return LinearPotential(orbas.PowerSpectrum(SETUP.density()), noise=NOISE, regularization=Fixed(1e-6))


STEP = "molecular dynamics step"
STEP_CASES = tuple(
    Case(
        work=STEP,
        size=f"Si-1000, {name}, n 8 l 6 rc 5",
        regime="big cell",
        unit="µs/atom",
        orbas=functools.partial(orbas_step, potential),
        peers=(Peer("quippy GAP, 500 points", quippy_step, Target(target), note="another basis and model"),),
        tier=Tier.DEFAULT,
    )
    for name, potential, target in (("linear", linear, 120), ("500 points", functools.partial(sparse, 500), 40))
)

# --- fits -----------------------------------------------------------------------------------------------------------

N_FIT = 200
N_POINTS = 1000
#: gap_fit takes minutes for as few.
N_GAP = 20


def gap_fit() -> Contender:
    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            gap(Path(folder), N_POINTS, N_GAP)

    training(N_GAP)
    return Contender(run, 1)


FIT_CASE = Case(
    work="fit of a sparse potential",
    size=f"{N_GAP} x Si-64, {N_POINTS} points, n 8 l 6 rc 5, energies, forces and virials",
    regime="big cells",
    unit="s/fit",
    orbas=lambda: Contender(lambda: sparse(N_POINTS).fit(training(N_GAP), **LABELS), 1),
    peers=(Peer("gap_fit", gap_fit, Target(5), note="another basis"),),
    tier=Tier.FULL,
    clock=time.perf_counter,
)


def optimal_fit() -> Contender:
    basis = orbas.OptimalBasis(SETUP.density(orbas.bases.GTO(12)), n_optimal=6)
    return Contender(lambda: basis.fit(training(N_FIT)), 1)


def cheapest_fit() -> Contender:
    basis = orbas.OptimalBasis(SETUP.density(orbas.bases.GTO(12)), n_optimal=6).fit(training(N_FIT))
    potential = LinearPotential(orbas.PowerSpectrum(basis.expansion_), noise=NOISE)
    return Contender(lambda: potential.fit(training(N_FIT), **LABELS), 1)


BASIS_CASE = Case(
    work="fit of an optimal basis",
    size=f"{N_FIT} x Si-64, GTO 12 to 6, l 6",
    regime="big cells",
    unit="s/fit",
    orbas=optimal_fit,
    peers=(Peer("fit of the cheapest model on it, linear", cheapest_fit, Target(10)),),
    tier=Tier.DEFAULT,
)

CASES = (*STEP_CASES, BASIS_CASE, FIT_CASE)
