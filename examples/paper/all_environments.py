"""A Gaussian process on energies that compares all environments of all molecules, not a few representative ones.

The kernel of two structures is ``k(A, B) = sum_ab (u_a . u_b)^2`` over centers of the same species. It is the scalar
product of matrices ``S_A = sum_a u_a u_a^T``, one for each species, so that a model is a quadratic form
``E(A) = sum_a u_a^T W u_a`` with ``W = sum_A c_A S_A``, and a product of the kernel matrix with a vector is two passes
over the environments: the matrix itself, 40 GB for 100,000 molecules, is never made. Conjugate gradients solve
``(K + noise) c = y``, preconditioned by a Nyström approximation from some structures (Williams and Seeger, 2001), which
takes out the large eigenvalues.

u is the normalized power spectrum in principal components. Those of small variance count more than in the power
spectrum itself: a component of variance v is multiplied by v^(-sharpening / 2).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import orbas
from orbas.structures.batch import to_batch
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms

#: Parts that threads take: always as many, so that sums round alike on any machine.
_PARTS = 16
_ROWS = 1024
_COLUMNS = 64
#: Components whose sums are in double precision.
_LEADING = 16
#: Structures that are compared with each other at once: what stays in the cache of a core.
_TILE = (32, 64)
#: What is added to the diagonal of the Nyström approximation, relative to it, against round-off of single precision.
_JITTER = 1e-7


@dataclass(frozen=True)
class Settings:
    """What the model is made of.

    Attributes
    ----------
    threshold
        Principal components are kept if their variance is above this fraction of the largest one of their species.
    sharpening
        0 for the power spectrum as it is; 1 would give all components the same variance.
    noise
        Candidates of the variance of an energy, relative to the mean of k(A, A).
    n_preconditioner
        The preconditioner is made of so many structures, the first ones.
    tolerance
        Of the residual, relative to the energies.
    max_iterations
        Of conjugate gradients.
    """

    threshold: float = 6e-8
    sharpening: float = 0.25
    noise: tuple[float, ...] = (1e-5, 3e-5)
    n_preconditioner: int = 5000
    tolerance: float = 2e-3
    max_iterations: int = 500


def threaded(work: Callable[[int], Any]) -> list[Any]:
    """Return ``work(part)`` of all parts, in order; numpy does not hold the interpreter."""
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(orbas.get_num_threads()) as pool:
        return list(pool.map(work, range(_PARTS)))


def spread(total: int, part: int) -> slice:
    """Return the share of one part."""
    return slice(total * part // _PARTS, total * (part + 1) // _PARTS)


@dataclass(frozen=True)
class Components:
    """Principal components of normalized features, by species: [n_features, n_components]."""

    spectrum: orbas.PowerSpectrum
    matrices: dict[int, np.ndarray]

    @classmethod
    def fit(cls, spectrum: orbas.PowerSpectrum, frames: Sequence[Atoms], settings: Settings) -> Components:
        """Return those of these structures."""
        numbers, features = normalized(spectrum, frames)
        matrices = {}
        for species in np.unique(numbers).tolist():
            own = features[numbers == species]
            variances, vectors = np.linalg.eigh(own.T @ own / len(own))
            kept = np.flatnonzero(variances > settings.threshold * variances[-1])[::-1]
            weights = (variances[kept] / variances[-1]) ** (-settings.sharpening / 2)
            # Of a mean square of one.
            weights /= np.sqrt(np.sum(weights**2 * variances[kept]))
            matrices[species] = vectors[:, kept] * weights
        return cls(spectrum, matrices)

    @property
    def n_features(self) -> int:
        """Length of the power spectrum."""
        return len(next(iter(self.matrices.values())))

    def quadratic(self, forms: dict[int, np.ndarray]) -> Any:
        """Return what the compiled core evaluates: eigenvectors of W are sparse points."""
        parts = []
        for species in self.spectrum.density.species:
            if species not in self.matrices:  # no environment was seen
                parts.append((np.zeros((0, self.n_features)), np.zeros(0), 0.0))
                continue
            weights, vectors = np.linalg.eigh(forms[species])
            points = (self.matrices[species] @ vectors).T
            norms = np.linalg.norm(points, axis=1)
            parts.append((np.ascontiguousarray(points / norms[:, None]), weights * norms**2, 0.0))
        return self.spectrum.sparse_points(2, parts)

    def evaluate(self, quadratic: Any, frames: Sequence[Atoms]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return energies [n_atoms], forces [n_atoms, 3] and virials [n_structures, 3, 3] of a model."""
        return self.spectrum.sparse_kernel(list(frames), to_batch(list(frames)), quadratic, None)


