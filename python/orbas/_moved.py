"""Names that modules had before 0.2: importing one gives the module of today and a DeprecationWarning.

Pickles of joblib and scripts hold module paths; they keep working for one release.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_FIT = "baseline checkpoint design labels noise posterior reach regularization ridge streamed targets triangle"
MOVED = {
    "orbas._arrays": "orbas.base.arrays",
    "orbas._estimator": "orbas.base.estimator",
    "orbas.angular": "orbas.structures.angular",
    "orbas.basis_file": "orbas.optimal.basis_file",
    "orbas.blocks": "orbas.base.blocks",
    "orbas.contraction": "orbas.density.contraction",
    "orbas.energies": "orbas.base.energies",
    "orbas.fitted_basis": "orbas.optimal.fitted_basis",
    "orbas.gradients": "orbas.base.gradients",
    "orbas.hypers": "orbas.density.weight",
    "orbas.io": "orbas.structures.io",
    "orbas.model_file": "orbas.models.file",
    "orbas.neighbors": "orbas.structures.neighbors",
    "orbas.nice": "orbas.invariants.nice",
    "orbas.pcovr": "orbas.models.pcovr",
    "orbas.selected_spectrum": "orbas.invariants.selected_spectrum",
    "orbas.tables": "orbas.density.tables",
    **{f"orbas.models.{name}": f"orbas.fit.{name}" for name in _FIT.split()},
}


class _Finder:
    """Finds a module under its old name: the module of today stands under both.

    A finder and loader of the import system without its base classes, whose import takes as long as that of orbas.
    """

    def __init__(self) -> None:
        self._specs: dict[str, importlib.machinery.ModuleSpec] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith("orbas."):
            return None
        old = next((old for old in MOVED if fullname == old or fullname.startswith(f"{old}.")), None)
        return None if old is None else importlib.machinery.ModuleSpec(fullname, self)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        old = next(old for old in MOVED if spec.name == old or spec.name.startswith(f"{old}."))
        name = MOVED[old] + spec.name.removeprefix(old)
        warnings.warn(f"{spec.name} is now {name}", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(name)
        if module.__spec__ is not None:
            self._specs[name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has written the spec of the old name into the module: it gets its own back.
        module.__spec__ = self._specs.pop(module.__name__)


def install() -> None:
    """Let Python's import system ask here first, before it finds the files of a moved package a second time."""
    sys.meta_path.insert(0, _Finder())
