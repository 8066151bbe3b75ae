"""The plots in a real viewer: they follow the slider, a click goes to the frame, and what is saved is what is shown."""

from __future__ import annotations

import csv
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtTest import QTest

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets import Project
from napari_sam2s.measurements import measure
from napari_sam2s.measurements.plot_curves import Curve, project_curves
from napari_sam2s.video import open_video
from napari_sam2s.widgets.layer_factory import make_objects_layer
from napari_sam2s.widgets.napari_reader import video_layer
from napari_sam2s.widgets.plot_canvas import LEFT, NAME_PITCH, RIGHT, Plot, PlotCanvas, _apart, _draw_names, clock, steps
from napari_sam2s.widgets.plots_widget import PlotsWidget

FRAMES = 30


@pytest.fixture
def panel(make_napari_viewer, tmp_path):
    """A viewer with a video and the project of two objects, and the plots beside it."""
    video = open_video(np.zeros((FRAMES, 40, 60, 3), np.uint8), fps=10)
    viewer = make_napari_viewer()
    data, attributes, _ = video_layer(video)
    image = viewer.add_image(data, **attributes)
    with Project.create(tmp_path / "a.sam2s", video) as project:
        for name in ("left", "right"):
            project.add_object(name)
        square = np.zeros((40, 60), bool)
        square[5:9, 5:9] = True
        project.write_masks([(t, 1, square, None) for t in range(FRAMES)] + [(t, 2, square, None) for t in range(20)])
        viewer.add_layer(make_objects_layer(image, project, project.labels))
        widget = PlotsWidget(viewer)
        viewer.window.add_dock_widget(widget)
        yield widget
        widget.close()
        viewer.layers.clear()


def shown(panel, qtbot, names, title):
    qtbot.waitUntil(lambda: [c.name for c in panel.canvas.plot.curves] == names and panel.canvas.plot.title == title)
    return panel.canvas.plot


