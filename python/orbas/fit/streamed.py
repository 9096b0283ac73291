"""Fitting weights to energies, forces and virials in memory that does not grow with the data.

Structures pass by once: their rows, divided by the noise of the labels, go into one triangular factor for each fold.
Factors are merged for what the other folds would learn, and for all. Where only energies are fitted, a second pass
measures the held-out mean absolute error, which a squared one hides behind a few odd structures.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.progress import progress_bar
from orbas.files.replacing import is_swallowed
from orbas.fit.checkpoint import Checkpoint, identity_of
from orbas.fit.design import counted_from, pieces
from orbas.fit.noise import energy_widths, weighted_rows
from orbas.fit.regularization import Evidence, Fixed, HoldOut, KFold, LeaveOneOut, RidgeFit
from orbas.fit.triangle import Triangle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from ase import Atoms

    from orbas.base.blocks import FloatArray, IntArray
    from orbas.fit.design import Design
    from orbas.fit.noise import Noise, Target
    from orbas.fit.regularization import Regularization
    from orbas.fit.triangle import RidgePath

#: Atoms after which a piece of structures ends.
CHUNK = 4096


def fit_streamed(
    design: Design,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    noise: Noise | None,
    rule: Regularization,
    *,
    chunk: int = CHUNK,
    progress: bool = False,
    checkpoint: str | PathLike[str] | None = None,
) -> RidgeFit:
    """Choose alpha by a rule and fit the weights of a design; of equal errors the larger alpha wins.

    Parameters
    ----------
    design
        Gives the rows.
    frames, targets
        Structures and their labels above the baseline.
    noise
        Of the labels; None gives every structure the weight one, which is for energies alone.
    rule
        How alpha is chosen. Folds are made of whole structures.
    chunk
        About how many atoms are worked on at once.
    progress
        Show a progress bar.
    checkpoint
        A file that keeps what was done, so that the same fit, if it is killed, goes on where it was.

    Raises
    ------
    ValueError
        If the rule is leave-one-out and there are forces or virials: rows of one structure are not independent; or
        ``chunk < 1``.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be a positive number of atoms, got {chunk!r}")
    derivatives = any(target.has_derivatives for target in targets)
    if isinstance(rule, LeaveOneOut) and derivatives:
        raise ValueError("LeaveOneOut is for energies alone: with forces or virials use KFold() or Evidence()")
    fold = folds_of(rule, len(frames))
    with keeping(checkpoint, design, frames, targets, noise, fold, chunk) as keeper:
        triangles = accumulate(design, frames, targets, noise, fold, chunk, progress, keeper)
    path = reduce(Triangle.merged, triangles).path()
    if isinstance(rule, Fixed):
        return _chosen(path, rule.alpha, np.empty(0), np.empty(0), None)
    alphas = np.sort(np.asarray(rule.alphas))[::-1]
    if isinstance(rule, Evidence):
        errors = -path.evidence(alphas * path.scale) / path.n_rows
        return _chosen(path, float(alphas[np.argmin(errors)]), alphas, errors, None)
    if derivatives:
        squares, n_held_out = _held_out_squares(rule, triangles, alphas * path.scale)
        errors = np.sqrt(squares / n_held_out)
        best = int(np.argmin(errors))
        return _chosen(path, float(alphas[best]), alphas, errors, float(errors[best] ** 2))
    energies = np.array([target.energy for target in targets])
    widths = energy_widths(frames, noise)
    if isinstance(rule, LeaveOneOut):
        residuals = _left_out(design, frames, energies, widths, path, alphas, chunk)
    else:
        residuals = _held_out(design, frames, energies, rule, triangles, fold, alphas * path.scale, chunk)
        widths = widths[fold == 1] if isinstance(rule, HoldOut) else widths
    errors = np.mean(np.abs(residuals), axis=1)
    best = int(np.argmin(errors))
    # The variance of a row, hence of what was divided by the noise of the label.
    return _chosen(path, float(alphas[best]), alphas, errors, float(np.mean((residuals[best] / widths) ** 2)))


@contextmanager
def keeping(
    path: str | PathLike[str] | None,
    design: Design,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    noise: Noise | None,
    fold: IntArray,
    chunk: int,
) -> Iterator[Checkpoint | None]:
    """Give the checkpoint of a fit, for this fit alone; None without a path."""
    if path is None or is_swallowed(path):
        yield None
        return
    with Checkpoint(Path(path), identity_of(design, frames, targets, noise, fold, chunk)) as checkpoint:
        yield checkpoint


def folds_of(rule: Regularization, n_structures: int) -> IntArray:
    """Return the fold of every structure; the held-out ones of :class:`HoldOut` are fold 1."""
    fold = np.zeros(n_structures, dtype=np.int64)
    match rule:
        case KFold():
            for k, members in enumerate(rule.folds(n_structures)):
                fold[members] = k
        case HoldOut(n_validation=n_validation):
            fold[n_structures - n_validation :] = 1
        case _:
            pass
    return fold


