"""Beyond the paper: the bases of Eq. 16, optimal for single terms of the iteration, against the one that all share.

A term <Q|nu; s; k p> multiplied with the density is described best by the principal components of a covariance where
every environment counts with the squared norm of the term. The paper derives this basis, calls one for each term
cumbersome, and shows that the shared one is good. How good follows from what both lose of that weighted variance: here
for terms of one, two and three neighbors around C in QM9, from the largest principal component of their symmetry to
small ones, and for all terms of an order at once, whose squared norms add up to |c|^(2 nu) (Eq. 15). Bases are fitted
to one half of the molecules and judged on the other.

Run it: `python beyond_adapted_basis.py` (some minutes on one core and 1 GB; `--quick` under one; no downloads).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orbas
from common import NU_COLORS, QM9_SPECIES, Data, columns, main, qm9

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

CARBON = 6
ORDERS = (1, 2, 3)


@dataclass(frozen=True)
class Settings:
    """All numbers of the figure."""

    n_molecules: int = 1000
    cutoff: float = 3.5
    cutoff_width: float = 0.5
    density_width: float = 0.3
    max_angular: int = 5
    n_primitive: int = 20
    n_optimal: int = 30
    #: Channels at which all terms are compared; the last of them in the picture.
    n_compared: tuple[int, ...] = (5, 10, 20)
    #: Of the iteration whose terms are looked at: channels of its density, pairs, components of each symmetry.
    n_density: int = 6
    n_pairs: tuple[int, ...] = (500, 500)
    n_components: tuple[int, ...] = (30, 30)
    #: Which components of every symmetry are terms to adapt to.
    components: tuple[int, ...] = (0, 1, 4)


QUICK = Settings(
    n_molecules=100, n_primitive=12, n_optimal=20, n_components=(10, 10), components=(0, 4), n_compared=(5, 15)
)
FULL = Settings()


def density(settings: Settings) -> orbas.DensityExpansion:
    """Return the expansion on the primitive basis."""
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(settings.cutoff, width=settings.cutoff_width),
        density_width=settings.density_width,
        max_angular=settings.max_angular,
        basis=orbas.bases.GTO(settings.n_primitive),
        species=QM9_SPECIES,
    )


def iteration(settings: Settings, frames: Sequence[Atoms]) -> orbas.NICE:
    """Fit the iteration whose equivariants are the terms."""
    optimal = orbas.OptimalBasis(density(settings), settings.n_density, per_center=True).fit(frames)
    nice = orbas.NICE(
        optimal.expansion_,
        nu_max=ORDERS[-1],
        n_pairs=settings.n_pairs,
        n_components=settings.n_components,
        n_invariants=1,
        n_invariant_pairs=1,
        max_lambda=settings.max_angular,
        per_center=True,
    )
    return nice.fit(frames)


def weights(settings: Settings, nice: orbas.NICE, frames: Sequence[Atoms]) -> dict[tuple[int, ...], FloatArray]:
    """Return the weights of Eq. 16 of every atom, zero but for C, by term.

    A term is (nu, o3_lambda, o3_sigma, component), or (nu,) for all of an order together. What
    :func:`orbas.invariants.nice.term_weights` returns for a single one.
    """
    carbon = np.concatenate([atoms.numbers for atoms in frames]) == CARBON
    squares: dict[tuple[int, ...], FloatArray] = {}
    for key, block in nice.equivariants(frames).items():
        if key.center_species == CARBON:
            for component in set(settings.components) & set(range(block.values.shape[2])):
                term = (key.nu, key.o3_lambda, key.o3_sigma, component)
                squares[term] = np.sum(block.values[:, :, component] ** 2, axis=1)
    blocks = density(settings).transform(frames)
    norms = sum(np.sum(b.values**2, axis=(1, 2)) for key, b in blocks.items() if key.center_species == CARBON)
    squares.update({(nu,): norms**nu for nu in ORDERS})
    result = {}
    for which in sorted(squares):
        result[which] = np.zeros(len(carbon))
        result[which][carbon] = squares[which]
    return result


def lost(basis: orbas.OptimalBasis, judge: orbas.OptimalBasis) -> FloatArray:
    """Return the fraction of the variance around C that the judge has seen and q = 1, 2, ... functions do not keep."""
    degrees = range(judge.density.max_angular + 1)
    covariances = [judge.covariance(l, CARBON)[0] for l in degrees]
    kept = [np.sum(U * (C @ U), axis=0) for U, C in zip(basis.contraction_[CARBON], covariances, strict=True)]
    return 1 - np.cumsum(np.sum(kept, axis=0)) / sum(float(np.trace(C)) for C in covariances)


def compute(settings: Settings, _data: Data) -> dict[str, Any]:
    """Return residual variances of the shared and of the adapted basis, for every term, by number of functions.

    Beside them stands the effective number of environments fitted to, ``(sum w)^2 / sum w^2``.
    """
    frames = qm9(settings.n_molecules)
    fitted, judged = frames[::2], frames[1::2]

    def fit(part: Sequence[Atoms], weight: FloatArray | None = None) -> orbas.OptimalBasis:
        basis = orbas.OptimalBasis(density(settings), settings.n_optimal, per_center=True)
        return basis.fit(part, sample_weight=weight)

    shared = fit(fitted)
    nice = iteration(settings, fitted)
    own, others = (weights(settings, nice, part) for part in (fitted, judged))
    print(f"{len(own)} terms", flush=True)
    terms = []
    for term, weight in own.items():
        judge = fit(judged, others[term])
        curves = {"shared": lost(shared, judge), "adapted": lost(fit(fitted, weight), judge)}
        effective = float(weight.sum() ** 2 / np.sum(weight**2))
        terms.append({"term": term, "environments": effective, **{k: curve.tolist() for k, curve in curves.items()}})
        if len(terms) % 10 == 0:
            print(f"{len(terms)} terms are done", flush=True)
    n_environments = sum(int(np.sum(atoms.numbers == CARBON)) for atoms in fitted)
    return {"n_environments": n_environments, "n_compared": settings.n_compared, "terms": terms}


def ratio(entry: dict[str, Any], q: int) -> float:
    """Return how many times more variance the shared basis loses."""
    return float(entry["shared"][q - 1] / entry["adapted"][q - 1])


def saved(entry: dict[str, Any], q: int) -> int:
    """Return how many functions less the adapted basis needs to lose no more than q shared ones."""
    return q - 1 - int(np.sum(np.array(entry["adapted"]) > entry["shared"][q - 1]))


def name(term: Sequence[int]) -> str:
    """Return how tables and legends call a term."""
    if len(term) == 1:
        return f"all of ν = {term[0]}"
    nu, o3_lambda, o3_sigma, component = term
    return f"ν = {nu}, λ = {o3_lambda}, σ = {o3_sigma:+d}, component {component + 1}"


def of_order(result: dict[str, Any], nu: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what was found for all terms of an order together, and for single ones."""
    entries = [entry for entry in result["terms"] if entry["term"][0] == nu]
    together = next(entry for entry in entries if len(entry["term"]) == 1)
    return together, [entry for entry in entries if len(entry["term"]) > 1]


