"""Shapes between two known masks, and the motion that guides them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_sam2s.tracking.interpolation import KNOT_FRAMES, fill, knots
from napari_sam2s.tracking.optical_flow import fit_affine, flow, shrink

SIZE = (120, 160)


@pytest.fixture(scope="module")
def ground():
    """Blobs large enough to be seen on a coarse picture."""
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(240, 280, 3)), (7, 7, 0), mode="wrap")
    return (127 + 60 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


def disc(y, x, radius=18):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def iou(a, b):
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def scene(ground, frames, y, x, radius=18):
    """A disc of one texture over a still ground; ``y`` and ``x`` give its centre on a frame."""
    images, masks = {}, {}
    for t in frames:
        masks[t] = disc(y(t), x(t), radius)
        moved = np.roll(ground, (round(y(t)), round(x(t))), (0, 1))[: SIZE[0], : SIZE[1]]
        images[t] = np.where(masks[t][..., None], moved, ground[100 : 100 + SIZE[0], 60 : 60 + SIZE[1]])
    return images, masks


def test_flow_finds_a_shift(ground):
    motion = flow(shrink(ground[20:140, 20:180]), shrink(ground[14:134, 12:172]))
    inner = motion[:, :, 16:-16, 16:-16]
    np.testing.assert_allclose(np.median(inner[0], axis=(1, 2)), (8 * 64 / 160, 6 * 64 / 120), atol=0.4)
    np.testing.assert_allclose(np.median(inner[1], axis=(1, 2)), (-8 * 64 / 160, -6 * 64 / 120), atol=0.4)


def test_an_affine_motion_is_found_among_outliers():
    y, x = np.mgrid[:64, :64] + 0.5
    motion = np.stack((2 + 0.1 * (x - 32), -1 - 0.05 * (y - 32))).astype(np.float32)
    rng = np.random.default_rng(0)
    motion[:, rng.random((64, 64)) < 0.2] = 15
    matrix = fit_affine(motion, np.ones((64, 64), np.float32))
    np.testing.assert_allclose(matrix[:2, :2], [[1.1, 0], [0, 0.95]], atol=0.02)
    np.testing.assert_allclose(fit_affine(motion, np.zeros((64, 64), np.float32)), np.eye(3))


def test_a_moving_shape_is_followed_where_a_blend_would_vanish(ground):
    """Over five frames the disc moves by more than its own width."""
    images, masks = scene(ground, range(6), lambda t: 40 + 6 * t, lambda t: 40 + 9 * t)
    assert iou(masks[0], masks[5]) < 0.05
    filled = dict(fill(range(6), images.__getitem__, {1: masks[0]}, {1: masks[5]}))
    assert list(filled) == [1, 2, 3, 4]
    for t, found in filled.items():
        assert iou(found[1], masks[t]) > 0.85


def test_backward_is_as_good(ground):
    images, masks = scene(ground, range(6), lambda t: 40 + 4 * t, lambda t: 110 - 6 * t)
    filled = dict(fill(range(5, -1, -1), images.__getitem__, {1: masks[5]}, {1: masks[0]}))
    assert list(filled) == [4, 3, 2, 1]
    assert min(iou(found[1], masks[t]) for t, found in filled.items()) > 0.85


def test_uneven_motion_is_seen_at_knots(ground):
    """Over 24 frames the disc speeds up, and only the frames between tell."""
    images, masks = scene(ground, range(25), lambda t: 60, lambda t: 40 + 80 * (t / 24) ** 2, 26)
    asked = []

    def image(t):
        asked.append(t)
        return images[t]

    filled = dict(fill(range(25), image, {1: masks[0]}, {1: masks[24]}))
    assert asked == knots(range(25))
    assert max(np.diff(asked)) <= KNOT_FRAMES
    even = np.mean([iou(disc(60, 40 + 80 * t / 24, 26), masks[t]) for t in filled])
    assert np.mean([iou(found[1], masks[t]) for t, found in filled.items()]) > even + 0.05


def test_growing_shapes_grow(ground):
    still = np.repeat(ground[None, : SIZE[0], : SIZE[1]], 5, axis=0)
    small, large = disc(60, 80, 10), disc(60, 80, 30)
    areas = [found[1].sum() for _, found in fill(range(5), still.__getitem__, {1: small}, {1: large})]
    assert small.sum() < areas[0] < areas[1] < areas[2] < large.sum()


def test_what_appears_or_leaves_does_so_half_way(ground):
    still = np.repeat(ground[None, : SIZE[0], : SIZE[1]], 7, axis=0)
    there, empty = disc(60, 80), np.zeros(SIZE, bool)
    filled = dict(fill(range(7), still.__getitem__, {1: there, 2: empty, 3: empty}, {1: empty, 2: there, 3: empty}))
    assert [f[1].any() for f in filled.values()] == [True, True, False, False, False]
    assert [f[2].any() for f in filled.values()] == [False, False, True, True, True]
    assert not any(f[3].any() for f in filled.values())
    assert iou(filled[1][1], there) > 0.9


def test_a_shape_that_the_border_cuts_stays_at_the_border(ground):
    still = np.repeat(ground[None, : SIZE[0], : SIZE[1]], 4, axis=0)
    mask = np.zeros(SIZE, bool)
    mask[40:80, 100:] = True
    for _, found in fill(range(4), still.__getitem__, {1: mask}, {1: mask}):
        np.testing.assert_array_equal(found[1][45:75, 105:], True)
        assert iou(found[1], mask) > 0.95
    whole = np.ones(SIZE, bool)
    assert all(found[1].all() for _, found in fill(range(3), still.__getitem__, {1: whole}, {1: whole}))


def test_one_pixel_and_odd_sizes(ground):
    frames = [ground[:37, :53]] * 3
    mask = np.zeros((37, 53), bool)
    mask[5, 7] = True
    ((_, found),) = fill(range(3), frames.__getitem__, {1: mask}, {1: mask})
    assert found[1].shape == (37, 53)
    assert found[1].sum() <= 9


def test_what_covers_an_object_moves_over_it():
    """An organ that stays, and an instrument that passes over it: the hole in the organ's mask goes with the instrument."""
    rng = np.random.default_rng(3)
    ground = gaussian_filter(rng.uniform(0, 255, (160, 240, 3)), (3, 3, 0)).astype(np.uint8)
    organ = np.zeros((160, 240), bool)
    organ[30:130, 40:200] = True

    def bar(t):
        mask = np.zeros_like(organ)
        mask[0:110, 60 + 14 * t : 84 + 14 * t] = True
        return mask

    def image(t):
        picture = ground.copy()
        picture[organ, 0] = 200
        picture[bar(t)] = (40, 60, 220)
        return picture

    frames = range(6)
    ends = [{1: organ & ~bar(t), 2: bar(t)} for t in (0, 5)]
    for t, masks in fill(frames, image, *ends):
        truth = organ & ~bar(t)
        assert iou(masks[1], truth) > 0.96
        assert not (masks[1] & masks[2]).any()
    alone = dict(fill(frames, image, {1: ends[0][1]}, {1: ends[1][1]}))  # nobody knows of the instrument
    truth = organ & ~bar(2)
    assert iou(alone[2][1], truth) < 0.9


