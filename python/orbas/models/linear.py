"""Linear models: ridge regression on features summed over structures, above a composition baseline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orbas.base.estimator import Fitted
from orbas.base.fields import check_switches, checked, setting
from orbas.base.kinds import SKIN
from orbas.files.stored import stored
from orbas.fit.baseline import check_species
from orbas.fit.design import Differentiable, LinearDesign, Sized
from orbas.fit.settings import REPRESENTATION
from orbas.fit.streamed import design_matrix
from orbas.models.potential import Potential, PotentialRecord
from orbas.models.prediction import Prediction
from orbas.models.restored import FITTED, OPTIONAL, check_fit
from orbas.structures.batch import as_frames
from orbas.structures.species import check_rising

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.base.energies import Energies
    from orbas.base.types import FloatArray
    from orbas.fit.design import Representation
    from orbas.fit.driver import FitResult


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LinearRecord(PotentialRecord):
    """The record of a :class:`LinearPotential`: weights, and the center species that order them."""

    feature_species: tuple[int, ...]
    #: The weights as the core takes them, [n_species, n_features].
    by_species: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.weights.setflags(write=False)
        n_species = len(self.feature_species)
        columns = self.weights.reshape(n_species, -1) if self.weights.size % n_species == 0 else self.weights[None]
        object.__setattr__(self, "by_species", columns)

    @property
    def representation(self) -> Representation:
        """The representation as it was at the fit."""
        representation: Representation = self.params["representation"]
        return representation

    @property
    def design(self) -> LinearDesign:
        """The features summed over the centers of each species."""
        return LinearDesign(self.representation, self.feature_species, len(self.weights))

    def above_baseline(self, frames: list[Atoms], skin_lists: Sequence[SkinList] | None) -> Energies:
        """Return energies, forces and virials above the baseline."""
        representation = self.representation
        if not isinstance(representation, Differentiable):
            raise TypeError(f"{type(representation).__name__} has no derivatives, hence no forces")
        memory = None if skin_lists is None else skin_lists[0]
        return representation.linear_energies(frames, self.by_species, skin_list=memory)


@stored("LinearPotential", fitted=(*FITTED, "feature_species_"), optional=OPTIONAL, record=LinearRecord)
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
        Anything whose ``transform(frames)`` returns :class:`orbas.Features`; never fitted here: the fit takes a copy as
        it is, with the species of the training structures where it has none. Forces also need its ``jacobian_rows`` and
        ``linear_energies``. ``sklearn.base.clone`` also clones it, hence forgets what it was fitted to.
    regularization, noise, baseline, chunk, progress
        As of :class:`orbas.fit.settings.FitSettings`.

    Attributes
    ----------
    weights_
        Shape [n_species * n_features], eV per unit of a feature; for the others see :class:`Potential`.
    feature_species_
        The center species that order the weights.
    representation_
        The representation as it was at the fit: what predictions are made with.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(3)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=2, basis=basis)
    >>> frames = orbas.datasets.silicon(n=20)
    >>> model = orbas.models.LinearPotential(orbas.PowerSpectrum(density)).fit(frames, forces_key="REF_forces")
    >>> model.score(frames).mae_per_atom < 0.1  # eV
    True
    """

    representation_ = Fitted["Representation"]()
    feature_species_ = Fitted[tuple[int, ...]]()

    representation: Representation = field(metadata=setting(REPRESENTATION, "features of every atom"))

    def predict(self, frames: Sequence[Atoms], *, uncertainty: bool = False) -> Prediction:
        """Return energies, with forces and stress if the representation has derivatives: :meth:`Potential.predict`.

        Examples
        --------
        >>> prediction = model.predict(frames[:2], uncertainty=True)
        >>> prediction.energies.shape, prediction.stress.shape, prediction.uncertainty.shape
        ((2,), (2, 6), (2,))
        """
        check_switches(uncertainty=uncertainty)
        record, listed = self._fitted(), as_frames(frames)
        if isinstance(record.representation, Differentiable):
            return super().predict(listed, uncertainty=uncertainty)
        check_species(listed, record.species)
        rows = design_matrix(record.design, listed, chunk=self.chunk, progress=self.progress)
        deviations = self.uncertainty(listed) if uncertainty else None
        energies = record.baseline.totals(listed) + rows @ record.weights
        return Prediction(energies, uncertainty=deviations, unknown=self.unknown(listed))

    def skin_lists(self, skin: float) -> list[SkinList]:
        """Return one empty neighbor memory with a skin in Å.

        Examples
        --------
        >>> [skin_list.skin for skin_list in model.skin_lists(0.5)]
        [0.5]
        """
        from orbas._core import SkinList

        return [SkinList(checked(SKIN, "skin", skin))]

    def _make_design(self, params: Mapping[str, Any], frames: list[Atoms]) -> LinearDesign:
        return LinearDesign.of(params["representation"], frames)

    def _make_record(self, params: dict[str, Any], result: FitResult) -> LinearRecord:
        assert isinstance(result.design, LinearDesign)
        return LinearRecord(params, **LinearRecord.fields_of(result), feature_species=result.design.species)

    def _check_restored(self) -> None:
        if self._record is None:
            return
        species, representation = self.feature_species_, self.representation_
        check_rising("feature_species_", species)
        if not isinstance(representation, Sized):
            raise TypeError(f"a {type(representation).__name__} gives no features")
        check_fit(self, len(species) * representation.n_features(species))
        if not set(self.species_) <= set(species):
            raise ValueError(f"the species {self.species_} are not among those of the weights, {species}")

    if TYPE_CHECKING:

        def _fitted(self) -> LinearRecord: ...
