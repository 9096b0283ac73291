"""Figure 4: what a truncated density basis loses of correlations of one, two, three and four neighbors, on QM9.

C-centered environments; small GTO bases against the basis optimal for C centers that mixes species and radial channels.
The residual variance is one minus the mean squared norm of the features made of q channels over that of the features
made of all channels (20 GTOs for each of five species). Nothing is contracted or left out, as norms need no features:

- all equivariant components of order nu together have the norm of the density to the power nu (Eq. 14-15);
- the invariants are the part of the nu-fold product of the density that no rotation or inversion R changes, so that
  their squared norm is the average over R of (c . R c)^nu = (sum_l tr D_l W_l(R))^nu. D_l = sum_q c_qlm c_qlm' does not
  grow with q, and a quadrature of rotations that is exact for polynomials of degree nu * max_angular makes the average
  exact. For nu = 1 to 3 these are the norms of radial spectrum (l = 0 alone), power spectrum and bispectrum.

The cutoff of the paper is not known: the first of the two here is drawn, both are in the table.

Run it: `python fig4_correlations_qm9.py` (some minutes on one core and 1 GB; `--quick` under one; no downloads).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orbas
from common import COLORS, NU_COLORS, QM9_SPECIES, Data, columns, main, qm9
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

CARBON = 6
ORDERS = (1, 2, 3, 4)
#: What is measured, and how panels call it.
KINDS = {"all": "all equivariant components", "invariant": "invariants"}
#: Molecules worked on at a time, so that their averages stay in the cache.
CHUNK = 10
THRESHOLD = 1e-3
LINES = {"optimal": "-", "GTO": "--"}


@dataclass(frozen=True)
class Settings:
    """All numbers of the figure."""

    n_molecules: int = 1000
    cutoffs: tuple[float, ...] = (3.5, 5.0)
    cutoff_width: float = 0.5
    density_width: float = 0.3
    max_angular: int = 5
    n_full: int = 20
    #: GTOs for each of the five species.
    n_gto: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18)
    n_optimal: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 35, 40, 50, 60)
    #: Channels of the lower panels: multiples of five, of both bases.
    n_compared: tuple[int, ...] = (5, 10, 20)


QUICK = Settings(n_molecules=150, n_gto=(1, 2, 4, 6, 10, 14, 18), n_optimal=(1, 2, 5, 10, 20, 30, 50))
FULL = Settings()


def density(settings: Settings, cutoff: float, n_radial: int) -> orbas.DensityExpansion:
    """Return the expansion on so many GTOs for each species."""
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(cutoff, width=settings.cutoff_width),
        density_width=settings.density_width,
        max_angular=settings.max_angular,
        basis=orbas.bases.GTO(n_radial),
        species=QM9_SPECIES,
    )


class Rotations:
    """Rotations, with the weights of a quadrature, and how they turn spherical harmonics.

    Parameters
    ----------
    max_angular
        The largest degree l.
    order
        The largest power of the density that is averaged exactly.
    """

    def __init__(self, max_angular: int, order: int) -> None:
        degree = order * max_angular
        around = np.arange(degree + 1) * 2 * np.pi / (degree + 1)
        cosines, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
        alpha, beta, gamma = np.meshgrid(around, np.arccos(cosines), around, indexing="ij")
        self.weights = np.broadcast_to(weights[:, None] / 2 / around.size**2, alpha.shape).ravel()
        angles = np.column_stack([alpha.ravel(), beta.ravel(), gamma.ravel()])
        #: [l] -> [(m, m'), rotation]: Y_lm(R x) = sum_m' W_mm' Y_lm'(x).
        self.matrices = _wigner(Rotation.from_euler("ZYZ", angles).as_matrix(), max_angular)

    def invariant_norms(self, grams: Sequence[FloatArray], n_orders: int) -> FloatArray:
        """Return the squared norms of the invariants (o3_sigma = 1) of orders 1 to some, [order, environment].

        ``grams``: for every l the D_l of some environments, [environment, m, m'].
        """
        even, odd = (
            sum(D.reshape(len(D), -1) @ W for D, W in zip(grams[first::2], self.matrices[first::2], strict=True))
            for first in (0, 1)
        )
        products = [even + odd, even - odd]  # an inversion changes the sign of odd l
        powers, result = [np.ones_like(product) for product in products], []
        for _ in range(n_orders):
            for product, power in zip(products, powers, strict=True):
                power *= product
            result.append(sum(power @ self.weights for power in powers) / 2)
        return np.array(result)


def _wigner(rotations: FloatArray, max_angular: int) -> list[FloatArray]:
    directions = np.random.default_rng(0).normal(size=(4 * (2 * max_angular + 1), 3))
    at_rest = orbas.spherical_harmonics(directions, max_angular)
    turned = orbas.spherical_harmonics((directions @ rotations.transpose(0, 2, 1)).reshape(-1, 3), max_angular)
    turned = turned.reshape(len(rotations), len(directions), -1)
    matrices = []
    for l in range(max_angular + 1):
        part = slice(l**2, (l + 1) ** 2)
        transposed = np.linalg.pinv(at_rest[:, part]) @ turned[:, :, part]
        matrices.append(np.ascontiguousarray(transposed.T.reshape(-1, len(rotations))))
    return matrices


def coefficients(expansion: orbas.DensityExpansion, frames: Sequence[Atoms]) -> Iterator[list[FloatArray]]:
    """Yield the coefficients around C of some molecules at a time: for every l, [environment, m, q]."""
    for first in range(0, len(frames), CHUNK):
        blocks = expansion.transform(frames[first : first + CHUNK])
        yield [blocks[1, l, 1, CARBON].values for l in range(expansion.max_angular + 1)]


def norms(
    expansion: orbas.DensityExpansion, counts: Sequence[int], frames: Sequence[Atoms], rotations: Rotations
) -> FloatArray:
    """Return squared norms summed over environments, [count, kind, order].

    ``counts`` are numbers of channels: of each l, the first so many.
    """
    total = np.zeros((len(counts), 2, len(ORDERS)))
    for parts in coefficients(expansion, frames):
        for k, q in enumerate(counts):
            grams = [c[:, :, :q] @ c[:, :, :q].transpose(0, 2, 1) for c in parts]
            density_norms = sum(np.trace(D, axis1=1, axis2=2) for D in grams)
            total[k, 0] += [np.sum(density_norms**nu) for nu in ORDERS]
            total[k, 1] += rotations.invariant_norms(grams, len(ORDERS)).sum(axis=1)
    return total


def residuals(settings: Settings, cutoff: float, frames: Sequence[Atoms]) -> dict[str, Any]:
    """Return residual variances of both bases at one cutoff: basis -> q, and lists [q][order] by kind of component."""
    rotations = Rotations(settings.max_angular, ORDERS[-1])
    primitive = density(settings, cutoff, settings.n_full)
    everything = len(QM9_SPECIES) * settings.n_full
    reference = norms(primitive, [everything], frames, rotations)
    print(f"cutoff {cutoff} Å: norms of the full features are made", flush=True)
    optimal = orbas.OptimalBasis(primitive, max(settings.n_optimal), per_center=True).fit(frames)
    kept = {"optimal": norms(optimal.expansion_, settings.n_optimal, frames, rotations)}
    print(f"cutoff {cutoff} Å: norms in the optimal basis are made", flush=True)
    channels = {"optimal": list(settings.n_optimal), "GTO": [len(QM9_SPECIES) * n for n in settings.n_gto]}
    small = [(density(settings, cutoff, n), q) for n, q in zip(settings.n_gto, channels["GTO"], strict=True)]
    kept["GTO"] = np.concatenate([norms(expansion, [q], frames, rotations) for expansion, q in small])
    result: dict[str, Any] = {}
    for basis, q in channels.items():
        lost = 1 - kept[basis] / reference
        result[basis] = {"q": q, **{kind: lost[:, k].tolist() for k, kind in enumerate(KINDS)}}
    return result


def compute(settings: Settings, _data: Data) -> dict[str, Any]:
    """Return residual variances by cutoff and basis."""
    frames = qm9(settings.n_molecules)
    return {
        "n_environments": sum(int(np.sum(atoms.numbers == CARBON)) for atoms in frames),
        "n_compared": settings.n_compared,
        "cutoffs": {str(cutoff): residuals(settings, cutoff, frames) for cutoff in settings.cutoffs},
    }


def law(residual: float, nu: float | FloatArray) -> Any:
    """Return the residual variance of order nu if all environments kept the same fraction (Eq. 15)."""
    return 1 - (1 - residual) ** nu


def needed(part: dict[str, Any], kind: str, nu: int) -> str:
    """Return how many channels leave less than the threshold."""
    below = np.flatnonzero(np.array(part[kind])[:, nu - 1] < THRESHOLD)
    return str(part["q"][below[0]]) if below.size else f"> {part['q'][-1]}"


def table(result: dict[str, Any]) -> str:
    """Return residual variances at some q, what Eq. 15 would make of that of order 1, and channels needed."""
    rows, counts = [], []
    for cutoff, bases in result["cutoffs"].items():
        for kind, basis in itertools.product(KINDS, bases):
            part = bases[basis]
            for q in result["n_compared"]:
                lost = part[kind][part["q"].index(q)]
                rows.append([cutoff, KINDS[kind], basis, q, *lost, *(law(lost[0], nu) for nu in ORDERS[1:])])
            counts.append([cutoff, KINDS[kind], basis, *(needed(part, kind, nu) for nu in ORDERS)])
    head, orders = ["cutoff / Å", "of", "basis"], [f"ν = {nu}" for nu in ORDERS]
    return (
        f"Residual variance, {result['n_environments']:,} environments of C, and what Eq. 15 makes of that of ν = 1\n\n"
        f"{columns([*head, 'q', *orders, *(f'Eq. 15, {order}' for order in orders[1:])], rows)}\n\n"
        f"Channels, of those computed, that leave less than {THRESHOLD:g}\n\n{columns([*head, *orders], counts)}"
    )


def draw(result: dict[str, Any], figure: Figure) -> None:
    """Draw residual variances against q above and against the order below, a column for each kind of component."""
    figure.set_size_inches(7.4, 5.8)
    axes = figure.subplots(2, len(KINDS), sharex="row", sharey="row")
    cutoff, bases = next(iter(result["cutoffs"].items()))
    for column, (kind, name) in zip(axes.T, KINDS.items(), strict=True):
        draw_convergence(column[0], bases, kind)
        draw_orders(column[1], bases, kind, result["n_compared"])
        column[0].set_title(name)
    figure.suptitle(f"QM9, environments of C, cutoff {cutoff} Å")
    for ax, label in zip(axes[:, 0], ("residual variance", "residual variance at fixed q"), strict=True):
        ax.set_ylabel(label)
    for row in axes:
        row[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=3.0)


def draw_convergence(ax: Axes, bases: dict[str, Any], kind: str) -> None:
    """Draw residual variances against the number of channels."""
    for nu in ORDERS:
        for basis, style in LINES.items():
            lost = np.array(bases[basis][kind])[:, nu - 1]
            label = f"ν = {nu}" if basis == "optimal" else None
            ax.plot(bases[basis]["q"], np.where(lost > 0, lost, np.nan), style, color=NU_COLORS[nu], label=label)
    ax.plot([], [], LINES["optimal"], color="0.4", label="optimal for C centers")
    ax.plot([], [], LINES["GTO"], color="0.4", label="GTO")
    ax.set_yscale("log")
    ax.set_ylim(1e-6, 1.5)
    ax.set_xlabel("radial-chemical channels q")


def draw_orders(ax: Axes, bases: dict[str, Any], kind: str, n_compared: Sequence[int]) -> None:
    """Draw residual variances against the order of correlation."""
    fine = np.linspace(ORDERS[0], ORDERS[-1], 50)
    for basis, style in LINES.items():
        for q, marker in zip(n_compared, "osD^v", strict=False):
            lost = bases[basis][kind][bases[basis]["q"].index(q)]
            ax.plot(fine, law(lost[0], fine), ":", color="0.5", lw=1.2)
            ax.plot(ORDERS, lost, style, marker=marker, color=COLORS[basis], label=f"{basis}, q = {q}")
    ax.plot([], [], ":", color="0.5", label="Eq. 15 from ν = 1")
    ax.set_yscale("log")
    ax.set_xticks(ORDERS)
    ax.set_xlabel("correlated neighbors ν")


if __name__ == "__main__":
    main(__file__, __doc__, QUICK, FULL, compute, table, draw)
