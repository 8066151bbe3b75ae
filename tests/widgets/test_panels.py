"""The pages beside the flow, in a real viewer by mouse and key: objects, review, surgery."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QLineEdit, QPushButton

from napari_sam2s.masklets import Review, Scores
from napari_sam2s.masklets.class_lists import PRESETS
from napari_sam2s.masklets.clean_up import USUAL
from napari_sam2s.widgets.form_parts import menu
from napari_sam2s.widgets.object_table import CLASS, NAME, SHOW
from napari_sam2s.widgets.review_spans import fill_kinds
from napari_sam2s.widgets.segment_widget import SegmentWidget
from napari_sam2s.widgets.spotlight import _on_canvas, _Rings, point_out

pytestmark = pytest.mark.usefixtures("in_shared_engine")

PATIENCE = 180_000  # milliseconds
GOOD = Scores(0.9, 6.0, {"grasper": 0.9, "hook": 0.1})


def block(y, x):
    mask = np.zeros((270, 480), dtype=bool)
    mask[y : y + 60, x : x + 60] = True
    return mask


class Desk:
    """A viewer with the widget on a project of two objects, and hands."""

    def __init__(self, viewer, widget, qtbot):
        self.viewer, self.widget, self.qtbot = viewer, widget, qtbot
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.project = widget.session.project

    def press(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        QTest.keyClick(self.canvas, key, modifier)

    def wait(self, condition):
        self.qtbot.waitUntil(condition, timeout=PATIENCE)

    def click(self, button):
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def button(self, panel, text):
        return next(b for b in panel.findChildren(QPushButton) if b.text() == text)

    def show(self, panel):
        self.widget.tabs.setCurrentWidget(panel)
        self.qtbot.wait(50)

    def edit_cell(self, row, column):
        table = self.widget.objects_panel.table
        self.show(self.widget.objects_panel)
        place = table.visualItemRect(table.item(row, column)).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        QTest.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        return table.findChild(QLineEdit if column == NAME else QComboBox)


@pytest.fixture
def desk(make_napari_viewer, qtbot, case_file, tmp_path):
    viewer = make_napari_viewer(show=True)
    viewer.open(str(case_file), plugin="napari-sam2s")
    widget = SegmentWidget(viewer, project_folder=tmp_path)
    viewer.window.add_dock_widget(widget)
    project = widget.session.project
    project.objects.rename(1, "left")
    project.add_object("right")
    project.write_masks([(t, 1, block(20, 20 + t), GOOD) for t in range(24)])
    project.write_masks([(t, 2, block(150, 300 - t), GOOD) for t in range(24)])
    widget.refresh()
    yield Desk(viewer, widget, qtbot)
    widget.close()


def test_review_by_key(desk):
    widget, project, panel = desk.widget, desk.project, desk.widget.review_panel
    desk.wait(lambda: panel.project is project and not panel._behind)
    assert panel.table.rowCount() == 0
    desk.press(Qt.Key.Key_J)
    assert "Nothing to review" in widget.status.text()
    widget.session.tell("")
    desk.press(Qt.Key.Key_W, Qt.KeyboardModifier.ShiftModifier)
    assert "Nothing to review" in widget.status.text()
    full = np.ones((270, 480), dtype=bool)
    project.write_masks([(t, 2, full, Scores(0.2, 0.3)) for t in range(18, 21)])
    project.write_masks([(t, 1, block(20, 20 + t), Scores(0.4, 6.0)) for t in range(4, 8)])
    widget.refresh()
    desk.wait(lambda: panel.table.rowCount() == 3)
    assert panel.summary.text() == "3 spans to review, about 1 min"
    assert widget.tabs.tabText(widget.tabs.indexOf(panel)) == "Review (3)"
    assert [span.objects for span in panel.review] == [(2,), (1, 2), (1,)]
    desk.press(Qt.Key.Key_W)  # none is chosen
    assert widget.status.text() == "Press J first: it goes to a span."

    desk.press(Qt.Key.Key_J)  # the worst
    assert widget.session.frame == panel.review[0].frame
    assert widget.session.current_object == 2
    assert "of the frame" in widget.status.text()
    assert "of the frame" in panel.table.item(0, 2).toolTip()
    desk.press(Qt.Key.Key_Q)  # it is not there
    desk.wait(lambda: panel.table.rowCount() == 1)
    assert not project.mask(19, 2).any()
    desk.wait(lambda: widget.session.current_object == 1)  # what is left came up by itself
    assert 4 <= widget.session.frame < 8
    desk.press(Qt.Key.Key_W)  # that one is right
    desk.press(Qt.Key.Key_W)  # impatience, which would answer a span that nobody has seen
    assert widget.status.text() == "This span is answered. The next one appears in a moment."
    desk.wait(lambda: panel.table.rowCount() == 0)
    assert project.masks.confirmed_frames(1) == [4, 5, 6, 7]
    desk.press(Qt.Key.Key_U)
    desk.wait(lambda: panel.table.rowCount() == 1)
    widget.viewer.layers.selection.active = widget.session.image
    desk.press(Qt.Key.Key_J)
    desk.press(Qt.Key.Key_W, Qt.KeyboardModifier.ShiftModifier)  # to correct it
    assert widget.viewer.layers.selection.active.name == widget.session.layers.prompts.name
    assert "right-click" in widget.status.text()
    span = panel.span
    assert widget.session.correction == (span.start, span.stop)
    panel._show(project, Review((replace(span, stop=span.start + 1),)))
    panel.correct()
    assert widget.session.correction is None, "of one frame nothing is left to track: what follows it is tracked again"


def test_what_is_doubted_is_pointed_out_in_the_picture_and_one_kind_can_be_listed_alone(desk):
    widget, project, panel, camera = desk.widget, desk.project, desk.widget.review_panel, desk.viewer.scene.camera
    canvas = desk.viewer.window._qt_viewer.canvas.native
    two = block(150, 300) | block(20, 340)
    project.write_masks([(t, 2, two, Scores(0.3 if t > 12 else 0.9, 6.0)) for t in range(10, 15)])
    project.write_masks([(t, 1, block(20, 20 + t), Scores(0.4, 6.0)) for t in range(4, 8)])
    widget.refresh()
    desk.wait(lambda: panel.table.rowCount() == 2)
    kinds = panel.kinds
    listed = [kinds.itemText(n) for n in range(kinds.count())]
    assert {"All kinds (2)", "low predicted IoU (2)", "divisions: falls in two (1)"} <= set(listed)

    kinds.setCurrentIndex(kinds.findData("falls in two"))
    assert [span.objects for span in panel.review] == [(2,)]
    assert panel.summary.text().startswith("1 span to review")
    camera.center, camera.zoom = (0, 20, 20), 8  # elsewhere
    desk.press(Qt.Key.Key_J)
    assert (widget.session.frame, widget.session.current_object) == (10, 2), "the first frame in two parts"
    middle = _on_canvas(desk.viewer, np.array([(20, 300), (209, 399)])).center()
    assert (middle.toPoint() - canvas.rect().center()).manhattanLength() < 10, "it is brought into view"
    rings = canvas.findChildren(_Rings)
    assert [ring._frame for ring in rings] == [10]
    desk.wait(lambda: not canvas.findChildren(_Rings))

    kinds.setCurrentIndex(kinds.findData("low predicted IoU"))
    camera.zoom = 0.05  # all of it is tiny
    desk.press(Qt.Key.Key_J)
    assert widget.session.frame in (13, 14) if widget.session.current_object == 2 else widget.session.frame in range(4, 8)
    assert camera.zoom > 0.2
    before = camera.center
    panel.correct()
    assert camera.center == before, "whoever corrects has the camera where they want it"
    kinds.setCurrentIndex(kinds.findData("falls in two"))
    project.write_masks([(t, 2, block(150, 300 - t), Scores(0.3, 6.0)) for t in range(10, 15)])
    widget.refresh()
    desk.wait(lambda: panel.table.rowCount() == 0)
    assert kinds.currentText() == "divisions: falls in two (0)"
    desk.press(Qt.Key.Key_J)
    assert widget.status.text() == "No span of this kind is left. Other kinds: 2."
    fill_kinds(reopened := menu((), ""), Review(()))
    assert reopened.currentData() == "falls in two", "the choice outlives the widget"
    kinds.setCurrentIndex(0)
    fill_kinds(reopened := menu((), ""), Review(()))
    assert reopened.currentData() is None
    desk.wait(lambda: not canvas.findChildren(_Rings))


def test_what_is_in_a_corner_is_shown_with_the_picture_around_it(desk):
    """Not in the middle of a canvas that is empty beside the picture."""
    canvas, camera = desk.viewer.window._qt_viewer.canvas.native, desk.viewer.scene.camera
    tiny = np.zeros((270, 480), bool)
    tiny[4:7, 474:478] = True
    desk.project.write_masks([(5, 2, tiny, GOOD)])
    desk.widget.session.go_to(5)
    camera.center, camera.zoom = (0, 200, 20), 3
    point_out(desk.widget.session, (2,), 5)
    seen, whole = (
        _on_canvas(desk.viewer, np.array([(4, 474), (6, 477)])),
        _on_canvas(desk.viewer, np.array([(0, 0), (269, 479)])),
    )
    assert camera.zoom > 3
    assert QRectF(canvas.rect()).contains(seen.center())
    assert whole.top() == pytest.approx(camera.zoom / 2, abs=2)
    assert whole.right() == pytest.approx(canvas.width() - camera.zoom / 2, abs=2)
    camera.center, camera.zoom = (0, 135, 900), 0.05  # the whole picture is smaller than the canvas: it is in the middle
    desk.project.write_masks([(5, 2, block(20, 340), GOOD)])
    point_out(desk.widget.session, (2,), 5)
    whole = _on_canvas(desk.viewer, np.array([(0, 0), (269, 479)]))
    for left, size, room in ((whole.left(), whole.width(), canvas.width()), (whole.top(), whole.height(), canvas.height())):
        assert left == pytest.approx((room - size) / 2, abs=2) or size > room


def test_an_object_that_falls_in_two_is_divided_by_key_and_the_daughters_are_what_is_tracked_next(desk):
    widget, project, panel = desk.widget, desk.project, desk.widget.review_panel
    widget.objects_panel.chooser.take("cells")
    project.write_masks([(t, 2, block(150, 300 - t) | block(20, 340), GOOD) for t in range(10, 15)])
    desk.show(panel)
    widget.refresh()
    desk.wait(lambda: panel.table.rowCount() > 0)
    assert not panel._division.isVisible()
    desk.press(Qt.Key.Key_J)
    assert "If it divided, Shift-D makes two daughters." in widget.status.text()
    assert panel._division.isVisible()
    desk.press(Qt.Key.Key_D, Qt.KeyboardModifier.ShiftModifier)
    said = "right is divided on frame 10. right.1 and right.2 have masks up to this frame, 14: press G to track them on."
    desk.wait(lambda: said in widget.status.text())
    assert [(o.name, o.parent) for o in project.objects] == [("left", None), ("right", None), ("right.1", 2), ("right.2", 2)]
    assert (widget.session.frame, widget.session.current_object) == (14, 3)
    assert {i for s in widget.run_view.segments() for i in s.objects} == {3, 4}
    widget.session.choose(1)
    desk.press(Qt.Key.Key_D, Qt.KeyboardModifier.ShiftModifier)
    desk.wait(lambda: "left is not in two parts of like size on frame 14." in widget.status.text())


def test_the_page_of_edits_follows_the_chosen_object_and_the_wheel_passes_its_menus(desk):
    widget, panel = desk.widget, desk.widget.track_editing_panel
    desk.show(panel)
    widget.session.choose(2)
    assert (panel.first.currentText(), panel.second.currentText()) == ("right", "left")
    panel.first.setCurrentIndex(0)
    widget.refresh()
    assert panel.first.currentText() == "left", "chosen here, it stays"
    for part in (panel.kind, panel.start, widget.run_panel.direction):
        before = part.value() if part is panel.start else part.currentIndex()
        at, turn = QPointF(part.rect().center()), QPoint(0, -120)
        none, flow = Qt.MouseButton.NoButton, Qt.ScrollPhase.NoScrollPhase
        wheel = QWheelEvent(at, part.mapToGlobal(at), QPoint(), turn, none, Qt.KeyboardModifier.NoModifier, flow, False)
        QApplication.sendEvent(part, wheel)
        assert (part.value() if part is panel.start else part.currentIndex()) == before


def test_the_probable_mother_is_proposed_and_recorded_by_one_press(desk):
    widget, project, panel = desk.widget, desk.project, desk.widget.track_editing_panel
    project.tracks.mark_absent(2, 12, 24)
    daughter = project.add_object("daughter").id
    project.write_masks([(t, daughter, block(150, 280), GOOD) for t in range(12, 24)])
    widget.session.choose(daughter)
    desk.show(panel)
    menu, record = panel.parent_menu, panel.parent_button
    assert (menu.currentText(), menu.itemData(1), menu.itemText(2)) == ("right · probably", 2, "left")
    assert project.objects.get(daughter).parent is None, "proposed, not recorded"
    menu.setCurrentIndex(2)
    widget.refresh()
    assert menu.currentText() == "left", "chosen by hand, it stays"
    menu.setCurrentIndex(1)
    desk.click(record)
    desk.wait(lambda: project.objects.get(daughter).parent == 2)
    desk.wait(lambda: not record.isEnabled())
    menu.setCurrentIndex(0)
    assert record.isEnabled(), "it can be taken back"


def test_a_track_edit_with_preview(desk):
    widget, project, panel = desk.widget, desk.project, desk.widget.track_editing_panel
    desk.show(panel)
    desk.wait(lambda: "Exchanges 24 masks of left and 24 of right" in panel.text.text())
    widget.session.go_to(10)
    desk.click(desk.button(panel, "From here"))
    desk.wait(lambda: "on frames 10 to 23" in panel.text.text())
    before, after = (label.pixmap().toImage() for label in (panel.before, panel.after))
    scale = panel.before.pixmap().width() / 480
    at = round(60 * scale), round(50 * scale)  # in the mask of the left object
    left, right = (np.array(project.objects.get(i).colour) for i in (1, 2))
    for image, colour in ((before, left), (after, right)):
        shown = np.array(QColor(image.pixel(*at)).getRgb()[:3])
        other = right if colour is left else left
        assert np.abs(shown - colour).sum() < np.abs(shown - other).sum()
    assert project.mask(12, 1)[50, 50]
    mine, other = project.mask(12, 1), project.mask(12, 2)
    desk.click(panel.apply_button)
    desk.wait(lambda: np.array_equal(project.mask(12, 1), other))
    np.testing.assert_array_equal(project.mask(12, 2), mine)
    assert project.mask(9, 1)[50, 50]
    desk.press(Qt.Key.Key_U)
    desk.wait(lambda: np.array_equal(project.mask(12, 1), mine))

    panel.kind.setCurrentIndex(panel.kind.findData("split"))
    desk.click(desk.button(panel, "This"))
    desk.wait(lambda: panel.text.text() == "Gives 1 mask of left to a new object on frames 10 to 10.")
    assert not panel.second.isEnabled()
    desk.click(panel.apply_button)
    desk.wait(lambda: widget.objects_panel.table.rowCount() == 3)
    desk.wait(lambda: panel.first.count() == 3)
    np.testing.assert_array_equal(project.mask(10, 3), block(20, 30))

    panel.first.setCurrentIndex(panel.first.findData(3))  # it came of the left one
    assert [panel.parent_menu.itemData(n) for n in range(panel.parent_menu.count())] == [None, 1, 2]
    panel.parent_menu.setCurrentIndex(1)
    desk.click(panel.parent_button)
    desk.wait(lambda: project.objects.get(3).parent == 1)
    desk.wait(lambda: "is a daughter of left. Undo reverts it." in widget.status.text())
    panel.first.setCurrentIndex(panel.first.findData(1))
    assert panel.parent_menu.currentData() is None
    panel.first.setCurrentIndex(panel.first.findData(3))
    desk.wait(lambda: panel.parent_menu.currentData() == 1)
    panel.first.setCurrentIndex(panel.first.findData(1))

    project.objects.set_flags(1, locked=True)
    widget.refresh()
    desk.wait(lambda: "locked" in panel.text.text())
    assert not panel.apply_button.isEnabled()


def test_masks_are_cleaned_up_with_preview(desk):
    widget, project, panel = desk.widget, desk.project, desk.widget.track_editing_panel
    holed = block(20, 20)
    holed[30:34, 30:34] = False
    project.write_masks([(t, 1, holed, GOOD) for t in range(4)], origin="painted")
    widget.refresh()
    desk.show(panel)
    panel.kind.setCurrentIndex(panel.kind.findData("remove specks"))
    assert panel.amount.value() == USUAL["remove specks"]
    assert panel.amount.isVisible()
    assert not panel.second.isVisible()
    panel.kind.setCurrentIndex(panel.kind.findData("fill holes"))
    panel.last.setValue(3)
    desk.wait(lambda: panel.text.text() == "Fills the holes of 4 masks of left on frames 0 to 3.")
    desk.click(panel.apply_button)
    desk.wait(lambda: "4 masks of left are cleaned up" in widget.status.text())
    assert project.mask(2, 1).sum() == 3600
    desk.press(Qt.Key.Key_U)
    desk.wait(lambda: project.mask(2, 1).sum() == 3584)
    panel.kind.setCurrentIndex(panel.kind.findData("swap"))
    assert panel.second.isVisible()


def test_the_table_is_edited_in_place(desk):
    widget, project, table = desk.widget, desk.project, desk.widget.objects_panel.table
    editor = desk.edit_cell(0, NAME)
    editor.selectAll()
    QTest.keyClicks(editor, "grasper of the left hand")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    desk.wait(lambda: project.objects.get(1).name == "grasper of the left hand")
    assert table.item(0, CLASS).text() == "", "a ball would be a catheter"
    assert "90 %" in table.item(0, CLASS).toolTip()

    editor = desk.edit_cell(1, CLASS)
    offered = [editor.itemText(n) for n in range(editor.count())]
    assert offered[0] == "grasper"
    assert set(widget.objects_panel.chooser.current.classes) <= set(offered)
    editor.setCurrentIndex(offered.index("gallbladder"))
    editor.activated.emit(editor.currentIndex())
    assert project.objects.get(2).class_name == "gallbladder"
    desk.wait(lambda: table.item(0, CLASS).text() == "grasper?")  # not while the other one is being edited

    table.set_colour(0, QColor(1, 2, 3))
    assert project.objects.get(1).colour == (1, 2, 3)
    assert widget.session.layers.objects.colormap.color_dict[1][:3] == pytest.approx(np.array([1, 2, 3]) / 255)
    table.selectRow(0)
    desk.click(desk.button(widget.objects_panel, "Down"))
    assert [o.id for o in project.objects] == [2, 1]
    assert table.object_of(table.currentRow()) == 1
    table.item(0, SHOW).setCheckState(Qt.CheckState.Unchecked)
    assert not project.objects.get(2).visible
    for _ in range(5):
        project.undo()
    assert project.objects.get(1).name == "left"


def test_removing_an_object_is_told(desk):
    desk.widget.session.tell("right also covers left")
    desk.widget.session.choose(2)
    desk.click(desk.button(desk.widget.objects_panel, "Remove"))
    assert desk.widget.status.text() == "right is removed. U brings it back."
    assert [o.name for o in desk.project.objects] == ["left"]


def test_class_lists_are_chosen_and_remembered(desk, tmp_path):
    chooser, table = desk.widget.objects_panel.chooser, desk.widget.objects_panel.table
    own = tmp_path / "theatre 3.txt"
    own.write_text("grasper\nvessel loop\n")
    assert chooser.take("CholecSeg8k")
    assert table.classes == PRESETS["CholecSeg8k"].classes
    assert chooser.take(str(own))
    assert chooser.currentText() == "theatre 3.txt (2)"
    assert table.choices(0) == ["grasper", "vessel loop"]
    again = type(chooser)()
    again.load_remembered()
    assert again.current.classes == ("grasper", "vessel loop")
    own.write_text("")
    assert not chooser.take(str(own))
    assert "names no classes" in desk.widget.status.text()
    own.unlink()
    third = type(chooser)()
    third.load_remembered()
    assert third.current is PRESETS["SA-SV"]
