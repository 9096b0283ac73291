"""How well a simulation conserves its energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray

_PARTS = 10


@dataclass(frozen=True, slots=True)
class EnergyDrift:
    """A line through the conserved energy of a run.

    Attributes
    ----------
    slope
        In meV/atom/ps.
    fluctuation
        Root mean square deviation from the line in meV/atom: the integrator's, which falls with the square of the
        time step.
    resolution
        Standard error of the slope in meV/atom/ps. A slope of this size cannot be told from none: the run is too short.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.calculators import energy_drift
    >>> times = np.linspace(0.0, 10.0, 101)  # ps
    >>> drift = energy_drift(times, 1e-3 * times + 1e-3 * np.cos(40.0 * times))
    >>> round(drift.slope, 1), drift.resolution < drift.slope
    (1.0, True)
    """

    slope: float
    fluctuation: float
    resolution: float


def energy_drift(times: FloatArray | Sequence[float], energies: FloatArray | Sequence[float]) -> EnergyDrift:
    """Fit a line to the conserved energy by least squares.

    The standard error of the slope is that of the means of ten equal parts of the run, which are far more independent
    than steps. It is too small if energy wanders between modes more slowly than that.

    Parameters
    ----------
    times
        In ps, [n], equally spaced.
    energies
        Conserved energy per atom in eV, [n].

    Raises
    ------
    ValueError
        For fewer than three samples, arrays of different lengths, numbers that are not finite, or times that are all
        one.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.calculators import energy_drift
    >>> times = np.linspace(0.0, 10.0, 101)  # ps
    >>> round(energy_drift(times, 0.002 * times).slope, 6)  # meV/atom/ps
    2.0
    """
    t, energy = np.asarray(times, dtype=np.float64), 1e3 * np.asarray(energies, dtype=np.float64)
    if t.ndim != 1 or t.shape != energy.shape or t.size < 3:
        raise ValueError(
            f"a drift needs three or more energies, one for every time; got {t.shape} times, {energy.shape}"
        )
    if not (np.isfinite(t).all() and np.isfinite(energy).all() and np.ptp(t) > 0.0):
        raise ValueError("a drift needs finite energies at times that differ")
    t, energy = t - t.mean(), energy - energy.mean()
    slope = float(t @ energy / (t @ t))
    rest = energy - slope * t
    parts = np.array_split(np.arange(t.size), min(_PARTS, t.size))
    times_of, rest_of = (np.array([values[part].mean() for part in parts]) for values in (t, rest))
    error = np.sqrt((rest_of @ rest_of) / (len(parts) - 2) / (times_of @ times_of))
    return EnergyDrift(slope, float(np.sqrt(np.mean(rest**2))), float(error))


class ShadowEnergy:
    """The energy that velocity Verlet conserves to the fourth order of the time step; the true one only to the second.

    A symplectic integrator follows exact dynamics of another energy, for kick, drift, kick::

        H + dt^2 (v . U'' v / 12 - F . F / 24 m) + O(dt^4)

    (Hairer, Lubich, Wanner, Acta Numerica 12, 399 (2003), DOI 10.1017/S0962492902000144). ``U'' v`` is the change of
    the forces along the run, from the steps before and after. What drifts here is the fault of the forces; the true
    energy also rises and falls with the heat of fast modes.

    Parameters
    ----------
    atoms
        With a calculator, moved by velocity Verlet.
    timestep
        In the time unit of ase.

    Attributes
    ----------
    energies
        In eV, of every recorded step but the first and the last one.

    Examples
    --------
    >>> import ase.build
    >>> import numpy as np
    >>> from ase.calculators.lj import LennardJones
    >>> from ase.md.verlet import VelocityVerlet
    >>> from orbas.calculators import ShadowEnergy
    >>> atoms = ase.build.molecule("H2", calculator=LennardJones(sigma=0.7, epsilon=0.1))
    >>> dynamics = VelocityVerlet(atoms, timestep=0.05)
    >>> shadow = ShadowEnergy(atoms, timestep=0.05)
    >>> shadow.energies  # none is recorded yet
    []
    """

    def __init__(self, atoms: Atoms, timestep: float) -> None:
        self.energies: list[float] = []
        self._atoms, self._timestep = atoms, timestep
        self._forces: list[FloatArray] = []
        self._energy, self._velocities = 0.0, np.zeros(0)

    def record(self) -> None:
        """Take in the present step; call it after every one.

        Examples
        --------
        >>> for _ in dynamics.irun(20):
        ...     shadow.record()
        >>> len(shadow.energies), float(np.ptp(shadow.energies)) < 1e-4
        (19, True)
        """
        self._forces = [*self._forces[-2:], self._atoms.get_forces()]
        if len(self._forces) == 3:
            before, now, after = self._forces
            curvature = -np.vdot(self._velocities, after - before) / (2.0 * self._timestep)
            inertia = np.vdot(now, now / self._atoms.get_masses()[:, None])
            self.energies.append(float(self._energy + self._timestep**2 * (curvature / 12.0 - inertia / 24.0)))
        self._energy, self._velocities = self._atoms.get_total_energy(), self._atoms.get_velocities()
