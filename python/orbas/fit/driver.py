"""One way from structures and labels to weights, whatever the model: every fit of a potential is this.

Labels are collected and checked, a baseline is taken from the energies, the model makes its design, structures that
belong together get a fold, what is left above the baseline is reduced to triangular factors, a regularizer is chosen.
Nothing here changes the model: it makes its record of what comes back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.fit.baseline import species_of
from orbas.fit.dense import fit_ridge
from orbas.fit.folds import groups_of
from orbas.fit.isolated import isolated_atoms, say_isolated, set_aside
from orbas.fit.labels import fit_baseline, targets_of, with_energies
from orbas.fit.noise import Noise
from orbas.fit.reach import reach_of
from orbas.fit.regularization import check_enough_structures, resolve_regularization
from orbas.fit.samples import Samples, kinds_of
from orbas.fit.streamed import design_matrix, fit_streamed, keeping

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from ase import Atoms
    from numpy.typing import ArrayLike

    from orbas.fit.baseline import CompositionBaseline
    from orbas.fit.dense import RidgeFit
    from orbas.fit.design import LocalDesign
    from orbas.fit.reach import Reach
    from orbas.fit.regularization import Regularization
    from orbas.fit.settings import FitSettings
    from orbas.structures.label_table import LabelKeys

_LOG = logging.getLogger("orbas")
#: Numbers in a design matrix that may always be kept.
_DENSE = 2**25


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
    energies: ArrayLike | None = None,
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
    energies
        Total energies in eV, in place of those that the structures carry.
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
    all_labels = keys.collect(frames) if energies is None else with_energies(frames, keys, energies)
    aside = set_aside(frames, settings.noise)
    check_enough_structures(rule, len(frames) - int(aside.sum()))
    groups = groups_of(getattr(rule, "groups", None), frames)
    baseline = fit_baseline(settings.baseline, frames, all_labels.energies)
    say_isolated(frames, all_labels.energies, baseline)

    chosen = np.flatnonzero(~aside)
    fitted, labels = [frames[k] for k in chosen.tolist()], all_labels.take(chosen)
    design = make_design(fitted)
    targets = targets_of(fitted, labels, baseline)
    derivatives = any(target.has_derivatives for target in targets)
    noise = Noise() if derivatives and settings.noise is None else settings.noise
    chunk, progress = settings.chunk, settings.progress
    folds = Samples(fitted, groups[chosen], kinds_of(fitted, labels), isolated_atoms(fitted)).folds(rule)
    if noise is None and len(fitted) * design.n_columns <= max(design.n_columns**2, _DENSE):
        # The same rows for every way to choose the regularizer: no folds.
        fold = np.full(len(fitted), -1)
        with keeping(checkpoint, design, fitted, targets, None, fold, chunk) as keeper:
            rows = design_matrix(design, fitted, chunk=chunk, progress=progress, checkpoint=keeper)
        ridge = fit_ridge(rows, np.array([target.energy for target in targets]), rule, folds)
    else:
        ridge = fit_streamed(
            design, fitted, targets, noise, rule, folds, chunk=chunk, progress=progress, checkpoint=checkpoint
        )
    _say_edge(rule, ridge)
    species = species_of(frames)
    alone = set(species) - set(species_of(fitted))
    seen = [frame for k, frame in enumerate(frames) if not aside[k] or alone.intersection(frame.numbers.tolist())]
    return FitResult(design, baseline, species, ridge, reach_of(design, seen, species))


def _say_edge(rule: Regularization, ridge: RidgeFit) -> None:
    """Say that the best of all candidates is the first or the last: a better one may be beyond."""
    if len(ridge.alphas) > 2 and ridge.alpha in (ridge.alphas[0], ridge.alphas[-1]):
        end = "smallest" if ridge.alpha == ridge.alphas[0] else "largest"
        _LOG.warning(
            "the chosen alpha, %.3g, is the %s of %d candidates: a better one may be beyond; give %s(alphas=...)",
            ridge.alpha,
            end,
            len(ridge.alphas),
            type(rule).__name__,
        )
