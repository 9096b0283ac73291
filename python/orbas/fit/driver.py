"""One way from structures and labels to weights, whatever the model: every fit of a potential is this.

Labels are collected and checked, a baseline is taken from the energies, the model makes its design, what is left above
the baseline is reduced to triangular factors, a regularizer is chosen. Nothing here changes the model: it makes its
record of what comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.fit.baseline import species_of
from orbas.fit.labels import fit_baseline, labels_of, targets_of
from orbas.fit.noise import Noise
from orbas.fit.reach import reach_of
from orbas.fit.regularization import fit_ridge, resolve_regularization
from orbas.fit.streamed import design_matrix, fit_streamed, keeping

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from ase import Atoms

    from orbas.fit.baseline import CompositionBaseline
    from orbas.fit.design import LocalDesign
    from orbas.fit.reach import Reach
    from orbas.fit.regularization import RidgeFit
    from orbas.fit.settings import FitSettings
    from orbas.structures.io import Labels

#: Numbers in a design matrix that may always be kept.
_DENSE = 2**25


@dataclass(frozen=True, slots=True)
class LabelKeys:
    """Names of the labels, as in :func:`orbas.structures.io.collect_labels`; None leaves a kind of label out."""

    energy: str = "REF_energy"
    forces: str | None = None
    stress: str | None = None
    virial: str | None = None

    def collect(self, frames: list[Atoms]) -> Labels:
        """Return the labels of structures: every one has an energy, some may be without the others."""
        return labels_of(frames, self.energy, self.forces, self.stress, self.virial)


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """What a fit found, of which a model makes its record.

    Attributes
    ----------
    design
        What the weights belong to.
    baseline
        The fitted baseline of energies.
    species
        Sorted atomic numbers of the training structures.
    ridge
        Weights, the regularizer and how it was chosen, error bars.
    reach
        By atomic number, what is known of the training environments.
    """

    design: LocalDesign
    baseline: CompositionBaseline
    species: tuple[int, ...]
    ridge: RidgeFit
    reach: dict[int, Reach]


def fit_potential(
    frames: list[Atoms],
    keys: LabelKeys,
    settings: FitSettings,
    make_design: Callable[[list[Atoms]], LocalDesign],
    *,
    checkpoint: str | PathLike[str] | None = None,
) -> FitResult:
    """Fit a model that is linear in its weights to the labels of structures.

    Parameters
    ----------
    frames
        Training structures.
    keys
        Names of their labels.
    settings
        How to fit. A ``noise`` of None gives every structure the weight one where energies alone are fitted, and is
        ``Noise()`` else.
    make_design
        Returns what the model is linear in, from the training structures; called once, after what can be wrong with
        labels and settings was raised.
    checkpoint
        A file that keeps what was done of a long fit.

    Raises
    ------
    LabelError
        If energies are missing or not finite, or no structure has what was named.
    UnknownSpeciesError
        If a structure has a species without a given baseline energy.
    ValueError
        If there are too few structures for the regularization, a setting is unknown, or features are not finite or do
        not fit together.
    """
    rule = resolve_regularization(settings.regularization)
    if settings.noise is not None:
        settings.noise.check_configs(frames)
    labels = keys.collect(frames)
    baseline = fit_baseline(settings.baseline, frames, labels.energies, rule)
    design = make_design(frames)
    targets = targets_of(frames, labels, baseline)
    derivatives = any(target.has_derivatives for target in targets)
    noise = Noise() if derivatives and settings.noise is None else settings.noise
    if noise is None and len(frames) * design.n_columns <= max(design.n_columns**2, _DENSE):
        # The same rows for every way to choose the regularizer: no folds.
        fold = np.zeros(len(frames), dtype=np.int64)
        with keeping(checkpoint, design, frames, targets, None, fold, settings.chunk) as keeper:
            rows = design_matrix(design, frames, chunk=settings.chunk, progress=settings.progress, checkpoint=keeper)
        ridge = fit_ridge(rows, np.array([target.energy for target in targets]), rule)
    else:
        ridge = fit_streamed(
            design,
            frames,
            targets,
            noise,
            rule,
            chunk=settings.chunk,
            progress=settings.progress,
            checkpoint=checkpoint,
        )
    species = species_of(frames)
    return FitResult(design, baseline, species, ridge, reach_of(design, frames, species))
