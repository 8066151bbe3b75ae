"""The arrows between packages, and the lightness of importing them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_sam2s

SOURCE = Path(napari_sam2s.__file__).parent
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
EXCEPTIONS = {("masklets", "formats")}
OWNERS = {
    "torch": {"model", "tracking", "training"},
    "napari": {"widgets"},
    "qtpy": {"widgets"},
    "magicgui": {"widgets"},
}
OWNERS |= {"vispy": {"widgets"}, "safetensors": {"model", "tracking", "training"}}


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it in full"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE)


def test_there_are_modules():
    assert len(MODULES) > 10


def test_arrows_go_one_way():
    wrong = []
    for path in MODULES:
        package = path.relative_to(SOURCE).parts[0]
        for name in _imports(path):
            root, *rest = name.split(".")
            if root in OWNERS and package not in OWNERS[root]:
                wrong.append(f"{path} imports {name}: only {OWNERS[root]} may")
            ours = root == "napari_sam2s" and rest and rest[0] in LEVEL and rest[0] != package
            if ours and LEVEL[rest[0]] >= LEVEL[package] and (package, rest[0]) not in EXCEPTIONS:
                wrong.append(f"{path} imports {name} against the arrows")
    assert not wrong


FACES = ("masklets", "video", "formats", "evaluation", "datasets", "synthetic", "measurements", "batching", "cli")
LIGHT = """
import importlib, sys
for face in sys.argv[1:]:
    importlib.import_module(face)
    print(*(f"{face} imports {m}" for m in ("torch", "napari", "qtpy", "PyQt6", "PySide6") if sys.modules.pop(m, None)), end="")
"""


def test_imports_are_light():
    faces = ["napari_sam2s", *(f"napari_sam2s.{package}" for package in FACES)]
    result = subprocess.run([sys.executable, "-c", LIGHT, *faces], capture_output=True, text=True, check=True, timeout=300)
    assert result.stdout == ""


def test_public_names_exist_and_unknown_ones_do_not():
    for name in napari_sam2s.__all__:
        assert getattr(napari_sam2s, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        napari_sam2s.nonsense  # noqa: B018
