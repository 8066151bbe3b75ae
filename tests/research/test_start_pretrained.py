"""A start beside a pretrained trunk: what was learned is kept, what is new is fitted to the material."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2s.model.checkpoints import load_model
from napari_sam2s.model.efficientnet_lite import EfficientNetLite
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from research.material import Material
from research.start_pretrained import CELLS, start

CONFIG = replace(CONFIGS["sam2s-nano"], image_size=128, interactive=True)


@pytest.fixture
def files(tmp_path):
    torch.manual_seed(0)
    torch.save({"model": SAM2S(CONFIG).state_dict(), "config": CONFIG.to_dict(), "sam2s": {}}, tmp_path / "nano.pt")
    lite = {"model": EfficientNetLite(16).state_dict(), "sam2s": {"provenance": {"licence": "Apache-2.0"}}}
    torch.save(lite, tmp_path / "lite.pt")
    rng = np.random.default_rng(0)
    videos = [rng.integers(0, 256, (6, 40, 60, 3), dtype=np.uint8)]
    Material(videos, [], []).save(tmp_path / "train.npz")
    return tmp_path


@pytest.mark.slow
def test_a_start_keeps_what_was_learned_and_whitens_nothing_away(files):
    checkpoint, kept = start(str(files / "nano.pt"), files / "lite.pt", files / "train.npz", None, 32, 16)
    torch.save(checkpoint, files / "start.pt")
    earlier, model = (load_model(files / name, device="cpu") for name in ("nano.pt", "start.pt"))
    assert 0.3 < kept <= 1
    assert CELLS < 16**2  # cells of stride 8 are drawn without repeating one
    assert model.metadata["pretrained"]["licence"] == "Apache-2.0"
    image = torch.randn(1, 3, 128, 128)
    a, b = earlier.encode(image), model.encode(image)
    torch.testing.assert_close(a.embedding, b.embedding)
    torch.testing.assert_close(a.keys, b.keys[:, :44])
    lengths = b.keys[:, 44:].square().sum(1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 20.0 / float(model.matching.log_scale.exp())))
    keys = b.keys[:, 44:].flatten(2)
    assert keys.std(dim=2).mean() > 0.05  # centred: cells are told apart
