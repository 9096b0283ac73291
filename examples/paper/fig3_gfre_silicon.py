"""Figure 3: how much of the full power spectrum of silicon a small one holds, before and after a selection of features.

Goscinski et al. (2021), Fig. 3: the global feature space reconstruction error (GFRE) of the power spectrum on 20 GTOs
from that on n GTOs and from that on as many optimal functions; of all features, and of those that CUR or farthest
point sampling (FPS) keep. The GFRE centers and standardizes (orbas.metrics.gfre); half of the structures are for fits:
of the basis, the selection and the regression.

    python examples/paper/fig3_gfre_silicon.py --data FOLDER    # si_gap18_subset.xyz.gz and si64_qe_pbe.xyz.gz
    python examples/paper/fig3_gfre_silicon.py --gap18 FILE     # the complete set of the paper
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orbas
from common import COLORS, SEED, Data, columns, evenly, main
from orbas.selection import CUR, FPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SELECTORS: dict[str, Callable[[int], CUR | FPS]] = {"CUR": CUR, "FPS": FPS}
BASES = ("GTO", "optimal")


@dataclass(frozen=True)
class Settings:
    """Cutoff, degrees and size of the full basis are those of the paper."""

    n_structures: int = 300
    #: Environments in each half.
    n_half: int = 2000
    n_full: int = 20
    max_angular: int = 6
    #: Å; width and smoothness of density and cutoff are those of the potential GAP-18.
    cutoff: float = 6.0
    cutoff_width: float = 1.0
    density_width: float = 0.5
    #: Radial functions.
    sizes: tuple[int, ...] = (2, 3, 4, 5, 6, 8, 10, 12, 14)
    #: Selected features.
    selected: tuple[int, ...] = (50, 200, 500)


QUICK = Settings(n_structures=40, n_half=400, sizes=(2, 4, 6), selected=(50, 100))
FULL = Settings()


def compute(settings: Settings, data: Data) -> dict[str, Any]:
    """Return the errors of all features and of the selected ones, by basis and number of functions."""
    frames = evenly(data.silicon("si_gap18_subset", "si64_qe_pbe"), settings.n_structures)
    environments = Environments(frames, settings.n_half)
    optimal = orbas.OptimalBasis(expansion(settings, settings.n_full), 1).fit(environments.training_frames)
    full = environments.features(expansion(settings, settings.n_full))
    errors: dict[str, Any] = {name: [] for name in BASES}
    for size in settings.sizes:
        densities = {
            "GTO": expansion(settings, size),
            # Nothing is added to what was seen: the same functions are cut anew.
            "optimal": optimal.set_params(n_optimal=size).partial_fit([]).expansion_,
        }
        for name, density in densities.items():
            features = environments.features(density)
            found = reconstruction(settings, environments, features, full)
            errors[name].append(found)
            print(f"{name} {size}: {found['all']:.4f}", flush=True)
    return {
        "structures": len(frames),
        "environments": 2 * settings.n_half,
        "full_features": full.shape[1],
        "sizes": settings.sizes,
        "features": [features_of(settings, size) for size in settings.sizes],
        "selected": settings.selected,
        "errors": errors,
        "residual_variance": optimal.residual_variance_[np.array(settings.sizes) - 1],
        "not_below": not_below(errors, settings),
    }


def expansion(settings: Settings, n_radial: int) -> orbas.DensityExpansion:
    """Return the expansion on GTOs."""
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(settings.cutoff, settings.cutoff_width),
        density_width=settings.density_width,
        max_angular=settings.max_angular,
        basis=orbas.bases.GTO(n_radial),
    )


def features_of(settings: Settings, size: int) -> int:
    """Return the number of power spectrum features of so many radial functions."""
    return (settings.max_angular + 1) * size * (size + 1) // 2


class Environments:
    """Random environments: one half of some structures, for fits, and one of the others, for the errors."""

    def __init__(self, frames: list[Atoms], n_half: int) -> None:
        self.frames = frames
        rng = np.random.default_rng(SEED)
        owner = np.repeat(np.arange(len(frames)), [len(atoms) for atoms in frames])
        halves = np.array_split(rng.permutation(len(frames)), 2)
        self.training_frames = [frames[k] for k in np.sort(halves[0])]
        chosen = []
        for half in halves:
            candidates = np.flatnonzero(np.isin(owner, half))
            if len(candidates) < n_half:
                raise ValueError(f"{n_half} environments were asked for, half of the structures has {len(candidates)}")
            chosen.append(np.sort(rng.choice(candidates, n_half, replace=False)))
        self.rows = np.concatenate(chosen)
        self.split = (np.arange(n_half), np.arange(n_half, 2 * n_half))

    def features(self, density: orbas.DensityExpansion) -> NDArray[np.float64]:
        """Return the power spectrum of the chosen environments; of the others it is made and forgotten in pieces."""
        spectrum = orbas.PowerSpectrum(density)
        parts, start = [], 0
        for first in range(0, len(self.frames), 50):
            values = spectrum.transform(self.frames[first : first + 50]).values
            inside = np.flatnonzero((self.rows >= start) & (self.rows < start + len(values)))
            parts.append((inside, values[self.rows[inside] - start]))
            start += len(values)
        features = np.empty((len(self.rows), parts[0][1].shape[1]))
        for inside, values in parts:
            features[inside] = values
        return features


def reconstruction(
    settings: Settings, environments: Environments, features: NDArray[np.float64], full: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the error of all features, and by selector of every number of selected ones; None if there are fewer."""
    found: dict[str, Any] = {"all": orbas.metrics.gfre(features, full, split=environments.split)}
    training = features[environments.split[0]]
    possible = [n for n in settings.selected if n < features.shape[1]]
    for name, selector in SELECTORS.items():
        found[name] = [None] * len(settings.selected)
        if possible:
            # Greedy: the first picks of a large selection are those of a small one.
            picked = selector(max(possible)).fit(training).selected_idx_
            for n in possible:
                error = orbas.metrics.gfre(features[:, picked[:n]], full, split=environments.split)
                found[name][settings.selected.index(n)] = error
    return found


