"""Linear energy models: ridge regression on features summed over structures, above a composition baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from orbas.models.baseline import CompositionBaseline, check_species, count_atoms, species_of
from orbas.models.design import Differentiable, structure_features
from orbas.models.potential import Potential, Prediction
from orbas.models.regularization import check_enough_structures, fit_ridge, resolve_regularization

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.blocks import FloatArray
    from orbas.energies import Energies
    from orbas.models.design import Representation, StructureFeatures
    from orbas.models.regularization import Regularization, RegularizationLike


@dataclass(frozen=True, slots=True)
class Score:
    """Errors of energies: mean absolute and root mean square, in eV per structure and in eV per atom."""

    mae: float
    rmse: float
    mae_per_atom: float
    rmse_per_atom: float


class LinearPotential(Potential):
    """``E(A) = E0(composition) + sum_i w(species of i) . x_i``, w by ridge regression.

    Every structure is a row of weight one: what is made small is the error of total energies, the quantity
    reported for molecules. Features are not centered (the baseline takes the place of an intercept), and
    share one global scale, the root mean square norm of a row, to which alpha is relative: a scale for each
    column would undo the relative size of features, which is what the representation says of their
    importance.

    Parameters
    ----------
    representation
        Anything whose ``transform(frames)`` returns :class:`orbas.Features`; used as it is, never fitted
        here. ``sklearn.base.clone`` also clones it, hence forgets what it was fitted to.
    regularization
        How alpha is chosen: :class:`KFold` (``"cv"`` stands for ``KFold()``), :class:`LeaveOneOut`
        (``"loo"``, the cheapest choice), :class:`HoldOut` or :class:`Fixed`. Alphas have no unit; see
        :mod:`orbas.models.regularization`.
    baseline
        ``"composition"`` fits an energy per species to all training structures; a dict gives isolated-atom
        energies in eV by symbol or atomic number.
    chunk
        About how many atoms are transformed at once; bounds the memory.
    progress
        Show a progress bar while features are computed.

    Attributes
    ----------
    weights_
        Shape [n_species * n_features], eV per unit of a feature.
    alpha_, scale_
        The relative alpha, and the mean squared norm of a row that it is relative to: the ridge penalty is
        ``alpha_ * scale_ * |w|^2``.
    alphas_, cv_errors_
        Candidates in rising order and their held-out MAE in eV per structure; empty with :class:`Fixed`.
    baseline_
        The fitted :class:`CompositionBaseline`.
    species_
        Atomic numbers of the training structures.
    feature_species_
        The center species that order the weights.
    """

    def __init__(
        self,
        representation: Representation,
        *,
        regularization: RegularizationLike = "cv",
        baseline: Literal["composition"] | Mapping[str, float] | Mapping[int, float] = "composition",
        chunk: int = 4096,
        progress: bool = False,
    ) -> None:
        self.representation = representation
        self.regularization = regularization
        self.baseline = baseline
        self.chunk = chunk
        self.progress = progress

    def fit(self, frames: Sequence[Atoms], energy_key: str = "REF_energy") -> Self:
        """Fit the baseline, choose alpha and fit the weights.

        Parameters
        ----------
        frames
            Training structures; :class:`HoldOut` takes the last of them.
        energy_key
            The key of ``atoms.info`` with total energies in eV.

        Raises
        ------
        LabelError
            If energies are missing or not finite.
        UnknownSpeciesError
            If a structure has a species without a given baseline energy.
        ValueError
            If there are too few structures for the regularization, a setting is unknown, or features are not
            finite or do not fit together.
        """
        energies = energies_of(frames, energy_key)
        baseline = self._prepare(frames, energies)
        return self._fit_features(frames, energies, self._features(frames), baseline)

    def predict(self, frames: Sequence[Atoms]) -> Prediction:
        """Return the energies of structures, with forces and stress where the representation has derivatives.

        Those come from one pass of the compiled core from structures to forces; no gradient is stored.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        UnknownSpeciesError
            If a structure has a species that no training structure had; nothing is computed then.
        ValueError
            If the features are not those the model was fitted to.
        """
        self._check_fitted()
        check_species(frames, self.species_)
        if not isinstance(self.representation, Differentiable):
            return self._predict_features(frames, self._features(frames))
        result = self.evaluate(frames)
        return Prediction(result.structures, result.forces, result.stress(frames), result.atoms)

    def evaluate(self, frames: Sequence[Atoms], *, skin_lists: Sequence[SkinList] | None = None) -> Energies:
        """Return energies, forces and virials in one pass of the compiled core; see :meth:`Potential.evaluate`."""
        self._check_fitted()
        check_species(frames, self.species_)
        if not isinstance(self.representation, Differentiable):
            raise TypeError(f"{type(self.representation).__name__} has no derivatives, hence no forces")
        weights = self.weights_.reshape(len(self.feature_species_), -1)
        memory = None if skin_lists is None else skin_lists[0]
        return self._with_baseline(frames, self.representation.linear_energies(frames, weights, skin_list=memory))

    def skin_lists(self, skin: float) -> list[SkinList]:
        """Return one empty neighbor memory with a skin in Å."""
        from orbas._core import SkinList

        return [SkinList(skin)]

    def score(self, frames: Sequence[Atoms], energy_key: str = "REF_energy") -> Score:
        """Return the errors of the predicted energies.

        Raises
        ------
        LabelError
            If energies are missing or not finite.
        NotFittedError, UnknownSpeciesError, ValueError
            As :meth:`predict`.
        """
        self._check_fitted()
        check_species(frames, self.species_)
        energies = energies_of(frames, energy_key)
        predicted = self._predict_features(frames, self._features(frames)).energies
        return score_energies(predicted, energies, count_atoms(frames))

    def _rule(self) -> Regularization:
        return resolve_regularization(self.regularization)

    def _features(self, frames: Sequence[Atoms]) -> StructureFeatures:
        return structure_features(self.representation, frames, chunk=self.chunk, progress=self.progress)

    def _prepare(self, frames: Sequence[Atoms], energies: FloatArray) -> CompositionBaseline:
        """Return the fitted baseline; everything that can be wrong without knowing the features is raised."""
        check_enough_structures(self._rule(), len(frames))
        if isinstance(self.baseline, Mapping):
            return CompositionBaseline(self.baseline).fit(frames, energies)
        if self.baseline != "composition":
            raise ValueError(f"unknown baseline {self.baseline!r}: give 'composition' or a dict of energies")
        return CompositionBaseline().fit(frames, energies)

    def _fit_features(
        self,
        frames: Sequence[Atoms],
        energies: FloatArray,
        features: StructureFeatures,
        baseline: CompositionBaseline,
    ) -> Self:
        """Fit to features that are already there, above a baseline that is fitted."""
        fit = fit_ridge(features.values, energies - baseline.predict(frames), self._rule())
        self.baseline_ = baseline
        self.weights_ = fit.weights
        self.alpha_ = fit.alpha
        self.scale_ = fit.scale
        self.alphas_ = fit.alphas
        self.cv_errors_ = fit.errors
        self.species_ = species_of(frames)
        self.feature_species_ = features.species
        return self

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

    def _check_fitted(self) -> None:
        if not hasattr(self, "weights_"):
            from orbas.errors import NotFittedError

            raise NotFittedError("this LinearPotential is not fitted: call fit(frames, energy_key=...) first")


def energies_of(frames: Sequence[Atoms], energy_key: str) -> FloatArray:
    """Return the energies [n_structures] in eV under a key; raise LabelError if any is missing."""
    from orbas.io import collect_labels

    labels = collect_labels(frames, energy_key=energy_key)
    energies: FloatArray = np.asarray(labels.energies, dtype=np.float64)
    return energies


def score_energies(predicted: FloatArray, energies: FloatArray, n_atoms: np.ndarray) -> Score:
    """Return the errors of predicted energies; both [n_structures] in eV."""
    errors = predicted - energies
    # A structure without atoms has no error per atom; its error counts as that of one atom.
    per_atom = errors / np.maximum(n_atoms, 1)
    return Score(
        mae=float(np.mean(np.abs(errors))),
        rmse=float(np.sqrt(np.mean(errors**2))),
        mae_per_atom=float(np.mean(np.abs(per_atom))),
        rmse_per_atom=float(np.sqrt(np.mean(per_atom**2))),
    )
