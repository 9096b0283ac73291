"""What the commands print: text for people, or one JSON document for machines; progress on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Console:
    """Printing, tables, timing and progress bars.

    Parameters
    ----------
    json
        Print nothing but the document given to :meth:`document`.
    quiet
        No progress bars. There are none either where stderr is no terminal.
    """

    json: bool = False
    quiet: bool = False
    #: Seconds of every step.
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def shows_progress(self) -> bool:
        """Whether progress bars are drawn."""
        return not self.json and not self.quiet and sys.stderr.isatty()

    def say(self, text: str = "") -> None:
        """Print a line for people, at once: a reader of the pipe may have gone."""
        if not self.json:
            print(text, flush=True)

    def title(self, text: str) -> None:
        """Print a line that stands out."""
        self.say(strong(text))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], *, best: int | None = None) -> None:
        """Print aligned columns, the first to the left, others to the right; one row may stand out."""
        columns = zip(header, *rows, strict=True)
        widths = [max(map(len, column)) for column in columns]
        lines = [
            "  " + "   ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in (header, *rows)
        ]
        self.say(lines[0])
        self.say("  " + "─" * (len(lines[0]) - 2))
        for index, line in enumerate(lines[1:]):
            self.say(strong(line) if index == best else line)

    def document(self, content: dict[str, Any]) -> None:
        """Print the one JSON document, where it was asked for."""
        if self.json:
            print(json.dumps(_finite(content), indent=2, allow_nan=False))

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure a step."""
        start = time.perf_counter()
        yield
        self.timings[step] = time.perf_counter() - start

    def progress(self, total: int, what: str, unit: str) -> Any:
        """Return a tqdm bar (a context manager with ``update``) that vanishes when done."""
        from tqdm import tqdm

        return tqdm(total=total, desc=what, unit=unit, leave=False, disable=not self.shows_progress)


def _finite(content: Any) -> Any:
    """Return it with null for numbers that JSON has no name for: not a number, infinite."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Let every warning be one line on stderr, above a progress bar."""
    with warnings.catch_warnings():
        warnings.showwarning = _one_line  # type: ignore[assignment]
        yield


def _one_line(message: Warning | str, *_: Any) -> None:
    from tqdm import tqdm

    tqdm.write(f"orbas: warning: {' '.join(str(message).split())}", file=sys.stderr)


def strong(text: str) -> str:
    """Return text in bold, for a terminal that shows it."""
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return text if plain else f"\033[1m{text}\033[0m"
