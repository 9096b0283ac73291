"""What the commands print: text for people, or one JSON document for machines; progress on stderr."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_LOG = logging.getLogger("orbas")


@dataclass(frozen=True, slots=True)
class Console:
    """Printing, tables, timing and progress bars.

    Parameters
    ----------
    json
        Print nothing but the document given to :meth:`document`.
    quiet
        No progress bars. There are none either where stderr is no terminal.
    writes
        The command writes a file, which does not wait for readers: where nothing can be printed any more, it goes on.
    """

    json: bool = False
    quiet: bool = False
    writes: bool = False
    #: Seconds of every step.
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def shows_progress(self) -> bool:
        """Whether progress bars are drawn."""
        return not self.json and not self.quiet and sys.stderr.isatty()

    def say(self, text: str = "", *, strong: bool = False) -> None:
        """Print a line for people, at once (a reader of the pipe may have gone), without what steers a terminal."""
        if not self.json:
            from orbas.base.text import printable

            shown = printable(text, lines=True)
            try:
                print(_bold(shown) if strong else shown, flush=True)
            except OSError as error:
                if not self.writes:
                    raise
                if not isinstance(error, BrokenPipeError):
                    _LOG.warning("nothing more is printed: %s", error.strerror)
                discard_stdout()

    def title(self, text: str) -> None:
        """Print a line that stands out."""
        self.say(text, strong=True)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], *, best: int | None = None) -> None:
        """Print aligned columns, the first to the left, others to the right; one row may stand out."""
        from orbas.base.text import printable

        header, *rows = [[printable(cell) for cell in row] for row in (header, *rows)]
        columns = zip(header, *rows, strict=True)
        widths = [max(map(len, column)) for column in columns]
        lines = [
            "  " + "   ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in (header, *rows)
        ]
        self.say(lines[0])
        self.say("  " + "─" * (len(lines[0]) - 2))
        for index, line in enumerate(lines[1:]):
            self.say(line, strong=index == best)

    def document(self, content: dict[str, Any]) -> None:
        """Print the one JSON document, where it was asked for."""
        if self.json:
            from orbas.base.documents import json_text

            print(json_text(content, indent=2))

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure a step."""
        start = time.perf_counter()
        yield
        self.timings[step] = time.perf_counter() - start

    def progress(self, total: int, what: str, unit: str) -> Any:
        """Return a bar (a context manager with ``update``) that vanishes when done."""
        from orbas.base.progress import progress_bar

        return progress_bar(total, what, unit, shown=self.shows_progress, leave=False)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Let every warning, and what the log ``orbas`` warns of, be one line on stderr, above a progress bar."""
    handler = _Lines(logging.WARNING)
    logger = logging.getLogger("orbas")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _one_line(message)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


class _Lines(logging.Handler):
    """Writes records as lines for people, each once: a file is read, then its labels are collected."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._written: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._written:
            self._written.add(message)
            _one_line(message)


def _one_line(message: Warning | str) -> None:
    from tqdm import tqdm

    from orbas.base.text import printable

    tqdm.write(f"orbas: warning: {printable(' '.join(str(message).split()))}", file=sys.stderr)


def discard_stdout() -> None:
    """Print nothing from here on."""
    # What is still buffered would raise again when Python closes the stream.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _bold(text: str) -> str:
    """Return text in bold, for a terminal that shows it."""
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return text if plain else f"\033[1m{text}\033[0m"
