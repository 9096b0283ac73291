"""Fitting labels of several kinds, and judging them: what contradicts the rest is weighted down and named.

Rows of each kind of label have their own triangular factors, so that kinds can be weighed against each other after one
pass over the structures. Then every structure is looked at with weights that were fitted without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from orbas.fit import config_noise, robust, scales
from orbas.fit.agreement import exchanges, reversed_finding, reversed_forces, stress_findings
from orbas.fit.baseline import count_atoms
from orbas.fit.design import pieces
from orbas.fit.folds import Folds
from orbas.fit.noise_estimate import ALPHAS, LEFT_OUT, NoiseEstimate, estimate
from orbas.fit.quantities import Quantity, QuantityGrams
from orbas.fit.robust import Robust
from orbas.fit.streamed import CHUNK, accumulate, check_rule, choose, keeping, stacked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from ase import Atoms

    from orbas.base.energies import Energies
    from orbas.base.types import FloatArray, IntArray
    from orbas.fit.dense import RidgeFit
    from orbas.fit.design import Design
    from orbas.fit.findings import Finding
    from orbas.fit.noise import Noise, Target
    from orbas.fit.regularization import Regularization
    from orbas.fit.robust import Outliers
    from orbas.fit.triangle import Triangle

#: Kinds of labels are judged up to this number of columns (memory), and from this number of structures on.
_MOST_COLUMNS = 1500
_FEWEST = 10
#: Folds to judge by, where the regularizer needs none.
_N_FOLDS = 3
#: Energies are judged by fits in which their noise is raised so many times: one of them cannot pull the others then.
_LIGHT = 5.0
#: Forces below this, in eV/Å, of labels and model alike, are zero by symmetry: they say nothing of the model.
_NO_FORCE = 1e-4
#: Passes without outliers, at most.
_N_SEARCHES = 3
#: Fits with weights from the residuals of the one before.
N_REWEIGHTED = 3


#: An outlier is described so many times worse than others by a fit that knows its label.
_UNUSUAL = 4.0
#: What becomes of outliers, for messages.
CONSEQUENCES = {
    Robust.OUTLIERS: "they are left out of the fit (robust='none' keeps them)",
    Robust.HUBER: "they have little weight in the fit",
    Robust.NONE: "robust='outliers' or 'huber' keeps them from deciding the fit",
}


@runtime_checkable
class Evaluable(Protocol):
    """A design whose model can be evaluated fast."""

    def energies(self, frames: Sequence[Atoms], weights: FloatArray) -> Energies:
        """Return energies, forces and virials of the model with some weights."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LabeledFit:
    """Weights, the noise that labels were weighed with, and what was found about labels."""

    ridge: RidgeFit
    noise: Noise | None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """One pass over all structures, and what it says of the labels."""

    ridge: RidgeFit
    noise: Noise
    findings: tuple[Finding, ...]
    grams: QuantityGrams | None
    folds: Folds
    suspects: tuple[Quantity, ...]
    #: Whether stresses spoil energies and forces.
    spoiling: bool
    #: By fold and kind.
    triangles: list[list[Triangle]]


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """What held-out fits to energies and forces say of every structure.

    ``energies`` [n_structures] above the baseline, ``forces`` one array each, ``stress`` [n_structures, 6]. ``weights``
    [n_columns] are those of the same fit to all structures.
    """

    energies: FloatArray
    forces: list[FloatArray]
    stress: FloatArray
    weights: FloatArray


