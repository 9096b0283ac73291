"""``orbas inspect``: what a model file holds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orbas.cli import inputs
from orbas.fit.design import Sized
from orbas.models.file import components_of, open_model

if TYPE_CHECKING:
    import argparse

    from orbas.cli.console import Console
    from orbas.models.file import ModelFile


def run(options: argparse.Namespace, console: Console) -> None:
    """Read a model file and print what is in it."""
    file = open_model(options.file)
    document = {"command": "inspect", "file": str(options.file), **describe(file)}
    _print(document, console)
    console.document(document)


def describe(file: ModelFile) -> dict[str, Any]:
    """Return what a model file holds, in JSON's types."""
    model, contents = file.model, file.contents
    params = model.get_params(deep=False)
    alphas, errors = model.alphas_, model.cv_errors_
    return {
        "schema": 1,
        "kind": type(model).__name__,
        "species": list(model.species_),
        "units": contents.document["units"],
        "representations": [_representation(part, model.species_) for part in components_of(model) if _is_shown(part)],
        "n_weights": int(model.weights_.size),
        "regularization": str(params.get("regularization")),
        "alpha": model.alpha_,
        "n_alphas": len(alphas),
        "held_out_error": float(min(errors)) if len(errors) else None,
        "baseline": {inputs.symbol(number): energy for number, energy in model.baseline_.energies_.items()},
        "arrays": {name: list(array.shape) for name, array in contents.tensors.items()},
        "n_bytes": contents.n_bytes,
        "file_schema": ".".join(map(str, contents.schema)),
        "orbas": contents.version,
        "sha256": contents.digest,
    }


def _is_shown(part: Any) -> bool:
    """Whether it gives features, as many as it says, of a density."""
    return isinstance(part, Sized) and hasattr(part, "density")


def _representation(representation: Any, species: tuple[int, ...]) -> dict[str, Any]:
    density = representation.density
    known = getattr(density, "species_", None) or density.given_species() or species
    scaling = density.scaling
    return {
        "kind": type(representation).__name__,
        "n_features": representation.n_features(known),
        "species": list(known),
        "cutoff": {"radius": density.cutoff.radius, "width": density.cutoff.width, "form": density.cutoff.smoothing},
        "scaling": None if scaling is None else [scaling.rate, scaling.scale, scaling.exponent],
        "density_width": density.density_width,
        "max_angular": density.max_angular,
        "basis": repr(density.basis),
        "channels": [list(counts) for counts in density.kinds_of_centers(len(known))],
    }


def _print(document: dict[str, Any], console: Console) -> None:
    console.title(f"{document['file']}: {document['kind']} of {inputs.symbols(document['species'])}")
    rows = rows_of(document)
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        console.say(f"  {name.ljust(width)}   {text}")


def rows_of(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what :func:`describe` found, for people: names and texts."""
    units = ", ".join(f"{quantity} {unit}" for quantity, unit in document["units"].items())
    rows = [("units", units)]
    for part in document["representations"]:
        cutoff = part["cutoff"]
        scaling = "none" if part["scaling"] is None else "rate {}, scale {} Å, exponent {}".format(*part["scaling"])
        rows += [
            ("representation", f"{part['kind']}, {part['n_features']:,} features of an atom"),
            ("  cutoff", f"{cutoff['radius']} Å, the last {cutoff['width']} Å {cutoff['form']}; scaling: {scaling}"),
            ("  density", f"Gaussians of {part['density_width']} Å, l = 0..{part['max_angular']}"),
            ("  basis", part["basis"]),
            ("  channels per l", " | ".join(str(counts) for counts in part["channels"])),
        ]
    rows.append(("weights", f"{document['n_weights']:,}" if document["n_weights"] is not None else "none"))
    chosen = f"alpha {document['alpha']:.3g}" if document["alpha"] is not None else "no alpha"
    if document["held_out_error"] is not None:
        chosen += f", of {document['n_alphas']} candidates, held-out error {document['held_out_error']:.4g}"
    rows.append(("regularization", f"{_shortened(document['regularization'])}: {chosen}"))
    energies = ", ".join(f"{symbol} {energy:.6g}" for symbol, energy in document["baseline"].items())
    numbers = sum(math.prod(shape) for shape in document["arrays"].values())
    rows += [
        ("baseline", f"{energies} eV"),
        ("arrays", f"{len(document['arrays'])}, {numbers:,} numbers; {document['n_bytes']:,} bytes in all"),
        ("written by", f"orbas {document['orbas']}, schema {document['file_schema']}"),
        ("sha256", document["sha256"]),
    ]
    return rows


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
