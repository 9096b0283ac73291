"""JSON as everybody reads it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(content: Any, indent: int | None = None, *, ascii: bool = True) -> str:
    """Return a JSON document; numbers that JSON has no name for, not a number and the infinite, are null.

    Arrays and numbers of NumPy are taken as lists and numbers. ``ascii=False`` leaves other letters as they are.
    """
    return json.dumps(_plain(content), indent=indent, ensure_ascii=ascii, allow_nan=False)


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _plain(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if hasattr(content, "tolist"):  # NumPy's
        return _plain(content.tolist())
    return None if isinstance(content, float) and not math.isfinite(content) else content
