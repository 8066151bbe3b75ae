"""Edges drawn by the picture: finer, right where the picture says so, and nothing of it is remembered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_sam2s import load_model
from napari_sam2s.errors import ModelError
from napari_sam2s.evaluation.region_and_boundary import iou
from napari_sam2s.masklets.types import Prompt
from napari_sam2s.model import edges
from napari_sam2s.model.cuda_graphs import Graphs
from napari_sam2s.model.edges import draw_edges, with_edges
from napari_sam2s.model.network_config import SAM3
from napari_sam2s.model.speed import Speed
from napari_sam2s.model.video_model import Recall
from napari_sam2s.tracking.object_states import ObjectStates
from napari_sam2s.tracking.policy import DIVEMEM
from napari_sam2s.tracking.predictor import FramePredictor
from napari_sam2s.tracking.upsampling import MaskUpsampler

SIDE, RADIUS = 384, 2


@pytest.fixture(scope="module")
def model():
    return load_model()


def star(side: int, points: int = 5) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2 + 0.5
    return np.hypot(y, x) < side * (0.25 + 0.12 * np.cos(points * np.arctan2(y, x)))


def picture_of(mask: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    picture = np.where(mask[..., None], (190, 120, 60), (60, 90, 80)) + rng.normal(0, 6, (*mask.shape, 3))
    return picture.clip(0, 255).astype(np.uint8)


def coarse_logits(mask: np.ndarray, cell: int = 16) -> torch.Tensor:
    """Logits ``(1, 1, Y / 4, X / 4)`` that know of a mask what cells of some pixels know of it."""
    share = F.avg_pool2d(torch.from_numpy(mask[None, None].astype(np.float32)), cell)
    return F.interpolate(share * 12 - 6, size=mask.shape[0] // 4, mode="bilinear", align_corners=False)


def images_of_frame(frame: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frame[None])


def images_of(mask: np.ndarray) -> torch.Tensor:
    return images_of_frame(picture_of(mask))


def test_the_picture_decides_where_a_coarse_mask_ends():
    mask = star(SIDE)
    logits = coarse_logits(mask)
    upsample = MaskUpsampler(mask.shape)
    drawn = draw_edges(images_of(mask), logits, RADIUS)
    before, after = iou(upsample(logits[0, 0]), mask), iou(upsample(drawn[0, 0]), mask)
    assert before < 0.96
    assert after > before + 0.5 * (1 - before)  # half of what was wrong


def test_a_picture_without_an_edge_only_rounds_corners():
    logits = coarse_logits(star(SIDE))
    grey = torch.full((1, SIDE, SIDE, 3), 128, dtype=torch.uint8)
    drawn = draw_edges(grey, logits, RADIUS) > 0
    plain = F.interpolate(logits, size=SIDE, mode="bilinear", align_corners=False) > 0
    assert (drawn != plain).sum() < 0.07 * plain.sum()  # of a star with five points


def test_coefficients_are_those_of_least_squares():
    """Equations 19 to 21: of each window, the best linear function of its colours, with a penalty on the slopes."""
    rng = np.random.default_rng(1)
    colours, inside = rng.random((3, 9, 9)), rng.random((9, 9))
    slope, level = edges._linear(*(torch.from_numpy(a)[None].float() for a in (colours, inside[None])), radius=RADIUS)
    window = np.s_[2:7, 2:7]  # around the middle
    a = np.concatenate((colours[:, *window].reshape(3, -1), np.ones((1, 25)))).T
    penalty = np.diag([25 * edges.EPSILON] * 3 + [0.0])
    wanted = np.linalg.solve(a.T @ a + penalty, a.T @ inside[window].ravel())
    np.testing.assert_allclose([*slope[0, :, 4, 4].tolist(), float(level[0, 0, 4, 4])], wanted, rtol=1e-3)


def test_what_is_small_is_drawn_as_in_the_whole_picture_and_what_is_large_in_wider_windows():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[200:225, 96:140] = mask[360:, 370:] = True  # one in the middle, one in the corner
    image = images_of(mask)
    wide = star(SIDE)
    medium = np.roll(wide[::3, ::3], (20, 10), (0, 1))
    medium = np.pad(medium, ((0, SIDE - len(medium)),) * 2)
    for shown, times in ((mask, 1), (medium, 2), (wide, 3)):
        logits = coarse_logits(shown)
        drawn = draw_edges(image, torch.cat((logits, coarse_logits(mask))), RADIUS)
        whole = edges._filtered(image, logits, times * RADIUS)
        torch.testing.assert_close(drawn[:1], whole, atol=5e-3, rtol=0)
        assert torch.equal(drawn[:1] > 0, whole > 0)
        # As a GPU draws them: all together.
        together = edges._everywhere(image, torch.cat((logits, coarse_logits(mask))), RADIUS, torch.tensor([times, 1]))
        assert torch.equal(together > 0, drawn > 0)


def test_drawing_waits_for_nothing_on_a_gpu():
    """Tensors without values, as on another device: whatever asks for a value raises."""
    drawn = draw_edges(*(t.to("meta") for t in (images_of(star(SIDE)), coarse_logits(star(SIDE)))), RADIUS)
    assert drawn.shape == (1, 1, SIDE, SIDE)


@pytest.mark.parametrize("device", ["cpu", "as on a GPU"])
def test_what_is_thinner_than_a_window_does_not_vanish(device, monkeypatch):
    if device != "cpu":
        monkeypatch.setattr(edges, "_around_each", edges._everywhere)
    grey = torch.full((1, SIDE, SIDE, 3), 128, dtype=torch.uint8)
    logits = torch.full((2, 1, SIDE // 4, SIDE // 4), -8.0)
    logits[0, 0, 40, 20:60] = logits[1, 0, 40:42, 30:32] = 4.0  # a thread and a dot, of which the picture says nothing
    drawn, plain = draw_edges(grey, logits, RADIUS), F.interpolate(logits, size=SIDE, mode="bilinear", align_corners=False)
    assert torch.equal(drawn > 0, plain > 0)
    assert drawn.min() >= -0.5
    assert drawn.max() < 0.5


def test_no_object_at_all_and_every_size_of_input():
    for side in (64, 320, 448):
        image = torch.zeros(1, side, side, 3, dtype=torch.uint8)
        assert draw_edges(image, torch.zeros(0, 1, side // 4, side // 4), RADIUS).shape == (0, 1, side, side)
        full = draw_edges(image, torch.full((1, 1, side // 4, side // 4), 9.0).half(), RADIUS)
        assert full.dtype == torch.float32
        assert (full > 0).all()


def test_what_is_absent_stays_absent():
    drawn = draw_edges(images_of(star(SIDE)), torch.full((1, 1, SIDE // 4, SIDE // 4), -1024.0), RADIUS)
    assert drawn.shape == (1, 1, SIDE, SIDE)
    assert drawn.max() < 0


def test_tracking_remembers_the_same_without_edges(model, monkeypatch):
    mask = star(model.image_size)
    frames = [picture_of(np.roll(mask, 9 * t, axis=1)) for t in range(2)]
    found = []
    for radius in (RADIUS, 0):
        monkeypatch.setattr(model, "config", replace(model.config, edge_radius=radius))
        predictor = FramePredictor(model, frames.__getitem__, (2, *mask.shape), DIVEMEM, 2**28)
        with torch.inference_mode():
            memory = predictor.remember(0, predictor.answer_mask(0, mask), prompted=True)[0]
            recall = Recall([memory], [model.facts.recent_memories], [memory.pointer], [1.0], 15)
            found.append(predictor.follow(1, [recall]))
    (drawn, maps, patches), (plain, maps_plain, patches_plain) = found
    assert drawn.shown.shape[-1] == model.image_size
    assert plain.shown is plain.logits
    assert torch.equal(drawn.logits, plain.logits)
    assert torch.equal(maps, maps_plain)
    assert torch.equal(patches, patches_plain)


def test_candidates_are_drawn_every_one(model):
    mask = star(model.image_size)
    features = model.encode_prompted(picture_of(mask))
    with torch.inference_mode():
        decoded = model.segment(None, features, points=torch.tensor([[[192.0, 192.0]]]), labels=torch.tensor([[1]]))
        drawn = with_edges(features, decoded, RADIUS, every=True)
        second = draw_edges(features.image, decoded.all_logits[:, 1:2], RADIUS)
    assert drawn.all_shown.shape == (1, 3, model.image_size, model.image_size)
    assert torch.equal(drawn.all_shown[:, 1:2], second)
    assert drawn.shown.shape == (1, 1, model.image_size, model.image_size)


@pytest.mark.parametrize("encode", ["encode_frame", "encode_prompted"])
def test_the_picture_is_kept_as_it_was(model, encode):
    pixels = picture_of(star(model.image_size))
    features = getattr(model, encode)(pixels)
    before = pixels.copy()
    pixels[:] = 0  # a buffer that the next frame is read into
    assert np.array_equal(features.image[0].numpy(), before)
    assert features.nbytes == replace(features, image=None).nbytes + before.nbytes


def test_what_users_see_is_drawn(model, monkeypatch):
    """Of a first answer on the whole frame, of candidates and of tracked frames."""
    mask = star(model.image_size)
    frames = [picture_of(np.roll(mask, 9 * t, axis=1)) for t in range(2)]
    objects = ObjectStates(FramePredictor(model, frames.__getitem__, (2, *mask.shape), DIVEMEM, 2**28))
    middle = ((192.0, 192.0),)
    with torch.inference_mode():
        asked = {"points": torch.tensor([[[192.5, 192.5]]]), "labels": torch.tensor([[1]])}
        every = model.segment(None, model.encode_prompted(frames[0]), **asked)
        wanted = draw_edges(images_of(mask), every.all_logits[0][:, None], RADIUS)[:, 0] > 0
    answered = objects.condition(Prompt(1, 0, middle, (1,)), None)[0]
    assert np.array_equal(answered, wanted[int(every.all_iou[0].argmax())])
    assert np.array_equal(objects.candidates(Prompt(2, 0, middle, (1,)))[0].mask, answered)
    monkeypatch.setattr(model, "speed", Speed(plain_outlines=True))
    ((_, _, tracked, _),) = objects.step(1, [1], 1, 1)
    assert np.array_equal(tracked, draw_edges(images_of_frame(frames[1]), objects.logits(1, 1), RADIUS)[0, 0] > 0)


@pytest.mark.parametrize("radius", [-1, 2.0, 17])
def test_an_impossible_radius_is_refused(model, radius):
    with pytest.raises(ModelError, match=r"cannot draw edges in windows of radius .*: give 0 to 16\."):
        replace(model.config, edge_radius=radius)


def test_a_network_with_other_cells_cannot_draw():
    with pytest.raises(ModelError, match=r"sam3 cannot draw edges"):
        replace(SAM3, edge_radius=RADIUS)


def test_a_recording_is_of_one_radius(model, monkeypatch):
    monkeypatch.setattr(model, "graphs", Graphs(recorder=lambda function, arguments: None))
    kinds = []
    monkeypatch.setattr(Graphs, "__call__", lambda self, name, state, *rest: kinds.append(state))
    for radius in (2, 3):
        monkeypatch.setattr(model, "config", replace(model.config, edge_radius=radius))
        model._replay("follow", lambda: None)
    assert kinds[0] != kinds[1]