def most_to_gain(result: dict[str, Any], nu: int, q: int) -> dict[str, Any]:
    """Return the term of an order whose residual falls most with a basis of its own."""
    return max(of_order(result, nu)[1], key=lambda entry: ratio(entry, q))


def table(result: dict[str, Any]) -> str:
    """Return what both bases lose of all terms of an order together, and how the single terms spread."""
    rows: list[list[Any]] = []
    for q, nu in itertools.product(result["n_compared"], ORDERS):
        together, single = of_order(result, nu)
        ratios, fewer = [ratio(entry, q) for entry in single], [saved(entry, q) for entry in single]
        row = [q, nu, together["shared"][q - 1], together["adapted"][q - 1], len(single), float(np.median(ratios))]
        rows.append([*row, max(ratios), name(most_to_gain(result, nu, q)["term"]), int(np.median(fewer)), max(fewer)])
    head = ["q", "ν", "all terms: shared", "adapted", "single terms", "shared / adapted, median", "largest", "of"]
    text = columns([*head, "saved, median", "most"], rows)
    return (
        "Residual of the weighted variance of Eq. 16, on molecules not fitted to; channels that an own basis saves\n\n"
        f"{text}\n\nSingle terms by their behavior under inversion\n\n{parities(result)}"
    )


def parities(result: dict[str, Any]) -> str:
    """Return what true tensors and pseudotensors gain, and how few environments weigh in them."""
    q, total, rows = result["n_compared"][-1], result["n_environments"], []
    for sign in (1, -1):
        found = [entry for entry in result["terms"] if len(entry["term"]) > 1 and entry["term"][2] == sign]
        share = float(np.median([entry["environments"] / total for entry in found]))
        rows.append([f"{sign:+d}", len(found), float(np.median([ratio(entry, q) for entry in found])), share])
    return columns(
        ["σ", "terms", f"shared / adapted, q = {q}, median", "effective share of environments, median"], rows
    )


def draw(result: dict[str, Any], figure: Figure) -> None:
    """Draw the curves of extreme terms, and the ratio for all."""
    figure.set_size_inches(8.6, 3.6)
    left, right = figure.subplots(1, 2)
    draw_curves(left, result)
    draw_ratios(right, result)
    right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def draw_curves(ax: Axes, result: dict[str, Any]) -> None:
    """Draw residual variances of the terms with most to gain."""
    for nu in ORDERS:
        entry = most_to_gain(result, nu, result["n_compared"][-1])
        q = np.arange(1, len(entry["shared"]) + 1)
        ax.semilogy(q, entry["shared"], "-", color=NU_COLORS[nu], label=name(entry["term"]))
        ax.semilogy(q, entry["adapted"], "--", color=NU_COLORS[nu])
    ax.plot([], [], "-", color="0.4", label="shared basis")
    ax.plot([], [], "--", color="0.4", label="basis adapted to the term")
    ax.set_xlabel("radial-chemical channels q")
    ax.set_ylabel("residual of the weighted variance")
    ax.set_title("terms with most to gain")
    ax.legend(fontsize=7)


def draw_ratios(ax: Axes, result: dict[str, Any]) -> None:
    """Draw how much more the shared basis loses, for all terms."""
    q = result["n_compared"][-1]
    for nu in ORDERS:
        together, single = of_order(result, nu)
        for sign, marker in ((1, "o"), (-1, "x")):
            found = [entry for entry in single if entry["term"][2] == sign]
            if found:
                at = [entry["term"][1] + 0.2 * (nu - 2) for entry in found]
                values = [ratio(entry, q) for entry in found]
                ax.plot(at, values, marker, color=NU_COLORS[nu], ms=4, label=f"ν = {nu}, σ = {sign:+d}")
        ax.axhline(ratio(together, q), color=NU_COLORS[nu], ls=":", lw=1.2, label=name(together["term"]))
    ax.set_xlabel("λ of the term")
    ax.set_ylabel("residual, shared / adapted")
    ax.set_title(f"all terms, q = {q}")


if __name__ == "__main__":
    main(__file__, __doc__, QUICK, FULL, compute, table, draw)
