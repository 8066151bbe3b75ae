"""Uncertain links of a conversion, decided in a real viewer by mouse and key."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton

from napari_sam2s.masklets import Project
from napari_sam2s.widgets.segment_widget import SegmentWidget

pytestmark = pytest.mark.usefixtures("in_shared_engine")

PATIENCE = 180_000  # milliseconds
_spec = importlib.util.spec_from_file_location("trees", Path(__file__).parents[1] / "datasets" / "trees.py")
trees = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(trees)


@pytest.fixture
def subset(tmp_path):
    return trees.uncertain_subset(tmp_path)


def said(subset):
    [link] = json.loads((subset / "review.json").read_text())["links"]
    return link["same_as"]


def shades(label):
    """Return the colours (Y, X, 3) of a label's picture."""
    image = label.pixmap().toImage()
    return np.array([[image.pixelColor(x, y).getRgb()[:3] for x in range(image.width())] for y in range(image.height())])


def test_a_link_is_decided_and_does_not_come_back(make_napari_viewer, qtbot, subset, tmp_path):
    viewer = make_napari_viewer(show=True)
    viewer.open(str(subset / "JPEGImages" / "seq1"), plugin="napari-sam2s")
    widget = SegmentWidget(viewer, project_folder=tmp_path)
    viewer.window.add_dock_widget(widget)
    panel, project = widget.review_panel, widget.session.project
    canvas = viewer.window._qt_viewer.canvas.native
    try:
        widget.tabs.setCurrentWidget(panel)
        qtbot.wait(50)
        assert panel.links.offer.text() == "Decide 1 uncertain link of the conversion"
        assert panel.links.pictures.isHidden()
        QTest.mouseClick(panel.links.offer, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: panel.table.rowCount() == 1, timeout=PATIENCE)
        assert panel.links.offer.isHidden()
        assert [o.name for o in project.objects] == ["polyp", "polyp 2", "polyp 3"]
        assert any(words in widget.status.text() for words in ("links added: 1.", "ready"))  # whichever came last

        QTest.keyClick(canvas, Qt.Key.Key_J)
        assert widget.session.frame == 3
        buttons = {b.objectName(): b.isEnabled() for b in panel.findChildren(QPushButton)}
        assert buttons["review_refuse"]
        assert not buttons["review_absent"]
        assert "may be" in widget.status.text()
        assert "Shift-Q: no" in widget.status.text()
        assert panel.links.pictures.isVisible()
        asked = panel.span.link
        old, new = (project.objects.get(i) for i in (asked.candidate, asked.object_id))
        assert panel.links.before_name.text() == f"{old.name}, frame {asked.seen}"
        assert panel.links.new_name.text() == "polyp 3, frame 3"
        for label, known in ((panel.links.before, old), (panel.links.new, new)):  # each is outlined in its own colour
            far = np.abs(shades(label).astype(int) - QColor(*known.colour).getRgb()[:3]).sum(axis=2)
            assert (far < 60).sum() > 50
        QTest.mouseClick(panel.links.before, Qt.MouseButton.LeftButton)
        assert widget.session.frame == asked.seen
        QTest.keyClick(canvas, Qt.Key.Key_Q)  # on one frame there is nothing to mark absent: it asks again
        assert widget.session.frame == 3
        assert project.mask(3, 3).any()

        first = asked.candidate
        QTest.keyClick(canvas, Qt.Key.Key_Q, Qt.KeyboardModifier.ShiftModifier)
        qtbot.waitUntil(lambda: panel.span is not None and panel.span.link.candidate != first, timeout=PATIENCE)
        second = panel.span.link.candidate
        QTest.keyClick(canvas, Qt.Key.Key_W)
        qtbot.waitUntil(lambda: panel.table.rowCount() == 0, timeout=PATIENCE)
        assert panel.links.pictures.isHidden()
        assert project.mask(3, second).any()
        assert len(project.objects) == widget.objects_panel.table.rowCount() == 2
        qtbot.waitUntil(lambda: said(subset) == second, timeout=PATIENCE)

        QTest.keyClick(canvas, Qt.Key.Key_U)
        qtbot.waitUntil(lambda: panel.table.rowCount() == 1, timeout=PATIENCE)
        qtbot.waitUntil(lambda: said(subset) is None, timeout=PATIENCE)
        assert project.mask(3, 3).any()
        QTest.keyClick(canvas, Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
        qtbot.waitUntil(lambda: said(subset) == second, timeout=PATIENCE)
    finally:
        widget.close()
    with Project.open(project.path) as again:
        assert not again.review()
        assert again.links[0].same_as == second
