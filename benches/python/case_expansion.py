"""Density coefficients and power spectra: neighbor search included, from ase structures to arrays."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import orbas
from harness import Case, Contender, Peer, Target, Tier
from setups import QM9_SPECIES, Setup, by_degree, count_atoms, featomic_by_degree, molecules, silicon

if TYPE_CHECKING:
    from collections.abc import Callable

    import ase
    from numpy.typing import NDArray

N_MOLECULES = 1000
#: Molecules that peers get, and on which numbers are compared: the first of ours.
N_PEER_MOLECULES = 200
SILICON = Setup(8, 6, (14,))
SILICON_LARGE = Setup(12, 9, (14,))
MOLECULES = Setup(8, 6, QM9_SPECIES)


def crystal() -> list[ase.Atoms]:
    return [silicon(1000)]


@functools.cache
def combined_basis() -> orbas.OptimalBasis:
    """Eight channels out of 8 GTOs x 5 species (few enough for featomic to give the same 40)."""
    return orbas.OptimalBasis(MOLECULES.density(), 8).fit(molecules(N_MOLECULES)[:N_PEER_MOLECULES])


# --- density coefficients -------------------------------------------------------------------------------------------


def orbas_density(
    density: orbas.DensityExpansion, frames: list[ase.Atoms], compared: list[ase.Atoms] | None = None
) -> Contender:
    some = frames if compared is None else compared
    return Contender(
        run=lambda: density.transform(frames),
        items=count_atoms(frames),
        values=lambda: by_degree(density.transform(some), some),
    )


def featomic_density(
    setup: Setup, frames: list[ase.Atoms], contraction: Callable[[], list[NDArray[np.float64]]] | None = None
) -> Contender:
    import featomic

    calculator = featomic.SphericalExpansion(**setup.featomic())

    def values() -> list[NDArray[np.float64]]:
        degrees = featomic_by_degree(calculator.compute(frames), frames, setup)
        if contraction is None:
            return degrees
        return [c @ U for c, U in zip(degrees, contraction(), strict=True)]

    return Contender(lambda: calculator.compute(frames), count_atoms(frames), values)


def crystal_case(setup: Setup, target: float) -> Case:
    return Case(
        work="density values",
        size=f"Si-1000, n {setup.n_radial} l {setup.max_angular}",
        regime="big cell",
        unit="µs/atom",
        orbas=lambda: orbas_density(setup.density(), crystal()),
        peers=(Peer("featomic", lambda: featomic_density(setup, crystal()), Target(target)),),
    )


def some_molecules() -> list[ase.Atoms]:
    return molecules(N_MOLECULES)[:N_PEER_MOLECULES]


MOLECULE_CASES = (
    Case(
        work="density values",
        size="QM9 x 1000, combined q 8 l 6",
        regime="molecules, 5 species",
        unit="µs/atom",
        orbas=lambda: orbas_density(combined_basis().expansion_, molecules(N_MOLECULES), some_molecules()),
        peers=(
            Peer(
                "featomic",
                lambda: featomic_density(MOLECULES, some_molecules(), lambda: combined_basis().contraction_),
                Target(40),
                note="makes the 5 x n 8 primitive coefficients; compared after contraction",
            ),
        ),
    ),
    Case(
        work="density values",
        size="QM9 x 1000, 5 x n 8 l 6",
        regime="molecules, 5 species",
        unit="µs/atom",
        orbas=lambda: orbas_density(MOLECULES.density(), molecules(N_MOLECULES), some_molecules()),
        peers=(Peer("featomic", lambda: featomic_density(MOLECULES, some_molecules()), Target(25)),),
    ),
)

# --- power spectrum -------------------------------------------------------------------------------------------------


def orbas_power_spectrum(setup: Setup, frames: list[ase.Atoms]) -> Contender:
    spectrum = orbas.PowerSpectrum(setup.density())
    return Contender(
        run=lambda: spectrum.transform(frames),
        items=count_atoms(frames),
        values=lambda: [spectrum.transform(frames).values],
    )


def featomic_power_spectrum(setup: Setup, frames: list[ase.Atoms]) -> Contender:
    import featomic

    calculator = featomic.SoapPowerSpectrum(**setup.featomic())

    def values() -> list[NDArray[np.float64]]:
        """Features of one species in the order of orbas: pairs n1 <= n2 once, weighted by sqrt 2; (-1)^l."""
        (block,) = calculator.compute(frames).blocks()
        pairs = list(itertools.combinations_with_replacement(range(setup.n_radial), 2))
        columns = {pair: k for k, pair in enumerate(pairs)}
        result = np.zeros((len(block.values), setup.max_angular + 1, len(pairs)))
        scale = (np.pi * setup.density_width**2) ** 1.5
        for (l, n1, n2), column in zip(block.properties.values.tolist(), block.values.T, strict=True):
            if n1 <= n2:
                weight = scale * (-1) ** l * (1.0 if n1 == n2 else math.sqrt(2))
                result[:, l, columns[n1, n2]] = weight * column
        return [result.reshape(len(result), -1)]

    return Contender(lambda: calculator.compute(frames), count_atoms(frames), values)


def dscribe_power_spectrum(setup: Setup, frames: list[ase.Atoms]) -> Contender:
    from dscribe.descriptors import SOAP

    calculator = SOAP(**setup.dscribe())
    return Contender(lambda: calculator.create(frames), count_atoms(frames))


def quippy_power_spectrum(setup: Setup, frames: list[ase.Atoms]) -> Contender:
    from quippy.descriptors import Descriptor

    calculator = Descriptor(setup.quippy())
    return Contender(lambda: calculator.calc(frames), count_atoms(frames))


OTHER_BASIS = "same counts, width and cutoff; its own radial functions, so other numbers"
SPECTRUM_CASE = Case(
    work="power spectrum",
    size="Si-1000, n 8 l 6",
    regime="big cell",
    unit="µs/atom",
    orbas=lambda: orbas_power_spectrum(SILICON, crystal()),
    peers=(
        Peer("featomic", lambda: featomic_power_spectrum(SILICON, crystal()), Target(22)),
        Peer("dscribe", lambda: dscribe_power_spectrum(SILICON, crystal()), Target(15), OTHER_BASIS),
    ),
)
QUIPPY_CASE = Case(
    work="power spectrum",
    size="Si-1000, n 8 l 6",
    regime="big cell, against a slow one",
    unit="µs/atom",
    orbas=SPECTRUM_CASE.orbas,
    peers=(Peer("quippy", lambda: quippy_power_spectrum(SILICON, crystal()), note=OTHER_BASIS),),
    tier=Tier.DEFAULT,
)

CASES = (crystal_case(SILICON, 18), crystal_case(SILICON_LARGE, 25), *MOLECULE_CASES, SPECTRUM_CASE, QUIPPY_CASE)
