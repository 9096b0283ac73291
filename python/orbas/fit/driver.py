"""One way from structures and labels to weights, whatever the model: every fit of a potential is this.

Labels are collected and checked, a baseline is taken from the energies, the model makes its design, structures that
belong together get a fold, what is left above the baseline is reduced to triangular factors, a regularizer is chosen.
Nothing here changes the model: it makes its record of what comes back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from orbas.errors import LabelError
from orbas.fit.baseline import species_of
from orbas.fit.checkpoint import check_checkpoint
from orbas.fit.contradictions import contradicting_copies
from orbas.fit.copies import find_copies, imprints
from orbas.fit.coverage import Coverage, forces_without_neighbors, training_findings, without_neighbors
from orbas.fit.dense import fit_ridge
from orbas.fit.energies import fit_energies
from orbas.fit.findings import say
from orbas.fit.folds import groups_of
from orbas.fit.isolated import isolated_atoms, say_isolated, set_aside
from orbas.fit.labeled import fit_labeled
from orbas.fit.labels import fit_baseline, targets_of, with_energies
from orbas.fit.noise import Noise
from orbas.fit.quantities import Quantity
from orbas.fit.reach import reach_of
from orbas.fit.regularization import check_enough_structures, resolve_regularization
from orbas.fit.robust import Robust
from orbas.fit.samples import Samples, kinds_of
from orbas.fit.screening import screened, usual_energies
from orbas.fit.streamed import design_matrix, fit_streamed, keeping
from orbas.structures.labels import known_labels

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from ase import Atoms
    from numpy.typing import ArrayLike

    from orbas.base.types import FloatArray, IntArray
    from orbas.fit.baseline import CompositionBaseline
    from orbas.fit.dense import RidgeFit
    from orbas.fit.design import LocalDesign
    from orbas.fit.findings import Finding
    from orbas.fit.folds import Folds
    from orbas.fit.labeled import LabeledFit
    from orbas.fit.noise import Target
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
    noise
        What labels were weighed with; None for energies of weight one.
    findings
        What was odd about structures and labels; all of it was logged.
    coverage
        What of compositions, species and neighbors was trained on.
    imprints
        By which training structures are known again, [n_structures, 4].
    """

    design: LocalDesign
    baseline: CompositionBaseline
    species: tuple[int, ...]
    ridge: RidgeFit
    reach: dict[int, Reach]
    noise: Noise | None
    findings: tuple[Finding, ...]
    coverage: Coverage
    imprints: IntArray


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
        How to fit. A ``noise`` of None gives every structure the weight one where energies alone are fitted, and else
        begins with ``Noise()`` and is raised for kinds of labels that contradict the others.
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
    check_checkpoint(checkpoint)
    rule = resolve_regularization(settings.regularization)
    if settings.noise is not None:
        settings.noise.check_configs(frames)
    all_labels = known_labels(frames, keys) if energies is None else with_energies(frames, keys, energies)
    all_labels, findings = screened(frames, all_labels)
    say(findings)
    aside = set_aside(frames, settings.noise)
    check_enough_structures(rule, len(frames) - int(aside.sum()))
    groups = groups_of(getattr(rule, "groups", None), frames)
    known = np.isfinite(all_labels.energies)
    if not known[~aside].any():
        raise LabelError("no energy of a training structure is known: a fit needs some (see the warnings)")
    usual = np.flatnonzero(usual_energies(frames, all_labels.energies))
    some = [frames[k] for k in usual.tolist()]
    baseline = fit_baseline(settings.baseline, some, all_labels.energies[usual])
    say_isolated(some, all_labels.energies[usual], baseline.energies_)

    chosen = np.flatnonzero(~aside)
    fitted, labels = [frames[k] for k in chosen.tolist()], all_labels.take(chosen)
    design = make_design(fitted)
    targets = targets_of(fitted, labels, baseline)
    species = species_of(frames)
    alone = [without_neighbors(frame, design.cutoff) for frame in frames]
    given = not isinstance(settings.baseline, str)
    coverage = Coverage.of(frames, species, design.cutoff, known, alone, energies_given=given)
    copies = find_copies(fitted)
    later = [found.renumbered(chosen) for found in contradicting_copies(fitted, labels, copies, chosen)]
    later += training_findings(frames, coverage, alone)
    later += forces_without_neighbors(frames, all_labels, design.cutoff, alone)
    folds = Samples(fitted, groups[chosen], kinds_of(fitted, labels), isolated_atoms(fitted), copies).folds(rule)
    fit = _fit(design, fitted, chosen, targets, settings, rule, folds, checkpoint)
    later += fit.findings
    say(later)
    _say_edge(rule, fit.ridge)
    unseen = set(species) - set(species_of(fitted))
    seen = [frame for k, frame in enumerate(frames) if not aside[k] or unseen.intersection(frame.numbers.tolist())]
    reach = reach_of(design, seen, species)
    marks = imprints(frames)
    return FitResult(design, baseline, species, fit.ridge, reach, fit.noise, (*findings, *later), coverage, marks)


