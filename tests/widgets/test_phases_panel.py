"""Phases by key: begun, ended, listed, changed in the table, drawn as lanes, undone."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_sam2s.masklets import Phase, Span
from napari_sam2s.masklets.objects import COLOURS
from napari_sam2s.widgets.phases_panel import FIRST, LAST, NAME
from napari_sam2s.widgets.timeline import GAP, NAMES_FROM, ROW, Timeline
from napari_sam2s.widgets.timeline_model import TimelineRow

SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def user(sharing_user):
    """One viewer serves all of these tests."""
    sharing_user.widget.phases_panel.name.setEditText("")
    return sharing_user


def texts(panel):
    return [[panel.table.item(row, column).text() for column in range(3)] for row in range(panel.table.rowCount())]


def test_a_phase_is_marked_by_its_key(user):
    session, panel, timeline = user.widget.session, user.widget.phases_panel, user.widget.timeline
    panel.name.setEditText("clip")
    assert panel.mark_button.text() == "Begin (Shift-M)"
    session.go_to(4)
    user.press(Qt.Key.Key_M, SHIFT)
    assert "clip begins at frame 4" in user.widget.status.text()
    assert panel.mark_button.text() == "End (Shift-M)"
    assert [row.name for row in timeline.rows] == ["clip", "object 1"]
    session.go_to(9)
    user.press(Qt.Key.Key_M, SHIFT)
    assert "clip is on frames 4 to 9" in user.widget.status.text()
    assert list(session.project.phases) == [Phase(1, "clip", 4, 10)]
    lane = timeline.rows[0]
    assert lane.colour == COLOURS[-1]
    np.testing.assert_array_equal(np.flatnonzero(lane.codes(0, 24, 24)), np.arange(4, 10))
    assert texts(panel) == [["clip", "4", "9"]]
    user.press(Qt.Key.Key_U)
    user.settle()
    assert panel.mark_button.text() == "End (Shift-M)"
    user.press(Qt.Key.Key_U)
    user.settle()
    assert (texts(panel), len(timeline.rows)) == ([], 1)
    assert panel.name.findText("clip") >= 0, "the next video is marked by the same names"


def test_remove_removes_the_phase_that_was_clicked_wherever_its_row_has_moved(user):
    session, panel = user.widget.session, user.widget.phases_panel
    clip = session.project.phases.add("clip", 12, 13)
    session.changed.emit()
    panel.table.setCurrentCell(0, NAME)
    session.project.phases.add("cut", 4, 10)  # comes before it
    session.changed.emit()
    assert (texts(panel)[0][0], panel.table.currentRow()) == ("cut", 1)
    panel.remove()
    assert [phase.name for phase in session.project.phases] == ["cut"], clip
    panel.remove()  # a second press removes nothing that was not clicked
    assert len(list(session.project.phases)) == 1


def test_the_table_changes_them(user):
    session, panel = user.widget.session, user.widget.phases_panel
    session.project.phases.add("clip", 4, 10)
    session.project.phases.add("clip", 12, 13)
    session.changed.emit()
    panel.table.item(0, NAME).setText("dissection")
    panel.table.item(0, LAST).setText("14")
    assert session.project.phases[0] == Phase(1, "dissection", 4, 15)
    panel.table.item(1, LAST).setText("")  # has not ended
    panel.table.item(1, FIRST).setText("soon")
    assert "'soon' is not a frame number" in user.widget.status.text()
    panel.table.item(1, LAST).setText("99")
    assert "does not lie in the video" in user.widget.status.text()
    assert texts(panel) == [["dissection", "4", "14"], ["clip", "12", ""]]
    panel.table.cellClicked.emit(1, NAME)
    assert session.frame == 12
    panel.table.setCurrentCell(1, NAME)
    panel.remove()
    assert texts(panel) == [["dissection", "4", "14"]]


def test_lanes_leave_the_objects_their_room(qapp):
    """Two lanes above three objects: all names can be read."""
    strip = Timeline()
    span = [Span(0, 9, "present")]
    rows = [TimelineRow(f"object {n}", (9, 9, 9), span, (), ()) for n in range(3)]
    strip.show_rows(9, rows)
    before = strip.minimumSizeHint().height()
    strip.show_rows(9, [TimelineRow(name, (9, 9, 9), span, (), (), lane=True) for name in ("clip", "cut")] + rows)
    assert strip.minimumSizeHint().height() == before + 2 * (ROW + GAP)
    strip.resize(480, strip.minimumSizeHint().height())
    assert round(strip._pitch) - 1 >= NAMES_FROM


def test_a_table_of_phases_is_taken_up(user, tmp_path):
    session, panel = user.widget.session, user.widget.phases_panel
    (tmp_path / "t.csv").write_text("phase,start_frame,last_frame\ncut,2,5\n", encoding="utf-8")
    panel.take_file(tmp_path / "t.csv")
    assert texts(panel) == [["cut", "2", "5"]]
    assert "1 phase is added. Undo reverts it." in user.widget.status.text()
    panel.take_file(tmp_path / "none.csv")
    assert "There is no file" in user.widget.status.text()
    session.project.undo()
    session.changed.emit()


def test_phases_are_exported_without_any_mask(user, tmp_path, monkeypatch):
    session, panel = user.widget.session, user.widget.phases_panel
    chosen = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *given: (chosen.append(given[2]) or str(tmp_path / "mine"), ""))
    panel.export_button.click()
    assert (chosen, user.widget.status.text()[:33]) == ([], "There are no phases to export. Ty")
    session.project.phases.add("cut", 5, 10)
    session.changed.emit()
    for said in ("Exported to", "exists already"):
        panel.export_button.click()
        assert chosen[-1].endswith("case_phases.csv")
        assert said in user.widget.status.text()
    table = (tmp_path / "mine.csv").read_text(encoding="utf-8").splitlines()
    assert table == ["phase,start_frame,last_frame,start_s,end_s", "cut,5,9,0.2,0.4"]
    session.project.undo()
    session.changed.emit()