def normalized(spectrum: orbas.PowerSpectrum, frames: Sequence[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """Return species of the centers, and their features of unit norm."""
    features = spectrum.transform(frames)
    norms = np.linalg.norm(features.values, axis=1, keepdims=True)
    return features.center_numbers, features.values / np.where(norms > 0, norms, 1.0)


@dataclass(frozen=True)
class Environments:
    """Components u of all environments of many structures.

    Attributes
    ----------
    rows
        By species, in the order of structures: [n_centers, n_components], single precision.
    structures
        Their structures, [n_centers].
    n_atoms
        [n_structures]
    """

    rows: dict[int, np.ndarray]
    structures: dict[int, np.ndarray]
    n_atoms: np.ndarray

    @classmethod
    def of(cls, components: Components, frames: Sequence[Atoms], piece: int = 500) -> Environments:
        """Compute those of structures; a piece of them is held at once."""
        n_atoms = np.array([len(frame) for frame in frames])
        numbers = np.concatenate([frame.numbers for frame in frames])
        owners = np.repeat(np.arange(len(frames)), n_atoms)
        structures = {species: owners[numbers == species] for species in components.matrices}
        rows = {
            species: np.empty((len(own), components.matrices[species].shape[1]), dtype=np.float32)
            for species, own in structures.items()
        }
        for start in range(0, len(frames), piece):
            centers, features = normalized(components.spectrum, frames[start : start + piece])
            for species, matrix in components.matrices.items():
                first, last = np.searchsorted(structures[species], (start, start + piece))
                rows[species][first:last] = features[centers == species] @ matrix
        return cls(rows, structures, n_atoms)

    def first(self, n: int) -> Environments:
        """Return those of the first n structures, as views."""
        ends = {species: np.searchsorted(own, n) for species, own in self.structures.items()}
        rows = {species: own[: ends[species]] for species, own in self.rows.items()}
        return Environments(rows, {s: own[: ends[s]] for s, own in self.structures.items()}, self.n_atoms[:n])

    @property
    def widths(self) -> np.ndarray:
        """Expected errors of energies: they grow with the root of the number of atoms."""
        return np.sqrt(self.n_atoms)

    def energies(self, forms: dict[int, np.ndarray]) -> np.ndarray:
        """Return ``sum_a u_a^T W u_a`` of every structure."""
        total = np.zeros(len(self.n_atoms))
        for species, rows in self.rows.items():
            form = forms[species]
            upper = (2 * np.triu(form, 1) + np.diag(np.diag(form))).astype(np.float32)
            atoms = np.concatenate(threaded(partial(_quadratic, rows, upper)))
            total += np.bincount(self.structures[species], weights=atoms, minlength=len(total))
        return total

    def forms(self, coefficients: np.ndarray) -> dict[int, np.ndarray]:
        """Return ``W = sum_A c_A sum_a u_a u_a^T`` of every species."""
        return {
            species: np.sum(threaded(partial(_weighted_squares, rows, coefficients[self.structures[species]])), axis=0)
            for species, rows in self.rows.items()
        }

    def weighted(self, solution: np.ndarray) -> dict[int, np.ndarray]:
        """Return the forms of a solution, whose coefficients are relative to expected errors."""
        return self.forms(solution / self.widths)

    def mean_square(self) -> float:
        """Return the mean over some structures of k(A, A), relative to the square of the expected error."""
        chosen = np.arange(0, len(self.n_atoms), max(1, len(self.n_atoms) // 100))
        total = 0.0
        for species, rows in self.rows.items():
            for structure in chosen:
                first, last = np.searchsorted(self.structures[species], (structure, structure + 1))
                total += np.sum((rows[first:last] @ rows[first:last].T) ** 2.0) / self.n_atoms[structure]
        return float(total / len(chosen))


def _quadratic(rows: np.ndarray, upper: np.ndarray, part: int) -> np.ndarray:
    """Return ``u^T U u`` of one part of the rows, U upper triangular, in blocks of columns without the zeros below."""
    share = spread(len(rows), part)
    found = np.zeros(share.stop - share.start)
    for piece in _pieces(share.stop, _ROWS, share.start):
        own, total = rows[piece], found[piece.start - share.start : piece.stop - share.start]
        for left in range(0, rows.shape[1], _COLUMNS):
            right = left + _COLUMNS
            total += np.einsum("ij,ij->i", own[:, :right] @ upper[:right, left:right], own[:, left:right])
    return found


def _weighted_squares(rows: np.ndarray, weights: np.ndarray, part: int) -> np.ndarray:
    """Return ``sum_a w_a u_a u_a^T`` of one part of the rows.

    Weights of both signs nearly cancel in what belongs to leading components, the largest: that is summed in double
    precision. Of the others, rows with weights of one sign are the square of a matrix, half the work of a product.
    """
    share = spread(len(rows), part)
    total = np.zeros((rows.shape[1],) * 2)
    for piece in _pieces(share.stop, _ROWS, share.start):
        own = rows[piece].astype(np.float64)
        total[:_LEADING] += (own[:, :_LEADING] * weights[piece, None]).T @ own
    total[_LEADING:, :_LEADING] = total[:_LEADING, _LEADING:].T
    for sign in (1.0, -1.0):
        chosen = share.start + np.flatnonzero(weights[share] * sign > 0)
        for start in range(0, len(chosen), _ROWS):
            piece = chosen[start : start + _ROWS]
            scaled = rows[piece, _LEADING:] * np.sqrt(np.abs(weights[piece]), dtype=np.float32)[:, None]
            total[_LEADING:, _LEADING:] += sign * (scaled.T @ scaled)
    return total


def _pieces(stop: int, length: int, start: int = 0) -> list[slice]:
    """Return slices of at most some length."""
    return [slice(k, min(k + length, stop)) for k in range(start, stop, length)]


@dataclass(frozen=True)
class Block:
    """Environments of one species in a range of structures; ``belongs`` is [n_structures, n_centers], of 0 and 1."""

    rows: np.ndarray
    belongs: np.ndarray

    @classmethod
    def of(cls, environments: Environments, species: int, structures: slice) -> Block:
        """Take them from all."""
        owners = environments.structures[species]
        own = slice(*np.searchsorted(owners, (structures.start, structures.stop)))
        belongs = np.arange(structures.start, structures.stop)[:, None] == owners[own]
        return cls(environments.rows[species][own], belongs.astype(np.float32))

    def linear(self) -> np.ndarray:
        """Return z [n_structures, n_components]: z . z' is what the first component has to do with in the kernel.

        The square of ``p + q``, p from the first component and q from the others, is ``p (p + 2 q) + q^2``.
        """
        factors = self.rows[:, :1] * np.append(1.0, np.full(self.rows.shape[1] - 1, np.sqrt(2.0)))
        return self.belongs @ (factors * self.rows)

    def compare(self, other: Block) -> np.ndarray:
        """Return the rest of the kernel, [n_structures, other.n_structures]; it is small: in single precision."""
        products = self.rows[:, 1:] @ other.rows[:, 1:].T
        products *= products
        return self.belongs @ products @ other.belongs.T


class Preconditioner:
    """``(B^T B + noise)^-1`` by B [n_columns, n_structures], with ``B^T B`` close to the kernel matrix."""

    def __init__(self, environments: Environments, n_columns: int) -> None:
        n = len(environments.n_atoms)
        self.kernel = np.zeros((n, min(n_columns, n)))
        for species in environments.rows:
            self._add(environments, species)
        self.kernel /= environments.widths[:, None]
        self.kernel /= environments.widths[: self.kernel.shape[1]]

    def _add(self, environments: Environments, species: int) -> None:
        """Add the kernel of environments of one species."""
        n, n_columns = self.kernel.shape
        across = _pieces(n_columns, _TILE[1])
        others = [Block.of(environments, species, columns) for columns in across]
        linear = np.concatenate([other.linear() for other in others])

        def work(part: int) -> None:
            share = spread(n, part)
            for piece in _pieces(share.stop, _TILE[0], share.start):
                own = Block.of(environments, species, piece)
                self.kernel[piece] += own.linear() @ linear.T
                for columns, other in zip(across, others, strict=True):
                    self.kernel[piece, columns] += own.compare(other)

        threaded(work)

    def of(self, n: int, noise: float) -> Callable[[np.ndarray], np.ndarray]:
        """Return the product with a vector, for the first n structures."""
        kernel = self.kernel[:n, :n]
        block = kernel[: kernel.shape[1]]
        block = (block + block.T) / 2
        block[np.diag_indices_from(block)] *= 1.0 + _JITTER
        root = cholesky(block, lower=True, overwrite_a=True)
        spanned = solve_triangular(root, kernel.T, lower=True)  # [n_columns, n]
        inner = spanned @ spanned.T
        inner[np.diag_indices_from(inner)] += noise
        factor = cho_factor(inner, lower=True, overwrite_a=True)
        return lambda vector: (vector - spanned.T @ cho_solve(factor, spanned @ vector)) / noise


def solve(
    environments: Environments,
    energies: np.ndarray,
    noise: float,
    preconditioner: Preconditioner,
    settings: Settings,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Return c of ``(K + noise) c = y``, [n_structures]; ``start`` is a solution for the first of them."""
    widths = environments.widths
    target = energies / widths

    def matrix(vector: np.ndarray) -> np.ndarray:
        return environments.energies(environments.weighted(vector)) / widths + noise * vector

    precondition = preconditioner.of(len(energies), noise)
    solution = np.zeros_like(target)
    residual = target.copy()
    if start is not None:
        solution[: len(start)] = start
        residual -= matrix(solution)
    along = shifted = precondition(residual)
    product = residual @ shifted
    for _ in range(settings.max_iterations):
        image = matrix(along)
        step = product / (along @ image)
        solution += step * along
        residual -= step * image
        if np.linalg.norm(residual) < settings.tolerance * np.linalg.norm(target):
            break
        shifted = precondition(residual)
        previous, product = product, residual @ shifted
        along = shifted + product / previous * along
    else:
        raise RuntimeError(f"no solution in {settings.max_iterations} iterations: precondition with more structures")
    return solution


def learning_curve(
    spectrum: orbas.PowerSpectrum,
    train: Sequence[Atoms],
    energies: np.ndarray,
    test: Sequence[Atoms],
    sizes: Sequence[int],
    n_validation: int,
    settings: Settings,
) -> tuple[np.ndarray, float]:
    """Return predicted energies of the test structures, [n_sizes, n_test], and the noise.

    ``energies`` are those beyond the baseline. The noise is chosen at the second size, by the last of its structures.
    """
    components = Components.fit(spectrum, train[:: max(1, len(train) // 3000)], settings)
    known, tested = (Environments.of(components, frames) for frames in (train, test))
    scale = known.mean_square()
    preconditioner = Preconditioner(known, settings.n_preconditioner)
    head, middle = sizes[1] - n_validation, sizes[1]
    errors, solution = [], None
    for noise in sorted(settings.noise, reverse=True):
        solution = solve(known.first(head), energies[:head], noise * scale, preconditioner, settings, solution)
        found = known.first(middle).energies(known.first(head).weighted(solution))[head:]
        errors.append((float(np.mean(np.abs(found - energies[head:middle]))), noise))
        print(f"  noise {noise:.0e}: {errors[-1][0]:.4f} eV held out", flush=True)
    noise = min(errors)[1]
    predicted, solution = [], None
    for size in sizes:
        own = known.first(size)
        solution = solve(own, energies[:size], noise * scale, preconditioner, settings, solution)
        predicted.append(tested.energies(own.weighted(solution)))
    return np.array(predicted), noise
