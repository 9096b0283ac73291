"""``orbas schema``: what a file of settings may hold, for editors that complete and check TOML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbas.base.documents import json_text
from orbas.models.settings import TRAIN_SECTIONS
from orbas.settings import schema

if TYPE_CHECKING:
    import argparse

    from orbas.cli.console import Console


def run(options: argparse.Namespace, console: Console) -> None:
    """Print the JSON schema; it is JSON with and without ``--json``."""
    console.say(json_text(schema(TRAIN_SECTIONS), indent=2, ascii=False))
    console.document(schema(TRAIN_SECTIONS))
