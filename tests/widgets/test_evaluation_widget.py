"""The panel that scores masks, in a real viewer."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_sam2s.evaluation import evaluate
from napari_sam2s.masklets import Project
from napari_sam2s.video import open_video
from napari_sam2s.widgets.evaluation_widget import COLUMNS, EvaluationWidget
from napari_sam2s.widgets.layer_factory import OBJECTS, make_objects_layer
from napari_sam2s.widgets.layout import OURS


@pytest.fixture
def labels(case):
    """Ground truth, and a prediction two pixels off that lost object 1 on frame 7."""
    truth = np.stack([np.max([i * m for i, m in case.masks(t).items()], axis=0) for t in range(12)]).astype(np.uint8)
    ours = np.roll(truth, 2, axis=2)
    ours[7][ours[7] == 1] = 0
    return ours, truth


@pytest.fixture
def panel(make_napari_viewer):
    viewer = make_napari_viewer()
    widget = EvaluationWidget(viewer)
    viewer.window.add_dock_widget(widget)
    yield widget
    widget.close()


def press(panel, qtbot):
    with qtbot.waitSignal(panel.scored):
        QTest.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    qtbot.wait(20)  # until what it leads to in this thread is done: it was heard in another


def test_two_layers(panel, labels, qtbot, tmp_path, monkeypatch):
    ours, truth = labels
    panel.viewer.add_labels(ours, name="ours")
    panel.viewer.add_labels(truth, name="truth")
    panel.prediction.value, panel.truth.value = panel.viewer.layers["ours"], panel.viewer.layers["truth"]
    panel.skip.setCurrentText("none")
    panel.surface.setValue(2)
    press(panel, qtbot)
    expected = evaluate(ours, truth, skip="none", surface=2)
    assert panel.table.item(3, 1).text() == f"{100 * expected.overall.jf:.1f}"
    assert panel.table.item(0, list(COLUMNS).index("lost")).text() == "1"
    assert "Protocol: skip none" in panel.status.text()
    assert f"NSD {100 * expected.overall.nsd:.1f}" in panel.status.text()
    cell = panel.table.visualItemRect(panel.table.item(0, 0)).center()
    QTest.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(cell.x(), cell.y()))
    assert panel.viewer.dims.current_step[0] == 7
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *given: (str(tmp_path / "report"), ""))  # a new folder is named
    panel._choose_folder()
    assert (tmp_path / "report" / "report.md").is_file()
    assert list((tmp_path / "report" / "pictures").glob("*frame-000007.jpg"))
    panel.save_report(tmp_path)
    assert "not empty" in panel.status.text()


def test_objects_of_other_numbers_are_told(panel, labels, qtbot):
    ours, truth = labels
    panel.viewer.add_labels(np.array([0, 2, 1, 3], np.uint8)[ours], name="ours")
    panel.viewer.add_labels(truth, name="truth")
    panel.prediction.value, panel.truth.value = panel.viewer.layers["ours"], panel.viewer.layers["truth"]
    press(panel, qtbot)
    assert "may be two different objects" in panel.status.text()
    panel.prediction.value.data = ours
    press(panel, qtbot)
    assert "two different objects" not in panel.status.text()


def test_the_project_on_show_is_scored_whole(panel, labels, qtbot, tmp_path):
    ours, truth = labels
    video = open_video(np.zeros((*ours.shape, 3), np.uint8))
    with Project.create(tmp_path / "p.sam2s", video) as project:
        for i in (1, 2, 3):
            project.add_object(f"object {i}")
        both = {i: (ours == i) | ((ours == 1) if i == 2 else False) for i in (1, 2, 3)}  # 2 overlaps 1
        project.write_masks([(t, i, both[i][t], None) for t in range(12) for i in (1, 2, 3)])
        panel.viewer.add_labels(truth, name="truth")
        image = panel.viewer.add_image(np.zeros((*ours.shape, 3), np.uint8))
        panel.viewer.add_layer(make_objects_layer(image, project, project.labels))
        assert panel.prediction.value is panel.viewer.layers[OBJECTS]
        assert panel.truth.value is panel.viewer.layers["truth"]
        press(panel, qtbot)
        expected = evaluate(project, truth).objects
        assert [(o.object_id, o.j, o.f) for o in panel.scores.objects] == [(o.object_id, o.j, o.f) for o in expected]
        assert panel.scores.object("video", 1).j > 0.5
        panel.viewer.layers.clear()


def test_names_are_shown_and_the_ground_truth_may_be_a_folder(panel, labels, qtbot, tmp_path):
    ours, truth = labels
    with Project.create(tmp_path / "p.sam2s", open_video(np.zeros((*ours.shape, 3), np.uint8))) as project:
        for name in ("grasper", "hook", "liver"):
            project.add_object(name)
        project.write_masks([(t, i, truth[t] == i, None) for t in range(12) for i in (1, 2, 3)])
        folder = project.export(tmp_path / "gt")
        project.write_masks([(t, i, ours[t] == i, None) for t in range(12) for i in (1, 2, 3)])
        panel.viewer.add_labels(ours, name="ours")
        panel.take_folder(folder)
        assert not panel.truth.native.isEnabled()
        press(panel, qtbot)
        expected = evaluate(ours, folder, missing="empty")
        assert panel.scores.overall.jf == expected.overall.jf
        assert [panel.table.item(n, 0).text() for n in range(3)] == ["grasper", "hook", "liver"]
        panel.take_folder(None)
        panel.score()
        assert "two different Labels layers" in panel.status.text()


def test_it_stands_behind_the_widget_that_segments(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    other, widget = QWidget(), EvaluationWidget(viewer)
    other.setProperty(OURS, True)
    viewer.window.add_dock_widget(other, name="Segment video")
    dock = viewer.window.add_dock_widget(widget, name="Evaluate masks")
    window = viewer.window._qt_window
    qtbot.waitUntil(lambda: bool(window.tabifiedDockWidgets(dock)) and not widget.visibleRegion().isEmpty())
    widget.close()


def test_what_cannot_be_scored_is_said(panel, labels, qtbot):
    ours, truth = labels
    panel.score()
    assert "two different Labels layers" in panel.status.text()
    panel.viewer.add_labels(ours, name="ours")
    panel.viewer.add_labels(truth[:5], name="short")
    panel.prediction.value, panel.truth.value = panel.viewer.layers["ours"], panel.viewer.layers["short"]
    panel.score()
    assert "must be of one size" in panel.status.text()
    panel.viewer.add_labels(np.zeros_like(truth), name="empty")
    panel.truth.value = panel.viewer.layers["empty"]
    with qtbot.waitSignal(panel.failed):
        panel.score()
    qtbot.wait(20)  # until what it leads to in this thread is done: it was heard in another
    assert "Nothing is left to score" in panel.status.text()
    assert panel.button.text() == "Score"


def test_what_cannot_be_read_is_said(panel, labels, qtbot):
    """Whatever goes wrong while scoring, the button is there to try again."""
    ours, truth = labels

    class Broken:
        """A layer's data on a disk that has gone."""

        shape, dtype, ndim, size = ours.shape, ours.dtype, ours.ndim, ours.size

        def __getitem__(self, key):
            if threading.current_thread() is not threading.main_thread():
                raise OSError("disk gone")
            return ours[key]

    panel.viewer.add_labels(Broken(), name="broken")
    panel.viewer.add_labels(truth, name="truth")
    panel.prediction.value, panel.truth.value = panel.viewer.layers["broken"], panel.viewer.layers["truth"]
    with qtbot.waitSignal(panel.failed):
        panel.score()
    qtbot.wait(20)  # until what it leads to in this thread is done: it was heard in another
    assert "disk gone" in panel.status.text()
    assert panel.button.text() == "Score"


