"""What files hold: the contents that orbas' container may have, and what other files look like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class _Content:
    """The name in files, the word for people, and what shows or makes such a file."""

    format: str
    noun: str
    use: str


class Content(Enum):
    """What a container holds."""

    MODEL = _Content("orbas.model", "model", "see it with `orbas inspect`")
    BASIS = _Content("orbas.basis", "basis", "see it with `orbas basis show`")
    CHECKPOINT = _Content("orbas.checkpoint", "checkpoint", "give it to the fit that wrote it")

    @property
    def noun(self) -> str:
        """``model``, ``basis``, ``checkpoint``."""
        return self.value.noun

    @classmethod
    def of(cls, format: object) -> Content | None:
        """Return what a name in a file means; None if it is not known."""
        return next((content for content in cls if content.value.format == format), None)


#: How a container goes on behind the length of its header.
OPENING = b'{"__metadata__":{"sha256":"'

#: First bytes of what people give by mistake.
_LOOKS = (
    (rb".{8}" + re.escape(OPENING), "a file of orbas (.orbas)"),
    (rb"PK\x03\x04|PK\x05\x06", "a ZIP or NumPy archive (.npz)"),
    (rb"\x1f\x8b", "a gzip file (.gz)"),
    (rb"\x93NUMPY", "a NumPy array (.npy)"),
    (rb"\x80[\x02-\x05]", "a Python pickle (.pkl, .joblib)"),
    (rb"\x89PNG|%PDF|\xff\xd8\xff", "a picture"),
    (rb"\x89HDF", "an HDF5 file"),
    (rb"\s*[0-9]+[ \t]*\r?\n", "structures (XYZ)"),
    (rb"(\s|#[^\n]*\n)*\[[A-Za-z_.]+\]", "settings (TOML)"),
    (rb"\s*(\{\s*\"|\[\s*[\[{\"])", "JSON"),
)


def looks_like(start: bytes) -> str | None:
    """Return what a file seems to be by its first bytes, a few hundred; None if that cannot be told."""
    if not start:
        return "an empty file"
    return next((name for pattern, name in _LOOKS if re.match(pattern, start, re.DOTALL)), None)
