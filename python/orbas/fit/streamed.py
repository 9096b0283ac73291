"""Fitting weights to energies, forces and virials in memory that does not grow with the data.

Structures pass by once: their rows, divided by the noise of the labels, go into one triangular factor for each fold.
Factors are merged for what the other folds would learn, and for all. Where only energies are fitted, a second pass
measures the held-out mean absolute error, which a squared one hides behind a few odd structures.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.linalg import product
from orbas.base.progress import progress_bar
from orbas.files.replacing import is_swallowed
from orbas.fit.checkpoint import Checkpoint, identity_of
from orbas.fit.dense import RidgeFit
from orbas.fit.design import counted_from, pieces
from orbas.fit.folds import plain_folds
from orbas.fit.noise import energy_widths, weighted_rows
from orbas.fit.noise_estimate import LEFT_OUT
from orbas.fit.quantities import Quantity
from orbas.fit.regularization import Evidence, Fixed, LeaveOneOut
from orbas.fit.triangle import Triangle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    from ase import Atoms

    from orbas.base.types import FloatArray, IntArray
    from orbas.fit.design import Design
    from orbas.fit.folds import Folds
    from orbas.fit.noise import Noise, Target
    from orbas.fit.regularization import Regularization
    from orbas.fit.triangle import RidgePath

#: Atoms after which a piece of structures ends.
CHUNK = 4096
_EPSILON = float(np.finfo(np.float64).eps)


def fit_streamed(
    design: Design,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    noise: Noise | None,
    rule: Regularization,
    folds: Folds | None = None,
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
    folds
        What is held out together; None for every structure on its own.
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
    check_rule(rule, targets, chunk)
    folds = plain_folds(rule, len(frames)) if folds is None else folds
    # One structure after the other is left out without fits to the others.
    fold = np.full(len(frames), -1) if isinstance(rule, LeaveOneOut) else folds.fold
    with keeping(checkpoint, design, frames, targets, noise, fold, chunk) as keeper:
        kinds = accumulate(design, frames, targets, noise, fold, chunk, progress, keeper)
    return choose(design, frames, targets, noise, rule, [stacked(triangles) for triangles in kinds], folds, chunk)


def check_rule(rule: Regularization, targets: Sequence[Target], chunk: int) -> None:
    """Raise ValueError for a rule that cannot judge such labels, or pieces without atoms."""
    if chunk < 1:
        raise ValueError(f"chunk must be a positive number of atoms, got {chunk!r}")
    if isinstance(rule, LeaveOneOut) and any(target.has_derivatives for target in targets):
        raise ValueError("LeaveOneOut is for energies alone: with forces or virials use KFold() or Evidence()")


def choose(
    design: Design,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    noise: Noise | None,
    rule: Regularization,
    triangles: list[Triangle],
    folds: Folds,
    chunk: int = CHUNK,
) -> RidgeFit:
    """Choose alpha by a rule, from the triangular factors of every fold and, last, of what is in none; fit all rows."""
    derivatives = any(target.has_derivatives for target in targets)
    path = reduce(_merged, triangles).path()
    if isinstance(rule, Fixed):
        return _chosen(path, rule.alpha, np.empty(0), np.empty(0), None)
    alphas = np.sort(np.asarray(rule.alphas))[::-1]
    if isinstance(rule, Evidence):
        errors = -path.evidence(alphas * path.scale) / path.n_rows
        return _chosen(path, float(alphas[np.argmin(errors)]), alphas, errors, None)
    if derivatives:
        squares, n_held_out = _held_out_squares(triangles, alphas * path.scale)
        errors = np.sqrt(squares / n_held_out)
        best = int(np.argmin(errors))
        return _chosen(path, float(alphas[best]), alphas, errors, float(errors[best] ** 2))
    energies = np.array([target.energy for target in targets])
    widths = energy_widths(frames, noise)
    if isinstance(rule, LeaveOneOut):
        residuals = _left_out(design, frames, energies, widths, path, alphas, folds, chunk)
    else:
        residuals = _held_out(design, frames, energies, triangles, folds, alphas * path.scale, chunk)
    widths = widths[folds.held_out]
    errors = np.mean(np.abs(residuals), axis=1)
    best = int(np.argmin(errors))
    # The variance of a row, hence of what was divided by the noise of the label.
    fit = _chosen(path, float(alphas[best]), alphas, errors, float(np.mean((residuals[best] / widths) ** 2)))
    held_out = np.full(len(frames), np.nan)
    held_out[folds.held_out] = residuals[best]
    return replace(fit, residuals=held_out)


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


def accumulate(
    design: Design,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    noise: Noise | None,
    fold: IntArray,
    chunk: int = CHUNK,
    progress: bool = False,
    checkpoint: Checkpoint | None = None,
    *,
    apart: bool = False,
) -> list[list[Triangle]]:
    """Return the triangular factors of the rows of every fold, and last those of the rows in none (fold -1).

    One for all kinds of labels, or if they are kept ``apart`` one for each, in the order of :class:`Quantity`.
    """
    n_kinds = len(Quantity) if apart else 1
    n_folds = int(fold.max(initial=-1)) + 2
    triangles = [Triangle(design.n_columns) for _ in range(n_kinds * n_folds)]
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
                added = weighted_rows(rows[k - start], own, targets[k], noise, frames[k])
                for quantity, (values, labels) in added.items():
                    triangles[n_kinds * (fold[k] % n_folds) + quantity.place * apart].add(values, labels)
            bar.update(stop - start)
            if checkpoint is not None:
                checkpoint.save(triangles, stop)
    return [triangles[first : first + n_kinds] for first in range(0, len(triangles), n_kinds)]


def stacked(triangles: Sequence[Triangle], factors: Mapping[Quantity, float] | None = None) -> Triangle:
    """Return the factor of the rows of all kinds of labels; their noise may be multiplied by a factor each."""
    given = [(triangle, (factors or {}).get(kind, 1.0)) for kind, triangle in zip(Quantity, triangles, strict=False)]
    nothing = Triangle(triangles[0].n_columns)
    return reduce(_merged, (triangle.divided(factor) for triangle, factor in given if factor < LEFT_OUT), nothing)


def _chosen(path: RidgePath, alpha: float, alphas: FloatArray, errors: FloatArray, noise: float | None) -> RidgeFit:
    """Return the fit with one alpha; candidates and errors come in falling order."""
    absolute = alpha * path.scale
    if noise is None:
        noise = float(path.squares([absolute])[0]) / max(path.n_rows, 1)
    weights = path.weights([absolute])[0]
    posterior = path.posterior(absolute, noise)
    return RidgeFit(weights, alpha, path.scale, alphas[::-1].copy(), errors[::-1].copy(), posterior)


def _merged(first: Triangle, second: Triangle) -> Triangle:
    """Return the triangle of the rows of both."""
    if not first.n_rows or not second.n_rows:
        return first if first.n_rows else second
    return first.merged(second)


def _others(triangles: list[Triangle]) -> Iterator[tuple[int, Triangle]]:
    """Yield every fold, and the rows of all others with those of none, which stand last."""
    *folds, always = triangles
    before = [always]
    for triangle in folds[:-1]:
        before.append(_merged(before[-1], triangle))
    after = Triangle(always.n_columns)
    for k in range(len(folds) - 1, -1, -1):
        yield k, _merged(before[k], after)
        after = _merged(folds[k], after)


def _held_out_squares(triangles: list[Triangle], alphas: FloatArray) -> tuple[FloatArray, int]:
    """Return the sum of squared held-out residuals [n_alphas] and the number of rows."""
    squares, n_rows = np.zeros(len(alphas)), 0
    for k, others in _others(triangles):
        squares += triangles[k].squares(others.weights(alphas))
        n_rows += triangles[k].n_rows
    return squares, n_rows


def _held_out(
    design: Design,
    frames: Sequence[Atoms],
    energies: FloatArray,
    triangles: list[Triangle],
    folds: Folds,
    alphas: FloatArray,
    chunk: int,
) -> FloatArray:
    """Return the residuals of energies of held-out structures, [n_alphas, n_held_out]."""
    weights = {k: others.weights(alphas) for k, others in _others(triangles)}
    residuals = np.empty((len(alphas), len(frames)))
    for start, stop in pieces(frames, chunk):
        if (folds.fold[start:stop] < 0).all():
            continue
        rows = design.structures(frames[start:stop])
        for k, own in weights.items():
            members = np.flatnonzero(folds.fold[start:stop] == k)
            residuals[:, start + members] = energies[start + members] - own @ rows[members].T
    return residuals[:, folds.held_out]


def _left_out(
    design: Design,
    frames: Sequence[Atoms],
    energies: FloatArray,
    widths: FloatArray,
    path: RidgePath,
    alphas: FloatArray,
    folds: Folds,
    chunk: int,
) -> FloatArray:
    """Return residuals of energies with each fold left out, ``(1 - H_KK)^-1 (y - X w)_K``: [n_alphas, n_held_out]."""
    weights = path.weights(alphas * path.scale)
    filters = 1.0 / (path.singular_values**2 + alphas[:, None] * path.scale)
    residuals = np.empty((len(alphas), len(frames)))
    for members in _whole_folds(frames, folds, chunk):
        rows = design.structures([frames[k] for k in members.tolist()])
        seen = product(rows / widths[members, None], path.right.T)
        gaps = (energies[members] - weights @ rows.T) / widths[members]
        # Round-off must not turn a leverage of one into a division by zero.
        solved = gaps / np.maximum(1.0 - filters @ (seen**2).T, _EPSILON)
        starts = np.flatnonzero(np.diff(folds.fold[members], prepend=-1))
        for first, last in itertools.pairwise([*starts.tolist(), len(members)]):
            if last - first > 1:
                own = seen[first:last]
                hats = np.einsum("ik,ak,jk->aij", own, filters, own, optimize=True)
                blocks = (1.0 + _EPSILON) * np.eye(len(own)) - hats
                solved[:, first:last] = np.linalg.solve(blocks, gaps[:, first:last, None])[:, :, 0]
        residuals[:, members] = solved * widths[members]
    return residuals[:, folds.held_out]


def _whole_folds(frames: Sequence[Atoms], folds: Folds, chunk: int) -> Iterator[IntArray]:
    """Yield the structures of some folds together, in their order, about so many atoms at once."""
    parts: list[IntArray] = []
    atoms = 0
    for members in folds.members:
        parts.append(members)
        atoms += sum(len(frames[k]) for k in members.tolist())
        if atoms >= chunk:
            yield np.concatenate(parts)
            parts, atoms = [], 0
    if parts:
        yield np.concatenate(parts)


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
