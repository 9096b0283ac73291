"""``orbas driver``: energies and forces for i-PI, and all that speak its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbas.cli.start import start_structure

if TYPE_CHECKING:
    import argparse

    from orbas.cli.console import Console

SCHEMA = 1


def run(options: argparse.Namespace, console: Console) -> None:
    """Answer a server until it says goodbye."""
    from orbas import load
    from orbas.calculators.ipi import run_driver

    atoms = start_structure(options, console)
    where = {"unixsocket": options.unix} if options.unix else {"host": options.host, "port": options.port}
    answered = run_driver(load(options.model), atoms, **where)
    console.say(f"answered {answered:,} structures")
    console.document({"schema": SCHEMA, "command": "driver", "answered": answered})
