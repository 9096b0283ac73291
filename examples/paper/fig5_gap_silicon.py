"""Fig. 5: Gaussian approximation potentials of silicon on truncated radial bases and selected features.

Run it: `python examples/paper/fig5_gap_silicon.py --data FOLDER`, or with `--quick`. FOLDER holds `si_vasp_pbe.xyz.gz`
and `si_zuo_train.xyz.gz`, which stand in for the GAP-18 set (`--gap18 FILE`).

Features are power spectra (SOAP) on n_max radial functions, GTO or the optimal ones of GTO(20), all of them or the
n_SOAP that CUR selects. Models are sparse Gaussian processes with the polynomial kernel of zeta = 4, fitted to energies
and forces. Every structure is predicted by the model that was fitted without its fold; basis, features and
representative environments are chosen without it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orbas
from common import COLORS, Data, columns, main
from orbas.bases import GTO
from orbas.models import Noise, SparseGPR
from orbas.selection import CUR
from silicon import ENERGY, FORCES, Errors, by_set, folds, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from matplotlib.figure import Figure

SILICON = 14
BASES = ("GTO", "optimal")
#: Lines and markers by the place of a selection: all features first.
STYLES = (("-", "o"), ("--", "s"), ("-.", "^"), (":", "D"))


@dataclass(frozen=True)
class Settings:
    """What the figure is computed with.

    ``sets`` names data and how many structures of it are taken; ``energy_window`` is in eV/atom above the lowest;
    ``n_soap`` are numbers of selected features, beside all of them.
    """

    sets: tuple[tuple[str, int], ...] = (("si_vasp_pbe", 240), ("si_zuo_train", 24))
    energy_window: float = 1.5
    n_folds: int = 5
    cutoff: float = 6.0
    cutoff_width: float = 1.0
    density_width: float = 0.5
    max_angular: int = 6
    n_primitive: int = 20
    n_max: tuple[int, ...] = (2, 4, 6, 8, 10)
    n_soap: tuple[int, ...] = (200, 100, 50)
    zeta: int = 4
    n_sparse: int = 300
    noise_energy: float = 0.002
    noise_forces: float = 0.05


QUICK = Settings(sets=(("si_vasp_pbe", 100),), max_angular=4, n_max=(2, 4, 6), n_soap=(50,), n_sparse=60)
FULL = Settings()


def density(settings: Settings, n: int) -> orbas.DensityExpansion:
    """Return the expansion on n GTO."""
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(settings.cutoff, settings.cutoff_width, "smooth"),
        density_width=settings.density_width,
        max_angular=settings.max_angular,
        basis=GTO(n),
        species=(SILICON,),
    )


def spectra(settings: Settings, name: str, n: int, train: Sequence[Atoms]) -> dict[str, orbas.PowerSpectrum]:
    """Return the power spectrum on n functions of a basis: all features, and as many as CUR selects of fewer."""
    expansion = density(settings, n)
    if name == "optimal":
        expansion = orbas.OptimalBasis(density(settings, settings.n_primitive), n).fit(train).expansion_
    whole = orbas.PowerSpectrum(expansion)
    values = whole.transform(train).values
    fewer = [count for count in settings.n_soap if count < values.shape[1]]
    result = {"all": whole}
    if fewer:
        # Picks of fewer features are the first of more.
        picked = CUR(max(fewer)).fit(values).selected_idx_
        result |= {str(count): orbas.SelectedPowerSpectrum(expansion, picked[:count]) for count in fewer}
    return result


def cross_validate(settings: Settings, frames: Sequence[Atoms]) -> dict[str, Any]:
    """Return the errors by basis, number of selected features and number of radial functions."""
    noise = Noise(settings.noise_energy, settings.noise_forces)
    errors: dict[tuple[str, str, int], Errors] = {}
    for k, part in enumerate(folds(frames, settings.n_folds)):
        train, test = split(frames, part)
        for name in BASES:
            for n in settings.n_max:
                for selected, features in spectra(settings, name, n, train).items():
                    model = SparseGPR(features, settings.n_sparse, settings.zeta, noise=noise)
                    model.fit(train, ENERGY, forces_key=FORCES)
                    errors.setdefault((name, selected, n), Errors()).add(model, test)
            print(f"fold {k + 1}, {name}", flush=True)
    rmse: dict[str, dict[str, dict[int, tuple[float, float]]]] = {name: {} for name in BASES}
    for (name, selected, n), found in errors.items():
        rmse[name].setdefault(selected, {})[n] = found.rmse()
    return {"n_structures": len(frames), "n_atoms": sum(map(len, frames)), "rmse": rmse}


def compute(settings: Settings, data: Data) -> dict[str, Any]:
    """Cross-validate on every set."""
    results = by_set(settings.sets, data, settings.energy_window, lambda frames: cross_validate(settings, frames))
    n_features = {n: n * (n + 1) // 2 * (settings.max_angular + 1) for n in settings.n_max}
    selections = ["all", *map(str, settings.n_soap)]
    return {"n_features": n_features, "selections": selections, "sets": results}


def table(result: dict[str, Any]) -> str:
    """Return the errors of all models, a table for every set."""
    text = []
    head = ["n_max", "n_SOAP", *(f"{name}, {unit}" for unit in ("meV/atom", "eV/Å") for name in BASES)]
    for name, found in result["sets"].items():
        rows = []
        for n in sorted(result["n_features"], key=int):
            for selected in result["selections"]:
                values = [found["rmse"][basis].get(selected, {}).get(n) for basis in BASES]
                if None not in values:
                    label = f"{result['n_features'][n]} (all)" if selected == "all" else selected
                    rows.append([n, label, *(value[column] for column in (0, 1) for value in values)])
        text += [f"{name}, {found['n_structures']} structures, RMSE of held-out ones:\n", columns(head, rows), ""]
    return "\n".join(text)


def draw(result: dict[str, Any], figure: Figure) -> None:
    """Draw energies above forces, a column for every set."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    sets = result["sets"]
    figure.set_size_inches(1.0 + 3.2 * len(sets), 5.8)
    axes = figure.subplots(2, len(sets), sharex=True, squeeze=False)
    styles = dict(zip(result["selections"], STYLES, strict=False))
    for column, (name, found) in enumerate(sets.items()):
        for basis in BASES:
            for selected, by_n in found["rmse"][basis].items():
                line, marker = styles[selected]
                for row in (0, 1):
                    points = sorted((int(n), pair[row]) for n, pair in by_n.items())
                    axes[row, column].plot(
                        *zip(*points, strict=True), color=COLORS[basis], linestyle=line, marker=marker
                    )
        axes[0, column].set_title(f"{name}, {found['n_structures']} structures", fontsize=9)
        axes[1, column].set_xlabel("number of radial functions, $n_\\mathrm{max}$")
    for axis in axes.ravel():
        axis.set_yscale("log")
        axis.set_xticks([int(n) for n in result["n_features"]])
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axis.yaxis.set_major_formatter(ScalarFormatter())
        axis.yaxis.set_minor_formatter(NullFormatter())
    axes[0, 0].set_ylabel("energy RMSE, meV/atom")
    axes[1, 0].set_ylabel("force RMSE, eV/Å")
    handles = [Line2D([], [], color=COLORS[basis], label=basis) for basis in BASES]
    for selected, (line, marker) in styles.items():
        label = "all features" if selected == "all" else f"{selected} features by CUR"
        handles.append(Line2D([], [], color="0.4", linestyle=line, marker=marker, label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)


if __name__ == "__main__":
    main(__file__, __doc__, QUICK, FULL, compute, table, draw)
