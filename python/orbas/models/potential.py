"""What every fitted potential offers: predictions, fast evaluation for simulations, calculators, files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas._estimator import Estimator
from orbas.models.baseline import check_species

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.blocks import FloatArray
    from orbas.calculators import OrbasCalculator
    from orbas.energies import Energies
    from orbas.models.baseline import CompositionBaseline


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
    """

    energies: FloatArray
    forces: list[FloatArray] | None = None
    stress: FloatArray | None = None
    atoms: list[FloatArray] | None = None
    uncertainty: FloatArray | None = None


class Potential(Estimator):
    """A fitted energy of structures, with everything a simulation asks for.

    Attributes
    ----------
    baseline_
        The fitted :class:`CompositionBaseline`.
    species_
        Atomic numbers of the training structures; others are refused.
    """

    baseline_: CompositionBaseline
    species_: tuple[int, ...]

    def evaluate(self, frames: Sequence[Atoms], *, skin_lists: Sequence[SkinList] | None = None) -> Energies:
        """Return energies, forces and virials of structures, baseline included: the fast road of simulations.

        Parameters
        ----------
        frames
            Structures.
        skin_lists
            From :meth:`skin_lists`: neighbors remembered from call to call; the last bits then depend on the calls
            before. None searches anew.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        UnknownSpeciesError
            If a structure has a species that no training structure had; nothing is computed then.
        ValueError
            For bad structures or coincident atoms.
        """
        raise NotImplementedError

    def skin_lists(self, skin: float) -> list[SkinList]:
        """Return empty neighbor memories with a skin in Å, one for every cutoff of the model."""
        raise NotImplementedError

    def extrapolation(self, frames: Sequence[Atoms]) -> list[FloatArray]:
        """Return how far the environment of every atom is from the training set, one array [n_atoms] per structure.

        Above 1 it is farther than those that the model was trained on.
        """
        raise NotImplementedError

    def calculator(self, **options: Any) -> OrbasCalculator:
        """Return an ase calculator; options are those of :class:`orbas.calculators.OrbasCalculator`."""
        from orbas.calculators import OrbasCalculator

        return OrbasCalculator(self, **options)

    def _with_baseline(self, frames: Sequence[Atoms], energies: Energies) -> Energies:
        """Add the baseline to the energies of atoms and structures."""
        from orbas.energies import Energies as Result

        check_species(frames, self.species_)
        of_number = np.zeros(256)
        of_number[list(self.baseline_.energies_)] = list(self.baseline_.energies_.values())
        atoms = [own + of_number[frame.numbers] for own, frame in zip(energies.atoms, frames, strict=True)]
        totals = energies.structures + self.baseline_.predict(frames)
        return Result(totals, atoms, energies.forces, energies.virials)
