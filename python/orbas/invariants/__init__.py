"""Features: products of density coefficients that no rotation changes.

``spectra`` are the radial and the power spectrum, ``selected_spectrum`` some columns of the latter, ``nice``
iterates to higher body orders.
"""

from __future__ import annotations

from orbas.invariants.nice import NICE, Bispectrum
from orbas.invariants.selected_spectrum import SelectedPowerSpectrum
from orbas.invariants.spectra import PowerSpectrum, RadialSpectrum

__all__ = ["NICE", "Bispectrum", "PowerSpectrum", "RadialSpectrum", "SelectedPowerSpectrum"]
