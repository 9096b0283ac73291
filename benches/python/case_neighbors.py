"""Neighbor lists as arrays (i, j, S, D) and spherical harmonics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orbas
from harness import Case, Contender, Peer, Target, Tier
from setups import silicon

if TYPE_CHECKING:
    from collections.abc import Callable

    import ase
    from numpy.typing import NDArray

CUTOFF = 6.0
MAX_ANGULAR = 6
N_VECTORS = 10_000


def contender(atoms: ase.Atoms, search: Callable[[], Any]) -> Contender:
    """Compare what does not depend on the order of pairs: their number and sums over them, for each center."""

    def values() -> list[NDArray[np.float64]]:
        i, j, S, D = search()
        quantities: list[Any] = [
            np.ones(len(i)),
            j,
            *np.transpose(S),
            *np.transpose(D),
            (D**2).sum(axis=1),
            j * D[:, 0],
        ]
        return [np.bincount(i, weights, minlength=len(atoms)).astype(np.float64) for weights in quantities]

    return Contender(search, len(search()[0]), values)


def orbas_list(atoms: ase.Atoms) -> Contender:
    return contender(atoms, lambda: orbas.neighbor_list("ijSD", atoms, CUTOFF))


def vesin_list(atoms: ase.Atoms) -> Contender:
    import vesin

    search = vesin.NeighborList(cutoff=CUTOFF, full_list=True, n_threads=orbas.get_num_threads())
    box = atoms.cell.array
    return contender(atoms, lambda: search.compute(atoms.positions, box, True, "ijSD"))


def matscipy_list(atoms: ase.Atoms) -> Contender:
    from matscipy.neighbours import neighbour_list

    return contender(atoms, lambda: neighbour_list("ijSD", atoms, CUTOFF))


def list_case(n_atoms: int) -> Case:
    return Case(
        work="neighbor list ijSD",
        size=f"Si-{n_atoms}, rc 6",
        regime="big cell" if n_atoms > 500 else "small cell",
        unit="ns/pair",
        orbas=lambda: orbas_list(silicon(n_atoms)),
        peers=(
            Peer("vesin", lambda: vesin_list(silicon(n_atoms)), Target(2)),
            Peer("matscipy", lambda: matscipy_list(silicon(n_atoms))),
        ),
        tier=Tier.QUICK if n_atoms < 50_000 else Tier.DEFAULT,
    )


# --- spherical harmonics --------------------------------------------------------------------------------------------


def vectors() -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(-3, 3, (N_VECTORS, 3))


def orbas_harmonics(gradients: bool) -> Contender:
    xyz = vectors()

    def run() -> tuple[NDArray[np.float64], ...]:
        if gradients:
            return orbas.spherical_harmonics(xyz, MAX_ANGULAR, gradients=True)
        return (orbas.spherical_harmonics(xyz, MAX_ANGULAR),)

    return Contender(run, N_VECTORS, lambda: list(run()))


def sphericart_harmonics(gradients: bool) -> Contender:
    import sphericart

    calculator, xyz = sphericart.SphericalHarmonics(MAX_ANGULAR), vectors()

    def run() -> tuple[NDArray[np.float64], ...]:
        if gradients:
            return tuple(calculator.compute_with_gradients(xyz))
        return (calculator.compute(xyz),)

    return Contender(run, N_VECTORS, lambda: list(run()))


def harmonics_case(gradients: bool, target: float) -> Case:
    return Case(
        work="spherical harmonics" + (" + gradients" if gradients else ""),
        size=f"{N_VECTORS} vectors, l {MAX_ANGULAR}",
        regime="random directions",
        unit="ns/vector",
        orbas=lambda: orbas_harmonics(gradients),
        peers=(Peer("sphericart", lambda: sphericart_harmonics(gradients), Target(target)),),
    )


CASES = (
    *(list_case(n_atoms) for n_atoms in (216, 1000, 8000, 64_000)),
    harmonics_case(gradients=False, target=1.5),
    harmonics_case(gradients=True, target=2.0),
)
