"""What every fitted potential offers: predictions, fast evaluation for simulations, error bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from orbas.base.estimator import Estimator
from orbas.fit.baseline import check_species, count_atoms, species_of
from orbas.fit.design import pieces
from orbas.fit.environments import environments, piece_of, summed
from orbas.fit.labels import labels_of
from orbas.fit.reach import Reach
from orbas.fit.settings import FitSettings
from orbas.models.scores import Score, score
from orbas.structures.batch import as_frames

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.base.blocks import FloatArray
    from orbas.base.energies import Energies
    from orbas.calculators import OrbasCalculator
    from orbas.fit.baseline import CompositionBaseline
    from orbas.fit.design import LocalDesign
    from orbas.fit.posterior import Posterior
    from orbas.fit.regularization import RidgeFit

#: Training environments looked at for how far the training set reaches, about.
_N_REACH = 4096


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

    def take(self, structures: Sequence[int] | np.ndarray) -> Prediction:
        """Return that of some structures."""
        chosen = np.asarray(structures, dtype=np.int64)
        return Prediction(
            self.energies[chosen],
            None if self.forces is None else [self.forces[k] for k in chosen],
            None if self.stress is None else self.stress[chosen],
            None if self.atoms is None else [self.atoms[k] for k in chosen],
            None if self.uncertainty is None else self.uncertainty[chosen],
        )


class Potential(FitSettings, Estimator):
    """A fitted energy of structures, linear in its weights, with everything a simulation asks for.

    Attributes
    ----------
    weights_
        Shape [n_columns] of the design.
    alpha_, scale_
        The relative alpha, and the mean squared norm of a row that it is relative to: the ridge penalty is
        ``alpha_ * scale_ * |w|^2``.
    alphas_, cv_errors_
        Candidates in rising order and what was compared: the held-out MAE in eV per structure, or with forces or
        virials the held-out root mean square of errors over their noise; see :class:`Evidence`; empty with
        :class:`Fixed`.
    posterior_
        What the training set says about the weights.
    reach_
        By atomic number: what :meth:`extrapolation` knows of the training environments, a :class:`Reach`.
    baseline_
        The fitted :class:`CompositionBaseline`.
    species_
        Atomic numbers of the training structures; others are refused.
    """

    weights_: FloatArray
    alpha_: float
    scale_: float
    alphas_: FloatArray
    cv_errors_: FloatArray
    posterior_: Posterior
    reach_: dict[int, Reach]
    baseline_: CompositionBaseline
    species_: tuple[int, ...]

    def evaluate(self, frames: Sequence[Atoms], *, skin_lists: Sequence[SkinList] | None = None) -> Energies:
        """Return energies, forces and virials of structures, baseline included: the fast road of simulations.

        One pass of the compiled core from structures to forces; no gradient is stored.

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

    def _design(self) -> LocalDesign:
        """Return what the fitted model is linear in."""
        raise NotImplementedError

    def predict(self, frames: Sequence[Atoms], *, uncertainty: bool = False) -> Prediction:
        """Return energies, forces and stress of structures.

        Parameters
        ----------
        frames
            Structures.
        uncertainty
            Also return the standard deviation of energies, see :meth:`uncertainty`: another transform.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        UnknownSpeciesError
            If a structure has a species that no training structure had; nothing is computed then.
        ValueError
            If the features are not those the model was fitted to.
        """
        result = self.evaluate(frames)
        deviations = self.uncertainty(frames) if uncertainty else None
        return Prediction(result.structures, result.forces, result.stress(frames), result.atoms, deviations)

    def uncertainty(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return the standard deviation of the energies in eV, [n_structures].

        That of the posterior of the weights, with the noise that held-out rows showed (without held-out rows: that
        of training rows). It says what the data leave open within the model, not what the model cannot express.

        Raises
        ------
        NotFittedError, UnknownSpeciesError, ValueError
            As :meth:`evaluate`.
        """
        frames = as_frames(frames)
        self._check(frames)
        design, variances = self._design(), []
        for start, stop in pieces(frames, piece_of(design)):
            rows, outside = summed(design, frames[start:stop])
            leverages = self.posterior_.leverages(rows) + outside / self.posterior_.alpha
            variances.append(self.posterior_.noise * leverages)
        return np.sqrt(np.concatenate(variances)) if variances else np.zeros(0)

    def extrapolation(self, frames: Sequence[Atoms]) -> list[FloatArray]:
        """Return how far the environment of every atom is from the training set, one array [n_atoms] per structure.

        The root of its leverage among the training environments of its species (:mod:`orbas.fit.reach`) over the
        largest that is usual among those: above 1 it is outside. Labels do not enter. Large structures are looked at
        in pieces.

        Raises
        ------
        NotFittedError, UnknownSpeciesError, ValueError
            As :meth:`evaluate`.
        """
        frames = as_frames(frames)
        self._check(frames)
        counts = count_atoms(frames)
        ratios = np.empty(int(counts.sum()))
        for part in environments(self._design(), frames):
            for number in np.unique(part.numbers).tolist():
                own = part.numbers == number
                ratios[part.places[own]] = self.reach_[number].ratios(part.rows[own], part.outside[own])
        return np.split(ratios, np.cumsum(counts)[:-1]) if len(frames) else []

    def score(
        self,
        frames: Sequence[Atoms],
        energy_key: str = "REF_energy",
        *,
        forces_key: str | None = None,
        stress_key: str | None = None,
        virial_key: str | None = None,
    ) -> Score:
        """Return the errors of predictions against labels.

        Raises
        ------
        LabelError
            If energies are missing or not finite, or no structure has what was named.
        NotFittedError, UnknownSpeciesError, ValueError
            As :meth:`predict`.
        """
        self._check(frames)
        labels = labels_of(frames, energy_key, forces_key, stress_key, virial_key)
        return score(self.predict(frames), labels, frames)

    def _keep(self, fit: RidgeFit, frames: Sequence[Atoms], baseline: CompositionBaseline) -> Self:
        """Take over what a fit found."""
        self.baseline_ = baseline
        self.species_ = species_of(frames)
        self.weights_ = fit.weights
        self.alpha_ = fit.alpha
        self.scale_ = fit.scale
        self.alphas_ = fit.alphas
        self.cv_errors_ = fit.errors
        self.posterior_ = fit.posterior
        return self

    def _set_reach(self, design: LocalDesign, frames: Sequence[Atoms]) -> None:
        """Take in training environments, of structures evenly spread, and of every species."""
        step = max(1, sum(map(len, frames)) // _N_REACH)
        firsts = {next(k for k, frame in enumerate(frames) if number in frame.numbers) for number in self.species_}
        spread = [frames[k] for k in sorted(firsts | set(range(0, len(frames), step)))]
        counts = count_atoms(spread)
        shares = np.repeat(1.0 / np.maximum(counts, 1), counts)
        found: dict[int, list[tuple[FloatArray, ...]]] = {number: [] for number in self.species_}
        for part in environments(design, spread):
            for number in np.unique(part.numbers).tolist():
                own = part.numbers == number
                found[number].append((part.rows[own], part.outside[own], shares[part.places[own]]))
        self.reach_ = {}
        for number, parts in found.items():
            self.reach_[number] = Reach.of(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _check(self, frames: Sequence[Atoms]) -> None:
        """Raise for a model that is not fitted, or a species that it does not know."""
        if "weights_" not in self.__dict__:
            from orbas.errors import NotFittedError

            raise NotFittedError(f"this {type(self).__name__} is not fitted: call fit(frames, energy_key=...) first")
        check_species(frames, self.species_)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted potential to a file, best named ``*.orbas``; :func:`orbas.load` reads it.

        The file appears whole or not at all, holds numbers and settings only, and predicts the same bits when read.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If something in it is Python code (a :class:`orbas.bases.Custom` basis, a representation of the user's own)
            or a number is not finite.
        OSError
            If the file cannot be written; an older file of that name is then as it was.
        """
        from orbas.models.file import save

        save(self, path)

    def calculator(self, **options: Any) -> OrbasCalculator:
        """Return an ase calculator; options are those of :class:`orbas.calculators.OrbasCalculator`."""
        from orbas.calculators import OrbasCalculator

        return OrbasCalculator(self, **options)

    def _with_baseline(self, frames: Sequence[Atoms], energies: Energies) -> Energies:
        """Add the baseline to the energies of atoms and structures."""
        from orbas.base.energies import Energies as Result

        of_number = np.zeros(256)
        of_number[list(self.baseline_.energies_)] = list(self.baseline_.energies_.values())
        atoms = [own + of_number[frame.numbers] for own, frame in zip(energies.atoms, frames, strict=True)]
        totals = energies.structures + self.baseline_.predict(frames)
        return Result(totals, atoms, energies.forces, energies.virials)
