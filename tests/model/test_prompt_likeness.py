"""Likeness of a frame's cells to what was clicked: against numbers worked out by hand, and without any effect to begin with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_sam2s.errors import ModelError
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS, NANO_LITE
from napari_sam2s.model.prompt_likeness import PromptLikeness

BARE = replace(NANO_LITE, image_size=64, interactive=True)
ALIKE = replace(BARE, prompt_likeness=8)
SIDE = 8  # cells of stride 8


@pytest.fixture
def likeness():
    torch.manual_seed(0)
    return PromptLikeness(ALIKE).requires_grad_(False)


@pytest.fixture
def keys():
    torch.manual_seed(1)
    return F.normalize(torch.randn(1, 8, SIDE, SIDE), dim=1)


def centre(row, column):
    """Return the pixel (x, y) in the middle of a cell, as the encoder counts: the first pixel's middle is 0."""
    return [8 * column + 3.5, 8 * row + 3.5]


def test_cells_are_compared_with_the_clicked_ones_by_cosine(likeness, keys):
    points = torch.tensor([[centre(1, 2), centre(5, 6), centre(7, 0)]])
    maps = likeness.maps(keys, points, torch.tensor([[1, 1, 0]]), 64)
    one, other, away = (torch.einsum("k,kyx->yx", keys[0, :, y, x], keys[0]) for y, x in ((1, 2), (5, 6), (7, 0)))
    torch.testing.assert_close(maps[0, 0], torch.maximum(one, other))
    torch.testing.assert_close(maps[0, 1], away)
    assert maps[0, 0, 1, 2] == pytest.approx(1.0)
    assert not maps[0, 2].any()  # no box


def test_a_box_tells_its_inside_from_its_outside(likeness):
    keys = torch.zeros(1, 8, SIDE, SIDE)
    keys[:, 0], keys[:, 0, 2:5, 3:6], keys[:, 1, 2:5, 3:6] = 1.0, 0.0, 1.0  # a square that looks otherwise
    box = torch.tensor([[[24.0, 16.0], [47.0, 39.0]]])
    maps = likeness.maps(keys, box, torch.tensor([[2, 3]]), 64)
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[2:5, 3:6] = True
    torch.testing.assert_close(maps[0, 2][inside], torch.full((9,), 0.5**0.5))
    torch.testing.assert_close(maps[0, 2][~inside], torch.full((55,), -(0.5**0.5)))
    assert not maps[0, :2].any()  # no clicks


def test_a_box_without_a_cell_says_nothing(likeness, keys):
    maps = likeness.maps(keys, torch.tensor([[[24.5, 16.5], [26.0, 18.0]]]), torch.tensor([[2, 3]]), 64)
    assert not maps.any()


def test_points_that_are_none_do_not_count(likeness, keys):
    maps = likeness.maps(keys, torch.tensor([[centre(1, 2), [0.0, 0.0]]]), torch.tensor([[1, -1]]), 64)
    torch.testing.assert_close(maps, likeness.maps(keys, torch.tensor([[centre(1, 2)]]), torch.tensor([[1]]), 64))


def test_a_click_beyond_the_border_means_the_nearest_cell(likeness, keys):
    maps = likeness.maps(keys, torch.tensor([[[-9.0, 80.0]]]), torch.tensor([[1]]), 64)
    assert maps[0, 0, 7, 0] == pytest.approx(1.0)


def test_nothing_changes_to_begin_with_and_everything_can_later():
    torch.manual_seed(0)
    bare, alike = SAM2S(BARE).eval().requires_grad_(False), SAM2S(ALIKE).eval().requires_grad_(False)
    new = {n: w for n, w in alike.state_dict().items() if n.startswith("interactive.likeness.")}
    alike.load_state_dict({**bare.state_dict(), **new})
    frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    said = {"points": torch.tensor([[[20.0, 30.0]]]), "labels": torch.tensor([[1]])}
    before = bare.segment(None, bare.encode_prompted(frame), **said).all_logits
    seen = alike.encode_prompted(frame)
    assert torch.equal(alike.segment(None, seen, **said).all_logits, before)
    alike.interactive.likeness.to_skip.weight.normal_()
    changed = alike.segment(None, seen, **said).all_logits
    assert not torch.equal(changed, before)
    assert changed.isfinite().all()


def test_the_second_comparison_is_by_maps_of_unit_length():
    torch.manual_seed(0)
    likeness = PromptLikeness(replace(ALIKE, prompt_unit=6)).requires_grad_(False)
    fine = [torch.randn(1, 40, SIDE, SIDE), torch.randn(1, 112, SIDE // 2, SIDE // 2)]
    brighter = [part * (1 + 9 * torch.rand(1, 1, *part.shape[2:])) for part in fine]  # by another factor in each cell
    plain, bright = (likeness.keys([None, None, *maps]) for maps in (fine, brighter))
    assert plain.shape == (1, 8 + 6, SIDE, SIDE)
    torch.testing.assert_close(plain[:, 8:], bright[:, 8:])
    assert not torch.allclose(plain[:, :8], bright[:, :8], atol=0.01)
    points, labels = torch.tensor([[centre(1, 2)]]), torch.tensor([[1]])
    both = likeness.maps(plain, points, labels, 64)
    assert both.shape == (1, 6, SIDE, SIDE)
    torch.testing.assert_close(both[0, 3], torch.einsum("k,kyx->yx", plain[0, 8:, 1, 2], plain[0, 8:]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt_unit": 8}, "unit length alone"),
        ({"prompt_deep": True, "interactive": False}, "cut at stride 16"),
        ({"prompt_deep": True, "trunk": replace(BARE.trunk, cut=32)}, "cut at stride 16"),
    ],
)
def test_what_a_deeper_head_needs(settings, message):
    with pytest.raises(ModelError, match=message):
        replace(BARE, **settings)


def test_it_takes_a_pretrained_trunk_and_a_head_for_first_prompts():
    for config in (replace(CONFIGS["sam2s-nano"], interactive=True), replace(BARE, interactive=False)):
        with pytest.raises(ModelError, match="interactive head and a pretrained trunk"):
            replace(config, prompt_likeness=8)
