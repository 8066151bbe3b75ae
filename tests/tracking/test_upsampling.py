"""Masks from logits: the same as interpolating the whole frame, of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_sam2s.tracking.upsampling import MaskUpsampler


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (20, 300), (64, 64), (97, 211), (600, 40)])
def test_as_interpolating_the_whole_frame(size):
    generator = torch.Generator().manual_seed(sum(size))
    upsample = MaskUpsampler(size)
    found = 0
    for share in (0.0, 0.0005, 0.01, 0.5, 1.0):
        for _ in range(20):
            logits = torch.where(torch.rand(64, 64, generator=generator) < share, 5.0, -1.0)
            logits += torch.randn(64, 64, generator=generator) / 10
            whole = F.interpolate(logits[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
            mask = upsample(logits)
            decided = whole.abs().numpy() > 1e-5
            np.testing.assert_array_equal(mask[decided], (whole > 0).numpy()[decided])
            found += mask.any()
    assert 20 < found < 100


def test_all_objects_at_once_as_one_by_one(monkeypatch):
    logits = torch.randn(5, 64, 64, generator=torch.Generator().manual_seed(0))
    upsample = MaskUpsampler((97, 211))
    monkeypatch.setattr("napari_sam2s.tracking.upsampling.TOGETHER_BYTES", 2 * 3 * 4 * 97 * 211)
    together = upsample.on_device(logits)
    assert (together.shape, together.dtype) == ((5, 97, 211), torch.bool)
    for low, mask in zip(logits, together, strict=True):
        assert (upsample(low) != mask.numpy()).mean() < 1e-4  # a logit that rounding takes across 0
