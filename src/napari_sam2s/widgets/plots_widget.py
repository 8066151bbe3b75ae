"""Plots of objects over time: presence, area, speed, distance, and every column of the measurements."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QFileDialog, QFormLayout, QListWidget, QListWidgetItem, QProgressBar, QSpinBox, QWidget

from napari_sam2s.errors import Sam2sError
from napari_sam2s.masklets import Object, Project
from napari_sam2s.masklets.labels import LabelView
from napari_sam2s.measurements.plot_curves import QUICK, Curve, project_curves, table_columns, table_curves, write_curves
from napari_sam2s.widgets.background_job import Stopped, failures_told
from napari_sam2s.widgets.close_watcher import CloseWatcher
from napari_sam2s.widgets.form_parts import button, buttons, menu, side_by_side, stacked, wrapped
from napari_sam2s.widgets.layout import tab_beside_ours
from napari_sam2s.widgets.plot_canvas import Plot, PlotCanvas
from napari_sam2s.widgets.settings import VIDEO_KEY
from napari_sam2s.widgets.start_folder import start_folder
from napari_sam2s.widgets.swatch import swatch
from napari_sam2s.widgets.time_axis import TimeAxis, show_frame

if TYPE_CHECKING:
    import napari
    import pandas as pd

REFRESH_MS = 2000  # while tracking goes on the curves grow
SMOOTH_MOST = 9999
ROOM_FOR_TWO = 1300  # pixels of a window in which the plots stand below the main dock, not behind it: both need some 600
STRONG = Qt.FocusPolicy.StrongFocus


@dataclass(frozen=True)
class _Answer:
    """What the thread found out."""

    objects: tuple[Object, ...]
    curves: tuple[Curve, ...]
    quantity: str
    unit: str
    ids: tuple[int, ...] | None


class PlotsWidget(QWidget):
    """Curves of the project on show, which follow the slider."""

    answered = Signal(object)  # an _Answer
    measured = Signal(object)  # the table
    progressed = Signal(int, int)
    failed = Signal(str)
    freed = Signal()  # the thread has done what was asked of it

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.layer: Labels | None = None
        self.table: pd.DataFrame | None = None
        self._axis: TimeAxis | None = None
        self._project: Project | None = None  # touched by the thread alone
        self._jobs = ThreadPoolExecutor(1, thread_name_prefix="sam2s-plots")
        self._asked: Future[None] | None = None
        self._again = False  # something else was asked meanwhile
        self._stop = threading.Event()
        self._unsmoothed: _Answer | None = None
        self._known: tuple[Object, ...] = ()
        self._build()
        self.answered.connect(self._take)
        self.measured.connect(self._take_table)
        self.progressed.connect(self._show_progress)
        self.failed.connect(self._fail)
        self.freed.connect(self._ask_again)
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(lambda: self.ask() if self.isVisible() else None)
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.connect(self._layers_changed)
        self.viewer.dims.events.current_step.connect(self._moved)
        self._watcher = CloseWatcher(self, self.let_go)
        self._layers_changed()
        self._timer.start()
        tab_beside_ours(self, lower_than=ROOM_FOR_TWO)

    def _build(self) -> None:
        self.quantity = menu(QUICK, "What is plotted. Measure first for all other columns.")
        self.quantity.currentTextChanged.connect(lambda _: self.ask())
        self.objects = QListWidget()
        self.objects.setMaximumHeight(90)
        self.objects.setToolTip("The objects to plot. Distances are plotted between each two of them.")
        self.objects.itemChanged.connect(lambda _: self.ask())
        self.smooth = QSpinBox()
        self.smooth.setRange(1, SMOOTH_MOST)
        self.smooth.setSingleStep(2)
        self.smooth.setSuffix(" frames")
        self.smooth.setSpecialValueText("off")
        self.smooth.setToolTip("Each value is the mean of this odd number of frames.")
        self.smooth.valueChanged.connect(self._show)
        tip = "Measure every mask: perimeter, axes, intensities and more. It takes a while; press again to stop."
        self.measure_button = button("Measure", self.measure, tip, STRONG)
        self.picture_button = button("Save picture ...", self._choose_picture, "As PNG or SVG.", STRONG)
        self.numbers_button = button("Save numbers ...", self._choose_numbers, "The numbers behind the plot, as CSV.", STRONG)
        self.progress = QProgressBar()
        self.progress.hide()
        self.canvas = PlotCanvas()
        self.canvas.jumped.connect(self._jump)
        self.status = wrapped()
        form = QFormLayout()
        form.addRow("plot", self.quantity)
        form.addRow("objects", self.objects)
        none = ("None", lambda: self.check(Qt.CheckState.Unchecked), "Plot no object. Then tick those that you want.")
        form.addRow("", buttons(("All", lambda: self.check(Qt.CheckState.Checked), "Plot all objects."), none))
        form.addRow("smoothing", self.smooth)
        last = side_by_side(self.measure_button, self.picture_button, self.numbers_button)
        stacked((self.canvas, 1), form, last, self.progress, self.status, into=self, margins=True)

    def _layers_changed(self, event: Any = None) -> None:
        found = [layer for layer in self.viewer.layers if isinstance(layer, Labels) and isinstance(layer.data, LabelView)]
        layer = found[-1] if found else None
        if layer is self.layer and layer is not None:
            return
        if self._axis is not None:
            self._axis.close()
        self._stop.set()  # what is measured is another project's
        self.layer, self.table = layer, None
        self._axis = None if layer is None else TimeAxis(layer)
        self._unsmoothed, self._known = None, ()
        self.objects.clear()
        for part in (self.measure_button, self.picture_button, self.numbers_button):
            part.setEnabled(layer is not None)
        self.canvas.show_plot(Plot())
        self._jobs.submit(self._close_project)
        if layer is None:
            self.status.setText("Open a video in Plugins > SAM2S > Segment video first: its objects are plotted here.")
        else:
            self.status.setText("")
            self._moved()
            self.ask()

    @property
    def seconds(self) -> NDArray[np.float64] | None:
        """The time of every frame of the video, if it is known."""
        if self.layer is None:
            return None
        video, frames = self._video(), int(self.layer.data.shape[0])
        fps = getattr(video, "fps", None)
        if video is None or fps is None:
            return None
        stamps = getattr(video, "timestamps", None)
        return np.arange(frames) / fps if stamps is None or len(stamps) != frames else np.asarray(stamps, np.float64)

    def _video(self) -> Any:
        """Return the video of the layer, where an Image layer has it."""
        assert self.layer is not None
        for layer in self.viewer.layers:
            video = layer.metadata.get(VIDEO_KEY) if isinstance(layer, Image) else None
            if video is not None and tuple(video.shape[:3]) == tuple(self.layer.data.shape):
                return video
        return None

    def chosen(self) -> tuple[int, ...] | None:
        """Return the ids of the objects that are plotted; ``None`` before they are known."""
        rows = [self.objects.item(n) for n in range(self.objects.count())]
        checked = [row for row in rows if row.checkState() == Qt.CheckState.Checked]
        return tuple(int(row.data(Qt.ItemDataRole.UserRole)) for row in checked) if rows else None

    def check(self, state: Qt.CheckState) -> None:
        """Choose all objects, or none."""
        self.objects.blockSignals(True)
        for n in range(self.objects.count()):
            self.objects.item(n).setCheckState(state)
        self.objects.blockSignals(False)
        self.objects.viewport().update()
        self.ask()

    def ask(self) -> None:
        """Have the curves read anew, in the background."""
        if self.layer is None:
            return
        if self._asked is not None and not self._asked.done() and not self._asked.cancel():
            self._again = True
            return
        path, quantity = self.layer.data.path, self.quantity.currentText()
        self._asked = self._jobs.submit(self._answer, path, quantity, self.chosen(), self.seconds, self.table)
        self._asked.add_done_callback(lambda _: self.freed.emit())

    def _ask_again(self) -> None:
        if self._again:
            self._again = False
            self.ask()

    def _answer(
        self, path: Path, quantity: str, ids: tuple[int, ...] | None, seconds: NDArray[np.float64] | None, table: Any
    ) -> None:
        with failures_told(self.failed.emit):
            project = self._opened(path)
            objects = tuple(project.objects)
            known = {o.id for o in objects}
            wanted = tuple(i for i in (known if ids is None else ids) if i in known)
            unit = QUICK.get(quantity, "")
            if quantity in QUICK:
                curves = project_curves(project, quantity, sorted(wanted), seconds)
                unit = "px/frame" if quantity == "speed" and seconds is None and project.fps is None else unit
            elif table is not None:
                curves = table_curves(table, quantity, [o for o in objects if o.id in wanted])
            else:
                return
            self.answered.emit(_Answer(objects, tuple(curves), quantity, unit, ids))

    def _opened(self, path: Path) -> Project:
        """Return the project, opened to look at; another connection than the one that tracking writes with."""
        if self._project is None or self._project.path != path:
            self._close_project()
            self._project = Project.open(path, "r")
        return self._project

    def _close_project(self) -> None:
        if self._project is not None:
            self._project.close()
            self._project = None

    def _take(self, answer: _Answer) -> None:
        if self.layer is None or answer.quantity != self.quantity.currentText():
            return
        if [(o.id, o.name, o.colour) for o in answer.objects] != [(o.id, o.name, o.colour) for o in self._known]:
            self._list(answer.objects)
        if answer.ids is not None and answer.ids != self.chosen():
            return
        self._unsmoothed = answer
        self._show()

    def _list(self, objects: Sequence[Object]) -> None:
        unchecked = {i for o in self._known if (i := o.id) not in (self.chosen() or ())}
        self._known = tuple(objects)
        self.objects.blockSignals(True)
        self.objects.clear()
        for o in objects:
            row = QListWidgetItem(o.name)
            row.setData(Qt.ItemDataRole.UserRole, o.id)
            row.setIcon(swatch(QColor(*o.colour)))
            row.setCheckState(Qt.CheckState.Unchecked if o.id in unchecked else Qt.CheckState.Checked)
            self.objects.addItem(row)
        self.objects.blockSignals(False)

    @property
    def window_frames(self) -> int:
        """Over how many frames curves are smoothed: an odd number."""
        return self.smooth.value() | 1

    def curves(self) -> list[Curve]:
        """Return the curves as they are drawn."""
        if self._unsmoothed is None:
            return []
        return [curve.smoothed(self.window_frames) for curve in self._unsmoothed.curves]

    def _show(self) -> None:
        answer = self._unsmoothed
        if answer is None or self.layer is None:
            return
        presence = answer.quantity == "presence"
        title = answer.quantity + (f", {answer.unit}" if answer.unit else "")
        if self.window_frames > 1:
            title += f" (mean of {self.window_frames} frames)"
        frames = int(self.layer.data.shape[0])
        self.canvas.show_plot(Plot(self.curves(), title, frames, self.seconds, stacked=presence))

    def measure(self) -> None:
        """Measure all masks in the background, or stop doing so."""
        if self.measure_button.text() == "Stop":
            self._stop.set()
            return
        if self.layer is None:
            return
        self._stop.clear()
        self.measure_button.setText("Stop")
        self.progress.show()
        self._jobs.submit(self._measure, self.layer.data.path, self._video())

    def _measure(self, path: Path, video: Any) -> None:
        from napari_sam2s.measurements import measure

        with failures_told(self.failed.emit, "Measuring was stopped."):
            table = measure(self._opened(path), video, progress=self._report)
            if self._stop.is_set():
                raise Stopped
            self.measured.emit(table)

    def _report(self, done: int, total: int) -> None:
        if self._stop.is_set():
            raise Stopped
        self.progressed.emit(done, total)

    def _show_progress(self, done: int, total: int) -> None:
        self.progress.setMaximum(total)
        self.progress.setValue(done)

    def _take_table(self, table: pd.DataFrame) -> None:
        self.table = table
        self._end_measuring()
        known = {self.quantity.itemText(n) for n in range(self.quantity.count())}
        self.quantity.addItems([name for name in table_columns(table) if name not in known])
        self.status.setText("Measured columns are in the list now. Measure again when masks have changed.")
        self.ask()

    def _end_measuring(self) -> None:
        self.measure_button.setText("Measure")
        self.progress.hide()

    def _fail(self, message: str) -> None:
        self._end_measuring()
        self.status.setText(message)

    def _moved(self, event: Any = None) -> None:
        if self._axis is not None:
            self.canvas.set_current(self._axis.frame(self.viewer.dims.point))

    def _jump(self, frame: int) -> None:
        if self.layer is not None:
            show_frame(self.viewer, self.layer, frame)

    def _near(self, name: str) -> str:
        return str(start_folder(self.viewer) / name)

    def _choose_picture(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the plot", self._near("plot.png"), "PNG (*.png);;SVG (*.svg)")
        if name:
            self.save_picture(Path(name))

    def _choose_numbers(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the numbers", self._near("plot.csv"), "CSV (*.csv)")
        if name:
            self.save_numbers(Path(name))

    def save_picture(self, path: Path) -> None:
        """Write what is shown as PNG or SVG."""
        try:
            self.canvas.save(path)
        except Sam2sError as error:
            self.status.setText(str(error))
        else:
            self.status.setText(f"The picture is {path}.")

    def save_numbers(self, path: Path) -> None:
        """Write the numbers behind the plot."""
        if self._unsmoothed is None:
            return
        try:
            write_curves(self.curves(), path, self._unsmoothed.quantity, self.window_frames, self.seconds)
        except Sam2sError as error:
            self.status.setText(str(error))
        else:
            self.status.setText(f"The numbers are {path}.")

    def let_go(self) -> None:
        """Let go of the thread, the project and the viewer."""
        self._timer.stop()
        self._stop.set()
        self._jobs.submit(self._close_project)
        self._jobs.shutdown(wait=True)
        self._again = False
        if self._axis is not None:
            self._axis.close()
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.disconnect(self._layers_changed)
        self.viewer.dims.events.current_step.disconnect(self._moved)
