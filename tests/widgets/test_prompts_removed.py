"""Prompts deleted in the layer, clicks that are refused, and the object that clicks belong to."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_sam2s.masklets import Prompt
from napari_sam2s.widgets.layer_factory import OBJECTS, still_drawn

RIGHT = Qt.MouseButton.RightButton


@pytest.fixture
def user(sharing_user):
    """One viewer serves all of these tests."""
    return sharing_user


def delete(user, which):
    """Delete the points in the layer for which ``which(number, kind)`` holds."""
    layer = user.widget.session.layers.prompts
    layer.selected_data = {n for n, kind in enumerate(layer.features["kind"]) if which(n, kind)}
    layer.remove_selected()
    user.settle()


def said(project):
    return [(p.points, p.box is not None, p.mask is not None) for p in project.prompts()]


def test_what_is_left_of_prompts():
    mask = np.ones((4, 4), bool)
    prompts = [
        Prompt(1, 0, ((1.0, 2.0), (1.0, 2.0)), (1, 0)),
        Prompt(1, 0, box=(0.0, 0.0, 8.0, 8.0)),
        Prompt(1, 0, mask=mask),
    ]
    assert still_drawn(prompts, [("negative", 1.0, 2.0)]) == [Prompt(1, 0, ((1.0, 2.0),), (0,)), prompts[2]]
    assert still_drawn(prompts[:2], []) == []


def test_deleting_a_click_leaves_the_box(user):
    project = user.widget.session.project
    user.drag((60, 60), (160, 200))
    user.wait(lambda: len(project.prompts()) == 1)
    user.click(100, 120)
    user.click(110, 130)
    user.wait(lambda: len(project.prompts()) == 3)
    user.settle()
    points, steps = project.prompts()[1].points, len(project.history.steps)
    last = max(n for n, kind in enumerate(user.widget.session.layers.prompts.features["kind"]) if kind != "box")
    delete(user, lambda n, kind: n == last)
    assert said(project) == [(points, True, False)]
    assert project.mask(0, 1).any()
    assert len(project.history.steps) == steps + 1
    user.press(Qt.Key.Key_U)
    user.settle()
    assert len(project.prompts()) == 3


def test_deleting_the_dots_of_a_box_takes_it_back(user):
    project = user.widget.session.project
    user.drag((60, 60), (160, 200))
    user.wait(lambda: len(project.prompts()) == 1)
    user.settle()
    delete(user, lambda n, kind: n == 0)
    assert not project.prompts()
    assert project.mask(0, 1) is None
    assert len(user.widget.session.layers.prompts.data) == 0


def test_deleting_a_click_leaves_what_was_painted(user):
    widget, project = user.widget, user.widget.session.project
    widget.session.go_to(4)
    layer = user.viewer.layers[OBJECTS]
    user.viewer.layers.selection.active = layer
    layer.brush_size, layer.mode = 10, "paint"
    user.drag((30, 30), (60, 60))
    user.settle()
    painted = project.mask(4, 1)
    widget.session.activate_prompts()
    user.click(45, 45)
    user.wait(lambda: len(project.prompts()) == 2)
    user.settle()
    delete(user, lambda n, kind: True)
    assert said(project) == [((), False, True)]
    np.testing.assert_array_equal(project.mask(4, 1), painted)
    assert project.masks.origins(4) == {1: "painted"}
    widget.session.worker.start()
    user.settle()
    assert widget.session.worker.source.tracker.conditioning == {1: [4]}


def test_deleting_one_of_two_corrections_leaves_the_other(user):
    """A tracked mask was corrected by negative clicks only; there is nothing else that says where the object is."""
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    widget.session.go_to(10)
    inside = np.argwhere(project.mask(10, 1))
    for n in (1, 2):
        user.click(*inside[n * len(inside) // 3], RIGHT)
        user.wait(lambda n=n: len(project.prompts(1, 10)) == n)
        user.settle()
    kept = project.prompts(1, 10)[0].points
    last = len(widget.session.layers.prompts.data) - 1
    delete(user, lambda n, kind: n == last)
    assert [p.points for p in project.prompts(1, 10)] == [kept]
    assert project.mask(10, 1).any()


def test_a_locked_object_takes_no_clicks(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.settle()
    project.objects.set_flags(1, locked=True)
    widget.refresh()
    before = project.mask(0, 1)
    user.click(200, 100)
    user.settle()
    assert "locked" in widget.status.text()
    np.testing.assert_array_equal(project.mask(0, 1), before)
    assert len(widget.session.layers.prompts.data) == 1
    delete(user, lambda n, kind: True)
    user.settle()
    assert len(project.prompts()) == len(widget.session.layers.prompts.data) == 1
    np.testing.assert_array_equal(project.mask(0, 1), before)


def test_after_undo_of_a_new_object_clicks_belong_to_one_that_is_there(user):
    widget, project = user.widget, user.widget.session.project
    user.press(Qt.Key.Key_N)
    user.press(Qt.Key.Key_U)
    user.settle()
    assert widget.session.current_object == 1
    assert widget.session.layers.objects.selected_label == 1
    user.click(140, 250)
    user.wait(lambda: bool(project.frames))
    assert [p.object_id for p in project.prompts()] == [1]
    assert [o.id for o in project.objects] == [1]


def test_confirming_a_frame_of_which_nothing_is_known_is_said(user):
    project, steps = user.widget.session.project, len(user.widget.session.project.history.steps)
    user.widget.session.go_to(14)
    user.press(Qt.Key.Key_K)
    assert "Frame 14 has no masks yet" in user.widget.status.text()
    assert len(project.history.steps) == steps
