"""Figure 1: the optimal radial functions of silicon, from Gaussian type orbitals and from a DVR.

Goscinski et al. (2021), Eq. 17: the functions belong to the data, not to the primitive basis. Compares them one by one
(overlaps, differences; also with a DVR of twice the size), shows that they decay at the cutoff where the primitive GTOs
do not, and the eigenvalues.

    python examples/paper/fig1_functions.py --data FOLDER    # si_gap18_subset.xyz.gz and si64_qe_pbe.xyz.gz
    python examples/paper/fig1_functions.py --gap18 FILE     # the complete set of the paper
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orbas
from common import COLORS, Data, columns, evenly, main

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from orbas.bases import PrimitiveBasis


#: Smaller eigenvalues are not drawn, relative to their sum.
FLOOR = 1e-12


@dataclass(frozen=True)
class Settings:
    """Cutoff and number of primitive functions are those of the paper."""

    n_structures: int = 600
    n_radial: int = 20
    #: Size of another DVR, whose functions should be nearer to those of the GTOs.
    n_fine: int = 40
    max_angular: int = 6
    #: Å; width and smoothness of density and cutoff are those of the potential GAP-18.
    cutoff: float = 6.0
    cutoff_width: float = 1.0
    density_width: float = 0.5
    #: Degrees whose functions are drawn.
    degrees: tuple[int, ...] = (0, 4)
    #: Functions that are drawn, and compared.
    n_drawn: int = 4
    n_compared: int = 10
    #: Å; the GTOs end nowhere: what lies outside of the cutoff is integrated up to here.
    end: float = 30.0
    #: Å; distance of the points in the file, which reach to `drawn_to`.
    spacing: float = 0.05
    drawn_to: float = 8.0


QUICK = Settings(n_structures=60)
FULL = Settings()


def compute(settings: Settings, data: Data) -> dict[str, Any]:
    """Fit all bases; return functions, overlaps, spillover and eigenvalues by degree."""
    frames = evenly(data.silicon("si_gap18_subset", "si64_qe_pbe"), settings.n_structures)
    primitives: dict[str, PrimitiveBasis] = {
        "GTO": orbas.bases.GTO(settings.n_radial),
        "DVR": orbas.bases.DVR(settings.n_radial),
        "fine DVR": orbas.bases.DVR(settings.n_fine),
    }
    bases = {name: fitted(settings, primitive, frames) for name, primitive in primitives.items()}
    fine, weights = quadrature(settings)
    points = np.arange(1, round(settings.drawn_to / settings.spacing) + 1) * settings.spacing
    curves = {name: basis.radial_functions(fine) for name, basis in bases.items()}
    drawn = {name: basis.radial_functions(points) for name, basis in bases.items()}
    degrees = {}
    for l in range(settings.max_angular + 1):
        found = compared({name: own[l][0] for name, own in curves.items()}, fine, weights, settings)
        signs = found.pop("signs")
        found["functions"] = {
            name: (points[:, None] * drawn[name][l][0] * signs[name])[:, : settings.n_drawn].T
            for name in ("GTO", "DVR")
            if l in settings.degrees
        }
        found["eigenvalues"] = {
            name: basis.eigenvalues_[l][: settings.n_radial] / basis.eigenvalues_[l].sum()
            for name, basis in bases.items()
        }
        degrees[str(l)] = found
    return {
        "cutoff": settings.cutoff,
        "sizes": {name: primitive.counts(0)[0] for name, primitive in primitives.items()},
        "structures": len(frames),
        "environments": bases["GTO"].n_environments_,
        "r": points,
        "degrees": degrees,
        "primitive": primitive_spillover(settings, fine, weights, points),
    }


def compared(
    functions: dict[str, NDArray[np.float64]],
    r: NDArray[np.float64],
    weights: NDArray[np.float64],
    settings: Settings,
) -> dict[str, Any]:
    """Return what the functions [n_r, q] of one degree from several primitive bases have in common."""
    first = functions["GTO"][:, : settings.n_radial]
    largest = np.argmax(r[:, None] * np.abs(first), axis=0)
    signs = {"GTO": np.sign(first[largest, np.arange(first.shape[1])])}
    overlaps, differences = {}, {}
    for name in ("DVR", "fine DVR"):
        second = functions[name][:, : settings.n_radial]
        overlap = np.einsum("x,xq,xq->q", weights, first, second)
        relative = np.where(overlap < 0, -1.0, 1.0)
        signs[name] = signs["GTO"] * relative
        difference = np.abs(r[:, None] * (first - relative * second)).max(axis=0)
        overlaps[name] = np.abs(overlap)[: settings.n_compared]
        differences[name] = (difference / np.abs(r[:, None] * first).max(axis=0))[: settings.n_compared]
    return {
        "signs": signs,
        "overlap": overlaps,
        "difference": differences,
        "outside": outside(r, weights, settings.cutoff, first),
        "at_cutoff": relative_value(r, settings.cutoff, first),
        "past_cutoff": relative_value(r, settings.cutoff + 2 * settings.density_width, first),
    }


def fitted(settings: Settings, primitive: PrimitiveBasis, frames: list[Atoms]) -> orbas.OptimalBasis:
    """Return all optimal functions on one primitive basis."""
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(settings.cutoff, settings.cutoff_width),
        density_width=settings.density_width,
        max_angular=settings.max_angular,
        basis=primitive,
    )
    return orbas.OptimalBasis(density, primitive.counts(0)[0]).fit(frames)


def quadrature(settings: Settings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return radii [n_r] and weights of the measure r² dr: Gauss-Legendre on pieces that break where a DVR ends."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    dvr_end = settings.cutoff + 3 * settings.density_width
    inner = np.linspace(0, settings.cutoff, 13)
    edges = np.concatenate([inner, [dvr_end], np.linspace(dvr_end, settings.end, 13)[1:]])
    half = np.diff(edges)[:, None] / 2
    r = (edges[:-1, None] + half * (1 + nodes)).ravel()
    return r, (half * weights).ravel() * r**2


def outside(
    r: NDArray[np.float64], weights: NDArray[np.float64], cutoff: float, functions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the fraction of the norm beyond the cutoff, [q]."""
    beyond = r > cutoff
    return np.asarray((weights[beyond, None] * functions[beyond] ** 2).sum(axis=0))


