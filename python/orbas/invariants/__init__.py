"""Features: products of density coefficients that no rotation changes.

``spectra`` are the radial and the power spectrum, ``selected_spectrum`` some columns of the latter, ``nice``
iterates to higher body orders.
"""

from __future__ import annotations

from orbas.invariants.nice import NICE, Bispectrum
from orbas.invariants.selected_spectrum import SelectedPowerSpectrum
from orbas.invariants.spectra import PowerSpectrum, RadialSpectrum

#: What models may stand on, by the name in files and flags.
REPRESENTATIONS: dict[str, type] = {
    "power_spectrum": PowerSpectrum,
    "radial_spectrum": RadialSpectrum,
    "bispectrum": Bispectrum,
    "nice": NICE,
}

__all__ = ["NICE", "REPRESENTATIONS", "Bispectrum", "PowerSpectrum", "RadialSpectrum", "SelectedPowerSpectrum"]
