"""``orbas md`` and ``orbas driver``: potentials from files in simulations."""

from __future__ import annotations

import io
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from ase.calculators.calculator import CalculatorError
from ase.io.extxyz import write_extxyz

from orbas.calculators.drift import energy_drift
from orbas.cli import inputs
from orbas.cli.console import plain_warnings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import TextIO

    from ase import Atoms

    from orbas.calculators.ase_calculator import OrbasCalculator
    from orbas.calculators.drift import EnergyDrift
    from orbas.cli.console import Console

SCHEMA = 1
#: Time constants of thermostat and barostat, fs.
THERMOSTAT, BAROSTAT = 100.0, 1000.0


@dataclass(slots=True)
class Run:
    """What is recorded at every step: times in ps, conserved energies in eV/atom, temperatures in K."""

    times: list[float] = field(default_factory=list)
    conserved: list[float] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)
    n_written: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def steps(self) -> int:
        """Steps done; the start is none."""
        return max(len(self.times) - 1, 0)

    @property
    def drift(self) -> EnergyDrift | None:
        """Of the conserved energy; None for a run that is too short."""
        return energy_drift(self.times, self.conserved) if len(self.times) > 2 else None


def run(options: argparse.Namespace, console: Console) -> None:
    """Run dynamics, write a trajectory, tell how well energy was conserved."""
    atoms = _structure(options, console)
    if options.output is not None:
        inputs.check_output(options.output)
    calculator = _calculator(options, console)
    atoms.calc = calculator
    rng = np.random.default_rng(options.seed)
    _heat(atoms, options.temperature, rng)
    dynamics, conserved = _dynamics(atoms, options, rng)
    console.say(
        f"{options.ensemble.upper()} of {atoms.get_chemical_formula()}: {options.steps:,} steps of "
        f"{options.timestep:g} fs from {options.temperature:g} K"
    )
    with plain_warnings():
        done = _simulate(atoms, dynamics, conserved, options, console)
    _report(done, calculator, options, console)
    if done.interrupted:
        raise KeyboardInterrupt


def drive(options: argparse.Namespace, console: Console) -> None:
    """Answer i-PI or another server of its protocol."""
    from orbas import load
    from orbas.calculators.ipi import run_driver

    atoms = _structure(options, console)
    where = {"unixsocket": options.unix} if options.unix else {"host": options.host, "port": options.port}
    answered = run_driver(load(options.model), atoms, **where)
    console.say(f"answered {answered:,} structures")
    console.document({"schema": SCHEMA, "command": "driver", "answered": answered})


def _structure(options: argparse.Namespace, console: Console) -> Atoms:
    """Return the one structure that was asked for."""
    frames = inputs.read_structures([options.structure], console).frames
    if options.index is None and len(frames) > 1:
        raise ValueError(f"{options.structure} has {len(frames)} structures: choose one with --index 0, 1, ...")
    try:
        chosen: Atoms = frames[options.index or 0].copy()
    except IndexError:
        raise ValueError(f"{options.structure} has no structure {options.index}, but {len(frames)}") from None
    return chosen


def _calculator(options: argparse.Namespace, console: Console) -> OrbasCalculator:
    from orbas import load

    calculator: OrbasCalculator = load(options.model).calculator(
        skin=options.skin, check_every=options.check_every or None, on_extrapolation=options.on_extrapolation
    )
    console.say(f"read  {options.model}: a potential of {inputs.symbols(calculator.species)}")
    return calculator


