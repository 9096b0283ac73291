"""What every step hands to the next: blocks, features, energies, gradients, and the manners of scikit-learn.

``blocks`` holds density coefficients and features, ``energies`` and ``gradients`` what is computed from structures,
``estimator`` parameters and their repr, ``arrays`` the protocol of numeric estimators. ``text`` makes harmless what
files say before it is shown, ``documents`` writes JSON.
"""

from __future__ import annotations

from orbas.base.blocks import EquivariantBlocks, Features
from orbas.base.energies import Energies
from orbas.base.estimator import Estimator
from orbas.base.gradients import Gradients, JacobianRows
from orbas.base.text import guard_log

__all__ = ["Energies", "EquivariantBlocks", "Estimator", "Features", "Gradients", "JacobianRows"]

guard_log()
