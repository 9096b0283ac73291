"""What every fitted potential offers: predictions, fast evaluation for simulations, error bars."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from orbas.base.energies import Energies
from orbas.base.estimator import Estimator, Fitted
from orbas.base.fields import check_settings, check_switches
from orbas.files import container
from orbas.files.encoding import encode
from orbas.files.outputs import FileKind, check_output
from orbas.fit.baseline import check_species, count_atoms, species_of
from orbas.fit.copies import common, imprints
from orbas.fit.design import pieces
from orbas.fit.driver import fit_potential
from orbas.fit.environments import environments, piece_of, summed
from orbas.fit.findings import Topic, say
from orbas.fit.labels import with_energies
from orbas.fit.regularization import without_labels
from orbas.fit.screening import screened
from orbas.fit.settings import FitSettings
from orbas.models.prediction import Prediction
from orbas.models.scores import Score, score
from orbas.structures.batch import as_frames
from orbas.structures.label_table import LabelKeys
from orbas.structures.labels import known_labels

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from ase import Atoms
    from numpy.typing import ArrayLike

    from orbas._core import SkinList
    from orbas.base.types import BoolArray, FloatArray, IntArray
    from orbas.calculators import OrbasCalculator
    from orbas.fit.baseline import CompositionBaseline
    from orbas.fit.coverage import Coverage
    from orbas.fit.design import LocalDesign
    from orbas.fit.driver import FitResult
    from orbas.fit.findings import Finding
    from orbas.fit.noise import Noise
    from orbas.fit.posterior import Posterior
    from orbas.fit.reach import Reach


#: Of all numbers in model files.
UNITS = {"length": "Angstrom", "energy": "eV"}


@dataclass(frozen=True, slots=True, eq=False)
class PotentialRecord(ABC):
    """Everything that a fit leaves, and all that predictions need: a model has one of these, or none.

    Settings and representations stand here as they were at the fit; nothing that is done to those of the model changes
    them. For the fields see :class:`Potential`.
    """

    params: dict[str, Any]
    baseline: CompositionBaseline
    species: tuple[int, ...]
    weights: FloatArray
    alpha: float
    scale: float
    alphas: FloatArray
    cv_errors: FloatArray
    posterior: Posterior
    reach: dict[int, Reach] = field(default_factory=dict)
    imprints: IntArray = field(default_factory=lambda: np.zeros((0, 4), dtype=np.int64))
    noise: Noise | None = None
    findings: tuple[Finding, ...] = ()
    coverage: Coverage | None = None
    #: What of the unknown was said already.
    told: set[Topic] = field(default_factory=set)

    @staticmethod
    def fields_of(result: FitResult) -> dict[str, Any]:
        """Return what every fit has in common."""
        ridge = result.ridge
        return {
            "baseline": result.baseline,
            "species": result.species,
            "weights": ridge.weights,
            "alpha": ridge.alpha,
            "scale": ridge.scale,
            "alphas": ridge.alphas,
            "cv_errors": ridge.errors,
            "posterior": ridge.posterior,
            "reach": result.reach,
            "noise": result.noise,
            "findings": result.findings,
            "coverage": result.coverage,
            "imprints": result.imprints,
        }

    @property
    @abstractmethod
    def design(self) -> LocalDesign:
        """What the model is linear in."""

    @abstractmethod
    def above_baseline(self, frames: list[Atoms], skin_lists: Sequence[SkinList] | None) -> Energies:
        """Return energies, forces and virials above the baseline, from the compiled core."""

    def energies(self, frames: list[Atoms], skin_lists: Sequence[SkinList] | None) -> Energies:
        """Return energies, forces and virials; raise UnknownSpeciesError before any work."""
        check_species(frames, self.species)
        above = self.above_baseline(frames, skin_lists)
        zeros = self.baseline.table
        atoms = [energies + zeros[frame.numbers] for energies, frame in zip(above.atoms, frames, strict=True)]
        return Energies(above.structures + self.baseline.totals(frames), atoms, above.forces, above.virials)


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
    imprints_
        By which :meth:`trained_on` knows training structures again, [n_structures, 4]; none in files of before.
    baseline_
        The fitted :class:`CompositionBaseline`.
    species_
        Atomic numbers of the training structures; others are refused.
    noise_
        The noise that labels were weighed with; None where energies alone were fitted with weight one.
    findings_
        What was odd about structures and labels, as :class:`orbas.models.Finding`; all of it was logged. Not in files.
    coverage_
        What of compositions, species and neighbors was trained on; None for a model of an older file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(3)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=20)
    >>> model = orbas.models.LinearPotential(orbas.PowerSpectrum(density)).fit(frames[:15])
    >>> isinstance(model, orbas.models.Potential)
    True
    """

    weights_ = Fitted["FloatArray"]()
    alpha_ = Fitted[float]()
    scale_ = Fitted[float]()
    alphas_ = Fitted["FloatArray"]()
    cv_errors_ = Fitted["FloatArray"]()
    posterior_ = Fitted["Posterior"]()
    reach_ = Fitted["dict[int, Reach]"]()
    noise_ = Fitted["Noise | None"]()
    findings_ = Fitted["tuple[Finding, ...]"]()
    coverage_ = Fitted["Coverage | None"]()
    imprints_ = Fitted["IntArray"]()
    baseline_ = Fitted["CompositionBaseline"]()
    species_ = Fitted[tuple[int, ...]]()

    def fit(
        self,
        frames: Sequence[Atoms],
        y: ArrayLike | str | None = None,
        *,
        energy_key: str = "REF_energy",
        forces_key: str | None = None,
        stress_key: str | None = None,
        virial_key: str | None = None,
        checkpoint: str | PathLike[str] | None = None,
    ) -> Self:
        """Fit the baseline, choose alpha and fit the weights.

        The model takes copies of its settings and its representation, with the species of all training structures where
        the representation has none: later changes of either take effect with the next fit. Until a fit is through, the
        model is as it was.

        Parameters
        ----------
        frames
            Training structures; :class:`HoldOut` takes the last of them.
        y
            Total energies in eV, [n_structures], as scikit-learn gives them; None takes those that the structures carry
            under ``energy_key``, which a text stands for.
        energy_key, forces_key, stress_key, virial_key
            Names of the labels as in :func:`orbas.structures.io.collect_labels`. Every structure needs an energy;
            forces and virials are used where they are.
        checkpoint
            A file that keeps what was done of a long fit: the same call, after the process was killed, goes on from
            there, to the same bits. It is left for whoever called to delete.

        Raises
        ------
        LabelError
            If energies are missing or not finite, or no structure has what was named.
        TypeError
            If a representation is none that the model takes.
        UnknownSpeciesError
            If a structure has a species without a given baseline energy.
        ValueError
            If there are too few structures for the regularization, a setting is unknown, or features are not
            finite or do not fit together.

        Examples
        --------
        >>> model = model.fit(frames, forces_key="REF_forces")
        >>> model.species_
        (14,)
        """
        self.check()
        listed = as_frames(frames)
        params = self._settled(listed)
        options = FitSettings(**{name: getattr(self, name) for name in FitSettings.__dataclass_fields__})
        options.noise = self._label_noise()
        key, energies = _key_or_energies(y, energy_key)
        result = fit_potential(
            listed,
            LabelKeys(key, forces_key, stress_key, virial_key),
            options,
            lambda frames: self._make_design(params, frames),
            energies=energies,
            checkpoint=checkpoint,
        )
        self._record = self._make_record(params, result)
        return self

    def check(self) -> None:
        """Raise SettingsError for a setting of a wrong type or out of its range.

        Examples
        --------
        >>> model.set_params(chunk=0).check()
        Traceback (most recent call last):
        orbas.base.fields.SettingsError: LinearPotential.chunk must be an integer from 1 on, got 0
        """
        check_settings(self)

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

        Examples
        --------
        >>> energies = model.evaluate(frames[15:])
        >>> energies.structures.shape, energies.virials.shape
        ((5,), (5, 3, 3))
        """
        return self._fitted().energies(as_frames(frames), skin_lists)

    def skin_lists(self, skin: float) -> list[SkinList]:
        """Return empty neighbor memories with a skin in Å, one for every cutoff of the model.

        Examples
        --------
        >>> len(model.skin_lists(1.0))
        1
        """
        raise NotImplementedError

    def _settled(self, frames: list[Atoms]) -> dict[str, Any]:
        """Return the parameters as a record keeps them: what is done to the model's own does not reach them."""
        params = self._settled_params(species_of(frames))
        # What is of a fit, and not of the model.
        params |= {"progress": False, "regularization": without_labels(self.regularization)}
        return params

    def _label_noise(self) -> Noise | None:
        """Return the noise of the labels; None leaves it to the labels there are."""
        return self.noise

    def _make_design(self, params: Mapping[str, Any], frames: list[Atoms]) -> LocalDesign:
        """Return what the model is linear in, from settled parameters and training structures."""
        raise NotImplementedError

    def _make_record(self, params: dict[str, Any], result: FitResult) -> PotentialRecord:
        """Return the record of a fit."""
        raise NotImplementedError

    def _fitted(self) -> PotentialRecord:
        """Return the record; raise NotFittedError before ``fit``."""
        record: PotentialRecord | None = self._record
        if record is None:
            from orbas.errors import not_fitted

            raise not_fitted(f"this {type(self).__name__} is not fitted: call fit(frames, energy_key=...) first")
        return record

    def _restored_params(self, fitted: dict[str, Any]) -> dict[str, Any]:
        return {"params": self._settled_params(fitted["species"])}

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

        Examples
        --------
        >>> prediction = model.predict(frames[15:])
        >>> prediction.energies.shape, prediction.forces[0].shape == (len(frames[15]), 3)
        ((5,), True)
        """
        check_switches(uncertainty=uncertainty)
        listed = as_frames(frames)
        result = self.evaluate(listed)
        deviations = self.uncertainty(listed) if uncertainty else None
        unknown = self.unknown(listed, result.forces)
        return Prediction(result.structures, result.forces, result.stress(listed), result.atoms, deviations, unknown)

    def unknown(self, frames: Sequence[Atoms], forces: Sequence[FloatArray] | None = None) -> IntArray | None:
        """Return what the training set says nothing of, and warn of each reason once.

        Parameters
        ----------
        frames
            Structures.
        forces
            What the model predicts for them, if that is known: it saves most of the search for neighbors.

        Returns
        -------
        int array [n_structures] or None
            0, or flags of :class:`orbas.models.Unknown`; None for a model of an older file.

        Raises
        ------
        NotFittedError, UnknownSpeciesError, ValueError
            As :meth:`evaluate`.

        Examples
        --------
        >>> model.unknown(frames[15:]).tolist()
        [0, 0, 0, 0, 0]
        """
        record, listed = self._fitted(), as_frames(frames)
        check_species(listed, record.species)
        if record.coverage is None:
            return None
        flags = record.coverage.unknown(listed, forces)
        if flags.any():
            findings = [found for found in record.coverage.findings(listed, flags) if found.topic not in record.told]
            record.told.update(found.topic for found in findings)
            say(findings)
        return flags

    def uncertainty(self, frames: Sequence[Atoms]) -> FloatArray:
        """Return the standard deviation of the energies in eV, [n_structures].

        That of the posterior of the weights, with the noise that held-out rows showed (without held-out rows: that
        of training rows). It says what the data leave open within the model, not what the model cannot express.

        Raises
        ------
        NotFittedError, UnknownSpeciesError, ValueError
            As :meth:`evaluate`.

        Examples
        --------
        >>> model.uncertainty(frames[15:]).shape
        (5,)
        """
        record, listed = self._fitted(), as_frames(frames)
        check_species(listed, record.species)
        design, posterior, variances = record.design, record.posterior, []
        for start, stop in pieces(listed, piece_of(design)):
            rows, outside = summed(design, listed[start:stop])
            variances.append(posterior.noise * (posterior.leverages(rows) + outside / posterior.alpha))
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

        Examples
        --------
        >>> ratios = model.extrapolation(frames[:2])
        >>> [len(ratio) for ratio in ratios] == [len(frame) for frame in frames[:2]]
        True
        """
        record, listed = self._fitted(), as_frames(frames)
        check_species(listed, record.species)
        counts = count_atoms(listed)
        ratios = np.empty(int(counts.sum()))
        for part in environments(record.design, listed):
            for number in np.unique(part.numbers).tolist():
                own = part.numbers == number
                ratios[part.places[own]] = record.reach[number].ratios(part.rows[own], part.outside[own])
        return np.split(ratios, np.cumsum(counts)[:-1]) if len(listed) else []

    def trained_on(self, frames: Sequence[Atoms]) -> BoolArray:
        """Return which structures were among the training structures, [n_structures]: errors of these say nothing.

        Copies are known that are shifted, turned or in another order of atoms, to about five digits of their positions.

        Raises
        ------
        NotFittedError
            Before ``fit``.

        Examples
        --------
        >>> model.trained_on(frames[13:17]).tolist()
        [True, True, False, False]
        """
        record, listed = self._fitted(), as_frames(frames)
        found = np.zeros(len(listed), dtype=bool)
        found[common(imprints(listed), record.imprints)] = True
        return found

    def score(
        self,
        frames: Sequence[Atoms],
        y: ArrayLike | str | None = None,
        *,
        energy_key: str = "REF_energy",
        forces_key: str | None = None,
        stress_key: str | None = None,
        virial_key: str | None = None,
    ) -> Score:
        """Return the errors of predictions against labels; arguments are those of :meth:`fit`.

        What only stands for a label (:mod:`orbas.fit.screening`) does not count; the result says how many labels did.

        Raises
        ------
        LabelError
            If energies are missing or not finite, or no structure has what was named.
        NotFittedError, UnknownSpeciesError, ValueError
            As :meth:`predict`.

        Examples
        --------
        >>> score = model.score(frames[15:], forces_key="REF_forces")
        >>> score.n_energies, score.n_forces
        (5, 5)
        """
        listed = as_frames(frames)
        check_species(listed, self._fitted().species)
        key, energies = _key_or_energies(y, energy_key)
        keys = LabelKeys(key, forces_key, stress_key, virial_key)
        labels = known_labels(listed, keys) if energies is None else with_energies(listed, keys, energies)
        labels, findings = screened(listed, labels)
        say(findings)
        return score(self.predict(listed), labels, listed)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import RegressorTags

        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        return tags

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

        Examples
        --------
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(Path(folder, "silicon.orbas"))
        ...     again = orbas.load(Path(folder, "silicon.orbas"))
        >>> again.predict(frames).energies.tolist() == model.predict(frames).energies.tolist()
        True
        """
        check_output(path, FileKind.MODEL)
        species = list(self.species_)
        model, tensors = encode(self)
        container.write(path, {"units": UNITS, "species": species, "model": model}, tensors)

    def calculator(self, **options: Any) -> OrbasCalculator:
        """Return an ase calculator; options are those of :class:`orbas.calculators.OrbasCalculator`.

        Examples
        --------
        >>> silicon = frames[0].copy()
        >>> silicon.calc = model.calculator(check_every=None)
        >>> silicon.get_forces().shape == (len(silicon), 3)
        True
        """
        from orbas.calculators import OrbasCalculator

        return OrbasCalculator(self, **options)


def _key_or_energies(y: ArrayLike | str | None, energy_key: str) -> tuple[str, ArrayLike | None]:
    """Return the name of the energies, and the energies themselves if they are given."""
    return (y, None) if isinstance(y, str) else (energy_key, y)
