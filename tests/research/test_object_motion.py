"""Motion: an object departs and returns, and a part of the frame shows what the whole frame would."""

from __future__ import annotations

import numpy as np
import pytest

from research.object_motion import depart, look_up, make_motion, places_at, warp


def test_an_object_departs_for_a_while_and_is_there_on_the_first_frame():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        motion = make_motion(rng, 8, 64, liveliness=0.0, elastic=0.0)
        still = motion.centre.copy()
        depart(rng, motion)
        moved = np.linalg.norm(motion.centre - still, axis=1)
        assert moved[0] == 0
        assert moved.max() > 1.5  # out of the picture, wherever it was


@pytest.mark.parametrize("elastic", [0.0, 0.03])
def test_a_cut_out_is_looked_up_only_where_it_may_be_seen(elastic):
    rng = np.random.default_rng(5)
    cutout = rng.integers(1, 255, (30, 50, 4), dtype=np.uint8)
    parts = 0
    for _ in range(20):
        motion = make_motion(rng, 4, 96, liveliness=1.0, elastic=elastic)
        start, reach = tuple(rng.uniform(0.1, 0.9, 2)), float(rng.uniform(0.1, 0.7))
        for t in range(4):
            box, places = places_at(cutout.shape, motion, t, 96, start, reach, only=True)
            part = np.zeros((96, 96, 4), np.uint8)
            if places[0].size:
                part[box] = look_up(cutout, places)
            np.testing.assert_array_equal(part, warp(cutout, motion, t, 96, start, reach))
            parts += places[0].size < 96 * 96
    assert parts > 60
