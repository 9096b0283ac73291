"""``orbas eval``: errors of a model; ``orbas report``: these, and what it is, on one page of markdown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orbas.base.text import markdown, printable
from orbas.cli import evaluation, inputs, inspect
from orbas.errors import LabelError
from orbas.files.outputs import FileKind, check_outputs
from orbas.files.replacing import replacing
from orbas.fit.findings import say
from orbas.models.file import components_of, open_model
from orbas.structures.labels import none_found

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from orbas.cli.console import Console
    from orbas.cli.evaluation import Evaluation
    from orbas.models import Potential

SCHEMA = 1


def run(options: argparse.Namespace, console: Console) -> None:
    """Predict labeled structures; print errors, write predictions, draw them."""
    check_outputs(
        {"--output": (options.output, FileKind.STRUCTURES), "--plot": (options.plot, FileKind.PICTURE)},
        [options.model, *options.structures],
    )
    model = open_model(options.model).model
    found = _evaluated(model, options.structures, options, console)
    console.title(f"{options.model} on {found.known.summary}")
    if any(found.known.counts.values()):
        console.say(f"errors {evaluation.UNITS}\n")
        console.table(*found.table())
    if options.plot is not None:
        found.plot(options.plot, options.model.name)
        console.say(f"\nwrote {options.plot}")
    if options.output is not None:
        found.write(options.output)
        console.say(f"wrote {options.output}: predictions are orbas_energy, orbas_forces, orbas_stress")
    console.document({
        "schema": SCHEMA,
        "command": "eval",
        "model": str(options.model),
        "structures": found.known.structures.files,
        **found.document,
        "plot": None if options.plot is None else str(options.plot),
        "output": None if options.output is None else str(options.output),
    })  # fmt: skip


def report(options: argparse.Namespace, console: Console) -> None:
    """Write what `inspect` and `eval` print, and the parity plot beside it."""
    picture = options.output.with_suffix(".png") if options.test else None
    check_outputs(
        {"--output": (options.output, FileKind.PAGE), "the picture beside --output": (picture, FileKind.PICTURE)},
        [options.model, *(options.test or ())],
    )
    file = open_model(options.model)
    described = inspect.describe(file)
    found = _evaluated(file.model, options.test, options, console, compares=True) if options.test else None
    text = [f"# {markdown(options.model.name)}", "", *_markdown(("", described["kind"]), inspect.rows_of(described))]
    for part in components_of(file.model):
        if hasattr(part, "retained_"):
            text += ["", "## What every order keeps", "", "```text", printable(part.summary(), lines=True), "```"]
    if found is not None and picture is not None:
        found.plot(picture, options.model.name)
        text += [
            "",
            "## Errors",
            "",
            markdown(f"{', '.join(found.known.structures.files)}: {found.known.summary}."),
            "",
        ]
        text += [
            f"Errors are {evaluation.UNITS}.",
            "",
            *_markdown(*found.table()),
            "",
            f"![parity]({quote(os.fsencode(picture.name))})",
        ]
    with replacing(options.output) as output:
        output.write("\n".join([*text, ""]).encode())
    console.say(f"wrote {options.output}{'' if picture is None else f' and {picture}'}")
    console.document({
        "schema": SCHEMA,
        "command": "report",
        "file": str(options.model),
        "model": described,
        "test": None if found is None else found.document,
        "output": str(options.output),
        "plot": None if picture is None else str(picture),
    })  # fmt: skip


def _evaluated(
    model: Potential, paths: Sequence[Path], options: argparse.Namespace, console: Console, *, compares: bool = False
) -> Evaluation:
    """Predict the structures of files; without labels only where nothing is compared with them."""
    keys = {name: getattr(options, name) for name in ("energy_key", "forces_key", "stress_key", "virial_key")}
    structures = inputs.read_structures(paths, console, **{name: key for name, key in keys.items() if key is not None})
    known = evaluation.Labeled.of(structures)
    compares = compares or options.output is None or options.plot is not None
    if compares and not any(known.counts.values()):
        raise LabelError(
            f"{none_found(structures.frames, 'a label', ('REF_energy',))}; `orbas eval` with only "
            "--output FILE predicts without labels"
        )
    say(known.screened()[1])
    found = evaluation.evaluate(model, known, console, error_bars=bool(model.reach_))
    evaluation.say_trained_on(model, structures)
    return found


def _markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return a table."""
    cells = [[markdown(str(cell).strip()) for cell in row] for row in (header, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], f"|{'---|' * len(header)}", *lines[1:]]
