"""The errors of orbas. Each is also one of Python's own, so that generic handlers work."""

from __future__ import annotations

import functools
import sys

from orbas._core import InternalError, UnknownSpeciesError
from orbas.base.fields import SettingsError


class NotFittedError(ValueError, AttributeError):
    """An attribute that only exists after ``fit`` was asked for before it.

    Examples
    --------
    >>> import orbas
    >>> orbas.models.RidgeRegressor().coef_
    Traceback (most recent call last):
    orbas.errors.NotFittedError: RidgeRegressor has no 'coef_' before it is fitted: call fit first
    """


def not_fitted(message: str) -> NotFittedError:
    """Return the error; where scikit-learn is loaded it is one of its ``NotFittedError`` too."""
    loaded = sys.modules.get("sklearn.exceptions")
    return NotFittedError(message) if loaded is None else _joined(loaded.NotFittedError)(message)


@functools.cache
def _joined(other: type[Exception]) -> type[NotFittedError]:
    # Made on the fly, hence without a name to be pickled by: another process makes its own.
    members = {"__reduce__": lambda self: (not_fitted, self.args), "__module__": __name__}
    return type("NotFittedError", (NotFittedError, other), members)


class LabelError(ValueError):
    """Labels asked for by key are missing, inconsistent or not finite.

    Examples
    --------
    >>> import ase
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> orbas.models.LinearPotential(orbas.PowerSpectrum(density)).fit([ase.Atoms("H")])
    Traceback (most recent call last):
    orbas.errors.LabelError: 0 of 1 structures carry energy under 'REF_energy'; keys seen: none
    """


class NotAFileError(OSError, ValueError):
    """A folder, a device, a pipe that nobody writes to, or a file that is too large to be read.

    Examples
    --------
    >>> import orbas
    >>> orbas.read(".")
    Traceback (most recent call last):
    orbas.errors.NotAFileError: [Errno 21] a folder, not a regular file: '.'
    """


class StructureFileError(ValueError):
    r"""A file of structures is damaged, cut short or not one; names the file, the line and the cause.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import orbas
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "cut.xyz")
    >>> size = path.write_text("2\nProperties=species:S:1:pos:R:3\nH 0 0 0\n")
    >>> orbas.read(path)
    Traceback (most recent call last):
    orbas.errors.StructureFileError: ...cut.xyz, line 1: structure 0 announces 2 atoms, the file ends after 1
    >>> folder.cleanup()
    """


class LabelFileError(LabelError, StructureFileError):
    r"""Labels of a file of structures are missing or unusable; names the file and the line.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import orbas
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "plain.xyz")
    >>> size = path.write_text("1\nProperties=species:S:1:pos:R:3\nH 0 0 0\n")
    >>> orbas.read(path, energy_key="dft_energy")
    Traceback (most recent call last):
    orbas.errors.LabelFileError: ...plain.xyz, from line 1 on: 0 of 1 structures carry energy ...
    >>> folder.cleanup()
    """


class ModelFileError(ValueError):
    """A model file is damaged, contradicts itself, is not one, or was written by a newer orbas.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import orbas
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "model.orbas")
    >>> size = path.write_bytes(b"no model")
    >>> orbas.load(path)
    Traceback (most recent call last):
    orbas.errors.ModelFileError: ...model.orbas: not a model file: it does not begin with the ...
    >>> folder.cleanup()
    """


__all__ = [
    "InternalError",
    "LabelError",
    "LabelFileError",
    "ModelFileError",
    "NotAFileError",
    "NotFittedError",
    "SettingsError",
    "StructureFileError",
    "UnknownSpeciesError",
]
