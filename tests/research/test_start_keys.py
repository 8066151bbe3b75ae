"""Longer pretrained keys: what was learned is kept, and a match reads as long as it did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_sam2s.model.checkpoints import load_model
from napari_sam2s.model.matching import PATCH
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import NANO_LITE
from research.start_keys import half_white, largest, start

CONFIG = replace(NANO_LITE, image_size=128)


def pictures():
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (40, 60, 3), dtype=np.uint8) for _ in range(4))


def test_a_start_keeps_what_was_learned_and_weighs_both_keys(tmp_path):
    torch.manual_seed(0)
    torch.save({"model": SAM2S(CONFIG).state_dict(), "config": CONFIG.to_dict(), "sam2s": {}}, tmp_path / "nano.pt")
    checkpoint = start(str(tmp_path / "nano.pt"), pictures(), keys=48, weight=25.0, learned_keys=44, learned=10.0)
    torch.save(checkpoint, tmp_path / "start.pt")
    earlier, model = (load_model(tmp_path / name, device="cpu") for name in ("nano.pt", "start.pt"))
    assert (model.config.match_pretrained, model.config.match_unit) == (48, True)
    image = torch.randn(1, 3, 128, 128)
    a, b = earlier.encode(image), model.encode(image)
    torch.testing.assert_close(a.embedding, b.embedding)
    own, turned = a.keys[0, :44].flatten(1), b.keys[0, :44].flatten(1)
    torch.testing.assert_close(own.T @ own, turned.T @ turned, atol=1e-4, rtol=0)  # turned, and as alike as they were
    assert float(model.matching.log_scale.exp()) == pytest.approx(10)
    lengths = b.keys[:, 44:].square().sum(1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 2.5))
    old, new = (m.matching.mix[0].weight for m in (earlier, model))
    readings = PATCH + 2
    ratio = (new / old).mean(dim=(0, 2, 3))
    assert ratio[[0, PATCH, readings, readings + PATCH]].tolist() == pytest.approx([1.0] * 4)
    likeness = a.keys[:, 44:].square().sum(1).mean() / 2.5  # of another picture than those that it was scaled by
    assert ratio[[PATCH + 1, readings + PATCH + 1]].tolist() == pytest.approx([float(likeness)] * 2, rel=0.3)


def test_fewer_learned_keys_keep_what_tells_most_cells_apart():
    torch.manual_seed(0)
    cells = torch.randn(500, 6).double() * torch.tensor([0.1, 3, 0.1, 2, 0.1, 0.1])
    kept = largest(cells, 2)
    torch.testing.assert_close(kept.abs().argmax(dim=1), torch.tensor([1, 3]))
    torch.testing.assert_close(kept @ kept.T, torch.eye(2), atol=1e-5, rtol=0)


def test_keys_of_unit_maps_do_not_change_with_contrast(tmp_path):
    torch.manual_seed(0)
    keys = SAM2S(replace(CONFIG, match_unit=True)).matching.pretrained
    fine, coarse, embedding = torch.randn(1, 40, 16, 16), torch.randn(1, 112, 8, 8), torch.randn(1, 128, 8, 8)
    torch.testing.assert_close(keys(fine, coarse, embedding), keys(3 * fine, 0.5 * coarse, embedding))


def test_whitening_makes_variances_equal_and_half_of_it_their_roots():
    torch.manual_seed(0)
    cells = F.normalize(torch.randn(4000, 6).double() * torch.tensor([8.0, 4, 2, 1, 0.5, 0.25]), dim=1) + 3
    for whitening in (0.0, 0.5, 1.0):
        kernel, bias = half_white(cells, 3, whitening)
        found = cells.float() @ kernel.T + bias
        torch.testing.assert_close(found.mean(dim=0), torch.zeros(3), atol=1e-3, rtol=0)
        values = torch.linalg.eigvalsh(torch.cov(cells.T)).flip(0)[:3].float()
        torch.testing.assert_close(torch.cov(found.T).diagonal(), values ** (1 - whitening), rtol=0.01, atol=0)
