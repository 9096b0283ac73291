"""Equivariants and invariants of rising body order (Eq. 11-16): NICE, and the bispectrum as its plain special case.

``selection`` says which channels are coupled, ``contraction`` how the products are contracted, ``iteration`` fits one
order after the other, ``estimator`` is the public class, ``rows`` differentiates features for fits on forces,
``report`` tells how much of the norm was kept, ``adapted`` fits the basis that is optimal for one term (Eq. 16).
"""

from orbas.invariants.nice.adapted import adapted_basis, term_weights
from orbas.invariants.nice.bispectrum import Bispectrum
from orbas.invariants.nice.estimator import NICE

__all__ = ["NICE", "Bispectrum", "adapted_basis", "term_weights"]
