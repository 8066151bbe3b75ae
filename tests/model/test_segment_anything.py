"""Segment Anything's head: the numbers of MobileSAM's own code, and tracking left as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2s.errors import ModelError
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.model.segment_anything import SegmentAnythingHead
from napari_sam2s.tracking.tracker import Tracker
from research.convert_mobile_sam import convert
from tests.model.mobile_sam_weights import GOLDEN, shapes, weights_of

SIDE = 112
PLAIN = replace(CONFIGS["sam2s-nano"], image_size=64)
CONFIG = replace(PLAIN, interactive=True, prompt_side=SIDE)


@pytest.fixture(scope="module")
def weights():
    return convert(weights_of(shapes()))


@pytest.fixture(scope="module")
def head(weights):
    head = SegmentAnythingHead(SIDE).eval().requires_grad_(False)
    head.load_state_dict(weights)  # strict: every tensor has its name and its shape
    return head


@pytest.fixture(scope="module")
def network(weights):
    torch.manual_seed(0)
    model = SAM2S(CONFIG).eval().requires_grad_(False)
    model.interactive.load_state_dict(weights)
    return model


PROMPTS = {
    "click": ([[40.0, 60.0]], [1], None),
    "clicks": ([[40.0, 60.0], [10.0, 20.0]], [1, 0], torch.linspace(-5, 5, 28**2).view(1, 1, 28, 28)),
    "box": ([[20.0, 30.0], [90.0, 80.0]], [2, 3], None),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_it_has_the_numbers_of_the_official_code(head, name):
    golden = np.load(GOLDEN / "mobile_sam.npz")  # of MobileSAM's own code with weights of the same names and seeds
    features = head.encode(torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5)))
    np.testing.assert_allclose(features.embedding, golden["embedding"], atol=2e-5)
    points, labels, mask = PROMPTS[name]
    out = head(features, torch.tensor([points]), torch.tensor([labels]), mask, SIDE)
    np.testing.assert_allclose(out.logits, golden[f"{name}_logits"], atol=1e-4)
    np.testing.assert_allclose(out.iou, golden[f"{name}_iou"], atol=1e-5)
    assert (out.object_score > 0).all()  # SAM's objects are there


def test_clicks_are_scaled_to_its_own_side(head):
    """A frame that comes at half the side is brought to it, with its clicks: the centre of a pixel stays one."""
    image = torch.randn(1, 3, SIDE // 2, SIDE // 2, generator=torch.Generator().manual_seed(5))
    larger = torch.nn.functional.interpolate(image, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    labels = torch.tensor([[1]])
    small = head(head.encode(image), torch.tensor([[[20.0, 30.0]]]), labels, None, SIDE // 2)
    large = head(head.encode(larger), torch.tensor([[[40.5, 60.5]]]), labels, None, SIDE)
    reduced = torch.nn.functional.interpolate(large.logits, (14, 14), mode="bilinear", align_corners=False, antialias=True)
    torch.testing.assert_close(small.logits, reduced)


@torch.inference_mode()
def test_it_sees_frames_at_another_side_where_it_is_told(head):
    other = SegmentAnythingHead(2 * SIDE).eval()
    other.load_state_dict(head.state_dict())
    image = torch.randn(1, 3, 2 * SIDE, 2 * SIDE, generator=torch.Generator().manual_seed(5))
    points, labels = torch.tensor([[[40.0, 60.0]]]), torch.tensor([[1]])
    told, own = (at(at.encode(image, side=side), points, labels, None, SIDE) for at, side in ((head, 2 * SIDE), (other, 0)))
    assert told.logits.shape == (1, 4, SIDE // 4, SIDE // 4)
    assert torch.equal(told.logits, own.logits)


def test_weights_that_are_loaded_later_are_used(head):
    image = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    other = SegmentAnythingHead(SIDE).eval()
    with torch.inference_mode():
        before = other.encode(image).embedding
    other.load_state_dict(head.state_dict())
    with torch.inference_mode():
        assert not torch.allclose(other.encode(image).embedding, before, atol=1e-2)
        torch.testing.assert_close(other.encode(image).embedding, head.encode(image).embedding)


def test_a_network_tracks_the_same_with_and_without_it(network):
    weights = {name: value for name, value in network.state_dict().items() if not name.startswith("interactive.")}
    plain = SAM2S(PLAIN).eval()
    plain.load_state_dict(weights)
    video = np.random.default_rng(0).integers(0, 255, (4, 40, 60, 3), dtype=np.uint8)
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:30, 20:45] = True
    found = []
    for model in (plain, network):
        tracker = Tracker(model, video)
        tracker.prompt(1, 0, mask=mask)
        found.append([masks[1] for _, masks in tracker.propagate()])
    assert np.array_equal(found[0], found[1])


def test_it_answers_clicks_through_a_tracker_with_candidates(network):
    video = np.random.default_rng(0).integers(0, 255, (2, 40, 60, 3), dtype=np.uint8)
    tracker = Tracker(network, video)
    tracker.prompt(1, 0, points=[(20, 30)])
    assert 0 <= tracker.scores(0)[1].iou <= 1
    assert 1 <= len(tracker.candidates(0, points=[(20, 30)])) <= 3
    refined = tracker.prompt(1, 0, points=[(5, 5)], labels=[0])
    assert refined.shape == (40, 60)


def test_predicted_iou_is_at_most_one(network):
    bias = network.interactive.mask_decoder.iou_prediction_head.layers[-1].bias
    before = bias.clone()
    bias += 5
    try:
        tracker = Tracker(network, np.random.default_rng(0).integers(0, 255, (1, 40, 60, 3), dtype=np.uint8))
        tracker.prompt(1, 0, points=[(20, 30)])
        assert tracker.scores(0)[1].iou == 1
        assert {c.iou for c in tracker.candidates(0, points=[(20, 30)])} == {1.0}
    finally:
        bias.copy_(before)


def test_it_answers_in_mixed_precision(network):
    """What makes masks smaller is not there in bfloat16."""
    video = np.random.default_rng(0).integers(0, 255, (1, 40, 60, 3), dtype=np.uint8)
    exact = Tracker(network, video).candidates(0, points=[(20, 30)])
    network.arithmetic = torch.bfloat16
    try:
        mixed = Tracker(network, video).candidates(0, points=[(20, 30)])
    finally:
        network.arithmetic = None
    assert [c.iou for c in mixed] == pytest.approx([c.iou for c in exact], abs=0.05)


@pytest.mark.parametrize("wrong", [{"prompt_side": 100}, {"interactive": False}, {"prompt_likeness": 8}, {"outline_side": 50}])
def test_settings_that_do_not_go_together_are_refused(wrong):
    with pytest.raises(ModelError, match="cannot"):
        replace(CONFIG, **wrong)
