"""`_core.pyi` against the binary: the same names, members, parameters and base classes."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import orbas
import orbas._core as core
import pytest

STUB = ast.parse((Path(orbas.__file__).parent / "_core.pyi").read_text(encoding="utf-8"))
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}
FUNCTIONS = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
VARIABLES = {node.target.id: node for node in STUB.body if isinstance(node, ast.AnnAssign)}
MODULE_ONLY = {"__all__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__spec__"}

Parameter = inspect.Parameter


def is_special(name):
    return name.startswith("__") and name.endswith("__")


def declared(function, *, bound):
    """Parameters of a stub's function as (name, kind, has a default)."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    first_default = len(positional) - len(given.defaults)
    parameters = [
        (
            argument.arg,
            Parameter.POSITIONAL_ONLY if k < len(given.posonlyargs) else Parameter.POSITIONAL_OR_KEYWORD,
            k >= first_default,
        )
        for k, argument in enumerate(positional)
    ]
    if given.vararg is not None:
        parameters.append((given.vararg.arg, Parameter.VAR_POSITIONAL, False))
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        parameters.append((argument.arg, Parameter.KEYWORD_ONLY, default is not None))
    if given.kwarg is not None:
        parameters.append((given.kwarg.arg, Parameter.VAR_KEYWORD, False))
    return parameters[1:] if bound else parameters


def compiled(callable_, *, bound):
    """Return the same of a compiled function, from its text signature."""
    found = inspect.signature(callable_).parameters.values()
    parameters = [(p.name, p.kind, p.default is not Parameter.empty) for p in found]
    return parameters[1:] if bound else parameters


def is_property(node):
    return any(isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in node.decorator_list)


def test_same_names():
    present = {name for name in vars(core) if name not in MODULE_ONLY}
    assert {*CLASSES, *FUNCTIONS, *VARIABLES} == present


def test_nothing_in_the_stub_is_overlooked():
    known = (ast.ClassDef, ast.FunctionDef, ast.AnnAssign, ast.Import, ast.ImportFrom)
    docstring = STUB.body[0]
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(node, known) for node in STUB.body[1:])


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_same_bases(name):
    bases = [ast.unparse(base) for base in CLASSES[name].bases] or ["object"]
    assert bases == [base.__name__ for base in getattr(core, name).__bases__]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_same_members(name):
    stub = {node.name: node for node in CLASSES[name].body if isinstance(node, ast.FunctionDef)}
    members = vars(getattr(core, name))
    assert {m for m in stub if not is_special(m)} == {m for m in members if not is_special(m)}
    for member, node in stub.items():
        if not is_special(member):
            assert is_property(node) == inspect.isgetsetdescriptor(members[member]), member


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_same_parameters_of_functions(name):
    assert declared(FUNCTIONS[name], bound=False) == compiled(getattr(core, name), bound=False)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_same_parameters_of_methods(name):
    compiled_class = getattr(core, name)
    for node in CLASSES[name].body:
        if not isinstance(node, ast.FunctionDef) or is_property(node):
            continue
        if node.name == "__new__":
            assert declared(node, bound=True) == compiled(compiled_class, bound=False)
        else:
            method = getattr(compiled_class, node.name)
            is_static = isinstance(vars(compiled_class)[node.name], staticmethod)
            assert declared(node, bound=not is_static) == compiled(method, bound=not is_static), node.name


def test_the_core_is_documented():
    undocumented = [name for name in (*CLASSES, *FUNCTIONS) if not is_special(name) and not getattr(core, name).__doc__]
    assert [name for name in undocumented if not name.startswith("_")] == []
