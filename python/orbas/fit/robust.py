"""Labels of single structures far beyond the rest: one unconverged calculation among good ones.

A residual is judged among those of its config_type, by their median. Real sets have heavy tails: structures that a
model describes badly, or that are unlike all others. So being large is not enough: a gap must lie between the few
outliers and all the rest, and a fit that knows their labels must not be able to describe them.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.fit.findings import Finding, Topic, config_of, listed
from orbas.fit.isolated import isolated_atoms
from orbas.fit.quantities import Quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from orbas.base.types import FloatArray, IntArray

#: Outliers are so many medians large, and by this ratio larger than the largest of the rest.
FAR = {Quantity.ENERGY: 15.0, Quantity.FORCES: 5.0, Quantity.VIRIAL: 15.0}
_GAP = 2.5
#: Fraction of the structures that outliers may be, at most.
_FEW = 0.05
#: No median is taken for smaller than this, in eV per square root of atoms, eV/Å, eV/Å^3.
_LEAST = {Quantity.ENERGY: 1e-4, Quantity.FORCES: 1e-3, Quantity.VIRIAL: 1e-4}
#: Structures of a config_type from which it has a median of its own.
_FEWEST = 8
#: Structures with such a label from which on outliers are looked for.
_ENOUGH = 15
#: Huber's constant in units of the standard deviation: 95 % of the efficiency of least squares for normal errors.
_HUBER = 1.345
_MAD = 1.4826


class Robust(enum.Enum):
    """What a fit does about labels far from all others, which it names in any case.

    ``OUTLIERS`` leaves out the few that stand apart, and fits again if there are any; ``HUBER`` gives every structure
    weights from its residuals (iteratively reweighted, four passes); ``NONE`` keeps all as they are.
    """

    OUTLIERS = "outliers"
    HUBER = "huber"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Outliers:
    """Structures whose label of a kind is far from all others.

    Attributes
    ----------
    quantity
        The kind of label.
    structures
        Indices, rising.
    sizes
        Residuals: of energies in eV per square root of atoms, of forces and stresses root mean squares in eV/Å, eV/Å^3.
    medians
        How large those of the others of their config_type are.
    """

    quantity: Quantity
    structures: tuple[int, ...]
    sizes: tuple[float, ...]
    medians: tuple[float, ...]

    def take(self, places: IntArray) -> Outliers | None:
        """Return some of them; None if there are none."""
        if len(places) == 0:
            return None
        columns = (tuple(column[k] for k in places.tolist()) for column in (self.structures, self.sizes, self.medians))
        return Outliers(self.quantity, *columns)


def outliers(frames: Sequence[Atoms], quantity: Quantity, residuals: FloatArray) -> Outliers | None:
    """Return the few structures far beyond the rest, or None.

    Parameters
    ----------
    frames
        Structures.
    quantity
        The kind of label.
    residuals
        Size of the residual of every structure, [n_structures]; not-a-number where there is no label.
    """
    known = np.flatnonzero(np.isfinite(residuals) & _comparable(frames))
    if len(known) < _ENOUGH:
        return None
    medians = np.maximum(medians_by_config(frames, residuals), _LEAST[quantity])
    ratios = np.abs(residuals) / medians
    order = known[np.argsort(-ratios[known], kind="stable")]
    most = max(1, int(_FEW * len(known)))
    sorted_ratios = ratios[order[: most + 1]]
    gaps = sorted_ratios[:-1] / np.maximum(sorted_ratios[1:], 1e-300)
    gaps[sorted_ratios[:-1] < FAR[quantity]] = 0.0
    if gaps.size == 0 or gaps.max() < _GAP:
        return None
    # The last gap that is wide enough: smaller outliers hide behind larger ones.
    last = int(np.flatnonzero(gaps >= _GAP)[-1])
    chosen = np.sort(order[: last + 1])
    return Outliers(
        quantity, tuple(chosen.tolist()), tuple(np.abs(residuals)[chosen].tolist()), tuple(medians[chosen].tolist())
    )


def _comparable(frames: Sequence[Atoms]) -> NDArray[np.bool_]:
    """Return which structures can be judged by others: not isolated atoms, and not alone in their config_type."""
    configs = [config_of(frame) for frame in frames]
    counts = Counter(configs)
    comparable: NDArray[np.bool_] = np.array([counts[name] >= _FEWEST for name in configs], dtype=bool)
    return comparable & ~isolated_atoms(frames)


def centered(frames: Sequence[Atoms], residuals: FloatArray) -> FloatArray:
    """Return residuals per root of atoms without a constant per atom of each config_type, [n_structures]."""
    roots = np.sqrt(np.maximum([len(frame) for frame in frames], 1))
    configs = np.array([config_of(frame) for frame in frames])
    result = residuals.copy()
    for name in sorted(set(configs.tolist())):
        members = (configs == name) & np.isfinite(residuals)
        if members.any():
            result[members] -= np.median(residuals[members] / roots[members]) * roots[members]
    return result


def medians_by_config(frames: Sequence[Atoms], residuals: FloatArray) -> FloatArray:
    """Return the median magnitude of residuals among the config_type of each structure, [n_structures].

    Small config_types take that of all; none is taken for less than a third of it.
    """
    together = float(np.nanmedian(np.abs(residuals)))
    configs = np.array([config_of(frame) for frame in frames])
    medians = np.full(len(residuals), together)
    for name in sorted(set(configs.tolist())):
        members = configs == name
        own = np.abs(residuals[members & np.isfinite(residuals)])
        if len(own) >= _FEWEST:
            medians[members] = max(float(np.median(own)), together / 3)
    return medians


def huber_weights(frames: Sequence[Atoms], residuals: FloatArray) -> FloatArray:
    """Return the weights of residuals in the next least squares, ``min(1, c / |r|)``, [n_structures].

    Huber, Ann. Math. Statist. 35, 73 (1964), with the scale of each config_type from its median.
    """
    if not np.isfinite(residuals).any():
        return np.ones(len(residuals))
    limits = _HUBER * _MAD * medians_by_config(frames, residuals)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.minimum(1.0, limits / np.abs(residuals))
    return np.where(np.isfinite(weights), weights, 1.0)


def finding(
    frames: Sequence[Atoms], numbers: IntArray, found: Outliers, consequence: str, shuffled: Sequence[int] = ()
) -> Finding:
    """Name outliers by ``numbers`` [n_structures], with their residual and that of others, and what became of them."""
    named = "; ".join(
        f"structure {numbers[k]}{_config(frames[k])} by {_size(found.quantity, size, frames[k])}, others of its kind "
        f"by {_size(found.quantity, median, frames[k])}"
        for k, size, median in list(zip(found.structures, found.sizes, found.medians, strict=True))[:5]
    )
    rest = f" and {len(found.structures) - 5} more" if len(found.structures) > 5 else ""
    mixed = ""
    if shuffled:
        names = listed(numbers[list(shuffled)].tolist())
        mixed = f"; those of {names} look like the forces of its atoms in another order"
    message = (
        f"{found.quantity.plural} of {len(found.structures)} structure{'s' * (len(found.structures) > 1)} are far from "
        f"what all other labels say: {named}{rest}{mixed}; {consequence}"
    )
    return Finding(Topic.PERMUTATION if shuffled else Topic.OUTLIER, found.structures, message).renumbered(numbers)


def _size(quantity: Quantity, size: float, frame: Atoms) -> str:
    if quantity is Quantity.ENERGY:
        return f"{size * np.sqrt(max(len(frame), 1)):.3g} eV"
    return f"{size:.3g} {quantity.unit}"


def _config(frame: Atoms) -> str:
    name = config_of(frame)
    return "" if name == "none" else f" (config_type {name})"


def looks_shuffled(label: FloatArray, derived: FloatArray) -> bool:
    """Whether forces [n_atoms, 3] agree with the derived ones in another order of the atoms, and not in their own."""
    from scipy.optimize import linear_sum_assignment

    known = np.isfinite(label).all(axis=1)
    label, derived = label[known], derived[known]
    if len(label) < 5 or len(label) > 500:
        return False
    costs = np.sum((label[:, None] - derived[None]) ** 2, axis=2)
    rows, columns = linear_sum_assignment(costs)
    return bool(costs[rows, columns].sum() < 0.1 * np.trace(costs))
