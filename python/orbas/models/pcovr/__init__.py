"""Bases that keep what a target needs: principal covariates regression of the density coefficients."""

from __future__ import annotations

from orbas.models.pcovr.basis import PCovRBasis
from orbas.models.pcovr.projector import captured, projector

__all__ = ["PCovRBasis", "captured", "projector"]