def accumulate(
    design: Design,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    noise: Noise | None,
    fold: IntArray,
    chunk: int = CHUNK,
    progress: bool = False,
    checkpoint: Checkpoint | None = None,
) -> list[Triangle]:
    """Return the triangular factor of the rows of every fold."""
    triangles = [Triangle(design.n_columns) for _ in range(int(fold.max()) + 1)]
    done = 0 if checkpoint is None else checkpoint.restore(triangles)
    with progress_bar(len(frames), "rows", "structure", initial=done, shown=progress) as bar:
        for start, stop in pieces(frames, chunk):
            if stop <= done:
                continue
            with counted_from(start):
                rows = design.structures(frames[start:stop])
            _check_finite(rows, start)
            known = [k for k in range(start, stop) if targets[k].has_derivatives]
            slopes = design.derivatives([frames[k] for k in known]) if known else iter(())
            for k in range(start, stop):
                own = next(slopes) if targets[k].has_derivatives else None
                if noise is None:
                    added = rows[k - start][None], np.array([targets[k].energy])
                else:
                    added = weighted_rows(rows[k - start], own, targets[k], noise.of(frames[k]), len(frames[k]))
                triangles[fold[k]].add(*added)
            bar.update(stop - start)
            if checkpoint is not None:
                checkpoint.save(triangles, stop)
    return triangles


def _chosen(path: RidgePath, alpha: float, alphas: FloatArray, errors: FloatArray, noise: float | None) -> RidgeFit:
    """Return the fit with one alpha; candidates and errors come in falling order."""
    absolute = alpha * path.scale
    if noise is None:
        noise = float(path.squares([absolute])[0]) / max(path.n_rows, 1)
    weights = path.weights([absolute])[0]
    posterior = path.posterior(absolute, noise)
    return RidgeFit(weights, alpha, path.scale, alphas[::-1].copy(), errors[::-1].copy(), posterior)


def _others(rule: Regularization, triangles: list[Triangle]) -> list[tuple[int, Triangle]]:
    """Return every held-out fold, and the rows of all others."""
    if isinstance(rule, HoldOut):
        return [(1, triangles[0])]
    before = [triangles[0]]
    for triangle in triangles[1:-1]:
        before.append(before[-1].merged(triangle))
    result, after = [], None
    for k in range(len(triangles) - 1, -1, -1):
        if k == 0:
            assert after is not None
            rest = after
        else:
            rest = before[k - 1] if after is None else before[k - 1].merged(after)
        result.append((k, rest))
        after = triangles[k] if after is None else triangles[k].merged(after)
    return result


def _held_out_squares(rule: Regularization, triangles: list[Triangle], alphas: FloatArray) -> tuple[FloatArray, int]:
    """Return the sum of squared held-out residuals [n_alphas] and the number of rows."""
    squares, n_rows = np.zeros(len(alphas)), 0
    for k, others in _others(rule, triangles):
        squares += triangles[k].squares(others.weights(alphas))
        n_rows += triangles[k].n_rows
    return squares, n_rows


def _held_out(
    design: Design,
    frames: Sequence[Atoms],
    energies: FloatArray,
    rule: Regularization,
    triangles: list[Triangle],
    fold: IntArray,
    alphas: FloatArray,
    chunk: int,
) -> FloatArray:
    """Return the residuals of energies of held-out structures, [n_alphas, n_held_out]."""
    weights = {k: others.weights(alphas) for k, others in _others(rule, triangles)}
    residuals = np.empty((len(alphas), len(frames)))
    for start, stop in pieces(frames, chunk):
        if not np.isin(fold[start:stop], list(weights)).any():
            continue
        rows = design.structures(frames[start:stop])
        for k, own in weights.items():
            members = np.flatnonzero(fold[start:stop] == k)
            residuals[:, start + members] = energies[start + members] - own @ rows[members].T
    return residuals[:, np.isin(fold, list(weights))]


def _left_out(
    design: Design,
    frames: Sequence[Atoms],
    energies: FloatArray,
    widths: FloatArray,
    path: RidgePath,
    alphas: FloatArray,
    chunk: int,
) -> FloatArray:
    """Return the leave-one-out residuals ``(y - X w)_i / (1 - h_ii)`` of energies, [n_alphas, n_structures]."""
    weights = path.weights(alphas * path.scale)
    filters = 1.0 / (path.singular_values**2 + alphas[:, None] * path.scale)
    residuals = np.empty((len(alphas), len(frames)))
    for start, stop in pieces(frames, chunk):
        rows = design.structures(frames[start:stop])
        leverage = filters @ ((rows / widths[start:stop, None] @ path.right.T) ** 2).T
        remainder = np.maximum(1.0 - leverage, np.finfo(np.float64).eps)
        residuals[:, start:stop] = (energies[start:stop] - weights @ rows.T) / remainder
    return residuals


def design_matrix(
    design: Design,
    frames: Sequence[Atoms],
    *,
    chunk: int = CHUNK,
    progress: bool = False,
    checkpoint: Checkpoint | None = None,
) -> FloatArray:
    """Return the rows of all structures, [n_structures, n_columns], made piece by piece.

    Raises
    ------
    ValueError
        If ``chunk < 1``, or something in a row is not finite.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be a positive number of atoms, got {chunk!r}")
    matrix = np.empty((len(frames), design.n_columns))
    done = 0 if checkpoint is None else checkpoint.restore_rows(matrix)
    with progress_bar(len(frames), "features", "structure", initial=done, shown=progress) as bar:
        for start, stop in pieces(frames, chunk):
            if stop <= done:
                continue
            with counted_from(start):
                matrix[start:stop] = design.structures(frames[start:stop])
            _check_finite(matrix[start:stop], start)
            bar.update(stop - start)
            if checkpoint is not None:
                checkpoint.save_rows(matrix, stop)
    return matrix


def _check_finite(rows: FloatArray, start: int) -> None:
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise ValueError(f"the features of structure {start + bad[0]} are not finite")
