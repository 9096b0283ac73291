"""Energies against those of like composition: how far they are, and whether some are in another unit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from orbas.fit.baseline import count_species, species_of
from orbas.fit.findings import Finding, Topic, by_config, listed
from orbas.fit.isolated import isolated_atoms
from orbas.fit.quantities import Quantity
from orbas.fit.scales import LOOKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas.base.types import BoolArray, FloatArray
    from orbas.structures.io import Labels

_N_ITERATIONS = 30
#: Energies are in another unit if they are so many median gaps away, and so many at most with the factor taken back.
_AWAY, _BACK = 6.0, 3.0
#: So many structures at least, and this part of all that are as far away: a tail of high energies is spread.
_FEWEST, _MOST_OF = 3, 0.8
#: Factors nearer to one are those of real energies.
_LEAST = 3.0
#: With the factor taken back they are nearer to what is expected than this part of it: zero is as near as all of it.
_NOTHING = 0.3
#: Energies per atom scatter by this part of what they would scatter by as total ones.
_PER_ATOM = 0.4


def usual_values(shares: FloatArray, values: FloatArray, judges: BoolArray) -> FloatArray:
    """Return what shares of species [n_structures, n_species] imply of values, as some structures have them.

    By least absolute deviations (least squares, reweighted), which do not follow those that are far.
    """
    weights: FloatArray = np.ones(int(judges.sum()))
    solution: FloatArray = np.zeros(shares.shape[1])
    for _ in range(_N_ITERATIONS):
        solution[:] = np.linalg.lstsq(shares[judges] * weights[:, None], values[judges] * weights, rcond=None)[0]
        weights[:] = 1.0 / np.sqrt(np.maximum(np.abs(values - shares @ solution)[judges], 1e-6))
    implied: FloatArray = shares @ solution
    return implied


def other_units(frames: Sequence[Atoms], labels: Labels) -> tuple[Labels, list[Finding]]:
    """Leave out energies that are, by a factor of units, those of like compositions, where the most are not."""
    judges = np.isfinite(labels.energies) & ~isolated_atoms(frames)
    if judges.sum() < 4 * _FEWEST:
        return labels, []
    n_atoms = np.maximum([len(frame) for frame in frames], 1)
    shares = count_species(frames, species_of(frames)) / n_atoms[:, None]
    values = labels.energies / n_atoms
    expected = usual_values(shares, values, judges)
    gaps = np.where(judges, np.abs(values - expected), 0.0)
    width = float(np.median(gaps[judges]))
    if _are_per_atom(shares, labels.energies, judges, float(np.mean((gaps * n_atoms)[judges]))):
        members = tuple(np.flatnonzero(judges).tolist())
        message = f"energies of {len(members)} structures look as if per atom in place of total ones: correct them"
        return labels, [Finding(Topic.SCALE, members, message)]
    away = gaps > np.maximum(_AWAY * width, 1e-3 * np.abs(expected))
    if not _FEWEST <= away.sum() < 0.5 * judges.sum():
        return labels, []
    near = np.minimum(_BACK * width + 1e-3 * np.abs(expected), _NOTHING * np.abs(expected))
    units = [(np.full(len(frames), factor), name) for factor, name in LOOKS[Quantity.ENERGY]]
    for factors, name in [*units, (1.0 / n_atoms, "eV per atom"), (np.full(len(frames), -1.0), "minus eV")]:
        is_unit = (np.abs(np.log(np.abs(factors))) > np.log(_LEAST)) | (factors < 0)
        gone = np.flatnonzero(away & is_unit & (np.abs(values / factors - expected) <= near)).tolist()
        if len(gone) >= max(_FEWEST, _MOST_OF * away.sum()):
            message = (
                f"energies of {len(gone)} structures look as if in {name} in place of eV, seen from all others: they "
                f"are left out; correct them: {listed(gone)}{by_config(frames, gone)}"
            )
            energies = labels.energies.copy()
            energies[gone] = np.nan
            return replace(labels, energies=energies), [Finding(Topic.SCALE, tuple(gone), message)]
    return labels, []


def _are_per_atom(shares: FloatArray, energies: FloatArray, judges: BoolArray, width: float) -> bool:
    """Whether energies depend on the composition but not on the size, for which their scatter, in eV, is too wide."""
    gaps = np.abs(energies - usual_values(shares, energies, judges))[judges]
    return bool(np.mean(gaps) < _PER_ATOM * width)  # the median hides in the larger of two clusters