def test_plots_follow_the_slider_and_lead_to_frames(panel, qtbot, tmp_path):
    plot = shown(panel, qtbot, ["left", "right"], "presence")
    assert plot.frames == FRAMES
    np.testing.assert_allclose(plot.seconds, np.arange(FRAMES) / 10)
    panel.viewer.dims.set_current_step(0, 12)
    assert panel.canvas.current == 12
    width = panel.canvas.width() - LEFT - RIGHT
    at = LEFT + round(20 / (FRAMES - 1) * width)
    QTest.mouseClick(panel.canvas, Qt.MouseButton.LeftButton, pos=QPoint(at, panel.canvas.height() // 2))
    assert panel.viewer.dims.current_step[0] == 20
    panel.objects.item(1).setCheckState(Qt.CheckState.Unchecked)
    panel.quantity.setCurrentText("area")
    panel.smooth.setValue(5)
    shown(panel, qtbot, ["left"], "area, px (mean of 5 frames)")
    panel.save_numbers(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["frame", "time_s", "left: area, mean of 5 frames"]
    assert rows[3] == ["2", "0.200000", "16.0"]
    assert len(rows) == FRAMES + 1
    panel.save_picture(tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "mean of 5 frames" in svg
    assert "polyline" in svg
    panel.save_picture(tmp_path / "a.png")
    assert QImage(str(tmp_path / "a.png")).width() >= 1600
    panel.save_picture(tmp_path / "a.jpg")
    assert "neither" in panel.status.text()


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_picture_that_does_not_fit_on_the_disk_is_told_and_the_earlier_one_stays(qtbot, small_disk, tmp_path, ending):
    """Qt's writers say nothing of the part that did not fit."""
    canvas, noise = PlotCanvas(), np.random.default_rng(0).random(2000)
    qtbot.addWidget(canvas)
    canvas.resize(900, 400)
    canvas.show_plot(Plot([Curve("left", (255, 0, 0), np.arange(2000), noise)], "area", 2000))
    canvas.save(tmp_path / f"whole.{ending}")
    path, size = small_disk / f"a.{ending}", (tmp_path / f"whole.{ending}").stat().st_size
    path.write_text("earlier")
    for room in (0, 4096, size - size % 4096):
        (small_disk / "ballast").unlink(missing_ok=True)
        free = shutil.disk_usage(small_disk).free
        (small_disk / "ballast").write_bytes(bytes(free - room))
        with pytest.raises(FormatError, match=r"cannot be written \(No space left on device\): make room"):
            canvas.save(path)
        assert path.read_text() == "earlier"
        assert sorted(p.name for p in small_disk.iterdir()) == [path.name, "ballast"]
    (small_disk / "ballast").unlink()
    canvas.save(path)
    assert path.stat().st_size == size


class Noting(QPainter):
    """Notes where it writes."""

    written = ()

    def drawText(self, place, *more):
        self.written = (*self.written, place)
        super().drawText(place, *more)


def test_all_objects_or_none_are_chosen_at_once_and_names_do_not_lie_on_each_other(panel, qtbot):
    qtbot.waitUntil(lambda: len(panel.curves()) == 2)
    panel.check(Qt.CheckState.Unchecked)
    qtbot.waitUntil(lambda: panel.curves() == [])
    panel.check(Qt.CheckState.Checked)
    qtbot.waitUntil(lambda: len(panel.curves()) == 2)
    many = [replace(panel.curves()[0], name=f"cell {n}") for n in range(60)]
    image = QImage(400, 300, QImage.Format.Format_RGB32)
    painter = Noting(image)
    plot = Plot(many, "presence", FRAMES, None, stacked=True)
    _draw_names(painter, QRectF(LEFT, 22, 300, 200), plot, QColor("white"), QColor("black"))
    painter.end()
    heights = [rectangle.top() for rectangle in painter.written[1:]]
    assert len(heights) in range(10, 17)
    assert min(np.diff(heights)) >= NAME_PITCH


@pytest.mark.parametrize("known", [[5000], [4999, 5000, 5001], [5000, 90_000]])
def test_an_object_of_one_frame_is_seen_in_every_plot(qtbot, known):
    for stacked in (True, False):
        seen = Curve("ball", (200, 30, 30), np.array(known), np.array([1.0 if t == 5000 else 0.0 for t in known]))
        canvas = PlotCanvas()
        qtbot.addWidget(canvas)
        canvas.resize(600, 300)
        canvas.show_plot(Plot([seen], "presence", 100_000, None, stacked=stacked))
        picture = canvas.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
        drawn = np.array([[picture.pixelColor(x, y).red() for x in range(LEFT + 1, 589)] for y in range(24, 264)])
        blue = np.array([[picture.pixelColor(x, y).blue() for x in range(LEFT + 1, 589)] for y in range(24, 264)])
        top = (drawn - blue > 60)[: 240 // 2]  # the upper half, where 1 is drawn
        assert np.count_nonzero(top.any(axis=0)) >= (3 if stacked else 1), (stacked, known)


def test_colours_keep_apart_from_the_ground_as_they_look():
    yellow, blue, orange = QColor(240, 228, 66), QColor(0, 0, 200), QColor(230, 159, 0)
    light, dark = QColor(236, 232, 230), QColor(38, 41, 48)
    assert _apart(yellow, light).lightness() < yellow.lightness()
    assert _apart(blue, dark).lightness() > blue.lightness()
    assert [_apart(c, g) for c, g in ((yellow, dark), (blue, light), (orange, light), (orange, dark))] == [
        *(yellow, blue, orange, orange)
    ]


def test_what_is_asked_while_the_last_question_is_answered_is_answered_next(panel, qtbot, monkeypatch):
    shown(panel, qtbot, ["left", "right"], "presence")
    began, go_on = threading.Event(), threading.Event()

    def slowly(*arguments):
        began.set()
        go_on.wait(30)
        return project_curves(*arguments)

    monkeypatch.setattr("napari_sam2s.widgets.plots_widget.project_curves", slowly)
    panel.ask()
    assert began.wait(30)
    panel.quantity.setCurrentText("area")
    go_on.set()
    shown(panel, qtbot, ["left", "right"], "area, px")


def test_what_was_measured_of_a_project_is_not_plotted_of_the_next_one(panel, qtbot, monkeypatch, tmp_path):
    began, go_on = threading.Event(), threading.Event()

    def slowly(*arguments, **more):
        began.set()
        go_on.wait(30)
        return measure(*arguments, **more)

    monkeypatch.setattr("napari_sam2s.measurements.measure", slowly)
    panel.measure()
    assert began.wait(30)
    video = panel._video()
    with Project.create(tmp_path / "b.sam2s", video) as other:
        other.add_object("another")
        panel.viewer.add_layer(make_objects_layer(panel.viewer.layers[0], other, other.labels))
        go_on.set()
        qtbot.waitUntil(lambda: panel.measure_button.text() == "Measure")
        assert panel.table is None
        shown(panel, qtbot, ["another"], "presence")
        panel.viewer.layers.pop()


def test_columns_that_are_measured_join_the_list(panel, qtbot):
    shown(panel, qtbot, ["left", "right"], "presence")
    panel.measure()  # in a thread: its signal may be heard here before the panel has taken the table
    qtbot.waitUntil(lambda: panel.quantity.findText("perimeter_px") >= 0)
    panel.quantity.setCurrentText("perimeter_px")
    plot = shown(panel, qtbot, ["left", "right"], "perimeter_px")
    assert np.isfinite(plot.curves[0].values).all()
    assert panel.measure_button.text() == "Measure"


def test_without_a_project_it_says_what_to_do(make_napari_viewer):
    viewer = make_napari_viewer()
    widget = PlotsWidget(viewer)
    viewer.window.add_dock_widget(widget)
    assert "Segment video" in widget.status.text()
    assert not widget.measure_button.isEnabled()
    widget.close()


def test_marks_are_round_and_zooming_stays_within(qtbot):
    assert steps(0, 10) == [0, 2, 4, 6, 8, 10]
    assert steps(3, 3) == [3]
    assert [clock(t) for t in (0, 61, 3725, 1.5)] == ["0:00", "1:01", "1:02:05", "0:01.5"]
    canvas = PlotCanvas()
    qtbot.addWidget(canvas)
    canvas.show_plot(Plot((), "", 101))
    assert canvas.view == (0, 100)
    canvas.view = (10.0, 30.0)
    canvas.set_current(80)  # a zoomed view follows the slider
    assert canvas.view == (70, 90)
    canvas._move_to(500)
    assert canvas.view == (80, 100)
