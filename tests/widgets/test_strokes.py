"""Masks painted, erased and undone by hand in the viewer, and what the tracker is told of that."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from scipy.ndimage import distance_transform_edt

from napari_sam2s.widgets.layer_factory import OBJECTS

CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def user(sharing_user):
    """One viewer serves all of these tests."""
    return sharing_user


@pytest.fixture
def painter(user):
    """A user with the brush in hand on frame 5."""
    user.widget.session.go_to(5)
    layer = user.viewer.layers[OBJECTS]
    user.viewer.layers.selection.active = layer
    layer.brush_size, layer.mode = 10, "paint"
    return user


def settle(user):
    """Wait until what was painted is told, and then answered."""
    user.settle()
    user.settle()


def test_napari_undo_of_a_stroke_is_told_and_one_step(painter):
    project, layer = painter.widget.session.project, painter.viewer.layers[OBJECTS]
    painter.drag((30, 30), (60, 60))
    painter.settle()
    first, steps = project.mask(5, 1), len(project.history.steps)
    painter.drag((100, 100), (160, 160))
    painter.settle()
    second = project.mask(5, 1)
    assert second.sum() > first.sum()
    for again, mask in ((layer.undo, first), (layer.redo, second)):
        again()
        settle(painter)
        np.testing.assert_array_equal(project.mask(5, 1), mask)
        np.testing.assert_array_equal(project.prompts(1)[0].mask, mask)
    assert len(project.history.steps) == steps + 3
    painter.press(Qt.Key.Key_Z, CONTROL)
    settle(painter)
    np.testing.assert_array_equal(project.prompts(1)[0].mask, first)
    for _ in range(3):  # what napari undid and redid are steps like others
        painter.press(Qt.Key.Key_Z, CONTROL)
        settle(painter)
    assert project.mask(5, 1) is None
    assert not project.prompts()


def test_what_is_painted_over_gives_pixels_up_by_name_and_is_not_tracked_anew(painter):
    widget, project = painter.widget, painter.widget.session.project
    project.objects.rename(1, "hook")
    project.add_object("liver")
    project.write_masks([(t, 2, np.ones((270, 480), dtype=bool), None) for t in (5, 6)])
    widget.session.choose(1)
    painter.drag((30, 30), (60, 60))
    settle(painter)
    hook, liver = project.mask(5, 1), project.mask(5, 2)
    assert hook[45, 45]
    np.testing.assert_array_equal(liver, ~hook)
    assert [p.object_id for p in project.prompts()] == [1]
    assert {i for segment in widget.run_view.segments() for i in segment.objects} == {1}
    text = "liver lost these pixels on frame 5. Its other frames are unchanged. Press G to track from here."
    painter.wait(lambda: widget.status.text() == text)
    painter.press(Qt.Key.Key_U)
    settle(painter)
    assert project.mask(5, 2).all()


def test_an_object_that_is_erased_is_forgotten_there(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    widget.session.go_to(8)
    user.click(60, 60)
    user.wait(lambda: len(project.prompts()) == 2)
    user.settle()
    layer = user.viewer.layers[OBJECTS]
    user.viewer.layers.selection.active = layer
    layer.contiguous, layer.selected_label, layer.mode = False, 0, "fill"
    depth = distance_transform_edt(np.pad(project.mask(8, 1), 1))[1:-1, 1:-1]  # a mask at the border is not deep there
    user.click(*np.unravel_index(depth.argmax(), depth.shape))
    settle(user)
    assert not project.mask(8, 1).any()
    assert [p.frame for p in project.prompts()] == [0]
    assert widget.session.worker.source.tracker.conditioning == {1: [0]}


def test_the_label_chosen_in_napari_is_the_object(painter):
    widget, project = painter.widget, painter.widget.session.project
    project.add_object()
    widget.refresh()
    layer = painter.viewer.layers[OBJECTS]
    layer.selected_label = 2
    assert widget.session.current_object == 2
    assert widget.objects_panel.table.currentRow() == 1
    for start, stop in (((30, 30), (60, 60)), ((100, 100), (140, 140))):
        painter.drag(start, stop)
        settle(painter)
    assert project.masks.origins(5) == {2: "painted"}
    assert project.mask(5, 2)[45, 45]
    assert project.mask(5, 2)[120, 120]
    layer.selected_label = 0  # to erase
    widget.refresh()
    assert layer.selected_label == 0
    painter.drag((100, 100), (140, 140))
    painter.settle()
    assert not project.mask(5, 2)[120, 120]
    assert widget.session.current_object == 2
    widget.session.choose(1)
    assert layer.selected_label == 1


def test_a_run_that_begins_during_a_stroke_is_not_lost(user):
    widget, project = user.widget, user.widget.session.project
    widget.session.go_to(8)
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.settle()
    widget.run_panel.direction.setCurrentText("both")
    widget.run_panel.follow.setChecked(False)
    user.press(Qt.Key.Key_G)
    user.wait(lambda: len(project.frames) > 2)
    widget.session.go_to(2)
    layer = user.viewer.layers[OBJECTS]
    user.viewer.layers.selection.active = layer
    layer.brush_size, layer.mode = 10, "paint"
    start, stop = user.place(30, 30), user.place(60, 60)
    QTest.mousePress(user.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    user.wait(lambda: len(project.runs) == 2)
    QTest.mouseMove(user.canvas, stop)
    user.qtbot.wait(30)
    QTest.mouseRelease(user.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, stop)
    user.wait(lambda: [r.status for r in project.runs] == ["finished", "finished"])  # the message may be that of the stroke
    user.settle()
    assert project.frames == list(range(24))
    assert project.masks.origins(2) == {1: "painted"}
    assert [label for label, _ in project.history.steps].count("paint") == 1
