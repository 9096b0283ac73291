"""The neighbor density in radial functions and spherical harmonics.

``weight`` is f(r) of a neighbor, ``contraction`` says which functions make a channel, ``tables`` are their splines,
``expansion`` is the public class.
"""

from __future__ import annotations

from orbas.density.expansion import DensityExpansion
from orbas.density.weight import Cutoff, RadialScaling

__all__ = ["Cutoff", "DensityExpansion", "RadialScaling"]
