"""Text from elsewhere, made harmless: what files say reaches terminals, logs and pages through here."""

from __future__ import annotations

import logging
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Of control characters, format characters (which turn the direction of text), unpaired surrogates, line separators.
_STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~])")


def printable(text: object, *, lines: bool = False) -> str:
    r"""Return a text with the characters escaped that steer a terminal, ``\x1b`` for ESC, as in Python.

    Parameters
    ----------
    text
        Whatever has a text.
    lines
        Whether line ends and tabs stay: for what orbas itself has put into lines.
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        sign if (lines and sign in "\n\t") or unicodedata.category(sign) not in _STEERING else _escape(sign)
        for sign in text
    )


def markdown(text: object) -> str:
    """Return a text that stands in a page of Markdown, or what is made of it, as it is: one line without markup."""
    harmless = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", harmless)


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape", "surrogatepass").decode("ascii")


def listed(names: Sequence[str], most: int = 30) -> str:
    """Return names of a file with commas between, printable, and how many more there are."""
    shown = ", ".join(printable(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


class _Printable(logging.Filter):
    """Lets no record of the logger ``orbas`` carry what steers a terminal."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message != (shown := printable(message, lines=True)):
            record.msg, record.args = shown, ()
        return True


def guard_log() -> None:
    """Make what is logged by ``orbas`` printable; to be called once."""
    logging.getLogger("orbas").addFilter(_Printable())
