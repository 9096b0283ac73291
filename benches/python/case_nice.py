"""Body orders: products of the density with itself, whole iterations, and the price of forces.

The public NICE code is not on PyPI. It was built and timed once on a machine of this kind; its times stand here as
constants, so that a ratio to them is only good to the 30 % by which machines differ.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import ase
import numpy as np
import orbas
from harness import Case, Contender, Peer, Quoted, Target
from orbas import structures
from setups import QM9_SPECIES, count_atoms, molecules

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Environments of the products, with coefficients from a normal distribution: no zeros that a program could skip. There
#: are many, as featomic works in Python on every block of products.
N_ENVIRONMENTS = 1000
#: With all lambda each has 130 kB (180 x 181 / 2 products: those of two coefficients in one order).
N_LARGE_ENVIRONMENTS = 400
UNIT = "µs/environment"

# --- products without contraction -----------------------------------------------------------------------------------


@functools.cache
def coefficients(n: int, n_radial: int, max_angular: int) -> NDArray[np.float64]:
    """Packed density coefficients [environment, l, m, q]."""
    width = n_radial * (max_angular + 1) ** 2
    return np.random.default_rng(0).normal(size=(n, width))


@functools.cache
def products(nu: int, n_radial: int, max_angular: int, *, everything: bool) -> Any:
    """All products of an order, nothing selected and nothing contracted, as orbas compiles them.

    Only the structure of the iteration matters here, for which one methane is enough to fit on.
    """
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(6.0, 0.5),
        density_width=0.5,
        max_angular=max_angular,
        basis=orbas.bases.GTO(n_radial),
        species=(14,),
    )
    inner = [max_angular] * (nu - 2)
    nice = orbas.NICE(
        density,
        nu_max=nu,
        n_components=None if everything else [*([None] * (nu - 2)), 0],
        max_lambda=[*inner, nu * max_angular],
    )
    return nice.fit([ase.Atoms("Si2", [[0, 0, 0], [0.3, 1.1, 2.0]])]).iterations_[None].plan


def orbas_products(n: int, nu: int, n_radial: int, max_angular: int, *, everything: bool) -> Contender:
    plan, rows = products(nu, n_radial, max_angular, everything=everything), coefficients(n, n_radial, max_angular)
    places = [(nu, place) for place in range(len(plan.blocks(nu)))]

    def run() -> list[NDArray[np.float64]]:
        if everything:
            return list(plan.equivariants(rows, places))
        first = sum(plan.n_invariants()[: nu - 1])
        return [plan.invariants(rows)[:, None, first:]]

    symmetries = [(l, sigma) for l, sigma, _ in plan.blocks(nu)] if everything else [(0, 1)]
    return Contender(run, n, lambda: kernels(dict(zip(symmetries, run(), strict=True))))


def featomic_products(n: int, nu: int, n_radial: int, max_angular: int, *, everything: bool) -> Contender:
    """Timed as it comes, redundant products skipped; numbers are compared with all of them, which keeps the norms."""
    from featomic.clebsch_gordan import DensityCorrelations
    from metatensor import Labels

    density = tensor_map(n, n_radial, max_angular)
    most = nu * max_angular if everything else max_angular

    def calculator(*, skip_redundant: bool) -> Callable[[], Any]:
        made = DensityCorrelations(n_correlations=nu - 1, max_angular=most, skip_redundant=skip_redundant)
        if everything:
            return lambda: made.compute(density)
        scalars = Labels(["o3_lambda", "o3_sigma"], np.array([[0, 1]]))
        return lambda: made.compute(density, angular_cutoff=max_angular, selected_keys=scalars)

    def values() -> list[NDArray[np.float64]]:
        parts: dict[tuple[int, int], list[NDArray[np.float64]]] = {}
        for key, block in calculator(skip_redundant=False)().items():
            parts.setdefault((int(key["o3_lambda"]), int(key["o3_sigma"])), []).append(block.values)
        return kernels({symmetry: np.concatenate(blocks, axis=2) for symmetry, blocks in parts.items()})

    return Contender(calculator(skip_redundant=True), n, values)


def tensor_map(n: int, n_radial: int, max_angular: int) -> Any:
    """The same coefficients in the containers of featomic."""
    from metatensor import Labels, TensorBlock, TensorMap

    ends = np.cumsum([(2 * l + 1) * n_radial for l in range(max_angular + 1)])[:-1]
    blocks = [
        TensorBlock(
            values=np.ascontiguousarray(part.reshape(n, 2 * l + 1, n_radial)),
            samples=Labels.range("atom", n),
            components=[Labels("o3_mu", np.arange(-l, l + 1)[:, None])],
            properties=Labels.range("n", n_radial),
        )
        for l, part in enumerate(np.split(coefficients(n, n_radial, max_angular), ends, axis=1))
    ]
    keys = np.array([[l, 1] for l in range(max_angular + 1)])
    return TensorMap(Labels(["o3_lambda", "o3_sigma"], keys), blocks)


def kernels(blocks: dict[tuple[int, int], NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Scalar products of the first environments, for every symmetry: they do not depend on the order of columns."""
    some = {symmetry: values[:20].reshape(min(20, len(values)), -1) for symmetry, values in sorted(blocks.items())}
    return [values @ values.T for values in some.values()]


def product_case(nu: int, n_radial: int, max_angular: int, target: float, *, everything: bool = False) -> Case:
    n = N_LARGE_ENVIRONMENTS if everything else N_ENVIRONMENTS
    return Case(
        work=f"all products, nu {nu}" if everything else f"invariants, nu {nu}",
        size=f"n {n_radial} l {max_angular}, nothing contracted",
        regime="random coefficients",
        unit=UNIT,
        orbas=lambda: orbas_products(n, nu, n_radial, max_angular, everything=everything),
        peers=(
            Peer(
                "featomic",
                lambda: featomic_products(n, nu, n_radial, max_angular, everything=everything),
                Target(target),
                note="redundant products skipped when timed; scalar products compared",
            ),
        ),
    )


