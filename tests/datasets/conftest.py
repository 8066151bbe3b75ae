"""The trees of the source datasets, each made and converted once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from napari_sam2s.datasets import DATASETS, convert

_spec = importlib.util.spec_from_file_location("trees", Path(__file__).with_name("trees.py"))
trees_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(trees_module)


@pytest.fixture(scope="session")
def trees():
    """The module that makes trees."""
    return trees_module


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    """Return, for a dataset's name, the source, the target and the report of its conversion without a tracker."""
    made = {}

    def get(name):
        if name not in made:
            root = tmp_path_factory.mktemp(name.replace(".", "-"))
            (root / "source").mkdir()
            trees_module.TREES[name](root / "source")
            made[name] = root / "source", root / "target", convert(DATASETS[name], root / "source", root / "target")
        return made[name]

    return get
