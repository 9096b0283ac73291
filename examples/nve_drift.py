"""Does dynamics conserve the energy? Runs NVE and prints the slope of a line through the total energy.

Run it: `python examples/nve_drift.py` (50 ps of Si-64 and of a molecule, at 300 and 1000 K: some minutes each;
`--quick` takes seconds), or with a potential of your own:
`python examples/nve_drift.py --model MODEL --structure FILE`.

Forces that are the exact derivatives of a smooth energy leave only the error of the integrator, which fluctuates and
does not drift. The cutoff is therefore the smooth one: its second derivative is continuous. In a molecule heat wanders
between slow and fast modes for a long time, and the total energy with it, by the square of the time step: that is a
slope without being a drift. The shadow energy, which velocity Verlet conserves far better, does not see it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import ase.build
import numpy as np
import orbas
from ase import Atoms, units
from orbas.calculators import ShadowEnergy, dynamics, energy_drift
from orbas.models import LinearPotential, Potential


def silicon() -> tuple[str, Potential, Atoms]:
    """Fit the energies of silicon; a crystal of 64 atoms."""
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(5.0, width=1.0, smoothing="smooth"),
        density_width=0.5,
        max_angular=4,
        basis=orbas.bases.GTO(6),
    )
    model = LinearPotential(orbas.PowerSpectrum(density), regularization="loo").fit(orbas.datasets.silicon())
    return "Si-64", model, ase.build.bulk("Si", cubic=True) * (2, 2, 2)


def molecule() -> tuple[str, Potential, Atoms]:
    """Fit ethanol whose atoms are all joined by springs, 0.5 k (r - r0)^2: bound, and not linear in the features."""
    ethanol = ase.build.molecule("CH3CH2OH")
    rest = ethanol.get_all_distances()
    stiffness = np.where(rest < 1.6, 20.0, 4.0)  # eV/Å^2: bonds, and all others
    frames = []
    for seed in range(600):
        frame = ethanol.copy()
        frame.rattle((0.02, 0.06, 0.12)[seed % 3], seed=seed)
        stretched = np.triu(frame.get_all_distances() - rest)
        frame.info["REF_energy"] = float(0.5 * (stiffness * stretched**2).sum())
        frames.append(frame)
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(5.0, width=1.0, smoothing="smooth"),
        density_width=0.4,
        max_angular=4,
        basis=orbas.bases.GTO(5),
    )
    # One composition only: the energy at rest is no more than a constant, shared by the atoms.
    return "ethanol", LinearPotential(orbas.PowerSpectrum(density), regularization="loo").fit(frames), ethanol


def simulate(atoms: Atoms, potential: Potential, kelvin: float, steps: int, timestep: float) -> str:
    """Run NVE from rest positions, with twice the kinetic energy, half of which becomes potential."""
    atoms = atoms.copy()
    dynamics.draw_velocities(atoms, 2.0 * kelvin, np.random.default_rng(0))
    atoms.calc = potential.calculator(check_every=None)
    integrator, _ = dynamics.nve(atoms, timestep)
    start, energies, temperatures = time.perf_counter(), [], []
    shadow = ShadowEnergy(atoms, timestep * units.fs)
    for _ in integrator.irun(steps):
        shadow.record()
        energies.append(atoms.get_total_energy() / len(atoms))
        temperatures.append(dynamics.temperature(atoms))
    speed = steps / (time.perf_counter() - start)
    times = 1e-3 * timestep * np.arange(steps + 1)
    drifts = [energy_drift(times, energies), energy_drift(times[1:-1], np.array(shadow.energies) / len(atoms))]
    columns = [f"{drift.slope:+11.2e} ±{drift.resolution:6.0e} {drift.fluctuation:12.2e}" for drift in drifts]
    return f"{np.mean(temperatures):8.1f} {' '.join(columns)} {speed:9.0f}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="energy drift of NVE dynamics")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a file of a potential, with --structure")
    parser.add_argument("--structure", type=Path, metavar="FILE", help="extended XYZ; the first structure is taken")
    parser.add_argument("--kelvin", type=float, nargs="+", default=[300.0, 1000.0], metavar="K")
    parser.add_argument("--picoseconds", type=float, default=50.0, metavar="PS")
    parser.add_argument("--timestep", type=float, default=1.0, metavar="FS")
    parser.add_argument("--quick", action="store_true", help="0.1 ps: too short to tell a drift")
    options = parser.parse_args()
    if (options.model is None) != (options.structure is None):
        parser.error("--model and --structure go together")

    if options.model is None:
        systems = [silicon(), molecule()]
    else:
        systems = [(options.structure.stem, orbas.load(options.model), orbas.read(options.structure)[0])]
    steps = round(1e3 * (0.1 if options.quick else options.picoseconds) / options.timestep)
    print(f"{steps:,} steps of {options.timestep:g} fs; K; drift ± error in meV/atom/ps; noise in meV/atom")
    print("system      start     mean  total energy: drift       noise  shadow: drift             noise   steps/s")
    for name, potential, atoms in systems:
        for kelvin in options.kelvin:
            print(f"{name:10s} {kelvin:6.0f} {simulate(atoms, potential, kelvin, steps, options.timestep)}", flush=True)


if __name__ == "__main__":
    main()