def test_a_shift_that_nobody_saw_is_spread_over_time_and_not_over_knots():
    """Of six frames the middle knot is not the middle; a disc in the dark is taken to move evenly."""
    frames = range(6)
    assert np.diff(knots(frames)).tolist() == [2, 3]
    dark, masks = np.zeros((*SIZE, 3), np.uint8), [disc(40 + 4 * t, 110 - 6 * t) for t in frames]
    filled = dict(fill(frames, lambda t: dark, {1: masks[0]}, {1: masks[5]}))
    assert min(iou(found[1], masks[t]) for t, found in filled.items()) > 0.95


def test_uneven_motion_within_a_fifth_of_a_second_is_seen():
    """What a working rate of 5 of 25 frames leaves out: an instrument that stands and then starts."""
    rng = np.random.default_rng(3)
    ground = gaussian_filter(rng.uniform(0, 255, (160, 240, 3)), (3, 3, 0)).astype(np.uint8)
    places = [40, 40, 40, 60, 80, 100]

    def bar(t):
        mask = np.zeros(ground.shape[:2], bool)
        mask[30:120, places[t] : places[t] + 50] = True
        return mask

    def image(t):
        return np.where(bar(t)[..., None], np.roll(ground, places[t], 1) // 3, ground)

    filled = dict(fill(range(6), image, {1: bar(0)}, {1: bar(5)}))
    assert iou(filled[2][1], bar(2)) > 0.9
    assert iou(filled[3][1], bar(3)) > 0.8


def test_thin_parts_of_a_large_shape_stay():
    """Two jaws of four pixels at the end of a long shaft, which fills the picture's width."""
    still = [np.zeros((240, 480, 3), np.uint8)] * 3
    mask = np.zeros((240, 480), bool)
    mask[100:130, 100:] = True
    jaws = np.zeros_like(mask)
    jaws[100:104, 10:100] = jaws[126:130, 10:100] = True
    ((_, found),) = fill(range(3), still.__getitem__, {1: mask | jaws}, {1: mask | jaws})
    assert found[1][jaws].mean() > 0.9
    assert not found[1][106:124, 10:90].any()
