"""A fitted potential as one file, ``.orbas``: settings and numbers, nothing that runs.

- :mod:`orbas.files.container`: the file: one JSON document and named arrays, with a digest over every byte;
- :mod:`orbas.files.encoding`: the walk from objects to JSON and arrays, and back;
- :mod:`orbas.files.stored`: the decorator of the classes that files hold, each with what is checked when it is read.

What is read predicts the same bits as what was written.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbas import (
    invariants,  # noqa: F401  its classes are in files once they are loaded, those of models by the package
)
from orbas.errors import ModelFileError, NotFittedError
from orbas.files import container
from orbas.files.encoding import components, decode
from orbas.models.potential import UNITS, Potential

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from orbas.files.container import Contents

__all__ = ["ModelFile", "components_of", "load", "open_model"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model, and the file it was read from."""

    model: Potential
    contents: Contents


def load(path: str | os.PathLike[str]) -> Potential:
    """Read a potential of :meth:`orbas.models.Potential.save`: it predicts the same bits.

    Raises
    ------
    orbas.ModelFileError
        If the file is not a model, is damaged or contradicts itself, or was written by a newer orbas.
    OSError
        If there is no such file or it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=15)
    >>> model = orbas.models.LinearPotential(orbas.PowerSpectrum(density)).fit(frames)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(Path(folder, "silicon.orbas"))
    ...     again = orbas.load(Path(folder, "silicon.orbas"))
    >>> again.species_, again.alpha_ == model.alpha_
    ((14,), True)
    """
    return open_model(path).model


def open_model(path: str | os.PathLike[str]) -> ModelFile:
    """Read a potential and what the file says about itself; raises as :func:`load`."""
    contents = container.read(path)
    try:
        return ModelFile(_model_of(contents), contents)
    except ModelFileError as error:
        raise ModelFileError(f"{Path(path)}: {error}; have it saved again by who fitted it") from error


def components_of(model: Potential) -> Iterator[Any]:
    """Yield the objects that a model is made of, the model first."""
    return components(model)


def _model_of(contents: Contents) -> Potential:
    document = contents.document
    known = {"units", "species", "model"}
    missing, unknown = known - document.keys(), document.keys() - known
    if missing:
        raise ModelFileError(f"its document lacks {', '.join(sorted(missing))}")
    if unknown and not contents.is_newer:
        raise ModelFileError(f"its document has unknown sections: {reprlib.repr(sorted(unknown))}")
    if document["units"] != UNITS:
        raise ModelFileError(f"its units are {reprlib.repr(document['units'])}, those of orbas {UNITS}")
    model, used = decode(document["model"], contents.tensors)
    if not isinstance(model, Potential):
        raise ModelFileError(f"it holds a {type(model).__name__}, which is no potential")
    unused = contents.tensors.keys() - used
    if unused and not contents.is_newer:
        raise ModelFileError(f"nothing refers to its arrays {reprlib.repr(sorted(unused))}")
    _check_species(model, document["species"])
    return model


def _check_species(model: Potential, species: Any) -> None:
    try:
        fitted = list(model.species_)
    except NotFittedError as error:
        raise ModelFileError(f"its model is not fitted: {error}") from error
    if species != fitted:
        raise ModelFileError(f"its species are {reprlib.repr(species)}, those of its model {fitted}")
