"""How radial bases, densities and features are written, and what is checked when they are read."""

from __future__ import annotations

import reprlib
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.bases import BASES, PrimitiveBasis
from orbas.bases.base import Setup
from orbas.density.contraction import CenterContraction, Channels, ContractedBasis
from orbas.density.expansion import DensityExpansion, DensityRecord
from orbas.density.weight import Cutoff, RadialScaling
from orbas.files.encoding import (
    Codec,
    check_names,
    estimator_codec,
    is_integer,
    is_number,
    record_codec,
    register_codecs,
)
from orbas.invariants.nice import NICE, Bispectrum
from orbas.invariants.nice.estimator import NiceRecord
from orbas.invariants.nice.iteration import Contraction, Iteration, Order
from orbas.invariants.nice.selection import Coupling
from orbas.invariants.selected_spectrum import SelectedPowerSpectrum, checked
from orbas.invariants.spectra import PowerSpectrum, RadialSpectrum

if TYPE_CHECKING:
    from collections.abc import Callable

#: More functions than anybody can tell apart; it bounds the work that a few bytes of a file can ask for.
MOST_FUNCTIONS = 1000
_MOST_CHANNELS = 1_000_000
_MOST_DEGREE = 40


def check_species(name: str, species: Any) -> None:
    """Raise ValueError unless it is a tuple of rising atomic numbers."""
    sound = isinstance(species, tuple) and all(is_integer(a) and 0 <= a <= 255 for a in species)
    if not sound or not species or list(species) != sorted(set(species)):
        raise ValueError(f"{name} must hold rising atomic numbers, got {reprlib.repr(species)}")


def is_representation(part: Any) -> bool:
    """Whether it is one of the known classes that give features."""
    return type(part) in _WIDTHS


def n_features(representation: Any, species: tuple[int, ...]) -> int:
    """Return the number of features of an atom; raise for what gives none, or gives them for other species."""
    width = _WIDTHS.get(type(representation))
    if width is None:
        raise TypeError(f"a {type(representation).__name__} gives no features")
    known = getattr(representation.density, "species_", None) or representation.density.given_species()
    if known not in (None, species):
        raise ValueError(f"its features are of the center species {known}, its weights of {species}")
    return width(representation, species)


def _check_contracted(basis: ContractedBasis) -> None:
    check_species("species", basis.species)
    if not isinstance(basis.primitive, PrimitiveBasis) or not isinstance(basis.centers, tuple):
        raise TypeError("it is not contracted from a primitive basis")
    if len(basis.centers) not in (1, len(basis.species)):
        raise ValueError(f"{len(basis.centers)} kinds of centers for {len(basis.species)} species")
    n_degrees = len(basis.centers[0].blocks[0])
    if not 0 < n_degrees <= _MOST_DEGREE + 1:
        raise ValueError(f"{n_degrees} degrees")
    counts = basis.primitive.counts(n_degrees - 1)
    for center in basis.centers:
        sizes = [len(by_degree) for by_degree in center.blocks]
        if sizes != [n_degrees] * len(basis.species):
            raise ValueError(f"blocks of {sizes} degrees for the neighbor species {basis.species}")
        for l, n in enumerate(counts):
            _check_degree([by_degree[l] for by_degree in center.blocks], n)


def _check_degree(blocks: list[Channels], n_rows: int) -> None:
    """Check one degree: channels of all neighbor species begin together, or one after the other."""
    if any(block.matrix.ndim != 2 or block.matrix.shape[0] != n_rows for block in blocks):
        raise ValueError(f"a contraction of {[block.matrix.shape for block in blocks]}, not of {n_rows} functions")
    firsts, widths = [block.first for block in blocks], [block.matrix.shape[1] for block in blocks]
    combined = firsts == [0] * len(blocks) and len(set(widths)) == 1
    if not combined and firsts != np.cumsum([0, *widths[:-1]]).tolist():
        raise ValueError(f"channels begin at {firsts} and are {widths}")


