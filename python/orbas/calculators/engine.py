"""What a calculator asks of a fitted model: any class that offers it can run in ase, LAMMPS and i-PI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from orbas._core import SkinList
    from orbas.base.energies import Energies
    from orbas.base.types import FloatArray, IntArray


class Evaluator(Protocol):
    """A fitted model with energies, forces and virials; :class:`orbas.models.Potential` is one."""

    @property
    def species_(self) -> tuple[int, ...]:
        """Atomic numbers that it knows."""
        ...

    def _at_fit(self) -> Self:
        """Return the model as it is now: a later fit does not change what a calculator computes."""
        ...

    def evaluate(self, frames: Sequence[Atoms], *, skin_lists: Sequence[SkinList] | None = None) -> Energies:
        """Return energies, forces and virials of structures."""
        ...

    def skin_lists(self, skin: float) -> list[SkinList]:
        """Return empty neighbor memories with a skin in Å."""
        ...

    def unknown(self, frames: Sequence[Atoms], forces: Sequence[FloatArray] | None = None) -> IntArray | None:
        """Return what the training set says nothing of, and warn of each reason once."""
        ...
