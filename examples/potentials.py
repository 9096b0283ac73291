"""Potentials of silicon, nickel, InP and flexible molecules, beside what others published on the same data.

Run it: `python examples/potentials.py --data FOLDER zuo si`, or `zuo ni`, `elastic`, `inp`, `molecules acac`,
`molecules 3bpa`; with `--quick` for a small model. FOLDER holds the extended XYZ files named below. Settings come from
five-fold cross-validation on the training structures; test structures are looked at once, in the end.

| command | data |
|---|---|
| zuo | of Zuo et al., doi:10.1021/acs.jpca.9b08723: `si_zuo_train`, `si_zuo_test`, and of nickel |
| elastic | diverse silicon, PBE: `si_vasp_pbe` |
| inp | `inp`: one basis mixed over both species, against one for each |
| molecules | `acac_train_300K`, `acac_test_300K`, `3bpa_train_300K`; isolated atoms are the zero of energy |
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import ase.build
import ase.units
import numpy as np
import orbas
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from orbas.models import LinearPotential, Noise, SparseGPR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms
    from orbas.models import Potential, Score

    #: Makes the same model with any number of points and any noise.
    Maker = Callable[..., Potential]

#: MAE on the test structures: meV/atom and eV/Å.
PUBLISHED = {"si": {"GAP": (2.91, 0.07), "MTP": (2.21, 0.06)}, "ni": {"GAP": (0.42, 0.02), "MTP": (0.48, 0.01)}}
#: Expected errors: forces are most of the labels, energies what phases are compared by.
NOISE = Noise(energy=0.001, forces=0.05, virial=0.05)
FORCES = {"forces_key": "REF_forces"}
LABELS = {**FORCES, "stress_key": "REF_stress"}
#: What cross-validation chooses from: eV of a virial, and points of each representation.
VIRIALS = (0.05, 0.07, 0.1, 0.2)
POINTS = (800, 2500)
#: The same for energies and forces of random searches, most of diverse silicon: eV and eV/Å.
SEARCHES = ((0.001, 0.05), (0.02, 0.2), (0.1, 0.5), (0.5, 2.0))


def read(folder: Path, name: str) -> list[Atoms]:
    """Read a set of structures with their labels."""
    return orbas.read(folder / f"{name}.xyz.gz")


def spectrum(
    frames: Sequence[Atoms],
    cutoff: float,
    n_optimal: int,
    mixing: Literal["separate", "combined"],
    density_width: float,
    r0: float | None = None,
) -> orbas.PowerSpectrum:
    """Return the power spectrum on an optimal basis of these structures; neighbors count 1 / (1 + (r / r0)^4)."""
    primitive = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(cutoff, 1.0, "smooth"),
        density_width=density_width,
        max_angular=6,
        basis=orbas.bases.GTO(12),
        scaling=None if r0 is None else orbas.RadialScaling(1.0, r0, 4.0),
    )
    return orbas.PowerSpectrum(orbas.OptimalBasis(primitive, n_optimal=n_optimal, mixing=mixing).fit(frames).expansion_)


def candidates(train: list[Atoms], cutoff: float) -> dict[str, Maker]:
    """Models by name: representations are made once, for any number of points of each."""
    wide = {r0: spectrum(train, cutoff, 6, "combined", 0.5, r0) for r0 in (None, 2.5)}
    near = spectrum(train, cutoff - 1.0, 6, "combined", 0.35, 2.5)

    def sparse(*terms: orbas.PowerSpectrum) -> Maker:
        return lambda size, noise=NOISE: SparseGPR(list(terms), size, 4, noise=noise)

    linear = spectrum(train, cutoff, 8, "combined", 0.5)
    models = {f"sparse, r0 {r0}": sparse(features) for r0, features in wide.items()}
    models["sparse, r0 2.5, two widths"] = sparse(wide[2.5], near)
    models["linear"] = lambda _, noise=NOISE: LinearPotential(linear, noise=noise)
    return models


def chosen(
    models: dict[str, Maker], train: list[Atoms], n_sparse: int
) -> tuple[list[tuple[float, str]], str, Potential]:
    """Compare models of few points by cross-validation; return all errors, and name and model of the best."""
    found: list[tuple[float, str, Potential]] = []
    print("five-fold held-out error over noise of few points:")
    for name, make in models.items():
        start = time.process_time()
        few = make(n_sparse).fit(train, **FORCES)  # type: ignore[attr-defined]
        found.append((float(few.cv_errors_.min()), name, few))
        print(f"{found[-1][0]:8.4f}  {name}  ({time.process_time() - start:.0f} s)", flush=True)
    _, name, few = min(found, key=lambda row: row[0])
    return [row[:2] for row in found], name, few


def stresses_agree(potential: Potential, train: list[Atoms]) -> bool:
    """Tell whether labeled stresses are those of the labeled energies, by a potential that was fitted without them.

    Plane waves up to one energy for all volumes, for example, make them differ by a pressure that is the same for all
    structures. Fitted, such stresses multiply the error of energies.
    """
    labels = np.array([frame.info["REF_stress"] for frame in train])
    pressures = (potential.predict(train).stress - labels)[:, :3].mean(axis=1)
    offset, (low, high) = float(np.median(pressures)), np.percentile(pressures, (10, 90))
    agree = abs(offset) < high - low
    print(f"labeled stresses are off by {offset:.4f} eV/Å^3 ({low:.4f} to {high:.4f}): {'' if agree else 'not '}fitted")
    return bool(agree)


def distinct(frames: list[Atoms]) -> list[Atoms]:
    """Return one of the structures that differ by a rotation only, whose features and energies are the same."""
    kept = {}
    for frame in frames:
        kept.setdefault((len(frame), round(frame.info["REF_energy"], 4), round(frame.get_volume(), 3)), frame)
    return list(kept.values())


def trusted(make: Maker, train: list[Atoms], n_sparse: int) -> tuple[list[tuple[float, ...]], Noise]:
    """Choose how far stresses are trusted by five-fold held-out MAE, energies times forces."""
    fold = np.random.default_rng(0).permutation(len(train)) % 5
    rows: list[tuple[float, ...]] = []
    print("virial noise in eV, held-out MAE in meV/atom and eV/Å:")
    for virial in VIRIALS:
        scores = []
        for k in range(5):
            kept, left = ([frame for frame, own in zip(train, fold == k, strict=True) if own == out] for out in (0, 1))
            model = make(n_sparse, Noise(NOISE.energy, NOISE.forces, virial))
            scores.append(model.fit(kept, **LABELS).score(left, **FORCES))  # type: ignore[attr-defined]
        energy, force = (
            float(np.mean([getattr(row, key) for row in scores])) for key in ("mae_per_atom", "forces_mae")
        )
        rows.append((virial, 1e3 * energy, force))
        print(f"{virial:8.2f}  {1e3 * energy:.3f}  {force:.4f}", flush=True)
    return rows, Noise(NOISE.energy, NOISE.forces, min(rows, key=lambda row: row[1] * row[2])[0])


def zuo(options: argparse.Namespace) -> dict[str, Any]:
    """Choose all settings by cross-validation, fit all training structures, and look at the test structures."""
    train, test = (read(options.data, f"{options.element}_zuo_{part}") for part in ("train", "test"))
    points = (100, 150) if options.quick else POINTS
    own = distinct(train)
    models = candidates(train, 6.0 if options.element == "si" else 5.5)
    result: dict[str, Any] = {}
    result["cross_validation"], name, few = chosen(models, own, points[0])
    labels, noise = FORCES, NOISE
    if stresses_agree(few, own):
        labels = LABELS
        result["virials"], noise = trusted(models[name], own, points[0])
    errors = [models[name](size, noise).fit(own, **labels).cv_errors_.min() for size in points]  # type: ignore[attr-defined]
    print(f"held-out error over noise of {points} points: {errors}")
    n_sparse = points[int(np.argmin(errors))]
    potential = models[name](n_sparse, noise).fit(train, **labels)  # type: ignore[attr-defined]
    if options.save:
        potential.save(options.save)
    score = potential.score(test, **FORCES)
    print(f"\ntaken: {name}, {n_sparse} points, {noise}, alpha {potential.alpha_:.0e}\n")
    print("| test MAE | energy, meV/atom | forces, eV/Å |\n|---|---|---|")
    print(f"| orbas | {1e3 * score.mae_per_atom:.2f} | {score.forces_mae:.4f} |")
    for other, (energy, forces) in PUBLISHED[options.element].items():
        print(f"| {other}, published | {energy:.2f} | {forces:.2f} |")
    taken = {"taken": name, "n_sparse": n_sparse, "virial_noise": noise.virial, "alpha": potential.alpha_}
    return {**result, "points": [float(error) for error in errors], **taken, "test": as_table(score)}


def as_table(score: Score) -> dict[str, float | None]:
    """Return the errors that are written down."""
    return {name: getattr(score, name) for name in ("mae_per_atom", "rmse_per_atom", "forces_mae", "forces_rmse")}


# --- elastic constants ----------------------------------------------------------------------------------------------


def relaxed(atoms: Atoms, potential: Potential, *, cell: bool) -> Atoms:
    """Return a copy with atoms, and the cell if asked for, where forces vanish."""
    atoms = atoms.copy()
    atoms.calc = potential.calculator(skin=0.0, check_every=None)
    BFGS(FrechetCellFilter(atoms) if cell else atoms, logfile=None).run(fmax=1e-4, steps=500)
    return atoms


def elastic_constants(crystal: Atoms, potential: Potential, strain: float = 5e-3) -> tuple[float, float, float]:
    """C11, C12 and C44 of a cubic crystal in GPa, from stresses of strained cells whose atoms are relaxed."""

    def stress(voigt: int) -> np.ndarray:
        values = []
        for sign in (1.0, -1.0):
            deformation = np.eye(3)
            a, b = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[voigt]
            deformation[a, b] += sign * strain
            atoms = crystal.copy()
            atoms.set_cell(crystal.cell.array @ deformation.T, scale_atoms=True)
            values.append(relaxed(atoms, potential, cell=False).get_stress())
        return (values[0] - values[1]) / (2 * strain) / ase.units.GPa

    first, shear = stress(0), stress(3)
    return float(first[0]), float(first[1:3].mean()), float(shear[3])


def trusted_searches(features: Any, frames: list[Atoms], n_sparse: int) -> Noise:
    """Choose how far random searches are trusted, by held-out MAE of all other structures, energies times forces."""
    fold = np.random.default_rng(0).permutation(len(frames)) % 5
    searches = {name for name in (frame.info["config_type"] for frame in frames) if name.startswith("pyxtal_rss")}
    kept = [frame for frame, own in zip(frames, fold, strict=True) if own]
    left = [
        frame for frame, own in zip(frames, fold, strict=True) if not own and frame.info["config_type"] not in searches
    ]
    rows = []
    print(f"noise of random searches, MAE of {len(left)} other held-out structures in meV/atom and eV/Å:")
    for energy, forces in SEARCHES:
        of_searches = Noise(energy, forces, NOISE.virial)
        noise = Noise(NOISE.energy, NOISE.forces, NOISE.virial, dict.fromkeys(searches, of_searches))
        score = SparseGPR(features, n_sparse, 4, noise=noise).fit(kept, **LABELS).score(left, **FORCES)
        assert score.forces_mae is not None
        rows.append((score.mae_per_atom * score.forces_mae, noise))
        print(f"{energy:8.3f} {forces:5.2f}  {1e3 * score.mae_per_atom:.3f}  {score.forces_mae:.4f}", flush=True)
    return min(rows, key=lambda row: row[0])[1]


def elastic(options: argparse.Namespace) -> dict[str, Any]:
    """Fit diverse silicon, then what a crystal does: lattice constant, elastic constants, vacancy."""
    frames = read(options.data, "si_vasp_pbe")
    if options.quick:
        frames = frames[:: max(1, len(frames) // 250)]
    # Isolated atoms and dimers that are pulled apart are no part of a crystal.
    low = np.array([frame.info["REF_energy"] / len(frame) for frame in frames])
    frames = [frame for frame, energy in zip(frames, low, strict=True) if energy < low.min() + 1.5]
    features = spectrum(frames, 6.0, 6, "combined", 0.5, 2.5)
    noise = trusted_searches(features, frames, 50 if options.quick else 400)
    potential = SparseGPR(features, 200 if options.quick else 1500, 4, noise=noise).fit(frames, **LABELS)
    if options.save:
        potential.save(options.save)
    crystal = relaxed(ase.build.bulk("Si", cubic=True), potential, cell=True)
    constant = float(crystal.cell.lengths().mean())
    c11, c12, c44 = elastic_constants(crystal, potential)
    large = crystal * (3, 3, 3)
    with_vacancy = large.copy()
    del with_vacancy[0]
    energy = crystal.get_potential_energy() / len(crystal)
    vacancy = relaxed(with_vacancy, potential, cell=False).get_potential_energy() - energy * len(with_vacancy)
    print(f"{len(frames)} structures, cross-validated error over noise {potential.cv_errors_.min():.3f}\n")
    print("| | orbas, VASP PBE | CASTEP PW91 | GAP-18 | SW | Tersoff |\n|---|---|---|---|---|---|")
    print(f"| lattice constant, Å | {constant:.3f} | | | | |")
    for name, own, others in (
        ("C11, GPa", f"{c11:.1f}", "153.3 | 151.4 | 151.3 | 142.5"),
        ("C12, GPa", f"{c12:.1f}", "56.3 | 57.5 | 76.5 | 75.6"),
        ("C44, GPa", f"{c44:.1f}", "72.2 | 67.9 | 53.4 | 65.3"),
        ("vacancy, eV", f"{vacancy:.2f}", "3.67 | 3.53 | 2.69 | 4.16"),
    ):
        print(f"| {name} | {own} | {others} |")
    return {"lattice_constant": constant, "C11": c11, "C12": c12, "C44": c44, "vacancy": float(vacancy)}


# --- two species ----------------------------------------------------------------------------------------------------


def inp(options: argparse.Namespace) -> dict[str, Any]:
    """The same number of channels, mixed over species or not: cross-validated errors on the same folds."""
    frames = read(options.data, "inp")[:: 10 if options.quick else 1]
    result = {}
    print("| basis | features | held-out error over noise |\n|---|---|---|")
    for name, n_optimal, mixing in (("combined, q = 12", 12, "combined"), ("separate, 2 x 6", 6, "separate")):
        features = spectrum(frames, 5.0, n_optimal, mixing, 0.4)
        potential = LinearPotential(features, noise=NOISE).fit(frames, **LABELS)
        result[name] = float(potential.cv_errors_.min())
        print(f"| {name} | {len(potential.weights_) // 2} | {result[name]:.4f} |", flush=True)
    return result


# --- molecules ------------------------------------------------------------------------------------------------------


def molecules(options: argparse.Namespace) -> dict[str, Any]:
    """Fit at 300 K; acetylacetone has test structures, of 3BPA a fifth is held out from every choice."""
    name = options.molecule
    train = read(options.data, f"{name}_train_300K")[:: 10 if options.quick else 1]
    if name == "acac":
        test = read(options.data, "acac_test_300K")
    else:
        held_out = set(np.random.default_rng(0).permutation(len(train))[: len(train) // 5].tolist())
        test = [frame for k, frame in enumerate(train) if k in held_out]
        train = [frame for k, frame in enumerate(train) if k not in held_out]
    isolated = read(options.data, f"{name}_isolated_atoms")
    baseline = {frame.get_chemical_symbols()[0]: frame.info["REF_energy"] for frame in isolated}
    noise = Noise(energy=0.001, forces=0.03)

    def sparse(features: orbas.PowerSpectrum) -> Maker:
        return lambda size: SparseGPR(features, size, 2, selection="cur", noise=noise, baseline=baseline)

    densities = ((4.5, 10, 0.4, None), (5.0, 16, 0.3, 2.0), (5.0, 16, 0.3, 1.5))
    models = {
        f"cutoff {cutoff}, q {q}, width {width}, r0 {r0}": sparse(spectrum(train, cutoff, q, "combined", width, r0))
        for cutoff, q, width, r0 in densities
    }
    rows, best, _ = chosen(models, train, 50 if options.quick else 400)
    potential = models[best](200 if options.quick else 2000)
    potential.fit(train, **FORCES)  # type: ignore[attr-defined]
    if options.save:
        potential.save(options.save)
    score = potential.score(test, **FORCES)
    print(f"\ntaken: {best}\n")
    print("| | MAE | RMSE |\n|---|---|---|")
    print(f"| energy, meV | {1e3 * score.mae:.1f} | {1e3 * score.rmse:.1f} |")
    print(f"| forces, meV/Å | {1e3 * (score.forces_mae or 0):.1f} | {1e3 * (score.forces_rmse or 0):.1f} |")
    return {"cross_validation": rows, "taken": best, "test": as_table(score)}


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="a small model: seconds, rough numbers")
    parser.add_argument("--save", type=Path, help="write the potential")
    parser.add_argument("--json", type=Path, help="write the figures")
    commands = parser.add_subparsers(required=True)
    for name, run in (("zuo", zuo), ("elastic", elastic), ("inp", inp), ("molecules", molecules)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        if name == "zuo":
            command.add_argument("element", choices=("si", "ni"))
        if name == "molecules":
            command.add_argument("molecule", choices=("acac", "3bpa"))
    options = parser.parse_args()
    result = options.run(options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
