"""How many actions it takes by real events, the file in hand; a test fails when there are more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox, QPushButton

from napari_sam2s.evaluation.clicks import next_click
from napari_sam2s.widgets import offer
from napari_sam2s.widgets.object_table import CLASS
from napari_sam2s.widgets.segment_widget import SegmentWidget
from napari_sam2s.widgets.settings import remember
from tests.widgets.conftest import User

DROP, DIALOG = 1, 1  # of the video; napari's question which reader to take, on a fresh installation


@pytest.fixture
def person(make_napari_viewer, qtbot, case_file, shared_engine):
    """Someone who has dropped a video and pressed the button of the word in the corner."""
    remember("model", address=shared_engine.address)
    viewer = make_napari_viewer(show=True)
    viewer.open(str(case_file), plugin="napari-sam2s")
    (word,) = offer._shown(viewer)
    assert word.timer.interval() == offer.SHOWN_MS
    QTest.mouseClick(next(b for b in word.findChildren(QPushButton) if b.text() == offer.BUTTON), Qt.MouseButton.LeftButton)
    widget = viewer.window._qt_window.findChild(SegmentWidget)
    someone = User(viewer, widget, qtbot)
    someone.actions = DROP + 1
    someone.wait(lambda: "ready" in widget.status.text())
    assert Path(widget.session.project.path).parent == case_file.parent
    qtbot.wait(200)
    yield someone
    widget.close()


def click(person, mask):
    (y, x), _ = next_click(mask)
    person.click(y, x)


def test_three_named_objects_with_classes_are_tracked_in_fourteen_actions_the_first_masks_are_there_in_four(person, case):
    widget, project, table = person.widget, person.widget.session.project, person.widget.objects_panel.table
    truth = case.masks(0)
    names = {o.id: o.class_name for o in case.objects if o.id in truth and truth[o.id].sum() > 200}
    chosen = list(names)[:3]
    click(person, truth[chosen[0]])
    person.wait(lambda: project.masks(0).get(1, np.zeros(1)).any())
    person.press(Qt.Key.Key_G)
    person.wait(person.finished)
    assert person.actions <= 4, f"{person.actions + DIALOG - 5} more than 5 on a fresh installation"
    widget.session.go_to(0)
    person.actions -= 1  # the key that ends it all is counted below
    for i in chosen[1:]:
        person.press(Qt.Key.Key_N)
        click(person, truth[i])
    person.wait(lambda: len(project.prompts()) == 3)
    person.settle()
    for row, i in enumerate(chosen):
        place = table.visualItemRect(table.item(row, CLASS)).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        QTest.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        editor = next(e for e in table.findChildren(QComboBox) if e.isVisible())  # an earlier one may not be deleted yet
        QTest.keyClicks(editor.lineEdit(), names[i])
        QTest.keyClick(editor.lineEdit(), Qt.Key.Key_Return)
        person.actions += 2  # a double click; typing
        person.wait(lambda row=row, i=i: project.objects[row].class_name == names[i])
    person.press(Qt.Key.Key_G)
    person.settle()
    person.wait(lambda: not widget.session.tracking)
    assert person.actions <= 14
    assert all(o.name.startswith(o.class_name) for o in project.objects)
    assert len({o.name for o in project.objects}) == 3
    assert all(len(project.masks.series(o.id)) == 24 for o in project.objects)
