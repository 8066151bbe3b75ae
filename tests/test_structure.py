"""The shape of the house: no circles, nothing built of towers of bases, files and functions that can be read at a sitting."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import napari_sam2s

SOURCE = Path(napari_sam2s.__file__).parent
ROOT = SOURCE.parents[1]
CONFTEST = Path(__file__).with_name("conftest.py")
FILE_LINES, FUNCTION_LINES, OWN_BASES = 400, 60, 2


def _modules(folder: Path, package: str) -> dict[str, Path]:
    found = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join((package, *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return found


MODULES = _modules(SOURCE, "napari_sam2s")


@cache
def _trees() -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def _imported(name: str, *, typing_too: bool) -> Iterator[str]:
    """Yield the modules of ours that one imports, lazily or not; a package's face only hands names on."""
    for node in _walk(_trees()[name], typing_too=typing_too):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (module for module in whole if module in MODULES)
            if any(module not in MODULES for module in whole):
                yield node.module


def _walk(tree: ast.AST, *, typing_too: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not typing_too and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _walk(node, typing_too=typing_too)


def test_no_files_import_each_other_in_a_circle():
    graph = {name: set(_imported(name, typing_too=True)) - {name} for name in MODULES}
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        assert name not in path, "circle: " + " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for other in sorted(graph[name]):
            if not (name in packages and other.startswith(name + ".")):  # what it hands on, its modules may use
                visit(other)
        path.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


def test_files_can_be_read_at_a_sitting():
    long = {
        str(p.relative_to(SOURCE)): n for p in MODULES.values() if (n := len(p.read_text("utf-8").splitlines())) > FILE_LINES
    }
    assert not long


def test_functions_can_be_read_at_a_glance():
    long = {}
    for name, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                doc = node.body[0] if ast.get_docstring(node) is not None else None
                lines -= 0 if doc is None else doc.end_lineno - doc.lineno + 1
                if lines > FUNCTION_LINES:
                    long[f"{name}:{node.name}"] = lines
    assert not long


def test_no_class_is_a_tower_of_our_own_bases():
    bases = {
        node.name: [ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases]
        for tree in _trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }

    def ancestors(name: str) -> set[str]:
        return {a for base in bases.get(name, ()) if base in bases for a in {base} | ancestors(base)}

    high = {name: sorted(found) for name in bases if len(found := ancestors(name)) > OWN_BASES and not name.endswith("Error")}
    assert not high


def test_one_name_one_thing():
    names = Counter(path.name for path in MODULES.values() if path.name not in ("__init__.py", "__main__.py"))
    assert [name for name, n in names.items() if n > 1] == []
    classes = Counter(
        node.name
        for tree in _trees().values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, n in classes.items() if n > 1] == []


def test_what_is_long_is_slow_too_and_nothing_is_marked_twice(request):
    """So the inner loop leaves both out, and a bare ``pytest`` one."""
    [plugin] = [p for p in request.config.pluginmanager.get_plugins() if getattr(p, "__file__", "") == str(CONFTEST)]

    def marked(*names):
        def test():
            pass

        for name in names:
            getattr(pytest.mark, name)(test)
        item = pytest.Function.from_parent(request.node.parent, name="test", callobj=test)
        plugin.pytest_collection_modifyitems([item])
        return {mark.name for mark in item.iter_markers()}

    assert marked() == set()
    assert marked("slow") == {"slow"}
    assert marked("long") == {"slow", "long"}
    with pytest.raises(pytest.UsageError, match="Keep one"):
        marked("slow", "long")
