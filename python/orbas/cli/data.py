"""``orbas data``: the structures that come with orbas, as a file to try the other commands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbas import datasets
from orbas.cli import inputs
from orbas.files.outputs import FileKind, check_outputs
from orbas.structures.batch import species_of

if TYPE_CHECKING:
    import argparse

    from orbas.cli.console import Console

SCHEMA = 1


def run(options: argparse.Namespace, console: Console) -> None:
    """Write structures of a shipped set."""
    check_outputs({"--output": (options.output, FileKind.STRUCTURES)})
    counted = {} if options.n is None else {"n": options.n}
    frames = getattr(datasets, options.name)(seed=options.seed, **counted)
    inputs.write_structures(frames, options.output)
    names = sorted({name for frame in frames for name in (*frame.info, *frame.arrays)} - {"numbers", "positions"})
    symbols = inputs.symbols(species_of(frames))
    console.say(f"wrote {options.output}: {len(frames):,} structures of {symbols} with {', '.join(names)}")
    console.document({
        "schema": SCHEMA,
        "command": "data",
        "name": options.name,
        "seed": options.seed,
        "structures": len(frames),
        "names": names,
        "output": str(options.output),
    })  # fmt: skip
