"""Stresses of some config_types that contradict energies and forces, where those of others do not.

Stresses are judged as a kind first (:mod:`orbas.fit.noise_estimate`). If they spoil the others, it may be those of a
few config_types alone, computed with another cell, pressure or number of plane waves: then only theirs get little
weight.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from orbas.fit.findings import Finding, Topic, by_config, config_of
from orbas.fit.noise_estimate import LEFT_OUT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray
    from orbas.fit.noise import Noise

#: Structures of a config_type from which it is looked at by itself.
_FEWEST = 5
#: How many times farther than those of the best config_type stresses must be, and how far at least, in eV/Å^3.
_APART, _LEAST = 4.0, 0.005


def contradicting(frames: Sequence[Atoms], stress: FloatArray, derived: FloatArray) -> tuple[str, ...]:
    """Return the config_types whose stresses are far from what energies and forces imply; none if those of all are.

    Parameters
    ----------
    frames
        Structures.
    stress
        Labels, [n_structures, 6] in eV/Å^3; not-a-number where not known.
    derived
        What energies and forces imply, [n_structures, 6].
    """
    gaps = np.sqrt(np.mean((stress - derived) ** 2, axis=1))
    names = np.array([config_of(frame) for frame in frames])
    sizes = {}
    for name in sorted(set(names.tolist())):
        known = gaps[(names == name) & np.isfinite(gaps)]
        if len(known) >= _FEWEST:
            sizes[name] = float(np.median(known))
    if not sizes:
        return ()
    limit = max(_APART * min(sizes.values()), _LEAST)
    return tuple(name for name, size in sizes.items() if size > limit)


def raised(noise: Noise, names: Collection[str]) -> Noise:
    """Return the noise with that of the stresses of some config_types raised."""
    plain = replace(noise, by_config={})
    others = {name: noise.by_config.get(name, plain) for name in names}
    louder = {name: replace(other, virial=LEFT_OUT * other.virial) for name, other in others.items()}
    return replace(noise, by_config={**noise.by_config, **louder})


def finding(frames: Sequence[Atoms], names: Collection[str], stress: FloatArray) -> Finding:
    """Say which config_types have stresses that contradict the others."""
    known = np.flatnonzero(np.isfinite(stress).all(axis=1)).tolist()
    members = [k for k in known if config_of(frames[k]) in names]
    message = (
        f"stresses of {len(members)} structures{by_config(frames, members)} contradict energies and forces, those of "
        f"other kinds of structures do not: their expected noise is raised {LEFT_OUT:,.0f} times"
    )
    return Finding(Topic.NOISE, tuple(members), message)
