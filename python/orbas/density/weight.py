"""Settings of the neighbor density: the cutoff function and the radial scaling.

Both multiply the contribution of a neighbor *outside* the radial integral (``c = sum_j f(r) I(r) Y``), so that
they stay out of the splines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from orbas.base.fields import SettingsError, check_settings, setting
from orbas.base.kinds import LENGTH, Choice, Number
from orbas.files.stored import stored

Smoothing = Literal["cosine", "smooth"]

#: Decades from 1 that the weight of a near neighbor may have: features and kernels take powers of it.
_DECADES = 30


@stored("Cutoff")
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
    SettingsError
        If a length is not between 1e-6 and 1e6 Å, the width exceeds the radius, or the smoothing is unknown; it is a
        ValueError and a TypeError.

    Examples
    --------
    >>> import orbas
    >>> orbas.Cutoff(radius=5.0, width=1.0, smoothing="smooth")
    Cutoff(radius=5.0, width=1.0, smoothing='smooth')
    """

    radius: float = field(metadata=setting(LENGTH, "cutoff radius"))
    width: float = field(default=0.5, metadata=setting(LENGTH, "width of the transition to zero"))
    smoothing: Smoothing = field(
        default="cosine", metadata=setting(Choice(get_args(Smoothing)), "form of the transition to zero")
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.width > self.radius:
            raise SettingsError(f"Cutoff.width must be at most the radius, {self.radius} Å, got {self.width}")


@stored("RadialScaling")
@dataclass(frozen=True, slots=True)
class RadialScaling:
    """The weight ``u(r) = c / (c + (r/r0)^m)`` that looks less at far neighbors (Willatt 2018).

    Parameters
    ----------
    rate
        c, from 0 to 1e6; at ``c = 0`` the weight is the power law ``(r0/r)^m``.
    scale
        r0 in Å, from 1e-6 to 1e6.
    exponent
        m, from 0 to 100; ``m = 0`` switches the scaling off.

    Raises
    ------
    SettingsError
        If a number is out of its range, or the weight of a neighbor at 1 Å is not between 1e-30 and 1e30; it is a
        ValueError and a TypeError.

    Examples
    --------
    >>> import ase
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(6.0), orbas.bases.GTO(1)
    >>> density = orbas.DensityExpansion(
    ...     cutoff=cutoff, density_width=0.5, max_angular=0, basis=basis, center_weight=0.0
    ... )
    >>> dimer = ase.Atoms("Si2", [[0.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
    >>> plain = orbas.RadialSpectrum(density).transform([dimer]).values
    >>> density.scaling = orbas.RadialScaling(rate=1.0, scale=2.0, exponent=6.0)
    >>> scaled = orbas.RadialSpectrum(density).transform([dimer]).values
    >>> (scaled / plain)[0].round(4).tolist()  # 1 / (1 + (4 / 2)^6)
    [0.0154]
    """

    rate: float = field(metadata=setting(Number(0, 1e6), "c of the radial scaling c / (c + (r / r0)^m)"))
    scale: float = field(metadata=setting(LENGTH, "r0 of the radial scaling"))
    exponent: float = field(metadata=setting(Number(0, 100), "m of the radial scaling"))

    def __post_init__(self) -> None:
        check_settings(self)
        power = -self.exponent * math.log10(self.scale)
        size = math.log10(self.rate) - max(math.log10(self.rate), power) if self.rate > 0 else -power
        if abs(size) > _DECADES:
            raise SettingsError(
                f"RadialScaling gives a neighbor at 1 Å a weight of about 1e{size:+.0f}, beyond 1e±{_DECADES}: "
                f"got rate {self.rate:g}, scale {self.scale:g} Å, exponent {self.exponent:g}"
            )
