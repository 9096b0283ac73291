"""Figure 2: how many radial channels hold the density around the carbon atoms of QM9.

Goscinski et al. (2021), Fig. 2: residual variance, uncentered, against the number of channels of all species together,
for GTOs of increasing number, functions for each neighbor species, and functions that mix species; shared by all center
species, or made for C alone. The paper does not state cutoff, density width or scaling: a scan looks for the settings
whose three numbers of channels are nearest to its own, and an independent calculation at known settings is repeated.

    python examples/paper/fig2_density_qm9.py    # needs `pip install orbas[qm9]`; --quick does not
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orbas
from common import COLORS, QM9_SPECIES, Data, columns, main, qm9

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ase import Atoms
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from orbas.optimal.fitted_basis import Mixing

CARBON = 6
MIXINGS: tuple[Mixing, ...] = ("separate", "combined")
#: Channels that the paper reads off its figure, of bases shared by all centers.
PAPER = {"primitive": 100, "separate": 50, "combined": 30}
#: Channels of an independent calculation on the same molecules; those of the primitive basis only as "about 100".
REFERENCE = {
    3.5: {"combined, C only": 31, "combined": 34, "separate, C only": 40},
    5.0: {"combined, C only": 46, "combined": 49, "separate, C only": 55},
}
#: Indices of its molecules: every 270th.
SAMPLE = Path(__file__).parents[2] / "tests" / "python" / "data" / "qm9_samples.npz"
N_QM9 = 130_831


@dataclass(frozen=True)
class Density:
    """What the covariance depends on; lengths in Å, scaling as rate, scale, exponent."""

    cutoff: float
    density_width: float
    cutoff_width: float = 0.5
    scaling: tuple[float, float, float] | None = None

    def __str__(self) -> str:
        scaling = "no scaling" if self.scaling is None else "scaling " + "/".join(f"{x:g}" for x in self.scaling)
        return f"cutoff {self.cutoff:g} Å, σ {self.density_width:g} Å, width {self.cutoff_width:g} Å, {scaling}"


@dataclass(frozen=True)
class Settings:
    """Sizes, and the grid of the scan."""

    n_molecules: int = 500
    #: Molecules of the scan.
    n_scanned: int = 200
    #: Repeat the independent calculation on its own molecules; else on those of the figure.
    own_sample: bool = True
    n_radial: int = 20
    max_angular: int = 5
    target: float = 1e-4
    #: Numbers of GTOs per species that are drawn.
    primitive_sizes: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15, 16, 17, 18, 19)
    cutoffs: tuple[float, ...] = (3.5, 5.0, 6.0)
    density_widths: tuple[float, ...] = (0.2, 0.25, 0.3, 0.4)
    cutoff_widths: tuple[float, ...] = (0.5, 1.0)
    scalings: tuple[tuple[float, float, float] | None, ...] = (None, (1, 2, 4), (1, 2, 7))
    references: tuple[float, ...] = (3.5, 5.0)

    def grid(self) -> list[Density]:
        """Return all settings of the scan."""
        axes = (self.cutoffs, self.density_widths, self.cutoff_widths, self.scalings)
        return [Density(*values) for values in itertools.product(*axes)]


QUICK = Settings(
    n_molecules=100,
    n_scanned=60,
    own_sample=False,
    primitive_sizes=(1, 2, 4, 8, 12, 16, 19),
    cutoffs=(3.5, 6.0),
    density_widths=(0.3,),
    cutoff_widths=(0.5,),
    scalings=(None, (1, 2, 4)),
    references=(3.5,),
)
FULL = Settings()


def compute(settings: Settings, data: Data) -> dict[str, Any]:
    """Scan, compute the curves at the chosen settings, and repeat the independent calculation."""
    molecules = qm9(settings.n_molecules)
    scan = scanned(settings, molecules[: settings.n_scanned])
    nearest = min(range(len(scan)), key=lambda k: float(scan[k]["distance"]))
    chosen = settings.grid()[nearest]
    sample = independent_sample() if settings.own_sample else molecules
    references = []
    for cutoff in settings.references:
        print(f"independent calculation, cutoff {cutoff:g} Å", flush=True)
        density = Density(cutoff, 0.3)
        found = curves(settings, density, sample)
        references.append(described(density, found, settings.target) | {"expected": REFERENCE[cutoff]})
    print(f"curves at {chosen}", flush=True)
    return {
        "target": settings.target,
        "molecules": len(molecules),
        "scanned_molecules": settings.n_scanned,
        "scan": scan,
        "chosen": described(chosen, curves(settings, chosen, molecules), settings.target),
        "reference": references,
        "reference_molecules": len(sample),
    }


def independent_sample() -> list[Atoms]:
    """Return the 485 molecules of the independent calculation."""
    with np.load(SAMPLE) as file:
        wanted = set(file["variance_index"].tolist())
    return sorted(
        (atoms for atoms in qm9(N_QM9) if atoms.info["index"] in wanted), key=lambda atoms: atoms.info["index"]
    )


def expansion(settings: Settings, density: Density, n_radial: int) -> orbas.DensityExpansion:
    """Return the expansion on GTOs."""
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(density.cutoff, density.cutoff_width),
        scaling=None if density.scaling is None else orbas.RadialScaling(*density.scaling),
        density_width=density.density_width,
        max_angular=settings.max_angular,
        basis=orbas.bases.GTO(n_radial),
        species=QM9_SPECIES,
    )


# --- residual variance around C ---------------------------------------------------------------------------------------


def contracted(
    settings: Settings, density: Density, molecules: Sequence[Atoms], mixing: Mixing
) -> tuple[float, dict[str, NDArray[np.float64]]]:
    """Return the variance around C, and the residuals [q] of the optimal basis for all centers and for C only."""
    primitive = expansion(settings, density, settings.n_radial)
    size = settings.n_radial * (len(QM9_SPECIES) if mixing == "combined" else 1)
    for_carbon = orbas.OptimalBasis(primitive, size, mixing=mixing, per_center=True).fit(molecules)
    shared = orbas.OptimalBasis(primitive, size, mixing=mixing).fit(molecules)
    total, kept = 0.0, np.zeros(size)
    for l in range(settings.max_angular + 1):
        matrices = [shared.contraction_[l]] if mixing == "combined" else shared.contraction_[l]
        for matrix, covariance in zip(matrices, for_carbon.covariance(l, CARBON), strict=True):
            total += float(np.trace(covariance))
            kept += np.einsum("aq,aq->q", matrix, covariance @ matrix)
    # Rounding of the last functions must not make the residual negative.
    residual = np.maximum(1 - np.cumsum(kept) / total, 0.0)
    return total, {mixing: residual, f"{mixing}, C only": for_carbon.residual_variance_[CARBON]}


def primitive_residual(
    settings: Settings, density: Density, molecules: Sequence[Atoms], total: float
) -> Callable[[int], float]:
    """Return what gives the difference of the traces around C of n and of all GTOs, relative to the latter."""

    def residual(n: int) -> float:
        small = expansion(settings, density, n)
        basis = orbas.OptimalBasis(small, 1, mixing="separate", per_center=True).fit(molecules)
        degrees = range(settings.max_angular + 1)
        return 1 - sum(float(np.trace(part)) for l in degrees for part in basis.covariance(l, CARBON)) / total

    return residual


def curves(settings: Settings, density: Density, molecules: Sequence[Atoms]) -> dict[str, Any]:
    """Return channels and residual variance of every kind of basis."""
    found: dict[str, Any] = {}
    total = 0.0
    for mixing in MIXINGS:
        total, residuals = contracted(settings, density, molecules, mixing)
        for name, residual in residuals.items():
            found[name] = {"channels": np.arange(1, len(residual) + 1) * step(name), "residual": residual}
    primitive = primitive_residual(settings, density, molecules, total)
    sizes = np.array(settings.primitive_sizes)
    found["primitive"] = {"channels": sizes * step("primitive"), "residual": [primitive(int(n)) for n in sizes]}
    return found


def step(name: str) -> int:
    """Return how many channels one more function makes."""
    return 1 if name.startswith("combined") else len(QM9_SPECIES)


def needed(residual: Sequence[float] | NDArray[np.float64], target: float) -> int:
    """Return how many functions leave less than the target."""
    return 1 + next(q for q, lost in enumerate(residual) if lost < target)


def described(density: Density, found: dict[str, Any], target: float) -> dict[str, Any]:
    """Return settings, curves and the channels needed by each; all GTOs leave nothing by definition."""
    counts = {}
    for name, curve in found.items():
        below = [n for n, lost in zip(curve["channels"], curve["residual"], strict=True) if lost < target]
        counts[name] = min(below, default=20 * step(name))
    return {"density": asdict(density), "title": str(density), "curves": found, "counts": counts}


# --- scan -------------------------------------------------------------------------------------------------------------


def scanned(settings: Settings, molecules: Sequence[Atoms]) -> list[dict[str, Any]]:
    """Return the channels needed at all settings of the grid, and their distance from those of the paper."""
    rows = []
    for k, density in enumerate(settings.grid()):
        counts: dict[str, int] = {}
        total = 0.0
        for mixing in MIXINGS:
            total, residuals = contracted(settings, density, molecules, mixing)
            counts |= {name: step(name) * needed(own, settings.target) for name, own in residuals.items()}
        residual = primitive_residual(settings, density, molecules, total)
        enough = smallest(lambda n, residual=residual: residual(n) < settings.target, settings.n_radial)
        counts["primitive"] = step("primitive") * enough
        rows.append(asdict(density) | {"counts": counts, "distance": distance(counts)})
        print(f"{k + 1}/{len(settings.grid())} {density}: {counts}", flush=True)
    return rows


def smallest(enough: Callable[[int], bool], most: int) -> int:
    """Return the smallest number that is enough, by bisection; the largest one is."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def distance(counts: Mapping[str, int]) -> float:
    """Return the root of the summed squares of the logarithms of the ratios to the paper's three numbers."""
    return math.sqrt(sum(math.log(counts[name] / paper) ** 2 for name, paper in PAPER.items()))


