"""The widget before anything is tracked, in a real viewer and without a model: lessons, and what offers it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_sam2s.masklets import Prompt
from napari_sam2s.widgets import offer, opening
from napari_sam2s.widgets.layout import OPENING
from napari_sam2s.widgets.lessons import Lessons, LessonsOr
from napari_sam2s.widgets.project_worker import ProjectWorker
from napari_sam2s.widgets.segment_widget import SegmentWidget
from napari_sam2s.widgets.settings import remember, remembered


@pytest.fixture
def viewer(make_napari_viewer, monkeypatch):
    monkeypatch.setattr(ProjectWorker, "start", lambda self: None)
    return make_napari_viewer(show=True)


def press(widget, text):
    button = next(b for b in widget.findChildren(QPushButton) if b.text() == text)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def test_a_beginner_is_led_from_no_video_to_the_first_click(viewer, qtbot, tmp_path):
    remember("lessons", learned=False)
    widget = SegmentWidget(viewer, project_folder=tmp_path)
    viewer.window.add_dock_widget(widget)
    panel = widget.objects_panel
    qtbot.waitUntil(panel.lessons.opening.isVisible)
    viewer.window._qt_window.resize(1280, 530)  # as low as napari's console leaves it on a laptop
    sample = next(b for b in panel.lessons.findChildren(QPushButton) if b.text() == "Sample: surgery")
    qtbot.wait(100)
    assert widget.height() < 500
    assert sample.visibleRegion().boundingRect().height() == sample.height()
    assert not widget.run_panel.isVisible(), "without a video nothing is tracked"
    press(panel.lessons, "Sample: surgery")
    assert widget.session.project is not None
    assert widget.run_panel.isVisible()
    assert panel.tools.isVisibleTo(panel)
    qtbot.waitUntil(panel.lessons.steps.isVisible)
    assert not panel.table.isVisible()
    widget.session.project.prompts.add(Prompt(1, 0, ((9.0, 9.0),), (1,)))
    widget.refresh()
    assert panel.table.isVisible(), "whoever has clicked needs the table"
    widget.tabs.setCurrentIndex(1)
    widget.show_lessons()
    assert panel.lessons.steps.isVisible(), "it is brought back, from any page"
    press(panel.lessons, "Close")
    assert panel.table.isVisible()
    widget.session.worker.stopped.emit("finished")
    assert remembered("lessons", "learned", False)
    heights = {widget.run_panel.preflight.height(), widget.status.height()}
    widget.status.setText("")
    widget.run_panel.preflight.setText("one")
    qtbot.wait(50)
    assert {widget.run_panel.preflight.height(), widget.status.height()} == heights
    widget.close()


def test_the_steps_are_not_cut_off_where_the_panel_gets_narrower(qtbot):
    remember("lessons", learned=False)
    panel, lessons = QWidget(), Lessons(lambda action: "G")
    qtbot.addWidget(panel)
    pages = LessonsOr(lessons, QWidget())
    layout = QVBoxLayout(panel)
    layout.addWidget(pages)
    pages.refresh(video=True, begun=False)
    panel.resize(900, 500)
    panel.show()
    qtbot.wait(50)
    wide = layout.minimumSize().height()
    panel.resize(300, 500)
    qtbot.wait(50)
    assert layout.minimumSize().height() > wide
    assert layout.minimumSize().height() >= lessons.heightForWidth(pages.width())


def test_a_word_in_the_corner_offers_the_widget_until_it_is_open(viewer, qtbot, case_file):
    viewer.open(str(case_file), plugin="napari-sam2s")
    (word,) = offer._shown(viewer)
    assert word.timer.interval() == offer.SHOWN_MS
    press(word, offer.BUTTON)
    widget = viewer.window._qt_window.findChild(SegmentWidget)
    assert widget.session.image is viewer.layers["case"]
    qtbot.waitUntil(lambda: not offer._shown(viewer))
    viewer.open(str(case_file), plugin="napari-sam2s")
    assert not offer._shown(viewer), "the widget is open"
    assert widget.status.text() == "case [1] is open, too. Choose it in the menu 'video' to work on it."
    widget.close()


def test_the_last_project_is_offered_where_no_video_is_open(viewer, qtbot, case_file):
    (layer,) = viewer.open(str(case_file), plugin="napari-sam2s")
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget)
    project = widget.session.project
    path = project.path
    project.prompts.add(Prompt(1, 0, ((9.0, 9.0),), (1,)))
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: widget.session.project is None)
    press(widget.objects_panel.lessons, f"Continue {path.name}")
    assert widget.session.project.path == path
    assert widget._first_step() == "Press G to track, or click another object."
    widget.close()


def test_the_third_correction_of_an_object_tells_of_look_alikes(viewer, case_file, monkeypatch):
    viewer.open(str(case_file), plugin="napari-sam2s")
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget)
    monkeypatch.setattr(widget.session, "hears", lambda receiver: True)
    project = widget.session.project
    project.runs.start(next_frame=0, stop_frame=4)
    remember("lessons", learned=False)
    said = []
    for rapid in (True, False):
        widget.session.rapid = rapid
        widget._prompted(0, 1)
        said.append("N begins another object." in widget.status.text())
    assert said == [False, True]
    said.clear()
    for frame in range(4):
        project.prompts.add(Prompt(1, frame, ((9.0, 9.0),), (1,)))
        widget._prompted(frame, 1)
        said.append("similar object" in widget.status.text())
    assert said == [False, False, True, False]
    widget.close()


def test_the_menu_says_that_the_widget_opens_while_it_is_imported(viewer, monkeypatch):
    said = []
    viewer.events.status.connect(lambda event: said.append(event.value))
    monkeypatch.delitem(sys.modules, opening.HOME)  # as before its first use
    made = opening.SegmentWidget
    assert made.__name__ == "SegmentWidget"
    assert said == [OPENING, "Ready"]
    monkeypatch.setitem(sys.modules, opening.HOME, sys.modules[opening.HOME])
    assert opening.SegmentWidget is made
    assert len(said) == 2, "the second time there is nothing to wait for"


@pytest.mark.slow
def test_the_widget_opens_without_what_it_may_need_later():
    heavy = ("torch", "distributed", "scipy.optimize", "skimage", "pandas", "matplotlib")
    code = (
        "import napari, sys; napari.Viewer; import napari._qt.qt_main_window; there = set(sys.modules)\n"
        "import napari_sam2s.widgets.segment_widget\n"
        f"print(*(name for name in {heavy} if name in sys.modules and name not in there))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout.split() == []
