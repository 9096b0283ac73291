"""Forces: a linear power-spectrum model in one pass, and the rows of its design matrix, against stored gradients.

A peer makes the gradients of all features; what would be left to do, their contraction with weights, is not timed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import orbas
from case_expansion import MOLECULES, N_MOLECULES, SILICON, combined_basis, crystal
from harness import Case, Contender, Peer, Target, Tier
from setups import Setup, count_atoms, molecules, silicon

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ase
    from numpy.typing import NDArray

#: Molecules of which a peer stores gradients: 50 MB each.
N_FEW = 20


def weights_of(setup: Setup) -> NDArray[np.float64]:
    """Weights [center species, feature] of a power spectrum of a primitive basis."""
    q = setup.n_radial * len(setup.species)
    shape = (len(setup.species), (setup.max_angular + 1) * q * (q + 1) // 2)
    return np.random.default_rng(0).normal(size=shape)


def small_crystal() -> list[ase.Atoms]:
    return [silicon(64)]


def few_molecules() -> list[ase.Atoms]:
    return molecules(N_MOLECULES)[:N_FEW]


# --- featomic: gradients of all features ----------------------------------------------------------------------------


def featomic_gradients(setup: Setup, frames: list[ase.Atoms], compared: list[ase.Atoms]) -> Contender:
    """Timed with the default splines; numbers are compared without, as slopes of its splines are good to 3e-6 only."""
    import featomic

    settings = setup.featomic()
    calculator = featomic.SoapPowerSpectrum(**settings)
    exact = featomic.SoapPowerSpectrum(**settings | {"basis": settings["basis"] | {"spline_accuracy": None}})

    def gradients(calculator: Any, frames: list[ase.Atoms]) -> Any:
        return calculator.compute(frames, gradients=["positions"])

    return Contender(
        run=lambda: gradients(calculator, frames),
        items=count_atoms(frames),
        values=lambda: contracted(gradients(exact, compared), compared, setup),
    )


def contracted(blocks: Any, frames: Sequence[ase.Atoms], setup: Setup) -> list[NDArray[np.float64]]:
    """Energies of the structures and forces of all atoms, out of the gradients of featomic."""
    starts = np.cumsum([0, *map(len, frames)])
    weights = weights_of(setup)
    energies, forces = np.zeros(len(frames)), np.zeros((starts[-1], 3))
    for key, block in blocks.items():
        columns = columns_of(key, block.properties.values.tolist(), weights, setup)
        np.add.at(energies, np.asarray(block.samples["system"]), block.values @ columns)
        gradient = block.gradient("positions")
        rows = starts[np.asarray(gradient.samples["system"])] + np.asarray(gradient.samples["atom"])
        np.add.at(forces, rows, -(gradient.values @ columns))
    return [energies, forces]


def columns_of(key: Any, properties: list[list[int]], weights: NDArray[np.float64], setup: Setup) -> Any:
    """Weights of orbas for the columns (l, n1, n2) of one block of featomic.

    Orbas lists pairs q1 <= q2 of channels q = (species, n) with sqrt 2 off the diagonal; featomic all (n1, n2) of one
    species without it, and of two species with it.
    """
    n, q = setup.n_radial, setup.n_radial * len(setup.species)
    first, second = (setup.species.index(key[f"neighbor_{side}_type"]) for side in (1, 2))
    row = weights[setup.species.index(key["center_type"])]
    result = np.zeros(len(properties))
    for column, (l, n1, n2) in enumerate(properties):
        q1, q2 = first * n + n1, second * n + n2
        if q1 <= q2:
            pair = q1 * q - q1 * (q1 - 1) // 2 + q2 - q1
            twice = math.sqrt(2) if first == second and n1 < n2 else 1.0
            result[column] = twice * (-1) ** l * row[l * q * (q + 1) // 2 + pair]
    return (np.pi * setup.density_width**2) ** 1.5 * result


# --- energy, forces and stress of a linear model --------------------------------------------------------------------


def orbas_model(setup: Setup, frames: list[ase.Atoms], compared: list[ase.Atoms]) -> Contender:
    spectrum, weights = orbas.PowerSpectrum(setup.density()), weights_of(setup)

    def values() -> list[NDArray[np.float64]]:
        result = spectrum.linear_energies(compared, weights)
        return [result.structures, np.concatenate(result.forces)]

    return Contender(lambda: spectrum.linear_energies(frames, weights), count_atoms(frames), values)


def combined_model() -> Contender:
    """A model of the optimal basis: 8 combined channels instead of 40."""
    frames = molecules(N_MOLECULES)
    spectrum = orbas.PowerSpectrum(combined_basis().expansion_)
    width = spectrum.transform(frames[:1]).values.shape[1]
    weights = np.random.default_rng(0).normal(size=(len(MOLECULES.species), width))
    return Contender(lambda: spectrum.linear_energies(frames, weights), count_atoms(frames))


MODEL = "energy + forces + stress"
MODEL_CASES = (
    Case(
        work=MODEL,
        size="Si-1000, n 8 l 6",
        regime="big cell",
        unit="µs/atom",
        orbas=lambda: orbas_model(SILICON, crystal(), small_crystal()),
        peers=(
            Peer(
                "featomic",
                lambda: featomic_gradients(SILICON, crystal(), small_crystal()),
                Target(120),
                memory=Target(20),
            ),
        ),
    ),
    Case(
        work=MODEL,
        size="QM9 x 1000, 5 x n 8 l 6",
        regime="molecules, 5 species",
        unit="µs/atom",
        orbas=lambda: orbas_model(MOLECULES, molecules(N_MOLECULES), few_molecules()),
        peers=(Peer("featomic", lambda: featomic_gradients(MOLECULES, few_molecules(), few_molecules())),),
        tier=Tier.DEFAULT,
    ),
    Case(
        work=MODEL,
        size="QM9 x 1000, combined q 8 l 6",
        regime="molecules, 5 species",
        unit="µs/atom",
        orbas=combined_model,
        peers=(
            Peer(
                "featomic",
                lambda: featomic_gradients(MOLECULES, few_molecules(), few_molecules()),
                note="has no combined channels: gradients of the 5 x n 8 primitive ones",
            ),
        ),
        tier=Tier.DEFAULT,
    ),
)

# --- rows of the design matrix --------------------------------------------------------------------------------------


def orbas_rows(setup: Setup, frames: list[ase.Atoms], compared: list[ase.Atoms]) -> Contender:
    spectrum, weights = orbas.PowerSpectrum(setup.density()), weights_of(setup)

    def run() -> None:
        """One structure after the other, none of them kept, as a fit of the normal equations takes them."""
        for _ in spectrum.jacobian_rows(frames):
            pass

    def values() -> list[NDArray[np.float64]]:
        energies = spectrum.transform(compared).per_structure() @ weights.ravel()
        forces = [-(rows.positions @ weights.ravel()) for rows in spectrum.jacobian_rows(compared)]
        return [energies, np.concatenate(forces)]

    return Contender(run, count_atoms(frames), values)


ROWS_CASE = Case(
    work="force rows",
    size="Si-1000, n 8 l 6",
    regime="big cell",
    unit="µs/atom",
    orbas=lambda: orbas_rows(SILICON, crystal(), small_crystal()),
    peers=(
        Peer(
            "featomic", lambda: featomic_gradients(SILICON, crystal(), small_crystal()), Target(12), memory=Target(20)
        ),
    ),
)

CASES = (*MODEL_CASES, ROWS_CASE)
