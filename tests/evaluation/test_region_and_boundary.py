"""J and F against vos-benchmark, the other measures against MONAI, and the known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from vos_benchmark.evaluator import Evaluator

from napari_sam2s.evaluation.region_and_boundary import boundary_f, dice, hausdorff_95, iou, surface_dice, tolerance_px

SIZES = [(1, 1), (7, 5), (31, 100), (100, 100), (240, 427), (480, 854)]


def blob(rng, size):
    """Return a random mask: smooth, noisy, thin, full, empty, at the border."""
    y, x = np.mgrid[: size[0], : size[1]]
    kind = rng.integers(8)
    if kind == 0:
        return np.zeros(size, bool)
    if kind == 1:
        return np.ones(size, bool)
    if kind == 2:
        return rng.random(size) < rng.uniform(0, 1)
    if kind == 3:
        mask = np.zeros(size, bool)
        mask[tuple(rng.integers(0, n) for n in size)] = True
        return mask
    cy, cx = rng.uniform(-0.1, 1.1, 2) * size
    reach = rng.uniform(0.02, 0.5, 2) * size + 0.5
    mask = ((y - cy) / reach[0]) ** 2 + ((x - cx) / reach[1]) ** 2 < 1
    return mask ^ (rng.random(size) < 0.002 * rng.integers(0, 3))


def pair(rng, size):
    true = blob(rng, size)
    if rng.random() < 0.6:
        shift = rng.integers(-4, 5, 2)
        return np.roll(true, shift, (0, 1)) ^ (rng.random(size) < 0.001), true
    return blob(rng, size), true


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_bit_identical_to_vos_benchmark(size):
    rng = np.random.default_rng(size)
    count = 300 if size[0] <= 100 else 8000 // size[0]
    checked = 0
    for _ in range(count):
        ours, true = pair(rng, size)
        if not (ours.any() or true.any()):
            continue  # it does not count such frames at all
        evaluator = Evaluator()
        evaluator.feed_frame(ours.astype(np.uint8), true.astype(np.uint8))
        assert iou(ours, true) == evaluator.object_iou[1][0]
        assert boundary_f(ours, true) == evaluator.boundary_f[1][0]
        checked += 1
    assert checked > 0.6 * count


def square(size, dy=0, dx=0, grow=0):
    mask = np.zeros(size, bool)
    mask[30 + dy - grow : 70 + dy + grow, 30 + dx - grow : 70 + dx + grow] = True
    return mask


KNOWN = [  # prediction, then J and F at 100 x 100 and at 480 x 854
    ("left half", lambda s: square(s) & (np.arange(s[1]) < 50), (50, 60.7143), (50, 69.2857)),
    ("1 px right", lambda s: square(s, dx=1), (95.1220, 100), (95.1220, 100)),
    ("3 px right", lambda s: square(s, dx=3), (86.0465, 52.5), (86.0465, 100)),
    ("8 px right", lambda s: square(s, dx=8), (66.6667, 46.25), (66.6667, 100)),
    ("9 px right", lambda s: square(s, dx=9), (63.2653, 45), (63.2653, 60)),
    ("20 px right", lambda s: square(s, dx=20), (33.3333, 31.25), (33.3333, 46.25)),
    ("1 px larger", lambda s: square(s, grow=1), (90.7029, 100), (90.7029, 100)),
    ("2 px larger", lambda s: square(s, grow=2), (82.6446, 96.4706), (82.6446, 100)),
    ("3 px larger", lambda s: square(s, grow=3), (75.6144, 0), (75.6144, 100)),
    ("identical", square, (100, 100), (100, 100)),
    ("nothing", lambda s: np.zeros(s, bool), (0, 0), (0, 0)),
]


@pytest.mark.parametrize(("make", "small", "large"), [k[1:] for k in KNOWN], ids=[k[0] for k in KNOWN])
def test_known_answers(make, small, large):
    for size, expected in (((100, 100), small), ((480, 854), large)):
        ours = make(size)
        assert (100 * iou(ours, square(size)), 100 * boundary_f(ours, square(size))) == pytest.approx(expected, abs=1e-4)


def test_empties_and_full_frames():
    empty, full = np.zeros((100, 100), bool), np.ones((100, 100), bool)
    assert iou(empty, empty) == boundary_f(empty, empty) == dice(empty, empty) == 1
    assert iou(full, full) == boundary_f(full, full) == 1
    assert 100 * iou(square((100, 100)), full) == pytest.approx(16)
    assert boundary_f(square((100, 100)), full) == 0


def test_the_tolerance_is_of_the_full_frame():
    assert [tolerance_px(s) for s in ((480, 854), (1024, 1280), (1080, 1920), (100, 100))] == [8, 14, 18, 2]


@pytest.mark.slow
def test_dice_distance_and_surface_dice_are_those_of_monai():
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120]
    for _ in range(12):
        (cy, cx, r), (dy, dx, dr) = rng.uniform((30, 40, 8), (60, 80, 25)), rng.uniform(-6, 6, 3)
        ours, true = (y - cy) ** 2 + (x - cx) ** 2 < r**2, (y - cy - dy) ** 2 + (x - cx - dx) ** 2 < (r + dr) ** 2
        a, b = (torch.from_numpy(m)[None, None].float() for m in (ours, true))
        assert dice(ours, true) == pytest.approx(float(metrics.compute_dice(a, b)), abs=1e-6)
        theirs = float(metrics.compute_hausdorff_distance(a, b, include_background=True, percentile=95))
        assert hausdorff_95(ours, true) == pytest.approx(theirs, abs=1e-5)
        surface = float(metrics.compute_surface_dice(a, b, [2.0], include_background=True))
        assert surface_dice(ours, true, 2.0) == pytest.approx(surface, abs=1e-5)


def test_distances_of_empty_masks():
    empty, there = np.zeros((10, 10), bool), np.eye(10, dtype=bool)
    assert hausdorff_95(empty, empty) == 0
    assert math.isnan(hausdorff_95(empty, there))
    assert surface_dice(empty, empty, 1) == 1
    assert surface_dice(there, empty, 1) == 0


def test_millimetres():
    a, b = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    a[5:10, 5:10], b[5:10, 7:12] = True, True
    assert hausdorff_95(a, b, (1.0, 0.5)) == pytest.approx(1.0)
