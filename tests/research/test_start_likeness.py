"""A start that compares cells with what was clicked: nothing is answered otherwise, and nothing that was learned is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2s.model.checkpoints import load_model
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import NANO_LITE
from research.start_likeness import start


@pytest.mark.slow
def test_a_start_answers_as_before_and_compares_by_the_keys_of_matching(tmp_path):
    torch.manual_seed(0)
    config = replace(NANO_LITE, image_size=64, interactive=True)
    before = {"model": SAM2S(config).state_dict(), "config": config.to_dict(), "sam2s": {"provenance": {"seed": 3}}}
    torch.save(before, tmp_path / "nano.pt")
    torch.save(start(str(tmp_path / "nano.pt")), tmp_path / "start.pt")
    earlier, model = (load_model(tmp_path / name, device="cpu") for name in ("nano.pt", "start.pt"))
    assert model.config == replace(config, prompt_likeness=32)
    assert model.metadata["provenance"]["seed"] == 3
    frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    said = {"points": torch.tensor([[[20.0, 30.0]]]), "labels": torch.tensor([[1]])}
    answers = [m.segment(None, m.encode_prompted(frame), **said).all_logits for m in (earlier, model)]
    assert torch.equal(*answers)
    likeness, matching = model.interactive.likeness, earlier.matching.pretrained
    assert torch.equal(likeness.fine.weight, matching.fine.weight)
    assert torch.equal(likeness.coarse.bias, matching.coarse.bias)