def _heat(atoms: Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Draw velocities of exactly this temperature, in K, with the center of mass at rest."""
    masses = atoms.get_masses()[:, None]
    momenta = np.sqrt(masses) * rng.normal(size=(len(atoms), 3))
    momenta -= masses * momenta.sum(axis=0) / masses.sum()
    atoms.set_momenta(momenta)
    found = atoms.get_temperature()
    if found > 0.0:  # one atom alone is at rest
        atoms.set_momenta(np.sqrt(temperature / found) * momenta)


def _dynamics(atoms: Atoms, options: argparse.Namespace, rng: np.random.Generator) -> tuple[Any, Callable[[], float]]:
    """Return the integrator, and the energy in eV that it conserves."""
    step, temperature = options.timestep * units.fs, options.temperature
    if options.ensemble == "nve":
        from ase.md.verlet import VelocityVerlet

        return VelocityVerlet(atoms, step), atoms.get_total_energy
    if options.ensemble == "nvt":
        from ase.md.bussi import Bussi

        bussi = Bussi(atoms, step, temperature, taut=THERMOSTAT * units.fs, rng=rng)
        return bussi, lambda: float(atoms.get_total_energy() - bussi.transferred_energy)
    from ase.md.nose_hoover_chain import IsotropicMTKNPT

    if not all(atoms.pbc):
        raise ValueError("--ensemble npt needs a structure that is periodic in three directions")
    npt = IsotropicMTKNPT(
        atoms, step, temperature, options.pressure * units.GPa, THERMOSTAT * units.fs, BAROSTAT * units.fs
    )
    return npt, npt.get_conserved_energy


def _simulate(
    atoms: Atoms, dynamics: Any, conserved: Callable[[], float], options: argparse.Namespace, console: Console
) -> Run:
    done = Run()
    with (
        _trajectory(options) as file,
        _deferred_interrupt() as interrupted,
        console.progress(options.steps, "dynamics", "step") as bar,
    ):
        start = time.perf_counter()
        try:
            for _ in dynamics.irun(options.steps):
                done.times.append(1e-3 * options.timestep * len(done.times))
                done.conserved.append(float(conserved()) / len(atoms))
                done.temperatures.append(float(atoms.get_temperature()))
                last = interrupted() or done.steps == options.steps
                if file is not None and (last or done.steps % options.every == 0):
                    _append(file, atoms, done)
                done.seconds = time.perf_counter() - start
                bar.update(int(done.steps > 0))
                if interrupted():
                    done.interrupted = True
                    break
        except CalculatorError as error:
            raise ValueError(f"after step {done.steps}: {error}") from error
    return done


def _append(file: TextIO, atoms: Atoms, done: Run) -> None:
    """Write a structure at once: no reader, and no interrupt, sees half of it."""
    frame = atoms.copy()
    frame.calc = atoms.calc
    frame.info.update(step=done.steps, time_ps=done.times[-1])
    text = io.StringIO()
    write_extxyz(text, [frame])
    file.write(text.getvalue())
    file.flush()
    done.n_written += 1


@contextmanager
def _trajectory(options: argparse.Namespace) -> Iterator[TextIO | None]:
    if options.output is None:
        yield None
    else:
        with options.output.open("w", encoding="utf-8") as file:
            yield file


@contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C only be remembered, so that a step ends and files are whole; the second acts at once."""
    seen = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield seen.is_set
        return

    def remember(_: int, __: FrameType | None) -> None:
        seen.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield seen.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _report(done: Run, calculator: OrbasCalculator, options: argparse.Namespace, console: Console) -> None:
    drift, speed = done.drift, done.steps / done.seconds if done.seconds > 0.0 else 0.0
    temperature = float(np.mean(done.temperatures))
    console.say(f"{done.steps:,} steps in {done.seconds:.1f} s: {speed:.1f} steps/s")
    console.say(f"mean temperature {temperature:.1f} K")
    if drift is not None:
        console.say(
            f"drift of the conserved energy {drift.slope:+.2e} ± {drift.resolution:.0e} meV/atom/ps, "
            f"fluctuation {drift.fluctuation:.2e} meV/atom"
        )
    largest = calculator.largest_extrapolation
    if largest is not None:
        console.say(f"largest extrapolation {largest:.2f}: {'not ' if largest > 1.0 else ''}within the training set")
    if options.output is not None:
        console.say(f"wrote {options.output}: {done.n_written:,} structures")
    console.document({
        "schema": SCHEMA,
        "command": "md",
        "model": str(options.model),
        "structure": str(options.structure),
        "ensemble": options.ensemble,
        "temperature": options.temperature,
        "timestep": options.timestep,
        "seed": options.seed,
        "steps": done.steps,
        "interrupted": done.interrupted,
        "mean_temperature": temperature,
        "drift": None if drift is None else asdict(drift),
        "largest_extrapolation": largest,
        "steps_per_second": speed,
        "seconds": done.seconds,
        "output": None if options.output is None else str(options.output),
        "written": done.n_written,
    })  # fmt: skip
