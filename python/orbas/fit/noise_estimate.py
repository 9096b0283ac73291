"""The noise of each kind of label, from what held-out labels of the other kinds say of it.

Residuals alone cannot tell it: where a model cannot describe its structures they are large for labels without any
error, and larger for energies than for forces. What tells is whether a kind spoils the others. A kind of label stays at
its expected noise unless the held-out errors of the others become clearly smaller without it; then its noise is raised
as far as that takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orbas.fit.findings import Finding, Topic
from orbas.fit.quantities import Quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbas.fit.noise import Noise
    from orbas.fit.quantities import QuantityGrams

#: Regularizers tried, relative to the mean squared norm of a row.
ALPHAS = (1e-9, 1e-6, 1e-3)
#: Stresses contradict energies and forces if the errors of these, multiplied, fall by this factor without stresses.
#: Only they are judged so: without forces energies of a poor model may become better by far, with no label wrong.
_SPOILS = 2.5
#: Noise is raised by the least of these factors that gains all but this fraction of what can be gained.
_FACTORS: tuple[float, ...] = tuple(10.0 ** (exponent / 2) for exponent in range(1, 9))
_LEFT = 0.03
#: What spoils the others is lowered further, as trials do not see the last digits.
_SURELY = 10.0
#: The factor of labels that are left out.
LEFT_OUT = 1e4


@dataclass(frozen=True, slots=True)
class NoiseEstimate:
    """What the noise of every kind is multiplied by, and why.

    Attributes
    ----------
    factors
        By kind, 1 where the expected noise holds.
    findings
        One for every kind that was weighted down.
    """

    factors: dict[Quantity, float]
    findings: tuple[Finding, ...] = ()

    def applied_to(self, noise: Noise) -> Noise:
        """Return the noise times the factors, of every config_type too."""
        changed = {kind.noise: getattr(noise, kind.noise) * factor for kind, factor in self.factors.items()}
        others = {
            name: replace(other, **{kind.noise: getattr(other, kind.noise) * f for kind, f in self.factors.items()})
            for name, other in noise.by_config.items()
        }
        return replace(noise, **changed, by_config=others)


def estimate(
    grams: QuantityGrams,
    wrong: Sequence[Quantity] = (),
    doubtful: Sequence[Quantity] = (),
    *,
    applied: bool = True,
) -> NoiseEstimate:
    """Return by how much the noise of kinds is to be raised so that they do not spoil the others.

    Parameters
    ----------
    grams
        Of rows divided by the expected noise.
    wrong
        Kinds with another sign or unit, see :mod:`orbas.fit.scales`: forces and stresses are left out, energies, of
        which something must be known, have little weight.
    doubtful
        Kinds whose noise is raised however little they spoil.
    applied
        Whether the fit takes the estimate, for the message.
    """
    factors = dict.fromkeys(grams.kinds, 1.0)
    findings = []
    for kind in (Quantity.VIRIAL, Quantity.FORCES, Quantity.ENERGY):
        judges = [other for other in grams.kinds if other is not kind and other not in wrong]
        if kind in wrong and kind is not Quantity.ENERGY:
            factors[kind] = LEFT_OUT
            continue
        forced = kind in wrong or kind in doubtful
        if kind not in grams.kinds or not judges or not (forced or kind is Quantity.VIRIAL):
            continue
        present = [other for other in grams.kinds if other is kind or factors[other] == 1.0]
        absent = _least(grams, [other for other in present if other is not kind], judges, {})
        gain = math.exp(_least(grams, present, judges, {}) - absent)
        if not forced and gain < _SPOILS:
            continue
        factors[kind] = _smallest(grams, present, judges, kind, absent)
        if not forced:
            factors[kind] = min(factors[kind] * _SURELY, _FACTORS[-1] / _SURELY)
            findings.append(_finding(kind, judges, gain, factors[kind], applied))
    return NoiseEstimate(factors, tuple(findings))


def _least(
    grams: QuantityGrams, kinds: Sequence[Quantity], judges: Sequence[Quantity], factors: dict[Quantity, float]
) -> float:
    """Return the least sum of logarithms of the judges' held-out errors over regularizers."""
    scale = grams.scale(kinds)
    least: float = math.inf
    for alpha in ALPHAS:
        errors = grams.errors(grams.held_out(kinds, alpha * scale, factors))
        least = min(least, float(sum(math.log(errors[kind]) for kind in judges)))
    return least


def _smallest(
    grams: QuantityGrams, kinds: Sequence[Quantity], judges: Sequence[Quantity], kind: Quantity, goal: float
) -> float:
    """Return the least factor on the noise of a kind with which the others are as good as without it."""
    for factor in _FACTORS[:-1]:
        if _least(grams, kinds, judges, {kind: factor}) <= goal + _LEFT * len(judges):
            return factor
    return _FACTORS[-1]


def _finding(kind: Quantity, judges: Sequence[Quantity], gain: float, factor: float, applied: bool) -> Finding:
    others = " and ".join(judge.plural for judge in judges)
    done = (
        f"their expected noise is raised {factor:.3g} times" if applied else "the noise that was given stays as it is"
    )
    message = (
        f"{kind.plural} contradict {others}: held-out errors of {others}, multiplied, are {gain:.2g} times larger with "
        f"them; {done}"
    )
    return Finding(Topic.NOISE, (), message)
