"""``orbas featurize``: features of structures, written to a NumPy archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orbas import invariants, structures
from orbas.base.documents import json_text
from orbas.cli import arguments, inputs
from orbas.errors import SettingsError
from orbas.files.archive import write_archive
from orbas.files.outputs import FileKind, check_outputs
from orbas.fit.baseline import check_species
from orbas.optimal import settings
from orbas.optimal.basis_file import load_basis

if TYPE_CHECKING:
    import argparse

    from orbas.cli.console import Console
    from orbas.cli.inputs import Structures
    from orbas.density.expansion import DensityExpansion
    from orbas.settings import Settings

    Arrays = dict[str, np.ndarray]

SCHEMA = 1


def run(options: argparse.Namespace, console: Console) -> None:
    """Compute features piece by piece and write them."""
    if options.per_structure and options.representation == "density":
        raise SettingsError(
            "--per-structure: coefficients of the density are not invariant, so their sums mean nothing"
        )
    check_outputs(
        {"--output": (options.output, FileKind.FEATURES)}, [*options.structures, options.basis, options.config]
    )
    density, described = _density(options)
    found = inputs.read_structures(options.structures, console, labels=())
    console.say(f"read  {found.summary}")
    species = density.fit(found.frames).species_
    with found.locating(0):
        check_species(found.frames, species)
    with console.timed("features"):
        if options.representation == "density":
            arrays = _coefficients(density, found, console)
        else:
            arrays = _features(density, found, options, console)
    metadata = {
        "format": "orbas.features",
        "schema": SCHEMA,
        "representation": options.representation,
        "per_structure": options.per_structure,
        "settings": described,
        "files": found.files,
    }
    arrays["species"] = np.array(species)
    arrays["n_structures"] = np.array(len(found.frames))
    write_archive(options.output, {"metadata": np.array(json_text(metadata)), **arrays})
    shapes = {name: list(array.shape) for name, array in arrays.items() if array.ndim}
    n_blocks = sum(name.startswith("values_") for name in shapes)
    content = f"values {tuple(shapes['values'])}" if "values" in shapes else f"{n_blocks} blocks values_l?_c?"
    console.say(f"wrote {options.output}: {content} ({console.timings['features']:.1f} s)")
    console.document({"command": "featurize", "output": str(options.output), **metadata, "arrays": shapes})


def _density(options: argparse.Namespace) -> tuple[DensityExpansion, Settings]:
    """Return the expansion to use, and its settings."""
    flags = list(arguments.given_flags(options))
    if options.basis is None and options.config is None and not flags:
        raise SettingsError(
            "featurize needs --basis BASIS.orbas, or settings of a primitive basis (--config FILE.toml)"
        )
    if options.basis is None:
        given = arguments.read_settings(options, settings.check_density, settings.DENSITY_SECTIONS)
        return settings.build_density(given), given
    if options.config is not None or flags:
        other = "--config" if options.config is not None else f"--{flags[0]}"
        raise SettingsError(f"{other} contradicts --basis, which has settings of its own")
    optimal = load_basis(options.basis)
    return optimal.expansion_, settings.describe(optimal)


def _features(density: DensityExpansion, found: Structures, options: argparse.Namespace, console: Console) -> Arrays:
    """Invariants of all atoms, [atom, feature], or their sums over structures."""
    makers = {"power_spectrum": invariants.PowerSpectrum, "radial_spectrum": invariants.RadialSpectrum}
    representation = makers[options.representation](density)
    n_rows = len(found.frames) if options.per_structure else sum(map(len, found.frames))
    values: np.ndarray | None = None
    done = 0
    for start, frames in found.chunks(console, "features"):
        with found.locating(start):
            features = representation.transform(frames)
        part = features.per_structure() if options.per_structure else features.values
        if values is None:
            values = np.empty((n_rows, part.shape[1]))
        values[done : done + len(part)] = part
        done += len(part)
    assert values is not None  # a file holds at least one structure
    if options.per_structure:
        return {"values": values}
    samples, numbers = structures.samples_of(found.frames), structures.atomic_numbers(found.frames)
    return {"values": values, "samples": samples, "center_numbers": numbers}


def _coefficients(density: DensityExpansion, found: Structures, console: Console) -> Arrays:
    """Density coefficients: ``values_l<l>_c<center>`` [sample, m, q] and ``samples_c<center>``."""
    values: dict[str, list[Any]] = {}
    samples: dict[str, list[Any]] = {}
    for start, frames in found.chunks(console, "density"):
        with found.locating(start):
            blocks = density.transform(frames)
        for key, block in blocks.items():
            values.setdefault(f"values_l{key.o3_lambda}_c{key.center_species}", []).append(block.values)
            if key.o3_lambda == 0:
                samples.setdefault(f"samples_c{key.center_species}", []).append(block.samples + np.array([start, 0]))
    return {name: np.concatenate(parts) for name, parts in (values | samples).items()}
