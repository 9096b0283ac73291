"""Signs and units: what the labels of one kind would have to be multiplied by to belong to those of another.

In a joint fit of two kinds, weights are linear in the labels: the held-out errors for any factor on one of them follow
from two solutions. A factor that makes both errors much smaller than none is named as what it looks like.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from orbas.fit.findings import Finding, Topic, by_config
from orbas.fit.noise_estimate import ALPHAS
from orbas.fit.quantities import Quantity, log_errors

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray
    from orbas.fit.quantities import QuantityGrams

#: No unit is closer to another than by this factor: what is may be the model's.
_LEAST = 1.5
#: Errors of both kinds, multiplied, must fall by this factor.
_GAIN = 4.0
#: By this one if it is none that labels are known for: a few crystals at rest may have any.
_GAIN_OF_OTHERS = 12.0
#: What the labels leave unexplained of each other, both fractions multiplied, must then be below this.
_LEFT = 0.3
#: And each fraction below this: where most forces are zero by symmetry, energies alone would make the product small.
_LEFT_OF_EACH = 0.7
#: Structures whose labels count, at least: so many, and this fraction of those that have some.
_FEWEST_TELLING, _TELLING = 10, 0.25
#: Labels that are smaller than the larger ones by this factor do not count.
_SMALL = 0.1
_GRID = 10.0 ** np.arange(-6.0, 6.001, 0.02)
_HARTREE, _BOHR, _EV_A3_IN_GPA = 27.211386245988, 0.529177210903, 160.2176634
#: Factors on labels by kind, and what they look like.
LOOKS = {
    Quantity.ENERGY: (
        (1 / _HARTREE, "Hartree"), (2 / _HARTREE, "Rydberg"), (23.060548, "kcal/mol"), (96.485332, "kJ/mol"),
        (1000.0, "meV"), (627.509474 , "kcal/mol, from numbers that were in eV taken for Hartree"),
        (_HARTREE, "Hartree converted to eV twice"),
    ),
    Quantity.FORCES: (
        (_BOHR / _HARTREE, "Hartree/Bohr"), (2 * _BOHR / _HARTREE, "Rydberg/Bohr"), (1 / _HARTREE, "Hartree/Å"),
        (_BOHR, "eV/Bohr"), (1 / _BOHR, "1/Å converted to 1/Bohr the wrong way"), (23.060548, "kcal/mol/Å"),
        (96.485332, "kJ/mol/Å"), (9648.5332, "kJ/mol/nm"), (1000.0, "meV/Å"), (0.1, "eV/nm"),
        (_HARTREE / _BOHR, "Hartree/Bohr converted to eV/Å twice"),
    ),
    Quantity.VIRIAL: (
        (10 * _EV_A3_IN_GPA, "kbar"), (_EV_A3_IN_GPA, "GPa"), (1e4 * _EV_A3_IN_GPA, "bar"),
        (1 / _EV_A3_IN_GPA, "GPa converted twice"), (0.1 / _EV_A3_IN_GPA, "kbar converted twice"),
        (_BOHR**3 / _HARTREE, "Hartree/Bohr^3"), (2 * _BOHR**3 / _HARTREE, "Rydberg/Bohr^3"),
        (1 / _HARTREE, "virials in Hartree"),
    ),
}  # fmt: skip
_SIGNS = {
    Quantity.ENERGY: "the sign is wrong",
    Quantity.FORCES: "the sign is wrong, as of gradients (dE/dr) in place of forces",
    Quantity.VIRIAL: "the sign is wrong, as of stresses that count compression as positive, or of virials",
}
#: A factor is taken for one of the above within this ratio; farther ones are only named as near.
_SURE, _NEAR = 1.12, 1.8


@dataclass(frozen=True, slots=True)
class Scale:
    """Labels of a kind are ``factor`` times what those of the others imply."""

    quantity: Quantity
    factor: float
    gain: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """What structures typically are: their volume in Å^3, not-a-number if there is none, and number of atoms."""

    volume: float
    n_atoms: float

    @classmethod
    def of(cls, frames: Sequence[Atoms]) -> Self:
        """Return the medians."""
        volumes = [abs(np.linalg.det(frame.cell.array)) for frame in frames if all(frame.pbc)]
        return cls(float(np.median(volumes)) if volumes else math.nan, float(np.median([len(f) for f in frames])))


def telling(quantity: Quantity, squares: FloatArray) -> bool:
    """Whether labels of a kind are those of enough structures to be compared with others.

    Crystals at rest have forces by symmetry or by rounding, and a few that are larger: these few say nothing of a unit.

    Parameters
    ----------
    quantity
        The kind.
    squares
        Mean square of the labels of every structure that has some, [n].
    """
    if quantity is Quantity.ENERGY:
        return True
    sizes = np.sort(np.sqrt(squares))[::-1]
    n = max(_FEWEST_TELLING, math.ceil(_TELLING * len(sizes)))
    return len(sizes) >= n and sizes[n - 1] > _SMALL * float(np.median(sizes[:n]))


def suspicious(grams: QuantityGrams, sizes: Sizes, kinds: Collection[Quantity]) -> list[Scale]:
    """Return the kinds of labels with another sign or unit than the others.

    Parameters
    ----------
    grams
        Of rows divided by the expected noise.
    sizes
        Of structures, for virials given as stresses, and energies per atom.
    kinds
        Those that can be compared, see :func:`telling`.
    """
    pairs: dict[tuple[Quantity, Quantity], Scale] = {}
    for first, second in (
        (Quantity.ENERGY, Quantity.FORCES),
        (Quantity.FORCES, Quantity.VIRIAL),
        (Quantity.ENERGY, Quantity.VIRIAL),
    ):
        if {first, second} <= {*grams.kinds} & {*kinds} and len(pairs) != 2:
            pairs[first, second] = _pair(grams, first, second)
    wrong = {pair: found for pair, found in pairs.items() if found.gain > _wanted_gain(found, pair[0], sizes)}
    forces_virial = wrong.get((Quantity.FORCES, Quantity.VIRIAL))
    energy_forces = wrong.get((Quantity.ENERGY, Quantity.FORCES))
    if energy_forces is not None and forces_virial is not None:
        # Forces stand against both; their factor is that between energies and them.
        return [Scale(Quantity.FORCES, energy_forces.factor, energy_forces.gain)]
    if energy_forces is not None:
        inverse = Scale(Quantity.ENERGY, 1.0 / energy_forces.factor, energy_forces.gain)
        if (Quantity.FORCES, Quantity.VIRIAL) in pairs:
            return [inverse]
        return [min((energy_forces, inverse), key=lambda scale: _strangeness(scale, sizes))]
    return list(wrong.values())


def finding(
    scale: Scale,
    judges: Sequence[Quantity],
    frames: Sequence[Atoms],
    structures: Sequence[int],
    sizes: Sizes,
    *,
    lowered: bool,
) -> Finding:
    """Say what a factor looks like.

    Parameters
    ----------
    scale
        Which labels are off, and by what.
    judges
        The kinds of labels that say so.
    frames, structures
        All structures, and which have such labels.
    sizes
        As of :func:`suspicious`.
    lowered
        Whether the fit gives them little weight.
    """
    others = " and ".join(kind.plural for kind in judges)
    size = abs(scale.factor)
    sign = "minus " if scale.factor < 0 else ""
    looks = _looks(scale, sizes)
    if scale.factor < 0 and 1 / _NEAR < size < _NEAR:
        text = _SIGNS[scale.quantity]
    elif looks:
        text = f"as if in {' or '.join(looks)} in place of {scale.quantity.unit}"
    else:
        text = "in a wrong unit?"
    consequence = "have little weight in" if scale.quantity is Quantity.ENERGY else "are left out of"
    done = f"they {consequence} the fit; correct them" if lowered else "correct them"
    message = (
        f"{scale.quantity.plural} of {len(structures)} structures{by_config(frames, structures)} look like "
        f"{sign}{size:.3g} times what {others} imply, {text}: {done}"
    )
    return Finding(Topic.SCALE, tuple(structures), message)


def _pair(grams: QuantityGrams, first: Quantity, second: Quantity) -> Scale:
    """Return by which factor the labels of the second kind are off, seen from the first."""
    scale = grams.scale([first, second])
    plain, best, factor, left = math.inf, math.inf, 1.0, np.ones(2)
    grid = np.concatenate([_GRID, -_GRID])
    for alpha in ALPHAS:
        forms = grams.held_out([first, second], alpha * scale)
        errors = _errors(forms[first], forms[second], grid)
        costs = errors.sum(axis=0)
        plain = min(plain, float(_errors(forms[first], forms[second], np.ones(1)).sum()))
        least = int(np.argmin(costs))
        if costs[least] < best:
            best, factor = float(costs[least]), float(grid[least])
            left = np.exp(errors[:, least] - _errors(forms[first], forms[second], None)[:, 0])
    # A factor says something only if labels that are multiplied by it foretell each other, both of them.
    told = left.prod() < _LEFT and left.max() < _LEFT_OF_EACH and not 1 / _LEAST < factor < _LEAST
    gain = math.exp(plain - best) if told else 1.0
    return Scale(second, 1.0 / factor, gain)


def _errors(first: FloatArray, second: FloatArray, factors: FloatArray | None) -> FloatArray:
    """Return the mean over folds of the logarithms of held-out errors of both kinds, [2, n_factors].

    Labels of the second kind have factors, which its errors are divided by. Without factors, of the labels themselves:
    what is left if nothing is explained.
    """
    if factors is None:
        nothing = np.zeros((2, 1))
        return np.stack([np.mean(log_errors(forms, nothing), axis=0) for forms in (first, second)])
    scales = np.stack([np.ones_like(factors), factors])
    of_second = np.mean(log_errors(second, scales, factors), axis=0) - np.log(np.abs(factors))
    return np.stack([np.mean(log_errors(first, scales), axis=0), of_second])


def _wanted_gain(scale: Scale, other: Quantity, sizes: Sizes) -> float:
    """Return the gain from which on a factor is believed, which may be on the labels of either kind of a pair."""
    both = (scale, Scale(other, 1.0 / scale.factor, scale.gain))
    sure = any(1 / _SURE < -one.factor < _SURE or (one.factor > 0 and _is_sure(one, sizes)) for one in both)
    return _GAIN if sure else _GAIN_OF_OTHERS


def _is_sure(scale: Scale, sizes: Sizes) -> bool:
    gaps = (abs(math.log(abs(scale.factor) / known)) for known, _ in _known(scale.quantity, sizes))
    return min(gaps) < math.log(_SURE)


def _strangeness(scale: Scale, sizes: Sizes) -> float:
    """Return how far a factor is from one that a kind is known for, as a logarithm; forces for a mere sign."""
    if scale.factor < 0 and 1 / _NEAR < -scale.factor < _NEAR:
        return 0.0 if scale.quantity is Quantity.FORCES else 1.0
    return min(abs(math.log(abs(scale.factor) / known)) for known, _ in _known(scale.quantity, sizes))


def _looks(scale: Scale, sizes: Sizes) -> list[str]:
    """Return the units that a factor stands for: the one it is, or those it is near to."""
    known = _known(scale.quantity, sizes)
    gaps = sorted((abs(math.log(abs(scale.factor) / factor)), name) for factor, name in known)
    if gaps[0][0] < math.log(_SURE):
        return [gaps[0][1]]
    return [name for gap, name in gaps[:2] if gap < math.log(_NEAR)]


def _known(quantity: Quantity, sizes: Sizes) -> list[tuple[float, str]]:
    """Return the factors that labels of a kind are known for, and what they look like."""
    known = list(LOOKS[quantity])
    if quantity is Quantity.VIRIAL and math.isfinite(sizes.volume):
        known += [(sizes.volume, "virials, in eV, given as stresses"), (1 / sizes.volume, "stresses given as virials")]
    if quantity is Quantity.ENERGY and sizes.n_atoms > 1:
        known.append((1 / sizes.n_atoms, "eV per atom"))
    return known