def fit_labeled(
    design: Design,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    noise: Noise,
    rule: Regularization,
    folds: Folds,
    *,
    numbers: IntArray,
    estimate_noise: bool,
    robustness: Robust,
    chunk: int = CHUNK,
    progress: bool = False,
    checkpoint: str | PathLike[str] | None = None,
) -> LabeledFit:
    """Fit the weights of a design to labels of several kinds.

    Parameters
    ----------
    design, frames, targets, rule, folds, chunk, progress, checkpoint
        As of :func:`orbas.fit.streamed.fit_streamed`.
    noise
        Expected errors of the labels.
    numbers
        What structures are called in messages, [n_structures].
    estimate_noise
        Raise the noise of kinds that contradict the others.
    robustness
        What is done about labels far from all others.
    """

    def once(labels: Sequence[Target], resumed: str | PathLike[str] | None = None) -> _Pass:
        return _fit(design, frames, labels, noise, rule, folds, estimate_noise, chunk, progress, resumed)

    first = once(targets, checkpoint)
    alone: list[Outliers] = []
    pulling = _pulling(frames, targets) if robustness is Robust.OUTLIERS else None
    if pulling is not None and Quantity.ENERGY in first.suspects:
        # A few energies far off can be all that makes the energies of all look like those in another unit.
        rest = _without(targets, [pulling])
        second = once(rest)
        if Quantity.ENERGY not in second.suspects:
            alone, first, targets = [pulling], second, rest
    derived = _derived(design, frames, first, chunk)
    if derived is None or not isinstance(design, Evaluable):
        return LabeledFit(first.ridge, first.noise, first.findings)
    names: tuple[str, ...] = ()
    if estimate_noise and first.spoiling:
        stress = _stress(frames, targets)
        names = config_noise.contradicting(frames, stress, derived.stress)
        before, noise = noise, config_noise.raised(noise, names)
        second = once(targets) if names else first
        if second.spoiling:
            names, noise = (), before
        else:
            said = config_noise.finding(frames, names, stress).renumbered(numbers)
            first = replace(second, findings=(*second.findings, said))
            derived = _derived(design, frames, first, chunk) or derived
    against = [] if Quantity.FORCES in first.suspects else reversed_forces([t.forces for t in targets], derived.forces)
    if against and robustness is Robust.OUTLIERS:
        targets = [t.without(Quantity.FORCES) if k in against else t for k, t in enumerate(targets)]
        first = once(targets)
        derived = _derived(design, frames, first, chunk) or derived
    sizes = _sizes(frames, targets, derived, first.suspects)
    named = _outliers(design, frames, targets, first, derived, sizes)
    if pulling is not None and not named and not alone:
        # Behind structures that are unlike all others they may not stand out: a fit without them tells.
        named = _undescribed(design, frames, targets, first, derived, [pulling])
    last = first
    if robustness is Robust.HUBER:
        for _ in range(N_REWEIGHTED):
            shares = {q: robust.huber_weights(frames, size) for q, size in sizes.items()}
            last = once([t.weighted({q: float(w[k]) for q, w in shares.items()}) for k, t in enumerate(targets)])
            derived = _derived(design, frames, last, chunk) or derived
            sizes = _sizes(frames, targets, derived, first.suspects)
    elif named and robustness is Robust.OUTLIERS:
        sure: list[Outliers] = []
        for _ in range(_N_SEARCHES):
            second = once(_without(targets, [*sure, *named]))
            again = _derived(design, frames, second, chunk) or derived
            sizes = _sizes(frames, targets, again, second.suspects)
            named = [
                found
                for found in named
                if found.quantity not in second.suspects and confirmed(frames, found, sizes.get(found.quantity))
            ]
            if not named:
                break
            sure, last, derived = [*sure, *named], second, again
            # Smaller ones hide behind those that are gone.
            for found in sure:
                sizes[found.quantity][list(found.structures)] = np.nan
            named = _outliers(design, frames, targets, second, again, sizes)
            if not named:
                break
        named = sure
    if estimate_noise and not names:
        last = _without_exchanged(design, frames, targets, last, derived, rule, chunk)
    done = _result(last, frames, numbers, targets, derived, [*alone, *named], CONSEQUENCES[robustness])
    turned = reversed_finding(frames, against, numbers, CONSEQUENCES[robustness])
    return replace(done, findings=(*done.findings, *turned))


