"""Structures with labels to try things on: shipped inside the package, no download needed.

``qm9``: small organic molecules (QM9); ``silicon``: a varied set labeled by an empirical potential, which shows
that a fit works but is no substitute for first-principles data.
"""

from __future__ import annotations

from typing import Never

from orbas.base.names import did_you_mean
from orbas.datasets._qm9 import qm9
from orbas.datasets._silicon import silicon

__all__ = ["qm9", "silicon"]


def __getattr__(name: str) -> Never:
    hint = "" if name.startswith("_") else did_you_mean(name, __all__)
    raise AttributeError(f"module 'orbas.datasets' has no attribute {name!r}{hint}")
