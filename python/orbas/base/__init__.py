"""What every step hands to the next: blocks, features, energies, gradients, and the manners of scikit-learn.

``blocks`` holds density coefficients and features, ``energies`` and ``gradients`` what is computed from structures,
``estimator`` parameters and their repr, ``arrays`` the protocol of numeric estimators.
"""

from __future__ import annotations

from orbas.base.blocks import EquivariantBlocks, Features
from orbas.base.energies import Energies
from orbas.base.estimator import Estimator
from orbas.base.gradients import Gradients, JacobianRows

__all__ = ["Energies", "EquivariantBlocks", "Estimator", "Features", "Gradients", "JacobianRows"]
