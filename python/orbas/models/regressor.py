"""Estimators that join scikit-learn's: ridge regression of plain arrays, and structures to plain arrays."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from orbas import structures
from orbas.base.arrays import ArrayEstimator, ColumnsRecord, OutputContainer, as_targets, matrix_to_fit
from orbas.base.estimator import Estimator, Fitted, settled
from orbas.base.fields import check_settings, setting
from orbas.base.kinds import Having, Switch
from orbas.errors import not_fitted
from orbas.fit.design import structure_features
from orbas.fit.regularization import RULE, check_enough_structures, resolve_regularization
from orbas.fit.settings import CHUNK
from orbas.fit.targets import fit_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import ArrayLike

    from orbas.base.arrays import Names
    from orbas.base.types import FloatArray
    from orbas.fit.design import Representation
    from orbas.fit.regularization import RegularizationLike


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RegressorRecord(ColumnsRecord):
    """What :meth:`RidgeRegressor.fit` finds; see there."""

    coef: FloatArray
    intercept: Any
    alpha: float
    scale: float
    alphas: FloatArray
    cv_errors: FloatArray


@dataclass(eq=False, repr=False)
class RidgeRegressor(ArrayEstimator):
    """Ridge regression whose regularizer is chosen by held-out errors: ``y = X @ coef_.T + intercept_``.

    A regressor of plain arrays with scikit-learn's manners, for pipelines and grid searches; for energies and forces of
    structures see :class:`LinearPotential`.

    Parameters
    ----------
    regularization
        How alpha is chosen: :class:`KFold` (``"cv"``), :class:`LeaveOneOut` (``"loo"``), :class:`HoldOut` or
        :class:`Fixed`. Alphas are relative to the mean squared norm of a row.
    fit_intercept
        Center columns and targets with their means over the training samples first. The means are those of all samples,
        also where some are held out.

    Attributes
    ----------
    coef_
        Shape [n_features], or [n_targets, n_features] for targets [n_samples, n_targets].
    intercept_
        A number, or [n_targets].
    alpha_, scale_
        The relative alpha, and what it is relative to: the penalty is ``alpha_ * scale_ * |w|^2``.
    alphas_, cv_errors_
        Candidates in rising order and their held-out mean absolute errors; empty with :class:`Fixed`.
    n_features_in_, feature_names_in_
        Number of columns in ``fit``, and their names if they had any.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.models import RidgeRegressor
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(50, 3))
    >>> y = x @ [1.0, 2.0, 3.0] + 4.0
    >>> regressor = RidgeRegressor().fit(x, y)
    >>> regressor.coef_.round(3).tolist(), round(float(regressor.intercept_), 3)
    ([1.0, 2.0, 3.0], 4.0)
    """

    coef_ = Fitted["FloatArray"]()
    intercept_ = Fitted[Any]()
    alpha_ = Fitted[float]()
    scale_ = Fitted[float]()
    alphas_ = Fitted["FloatArray"]()
    cv_errors_ = Fitted["FloatArray"]()

    regularization: RegularizationLike = field(default="cv", metadata=setting(RULE, "how alpha is chosen"))
    _: KW_ONLY
    fit_intercept: bool = field(default=True, metadata=setting(Switch(), "center columns and targets first"))

    def fit(self, x: Any, y: ArrayLike) -> Self:
        """Choose alpha and fit the weights.

        Parameters
        ----------
        x
            Shape [n_samples, n_features].
        y
            Shape [n_samples] or [n_samples, n_targets].

        Raises
        ------
        ValueError
            For wrong shapes, values that are not finite, or fewer samples than the regularization needs.

        Examples
        --------
        >>> regressor.fit(x, np.stack([y, -y], axis=1)).coef_.shape
        (2, 3)
        """
        check_settings(self)
        rule = resolve_regularization(self.regularization)
        given, columns = matrix_to_fit(x)
        matrix = np.asarray(given, dtype=np.float64)
        targets = as_targets(y, len(matrix))
        try:
            check_enough_structures(rule, len(matrix))
        except ValueError as error:
            raise ValueError(f"n_samples={len(matrix)}, one row each: {error}") from None
        shift, offset = np.zeros(matrix.shape[1]), np.zeros(targets.shape[1:])
        if self.fit_intercept:
            shift, offset = matrix.mean(axis=0), targets.mean(axis=0)
        fit = fit_targets(matrix - shift, targets - offset, rule)
        self._record = RegressorRecord(
            columns,
            coef=fit.weights.T,
            intercept=offset - shift @ fit.weights,
            alpha=fit.alpha,
            scale=fit.scale,
            alphas=fit.alphas,
            cv_errors=fit.errors,
        )
        return self

    def predict(self, x: Any) -> FloatArray:
        """Return the predictions, shape [n_samples] or [n_samples, n_targets].

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If the columns are not those that were fitted, or something is not finite.

        Examples
        --------
        >>> regressor.predict([[1.0, 1.0, 1.0]]).round(3).tolist()
        [10.0]
        """
        record: RegressorRecord = self._fitted()
        predicted: FloatArray = self._matrix_to_use(x, record) @ record.coef.T + record.intercept
        return predicted

    def score(self, x: Any, y: ArrayLike) -> float:
        """Return the coefficient of determination R^2, the mean over the targets; of a constant target 1 or 0.

        Examples
        --------
        >>> round(regressor.score(x, y), 3)
        1.0
        """
        predicted = self.predict(x)
        targets = as_targets(y, len(predicted)).reshape(predicted.shape)
        unexplained = np.atleast_1d(np.sum((targets - predicted) ** 2, axis=0))
        total = np.atleast_1d(np.sum((targets - targets.mean(axis=0)) ** 2, axis=0))
        constant = total == 0.0
        scores = 1.0 - unexplained / np.where(constant, 1.0, total)
        return float(np.mean(np.where(constant, unexplained == 0.0, scores)))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, RegressorTags, TargetTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor"
        tags.regressor_tags = RegressorTags()
        tags.input_tags = InputTags()
        tags.target_tags = TargetTags(required=True, multi_output=True)
        return tags


@dataclass(frozen=True, slots=True, eq=False)
class PerStructureRecord:
    """What :meth:`PerStructure.fit` finds; see there."""

    representation: Representation
    species: tuple[int, ...]
    n_columns: int


_REPRESENTATION = Having(("fit", "transform"), "a representation with fit(frames) and transform(frames)")


@dataclass(eq=False, repr=False)
class PerStructure(Estimator, OutputContainer):
    """The features of a representation as one row per structure: what makes it the first step of a pipeline.

    Parameters
    ----------
    representation
        Anything with ``fit(frames)`` and ``transform(frames) -> Features``, such as ``PowerSpectrum``; ``fit`` fits a
        copy of it.
    chunk
        About how many atoms are transformed at once; bounds the memory.

    Attributes
    ----------
    species_
        Center species that order the columns, slowest first.
    n_columns_
        Number of columns, n_species * n_features.
    representation_
        The fitted representation.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=3)
    >>> rows = orbas.models.PerStructure(orbas.PowerSpectrum(density))
    >>> rows.fit(frames).transform(frames).shape
    (3, 6)
    """

    species_ = Fitted[tuple[int, ...]]()
    n_columns_ = Fitted[int]()
    representation_ = Fitted["Representation"]()

    representation: Representation = field(metadata=setting(_REPRESENTATION, "features of every atom"))
    _: KW_ONLY
    chunk: int = field(default=4096, metadata=CHUNK)

    def fit(self, frames: Sequence[Atoms], y: object = None) -> Self:
        """Fit a copy of the representation to structures; ``y`` is not looked at.

        Examples
        --------
        >>> rows.fit(frames).species_
        (14,)
        """
        self._fit_values(frames)
        return self

    def transform(self, frames: Sequence[Atoms]) -> Any:
        """Return the features summed over every structure, [n_structures, n_species * n_features].

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            For bad structures; the message names the structure.
        orbas.UnknownSpeciesError
            For a species that no structure of ``fit`` had.

        Examples
        --------
        >>> rows.fit(frames).transform(frames[:1]).shape
        (1, 6)
        """
        record: PerStructureRecord | None = self._record
        if record is None:
            raise not_fitted("this PerStructure is not fitted: call fit(frames) first")
        features = structure_features(record.representation, structures.as_frames(frames), chunk=self.chunk)
        return self._contained(features.values, frames)

    def fit_transform(self, frames: Sequence[Atoms], y: object = None) -> Any:
        """Fit, then transform the same structures.

        Examples
        --------
        >>> rows.fit_transform(frames).shape
        (3, 6)
        """
        listed = structures.as_frames(frames)
        return self._contained(self._fit_values(listed), frames)

    def get_feature_names_out(self, input_features: object = None) -> Names:
        """Return the names of the columns: the symbol of the center species and the number of the feature, as Si_0.

        Examples
        --------
        >>> rows.fit(frames).get_feature_names_out()[:2].tolist()
        ['Si_0', 'Si_1']
        """
        from ase.data import chemical_symbols

        count = self.n_columns_ // len(self.species_)
        names = [f"{chemical_symbols[number]}_{k}" for number in self.species_ for k in range(count)]
        return np.array(names, dtype=object)

    def _fit_values(self, frames: Sequence[Atoms]) -> FloatArray:
        check_settings(self)
        listed = structures.as_frames(frames)
        representation = settled(self.representation, structures.species_of(listed))
        representation.fit(listed)
        features = structure_features(representation, listed, chunk=self.chunk)
        self._record = PerStructureRecord(representation, features.species, features.values.shape[1])
        return features.values
