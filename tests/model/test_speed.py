"""Fast mode: what it does, and that it stays near the exact result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2s.errors import ModelError
from napari_sam2s.model import CONFIGS, SAM2S, Speed, apply_speed, load_model
from napari_sam2s.model.speed import Int8Linear, fast_image_size, fast_speed, multiplies_bf16
from napari_sam2s.model.stages import Memories


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("sam2.1-tiny", 1024, 896),
        ("sam2.1-base-plus", 512, 448),
        ("sam2.1-small", 96, 224),
        ("sam2.1-large", 1024, 1024),
        ("sam2s-nano", 256, 256),
    ],
)
def test_inputs_without_padded_windows(name, size, expected):
    assert fast_image_size(replace(CONFIGS[name], image_size=size)) == expected


@pytest.mark.parametrize(
    ("device", "tiles", "trunk", "attention"),
    [("cpu", False, "int8", "exact"), ("cpu", True, "bf16", "bf16"), ("cuda", False, "bf16", "bf16")],
)
def test_the_arithmetic_is_what_pays_on_the_device(monkeypatch, device, tiles, trunk, attention):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles, raising=False)
    speed = fast_speed(CONFIGS["sam2.1-tiny"], torch.device(device))
    assert (speed.trunk, speed.attention) == (trunk, attention)
    nano = fast_speed(CONFIGS["sam2s-nano"], torch.device(device))
    assert (nano.trunk, nano.attention) == ("exact", "exact")


def test_a_torch_that_does_not_say_has_no_tiles(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert not multiplies_bf16(torch.device("cpu"))


def test_eight_bits_are_near():
    torch.manual_seed(0)
    linear = torch.nn.Linear(96, 200)
    x = torch.randn(2, 5, 7, 96)
    with torch.inference_mode():
        exact, rounded = linear(x), Int8Linear(linear)(x)
    assert rounded.shape == exact.shape
    assert float((rounded - exact).norm() / exact.norm()) < 0.03
    assert not torch.equal(rounded, exact)
    with torch.inference_mode():
        torch.testing.assert_close(Int8Linear(linear)(x), rounded)


@pytest.mark.parametrize(("trunk", "near"), [("int8", 0.15), ("bf16", 0.1)])
def test_a_whole_trunk_in_low_precision_is_near(trunk, near):
    torch.manual_seed(0)
    model = SAM2S(replace(CONFIGS["sam2.1-tiny"], image_size=64)).eval()
    image = torch.randn(1, 3, 64, 64)  # small: windows are padded here
    with torch.inference_mode():
        exact = model.encode(image).embedding
        apply_speed(model, Speed(trunk=trunk))
        rounded = model.encode(image).embedding
    assert model.speed.trunk == trunk
    assert rounded.dtype == torch.float32
    error = float((rounded - exact).norm() / exact.norm())
    assert 0 < error < near


@pytest.mark.parametrize("count", [1, 3])
def test_memory_attention_in_bfloat16_is_near(count):
    torch.manual_seed(0)
    model = SAM2S(replace(CONFIGS["sam2.1-tiny"], image_size=64)).eval()
    memories = Memories(
        maps=torch.randn(count, 2, 64, 4, 4).bfloat16(),
        slots=torch.tensor([[6, 0]]).expand(count, -1),
        pointers=torch.randn(count, 3, 256),
        distances=torch.rand(count, 3),
        pointers_valid=torch.tensor([[True, True, False]]).expand(count, -1),
    )
    with torch.inference_mode():
        features = model.encode(torch.randn(1, 3, 64, 64))
        exact = model.attend(features, memories).embedding
        apply_speed(model, Speed(attention="bf16"))
        rounded = model.attend(features, memories).embedding
    assert rounded.dtype == torch.float32
    assert 0 < float((rounded - exact).norm() / exact.norm()) < 0.02


def test_loading_in_fast_mode():
    model = load_model(device="cpu", mode="fast")
    assert model.speed == Speed(pooled_memory=True, memories=4, plain_outlines=True)
    assert model.metadata["mode"] == "fast"
    assert load_model(device="cpu").speed == Speed()
    with pytest.raises(ModelError, match="'quick'"):
        load_model(mode="quick")


@pytest.mark.slow
def test_fast_masks_are_near_exact_ones():
    from napari_sam2s.synthetic.samples import demo_case
    from napari_sam2s.tracking import Tracker

    case = demo_case(9, size=(120, 160))
    video = np.stack([case[t] for t in range(9)])
    last = []
    for mode in ("exact", "fast"):
        tracker = Tracker(load_model(device="cpu", mode=mode, image_size=192), video)
        tracker.prompt(1, 0, mask=case.masks(0)[1])
        last.append([masks[1] for _, masks in tracker.propagate()][-1])
    assert not np.array_equal(*last)
    assert np.count_nonzero(last[0] & last[1]) > 0.7 * np.count_nonzero(last[0] | last[1])


@pytest.mark.parametrize(("trunk", "near"), [("exact", 0.05), ("int8", 0.15)])
def test_mixed_precision_is_near_and_works_with_a_trunk_in_8_bits(trunk, near):
    torch.manual_seed(0)
    model = SAM2S(replace(CONFIGS["sam2.1-tiny"], image_size=64)).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        exact = model.encode(image).embedding
        model.arithmetic = torch.bfloat16
        apply_speed(model, Speed(trunk=trunk))
        mixed = model.encode(image).embedding
    assert next(model.parameters()).dtype == torch.float32
    error = float((mixed.float() - exact).norm() / exact.norm())
    assert 0 < error < near


def test_loading_in_bfloat16():
    assert load_model(device="cpu", dtype=torch.bfloat16).arithmetic == torch.bfloat16
    assert load_model(device="cpu").arithmetic is None
    with pytest.raises(ModelError, match=r"torch\.float64 is not one of"):
        load_model(device="cpu", dtype=torch.float64)
