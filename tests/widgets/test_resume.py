"""Runs that are paused, resumed and given up, and what the user does in between."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def user(sharing_user):
    """One viewer serves all of these tests."""
    return sharing_user


def paused(user, frame=0, direction="forward"):
    """Track a little and pause; return the project."""
    widget, project = user.widget, user.widget.session.project
    widget.run_panel.direction.setCurrentText(direction)
    widget.session.go_to(frame)
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.press(Qt.Key.Key_G)
    user.wait(lambda: len(project.frames) > 3)
    user.press(Qt.Key.Key_G)
    user.wait(lambda: not widget.session.tracking)
    user.settle()
    assert len(project.frames) < 24
    return project


def resume(user):
    user.press(Qt.Key.Key_G, SHIFT)
    user.wait(user.finished)
    user.settle()


def test_an_object_added_in_the_pause_can_be_tracked_afterwards(user):
    widget, project = user.widget, paused(user)
    widget.session.go_to(0)
    user.press(Qt.Key.Key_N)
    user.click(60, 60)
    user.wait(lambda: len(project.prompts(2)) == 1)
    user.settle()
    resume(user)
    assert [t for t in range(24) if project.mask(t, 1) is not None] == list(range(24))
    widget.session.go_to(0)
    user.press(Qt.Key.Key_G)
    user.wait(lambda: project.mask(23, 2) is not None)
    user.wait(user.finished)
    assert project.runs[-1].provenance["objects"] == [2]
    assert widget.run_panel.track_button.text().startswith("Track")
    assert widget.session.worker.source.tracker.conditioning == {1: [0], 2: [0]}


def test_a_correction_in_the_pause_is_kept_for_the_next_run(user):
    widget, project = user.widget, paused(user)
    widget.session.go_to(2)
    user.click(60, 60)
    user.wait(lambda: len(project.prompts(1)) == 2)
    user.settle()
    resume(user)
    assert widget.session.worker.corrected == {1}
    widget.session.go_to(2)
    user.press(Qt.Key.Key_G)
    user.wait(lambda: widget.session.tracking)
    user.settle()
    assert {i: sorted(frames) for i, frames in widget.session.worker.source.tracker.conditioning.items()} == {1: [0, 2]}
    assert not widget.session.worker.corrected


def test_a_prompt_taken_back_in_the_pause_does_not_come_back(user):
    widget, project = user.widget, paused(user)
    widget.session.go_to(2)
    user.click(60, 60)
    user.wait(lambda: len(project.prompts(1)) == 2)
    widget.session.go_to(0)
    widget.session.replace_prompts(1, 0, ())
    user.settle()
    resume(user)
    widget.session.worker.start()
    user.settle()
    assert widget.session.worker.source.tracker.conditioning == {1: [2]}


def test_a_resumed_run_in_both_directions_can_be_paused_in_the_second(user):
    widget, project = user.widget, paused(user, frame=8, direction="both")
    user.press(Qt.Key.Key_G, SHIFT)
    user.wait(lambda: any(t < 8 for t in project.frames))
    assert widget.session.tracking
    assert widget.run_panel.track_button.text().startswith("Pause")
    user.press(Qt.Key.Key_G)
    user.wait(lambda: not widget.session.tracking)
    user.settle()
    assert [(r.direction, r.status) for r in project.runs] == [("forward", "finished"), ("backward", "paused")]
    assert "paused" in widget.status.text()


def test_the_key_may_follow_the_first_click_at_once(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.press(Qt.Key.Key_G)
    assert widget.session.tracking
    user.wait(user.finished)
    assert project.frames == list(range(24))


def test_the_key_may_follow_a_correction_at_once(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.press(Qt.Key.Key_N)
    user.click(60, 60)
    user.wait(lambda: len(project.prompts()) == 2)
    user.settle()
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    first = [project.mask(t, 1).copy() for t in range(24)]
    widget.session.go_to(10)
    user.click(200, 100)
    user.press(Qt.Key.Key_G)
    user.settle()
    user.wait(user.finished)
    assert project.runs[-1].provenance["objects"] == [2]
    for t in range(24):
        np.testing.assert_array_equal(project.mask(t, 1), first[t])


def test_a_click_while_tracking_and_the_key_track_from_the_click(user):
    project = user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.press(Qt.Key.Key_G)
    user.wait(lambda: len(project.frames) > 2)
    user.click(60, 60)
    user.press(Qt.Key.Key_G)
    user.settle()
    user.wait(user.finished)
    assert len(project.prompts()) == 2
    assert [r.status for r in project.runs] == ["paused", "finished"]
    assert project.frames[-1] == 23


def test_a_second_press_pauses_also_what_has_not_begun(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.press(Qt.Key.Key_G)
    user.press(Qt.Key.Key_G)
    user.settle()
    user.wait(lambda: not widget.session.tracking)
    assert len(project.frames) < 24
    assert widget.run_panel.track_button.text().startswith("Track")


def test_nothing_to_track_is_told(user):
    widget = user.widget
    user.press(Qt.Key.Key_G)
    assert widget.status.text().startswith("Click an object first")
    slow = threading.Event()
    widget.session.worker.edit(lambda _: slow.wait(60))  # as a slower model
    user.click(40, 40, Qt.MouseButton.RightButton)  # refused: it only shows where the object is not
    user.press(Qt.Key.Key_G)
    assert widget.session.tracking
    slow.set()
    user.wait(lambda: not widget.session.tracking)
    user.wait(lambda: widget.status.text().startswith("Click an object first"))
    assert widget.run_panel.track_button.text().startswith("Track")


def test_a_refused_click_does_not_end_the_run_that_waits(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.settle()
    slow = threading.Event()
    widget.session.worker.edit(lambda _: slow.wait(60))  # as a slower model
    widget.session.go_to(3)
    user.click(60, 60, Qt.MouseButton.RightButton)
    widget.session.go_to(0)
    user.press(Qt.Key.Key_G)
    slow.set()
    user.wait(lambda: len(project.frames) > 2)
    assert widget.session.tracking
    user.press(Qt.Key.Key_G)
    user.wait(lambda: not widget.session.tracking)
    user.settle()
    assert [r.status for r in project.runs] == ["paused"]


def test_closed_in_mid_run_the_button_says_track(user, tmp_path):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.press(Qt.Key.Key_G)
    user.wait(lambda: len(project.frames) > 2)
    assert widget.run_panel.track_button.text().startswith("Pause")
    widget.picker.use_project(tmp_path / "other.sam2s")
    assert widget.run_panel.track_button.text().startswith("Track")


def test_a_run_is_resumed_though_the_click_that_pauses_it_is_not_answered_yet(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.press(Qt.Key.Key_G)
    user.wait(lambda: len(project.frames) > 3)
    said = []
    widget.session.message.connect(said.append)
    user.click(60, 60)
    assert widget.session.worker.pausing
    assert widget.session.worker.answering
    resume(user)
    widget.session.message.disconnect(said.append)
    assert not any("Press G" in words for words in said), "it would pause the run that has begun"
    assert len(project.frames) == 24
    assert len(project.runs) == 1, "the run goes on; no other one began"


def test_a_pause_is_told_at_once(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.press(Qt.Key.Key_G)
    user.wait(lambda: len(project.frames) > 3)
    user.press(Qt.Key.Key_G)
    assert widget.status.text() == "Pausing after this frame ..."
    user.wait(lambda: not widget.session.tracking)


def test_a_run_that_begins_far_from_all_masks_says_which_frames_it_leaves_out(user):
    widget = user.widget
    user.click(130, 240)
    user.settle()
    widget.session.go_to(20)
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    assert widget.session.project.frames == [0, 20, 21, 22, 23]
    told = "Frames 1 to 19 stay without masks: go to frame 0 and press G there. "
    assert told in widget.status.text()
    assert any(told.strip() == note.message for note in notification_manager.records)
    widget.session.go_to(0)
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    assert widget.session.project.frames == list(range(24))
    assert "without masks" not in widget.status.text()
