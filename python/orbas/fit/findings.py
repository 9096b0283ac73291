"""What a fit has to say about its structures and labels: one record for all rules, one way to say it."""

from __future__ import annotations

import enum
import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ase import Atoms

    from orbas.base.types import IntArray

_LOG = logging.getLogger("orbas")
#: Structures that a message names before it counts the rest.
_N_LISTED = 5


class Topic(enum.Enum):
    """What a finding is about.

    Examples
    --------
    >>> from orbas.models import Topic
    >>> Topic.OUTLIER.value
    'outliers'
    """

    NO_VOLUME = "stress without a volume"
    ZEROS = "labels of exactly zero"
    PLACEHOLDER = "placeholders for labels"
    FIXED_ATOMS = "forces of fixed atoms"
    COPIES = "copies with other labels"
    SCALE = "sign or unit"
    COMPONENTS = "exchanged components"
    OFFSET = "constant offset"
    PERMUTATION = "forces of other atoms"
    NOISE = "labels that contradict the others"
    OUTLIER = "outliers"
    COMPOSITION = "composition"
    RARE_SPECIES = "rare species"
    NO_NEIGHBORS = "atoms without neighbors"


#: Topics of labels of single structures that are far from all others.
OUTLYING = (Topic.OUTLIER, Topic.PERMUTATION)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is odd about structures or labels.

    Attributes
    ----------
    topic
        What it is about.
    structures
        Indices of the structures, rising; empty for what concerns all.
    message
        A sentence for users: what was seen, how often, where, and what to do.
    is_warning
        False for what is worth a line of information only.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.models import Finding, Topic
    >>> finding = Finding(Topic.OUTLIER, (0, 2), "energies of structures 0 and 2 are far from all others")
    >>> print(finding)
    energies of structures 0 and 2 are far from all others
    """

    topic: Topic
    structures: tuple[int, ...]
    message: str
    is_warning: bool = True

    def __str__(self) -> str:
        return self.message

    def renumbered(self, numbers: IntArray) -> Finding:
        """Return the finding with the indices that structures have in a longer list; the message stays.

        Examples
        --------
        >>> finding.renumbered(np.array([10, 11, 12])).structures
        (10, 12)
        """
        return replace(self, structures=tuple(numbers[list(self.structures)].tolist()))


def say(findings: Iterable[Finding]) -> None:
    """Log every finding once, in the ``orbas`` logger."""
    for finding in findings:
        _LOG.log(logging.WARNING if finding.is_warning else logging.INFO, "%s", finding.message)


def listed(structures: Sequence[int]) -> str:
    """Return ``structure 3``, or ``structures 3, 8, 9, 12, 20 and 7 more``."""
    first = ", ".join(str(index) for index in structures[:_N_LISTED])
    rest = len(structures) - _N_LISTED
    return f"structure{'s' * (len(structures) > 1)} {first}" + (f" and {rest} more" if rest > 0 else "")


def config_of(frame: Atoms) -> str:
    """Return the kind of a structure, ``info["config_type"]``; ``"none"`` without one."""
    return str(frame.info.get("config_type", "none"))


def by_config(frames: Sequence[Atoms], structures: Sequence[int]) -> str:
    """Return how structures are spread over config_types, as `` (config_type bulk: 3, slab: 12)``, or nothing."""
    counts = Counter(config_of(frames[index]) for index in structures)
    if set(counts) <= {"none"}:
        return ""
    most = ", ".join(f"{name}: {count}" for name, count in counts.most_common(_N_LISTED))
    return f" (config_type {most}{', ...' if len(counts) > _N_LISTED else ''})"
