"""Every public class, function, method and property has an example in its docstring, and it runs.

An example of a method goes on from that of the class that defines it; all others stand for themselves.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
from functools import cached_property

import pytest

MODULES = ["orbas", *(f"orbas.{name}" for name in importlib.import_module("orbas")._MODULES), "orbas.errors"]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public_objects():
    """Classes and functions in ``__all__`` of the public modules, and the classes of orbas that they derive from."""
    found = {}
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            thing = getattr(module, name)
            classes = thing.__mro__ if inspect.isclass(thing) else [thing] if inspect.isroutine(thing) else []
            found |= {f"{cls.__module__}.{cls.__qualname__}": cls for cls in classes if is_ours(cls)}
    return dict(sorted(found.items()))


def is_ours(thing):
    return thing.__module__.partition(".")[0] == "orbas"


def methods(thing):
    """The public methods and properties that a class defines itself, by name."""
    kinds = (property, cached_property, classmethod, staticmethod)
    return {
        name: member
        for name, member in (vars(thing).items() if inspect.isclass(thing) else ())
        if not name.startswith("_")
        if inspect.isroutine(member) or isinstance(member, kinds) or inspect.isgetsetdescriptor(member)
    }


def example(thing):
    """The docstring's section of examples; nothing without one."""
    text = inspect.cleandoc(thing.__doc__ or "")
    return text.partition("\nExamples\n--------\n")[2]


def failures(text, name):
    """What went wrong in an example."""
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    found = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=found.append)
    return "".join(found)


OBJECTS = public_objects()


@pytest.mark.parametrize("name", OBJECTS)
def test_examples(name):
    thing = OBJECTS[name]
    start, members = example(thing), methods(thing)
    assert ">>>" in start, f"{name} has no example"
    missing = [member for member, method in members.items() if ">>>" not in example(method)]
    assert not missing, f"{name} has no example of {', '.join(missing)}"
    assert not failures(start, name)
    for member, method in members.items():
        assert not failures(f"{start}\n{example(method)}", f"{name}.{member}")


def test_what_is_public_is_found():
    assert len(OBJECTS) + sum(len(methods(thing)) for thing in OBJECTS.values()) >= 240
    assert {"orbas.SkinList", "orbas.models.linear.LinearPotential", "orbas.structures.io.read"} <= OBJECTS.keys()
