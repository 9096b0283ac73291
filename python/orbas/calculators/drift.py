"""How well a simulation conserves its energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbas.blocks import FloatArray


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
    """

    slope: float
    fluctuation: float
    resolution: float


def energy_drift(times: FloatArray | Sequence[float], energies: FloatArray | Sequence[float]) -> EnergyDrift:
    """Fit a line to the conserved energy by least squares.

    The standard error of the slope is that of independent samples, ``s / sqrt(sum (t - mean t)^2)``, times
    ``sqrt(1 + 2 tau)`` with tau the sum of the autocorrelation of the deviations up to its first zero, in samples.

    Parameters
    ----------
    times
        In ps, [n], equally spaced.
    energies
        Conserved energy per atom in eV, [n].

    Raises
    ------
    ValueError
        For fewer than three samples, or arrays of different lengths.
    """
    t, energy = np.asarray(times, dtype=np.float64), 1e3 * np.asarray(energies, dtype=np.float64)
    if t.ndim != 1 or t.shape != energy.shape or t.size < 3:
        raise ValueError(
            f"a drift needs three or more energies, one for every time; got {t.shape} times, {energy.shape}"
        )
    t, energy = t - t.mean(), energy - energy.mean()
    slope = float(t @ energy / (t @ t))
    rest = energy - slope * t
    fluctuation = float(np.sqrt(np.mean(rest**2)))
    error = float(np.sqrt((rest @ rest) / (t.size - 2) / (t @ t)))
    return EnergyDrift(slope, fluctuation, error * float(np.sqrt(1.0 + 2.0 * _correlation(rest))))


def _correlation(deviations: FloatArray) -> float:
    """Return the sum of the normalized autocorrelation from lag one to its first zero."""
    n, total = deviations.size, float(deviations @ deviations)
    if total == 0.0:
        return 0.0
    spectrum = np.abs(np.fft.rfft(deviations, 2 * n)) ** 2
    correlation = np.fft.irfft(spectrum)[1 : n // 2] / total
    negative = np.flatnonzero(correlation <= 0.0)
    return float(correlation[: negative[0] if negative.size else None].sum())
