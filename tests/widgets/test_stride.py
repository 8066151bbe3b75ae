"""The working rate, fast mode, precision and input size in a real viewer."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sam2s.widgets.object_table import FRAMES
from napari_sam2s.widgets.settings import remembered
from napari_sam2s.widgets.stride_spinbox import StrideSpinBox


def test_the_box_reads_as_a_sentence_takes_a_number_and_remembers(qtbot):
    box = StrideSpinBox()
    qtbot.addWidget(box)
    box.show()
    assert (box.text(), box.every, box.isEnabled()) == ("every frame", 1, False)
    box.show_video(25.0)
    seen = []
    box.chosen.connect(seen.append)
    box.selectAll()
    QTest.keyClicks(box, "5")
    QTest.keyClick(box, Qt.Key.Key_Return)
    assert (box.text(), box.every, seen) == ("every 5th frame", 5, [5])
    box.stepUp()
    assert box.text() == "every 6th frame"
    again = StrideSpinBox()
    qtbot.addWidget(again)
    again.show_video(30.0)
    assert again.text() == "every 6th frame"
    assert "30 frames per second" in again.toolTip()
    again.show_video(None)  # such as a z-stack: nothing is filled in it
    assert (again.text(), again.every) == ("every frame", 1)
    assert "no frame rate" in again.toolTip()
    assert remembered("run", "every", 1) == 6


def test_at_a_working_rate_frames_between_are_filled_marked_and_can_be_tracked_in_full(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    widget.run_panel.rate.take(5)
    assert widget.run_view.segments()[0].stride == 5
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    assert project.frames == list(range(24))
    origins = [project.masks.origins(t)[1] for t in range(24)]
    filled = [t for t in range(24) if t % 5 and t != 23]
    assert [t for t, o in enumerate(origins) if o == "interpolated"] == filled
    assert project.runs[-1].provenance["rate"] == pytest.approx(widget.session.video.fps / 5)
    user.settle()
    assert widget.timeline.rows[0].filled.tolist() == filled
    shown = sum(s.stop - s.start for s in project.masks.presence(1) if s.state in ("present", "low score"))
    seen = sum(bool(project.mask(t, 1).any()) for t in filled)
    assert widget.objects_panel.table.item(0, FRAMES).text() == f"{shown}, {seen} filled"
    widget.run_panel.rate.take(1)
    widget.session.go_to(0)
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    assert not project.masks.series(1).of("interpolated").any()
    user.settle()
    assert "filled" not in widget.objects_panel.table.item(0, FRAMES).text()


def test_a_run_at_a_working_rate_is_paused_and_gone_on_with_at_it(user):
    widget, project = user.widget, user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    widget.run_panel.rate.take(3)
    user.press(Qt.Key.Key_G)
    user.wait(lambda: len(project.frames) > 6)
    user.press(Qt.Key.Key_G)
    user.wait(lambda: not widget.session.tracking)
    user.settle()
    assert len(project.frames) < 24
    widget.run_panel.rate.take(1)  # the run goes on as it began
    user.press(Qt.Key.Key_G, Qt.KeyboardModifier.ShiftModifier)
    user.wait(user.finished)
    tracked = [t for t in range(24) if project.masks.origins(t)[1] != "interpolated"]
    assert tracked == [*range(0, 24, 3), 23]


def test_the_rate_that_the_preflight_proposes_is_taken_by_a_click(user):
    panel = user.widget.run_panel
    panel.preflight.linkActivated.emit("7")
    assert panel.rate.every == 7
    assert panel.rate.text().startswith("every 7th frame")


def test_fast_mode_mixed_precision_and_input_size_reach_the_engine(user):
    widget, project = user.widget, user.widget.session.project
    widget.model_panel.mode.setCurrentText("fast")
    widget.model_panel.precision.setCurrentText("bfloat16")
    widget.model_panel.input_size.setCurrentText("256 x 256")
    user.wait(lambda: "at 256 px, fast, bfloat16: ready" in widget.status.text())
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    assert project.mask(0, 1).any()
    user.press(Qt.Key.Key_G)
    user.wait(user.finished)
    facts = project.runs[-1].provenance
    assert (facts["mode"], facts["precision"], facts["image_size"]) == ("fast", "bfloat16", 256)
    assert facts["speed"]["pooled_memory"]
    assert all(np.any(project.mask(t, 1)) for t in range(5))
