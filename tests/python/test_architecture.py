"""Imports of both languages run one way, between folders and between files, as two lines of ARCHITECTURE.md say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE, CORE = ROOT / "python" / "orbas", ROOT / "src"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
#: The front door loads names on first use, `_moved` those of an older version: they see everything, and do not count.
FACADES = {"orbas", "orbas._moved"}


def arrow(first):
    """Return the place of each name on the line of ARCHITECTURE.md that begins with ``first``."""
    (line,) = re.findall(rf"^({first}\b.* < .+)$", TEXT, flags=re.MULTILINE)
    return {name: place for place, names in enumerate(line.split(" < ")) for name in names.split(", ")}


# Python


def python_modules():
    modules = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("orbas", *path.relative_to(PACKAGE).with_suffix("").parts)
        modules[".".join(parts).removesuffix(".__init__")] = path
    return modules


def python_imports():
    """Return module -> modules that it imports anywhere: at the top, in functions, for types."""
    modules = python_modules()
    graph = {}
    for name, path in modules.items():
        used = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} has a relative import"
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                used |= {one if one in modules else str(node.module) for one in full}
        graph[name] = {one for one in used if one in modules and one != name} - FACADES
    return {name: used for name, used in graph.items() if name not in FACADES}


def folder(module):
    return module.split(".")[1]


def test_no_import_of_the_package_runs_against_the_arrow():
    places = arrow("base")
    graph = python_imports()
    assert {folder(module) for module in graph} == set(places)
    against = [
        f"{module} imports {used}"
        for module, others in graph.items()
        for used in sorted(others)
        if places[folder(used)] > places[folder(module)]
    ]
    assert not against


# The core


def rust_files():
    return {path.relative_to(CORE).with_suffix("").parts: path for path in CORE.rglob("*.rs")}


def without_tests(text):
    """Return the code of a file: comments and unit tests, which stand last, may name anything."""
    return re.sub(r"//[^\n]*", "", re.split(r"#\[cfg\(test\)\]\s*(?:pub(?:\(\w+\))? )?mod \w+ \{", text)[0])


def paths_used(text):
    """Yield the parts of every path that begins with ``crate`` or ``super``, those in braces one by one."""
    for start, rest in re.findall(r"\b((?:crate|super)(?:::\w+)*)(::\{[^;]*?\}(?=;))?", text, flags=re.DOTALL):
        parts = start.split("::")
        if not rest:
            yield parts
            continue
        for item in re.sub(r"\w+::\{[^{}]*\}", lambda m: m[0].split("::")[0], rest[3:-1]).split(","):
            if item.strip():
                yield [*parts, *item.split(" as ")[0].strip().split("::")]


def exported(module, files):
    """Return name -> file of what the root of a module hands on from its files."""
    root = files.get((*module, "mod"))
    found = {}
    for child, rest in re.findall(
        r"pub(?:\(\w+\))? use (\w+)::([^;]+);", without_tests(root.read_text()) if root else ""
    ):
        for name in re.findall(r"\w+", rest):
            found[name] = (*module, child)
    return found


def rust_uses():
    """Return file -> files that it uses; the root of a module counts for what it defines, not for what it hands on."""
    files = rust_files()
    graph = {name: set() for name in files}
    for name, path in files.items():
        module = name[:-1]
        text = without_tests(path.read_text(encoding="utf-8"))
        if name[-1] == "mod":
            text = re.sub(r"pub(?:\(\w+\))? use [^;]+;", "", text)
            text = re.sub(r"(?<!pub )\buse (?=(?!crate|super|std|self)\w+::)", "use super::" + module[-1] + "::", text)
        for parts in paths_used(text):
            where = () if parts[0] == "crate" else module[:-1] if name[-1] == "mod" else module
            steps = parts[1:]
            while steps and steps[0] == "super":
                where, steps = where[:-1], steps[1:]
            while steps and ((*where, *steps[:1], "mod") in files):
                where, steps = (*where, steps[0]), steps[1:]
            target = (*where, steps[0]) if steps and (*where, steps[0]) in files else None
            if target is None and steps:
                target = exported(where, files).get(steps[0], (*where, "mod"))
                target = target if target in files else (*target, "mod")
            if target in files and target != name:
                graph[name].add(target)
    return graph


def test_no_module_of_the_core_uses_one_to_its_right():
    places = arrow("error")
    graph = rust_uses()
    assert {name[0] for name in graph} == {*places, "lib"}
    against = [
        f"{'/'.join(name)} uses {'/'.join(used)}"
        for name, others in graph.items()
        for used in sorted(others)
        if name[0] != "lib" and places[used[0]] > places[name[0]]
    ]
    assert not against


# Both


def circles(graph):
    """Return the sets of nodes that reach each other: Tarjan's strongly connected components of more than one."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            circle = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def test_no_files_of_the_package_stand_in_a_circle():
    assert circles(python_imports()) == []


def test_no_files_of_the_core_stand_in_a_circle():
    graph = rust_uses()
    assert sum(map(len, graph.values())) > 200
    assert circles(graph) == []


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []


def test_uses_of_the_core_are_seen():
    text = "use crate::math::{lm, b_spline::{a, b}};\nfn f() -> super::Plan { crate::radial::g() }"
    assert [*paths_used(text)] == [
        ["crate", "math", "lm"],
        ["crate", "math", "b_spline"],
        ["super", "Plan"],
        ["crate", "radial", "g"],
    ]