def test_a_choice_stays_when_layers_come_and_go(panel, labels):
    ours, truth = labels
    layers = panel.viewer.layers
    panel.viewer.add_labels(truth, name="truth")
    panel.viewer.add_labels(ours, name=OBJECTS)
    assert (panel.prediction.value, panel.truth.value) == (layers[OBJECTS], layers["truth"])
    panel.prediction.value, panel.truth.value = layers["truth"], layers[OBJECTS]
    panel.viewer.add_labels(ours, name="third")
    assert (panel.prediction.value, panel.truth.value) == (layers["truth"], layers[OBJECTS])
    layers.remove("third")
    assert (panel.prediction.value, panel.truth.value) == (layers["truth"], layers[OBJECTS])
    layers.remove("truth")  # what was chosen is gone: ours again
    assert panel.prediction.value is layers[OBJECTS]


def test_the_worst_frame_beside_a_faster_layer(panel, labels, qtbot):
    ours, truth = labels
    viewer = panel.viewer
    viewer.add_image(np.zeros((40, 20, 20), np.uint8), scale=(0.02, 1, 1))
    viewer.add_labels(ours, name="ours", scale=(0.04, 1, 1))
    viewer.add_labels(truth, name="truth", scale=(0.04, 1, 1))
    panel.prediction.value, panel.truth.value = viewer.layers["ours"], viewer.layers["truth"]
    press(panel, qtbot)
    panel.go_to_worst(0)
    assert round(float(viewer.layers["ours"].world_to_data(viewer.dims.point)[0])) == 7
