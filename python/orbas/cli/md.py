"""``orbas md``: dynamics with a potential from a file."""

from __future__ import annotations

import io
import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import CalculatorError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import write_extxyz

from orbas.calculators import dynamics
from orbas.calculators.ase_calculator import ExtrapolationError
from orbas.calculators.drift import energy_drift
from orbas.cli import inputs
from orbas.cli.signals import deferred_signals
from orbas.cli.start import start_structure
from orbas.files.outputs import FileKind, check_output
from orbas.files.trajectory import TrajectoryFile
from orbas.structures.geometry import without_labels

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ase import Atoms

    from orbas.calculators.ase_calculator import OrbasCalculator
    from orbas.calculators.drift import EnergyDrift
    from orbas.cli.console import Console
    from orbas.cli.signals import Deferred

SCHEMA = 1
#: K, of the first velocities and thermostats where nothing else is said.
TEMPERATURE = 300.0


@dataclass
class Run:
    """What is recorded at every step: times in ps, conserved energies in eV/atom, temperatures in K."""

    times: list[float] = field(default_factory=list)
    conserved: list[float] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False
    #: Why the run was stopped before its end.
    stopped: str | None = None

    @property
    def steps(self) -> int:
        """Steps done; the start is none."""
        return max(len(self.times) - 1, 0)

    @property
    def drift(self) -> EnergyDrift | None:
        """Of the conserved energy; None for a run that is too short, or whose energy was lost."""
        fine = len(self.times) > 2 and np.isfinite(self.conserved).all()
        return energy_drift(self.times, self.conserved) if fine else None


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond these a run has exploded: a temperature in K, a ratio of extrapolation."""

    temperature: float
    extrapolation: float

    @classmethod
    def of(cls, atoms: Atoms, options: argparse.Namespace) -> Limits:
        """Return those that were asked for, or what no run reaches that is worth its time."""
        limit = options.max_temperature
        if limit is None:
            # Few degrees of freedom fluctuate far: 60 / n more are never reached by chance.
            degrees = max(dynamics.degrees_of_freedom(atoms), 1)
            usual = max(TEMPERATURE, _asked_temperature(options), np.nan_to_num(dynamics.temperature(atoms)))
            limit = (10.0 + 60.0 / degrees) * usual
        ignored = options.on_extrapolation == "ignore"
        return cls(limit, math.inf if ignored else options.max_extrapolation)

    def exceeded(self, done: Run, calculator: OrbasCalculator) -> str | None:
        """Return what is wrong with the last step; None if nothing is."""
        kelvin, energy = done.temperatures[-1], done.conserved[-1]
        at = f"the run exploded at step {done.steps}" if done.steps else "the start cannot be run"
        if not math.isfinite(energy) or math.isinf(kelvin):
            return f"{at}: its energy is not finite"
        if kelvin > self.temperature:
            return (
                f"{at}: its temperature of {kelvin:.0f} K is above --max-temperature ({self.temperature:.0f} K); try a "
                "smaller --timestep, a relaxed start, or a potential that was trained on such structures"
            )
        ratio = calculator.largest_extrapolation or 0.0
        if ratio > self.extrapolation:
            return (
                f"{at}: its extrapolation of {ratio:.3g} is above --max-extrapolation ({self.extrapolation:g}); "
                "the potential knows nothing of such structures"
            )
        return None


def run(options: argparse.Namespace, console: Console) -> None:
    """Run dynamics, write a trajectory, tell how well energy was conserved."""
    if options.output is not None:
        check_output(options.output, FileKind.STRUCTURES, [options.model, options.structure])
    atoms = start_structure(options, console)
    dynamics.check_dynamics(atoms)
    calculator = _calculator(options, console)
    rng = np.random.default_rng(options.seed)
    velocities = _start(atoms, options, rng)
    atoms.calc = calculator
    kinetic = atoms.get_kinetic_energy()
    integrator, conserved = _integrator(atoms, options, rng)
    if kinetic - atoms.get_kinetic_energy() > 1e-4 * kinetic:
        velocities += ", the center of mass put at rest"
    if options.ensemble != "nve":
        velocities += f", kept at {_kelvin(_asked_temperature(options))}"
    console.say(
        f"{options.ensemble.upper()} of {atoms.get_chemical_formula()}: {options.steps:,} steps of "
        f"{options.timestep:g} fs from {_kelvin(dynamics.temperature(atoms))}, {velocities}"
    )
    output = nullcontext() if options.output is None else TrajectoryFile(options.output)
    with deferred_signals() as signals, output as file:
        done = _simulate(atoms, integrator, conserved, options, console, file, signals)
    _report(done, calculator, options, console, 0 if file is None else file.n_frames)
    signals.deliver()
    if done.stopped is not None:
        raise ValueError(done.stopped)


def _calculator(options: argparse.Namespace, console: Console) -> OrbasCalculator:
    from orbas import load

    calculator: OrbasCalculator = load(options.model).calculator(
        skin=options.skin, check_every=options.check_every or None, on_extrapolation=options.on_extrapolation
    )
    console.say(f"read  {options.model}: a potential of {inputs.symbols(calculator.species)}")
    return calculator


def _asked_temperature(options: argparse.Namespace) -> float:
    """Return that of new velocities and of thermostats, K."""
    return TEMPERATURE if options.temperature is None else float(options.temperature)


def _start(atoms: Atoms, options: argparse.Namespace, rng: np.random.Generator) -> str:
    """Set the first velocities; return where they are from."""
    has = "momenta" in atoms.arrays
    if has and (options.temperature is None or options.keep_velocities):
        atoms.set_momenta(atoms.get_momenta())  # what constraints hold does not move
        return f"velocities of {options.structure}"
    dynamics.draw_velocities(atoms, _asked_temperature(options), rng)
    return f"new velocities: --keep-velocities takes those of {options.structure}" if has else "new velocities"


def _integrator(atoms: Atoms, options: argparse.Namespace, rng: np.random.Generator) -> tuple[Any, Callable[[], float]]:
    """Return the integrator, and the energy in eV that it conserves."""
    kelvin = _asked_temperature(options)
    if options.ensemble == "nve":
        return dynamics.nve(atoms, options.timestep)
    try:
        if options.ensemble == "nvt":
            return dynamics.nvt(atoms, options.timestep, kelvin, rng)
        return dynamics.npt(atoms, options.timestep, kelvin, options.pressure)
    except ValueError as error:
        raise ValueError(f"--ensemble {error}") from error


class _Frames:
    """Writes structures to a file, at most one for each step, and remembers the last whole one."""

    def __init__(self, file: TrajectoryFile | None, atoms: Atoms) -> None:
        self._file, self._atoms = file, atoms
        self._last: tuple[int, float, dict[str, Any], dict[str, Any]] | None = None
        self._written = -1

    def remember(self, done: Run) -> None:
        """Take in a step, if it is one that can be written."""
        atoms = self._atoms
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.get_momenta()).all()):
            return
        geometry = {name: atoms.arrays[name].copy() for name in ("positions", "momenta")}
        self._last = done.steps, done.times[-1], geometry | {"cell": atoms.cell.copy()}, dict(atoms.calc.results)

    def write(self) -> None:
        """Write the last step that was taken in, with its energy and forces."""
        if self._last is None:
            return
        step, time_ps, geometry, results = self._last
        frame = without_labels(self._atoms)
        frame.set_cell(geometry["cell"])
        frame.arrays.update(positions=geometry["positions"], momenta=geometry["momenta"])
        frame.calc = SinglePointCalculator(frame, **results)
        self._append(frame, step, time_ps)

    def write_present(self, step: int, timestep: float) -> None:
        """Write the structure of a step that failed: without an energy."""
        self._append(without_labels(self._atoms), step, 1e-3 * timestep * step)

    def _append(self, frame: Atoms, step: int, time_ps: float) -> None:
        if self._file is None or step <= self._written:
            return
        frame.info.update(step=step, time_ps=time_ps)
        text = io.StringIO()
        write_extxyz(text, [frame])
        try:
            self._file.append(text.getvalue())
        except OSError as error:
            raise OSError(error.errno, f"step {step}: {error.strerror}", error.filename) from error
        self._written = step


def _simulate(
    atoms: Atoms,
    integrator: Any,
    conserved: Callable[[], float],
    options: argparse.Namespace,
    console: Console,
    file: TrajectoryFile | None,
    signals: Deferred,
) -> Run:
    done, limits, frames = Run(), Limits.of(atoms, options), _Frames(file, atoms)
    with console.progress(options.steps, "dynamics", "step") as bar, np.errstate(all="ignore"):
        start = time.perf_counter()
        try:
            for _ in integrator.irun(options.steps):
                done.times.append(1e-3 * options.timestep * len(done.times))
                done.conserved.append(float(conserved()) / len(atoms))
                done.temperatures.append(dynamics.temperature(atoms))
                done.stopped = limits.exceeded(done, atoms.calc)
                frames.remember(done)
                if signals or done.stopped or done.steps == options.steps or done.steps % options.every == 0:
                    frames.write()
                done.seconds = time.perf_counter() - start
                bar.update(int(done.steps > 0))
                if signals or done.stopped:
                    done.interrupted = bool(signals)
                    break
        except CalculatorError as error:
            frames.write()
            if isinstance(error, ExtrapolationError):
                frames.write_present(len(done.times), options.timestep)
            raise ValueError(f"after step {done.steps}: {error}") from error
    return done


def _kelvin(temperature: float) -> str:
    return f"{temperature:.1f} K".replace(".0 ", " ") if math.isfinite(temperature) else "rest: nothing can move"


def _report(
    done: Run, calculator: OrbasCalculator, options: argparse.Namespace, console: Console, written: int
) -> None:
    drift, speed = done.drift, done.steps / done.seconds if done.seconds > 0.0 else 0.0
    temperature = float(np.mean(done.temperatures)) if done.temperatures else math.nan
    console.say(f"{done.steps:,} steps in {done.seconds:.1f} s: {speed:.1f} steps/s")
    if math.isfinite(temperature):
        console.say(f"mean temperature {_kelvin(temperature)}")
    if drift is not None:
        console.say(
            f"drift of the conserved energy {drift.slope:+.2e} ± {drift.resolution:.0e} meV/atom/ps, "
            f"fluctuation {drift.fluctuation:.2e} meV/atom"
        )
    largest = calculator.largest_extrapolation
    if largest is not None:
        console.say(f"largest extrapolation {largest:.2f}: {'not ' if largest > 1.0 else ''}within the training set")
    if options.output is not None:
        console.say(f"wrote {options.output}: {written:,} structures")
    console.document({
        "schema": SCHEMA,
        "command": "md",
        "model": str(options.model),
        "structure": str(options.structure),
        "ensemble": options.ensemble,
        "temperature": _asked_temperature(options),
        "start_temperature": done.temperatures[0] if done.temperatures else None,
        "timestep": options.timestep,
        "seed": options.seed,
        "steps": done.steps,
        "interrupted": done.interrupted,
        "stopped": done.stopped,
        "mean_temperature": temperature,
        "drift": None if drift is None else asdict(drift),
        "largest_extrapolation": largest,
        "steps_per_second": speed,
        "seconds": done.seconds,
        "output": None if options.output is None else str(options.output),
        "written": written,
    })  # fmt: skip
