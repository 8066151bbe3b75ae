"""How objects moved between two tracked frames, by flows that are given."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.tracking.motion_paths import Ways, covering
from napari_sam2s.tracking.optical_flow import CELLS


def square(x, y=24, side=16):
    """A square on a picture that has as many pixels as the motion has cells."""
    mask = np.zeros((CELLS, CELLS), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def even(dx):
    """A flow ``(2, 2, 64, 64)``, there and back, that is the same everywhere."""
    field = np.zeros((2, 2, CELLS, CELLS), np.float32)
    field[0, 0], field[1, 0] = dx, -dx
    return field


def places(path, x):
    """Where the middle of a square that began at ``x`` is at every knot."""
    return [float((matrix @ (x + 8, 32, 1))[0] - 8) for matrix in path]


def test_motion_that_was_seen_is_followed_though_an_even_one_would_arrive():
    ways = Ways.of(square(10), square(22), [even(0), even(12)], [0, 0.5, 1])
    assert places(ways.paths[0], 10) == pytest.approx([10, 10, 22], abs=0.5)
    assert places(ways.paths[1], 22) == pytest.approx([10, 10, 22], abs=0.5)


def test_what_the_flow_missed_goes_where_it_saw_motion():
    """The flow saw two thirds of the way, all of it in the second half."""
    ways = Ways.of(square(10), square(22), [even(0), even(8)], [0, 0.5, 1])
    assert places(ways.paths[0], 10) == pytest.approx([10, 10, 22], abs=0.5)
    assert places(ways.paths[1], 22) == pytest.approx([10, 10, 22], abs=0.5)


def test_a_flow_that_saw_nothing_leaves_the_times():
    ways = Ways.of(square(10), square(30), [even(0), even(0)], [0, 0.4, 1])
    assert places(ways.paths[0], 10) == pytest.approx([10, 18, 30], abs=0.5)
    assert places(ways.paths[1], 30) == pytest.approx([10, 18, 30], abs=0.5)


def test_paths_that_do_not_meet_are_not_taken():
    """Forward the flow says that all motion came early, backward that it came late: neither is believed."""
    early, late = even(0), even(0)
    early[0, 0], late[1, 0] = 24, -24  # first to second frame forward; second to first backward
    ways = Ways.of(square(10), square(34), [early, late], [0, 0.5, 1])
    assert places(ways.paths[0], 10) == pytest.approx([10, 22, 34], abs=0.5)
    assert places(ways.paths[1], 34) == pytest.approx([10, 22, 34], abs=0.5)


def test_an_object_that_is_gone_has_no_path_from_there():
    ways = Ways.of(square(10), np.zeros((CELLS, CELLS), bool), [even(3)], [0, 1])
    assert places(ways.paths[0], 10) == pytest.approx([10, 13], abs=0.1)
    assert ways.paths[1] is None


def test_of_two_objects_the_one_that_hides_lies_over_the_other():
    plate, bar = square(8, 8, 48), square(20, 0, 10) | square(20, 40, 10)
    first = {1: plate & ~bar, 2: bar}
    moved = square(32, 0, 10) | square(32, 40, 10)
    last = {1: plate & ~moved, 2: moved}
    flows = [even(0)]
    flows[0][0, 0][bar], flows[0][1, 0][moved] = 12, -12
    ways = {i: Ways.of(first[i], last[i], flows, [0, 1]) for i in (1, 2)}
    assert covering(ways) == {1: [2], 2: []}
    assert covering({1: ways[1]}) == {1: []}