def _fit(
    design: Design,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    noise: Noise,
    rule: Regularization,
    folds: Folds,
    estimate_noise: bool,
    chunk: int,
    progress: bool,
    checkpoint: str | PathLike[str] | None,
) -> _Pass:
    """Pass over all structures once, weigh kinds of labels against each other, and choose the regularizer."""
    check_rule(rule, targets, chunk)
    if not folds.count and len(frames) >= _FEWEST:
        folds = Folds(np.arange(len(frames)) % _N_FOLDS)
    judged = folds.count > 0 and len(frames) >= _FEWEST and design.n_columns <= _MOST_COLUMNS
    with keeping(checkpoint, design, frames, targets, noise, folds.fold, chunk) as keeper:
        kinds = accumulate(design, frames, targets, noise, folds.fold, chunk, progress, keeper, apart=judged)
    grams, factors, findings = None, NoiseEstimate({}), []
    suspects: tuple[Quantity, ...] = ()
    if judged:
        grams = QuantityGrams(kinds)
        sizes = scales.Sizes.of(frames)
        found = scales.suspicious(grams, sizes, _telling(targets))
        suspects = tuple(scale.quantity for scale in found)
        for scale in found:
            judges = [kind for kind in grams.kinds if kind not in suspects]
            members = _labeled(targets, scale.quantity)
            findings.append(scales.finding(scale, judges, frames, members, sizes, lowered=estimate_noise))
        factors = estimate(grams, suspects, applied=estimate_noise)
        findings += factors.findings
    spoiling = 1.0 < factors.factors.get(Quantity.VIRIAL, 1.0) < LEFT_OUT
    if not estimate_noise:
        factors = NoiseEstimate({})
    weighed = factors.applied_to(noise)
    triangles = [stacked(triangles, factors.factors) for triangles in kinds]
    ridge = choose(design, frames, targets, weighed, rule, triangles, folds, chunk)
    return _Pass(ridge, weighed, tuple(findings), grams, folds, suspects, spoiling, kinds)


def _without_exchanged(
    design: Design,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    done: _Pass,
    derived: Derived,
    rule: Regularization,
    chunk: int,
) -> _Pass:
    """Return the fit in which stresses with exchanged components have little weight; the same if there are none."""
    stress = _stress(frames, targets)
    if done.grams is None or done.spoiling or not exchanges(frames, stress, derived.stress):
        return done
    factors = estimate(done.grams, done.suspects, (Quantity.VIRIAL,))
    factors = replace(factors, factors={Quantity.VIRIAL: factors.factors[Quantity.VIRIAL]})
    noise = factors.applied_to(done.noise)
    triangles = [stacked(triangles, factors.factors) for triangles in done.triangles]
    ridge = choose(design, frames, targets, noise, rule, triangles, done.folds, chunk)
    return replace(done, ridge=ridge, noise=noise)


def _derived(design: Design, frames: Sequence[Atoms], done: _Pass, chunk: int) -> Derived | None:
    """Return what energies and forces of the other folds say of every structure; None if nobody can say."""
    grams = done.grams
    if grams is None or not isinstance(design, Evaluable):
        return None
    kinds = [kind for kind in grams.kinds if kind is not Quantity.VIRIAL and kind not in done.suspects]
    if not kinds:
        return None
    factors = {Quantity.ENERGY: _LIGHT} if len(kinds) > 1 else {}
    scale = grams.scale(kinds)
    _, alpha = min(
        (sum(np.log(grams.errors(grams.held_out(kinds, a * scale, factors))[kind]) for kind in kinds), a)
        for a in ALPHAS
    )
    weights = grams.held_out_weights(kinds, alpha * scale, factors)
    energies, stress = np.empty(len(frames)), np.full((len(frames), 6), np.nan)
    forces: list[FloatArray] = [np.empty((0, 3))] * len(frames)
    of_all = grams.weights(kinds, alpha * scale, factors)
    for k, own in enumerate([*weights, of_all]):
        members = np.flatnonzero(done.folds.fold == (k if k < len(weights) else -1))
        chosen = [frames[i] for i in members.tolist()]
        for start, stop in pieces(chosen, chunk):
            found = design.energies(chosen[start:stop], own)
            energies[members[start:stop]] = found.structures
            stress[members[start:stop]] = found.stress(chosen[start:stop])
            for i, values in zip(members[start:stop].tolist(), found.forces, strict=True):
                forces[i] = values
    return Derived(energies, forces, stress, of_all)