def relative_value(r: NDArray[np.float64], at: float, functions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the size of r R(r) at a radius relative to its largest value, [q]."""
    size = np.abs(r[:, None] * functions)
    return np.asarray(size[np.argmin(np.abs(r - at))] / size.max(axis=0))


def primitive_spillover(
    settings: Settings, fine: NDArray[np.float64], weights: NDArray[np.float64], points: NDArray[np.float64]
) -> dict[str, Any]:
    """Return how much of every primitive GTO lies beyond the cutoff, and the one that spills most."""
    setup = {
        "max_angular": 0,
        "cutoff_radius": settings.cutoff,
        "density_width": settings.density_width,
    }
    basis = orbas.bases.GTO(settings.n_radial)
    functions = basis.functions(fine, **setup)[0]
    spilled = outside(fine, weights, settings.cutoff, functions)
    widest = int(np.argmax(spilled))
    own = basis.functions(points, **setup)[0][:, widest]
    return {
        "outside": spilled,
        "at_cutoff": relative_value(fine, settings.cutoff, functions),
        "past_cutoff": relative_value(fine, settings.cutoff + 2 * settings.density_width, functions),
        "widest": points * own * np.sign(own[np.argmax(np.abs(own))]),
        "norm": np.einsum("x,xq,xq->q", weights, functions, functions),
    }


def table(result: dict[str, Any]) -> str:
    """Return overlaps and differences of the bases, and what lies beyond the cutoff."""
    shown = [l for l, part in result["degrees"].items() if part["functions"]]
    dvr, fine = result["sizes"]["DVR"], result["sizes"]["fine DVR"]
    head = ["q"]
    for l in shown:
        head += [f"l = {l}: overlap, DVR {dvr}", f"DVR {fine}", f"largest difference, DVR {dvr}"]
        head += ["at the cutoff", "norm beyond it"]
    rows = []
    for q in range(len(result["degrees"]["0"]["overlap"]["DVR"])):
        cells: list[Any] = [q + 1]
        for part in (result["degrees"][l] for l in shown):
            cells += [f"{part['overlap'][name][q]:.6f}" for name in ("DVR", "fine DVR")]
            measures = (part["difference"]["DVR"], part["at_cutoff"], part["outside"])
            cells += [f"{100 * own[q]:.2f} %" for own in measures]
        rows.append(cells)
    lines = [f"{result['structures']} structures, {result['environments']} environments", columns(head, rows)]
    for name, size in (("DVR", dvr), ("fine DVR", fine)):
        lowest = min(min(part["overlap"][name][:5]) for part in result["degrees"].values())
        lines.append(f"Lowest overlap of q <= 5 over all l: {lowest:.6f} (DVR {size}).")
    past = max(max(part["past_cutoff"][:4]) for part in result["degrees"].values())
    lines.append(
        f"Two density widths past the cutoff q <= 4 of any l are at most {100 * past:.1f} % of their largest value."
    )
    high, far, lost = (100 * np.array(result["primitive"][key]) for key in ("at_cutoff", "past_cutoff", "outside"))
    lines.append(
        f"Primitive GTOs, mean (most): {high.mean():.0f} % ({high.max():.0f} %) of the largest value at the cutoff, "
        f"{far.mean():.0f} % ({far.max():.0f} %) two widths past it, {lost.mean():.0f} % ({lost.max():.0f} %) of the "
        "norm beyond it."
    )
    return "\n\n".join(lines)


def draw(result: dict[str, Any], figure: Figure) -> None:
    """Draw the functions of two degrees, then the eigenvalues."""
    shown = [l for l, part in result["degrees"].items() if part["functions"]]
    figure.set_size_inches(3.1 * (len(shown) + 1), 3.2)
    *panels, last = figure.subplots(1, len(shown) + 1)
    for panel, l in zip(panels, shown, strict=True):
        draw_functions(panel, result, l)
    panels[0].set_ylabel(r"$r\,R_q(r)$ / Å$^{-1/2}$")
    draw_eigenvalues(last, result, shown)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="small")


def draw_functions(panel: Axes, result: dict[str, Any], l: str) -> None:
    """Draw the first functions of one degree from both bases, and the primitive GTO that spills most."""
    r, by_basis = np.array(result["r"]), result["degrees"][l]["functions"]
    cutoff = result["cutoff"]
    panel.axvspan(cutoff, r[-1], color="0.95", lw=0, zorder=0)
    panel.text(
        cutoff + 0.1, 0.02, "beyond\nthe cutoff", transform=panel.get_xaxis_transform(), fontsize="small", color="0.4"
    )
    panel.axhline(0, color="0.7", lw=0.8, zorder=1)
    panel.plot(r, result["primitive"]["widest"], color="0.55", lw=1.2, ls=":", label="a primitive GTO")
    for q, (gto, dvr) in enumerate(zip(by_basis["GTO"], by_basis["DVR"], strict=True)):
        panel.plot(r, gto, color=f"C{q}", lw=2.2, alpha=0.55, label=f"GTO, q = {q + 1}")
        panel.plot(
            r, dvr, color="black", lw=0.9, ls=(0, (4, 3)), label="from DVR" if q + 1 == len(by_basis["DVR"]) else None
        )
    panel.set(title=f"l = {l}", xlabel="r / Å", xlim=(0, r[-1]))


def draw_eigenvalues(panel: Axes, result: dict[str, Any], shown: list[str]) -> None:
    """Draw the normalized eigenvalues of both bases."""
    for l, marker in zip(shown, "os^v", strict=False):
        for name, look in (("GTO", {"marker": marker, "lw": 1.0}), ("DVR", {"marker": "x", "ls": "none"})):
            kept = [value for value in result["degrees"][l]["eigenvalues"][name] if value > FLOOR]
            label = "DVR" if name == "DVR" else f"l = {l}, GTO"
            if name == "DVR" and l != shown[-1]:
                label = "_"
            panel.semilogy(np.arange(1, len(kept) + 1), kept, color=COLORS[name], mfc="white", label=label, **look)
    panel.set(title="Eigenvalues", xlabel="q", ylabel="fraction of the variance of this l", ylim=(FLOOR, 2))
    panel.set_xticks(range(2, len(result["primitive"]["outside"]) + 1, 4))
    panel.legend(fontsize="small")


if __name__ == "__main__":
    main(__file__, __doc__ or "", QUICK, FULL, compute, table, draw)
