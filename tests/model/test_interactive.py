"""The head for first prompts: beside the network's own decoder, and without touching what that one does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_sam2s.errors import ModelError
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS, NANO_LITE
from napari_sam2s.tracking.tracker import Tracker

NANO = replace(CONFIGS["sam2s-nano"], image_size=64, interactive=True)
LITE = replace(NANO_LITE, image_size=64, interactive=True)
DEEP_TRUNK = replace(LITE, trunk=replace(LITE.trunk, cut=32))
CLICK = {"points": torch.tensor([[[20.0, 30.0]]]), "labels": torch.tensor([[1]])}


@pytest.fixture
def nano():
    torch.manual_seed(0)
    return SAM2S(NANO).eval().requires_grad_(False)


@pytest.fixture
def frame():
    return np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def seen(model, frame):
    image = model.prepare(frame)
    return model.encode(image), model.encode_interactive(image)


@pytest.mark.parametrize("config", [NANO, DEEP_TRUNK, replace(LITE, prompt_deep=True)], ids=["conv", "cut at 32", "deep head"])
def test_a_new_head_answers_as_the_network_it_starts_from(frame, config):
    torch.manual_seed(0)
    # The class token is one more token that the network's own decoder has and the head has not.
    model = SAM2S(replace(config, semantic=False)).eval().requires_grad_(False)
    for join in model.image_encoder.trunk.joins:
        join.weight.normal_(std=0.1)  # as one that has learned to use the pretrained maps
    model.interactive.start_from(model.state_dict())
    features, interactive = seen(model, frame)
    for mask in (None, torch.randn(1, 1, 16, 16)):
        expected = model.decode(model.attend(features, None), mask=mask, **CLICK)
        answer = model.segment(features, interactive, mask=mask, **CLICK)
        torch.testing.assert_close(answer.all_logits, expected.all_logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(answer.iou, expected.iou, atol=1e-5, rtol=1e-5)


def test_without_a_head_first_prompts_are_decoded_as_in_sam2(frame):
    model = SAM2S(replace(NANO, interactive=False)).eval().requires_grad_(False)
    features, interactive = seen(model, frame)
    assert interactive is None
    answer, expected = model.segment(features, interactive, **CLICK), model.decode(model.attend(features, None), **CLICK)
    assert torch.equal(answer.logits, expected.logits)
    assert torch.equal(answer.pointer, expected.pointer)


def test_a_clicked_object_is_remembered_as_if_the_user_had_given_its_mask(nano, frame):
    nano.interactive.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(50.0)  # it is there
    features, interactive = seen(nano, frame)
    answer = nano.segment(features, interactive, **CLICK)
    shape = F.interpolate(answer.logits, size=(64, 64), mode="bilinear", align_corners=False) > 0
    assert 0 < shape.float().mean() < 1
    given = nano.decode_mask(features, shape.float())
    assert torch.equal(answer.pointer, given.pointer)
    assert torch.equal(answer.class_embedding, given.class_embedding)


def test_what_is_not_there_has_no_mask_and_no_pointer(nano, frame):
    nano.interactive.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(-50.0)
    answer = nano.segment(*seen(nano, frame), **CLICK)
    assert (answer.logits < 0).all()
    assert torch.equal(answer.pointer, nano.no_obj_ptr)


def test_objects_prompted_together_do_not_see_each_other(nano, frame):
    looked = seen(nano, frame)
    points = torch.tensor([[[20.0, 30.0], [0, 0]], [[5.0, 8.0], [40.0, 50.0]], [[30.0, 30.0], [9.0, 50.0]]])
    labels = torch.tensor([[1, -1], [2, 3], [1, 0]])
    together = nano.segment(*looked, points=points, labels=labels)
    for n in range(3):
        alone = nano.segment(*looked, points=points[n : n + 1], labels=labels[n : n + 1])
        torch.testing.assert_close(alone.logits[0], together.logits[n], atol=1e-4, rtol=1e-4)


def test_places_of_points_that_are_none_do_not_matter(nano, frame):
    looked = seen(nano, frame)
    labels = torch.tensor([[1, -1]])
    one = nano.segment(*looked, points=torch.tensor([[[20.0, 30.0], [0.0, 0.0]]]), labels=labels)
    other = nano.segment(*looked, points=torch.tensor([[[20.0, 30.0], [50.0, 9.0]]]), labels=labels)
    assert torch.equal(one.logits, other.logits)


def test_tracking_does_not_know_of_the_head(nano, frame):
    """From the same first mask on, a network tracks the same with and without."""
    bare = SAM2S(replace(NANO, interactive=False)).eval().requires_grad_(False)
    bare.load_state_dict({n: w for n, w in nano.state_dict().items() if not n.startswith("interactive.")})
    video = np.stack([np.roll(frame, t, axis=1) for t in range(4)])
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:40, 10:30] = True
    found = []
    for model in (nano, bare):
        tracker = Tracker(model, video)
        tracker.prompt(1, frame=0, mask=mask)
        found.append([masks[1] for _, masks in tracker.propagate()])
    np.testing.assert_array_equal(*found)


def test_the_tracker_asks_the_head_first_and_memory_later(nano, frame, monkeypatch):
    asked, looked = [], []
    segment, encode = SAM2S.segment, SAM2S.encode_interactive
    monkeypatch.setattr(SAM2S, "segment", lambda m, *f, **k: asked.append(k["labels"].tolist()) or segment(m, *f, **k))
    monkeypatch.setattr(SAM2S, "encode_interactive", lambda m, image: looked.append(1) or encode(m, image))
    tracker = Tracker(nano, np.stack([frame] * 4))
    tracker.prompt(1, frame=0, points=[(30, 20)])
    tracker.prompt(1, frame=0, points=[(5, 5)], labels=[0])
    for _ in tracker.propagate():
        pass
    tracker.prompt(1, frame=3, points=[(30, 20)])  # a correction: looks with what is remembered
    assert asked == [[[1]], [[1, 0]]]
    assert len(looked) == 1  # once a frame, not once a click
    tracker.prompt(2, frame=2, points=[(30, 20)])
    assert len(looked) == 2


def test_sam2_cannot_have_one():
    with pytest.raises(ModelError, match="interactive head"):
        replace(CONFIGS["sam2.1-tiny"], interactive=True)
