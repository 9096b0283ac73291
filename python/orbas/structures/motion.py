"""Masses and velocities that a file carries, in the units of the programs that write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.structures.columns import RowError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

#: Names of masses: ase writes ``masses`` and GPUMD, OVITO and QUIP ``mass``.
MASS_NAMES = ("masses", "mass")
#: Names of velocities in the units of ase, and in Å/fs: GPUMD writes ``vel``, QUIP ``velo``.
ASE_VELOCITY_NAMES = ("velocities",)
VELOCITY_NAMES = ("vel", "velo", "velocity")
#: QUIP's unit of mass, eV fs²/Å², is this part of u.
_QUIP_MASS = 103.6427


def set_motion(atoms: Atoms, arrays: dict[str, NDArray[Any]]) -> None:
    """Move masses and velocities from the columns of a file into a structure.

    Momenta go before velocities, and ase's names before others: what is left stays a column.

    Raises
    ------
    RowError
        If masses are not positive or velocities not finite; names the row.
    """
    mass = next((name for name in MASS_NAMES if name in arrays), None)
    if mass is not None:
        atoms.set_masses(_masses(mass, arrays.pop(mass), atoms))  # type: ignore[no-untyped-call]
    if "momenta" in arrays:
        atoms.set_momenta(_vectors("momenta", arrays.pop("momenta")), apply_constraint=False)  # type: ignore[no-untyped-call]
        return
    name = next((name for name in (*ASE_VELOCITY_NAMES, *VELOCITY_NAMES) if name in arrays), None)
    if name is not None:
        from ase.units import fs

        velocities = _vectors(name, arrays.pop(name)) / (1.0 if name in ASE_VELOCITY_NAMES else fs)
        atoms.set_momenta(velocities * atoms.get_masses()[:, None], apply_constraint=False)  # type: ignore[no-untyped-call]


def _masses(name: str, values: NDArray[Any], atoms: Atoms) -> NDArray[np.float64]:
    if values.ndim != 1 or values.dtype.kind not in "fi":
        raise RowError(f"masses must be {name}:R:1")
    masses = values.astype(np.float64)
    wrong = np.flatnonzero(~((masses > 0.0) & (masses < 1e6)))
    if wrong.size:
        raise RowError(f"mass {masses[wrong[0]]} in the column {name!r} is no mass in u", int(wrong[0]))
    from ase.data import atomic_masses

    ratios = masses / atomic_masses[atoms.numbers]
    # As QUIP has them: then the ratio is the same for all elements.
    is_quip = ratios.size > 0 and bool((np.abs(ratios / _QUIP_MASS - 1.0) < 0.01).all())
    return masses / _QUIP_MASS if is_quip else masses


def _vectors(name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    if values.shape[1:] != (3,) or values.dtype.kind not in "fi":
        raise RowError(f"velocities must be {name}:R:3")
    vectors = values.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if wrong.size:
        raise RowError(f"{name} {vectors[wrong[0]]} are not finite", int(wrong[0]))
    return vectors