def _sizes(
    frames: Sequence[Atoms], targets: Sequence[Target], derived: Derived, suspects: Sequence[Quantity]
) -> dict[Quantity, FloatArray]:
    """Return the sizes of residuals by kind, [n_structures].

    Of energies in eV per root of atoms; root mean squares of forces in eV/Å and of stresses in eV/Å^3.
    """
    result = {}
    labels = np.array([target.energy for target in targets])
    gaps = (labels - derived.energies) / np.sqrt(np.maximum(count_atoms(frames), 1))
    # One label far off may be all that makes a kind suspect. What forces leave open of energies is a constant.
    result[Quantity.ENERGY] = robust.centered(frames, gaps) if Quantity.ENERGY in suspects else gaps
    if any(target.forces is not None for target in targets):
        sizes = np.full(len(frames), np.nan)
        for k, (target, own) in enumerate(zip(targets, derived.forces, strict=True)):
            if target.forces is not None and np.nanmax(np.abs([target.forces, own]), initial=0.0) > _NO_FORCE:
                sizes[k] = np.sqrt(np.nanmean((target.forces - own) ** 2))
        result[Quantity.FORCES] = sizes
    if any(target.virial is not None for target in targets):
        result[Quantity.VIRIAL] = np.sqrt(np.mean((_stress(frames, targets) - derived.stress) ** 2, axis=1))
    return result


def _pulling(frames: Sequence[Atoms], targets: Sequence[Target]) -> Outliers | None:
    """Return the few energies far from those of their config_type; None without any."""
    labels = np.array([target.energy for target in targets]) / np.sqrt(np.maximum(count_atoms(frames), 1))
    return robust.outliers(frames, Quantity.ENERGY, robust.centered(frames, labels))


def _outliers(
    design: Evaluable,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    done: _Pass,
    derived: Derived,
    sizes: dict[Quantity, FloatArray],
) -> list[Outliers]:
    """Return the few labels of each kind that are far from all others and that no fit describes."""
    named = [found for q, size in sizes.items() if (found := robust.outliers(frames, q, size)) is not None]
    return _undescribed(design, frames, targets, done, derived, named)


def _undescribed(
    design: Evaluable,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    done: _Pass,
    derived: Derived,
    named: list[Outliers],
) -> list[Outliers]:
    """Return those outliers that no fit describes which knows them."""
    for known in (derived.weights, done.ridge.weights):
        judged = [
            found if found.quantity in done.suspects else _contradicting(design, frames, targets, known, found)
            for found in named
        ]
        named = [found for found in judged if found is not None]
    return named


def _contradicting(
    design: Evaluable, frames: Sequence[Atoms], targets: Sequence[Target], weights: FloatArray, found: Outliers
) -> Outliers | None:
    """Return those outliers that weights of a fit which knows them do not describe either; None if there are none.

    A structure unlike all others is predicted badly without its labels, but its labels contradict nothing.
    """
    within = _described(design, frames, weights)
    everything = np.abs(_sizes(frames, targets, within, ())[found.quantity])
    sizes = everything[list(found.structures)]
    # A fit that describes none of them well says nothing of one.
    usual = _UNUSUAL * robust.medians_by_config(frames, everything)[list(found.structures)]
    wrong = (sizes > robust.FAR[found.quantity] * np.array(found.medians)) & (sizes > usual)
    if found.quantity is Quantity.FORCES:
        # A model that makes large forces of small ones is wrong itself, and one that has a good part of large forces
        # is only not good enough.
        nothing = replace(within, forces=[np.zeros((len(frame), 3)) for frame in frames])
        magnitudes = _sizes(frames, targets, nothing, ())[Quantity.FORCES][list(found.structures)]
        wrong &= (magnitudes > 0.5 * sizes) & (sizes > 0.6 * magnitudes)
    return found.take(np.flatnonzero(wrong))


