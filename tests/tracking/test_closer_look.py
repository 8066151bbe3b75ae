"""The window in which a small object is looked at, what is cut out of the frame, and where the answer comes to lie."""

import numpy as np
import pytest
import torch

from napari_sam2s import Tracker, load_model
from napari_sam2s.masklets.types import Prompt
from napari_sam2s.tracking import closer_look, predictor
from napari_sam2s.tracking.closer_look import closer_logits, closer_window, look_closer, most_alike, place

FRAME = (200, 400)


def boxed(*box, points=()):
    return Prompt(1, 0, tuple(points), (1,) * len(points), box)


def test_a_small_box_is_looked_at_three_times_its_longer_side():
    window = closer_window(boxed(80, 190, 100, 220), None, FRAME)
    assert (window.y0, window.x0, window.height, window.width) == (45, 160, 90, 90)


def test_at_the_border_the_window_moves_into_the_frame():
    window = closer_window(boxed(0, 370, 20, 400), None, FRAME)
    assert (window.y0, window.x0, window.height, window.width) == (0, 310, 90, 90)


def test_what_is_tiny_is_not_seen_larger_than_a_twelfth_of_the_frame():
    window = closer_window(boxed(100, 200, 103, 203), None, FRAME)
    assert (window.height, window.width) == (33, 33)


def test_a_large_box_and_points_far_from_it_are_answered_on_the_whole_frame():
    assert closer_window(boxed(20, 20, 90, 80), None, FRAME) is None
    assert closer_window(boxed(80, 190, 100, 220, points=[(20, 20)]), None, FRAME) is None


def test_clicks_are_looked_at_around_their_answer_and_themselves():
    logits = torch.full((20, 20), -5.0)
    assert closer_window(Prompt(1, 0, ((95.0, 205.0),), (1,)), logits, FRAME) is None  # nothing was found
    logits[9:11, 10:11] = 5.0  # of the frame the rows 90 to 110, the columns 200 to 220
    window = closer_window(Prompt(1, 0, ((95.0, 205.0),), (1,)), logits, FRAME)
    assert (window.y0, window.x0, window.height, window.width) == (70, 180, 60, 60)
    window = closer_window(Prompt(1, 0, ((95.0, 205.0), (95.0, 239.0)), (1, 0)), logits, FRAME)
    assert (window.y0, window.x0, window.height, window.width) == (40, 160, 120, 120)
    assert closer_window(Prompt(1, 0, ((95.0, 205.0),), (1,)), torch.ones(20, 20), FRAME) is None


def test_a_part_of_the_squashed_frame_is_what_the_frame_shows_there():
    rows, columns = np.mgrid[:64, :64]
    squashed = np.stack([rows * 3, columns * 3, np.full_like(rows, 7)], -1).astype(np.uint8)
    window = closer_window(boxed(80, 190, 100, 220), None, FRAME)  # (45, 160) to (135, 250) of (200, 400)
    part = look_closer(squashed, window, FRAME).astype(float)
    assert part.shape == (64, 64, 3)
    assert (part[..., 2] == 7).all()
    places = (np.arange(64) + 0.5) / 64
    expected_rows = ((45 + places * 90) / 200 * 64 - 0.5) * 3
    expected_columns = ((160 + places * 90) / 400 * 64 - 0.5) * 3
    np.testing.assert_allclose(part[:, 5, 0], expected_rows, atol=0.51)
    np.testing.assert_allclose(part[5, :, 1], expected_columns, atol=0.51)


def test_an_answer_is_cut_and_placed_where_it_was():
    window = closer_window(boxed(80, 190, 100, 220), None, FRAME)
    low = torch.full((32, 32), -4.0)
    low[8:24, 16:] = 4.0  # the right half of the window, between a quarter and three quarters of its height
    mask = place(low, window, FRAME)
    expected = np.zeros(FRAME, dtype=bool)
    expected[45 + 22 : 45 + 68, 160 + 45 : 250] = True
    assert mask.shape == FRAME
    assert (mask ^ expected).sum() <= 46 * 2 + 45 * 4  # a pixel along the edges
    whole = torch.where(torch.from_numpy(mask), 4.0, -4.0)[None, None]
    small = torch.nn.functional.interpolate(whole, (100, 100), mode="area")
    back = closer_logits(small, window, FRAME)
    assert back.shape == (1, 1, 100, 100)
    inside = torch.nn.functional.interpolate(low[None, None], (100, 100)) > 0
    assert ((back > 0) ^ inside).float().mean() < 0.05


def test_of_what_a_click_may_mean_the_most_similar_to_a_coarse_answer_is_taken():
    answers = torch.full((3, 32, 32), -4.0)
    answers[0, :, :] = answers[1, 8:24, 8:24] = answers[2, 14:18, 14:18] = 4.0  # all, a part, a finer one
    coarse = torch.full((8, 8), -1.0)
    coarse[2:6, 2:6] = 1.0
    assert most_alike(answers, coarse) == 1
    coarse[:, :] = 1.0
    assert most_alike(answers, coarse) == 0


@pytest.fixture(scope="module")
def model():
    return load_model("sam2s-nano")


@pytest.fixture
def discs():
    """Bright discs of 10 pixels across on a dark, uneven ground."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:600, :800]
    frame = np.full((600, 800, 3), 40, dtype=np.uint8) + rng.integers(0, 12, (600, 800, 1), dtype=np.uint8)
    masks = [np.hypot(rows - y, columns - x) < 5 for y, x in ((150, 200), (300, 500), (450, 225))]
    frame[np.any(masks, axis=0)] = (210, 190, 180)
    return frame[None], masks


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.slow
def test_small_things_are_drawn_finer_and_remembered_as_they_are_drawn(model, discs, monkeypatch):
    video, masks = discs
    sides = []
    monkeypatch.setattr(predictor, "place", lambda logits, *rest: sides.append(logits.shape[-1]) or place(logits, *rest))
    tracker = Tracker(model, video)
    near = [tracker.prompt(i, 0, box=(y - 6, x - 6, y + 6, x + 6)) for i, (y, x) in enumerate(((150, 200), (300, 500)), 1)]
    clicked = tracker.prompt(3, 0, points=[(450, 225)])
    offered = tracker.candidates(0, points=[(450, 225)])
    assert len(sides) >= 4
    assert set(sides) == {model.image_size}  # with edges drawn by the picture, after boxes and after clicks
    monkeypatch.setattr(closer_look, "TIMES", np.inf)
    far = Tracker(model, video).prompt(1, 0, box=(144, 194, 156, 206))
    assert all(iou(mask, truth) > 0.6 for mask, truth in zip(near, masks, strict=False))
    assert iou(near[0], masks[0]) > 0.2 + iou(far, masks[0])
    assert max(iou(c.mask, clicked) for c in offered) == 1.0  # the answer is among the candidates
    np.testing.assert_array_equal(tracker.results.masks(0)[1], near[0])
