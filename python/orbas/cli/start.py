"""The one structure that a command works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbas.cli import inputs
from orbas.structures.geometry import without_labels

if TYPE_CHECKING:
    import argparse

    from ase import Atoms

    from orbas.cli.console import Console


def start_structure(options: argparse.Namespace, console: Console) -> Atoms:
    """Return the structure that was asked for, without the labels of its file.

    Raises
    ------
    ValueError
        If the file has several and none was chosen, or not so many.
    """
    frames = inputs.read_structures([options.structure], console, labels=()).frames
    if options.index is None and len(frames) > 1:
        raise ValueError(f"{options.structure} has {len(frames)} structures: choose one with --index 0, 1, ...")
    try:
        return without_labels(frames[options.index or 0])
    except IndexError:
        raise ValueError(f"{options.structure} has no structure {options.index}, but {len(frames)}") from None
