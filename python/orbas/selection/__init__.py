"""Which features to keep, and which environments: farthest point sampling and CUR, greedy and deterministic."""

from __future__ import annotations

from orbas.selection.cur import CUR
from orbas.selection.environments import select_environments
from orbas.selection.fps import FPS

__all__ = ["CUR", "FPS", "select_environments"]