def not_below(errors: dict[str, list[dict[str, Any]]], settings: Settings) -> list[str]:
    """Return where the optimal basis is not better than as many GTOs with as many features."""
    found = []
    for size, gto, optimal in zip(settings.sizes, errors["GTO"], errors["optimal"], strict=True):
        pairs = [("all", gto["all"], optimal["all"])]
        for name in SELECTORS:
            labels = [f"{name} {n}" for n in settings.selected]
            pairs += zip(labels, gto[name], optimal[name], strict=True)
        found += [f"n = {size}, {label}" for label, a, b in pairs if a is not None and not b < a]
    return found


def table(result: dict[str, Any]) -> str:
    """Return the errors of both bases for every size."""
    head = ["n", "features", "all: GTO", "optimal"]
    for selector in SELECTORS:
        for n in result["selected"]:
            head += [f"{selector} {n}: GTO", "optimal"]
    rows = []
    for k, size in enumerate(result["sizes"]):
        by_basis = [result["errors"][name][k] for name in BASES]
        cells: list[Any] = [size, result["features"][k], *(found["all"] for found in by_basis)]
        for selector in SELECTORS:
            for s in range(len(result["selected"])):
                cells += ["" if found[selector][s] is None else found[selector][s] for found in by_basis]
        rows.append(cells)
    worse = "; ".join(result["not_below"]) or "nowhere"
    return "\n\n".join(
        [
            f"{result['structures']} structures, {result['environments']} environments, "
            f"{result['full_features']} features on the full basis",
            columns(head, rows),
            f"The optimal basis is not below the GTOs: {worse}.",
        ]
    )


def draw(result: dict[str, Any], figure: Figure) -> None:
    """Draw all features, then CUR and FPS."""
    figure.set_size_inches(9.6, 3.7)
    panels = figure.subplots(1, 3, sharey=True)
    draw_all(panels[0], result)
    for panel, selector in zip(panels[1:], SELECTORS, strict=True):
        draw_selected(panel, result, selector)
    panels[0].set_ylabel("GFRE of the full power spectrum")
    for panel in panels:
        panel.set_xlabel("radial functions")
        panel.set_xticks(range(2, max(result["sizes"]) + 1, 2))
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="small")


def draw_all(panel: Axes, result: dict[str, Any]) -> None:
    """Draw the errors of all features."""
    for name in BASES:
        errors = [found["all"] for found in result["errors"][name]]
        panel.semilogy(result["sizes"], errors, color=COLORS[name], marker="o")
    panel.set_title("all features")


def draw_selected(panel: Axes, result: dict[str, Any], selector: str) -> None:
    """Draw the errors of selected features over those of all."""
    for name in BASES:
        errors = [found["all"] for found in result["errors"][name]]
        panel.semilogy(result["sizes"], errors, color=COLORS[name], lw=1.0, alpha=0.4, label=f"{name}, all")
    for n, marker in zip(result["selected"], "sv^D", strict=False):
        for name in BASES:
            found = [errors[selector][result["selected"].index(n)] for errors in result["errors"][name]]
            points = [(size, error) for size, error in zip(result["sizes"], found, strict=True) if error is not None]
            panel.semilogy(*zip(*points, strict=True), color=COLORS[name], marker=marker, lw=1.2, label=f"{name}, {n}")
    panel.set_title(f"selected by {selector}")


if __name__ == "__main__":
    main(__file__, __doc__ or "", QUICK, FULL, compute, table, draw)
