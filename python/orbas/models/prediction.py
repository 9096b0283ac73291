"""What a model predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbas.base.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model predicts.

    Attributes
    ----------
    energies
        In eV, [n_structures].
    forces
        In eV/Å, one array [n_atoms, 3] per structure; None if the representation has no derivatives.
    stress
        In eV/Å^3, [n_structures, 6], Voigt order and sign of ase (tensile positive), not-a-number where there is no
        volume; None if the representation has no derivatives.
    atoms
        Energies of the atoms in eV, one array [n_atoms] per structure, baseline included; None as above.
    uncertainty
        Standard deviation of the energies in eV, [n_structures]; None if it was not asked for.
    unknown
        What the training set says nothing of, [n_structures]: 0, or flags of :class:`orbas.models.Unknown`; None for a
        model of an older file.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.models import Prediction
    >>> prediction = Prediction(energies=np.array([-1.0, -2.0]), stress=np.zeros((2, 6)))
    >>> prediction.forces is None
    True
    """

    energies: FloatArray
    forces: list[FloatArray] | None = None
    stress: FloatArray | None = None
    atoms: list[FloatArray] | None = None
    uncertainty: FloatArray | None = None
    unknown: IntArray | None = None

    def take(self, structures: Sequence[int] | np.ndarray) -> Prediction:
        """Return that of some structures.

        Examples
        --------
        >>> prediction.take([1]).energies.tolist()
        [-2.0]
        """
        chosen = np.asarray(structures, dtype=np.int64)
        return Prediction(
            self.energies[chosen],
            None if self.forces is None else [self.forces[k] for k in chosen],
            None if self.stress is None else self.stress[chosen],
            None if self.atoms is None else [self.atoms[k] for k in chosen],
            None if self.uncertainty is None else self.uncertainty[chosen],
            None if self.unknown is None else self.unknown[chosen],
        )
