"""``orbas basis fit`` and ``orbas basis show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orbas.cli import arguments, inputs
from orbas.files.outputs import FileKind, check_outputs
from orbas.optimal import settings
from orbas.optimal.basis_file import load_basis, save_basis
from orbas.plots import save_figure
from orbas.settings import to_toml

if TYPE_CHECKING:
    import argparse

    from orbas.base.types import FloatArray
    from orbas.cli.console import Console
    from orbas.cli.inputs import Structures
    from orbas.optimal.basis import OptimalBasis

_SHOWN = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 50, 64, 80, 100)


def fit(options: argparse.Namespace, console: Console) -> None:
    """Fit a basis to structures and write it."""
    check_outputs({"--output": (options.output, FileKind.BASIS)}, [*options.structures, options.config])
    optimal = settings.build_optimal(arguments.read_settings(options, settings.check_basis, settings.SECTIONS))
    structures = inputs.read_structures(options.structures, console, labels=())
    console.say(f"read   {structures.summary}")
    with console.timed("fit"):
        fit_to(optimal, structures, console)
    save_basis(optimal, options.output)
    console.say(f"fitted {summary(optimal)} ({console.timings['fit']:.1f} s)")
    console.say(f"wrote  {options.output}: see it with `orbas basis show {options.output}`")
    console.document({"command": "basis fit", "output": str(options.output), **_document(optimal)})


def show(options: argparse.Namespace, console: Console) -> None:
    """Print what a basis file holds."""
    check_outputs({"--plot": (options.plot, FileKind.PICTURE)}, [options.basis])
    optimal = load_basis(options.basis)
    console.title(f"{options.basis}: {summary(optimal)}")
    console.say(f"neighbor species {inputs.symbols(optimal.species_)}; {optimal.n_environments_:,} environments seen\n")
    console.say(to_toml(settings.describe(optimal)))
    _print_channels(optimal, console)
    _print_residuals(optimal, console)
    if options.plot is not None:
        save_figure(optimal.plot(), options.plot, dpi=200)
        console.say(f"\nwrote {options.plot}")
    plot = None if options.plot is None else str(options.plot)
    console.document({"command": "basis show", "basis": str(options.basis), "plot": plot, **_document(optimal)})


def fit_to(optimal: OptimalBasis, structures: Structures, console: Console) -> None:
    """Fit a basis piece by piece."""
    # Every piece sees all species: the density must not depend on which structures it meets first.
    every = structures.species if optimal.density.species is None else None
    for start, frames in structures.chunks(console, "fitting the basis"):
        with structures.locating(start):
            optimal.partial_fit(frames, species=every or None)


def summary(optimal: OptimalBasis) -> str:
    """Return what kind of basis it is and how large, for people."""
    sizes = sorted({count for counts in _channels(optimal).values() for count in counts})
    channels = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    centers = "one for every center species" if optimal.per_center else "shared by all centers"
    return f"{optimal.mixing} basis, {centers}, {channels} channels for l = 0..{optimal.density.max_angular}"


def _residuals(optimal: OptimalBasis) -> dict[str, FloatArray]:
    """Residual variance curves by the name of their centers."""
    residual = optimal.residual_variance_
    if optimal.per_center:
        return {f"{inputs.symbol(number)} centers": curve for number, curve in residual.items()}
    return {"all centers": residual}


def _channels(optimal: OptimalBasis) -> dict[str, tuple[int, ...]]:
    """Number of channels of every l, by the name of the centers."""
    counts = optimal.expansion_.channel_counts(optimal.species_)
    names = [f"{inputs.symbol(number)} centers" for number in optimal.species_]
    return dict(zip(names, counts, strict=True)) if optimal.per_center else {"all centers": counts[0]}


def _print_channels(optimal: OptimalBasis, console: Console) -> None:
    channels = _channels(optimal)
    if len({count for counts in channels.values() for count in counts}) > 1:
        degrees = [f"l = {l}" for l in range(optimal.density.max_angular + 1)]
        console.table(["channels", *degrees], [[name, *map(str, counts)] for name, counts in channels.items()])
        console.say()


def _print_residuals(optimal: OptimalBasis, console: Console) -> None:
    curves = _residuals(optimal)
    longest = max(curve.size for curve in curves.values())
    separate = optimal.mixing == "separate"
    rows = [
        [
            f"{q}",
            *([f"{q * len(optimal.species_)}"] if separate else []),
            *(f"{curve[q - 1]:.1e}" for curve in curves.values()),
        ]
        for q in _SHOWN
        if q <= longest
    ]
    console.say("residual variance: the fraction of the density's variance lost with q functions for every l")
    console.table(["q", *(["channels"] if separate else []), *curves], rows)


def _document(optimal: OptimalBasis) -> dict[str, Any]:
    return {
        "schema": 1,
        "settings": settings.describe(optimal),
        "species": list(optimal.species_),
        "n_environments": optimal.n_environments_,
        "channels": {name: list(counts) for name, counts in _channels(optimal).items()},
        "residual_variance": {name: curve.tolist() for name, curve in _residuals(optimal).items()},
    }
