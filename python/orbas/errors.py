"""The errors of orbas. Each is also one of Python's own, so that generic handlers work."""

from __future__ import annotations

from orbas._core import InternalError, UnknownSpeciesError


class NotFittedError(AttributeError, ValueError):
    """An attribute that only exists after ``fit`` was asked for before it."""


class LabelError(ValueError):
    """Labels asked for by key are missing, inconsistent or not finite."""


class ModelFileError(ValueError):
    """A model file is damaged, contradicts itself, is not one, or was written by a newer orbas."""


__all__ = ["InternalError", "LabelError", "ModelFileError", "NotFittedError", "UnknownSpeciesError"]