def _check_density(density: DensityExpansion) -> None:
    numbers = (density.density_width, density.center_weight, density.spline_accuracy)
    if not all(map(is_number, numbers)):
        raise TypeError(f"density_width, center_weight and spline_accuracy must be numbers, got {numbers!r}")
    density.check()
    Setup(density.max_angular, density.cutoff.radius, density.density_width)
    given = density.given_species()
    if isinstance(density.basis, ContractedBasis):
        degrees = len(density.basis.centers[0].blocks[0])
        if degrees != density.max_angular + 1:
            raise ValueError(f"a basis of {degrees} degrees for max_angular = {density.max_angular}")
    if density._record is not None:
        check_species("species_", density.species_)
        if given not in (None, density.species_):
            raise ValueError(f"species_ are {density.species_}, those of the settings {given}")


def channel_counts(density: DensityExpansion, n_species: int) -> list[tuple[int, ...]]:
    """Return the channels per degree of every kind of center, without making a single matrix."""
    if isinstance(density.basis, ContractedBasis):
        return [center.counts for center in density.basis.centers]
    return [tuple(n_species * n for n in density.basis.counts(density.max_angular))]


def _most_channels(density: DensityExpansion, n_species: int) -> list[int]:
    return [max(column) for column in zip(*channel_counts(density, n_species), strict=True)]


def _check_spectrum(spectrum: Any) -> None:
    if not isinstance(spectrum.density, DensityExpansion):
        raise TypeError(f"density must be a DensityExpansion, got a {type(spectrum.density).__name__}")


