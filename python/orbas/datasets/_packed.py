"""Structures of different sizes in flat arrays: `offsets` says where each begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orbas.base.fields import checked
from orbas.base.kinds import SEED, Integer

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def load(name: str) -> dict[str, NDArray[Any]]:
    """Load one of the array files that lie beside this module."""
    with np.load(Path(__file__).with_name(name), allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def offsets(sizes: list[int]) -> NDArray[np.int32]:
    """Return where each structure begins, and the end of the last: [n + 1] from the [n] numbers of atoms."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)


def draw(n: int, available: int, seed: int, what: str) -> IntArray:
    """Return `n` of `available` indices in random order, the same for the same seed.

    Raises
    ------
    ValueError
        If `n` is not between 1 and `available`.
    """
    n = checked(Integer(1, available), f"the number of structures, of which {what} has {available},", n)
    return np.random.default_rng(checked(SEED, "seed", seed)).permutation(available)[:n]
