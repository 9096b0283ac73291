"""Where energies, forces, stresses and virials may stand, and under which names: the one table.

``read``, ``collect_labels``, every ``fit`` and ``score``, ``[data]`` of settings and the flags go by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache

#: In front of the names that labels have after ``read``. ase does not know them, hence leaves them where they are.
REFERENCE = "REF_"
#: From this magnitude on a number of a file is refused with the infinities: squares of smaller ones fit in a double.
LARGEST = 1e100
#: Names of columns that hold one component of the forces, in lower case.
AXIS_OF_FORCES = re.compile(r"(f|for|frc|forces?)[\W_]?[xyz]")
#: Words of names that are about labels, or about something else, but are none.
_NO_LABELS = re.compile(
    r"weights?|sigma|noise|mask|std|uncertainty|error|rmse|mae|units?|orbas|kinetic|fermi|cut(off)?|per|band|zero|key",
)


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    per_atom: bool
    #: Matches names that look like this kind of label, in lower case.
    looks: re.Pattern[str]


class LabelKind(Enum):
    """A kind of label: its plain name, its place (a column of the atoms or the comment line), how names of it look."""

    ENERGY = _Kind("energy", False, re.compile(r".*energ(y|ies).*|e|en|ener|e_?tot(al)?|toten|e_?pot|pe|u0"))
    FORCES = _Kind(
        "forces", True, re.compile(r".*forces?([\W_\d].*)?|.*gradients?|f|for|frc|fxyz|grad|" + AXIS_OF_FORCES.pattern)
    )
    STRESS = _Kind("stress", False, re.compile(r".*stress.*"))
    VIRIAL = _Kind("virial", False, re.compile(r".*virial.*"))

    @property
    def plain(self) -> str:
        """Its name in ase and in most files."""
        return self.value.name

    @property
    def reference(self) -> str:
        """Its name after ``read``."""
        return REFERENCE + self.value.name

    @property
    def option(self) -> str:
        """Keyword, field of ``[data]`` and, with dashes, flag that name another."""
        return f"{self.value.name}_key"

    @property
    def per_atom(self) -> bool:
        """Whether it is a column of the atoms; otherwise it stands in the comment line."""
        return self.value.per_atom


#: What labels are called together: a virial is a stress times the volume.
TENSORS = (LabelKind.STRESS, LabelKind.VIRIAL)
#: Kinds by what they are labels of, as :func:`orbas.read` takes them.
KINDS = {"energy": (LabelKind.ENERGY,), "forces": (LabelKind.FORCES,), "stress": TENSORS}


@cache
def looks_like(name: str, *, per_atom: bool) -> LabelKind | None:
    """Return the kind of label that a name looks like; None for names of other things.

    >>> looks_like("dft_energy", per_atom=False)
    <LabelKind.ENERGY: ...>
    >>> looks_like("energy_weight", per_atom=False)
    """
    low = name.casefold()
    if any(_NO_LABELS.fullmatch(word) for word in re.split(r"[\W_]+", low)):
        return None
    return next((kind for kind in LabelKind if kind.per_atom == per_atom and kind.value.looks.fullmatch(low)), None)


@dataclass(frozen=True, slots=True)
class LabelKeys:
    """Names of the labels in ``info``, ``arrays`` or a calculator; a kind whose name is None is not looked at."""

    energy: str | None = LabelKind.ENERGY.reference
    forces: str | None = None
    stress: str | None = None
    virial: str | None = None

    def of(self, kind: LabelKind) -> str | None:
        """Return the name of one kind."""
        name: str | None = getattr(self, kind.plain)
        return name

    def named(self, kinds: tuple[LabelKind, ...]) -> tuple[str, ...]:
        """Return the names of some kinds that have one."""
        return tuple(name for kind in kinds if (name := self.of(kind)) is not None)
