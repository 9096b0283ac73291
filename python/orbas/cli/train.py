"""``orbas train``: a potential from a file of settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.cli import arguments, basis, evaluation, inputs
from orbas.cli.evaluation import Labeled
from orbas.errors import SettingsError
from orbas.files.outputs import FileKind, check_outputs
from orbas.fit.checkpoint import check_checkpoint, generations
from orbas.fit.findings import say
from orbas.fit.isolated import set_aside
from orbas.models import recommended, settings
from orbas.models.settings import UNLABELED
from orbas.optimal.basis_file import load_basis
from orbas.optimal.settings import build_density, build_optimal
from orbas.structures.labels import none_found
from orbas.structures.species import atomic_number

if TYPE_CHECKING:
    import argparse

    from orbas.cli.console import Console
    from orbas.density.expansion import DensityExpansion
    from orbas.models import Potential
    from orbas.optimal.basis import OptimalBasis
    from orbas.settings import Settings

SCHEMA = 1


def run(options: argparse.Namespace, console: Console) -> None:
    """Read settings and structures, fit, write the model, tell its errors."""
    given = arguments.read_settings(options, settings.check_train, settings.TRAIN_SECTIONS)
    if options.checkpoint is not None and settings.chooses_itself(given):
        raise SettingsError("--checkpoint is for fits of given settings, not for model.kind = 'recommended'")
    _check_outputs(options, given)
    optimal = _fitted_basis(given)
    train, test = _read(given, console)
    if optimal is not None:
        evaluation.check(optimal.species_, train.structures)
    if settings.chooses_itself(given):
        model = _recommended(given, train, console)
    else:
        model = _fitted(given, optimal, train, options.checkpoint, console)
    model.save(options.output)
    _print_fit(model, train, console)
    console.say(f"wrote  {options.output}: see it with `orbas inspect {options.output}`")
    errors = {
        "train": _errors(model, _fitted_part(model, train), "training structures", console),
        "test": None if test is None else _errors(model, test, "test structures", console),
    }
    if test is not None:
        evaluation.say_trained_on(model, test.structures)
    if options.checkpoint is not None and options.checkpoint.exists():
        console.say(f"\n{options.checkpoint} is not needed any more")
    console.document({
        "schema": SCHEMA,
        "command": "train",
        "config": str(options.config),
        "settings": given,
        "output": str(options.output),
        "kind": type(model).__name__,
        "n_weights": int(model.weights_.size),
        "alpha": model.alpha_,
        "held_out_error": _held_out(model),
        **errors,
        "seconds": console.timings,
    })  # fmt: skip


def _check_outputs(options: argparse.Namespace, given: Settings) -> None:
    data = given["data"]
    older = None if options.checkpoint is None else generations(options.checkpoint)[1]
    check_outputs(
        {
            "--output": (options.output, FileKind.MODEL),
            "--checkpoint": (options.checkpoint, FileKind.CHECKPOINT),
            "the checkpoint before it": (older, FileKind.CHECKPOINT),
        },
        [options.config, *data["train"], *data.get("test", ()), settings.basis_file(given)],
    )
    check_checkpoint(options.checkpoint)


def _fitted_basis(given: Settings) -> OptimalBasis | None:
    """Return the basis of a file, if the settings name one; raise SettingsError if nothing can be built on it."""
    name = settings.basis_file(given)
    if name is None:
        return None
    optimal = load_basis(name)
    settings.build_potential(given, optimal.expansion_)
    return optimal


def _read(given: Settings, console: Console) -> tuple[Labeled, Labeled | None]:
    """Return training and test structures with labels; everything that can be wrong with them is raised."""
    data = given["data"]
    keys = {name: key for name, key in data.items() if name.endswith("_key")}
    used = {"forces": data.get("forces", True), "stress": data.get("stress", True)}
    labels = ["energy", *(name for name, is_used in used.items() if is_used)]
    unlabeled = data.get("unlabeled", UNLABELED[0])

    def labeled(names: list[str]) -> Labeled:
        paths = [Path(name) for name in names]
        found = inputs.read_structures(paths, console, labels=labels, unlabeled=unlabeled, **keys)
        return Labeled.of(found, **used)

    train = labeled(data["train"])
    if not train.counts["energies"]:
        raise none_found(train.structures.frames, "energy", ("REF_energy",))
    console.say(f"train  {train.summary}")
    inputs.check_geometry(train.structures, console)
    if given.get("regularization", {}).get("kind") == "loo" and any(train.keys.values()):
        raise SettingsError(
            "regularization.kind = 'loo' is for energies alone: choose cv or evidence, or set data.forces and "
            "data.stress to false"
        )
    for section, name in (("density", "species"), ("baseline", "energies")):
        known = given.get(section, {}).get(name)
        if known is not None:
            evaluation.check(tuple(atomic_number(item) for item in known), train.structures)
    test = labeled(data["test"]) if "test" in data else None
    if test is not None:
        console.say(f"test   {test.summary}")
        evaluation.check(train.structures.species, test.structures)
        say(test.screened()[1])
    return train, test


def _fitted(
    given: Settings, optimal: OptimalBasis | None, train: Labeled, checkpoint: Path | None, console: Console
) -> Potential:
    """Return the potential that settings describe, fitted with its basis and its representation."""
    frames = train.structures.frames
    density = _density(given, optimal, train, console)
    model = settings.build_potential(given, density, progress=console.shows_progress)
    with console.timed("representation"):
        model.representation.fit(frames)  # type: ignore[union-attr]
    with console.timed("fit"):
        model.fit(frames, "REF_energy", **train.keys, checkpoint=checkpoint)
    model.progress = False  # of this run, not of the model
    return model


def _density(given: Settings, optimal: OptimalBasis | None, train: Labeled, console: Console) -> DensityExpansion:
    if optimal is not None:
        console.say(f"basis  {settings.basis_file(given)}: {basis.summary(optimal)}")
        return optimal.expansion_
    if "optimal" not in given:
        return build_density(given)
    optimal = build_optimal(given)
    with console.timed("basis"):
        basis.fit_to(optimal, train.structures, console)
    console.say(f"basis  {basis.summary(optimal)} ({console.timings['basis']:.1f} s)")
    return optimal.expansion_


def _recommended(given: Settings, train: Labeled, console: Console) -> Potential:
    with console.timed("fit"):
        return recommended(
            train.structures.frames,
            energy_key="REF_energy",
            **train.keys,
            noise=settings.build_noise(given),
            report=console.say,
            **given.get("recommended", {}),
        )


def _held_out(model: Potential) -> float | None:
    """Return what was compared to choose alpha; None for a given alpha."""
    return float(model.cv_errors_.min()) if model.cv_errors_.size else None


def _print_fit(model: Any, train: Labeled, console: Console) -> None:
    representation = type(model.representation).__name__
    console.say(
        f"model  {type(model).__name__} on {representation}, {model.weights_.size:,} weights "
        f"({console.timings['fit']:.1f} s)"
    )
    text = f"alpha  {model.alpha_:.3g}"
    error = _held_out(model)
    if error is not None:
        text += f", of {model.alphas_.size} candidates; "
        if type(model.regularization).__name__ == "Evidence":
            text += f"log evidence {-error:.4g} per row"
        elif any(train.keys.values()):
            text += f"cross-validation error {error:.4g}, in units of the noise"
        else:
            text += f"cross-validation error {1e3 * error:.4g} meV per structure"
    console.say(text)


def _fitted_part(model: Potential, train: Labeled) -> Labeled:
    """Return the training structures without isolated atoms that are the zero of energies: nothing was fitted there."""
    return train.take(np.flatnonzero(~set_aside(train.structures.frames, model.noise)))


def _errors(model: Potential, known: Labeled, what: str, console: Console) -> dict[str, Any]:
    with console.timed(what.split()[0]):
        found = evaluation.evaluate(model, known, console, error_bars=False)
    console.say(f"\nerrors of {what}, {evaluation.UNITS}")
    console.table(*found.table())
    return found.document
