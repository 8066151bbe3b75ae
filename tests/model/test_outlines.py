"""The head for first prompts outlines what is tracked, and tracking remembers nothing of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2s import Tracker, load_model
from napari_sam2s.evaluation.region_and_boundary import iou
from napari_sam2s.model.edges import draw_edges
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.model.outlines import _outlined, boxes, with_outlines
from napari_sam2s.model.speed import Speed, fast_speed
from napari_sam2s.model.stages import Decoded
from napari_sam2s.synthetic.samples import demo_case
from tests.model.test_cuda_graphs import Waits

ABSENT, OBJECTS = -1024.0, 3


@pytest.fixture(scope="module")
def model():
    return load_model(device="cpu").eval()


@pytest.fixture(scope="module")
def tracked(model):
    """A disc on grey: as tracking found it (without a quarter, and ragged), an object that is absent, a mask of two cells."""
    side = model.image_size
    y, x = np.mgrid[:side, :side]
    truth = (y - 200) ** 2 + (x - 150) ** 2 < 60**2
    picture = np.full((side, side, 3), 60, np.uint8)
    picture[truth] = 220, 160, 40
    cells = np.mgrid[: side // 4, : side // 4]
    logits = torch.full((OBJECTS, 1, side // 4, side // 4), -6.0)
    rows, columns = cells[0] - 50, cells[1] - 37
    ragged = (rows**2 + columns**2 < 15**2) & ~((rows > 1) & (columns > 1)) & ((rows + columns) % 5 > 0)
    logits[0, 0][torch.from_numpy(ragged)] = 6.0
    logits[1] = ABSENT
    logits[2, 0, 50, 50:52] = 6.0
    with torch.inference_mode():
        features = model.encode_frame(picture)
    nothing = torch.zeros(OBJECTS)
    decoded = Decoded(logits, nothing, nothing, torch.zeros(OBJECTS, 1), None, logits, nothing[:, None])
    return truth, features, decoded


def test_boxes_are_the_borders_of_masks():
    masks = torch.zeros(3, 1, 8, 12, dtype=torch.bool)
    masks[0, 0, 2:5, 7:11] = True
    masks[1, 0, 0, 0] = masks[1, 0, 7, 11] = True
    assert boxes(masks)[:2].tolist() == [[7, 2, 11, 5], [0, 0, 12, 8]]
    assert boxes(masks)[2].isfinite().all()  # of nothing: not used, and no reason to wait


def test_the_picture_decides_how_far_an_object_reaches(model, tracked):
    truth, features, decoded = tracked
    with torch.inference_mode():
        shown = with_outlines(model, features, decoded)
        before = draw_edges(features.image, decoded.logits, model.config.edge_radius)
    assert iou(before[0, 0].numpy() > 0, truth) < 0.85
    assert iou(shown.shown[0, 0].numpy() > 0, truth) > 0.98
    assert torch.equal(shown.drawn[1:], before[1:])  # what is absent, or next to nothing, stays as it was
    assert torch.equal(shown.logits, decoded.logits)  # which is what is remembered


def test_a_gpu_that_is_not_waited_for_gives_the_same(model, tracked):
    _, features, decoded = tracked
    with torch.inference_mode():
        found = [_outlined(model, features, decoded.logits, everywhere=everywhere) for everywhere in (False, True)]
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_it_can_be_recorded_for_cuda_graphs(model, tracked):
    _, features, decoded = tracked
    with torch.inference_mode(False), torch.no_grad():
        plain = replace(features, image=features.image.clone(), seen_by_head=None)
        logits = decoded.logits.clone()
        _outlined(model, plain, logits, everywhere=True)  # tables are made
        with Waits() as waits:
            _outlined(model, plain, logits, everywhere=True)
    assert waits.found == []
    assert plain.seen_by_head is None  # of a frame that is replaced by the next one in the same place


@pytest.mark.parametrize("told", [-5.0, 5.0])
def test_an_answer_of_nothing_or_of_everything_leaves_the_mask(model, tracked, monkeypatch, told):
    _, features, decoded = tracked
    answer = model.interactive.forward

    def nothing(*args, **kwargs):
        found = answer(*args, **kwargs)
        found.logits = torch.full_like(found.logits, told)
        return found

    monkeypatch.setattr(model.interactive, "forward", nothing)
    for everywhere in (False, True):
        with torch.inference_mode():
            assert torch.equal(_outlined(model, features, decoded.logits, everywhere=everywhere), decoded.logits)


def test_a_frame_is_shown_to_the_head_once(model, tracked, monkeypatch):
    _, features, decoded = tracked
    calls, encode = [], model.encode_interactive
    monkeypatch.setattr(model, "encode_interactive", lambda image, side: calls.append(side) or encode(image, side))
    fresh = replace(features, seen_by_head=None)
    with torch.inference_mode():
        for _ in range(2):
            with_outlines(model, fresh, decoded)
        with_outlines(model, replace(features, seen_by_head=None), replace(decoded, logits=decoded.logits[1:2]))
    assert calls == [model.config.outline_side]  # and not at all where nothing is to be outlined
    assert fresh.seen_by_head.embedding.shape[-1] == model.config.outline_side // 16 < model.config.prompt_side // 16
    assert fresh.nbytes == replace(fresh, seen_by_head=None).nbytes + fresh.seen_by_head.nbytes


def test_shortcuts_leave_it_out(model, tracked, monkeypatch):
    _, features, decoded = tracked
    cpu = torch.device("cpu")
    assert fast_speed(model.config, cpu).plain_outlines
    assert not fast_speed(CONFIGS["sam2s-nano"], cpu).plain_outlines  # which has no head that could
    monkeypatch.setattr(model, "speed", Speed(plain_outlines=True))
    with torch.inference_mode():
        shown = with_outlines(model, features, decoded)
        assert torch.equal(shown.drawn, draw_edges(features.image, decoded.logits, model.config.edge_radius))


def test_tracking_remembers_the_same(model, monkeypatch):
    case = demo_case(4, size=(120, 160))
    video = np.stack([case[t] for t in range(4)])
    found = []
    for plain in (False, True):
        monkeypatch.setattr(model, "speed", Speed(plain_outlines=plain))
        tracker = Tracker(model, video)
        tracker.prompt(1, 0, mask=case.masks(0)[1])
        shown = [masks[1] for _, masks in tracker.propagate()]
        found.append((shown, tracker.scores(3)[1]))
    assert not all(map(np.array_equal, found[0][0], found[1][0]))
    assert found[0][1] == found[1][1]