# --- output -----------------------------------------------------------------------------------------------------------


def table(result: dict[str, Any]) -> str:
    """Return the numbers of channels, of the figure, of the independent calculation and of the scan."""
    names = ["primitive", "separate", "separate, C only", "combined", "combined, C only"]
    rows = [["paper", *(f"about {PAPER[name]}" if name in PAPER else "" for name in names)]]
    chosen = result["chosen"]
    rows.append([f"{chosen['title']}; {result['molecules']} molecules", *(chosen["counts"][name] for name in names)])
    for own in result["reference"]:
        rows.append(["independent calculation", *(own["expected"].get(name, "") for name in names)])
        title = f"{own['title']}; {result['reference_molecules']} molecules"
        rows.append([title, *(own["counts"][name] for name in names)])
    scan = [
        [
            row["cutoff"],
            row["density_width"],
            row["cutoff_width"],
            "none" if row["scaling"] is None else "/".join(f"{x:g}" for x in row["scaling"]),
            *(row["counts"][name] for name in names),
            f"{row['distance']:.2f}",
        ]
        for row in sorted(result["scan"], key=lambda row: float(row["distance"]))
    ]
    return "\n\n".join(
        [
            f"Channels that leave a residual variance below {result['target']:g} around C:",
            columns(["settings", *names], rows),
            f"Scan ({result['scanned_molecules']} molecules), nearest first:",
            columns(["cutoff / Å", "σ / Å", "width / Å", "scaling", *names, "distance"], scan),
        ]
    )