PRODUCT_CASES = (
    product_case(2, 5, 5, 20),
    product_case(3, 3, 3, 20),
    product_case(2, 5, 5, 8, everything=True),
)

# --- whole iterations at the settings of the public code, all sizes divided by ten ----------------------------------


@functools.cache
def methane(n: int) -> list[ase.Atoms]:
    """Hydrogens at random within 3 Å of a carbon, no two atoms closer than 0.5 Å."""
    generator, frames = np.random.default_rng(0), []
    while len(frames) < n:
        sites = generator.uniform(-3, 3, size=(4, 3))
        frame = ase.Atoms("CH4", np.concatenate([np.zeros((1, 3)), sites]))
        near = frame.get_all_distances()[np.triu_indices(5, 1)].min() < 0.5
        if np.linalg.norm(sites, axis=1).max() < 3 and not near:
            frames.append(frame)
    return frames


@functools.cache
def methane_small() -> orbas.NICE:
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(6.3, 0.3),
        density_width=0.05,
        max_angular=5,
        basis=orbas.bases.GTO(5),
        species=(1, 6),
    )
    nice = orbas.NICE(
        density,
        nu_max=4,
        n_pairs=(100, 300, 1),
        n_components=(50, 50, 0),
        n_invariants=(None, 100, 200),
        n_invariant_pairs=(None, 500, 500),
        max_lambda=5,
        n_purify=(10, 10, 0),
        per_center=True,
    )
    return nice.fit(methane(200))


@functools.cache
def qm9_small() -> orbas.NICE:
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(5.0, 0.5),
        scaling=orbas.RadialScaling(rate=2.0, scale=1.0, exponent=6.0),
        density_width=0.3,
        max_angular=5,
        basis=orbas.bases.GTO(5),
        species=QM9_SPECIES,
    )
    nice = orbas.NICE(
        density,
        nu_max=3,
        n_pairs=(500, 1),
        n_components=(200, 0),
        n_invariants=(150, 150),
        n_invariant_pairs=(5000, 5000),
        max_lambda=5,
        n_purify=(10, 0),
        per_center=True,
    )
    return nice.fit(molecules(100))


def hydrogens() -> Contender:
    """Invariants of hydrogens; the density is made of all atoms, the time counts for the hydrogens alone."""
    nice, frames = methane_small(), methane(200)
    plan, species = nice.density.plan_for(frames)
    iteration, place = nice.iterations_[1], species.index(1)

    def run() -> object:
        return iteration.plan.invariants(plan.density(structures.to_batch(frames))[place])

    return Contender(run, 4 * len(frames))


def transform(nice: orbas.NICE, frames: list[ase.Atoms]) -> Contender:
    return Contender(lambda: nice.transform(frames), count_atoms(frames))


QUOTED = (
    "quoted: measured once on a machine of this kind, not in this run; set against processor time; numbers not compared"
)
ITERATION_CASES = (
    Case(
        work="NICE transform, nu <= 4",
        size="methane small / 10",
        regime="hydrogens of CH4 x 200",
        unit=UNIT,
        orbas=hydrogens,
        peers=(Peer("public NICE", lambda: Quoted(1028e-6), Target(10), QUOTED),),
        clock=time.process_time,
    ),
    Case(
        work="NICE transform, nu <= 3",
        size="QM9 small / 10",
        regime="QM9 x 100",
        unit=UNIT,
        orbas=lambda: transform(qm9_small(), molecules(100)),
        peers=(Peer("public NICE", lambda: Quoted(4030e-6), Target(10), QUOTED),),
        clock=time.process_time,
    ),
)

# --- forces against energies ----------------------------------------------------------------------------------------

#: Most that forces may cost, in units of the energies.
FORCES = 4.0


def weights(nice: orbas.NICE) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(len(nice.species_), sum(nice.n_features_)))


def energies_and_forces(nice: orbas.NICE, frames: list[ase.Atoms]) -> Contender:
    row = weights(nice)
    return Contender(
        run=lambda: nice.linear_energies(frames, row),
        items=count_atoms(frames),
        values=lambda: [nice.linear_energies(frames, row).structures],
    )


def energies(nice: orbas.NICE, frames: list[ase.Atoms]) -> Contender:
    row = weights(nice).ravel()

    def run() -> NDArray[np.float64]:
        return np.asarray(nice.transform(frames).per_structure() @ row)

    return Contender(run, count_atoms(frames), lambda: [run()])


def forces_case(size: str, regime: str, nice: Callable[[], orbas.NICE], frames: Callable[[], list[ase.Atoms]]) -> Case:
    return Case(
        work="energy + forces of NICE",
        size=size,
        regime=regime,
        unit=UNIT,
        orbas=lambda: energies_and_forces(nice(), frames()),
        peers=(
            Peer(
                "orbas, energies",
                lambda: energies(nice(), frames()),
                Target(round(1 / FORCES, 2)),
                note="features times weights, no gradients",
            ),
        ),
    )


FORCES_CASES = (
    forces_case("methane small / 10", "CH4 x 200", methane_small, lambda: methane(200)),
    forces_case("QM9 small / 10", "QM9 x 100", qm9_small, lambda: molecules(100)),
)

CASES = (*PRODUCT_CASES, *ITERATION_CASES, *FORCES_CASES)
