"""The strip: what is drawn, and what the mouse does."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_sam2s.masklets import Span
from napari_sam2s.widgets.timeline import HANDLE, LEAST_ROWS, MOST_GROWTH, RULER, Timeline
from napari_sam2s.widgets.timeline_model import CODES, DASH, DASHES, DOUBT_ROWS, EDGE, ROWS, TimelineRow

FRAMES, ORANGE = 1000, (230, 159, 0)


def lane(*spans):
    return TimelineRow("grasper", ORANGE, [Span(*s) for s in spans], [0], [50])


@pytest.fixture
def strip(qtbot):
    timeline = Timeline()
    qtbot.addWidget(timeline)
    timeline.resize(500, 60)
    timeline.show_rows(FRAMES, [lane((0, 500, "present"), (500, FRAMES, "unseen"))], 25.0)
    timeline.show()
    qtbot.waitExposed(timeline)
    timeline.resize(500, timeline.height())
    return timeline


def test_a_pixel_is_a_frame_when_there_is_room():
    codes = lane((0, 3, "present"), (3, 5, "absent"), (5, 8, "unseen")).codes(0, 8, 8)
    assert codes.tolist() == [2, 2, 2, 1, 1, 0, 0, 0]


def test_one_doubtful_frame_in_two_hours_is_seen():
    long = lane((0, 90_000, "present"), (90_000, 90_001, "low score"), (90_001, 180_000, "present"))
    codes = long.codes(0, 180_000, 800)
    assert (codes == CODES["low score"]).sum() == 1
    assert (codes == CODES["present"]).sum() == 799


def test_doubt_is_told_by_its_form_on_an_object_of_any_colour():
    for colour in (ORANGE, *DASHES):
        image = TimelineRow("cup", colour, [Span(0, 4, "present"), Span(4, 8, "low score")], [], []).pixels(
            0, 8, 32, (30, 30, 30)
        )
        low = image[-1, 16:, :3].astype(int)
        steps = np.flatnonzero(np.abs(np.diff(low, axis=0)).sum(axis=1) > 600)
        assert np.diff(steps).tolist() == [DASH] * (len(steps) - 1)
        assert len(steps) >= 4
        assert (image[-DOUBT_ROWS - 1, 16:, :3] == EDGE).all()
        assert (image[:, 8, :3] == colour).all(), "and nothing where there is no doubt"


def test_the_label_of_the_frame_on_show_hides_no_handle(strip):
    strip.set_bounds(0, 510)
    strip.set_current(495)  # its label lies over the handle of the end
    x = int(strip.x_of(510))
    assert strip.grab().toImage().pixelColor(x - 1, 4) == strip.palette().text().color()


def test_many_spans_are_as_they_are_counted_one_by_one():
    rng = np.random.default_rng(0)
    states = rng.choice(list(CODES), 300)
    bounds = np.sort(rng.choice(np.arange(1, FRAMES), 299, replace=False))
    edges = [0, *bounds.tolist(), FRAMES]
    many = lane(*((a, b, str(s)) for a, b, s in zip(edges[:-1], edges[1:], states, strict=True)))
    by_frame = np.concatenate([np.full(s.stop - s.start, CODES[s.state]) for s in many.spans])
    width = 100  # ten frames a pixel
    np.testing.assert_array_equal(many.codes(0, FRAMES, width), by_frame.reshape(width, -1).max(axis=1))
    np.testing.assert_array_equal(many.codes(200, 300, 100), by_frame[200:300])


def test_click_goes_there(strip):
    seen = []
    strip.jumped.connect(seen.append)
    QTest.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(250, RULER + 8))
    assert seen == [500]


def test_handles_bound_and_a_double_click_frees(strip):
    seen = []
    strip.bounds_changed.connect(lambda a, b: seen.append((a, b)))
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mousePress(strip, left, none, QPoint(1, 5))
    there = QPoint(round(strip.x_of(200)), 5)
    QTest.mouseMove(strip, there)
    QTest.mouseRelease(strip, left, none, there)
    assert strip.bounds == (strip.frame_at(there.x()), FRAMES)
    assert abs(strip.bounds[0] - 200) <= 2
    strip.set_bounds(200, 100)
    assert strip.bounds == (200, 201)  # one frame stays
    QTest.mouseDClick(strip, left, none, QPoint(250, 5))
    assert strip.bounds == (0, FRAMES)
    assert seen[-1] == (0, FRAMES)


def test_a_click_on_a_handle_goes_there_and_moves_no_bound(strip):
    """The first frames lie under the in handle."""
    seen = []
    strip.jumped.connect(seen.append)
    for x in (7, 495):
        QTest.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(x, 5))
    assert seen == [6, 997]
    assert strip.x_of(0) > 2
    assert strip.x_of(FRAMES) < strip.width() - 2, "both handles are on the strip, not at its edge"
    assert strip.bounds == (0, FRAMES)
    QTest.mouseMove(strip, QPoint(250, 5))  # and nothing is held any more
    assert strip.bounds == (0, FRAMES)


def test_zooming_keeps_the_frame_under_the_mouse(strip):
    strip.zoom(4, 600.0)
    assert strip.view == (450.0, 700.0)
    assert strip.frame_at(strip.x_of(600.0)) == 600
    strip.pan(10_000)
    assert strip.view == (750.0, 1000.0)
    strip.zoom(1 / 100, 800.0)
    assert strip.view == (0.0, 1000.0)


def test_the_picture_shows_colour_where_the_object_is(strip):
    image = strip.grab().toImage()
    y = RULER + 3 + 4
    np.testing.assert_allclose(image.pixelColor(200, y).getRgb()[:3], (230, 159, 0), atol=2)
    empty = image.pixelColor(400, y).getRgb()[:3]
    assert max(empty) - min(empty) < 10  # grey, in any theme
    assert empty != strip.palette().base().color().getRgb()[:3]
    np.testing.assert_allclose(
        image.pixelColor(round(strip.x_of(50)), y).getRgb()[:3], (46, 204, 113), atol=8
    )  # confirmed frame 50


@pytest.mark.parametrize("count", [63, 400])
def test_many_objects_fit_into_a_low_strip(strip, count):
    low = strip._height_of(LEAST_ROWS)
    last = TimelineRow("last", (0, 158, 115), [Span(0, FRAMES, "present")], [], [])
    strip.show_rows(FRAMES, [lane((0, FRAMES, "present"))] * (count - 1) + [last], 25.0)
    assert strip.minimumSizeHint().height() <= low + MOST_GROWTH
    strip.resize(500, strip.minimumSizeHint().height())
    image = strip.grab().toImage()
    np.testing.assert_allclose(image.pixelColor(200, strip.height() - 1).getRgb()[:3], (0, 158, 115), atol=2)


def test_filled_frames_are_paler_above_and_tracked_ones_stand_out():
    filled = np.array([t for t in range(20) if t % 5], np.int64)
    one = TimelineRow("grasper", ORANGE, [Span(0, 15, "present"), Span(15, 20, "unseen")], [0], [], [], filled)
    image = one.pixels(0, 20, 40, (0, 0, 0))  # two pixels a frame
    pale = image[0, :, 0] < 200
    assert pale[:30].reshape(-1, 2).all(axis=1).tolist() == [bool(t % 5) for t in range(15)]
    assert (image[ROWS - 1, :30, :3] == ORANGE).all()  # whole below
    assert (image[:, 30:, :3] == 0).all()  # nothing where nothing is known
    assert one.fills(0, 20, 4).all()  # five frames a pixel: each has some
    assert not one.fills(0, 1, 10).any()
    assert not TimelineRow("x", (1, 2, 3), [], [], []).fills(0, 20, 5).any()


@pytest.mark.parametrize(("frame", "bounds"), [(0, (0, FRAMES)), (199, (0, 200)), (999, (0, FRAMES)), (200, (200, 900))])
def test_no_handle_lies_on_the_frames_number(strip, frame, bounds):
    strip.set_bounds(*bounds)
    width = 90
    left = strip._left_of_place(int(strip.x_of(frame + 0.5)), width)
    first, stop = (strip.x_of(t) for t in bounds)
    assert left >= first + HANDLE or left + width <= first
    assert left + width <= stop - HANDLE or left >= stop
    assert 0 <= left <= strip.width() - width