def draw(result: dict[str, Any], figure: Figure) -> None:
    """Draw the curves nearest to the paper, and those of the independent calculation."""
    figure.set_size_inches(8.0, 4.2)
    left, right = figure.subplots(1, 2, sharey=True)
    draw_curves(left, result["chosen"], result["target"])
    draw_curves(right, result["reference"][0], result["target"])
    left.set_title(f"nearest to the paper\n{result['chosen']['title']}", fontsize="small")
    right.set_title(f"independent calculation\n{result['reference'][0]['title']}", fontsize="small")
    for name, paper in PAPER.items():
        left.plot(paper, result["target"], "*", ms=11, color=color(name), mec="white", zorder=5, clip_on=False)
    left.plot([], [], "*", ms=9, color="0.4", mec="white", label="the paper, or the other calculation")
    for name, count in result["reference"][0]["expected"].items():
        right.plot(count, result["target"], "*", ms=11, color=color(name), mec="white", zorder=5)
    left.set_ylabel("residual variance around C")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")


def draw_curves(panel: Axes, part: dict[str, Any], target: float) -> None:
    """Draw the residual variance of every kind of basis."""
    labels = {
        "primitive": "GTO",
        "separate": "separate, all centers",
        "separate, C only": "separate, C only",
        "combined": "combined, all centers",
        "combined, C only": "combined, C only",
    }
    markers = {"primitive": "o", "separate": "s", "combined": "none"}
    panel.axhline(target, color="0.5", lw=0.8, ls=":")
    for name, label in labels.items():
        curve = part["curves"][name]
        dashed = name.endswith("C only")
        panel.semilogy(
            curve["channels"],
            curve["residual"],
            color=color(name),
            ls="--" if dashed else "-",
            lw=1.2 if dashed else 1.6,
            marker=markers[name.split(",")[0]],
            mfc="white" if dashed else None,
            ms=3.5,
            label=label,
        )
    panel.set(xlabel="radial channels (all species)", xlim=(0, 102), ylim=(1e-6, 1.2))


def color(name: str) -> str:
    """Return the color of a kind of basis."""
    return {"primitive": COLORS["GTO"], "separate": COLORS["separate"], "combined": COLORS["optimal"]}[
        name.split(",")[0]
    ]


if __name__ == "__main__":
    main(__file__, __doc__ or "", QUICK, FULL, compute, table, draw)
