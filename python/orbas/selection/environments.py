"""Selection of environments, species by species: the sparse points of a kernel model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from orbas.base.arrays import as_matrix
from orbas.base.fields import checked
from orbas.base.kinds import Choice, Instance, OneOf
from orbas.base.process import fitting
from orbas.selection.cur import CUR
from orbas.selection.fps import FPS
from orbas.structures.species import atomic_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from orbas.base.types import IntArray


@fitting
def select_environments(
    values: ArrayLike,
    center_numbers: ArrayLike,
    n_sparse: int | Mapping[int, int],
    method: FPS | CUR | Literal["fps", "cur"] = "fps",
) -> IntArray:
    """Return the rows of the environments to keep, chosen among those of each center species apart.

    Parameters
    ----------
    values
        Features of the environments, [n, n_features].
    center_numbers
        Atomic number of each center, [n].
    n_sparse
        How many in all: one for each species, the others in proportion to the environments that are left of each
        (largest remainders; ties go to the lower atomic number). Or how many of each species, by atomic number.
    method
        A selector, whose ``n`` and ``axis`` are replaced, or its name.

    Returns
    -------
    Rising indices of rows. Copies of a row (within 1e-12) are never chosen twice: where a species has fewer different
    environments than asked for, all of these are taken, with a warning.

    Raises
    ------
    TypeError
        If the method is not a selector.
    ValueError
        For wrong shapes, fewer than one environment per species, or a species of ``n_sparse`` that has none.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.selection import select_environments
    >>> values = np.array([[0.0], [1.0], [5.0], [0.0], [2.0]])
    >>> select_environments(values, [1, 1, 1, 6, 6], {1: 2, 6: 1}).tolist()
    [0, 2, 3]
    """
    matrix = as_matrix(values, "values")
    numbers = np.asarray(center_numbers)
    if numbers.shape != (len(matrix),) or numbers.dtype.kind not in "iu":
        raise ValueError(f"center_numbers must hold {len(matrix)} atomic numbers, got {numbers.dtype} {numbers.shape}")
    species, available = np.unique(numbers, return_counts=True)
    counts = {int(a): int(n) for a, n in zip(species, available, strict=True)}
    wanted = _checked(n_sparse, counts) if isinstance(n_sparse, Mapping) else share(n_sparse, counts)
    chosen = []
    for number, count in wanted.items():
        rows = np.flatnonzero(numbers == number)
        if count > len(rows):
            warnings.warn(
                f"{count} environments of species {number} were asked for, there are {len(rows)}", stacklevel=3
            )
        if count:
            selector = _selector(method, min(count, len(rows))).fit(matrix[rows])
            chosen.append(rows[selector.selected_idx_])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)


def share(total: int, available: Mapping[int, int]) -> dict[int, int]:
    """Return how many of ``total`` each species gets: one, and a share of the others by the largest remainders."""
    if isinstance(total, bool) or not isinstance(total, int | np.integer) or total < len(available):
        raise ValueError(f"n_sparse must be an integer >= {len(available)}, one per species, got {total!r}")
    everything = sum(available.values())
    if total > everything:
        warnings.warn(f"{total} environments were asked for, there are {everything}", stacklevel=4)
        return dict(available)
    # One each; the others in proportion to what is left of every species, so that none gets more than it has.
    # Remainders are compared as integers: no rounding decides.
    spare, others = int(total) - len(available), max(1, everything - len(available))
    quotas = {number: divmod(spare * (count - 1), others) for number, count in available.items()}
    shares = {number: 1 + quota for number, (quota, _) in quotas.items()}
    by_remainder = sorted(quotas, key=lambda number: (-quotas[number][1], number))
    for number in by_remainder[: int(total) - sum(shares.values())]:
        shares[number] += 1
    return shares


def _checked(given: Mapping[int, int], available: Mapping[int, int]) -> dict[int, int]:
    """Return how many of each species, checked, in rising order of the atomic number."""
    given = {atomic_number(species): count for species, count in given.items()}
    for number, count in given.items():
        if number not in available:
            raise ValueError(f"n_sparse asks for species {number}, which no center is; there are {sorted(available)}")
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
            raise ValueError(f"n_sparse of species {number} must be an integer >= 0, got {count!r}")
    missing = sorted(set(available) - set(given))
    if missing:
        raise ValueError(f"n_sparse says nothing of species {missing}: give 0 to leave them out")
    return {number: int(given[number]) for number in sorted(given)}


_METHOD = OneOf((Choice(("fps", "cur")), Instance(lambda: (FPS, CUR), "FPS() or CUR()")))


def _selector(method: FPS | CUR | str, count: int) -> FPS | CUR:
    checked(_METHOD, "method", method)
    if isinstance(method, FPS | CUR):
        return type(method)(**{**method.get_params(deep=False), "n": count, "axis": "samples"})
    return (FPS if method == "fps" else CUR)(count, axis="samples")
