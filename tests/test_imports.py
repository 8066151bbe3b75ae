"""The lightness of importing the packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

import napari_sam2s

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
