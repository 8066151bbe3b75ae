"""The shape of the house: arrows go one way, no circles, no towers of bases, files and functions read at a sitting."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import napari_sam2s

SOURCE = Path(napari_sam2s.__file__).parent
ROOT = Path(__file__).parents[1]
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


def _imported(name: str) -> Iterator[str]:
    """Yield the modules of ours that one imports, lazily, for its types alone or not; a package's face only hands names on."""
    for node in ast.walk(_trees()[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (module for module in whole if module in MODULES)
            if any(module not in MODULES for module in whole):
                yield node.module


def test_no_files_import_each_other_in_a_circle():
    graph = {name: set(_imported(name)) - {name} for name in MODULES}
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


LEVEL = {  # a package imports packages of a lower level, or its neighbours in NEIGHBOURS
    "errors": 0,
    "masklets": 1,
    "model": 2,
    "video": 2,
    "synthetic": 3,
    "formats": 4,
    "measurements": 5,
    "evaluation": 5,
    "datasets": 5,
    "tracking": 5,
    "training": 6,
    "doctor": 6,
    "batching": 6,
    "widgets": 7,
    "cli": 7,
}
# `Project.export` is the one place where the file reaches up, so that a project can be saved in any format.
EXCEPTIONS = {("masklets", "formats"), ("formats", "measurements")}  # the latter: the table of objects is an export, too
OWNERS = {
    "torch": {"model", "tracking", "training"},
    "napari": {"widgets"},
    "qtpy": {"widgets"},
    "magicgui": {"widgets"},
}
OWNERS |= {"vispy": {"widgets"}, "safetensors": {"model", "tracking", "training"}}


def _names_imported(module: str) -> set[str]:
    """Return the modules that one imports, and whatever it takes from them as if it were a module."""
    found = set()
    for node in ast.walk(_trees()[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import; write it in full"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_arrows_go_one_way():
    wrong = []
    for module in (module for module in MODULES if "." in module):
        package = module.split(".")[1]
        for name in _names_imported(module):
            root, *rest = name.split(".")
            if root in OWNERS and package not in OWNERS[root]:
                wrong.append(f"{module} imports {name}: only {OWNERS[root]} may")
            ours = root == "napari_sam2s" and rest and rest[0] in LEVEL and rest[0] != package
            if ours and LEVEL[rest[0]] >= LEVEL[package] and (package, rest[0]) not in EXCEPTIONS:
                wrong.append(f"{module} imports {name} against the arrows")
    assert not wrong


DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
}  # whose names are not those of their modules


def test_dependencies_are_those_that_are_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    imported = {name.split(".")[0] for module in MODULES for name in _names_imported(module)}
    imported -= sys.stdlib_module_names | {"napari_sam2s"}
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "all" for line in lines]
    declared = {re.match(r"[\w-]+", line)[0] for line in (*project["dependencies"], *extras)}
    assert {DISTRIBUTIONS.get(m, m.replace("_", "-")) for m in imported} | {"npe2"} == declared  # npe2 reads the manifest


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


NOUNS = (
    "arrays bytes cells channels chunks classes cores directions files folders frames gaps images jumps labels links masks "
    "models names numbers objects pages parts phases pictures pieces pixels places points processes projects prompts runs "
    "spans steps streams stretches tensors threads times tracks values videos workers"
)
PLURAL = re.compile(rf"^ (?:[a-z]+ )?(?:{NOUNS.replace(' ', '|')})\b")
COMPARED = "{len(clip)} frames of {len(clip.objects)} objects"  # of training: a run from before holds it


def test_what_is_counted_in_a_sentence_may_be_one():
    """A length that a plural follows is written by `wording.counted`."""
    wrong = []
    for module, tree in _trees().items():
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)):
            for number, text in zip(node.values, node.values[1:], strict=False):
                call = number.value if isinstance(number, ast.FormattedValue) else None
                length = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "len"
                if length and isinstance(text, ast.Constant) and PLURAL.match(text.value):
                    wrong.append(f"{module}:{node.lineno}: {ast.unparse(node)}")
    assert [line for line in wrong if COMPARED not in line] == []
