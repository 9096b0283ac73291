"""Structures with labels to try things on: shipped inside the package, no download needed.

``qm9``: small organic molecules (QM9); ``silicon``: a varied set labeled by an empirical potential, which shows
that a fit works but is no substitute for first-principles data.
"""

from __future__ import annotations

from orbas.datasets._qm9 import qm9
from orbas.datasets._silicon import silicon

__all__ = ["qm9", "silicon"]
