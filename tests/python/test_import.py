"""`import orbas` is cheap, its public names resolve, and each of them is documented."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import statistics
import subprocess
import sys

import orbas
import pytest
from orbas import _moved

HEAVY = {"scipy", "ase", "matplotlib", "sklearn", "tqdm"}
RESOLVE = "import orbas; [getattr(orbas, name) for name in orbas.__all__]"
MODULES = [
    "orbas",
    "orbas.bases",
    "orbas.calculators",
    "orbas.datasets",
    "orbas.metrics",
    "orbas.models",
    "orbas.selection",
]


def python(*arguments):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)


@pytest.mark.parametrize("code", ["import orbas", RESOLVE], ids=["import", "all names"])
def test_nothing_heavy_is_imported(code):
    done = python("-c", f"import sys; {code}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))")
    assert not HEAVY & set(done.stdout.split())


def own_seconds(code):
    """Time spent in the modules of orbas themselves, whatever they import counted where it stands."""
    report = python("-X", "importtime", "-c", f"import numpy; {code}").stderr
    # import time: self [us] | cumulative | imported package
    rows = [line.removeprefix("import time:").split("|") for line in report.splitlines() if "|" in line]
    return 1e-6 * sum(int(own) for own, _, name in rows if name.strip().partition(".")[0] == "orbas")


def seconds_beyond_numpy(code):
    """Wall clock of an import after numpy's."""
    measure = f"import time, numpy; start = time.perf_counter(); {code}; print(time.perf_counter() - start)"
    return float(python("-c", measure).stdout)


def test_import_takes_next_to_nothing(record_property):
    """The bound is a hundred times what is measured on an idle machine: it catches an eager import, not a busy hour."""
    measured = {
        "own": statistics.median(own_seconds("import orbas") for _ in range(3)),
        "own, all names": statistics.median(own_seconds(RESOLVE) for _ in range(3)),
        "beyond numpy": statistics.median(seconds_beyond_numpy("import orbas") for _ in range(3)),
        "beyond numpy, all names": statistics.median(seconds_beyond_numpy(RESOLVE) for _ in range(3)),
    }
    for name, seconds in measured.items():
        record_property(name, seconds)
        print(f"import orbas, {name}: {1e3 * seconds:.1f} ms")
    assert measured["own"] < 0.3


def public(module):
    return {name: getattr(module, name) for name in module.__all__ if not name.startswith("__")}


@pytest.mark.parametrize("name", MODULES)
def test_all_names_resolve_and_are_listed(name):
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    assert set(module.__all__) <= set(dir(module))
    assert all(value is not None for value in public(module).values())


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name):
    module = importlib.import_module(name)
    assert inspect.getdoc(module)
    bare = []
    for public_name, value in public(module).items():
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        # Of a class only what is its own: a docstring inherited from `object` says nothing.
        if not value.__doc__:
            bare.append(public_name)
        if inspect.isclass(value):
            methods = {k: v for k, v in vars(value).items() if not k.startswith("_")}
            described = (inspect.isroutine, lambda member: isinstance(member, property))
            bare += [
                f"{public_name}.{k}"
                for k, v in methods.items()
                if any(test(v) for test in described) and not inspect.getdoc(getattr(value, k))
            ]
    assert bare == []


def test_unknown_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        orbas.no_such_name  # noqa: B018


def test_the_version_is_that_of_the_core():
    import orbas._core

    assert orbas.__version__ == orbas._core.__version__


@pytest.mark.parametrize("old", sorted(_moved.MOVED))
def test_old_module_names_give_the_modules_of_today(old):
    """What a pickle of joblib or a script names is the same module under both names, never a second copy."""
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=re.escape(_moved.MOVED[old])):
        module = importlib.import_module(old)
    assert module is importlib.import_module(_moved.MOVED[old])
    assert module.__spec__.name == _moved.MOVED[old]