def _n_power_spectrum(spectrum: PowerSpectrum, species: tuple[int, ...]) -> int:
    """Pairs of channels of the same degree."""
    return sum(q * (q + 1) // 2 for q in _most_channels(spectrum.density, len(species)))


def _n_selected(spectrum: SelectedPowerSpectrum, species: tuple[int, ...]) -> int:
    """Indices of features that there are."""
    if len(set(channel_counts(spectrum.density, len(species)))) > 1:
        raise ValueError("the density has not the same channels for all center species")
    return int(checked(spectrum.selection, _n_power_spectrum(spectrum, species)).size)


def _n_bispectrum(bispectrum: Bispectrum, species: tuple[int, ...]) -> int:
    """Sets of three channels with even l1 + l2 + l3 that form a triangle."""
    kinds = channel_counts(bispectrum.density, len(species))
    if len(set(kinds)) > 1:
        raise ValueError("the density has not the same channels for all center species")
    total = 0
    for a, b, c in combinations_with_replacement(range(len(kinds[0])), 3):
        if (a + b + c) % 2 or c > a + b:
            continue
        p, q, r = kinds[0][a], kinds[0][b], kinds[0][c]
        if a == b == c:
            total += p * (p + 1) * (p + 2) // 6
        elif a == b:
            total += p * (p + 1) // 2 * r
        elif b == c:
            total += p * (q * (q + 1) // 2)
        else:
            total += p * q * r
    return total


# --- NICE


def _check_order(order: Order) -> None:
    pairs, factors, projection = order.invariants
    lists = isinstance(order.couplings, list) and isinstance(order.outputs, dict)
    if not lists or not all(isinstance(coupling, Coupling) for coupling in order.couplings):
        raise TypeError("couplings and outputs must be a list of couplings and a dict")
    for item in (projection, *order.outputs.values()):
        if item is not None:
            _, lower = item
            if not isinstance(lower, list) or not all(isinstance(part, tuple) for part in lower):
                raise TypeError("a projection is a matrix and a list of those of lower orders")
    if pairs.dtype != np.uint32 or factors.dtype != np.float64:
        raise TypeError(f"pairs and factors must be uint32 and float64, got {pairs.dtype} and {factors.dtype}")


def _restore_iteration(values: dict[str, Any]) -> Iteration:
    """Compile the orders again; the core checks that they fit together."""
    names = ("channels", "n_environments", "orders", "variances", "contractions", "norms")
    if values.keys() != set(names):
        raise ValueError(f"its fields must be {', '.join(names)}")
    channels, n_environments, orders, variances, contractions, norms = (values[name] for name in names)
    if not isinstance(channels, tuple) or not all(is_integer(q) and 0 <= q <= _MOST_CHANNELS for q in channels):
        raise ValueError(f"channels must be a tuple of counts, got {reprlib.repr(channels)}")
    if not is_integer(n_environments) or n_environments < 1:
        raise ValueError(f"n_environments must be a positive integer, got {n_environments!r}")
    if not isinstance(orders, list) or [order.nu for order in orders] != list(range(2, len(orders) + 2)):
        raise ValueError("its orders are not 2, 3, ...")
    if not isinstance(contractions, list) or not all(isinstance(c, Contraction) for c in contractions):
        raise TypeError("contractions must be a list of them")
    if not isinstance(norms, list) or len(norms) <= len(orders) or not all(map(is_number, norms)):
        raise TypeError("norms must be a number for every order")
    iteration = Iteration.__new__(Iteration)
    iteration.__setstate__(values)
    made = [{(l, s): (q,) for l, s, q in iteration.plan.blocks(nu)} for nu in range(1, len(orders) + 2)]
    if [{symmetry: array.shape for symmetry, array in blocks.items()} for blocks in variances] != made:
        raise ValueError("variances are not those of its symmetries and channels")
    return iteration


def _describe_nice(nice: NICE) -> dict[str, Any]:
    record = nice._record
    fitted = {} if record is None else {"species_": record.species, "iterations_": record.iterations}
    return {**nice._params_of_record(), **fitted}


def _restore_nice(values: dict[str, Any]) -> NICE:
    fitted = ("species_", "iterations_")
    check_names(NICE, values, fitted)
    nice = NICE(**{name: value for name, value in values.items() if name not in fitted})
    species, iterations = (values[name] for name in fitted)
    _check_spectrum(nice)
    check_species("species_", species)
    limits = nice.limits()
    if getattr(nice.density, "species_", None) != species:
        raise ValueError(f"species_ are {species}, not those of its density")
    if not isinstance(nice.per_center, bool) or not isinstance(iterations, dict):
        raise TypeError("per_center must be true or false, iterations_ a dict")
    kinds: list[int | None] = list(species) if nice.per_center else [None]
    if list(iterations) != kinds:
        raise ValueError(f"iterations_ are of the centers {list(iterations)}, not {kinds}")
    counts = channel_counts(nice.density, len(species))
    counts = counts * len(species) if len(counts) == 1 else counts
    if [iteration.channels for iteration in iterations.values()] != (counts if nice.per_center else list(set(counts))):
        raise ValueError("an iteration has other channels than the density")
    if any(len(iteration.orders) != len(limits) for iteration in iterations.values()):
        raise ValueError(f"an iteration does not end at nu_max = {nice.nu_max}")
    nice._record = NiceRecord.of(nice._settled_params(species), species, iterations)
    return nice


#: Number of features by the class of the representation.
_WIDTHS: dict[type, Callable[[Any, tuple[int, ...]], int]] = {
    PowerSpectrum: _n_power_spectrum,
    RadialSpectrum: lambda s, species: _most_channels(s.density, len(species))[0],
    SelectedPowerSpectrum: _n_selected,
    Bispectrum: _n_bispectrum,
    NICE: lambda nice, _: sum(nice.n_features_),
}

CODECS = (
    record_codec(Cutoff),
    record_codec(RadialScaling),
    record_codec(Channels),
    record_codec(CenterContraction),
    record_codec(ContractedBasis, _check_contracted),
    estimator_codec(DensityExpansion, ("species_",), record=DensityRecord, check=_check_density),
    estimator_codec(PowerSpectrum, check=_check_spectrum),
    estimator_codec(RadialSpectrum, check=_check_spectrum),
    estimator_codec(SelectedPowerSpectrum, check=_check_spectrum),
    estimator_codec(Bispectrum, check=_check_spectrum),
    record_codec(Coupling),
    record_codec(Order, _check_order),
    record_codec(Contraction),
    Codec(Iteration, Iteration.__getstate__, _restore_iteration),
    Codec(NICE, _describe_nice, _restore_nice),
)


def _all() -> tuple[Codec, ...]:
    """Return those of all bases that are registered by now, and of what is made of them."""
    return (*(record_codec(basis) for basis in BASES.values()), *CODECS)


register_codecs(_all)
