"""What the tests of models share."""

from __future__ import annotations

import pytest
import torch

from napari_sam2s.model.checkpoints import WEIGHTS


@pytest.fixture(scope="session")
def nano():
    """What the built-in model's file holds, without the head for first prompts, which is two thirds of it."""
    held = torch.load(WEIGHTS / "sam2s-nano.pt", weights_only=True)
    weights = {name: value for name, value in held["model"].items() if not name.startswith("interactive.")}
    return {**held, "model": weights, "config": {**held["config"], "interactive": False, "prompt_side": 0}}


@pytest.fixture(scope="session")
def nano_file(nano, tmp_path_factory):
    """It in a file, to copy."""
    path = tmp_path_factory.mktemp("nano") / "nano.pt"
    torch.save(nano, path)
    return path
