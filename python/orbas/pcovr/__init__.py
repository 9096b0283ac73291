"""Bases that keep what a target needs: principal covariates regression of the density coefficients."""

from __future__ import annotations

from orbas.pcovr.basis import PCovRBasis
from orbas.pcovr.projector import captured, projector

__all__ = ["PCovRBasis", "captured", "projector"]
