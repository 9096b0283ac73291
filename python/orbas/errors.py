"""The errors of orbas. Each is also one of Python's own, so that generic handlers work."""

from __future__ import annotations

import functools
import sys

from orbas._core import InternalError, UnknownSpeciesError
from orbas.base.fields import SettingsError


class NotFittedError(ValueError, AttributeError):
    """An attribute that only exists after ``fit`` was asked for before it."""


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
    """Labels asked for by key are missing, inconsistent or not finite."""


class NotAFileError(OSError, ValueError):
    """A folder, a device, a pipe that nobody writes to, or a file that is too large to be read."""


class StructureFileError(ValueError):
    """A file of structures is damaged, cut short or not one; names the file, the line and the cause."""


class LabelFileError(LabelError, StructureFileError):
    """Labels of a file of structures are missing or unusable; names the file and the line."""


class ModelFileError(ValueError):
    """A model file is damaged, contradicts itself, is not one, or was written by a newer orbas."""


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
