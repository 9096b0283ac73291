"""Types of the compiled core; `tests/python/test_stubs.py` holds this file against the binary."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__version__: str

class UnknownSpeciesError(ValueError): ...
class InternalError(RuntimeError): ...

class Batch:
    def __new__(
        cls,
        positions: NDArray[np.float64],
        numbers: NDArray[np.int32],
        offsets: NDArray[np.int64],
        cells: NDArray[np.float64],
        pbc: NDArray[np.bool_],
    ) -> Batch: ...
    @property
    def n_frames(self) -> int: ...
    @property
    def n_atoms(self) -> int: ...

class DensityPlan:
    def __new__(
        cls,
        *,
        cutoff: tuple[float, float, str],
        scaling: tuple[float, float, float] | None,
        species: Sequence[int],
        center_weight: float,
        n_nodes: int,
        channels: Sequence[Sequence[int]],
        functions: Sequence[Sequence[Sequence[tuple[int, NDArray[np.float64]]]]],
        level: str | None = None,
    ) -> DensityPlan: ...
    # Arrays of float32 with `single`; typed as what they are by default.
    def density(self, batch: Batch, single: bool = False) -> list[NDArray[np.float64]]: ...
    def weighted_coefficients(
        self, batch: Batch, weights: Sequence[NDArray[np.float64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
    @property
    def level(self) -> str: ...

class Invariant:
    @staticmethod
    def coefficients(plan: DensityPlan) -> Invariant: ...
    @staticmethod
    def radial_spectrum(plan: DensityPlan) -> Invariant: ...
    @staticmethod
    def power_spectrum(plan: DensityPlan) -> Invariant: ...
    @staticmethod
    def selected_power_spectrum(plan: DensityPlan, columns: Sequence[int]) -> Invariant: ...
    @staticmethod
    def iteration(
        plan: DensityPlan,
        kinds: Sequence[tuple[EquivariantPlan, Sequence[int | None]]],
        width: int,
        single: bool = False,
    ) -> Invariant: ...
    @staticmethod
    def kernel(inner: Invariant, zeta: int, points: Sequence[tuple[NDArray[np.float64], float]]) -> Invariant: ...
    @property
    def widths(self) -> list[int]: ...

class Energy:
    @staticmethod
    def linear(invariant: Invariant, weights: NDArray[np.float64]) -> Energy: ...
    @staticmethod
    def sparse(
        invariant: Invariant,
        zeta: int,
        points: Sequence[tuple[NDArray[np.float64], NDArray[np.float64], float]],
    ) -> Energy: ...

def check_species(plan: DensityPlan, batch: Batch) -> None: ...

# Of float32 with `single`; typed as it is by default.
def values(invariant: Invariant, batch: Batch, single: bool = False) -> NDArray[np.float64]: ...
def energies(
    energy: Energy, batch: Batch, skin_list: SkinList | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def rows(invariant: Invariant, batch: Batch, structure: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def gradients(
    invariant: Invariant, batch: Batch
) -> list[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]]: ...
def strain_gradients(invariant: Invariant, batch: Batch) -> NDArray[np.float64]: ...

class SkinList:
    def __new__(cls, skin: float = 1.0) -> SkinList: ...
    def __reduce__(self) -> tuple[type[SkinList], tuple[float]]: ...
    @property
    def skin(self) -> float: ...
    @property
    def n_listed(self) -> int: ...

class EquivariantPlan:
    def __new__(
        cls,
        channels: Sequence[int],
        steps: Sequence[
            tuple[
                Sequence[tuple[int, tuple[int, int], NDArray[np.uint32], NDArray[np.float64], int]],
                Sequence[
                    tuple[
                        tuple[int, int],
                        tuple[NDArray[np.float64], Sequence[tuple[int, NDArray[np.float64]]]] | None,
                    ]
                ],
                tuple[
                    NDArray[np.uint32],
                    NDArray[np.float64],
                    tuple[NDArray[np.float64], Sequence[tuple[int, NDArray[np.float64]]]] | None,
                ]
                | None,
            ]
        ],
    ) -> EquivariantPlan: ...
    def blocks(self, nu: int) -> list[tuple[int, int, int]]: ...
    def n_invariants(self) -> list[int]: ...
    # Of float32 with `single`; typed as it is by default.
    def invariants(self, density: NDArray[np.float64], single: bool = False) -> NDArray[np.float64]: ...
    def equivariants(
        self, density: NDArray[np.float64], wanted: Sequence[tuple[int, int]]
    ) -> list[NDArray[np.float64]]: ...

def clebsch_gordan(l1: int, l2: int, o3_lambda: int) -> NDArray[np.float64]: ...
def interpolate(radius: float, nodes: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]: ...
def neighbor_list(
    batch: Batch, structure: int, cutoff: float, quantities: str
) -> tuple[
    NDArray[np.int64] | None,
    NDArray[np.int64] | None,
    NDArray[np.int64] | None,
    NDArray[np.float64] | None,
    NDArray[np.float64] | None,
]: ...
def brute_force_neighbor_list(
    batch: Batch, structure: int, cutoff: float
) -> tuple[
    NDArray[np.int64] | None,
    NDArray[np.int64] | None,
    NDArray[np.int64] | None,
    NDArray[np.float64] | None,
    NDArray[np.float64] | None,
]: ...
def spherical_harmonics(
    vectors: NDArray[np.float64], max_angular: int, gradients: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]: ...
def set_num_threads(threads: int) -> None: ...
def get_num_threads() -> int: ...
def _panic_for_tests() -> None: ...