def _described(design: Evaluable, frames: Sequence[Atoms], weights: FloatArray) -> Derived:
    """Return what one fit says of all structures."""
    parts = [design.energies(frames[start:stop], weights) for start, stop in pieces(frames, CHUNK)]
    energies = np.concatenate([part.structures for part in parts])
    stress = np.concatenate(
        [part.stress(frames[a:b]) for part, (a, b) in zip(parts, pieces(frames, CHUNK), strict=True)]
    )
    return Derived(energies, [forces for part in parts for forces in part.forces], stress, weights)


def confirmed(frames: Sequence[Atoms], found: Outliers, sizes: FloatArray | None) -> bool:
    """Whether outliers are still such, seen from a fit without them."""
    again = None if sizes is None else robust.outliers(frames, found.quantity, sizes)
    return again is not None and set(found.structures) <= set(again.structures)


def _without(targets: Sequence[Target], named: Sequence[Outliers]) -> list[Target]:
    """Return the targets without the labels of outliers."""
    result = list(targets)
    for found in named:
        for k in found.structures:
            result[k] = result[k].without(found.quantity)
    return result


def _result(
    done: _Pass,
    frames: Sequence[Atoms],
    numbers: IntArray,
    targets: Sequence[Target],
    derived: Derived,
    named: Sequence[Outliers],
    consequence: str,
) -> LabeledFit:
    """Return the fit with all that was found."""
    findings = list(done.findings)
    for found in named:
        shuffled = [
            k
            for k in found.structures
            if found.quantity is Quantity.FORCES
            and (label := targets[k].forces) is not None
            and robust.looks_shuffled(label, derived.forces[k])
        ]
        findings.append(robust.finding(frames, numbers, found, consequence, shuffled))
    if Quantity.VIRIAL not in done.suspects and any(target.virial is not None for target in targets):
        stress = _stress(frames, targets)
        found_in = stress_findings(frames, stress, derived.stress, offsets=done.spoiling)
        findings += [finding.renumbered(numbers) for finding in found_in]
    return LabeledFit(done.ridge, done.noise, tuple(findings))


def _stress(frames: Sequence[Atoms], targets: Sequence[Target]) -> FloatArray:
    """Return the labels of stresses, [n_structures, 6]."""
    stress = np.full((len(frames), 6), np.nan)
    for row, frame, target in zip(stress, frames, targets, strict=True):
        if target.virial is not None:
            row[:] = target.virial / abs(np.linalg.det(frame.cell.array))
    return stress


def _telling(targets: Sequence[Target]) -> list[Quantity]:
    """Return the kinds of labels that can be compared with others."""
    squares = {
        quantity: np.array([np.nanmean(getattr(targets[k], quantity.noise) ** 2) for k in _labeled(targets, quantity)])
        for quantity in Quantity
    }
    return [quantity for quantity, values in squares.items() if scales.telling(quantity, values)]


def _labeled(targets: Sequence[Target], quantity: Quantity) -> list[int]:
    """Return which structures have labels of a kind."""
    values = [getattr(target, quantity.noise) for target in targets]
    return [k for k, value in enumerate(values) if value is not None and np.isfinite(value).any()]


__all__ = ["Derived", "Evaluable", "LabeledFit", "fit_labeled"]
