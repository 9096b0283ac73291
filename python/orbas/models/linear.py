"""Linear models: ridge regression on features summed over structures, above a composition baseline."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from orbas.base.fields import check_settings, setting
from orbas.fit.design import Differentiable, LinearDesign, structure_features
from orbas.fit.labels import fit_baseline, labels_of, targets_of
from orbas.fit.noise import Noise
from orbas.fit.regularization import fit_ridge, resolve_regularization
from orbas.fit.settings import REPRESENTATION
from orbas.fit.streamed import fit_streamed
from orbas.models.potential import Potential, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.base.blocks import FloatArray
    from orbas.base.energies import Energies
    from orbas.fit.baseline import CompositionBaseline
    from orbas.fit.design import Representation, StructureFeatures


#: Numbers in a design matrix that may always be kept.
_DENSE = 2**25


@dataclass(eq=False, repr=False)
class LinearPotential(Potential):
    """``E(A) = E0(composition) + sum_i w(species of i) . x_i``, w by ridge regression.

    Energies alone: every structure is a row of weight one, so that the error of total energies is made small, the
    quantity reported for molecules; with forces or virials (or a given ``noise``) rows are divided by the noise of
    their label. Features are not centered (the baseline takes the place of an intercept), and
    share one global scale, the root mean square norm of a row, to which alpha is relative: a scale for each
    column would undo the relative size of features, which is what the representation says of their
    importance.

    Memory does not grow with the data: it holds a triangular factor of [n_columns, n_columns] for every fold. Rows of
    energies alone are kept if that is no more than such a factor, or 256 MB.

    Parameters
    ----------
    representation
        Anything whose ``transform(frames)`` returns :class:`orbas.Features`; used as it is, never fitted
        here. Forces also need its ``jacobian_rows`` and ``linear_energies``. ``sklearn.base.clone`` also clones it,
        hence forgets what it was fitted to.
    regularization, noise, baseline, chunk, progress
        As of :class:`orbas.fit.settings.FitSettings`.

    Attributes
    ----------
    weights_
        Shape [n_species * n_features], eV per unit of a feature; for the others see :class:`Potential`.
    feature_species_
        The center species that order the weights.
    """

    representation: Representation = field(metadata=setting(REPRESENTATION, "features of every atom"))

    def fit(
        self,
        frames: Sequence[Atoms],
        energy_key: str = "REF_energy",
        *,
        forces_key: str | None = None,
        stress_key: str | None = None,
        virial_key: str | None = None,
        checkpoint: str | PathLike[str] | None = None,
    ) -> Self:
        """Fit the baseline, choose alpha and fit the weights.

        Parameters
        ----------
        frames
            Training structures; :class:`HoldOut` takes the last of them.
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
        UnknownSpeciesError
            If a structure has a species without a given baseline energy.
        ValueError
            If there are too few structures for the regularization, a setting is unknown, or features are not
            finite or do not fit together.
        """
        check_settings(self)
        rule = resolve_regularization(self.regularization)
        labels = labels_of(frames, energy_key, forces_key, stress_key, virial_key)
        baseline = fit_baseline(self.baseline, frames, labels.energies, rule)
        design = self._design_for(frames)
        derivatives = labels.forces is not None or labels.stress is not None
        few = len(frames) * design.n_columns <= max(design.n_columns**2, _DENSE)
        if not derivatives and self.noise is None and few:
            self._fit_features(frames, labels.energies, self._features(frames), baseline)
        else:
            noise = Noise() if derivatives and self.noise is None else self.noise
            targets = targets_of(frames, labels, baseline)
            fit = fit_streamed(
                design, frames, targets, noise, rule, chunk=self.chunk, progress=self.progress, checkpoint=checkpoint
            )
            self.feature_species_ = design.species
            self._keep(fit, frames, baseline)
        self._set_reach(design, frames)
        return self

    def predict(self, frames: Sequence[Atoms], *, uncertainty: bool = False) -> Prediction:
        """Return energies, with forces and stress if the representation has derivatives: :meth:`Potential.predict`."""
        self._check(frames)
        if isinstance(self.representation, Differentiable):
            return super().predict(frames, uncertainty=uncertainty)
        predicted = self._predict_features(frames, self._features(frames))
        return replace(predicted, uncertainty=self.uncertainty(frames)) if uncertainty else predicted

    def evaluate(self, frames: Sequence[Atoms], *, skin_lists: Sequence[SkinList] | None = None) -> Energies:
        """Return energies, forces and virials in one pass of the compiled core; see :meth:`Potential.evaluate`."""
        self._check(frames)
        if not isinstance(self.representation, Differentiable):
            raise TypeError(f"{type(self.representation).__name__} has no derivatives, hence no forces")
        weights = self.weights_.reshape(len(self.feature_species_), -1)
        memory = None if skin_lists is None else skin_lists[0]
        return self._with_baseline(frames, self.representation.linear_energies(frames, weights, skin_list=memory))

    def skin_lists(self, skin: float) -> list[SkinList]:
        """Return one empty neighbor memory with a skin in Å."""
        from orbas._core import SkinList

        return [SkinList(skin)]

    def _design_for(self, frames: Sequence[Atoms]) -> LinearDesign:
        return LinearDesign.of(self.representation, frames)

    def _label_noise(self) -> Noise | None:
        return self.noise

    def _design(self) -> LinearDesign:
        return LinearDesign(self.representation, self.feature_species_, len(self.weights_))

    def _features(self, frames: Sequence[Atoms]) -> StructureFeatures:
        return structure_features(self.representation, frames, chunk=self.chunk, progress=self.progress)

    def _fit_features(
        self,
        frames: Sequence[Atoms],
        energies: FloatArray,
        features: StructureFeatures,
        baseline: CompositionBaseline,
    ) -> Self:
        """Fit to features that are already there, above a baseline that is fitted."""
        rule = resolve_regularization(self.regularization)
        fit = fit_ridge(features.values, energies - baseline.predict(frames), rule)
        self.feature_species_ = features.species
        return self._keep(fit, frames, baseline)

    def _predict_features(self, frames: Sequence[Atoms], features: StructureFeatures) -> Prediction:
        """Predict from features that are already there."""
        found = (features.species, features.values.shape[1])
        fitted = (self.feature_species_, len(self.weights_))
        if found != fitted:
            raise ValueError(
                f"the representation gave {found[1]} columns for species {found[0]}, the model was fitted to "
                f"{fitted[1]} columns for species {fitted[0]}"
            )
        return Prediction(self.baseline_.predict(frames) + features.values @ self.weights_)
