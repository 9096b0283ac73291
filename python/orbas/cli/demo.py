"""``orbas demo``: the optimal basis on QM9, in a minute."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orbas import datasets, plots
from orbas.cli import inputs, study
from orbas.files.outputs import FileKind, check_outputs
from orbas.files.replacing import replacing
from orbas.optimal.basis_file import save_basis
from orbas.optimal.settings import describe
from orbas.settings import to_toml

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from ase import Atoms

    from orbas.cli.console import Console
    from orbas.cli.study import EnergyStudy
    from orbas.plots import ResidualCurve

SCHEMA = 1
_SAMPLE = 20


def run(options: argparse.Namespace, console: Console) -> None:
    """Run the demonstration: tables on stdout, pictures and a basis in a folder."""
    scale = study.QUICK if options.quick else study.FULL
    names = _files(options.output)
    options.output.mkdir(parents=True, exist_ok=True)
    check_outputs({f"the file {path.name}": (path, kind) for path, kind in names.values()})
    frames = datasets.qm9()
    train, test = frames[: scale.train], frames[-scale.test :]
    console.say(f"orbas on QM9: {len(frames):,} molecules of H, C, N, O and F come with the package\n")

    fitted = frames[: scale.fit]
    n_carbon = sum(int((frame.numbers == study.CARBON).sum()) for frame in fitted)
    _announce_variance(console, scale, n_carbon)
    with console.timed("residual_variance"), console.progress(study.LARGEST + 4, "bases", "basis") as bar:
        curves = study.residual_variances(fitted, bar.update)
    _print_variance(console, curves)

    _announce_energies(console, scale)
    with console.timed("energies"):
        energies = study.energy_models(train, test, progress=console.shows_progress)
    _print_energies(console, energies)

    with console.timed("files"):
        files = {name: path for name, (path, _) in names.items()}
        _write(files, curves, energies, test[:_SAMPLE])
    _print_files(console, options.output, files)
    console.document(_document(scale, curves, energies, files, console.timings))


def _announce_variance(console: Console, scale: study.Scale, n_carbon: int) -> None:
    console.title("1  How many radial channels hold the density around a C atom?")
    console.say(f"   GTO(20), cutoff 3.5 Å, Gaussians of 0.3 Å, l ≤ 5; {n_carbon:,} C atoms in {scale.fit} molecules\n")


def _print_variance(console: Console, curves: list[ResidualCurve]) -> None:
    rows = []
    for curve in curves:
        needed = [study.channels_needed(curve, threshold) for threshold in study.THRESHOLDS]
        rows.append([curve.label, *("-" if count is None else f"{count}" for count in needed)])
    header = ["residual variance below", *(f"{threshold:.0e}".replace("e-0", "e-") for threshold in study.THRESHOLDS)]
    console.table(header, rows, best=len(rows) - 1)
    _say_seconds(console, "residual_variance")


def _announce_energies(console: Console, scale: study.Scale) -> None:
    console.title("2  What do 5 channels tell about the energy U0?")
    console.say(
        f"   linear model on the power spectrum, {scale.train:,} molecules to train, {scale.test} others to test"
    )
    console.say("   cutoff 5 Å, Gaussians of 0.3 Å, l ≤ 5, radial scaling 1/2/7, optimal functions from GTO(12)\n")


def _print_energies(console: Console, energies: EnergyStudy) -> None:
    rows = [["composition alone", "-", f"{energies.baseline_mae:.2f}"]]
    rows += [[model.name, f"{model.n_features}", f"{model.mae:.2f}"] for model in energies.models]
    console.table(["5 channels", "features", "MAE / (kcal/mol)"], rows, best=len(rows) - 1)
    _say_seconds(console, "energies")


def _print_files(console: Console, folder: Path, files: dict[str, Path]) -> None:
    console.title("3  Written")
    width = max(len(str(path)) for path in files.values())
    for name, path in files.items():
        console.say(f"   {str(path).ljust(width)}   {name.replace('_', ' ')}")
    _say_seconds(console, "files")
    basis, config, sample = files["optimal_basis"], files["its_settings"], files["some_test_molecules"]
    console.title("Next")
    console.say(f"   orbas basis show {basis}")
    console.say(f"   orbas featurize {sample} --basis {basis} --output {folder / 'features.npz'}")
    console.say(f"   orbas basis fit YOUR.xyz --config {config} --output basis.orbas")


def _say_seconds(console: Console, step: str) -> None:
    console.say(f"  ({console.timings[step]:.1f} s)\n")


def _files(folder: Path) -> dict[str, tuple[Path, FileKind]]:
    """Return path and kind of every file by what it is."""
    return {
        "residual_variance": (folder / "residual_variance.png", FileKind.PICTURE),
        "optimal_functions": (folder / "optimal_functions.png", FileKind.PICTURE),
        "optimal_basis": (folder / "qm9_basis.orbas", FileKind.BASIS),
        "its_settings": (folder / "qm9_basis.toml", FileKind.SETTINGS),
        "some_test_molecules": (folder / "molecules.xyz", FileKind.STRUCTURES),
    }


def _write(files: dict[str, Path], curves: list[ResidualCurve], energies: EnergyStudy, sample: list[Atoms]) -> None:
    """Write pictures, and what the suggested commands work on."""
    figure = plots.plot_residual_variance(curves, "Density around C atoms of QM9 (cutoff 3.5 Å)")
    plots.save_figure(figure, files["residual_variance"], dpi=200)
    plots.save_figure(energies.basis.plot(), files["optimal_functions"], dpi=200)
    save_basis(energies.basis, files["optimal_basis"])
    with replacing(files["its_settings"]) as file:
        file.write(to_toml(describe(energies.basis)).encode())
    inputs.write_structures(sample, files["some_test_molecules"])


def _document(
    scale: study.Scale,
    curves: list[ResidualCurve],
    energies: EnergyStudy,
    files: dict[str, Path],
    timings: dict[str, float],
) -> dict[str, Any]:
    """Return everything that was printed, with the whole curves."""
    return {
        "schema": SCHEMA,
        "command": "demo",
        "molecules": asdict(scale),
        "residual_variance": [
            {
                "basis": curve.label,
                "channels": curve.channels.tolist(),
                "residual": curve.residual.tolist(),
                "needed": [
                    {"below": threshold, "channels": study.channels_needed(curve, threshold)}
                    for threshold in study.THRESHOLDS
                ],
            }
            for curve in curves
        ],
        "energies": {
            "target": study.TARGET,
            "unit": "kcal/mol",
            "baseline_mae": energies.baseline_mae,
            "models": [asdict(model) for model in energies.models],
        },
        "seconds": timings,
        "files": {name: str(path) for name, path in files.items()},
    }
