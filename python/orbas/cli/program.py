"""The program: picks the command, turns every failure into one line and an exit code."""

from __future__ import annotations

import io
import os
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from orbas.cli import arguments, parser
from orbas.cli.console import Console, discard_stdout, plain_warnings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


class ExitCode(IntEnum):
    """What the shell gets to see."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    INTERRUPT = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Failures of data and files end with 1, of the command line and of settings with 2, an interrupt with 130; each is
    one line on stderr. A reader that closes the pipe ends silently what only prints; what writes a file goes on.
    """
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # "Å" on a terminal that cannot show it
    debug = False
    try:
        words = sys.argv[1:] if argv is None else list(argv)
        debug = "--debug" in words
        _import(words)
        options = arguments.parser().parse_args(words)
        if options.threads is not None:
            from orbas.parallel import set_num_threads

            set_num_threads(options.threads)
        with plain_warnings():
            options.run(options, Console(options.json, options.quiet, writes=_writes(options)))
        sys.stdout.flush()
    except SystemExit as end:  # argparse: --help, --version, wrong usage
        return int(end.code or 0)
    except BrokenPipeError:
        discard_stdout()
        return ExitCode.OK
    except KeyboardInterrupt:
        return _fail("interrupted", ExitCode.INTERRUPT)
    except Exception as error:
        if debug:
            raise
        from orbas.base.fields import SettingsError

        code = ExitCode.USAGE if isinstance(error, SettingsError) else ExitCode.FAILURE
        return _fail(f"error: {_describe(error)}", code)
    return ExitCode.OK


def _open_closed_streams() -> None:
    """Let nothing be printed into where the shell has closed a stream (``>&-``).

    The first file that is opened would take its place, and whatever C prints would land in a model.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def _writes(options: argparse.Namespace) -> bool:
    return any(getattr(options, name, None) is not None for name in ("output", "plot"))


def _import(words: Sequence[str]) -> None:
    """Import the modules of ``--import``, from the working folder too."""
    if parser.IMPORT not in " ".join(words):
        return
    import importlib

    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        for name in parser.imported(words):
            importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def _describe(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif isinstance(error, MemoryError):
        text = f"not enough memory {text}"
    elif not isinstance(error, ValueError | OSError | ImportError):
        text = f"{type(error).__name__}: {text} (--debug shows where)"
    return " ".join(text.split())


def _fail(text: str, code: ExitCode) -> int:
    from orbas.base.text import printable

    print(f"orbas: {printable(text)}", file=sys.stderr)
    return code
