"""A start that sees more of the pretrained trunk: nothing is answered otherwise, and what is new is what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2s.model.checkpoints import load_model
from napari_sam2s.model.efficientnet_lite import EfficientNetLite
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import NANO_LITE
from research.start_deep import start


@pytest.mark.slow
def test_a_start_answers_as_before_and_sees_the_deepest_maps(tmp_path):
    torch.manual_seed(0)
    config = replace(NANO_LITE, image_size=64, interactive=True, prompt_likeness=8, match_unit=True)
    network = SAM2S(config)
    for last in (network.interactive.likeness.to_dense, network.interactive.likeness.to_skip):
        torch.nn.init.normal_(last.weight, std=0.1)  # as a network that has learned to compare
    torch.save({"model": network.state_dict(), "config": config.to_dict(), "sam2s": {}}, tmp_path / "nano.pt")
    lite = EfficientNetLite(32)
    torch.save({"model": lite.state_dict(), "sam2s": {}}, tmp_path / "lite.pt")
    torch.save(start(str(tmp_path / "nano.pt"), tmp_path / "lite.pt"), tmp_path / "start.pt")
    earlier, model = (load_model(tmp_path / name, device="cpu") for name in ("nano.pt", "start.pt"))
    assert model.config == replace(config, prompt_unit=32, prompt_deep=True)
    frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    said = {"points": torch.tensor([[[20.0, 30.0]]]), "labels": torch.tensor([[1]])}
    before, after = (m.segment(None, m.encode_prompted(frame), **said).all_logits for m in (earlier, model))
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)
    head = model.interactive
    assert torch.equal(head.deep[0].project.weight, lite.stages[3][0].project.weight)
    assert torch.equal(head.likeness.unit_fine.weight, earlier.matching.pretrained.fine.weight)
    with torch.inference_mode():
        head.joins[1].weight.fill_(0.01)
    assert not torch.allclose(model.segment(None, model.encode_prompted(frame), **said).all_logits, after, atol=1e-3)
