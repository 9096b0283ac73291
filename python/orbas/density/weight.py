"""Settings of the neighbor density: the cutoff function and the radial scaling.

Both multiply the contribution of a neighbor *outside* the radial integral (``c = sum_j f(r) I(r) Y``), so that
they stay out of the splines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Smoothing = Literal["cosine", "smooth"]


@dataclass(frozen=True, slots=True)
class Cutoff:
    """A smooth cutoff: 1 up to ``radius - width``, 0 from ``radius`` on.

    Parameters
    ----------
    radius
        Cutoff radius in Å.
    width
        Width of the transition region in Å, ``0 < width <= radius``.
    smoothing
        ``"cosine"`` is the shifted cosine ``(1 + cos(pi t)) / 2``, continuous in its first derivative;
        ``"smooth"`` is the quintic ``1 - 10 t^3 + 15 t^4 - 6 t^5``, continuous in its second derivative
        (``t`` runs from 0 to 1 over the transition).

    Raises
    ------
    ValueError
        If a length is not finite and positive, the width exceeds the radius, or the smoothing is unknown.
    """

    radius: float
    width: float = 0.5
    smoothing: Smoothing = "cosine"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.radius) and self.radius > 0):
            raise ValueError(f"the cutoff radius must be a positive length in Å, got {self.radius!r}")
        if not (math.isfinite(self.width) and 0 < self.width <= self.radius):
            raise ValueError(f"the cutoff width must lie in (0, {self.radius}] Å, got {self.width!r}")
        if self.smoothing not in get_args(Smoothing):
            raise ValueError(f"unknown smoothing {self.smoothing!r}: choose one of {get_args(Smoothing)}")


@dataclass(frozen=True, slots=True)
class RadialScaling:
    """The weight ``u(r) = c / (c + (r/r0)^m)`` that looks less at far neighbors (Willatt 2018).

    Parameters
    ----------
    rate
        ``c >= 0``; at ``c = 0`` the weight is the power law ``(r0/r)^m``.
    scale
        ``r0 > 0`` in Å.
    exponent
        ``m >= 0``; ``m = 0`` switches the scaling off.

    Raises
    ------
    ValueError
        If a number is not finite or out of its range.
    """

    rate: float
    scale: float
    exponent: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate >= 0):
            raise ValueError(f"the rate of a radial scaling must be >= 0, got {self.rate!r}")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"the scale of a radial scaling must be a positive length in Å, got {self.scale!r}")
        if not (math.isfinite(self.exponent) and self.exponent >= 0):
            raise ValueError(f"the exponent of a radial scaling must be >= 0, got {self.exponent!r}")
