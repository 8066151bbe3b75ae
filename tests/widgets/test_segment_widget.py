"""The widget in a real viewer, by real mouse and key events."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sam2s.evaluation import evaluate
from napari_sam2s.evaluation.clicks import next_click
from napari_sam2s.masklets import Project
from napari_sam2s.tracking import ProjectRun, Tracker
from napari_sam2s.tracking.propagation_plan import Segment
from napari_sam2s.widgets.layer_factory import OBJECTS, PROMPTS


def test_from_a_video_to_masks_in_a_click_and_a_key(user, case):
    """With the widget open: the drop of the video, a click, a key. It fails when there are more, or when masks are worse."""
    widget = user.widget
    user.actions = 1
    assert [layer.name for layer in user.viewer.layers] == ["case", OBJECTS, PROMPTS]
    assert widget.session.frame == 0
    target = next(o.id for o in case.objects if o.class_name == "gallbladder")
    (y, x), _ = next_click(case.masks(0)[target])
    user.click(y, x)
    user.wait(lambda: widget.session.project.masks(0).get(1, np.zeros(1)).any())
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    assert user.actions <= 3
    project = widget.session.project
    assert project.frames == list(range(24))
    truth = {"case": [case.masks(t)[target] for t in range(24)]}
    labels = np.stack([np.where(m, 1, 0) for m in truth["case"]]).astype(np.uint8)
    assert evaluate(project, labels, skip="prompt").overall.jf > 0.7
    assert widget.timeline.rows[0].spans[0].stop == 24
    np.testing.assert_array_equal(user.viewer.layers[OBJECTS].data[10], project.labels[10])


def test_a_click_with_control_chooses_the_object_below(user):
    session, project = user.widget.session, user.widget.session.project
    mask = np.zeros(project.shape[1:], bool)
    mask[50:90, 100:160] = True
    project.add_object("hook")
    project.write_masks([(0, 1, mask, None)])
    session.choose(2)
    user.click(70, 130, modifier=Qt.KeyboardModifier.ControlModifier)
    user.wait(lambda: user.widget.status.text() == "object 1 is chosen.")
    assert session.current_object == 1
    assert user.widget.objects_panel.table.currentRow() == 0
    user.click(200, 300, modifier=Qt.KeyboardModifier.ControlModifier)
    user.wait(lambda: user.widget.status.text() == "There is no object here.")
    user.qtbot.wait(50)
    assert session.current_object == 1
    assert not project.prompts()
    assert not len(user.viewer.layers[PROMPTS].data), "no dot is left of either"


def test_doubtful_answers_are_told_before_they_are_tracked(user, monkeypatch):
    widget, project = user.widget, user.widget.session.project
    monkeypatch.setattr("napari_sam2s.widgets.click_answers.UNSURE_ANSWER", 0.0)
    user.click(100, 200)
    user.wait(lambda: "to track from here" in widget.status.text())
    assert widget.status.text() == "Press G to track from here, or D for another answer."
    monkeypatch.setattr("napari_sam2s.widgets.click_answers.UNSURE_ANSWER", 1.01)
    user.click(104, 204)
    user.wait(lambda: "The model is unsure" in widget.status.text())
    assert f"predicted IoU {project.scores(0)[1].iou:.2f}" in widget.status.text()
    assert widget.status.text().endswith("Press G to track from here.")
    project.write_masks([(0, 1, np.zeros(project.shape[1:], dtype=bool), None)], origin="prompted")
    widget.session.worker.prompted.emit(0, 1)
    assert widget.status.text().startswith("The model found no object here")
    project.write_masks([(0, 1, np.zeros(project.shape[1:], dtype=bool), None)], origin="painted")
    widget.session.worker.prompted.emit(0, 1)
    assert widget.status.text().startswith("Press G"), "who wipes a mask out needs no word on it"


def test_a_further_object_takes_two_actions_and_a_box_is_dragged(user):
    widget, project = user.widget, user.widget.session.project
    user.click(100, 200)
    user.wait(lambda: len(project.prompts()) == 1)
    user.actions = 0
    user.press(Qt.Key.Key_N)
    user.drag((60, 60), (160, 200))
    user.wait(lambda: len(project.prompts()) == 2)
    assert user.actions == 2
    box = project.prompts(2)[0].box
    np.testing.assert_allclose(box, (60, 60, 160, 200), atol=2)
    assert widget.objects_panel.table.rowCount() == 2
    user.settle()
    kinds = list(widget.session.layers.prompts.features["kind"])
    assert kinds.count("positive") == 1
    assert kinds.count("box") > 20


def test_a_correction_takes_two_actions_and_changes_no_other_object(user, case):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.press(Qt.Key.Key_N)
    user.click(60, 60)
    user.wait(lambda: len(project.prompts()) == 2)
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    widget.session.go_to(18)
    user.press(Qt.Key.Key_K)
    first = {t: project.mask(t, 1).copy() for t in range(24)}
    second = {t: project.mask(t, 2).copy() for t in range(24)}
    widget.session.go_to(10)
    user.actions = 0
    user.click(200, 100)
    user.settle()
    assert widget.run_view.segments() == [Segment(10, 18, "forward", (2,))]
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    assert user.actions == 2
    assert all(np.array_equal(project.mask(t, 1), first[t]) for t in range(24))
    changed = [t for t in range(24) if not np.array_equal(project.mask(t, 2), second[t])]
    assert changed
    assert min(changed) >= 10
    assert max(changed) < 18


@pytest.mark.parametrize("how", ["right button", "alt"])
def test_negative_clicks(user, how):
    project = user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: len(project.prompts()) == 1)
    if how == "alt":
        user.click(40, 40, modifier=Qt.KeyboardModifier.AltModifier)
    else:
        user.click(40, 40, Qt.MouseButton.RightButton)
    user.wait(lambda: len(project.prompts()) == 2)
    assert project.prompts()[1].labels == (0,)
    user.settle()
    assert list(user.widget.session.layers.prompts.features["kind"]) == ["positive", "negative"]


def test_tracking_goes_on_from_a_negative_click_after_undo(user):
    """After undo the engine is told all prompts again; one that only says where a tracked object is not is among them."""
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    widget.session.go_to(10)
    inside = np.argwhere(project.mask(10, 1))
    y, x = inside[len(inside) // 2]
    user.click(y, x, Qt.MouseButton.RightButton)
    user.wait(lambda: len(project.prompts(1)) == 2)
    user.settle()
    answer = project.mask(10, 1)
    user.press(Qt.Key.Key_K)
    user.settle()
    user.press(Qt.Key.Key_U)
    user.settle()
    assert not project.masks.confirmed_frames(1)
    user.press(Qt.Key.Key_G)
    user.settle()
    user.wait(user.finished)
    np.testing.assert_array_equal(project.mask(10, 1), answer)
    assert project.runs[-1].status == "finished"


def test_pause_correct_undo_redo(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.press(Qt.Key.Key_G)
    user.wait(lambda: len(project.frames) > 3)
    user.press(Qt.Key.Key_G)
    user.wait(lambda: not widget.session.tracking)
    user.settle()
    reached = len(project.frames)
    user.qtbot.wait(500)
    assert len(project.frames) == reached < 24
    assert widget.run_panel.resume_button.isVisible()
    user.press(Qt.Key.Key_K)
    assert project.masks.confirmed_frames(1) == [widget.session.frame]
    user.press(Qt.Key.Key_U)
    user.wait(lambda: not project.masks.confirmed_frames(1))
    user.press(Qt.Key.Key_U)
    user.wait(lambda: project.frames == [0])
    user.press(Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    user.wait(lambda: len(project.frames) == reached)


@pytest.mark.parametrize("painting", [False, True])
def test_what_is_worked_at_during_a_run_does_not_pass_by(user, painting):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.settle()
    user.press(Qt.Key.Key_G)
    user.wait(lambda: widget.session.frame > 0)
    if painting:
        layer = user.viewer.layers.selection.active = user.viewer.layers[OBJECTS]
        layer.selected_label, layer.brush_size, layer.mode = 1, 20, "paint"
    a, b = user.place(60, 60), user.place(60, 62 if not painting else 160)
    frame = widget.session.frame
    QTest.mousePress(user.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, a)
    reached = len(project.frames)
    user.wait(lambda: len(project.frames) > reached + 2)
    user.qtbot.wait(300)
    if painting:
        QTest.mouseMove(user.canvas, b)
    QTest.mouseRelease(user.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, b)
    user.settle()
    user.wait(lambda: not widget.session.tracking)
    assert widget.session.frame == frame == project.prompts()[-1].frame
    assert {p.frame for p in project.prompts()} == {0, frame}


def test_a_stroke_is_a_mask_prompt_one_step_of_undo_and_survives_tracking(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.settle()
    steps = len(project.history.steps)
    layer = user.viewer.layers[OBJECTS]
    widget.session.go_to(5)
    user.viewer.layers.selection.active = layer
    layer.selected_label, layer.brush_size, layer.mode = 1, 10, "paint"
    user.drag((30, 30), (60, 60))
    user.settle()
    assert len(project.history.steps) == steps + 1
    assert project.mask(5, 1)[45, 45]
    assert project.masks.origins(5) == {1: "painted"}
    assert [(p.frame, p.mask is not None) for p in project.prompts(1)] == [(0, False), (5, True)]
    painted = project.mask(5, 1)
    widget.session.go_to(0)
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    np.testing.assert_array_equal(project.mask(5, 1), painted)
    assert project.masks.origins(6) == {1: "propagated"}
    user.press(Qt.Key.Key_U)
    user.wait(lambda: project.frames == [0, 5])
    user.press(Qt.Key.Key_U)
    user.wait(lambda: project.frames == [0])
    assert len(project.prompts()) == 1


def test_a_video_that_was_let_go_of_has_no_more_to_say(user):
    """That its model is ready would hide why the next video was not opened."""
    widget, worker = user.widget, user.widget.session.worker
    late = threading.Thread(target=worker.failed.emit, args=("late",))
    late.start()
    late.join()  # it is said, and yet to be heard
    widget.session.close()
    widget.session.tell("There is no room on the disk.")
    user.qtbot.wait(50)
    assert widget.status.text() == "There is no room on the disk."


def test_an_engine_that_is_killed_costs_one_key(local_user, tmp_path):
    user = local_user
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.press(Qt.Key.Key_G)
    user.wait(lambda: len(project.frames) > 3)
    os.kill(widget.session.worker.source.engine.pid, signal.SIGKILL)
    user.wait(lambda: "ended unexpectedly" in widget.status.text())
    assert "Resume (Shift-G)" in widget.status.text()
    kept = {t: project.labels[t].copy() for t in project.frames}
    assert len(kept) > 3
    user.wait(lambda: widget.run_panel.resume_button.isVisible())
    widget.run_panel.resume_button.click()
    assert not widget.run_panel.resume_button.isVisible(), "there is nothing to resume while it runs"
    user.wait(user.finished)
    assert project.frames == list(range(24))
    for t, labels in kept.items():
        np.testing.assert_array_equal(project.labels[t], labels)
    whole = uninterrupted(project, widget.session, tmp_path / "whole.sam2s")
    for t in range(24):
        np.testing.assert_array_equal(project.labels[t], whole[t])


def uninterrupted(project, session, path):
    """Return the label images of the same prompts in one go, by the same engine."""
    with Project.create(path, session.video) as again:
        for o in project.objects:
            again.add_object(o.name)
        source = session.worker.source
        tracker = Tracker(
            source.engine.model(source.choice.model, image_size=source.choice.image_size),
            session.video,
            again,
            source.choice.memory,
        )
        for p in project.prompts():
            tracker.prompt(p.object_id, p.frame, points=p.points or None, labels=p.labels or None, box=p.box)
        for _ in ProjectRun(tracker, 0):
            pass
        return [again.labels[t].copy() for t in again.frames]