def _fit(
    design: LocalDesign,
    frames: list[Atoms],
    numbers: IntArray,
    targets: list[Target],
    settings: FitSettings,
    rule: Regularization,
    folds: Folds,
    checkpoint: str | PathLike[str] | None,
) -> LabeledFit:
    """Fit the weights: to rows that are kept where energies alone are fitted and memory allows, else in one pass."""
    robustness = Robust(settings.robust)
    if any(target.has_derivatives for target in targets):
        noise = Noise() if settings.noise is None else settings.noise
        return fit_labeled(
            design,
            frames,
            targets,
            noise,
            rule,
            folds,
            numbers=numbers,
            estimate_noise=settings.noise is None,
            robustness=robustness,
            chunk=settings.chunk,
            progress=settings.progress,
            checkpoint=checkpoint,
        )
    if settings.noise is None and len(frames) * design.n_columns <= max(design.n_columns**2, _DENSE):
        # The same rows for every way to choose the regularizer: no folds.
        fold = np.full(len(frames), -1)
        with keeping(checkpoint, design, frames, targets, None, fold, settings.chunk) as keeper:
            rows = design_matrix(design, frames, chunk=settings.chunk, progress=settings.progress, checkpoint=keeper)
        return fit_energies(
            frames,
            _energy_weights(targets, settings.noise),
            numbers,
            robustness,
            lambda weights: _kept_rows(rows, targets, weights, rule, folds),
            lambda ridge, k: targets[k].energy - float(rows[k] @ ridge.weights),
        )

    def residual(ridge: RidgeFit, k: int) -> float:
        return targets[k].energy - float(design.structures([frames[k]])[0] @ ridge.weights)

    def in_one_pass(weights: FloatArray) -> tuple[RidgeFit, FloatArray]:
        members = np.flatnonzero(weights).tolist()
        chosen = [replace(targets[k], weights={Quantity.ENERGY: float(weights[k])}) for k in members]
        # A checkpoint is of the first pass; others have other rows.
        resumed = checkpoint if len(members) == len(frames) and (weights == 1).all() else None
        ridge = fit_streamed(
            design,
            [frames[k] for k in members],
            chosen,
            settings.noise,
            rule,
            folds.take(np.array(members, dtype=np.int64)),
            chunk=settings.chunk,
            progress=settings.progress,
            checkpoint=resumed,
        )
        residuals = np.full(len(frames), np.nan)
        if ridge.residuals is not None:
            residuals[members] = ridge.residuals
        for k in np.flatnonzero(weights == 0).tolist():
            residuals[k] = residual(ridge, k)
        return ridge, residuals

    weights = _energy_weights(targets, settings.noise)
    fit = fit_energies(frames, weights, numbers, robustness, in_one_pass, residual)
    return replace(fit, noise=settings.noise)


def _energy_weights(targets: list[Target], noise: Noise | None) -> FloatArray:
    """Return the weights of energies alone, [n_structures]: 0 where not known, else what the structure says of it.

    Without a noise only ratios of expected errors count.
    """
    weights = np.array([target.weights.get(Quantity.ENERGY, 1.0) for target in targets])
    weights[[not np.isfinite(target.energy) for target in targets]] = 0.0
    sigmas = np.array([target.trust.energy_sigma or np.nan for target in targets])
    if noise is None and np.isfinite(sigmas).any():
        weights *= np.nan_to_num((np.nanmedian(sigmas) / sigmas) ** 2, nan=1.0)
    return weights


def _kept_rows(
    rows: FloatArray, targets: list[Target], weights: FloatArray, rule: Regularization, folds: Folds
) -> tuple[RidgeFit, FloatArray]:
    """Fit rows [n_structures, n_columns] with weights; return the fit and the held-out residuals of all energies."""
    energies = np.array([target.energy for target in targets])
    if (weights == 1).all():
        ridge = fit_ridge(rows, energies, rule, folds)
        return ridge, energies - rows @ ridge.weights if ridge.residuals is None else ridge.residuals
    members = np.flatnonzero(weights)
    roots = np.sqrt(weights[members])
    ridge = fit_ridge(rows[members] * roots[:, None], energies[members] * roots, rule, folds.take(members))
    residuals = energies - rows @ ridge.weights
    if ridge.residuals is not None:
        residuals[members] = ridge.residuals / roots
    return ridge, residuals


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
