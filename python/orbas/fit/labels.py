"""From labels of structures to what a model is fitted to: what is left above a baseline of energies."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from orbas.errors import LabelError
from orbas.fit.baseline import CompositionBaseline
from orbas.fit.noise import Target
from orbas.fit.quantities import Quantity
from orbas.structures.label_table import LabelKeys
from orbas.structures.labels import Labels, collect_labels, known_labels
from orbas.structures.trust import FULL_TRUST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import ArrayLike

    from orbas.base.types import FloatArray

_LOG = logging.getLogger("orbas")
BaselineLike = Literal["composition"] | Mapping[str, float] | Mapping[int, float]


def labels_of(
    frames: Sequence[Atoms],
    energy_key: str | None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
) -> Labels:
    """Return the labels; what is not known is nan, forces that are not there are None.

    Raises
    ------
    LabelError
        If no structure has what was named, or a label is unusable.
    """
    return known_labels(frames, LabelKeys(energy_key, forces_key, stress_key, virial_key))


def energies_of(frames: Sequence[Atoms], energy_key: str) -> FloatArray:
    """Return the energies [n_structures] in eV under a key; raise LabelError if any is missing."""
    labels = collect_labels(frames, energy_key)
    energies = labels.energies
    names = sorted({name for trust in labels.trust for name in trust.names})
    if names:
        _LOG.warning("all energies have the same weight here: %s of structures is not used", ", ".join(names))
    unknown = np.flatnonzero(np.isnan(energies))
    if unknown.size:
        raise LabelError(
            f"structure {unknown[0]} carries {energy_key!r}, but it is not known, like {unknown.size} others"
        )
    return energies


def with_energies(frames: list[Atoms], keys: LabelKeys, energies: ArrayLike) -> Labels:
    """Return labels of which the energies are given, one for each structure by its position.

    Raises
    ------
    LabelError
        If there are not as many energies as structures, or one is no finite number; and as :func:`labels_of`.
    """
    from orbas.errors import LabelError

    values = np.asarray(energies, dtype=np.float64)
    if values.shape != (len(frames),):
        raise LabelError(f"y must be the energies of {len(frames)} structures in eV, got the shape {values.shape}")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise LabelError(f"y must be finite energies in eV, that of structure {bad[0]} is {values[bad[0]]}")
    others = known_labels(frames, replace(keys, energy=None))
    weights = [trust.weights[0] for trust in others.trust] or 1.0
    return replace(others, energies=np.where(np.asarray(weights) > 0, values, np.nan))


def fit_baseline(given: BaselineLike, frames: Sequence[Atoms], energies: FloatArray) -> CompositionBaseline:
    """Return the fitted baseline."""
    if isinstance(given, Mapping):
        return CompositionBaseline(given).fit(frames, energies)
    if given != "composition":
        raise ValueError(f"unknown baseline {given!r}: give 'composition' or a dict of energies")
    return CompositionBaseline().fit(frames, energies)


def targets_of(frames: Sequence[Atoms], labels: Labels, baseline: CompositionBaseline) -> list[Target]:
    """Return the labels above the baseline, structure by structure; a stress as the virial it stands for."""
    above = labels.energies - baseline.predict(frames)
    targets = []
    for k, frame in enumerate(frames):
        trust = labels.trust[k] if labels.trust else FULL_TRUST
        forces = None if labels.forces is None else labels.forces[k]
        virial = None
        if labels.stress is not None:
            virial = labels.stress[k] * abs(np.linalg.det(frame.cell.array))
        weights = dict(zip(Quantity, trust.weights, strict=True))
        targets.append(Target(float(above[k]), _known(forces), _known(virial), weights, trust))
    return targets


def _known(values: FloatArray | None) -> FloatArray | None:
    """Return labels of which at least one number is known, else None; a structure without atoms has known forces."""
    return values if values is None or not values.size or np.isfinite(values).any() else None
