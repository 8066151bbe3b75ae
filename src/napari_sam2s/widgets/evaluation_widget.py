"""Scoring masks against any Labels layer, where both are seen."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import create_widget
from napari.layers import Labels
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QFileDialog, QFormLayout, QHeaderView, QProgressBar, QTableWidgetItem, QWidget

from napari_sam2s.errors import Sam2sError
from napari_sam2s.evaluation import Evaluation, evaluate, write_report
from napari_sam2s.evaluation.masklet_sources import ProjectFile, find_videos
from napari_sam2s.masklets.labels import LabelView
from napari_sam2s.widgets.background_job import Stopped, failures_told
from napari_sam2s.widgets.close_watcher import CloseWatcher
from napari_sam2s.widgets.form_parts import button, menu, plain_table, side_by_side, stacked, wrapped
from napari_sam2s.widgets.layer_factory import OBJECTS
from napari_sam2s.widgets.layout import tab_beside_ours
from napari_sam2s.widgets.start_folder import start_folder
from napari_sam2s.widgets.time_axis import show_frame

if TYPE_CHECKING:
    import napari

LEAST_COLUMN = 40  # pixels
APART = 0.1  # J, below which two masks are hardly of one object
BY_NUMBER = "A row compares the objects of one number on both sides. One below 10 may be two different objects."
STRONG = Qt.FocusPolicy.StrongFocus
COLUMNS = {  # and what they say
    "object": "The object of the ground truth.",
    "J&F": "The mean of J and F, in percent.",
    "J": "Overlap with the ground truth (IoU), in percent.",
    "F": "Agreement of the outlines, in percent.",
    "Dice": "Dice coefficient, in percent.",
    "lost": "The longest time it was lost, in frames.",
    "back": "How often the model found it again when it came back.",
    "worst": "The frame on which it is worst. Click the row to see it.",
}
FOLDER = "folder ..."
FOLDER_TIP = "Score against masks in a folder (DAVIS pictures) instead of a layer."


class EvaluationWidget(QWidget):
    """Score the project on show, or any Labels layer, against another Labels layer or a folder of masks."""

    progressed = Signal(int, int)
    scored = Signal(object)  # an Evaluation
    failed = Signal(str)

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.scores: Evaluation | None = None
        self._jobs = ThreadPoolExecutor(1, thread_name_prefix="sam2s-evaluation")
        self._cancel = threading.Event()
        self._sides: tuple[Any, Any] | None = None  # what was scored: prediction, truth
        self._chosen = False  # whether the user chose the prediction
        self._scored: Labels | None = None  # the layer whose frames the table names
        self._names: dict[int, str] = {}  # of the scored objects
        self._placed = False
        self.folder: Path | None = None  # of the ground truth, in place of a layer
        self._build()
        self.prediction.changed.connect(self._note_choice)
        self.progressed.connect(self._show_progress)
        self.scored.connect(self._show)
        self.failed.connect(self._fail)
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.connect(self._layers_changed)
        self._layers_changed()
        self._watcher = CloseWatcher(self, self.let_go)

    def showEvent(self, event: Any) -> None:
        """Stand behind the widget that segments, not below it."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            tab_beside_ours(self)

    def _build(self) -> None:
        self.prediction: Any = create_widget(annotation=Labels, label="prediction")
        self.truth: Any = create_widget(annotation=Labels, label="ground truth")
        self.skip = menu(
            ("ends", "prompt", "none"),
            "Frames that are not scored: the first and the last; the first, which has the prompt; or none.",
        )
        self.late = menu(
            ("first-seen", "own-clip", "all"),
            "Where an object's score starts: first seen on either side; first seen in the truth; or frame 0.",
        )
        self.surface = QDoubleSpinBox()
        self.surface.setRange(0, 100)
        self.surface.setSpecialValueText("off")
        self.surface.setToolTip("Compute HD95, and NSD at this tolerance in pixels. This takes longer.")
        self.button = button("Score", self.score, "Score the masks. Press again to stop.", STRONG)
        tip = "Tables as CSV and JSON, a page with pictures of J&F over time and of the worst frames."
        self.save_button = button("Save report ...", self._choose_folder, tip, STRONG)
        self.save_button.setEnabled(False)
        self.progress = QProgressBar()
        self.table = plain_table(tuple(COLUMNS), "Click a row to see the object's worst frame.")
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(LEAST_COLUMN)
        for n, tip in enumerate(COLUMNS.values()):
            self.table.horizontalHeaderItem(n).setToolTip(tip)
        self.table.cellClicked.connect(self.go_to_worst)
        self.folder_button = button(FOLDER, self._choose_truth, FOLDER_TIP, STRONG)
        self.status = wrapped(
            "Choose the masks and the ground truth: two Labels layers (T, Y, X) of one size, or a layer and a folder.", lines=3
        )
        form = QFormLayout()
        form.addRow("prediction", self.prediction.native)
        form.addRow("ground truth", side_by_side((self.truth.native, 1), self.folder_button))
        form.addRow("skip", self.skip)
        form.addRow("late objects", self.late)
        form.addRow("NSD tolerance", self.surface)
        buttons = side_by_side(self.button, self.save_button)
        stacked(form, buttons, self.progress, self.table, self.status, into=self, margins=True)

    def _layers_changed(self, event: Any = None) -> None:
        with self.prediction.changed.blocked():  # what is chosen here is not the user's choice
            before = self.prediction.value
            for choice in (self.prediction, self.truth):
                choice.reset_choices()
            if self.prediction.value is not before:
                self._chosen = False  # it was removed
            layers = [layer for layer in self.viewer.layers if isinstance(layer, Labels)]
            ours = next((layer for layer in layers if layer.name == OBJECTS), None)
            if ours is not None and not self._chosen:
                self.prediction.value = ours
            if len(layers) > 1 and self.truth.value is self.prediction.value:
                self.truth.value = next(layer for layer in layers if layer is not self.prediction.value)

    def _note_choice(self, layer: Labels | None) -> None:
        self._chosen = True

    def score(self) -> Future[None] | None:
        """Score in the background, or stop doing so."""
        if self.button.text() == "Stop":
            self._cancel.set()
            return None
        prediction, truth = self.prediction.value, self.truth.value
        if prediction is None or (self.folder is None and (truth is None or prediction is truth)):
            self._fail("Choose the masks to score and the ground truth: two different Labels layers, or a layer and a folder.")
            return None
        if self.folder is None and (sizes := [tuple(layer.data.shape) for layer in (prediction, truth)])[0] != sizes[1]:
            self._fail(f"{prediction.name} is {sizes[0]} and {truth.name} {sizes[1]} (T, Y, X). They must be of one size.")
            return None
        self._sides = (_side(prediction), _side(truth) if self.folder is None else self.folder)
        self._scored = prediction
        options = {"skip": self.skip.currentText(), "late": self.late.currentText(), "surface": self.surface.value() or None}
        self._cancel.clear()
        self.button.setText("Stop")
        return self._jobs.submit(self._work, *self._sides, options)

    def _work(self, prediction: Any, truth: Any, options: dict[str, Any]) -> None:
        with failures_told(self.failed.emit, "Scoring was stopped."):
            scores = evaluate(prediction, truth, missing="empty", progress=self._report, **options)
            self._names = _names(prediction) | _names(truth)
            self.scored.emit(scores)

    def _report(self, done: int, total: int) -> None:
        if self._cancel.is_set():
            raise Stopped
        self.progressed.emit(done, total)

    def _show_progress(self, done: int, total: int) -> None:
        self.progress.setMaximum(total)
        self.progress.setValue(done)

    def _fail(self, message: str) -> None:
        self.button.setText("Score")
        self.status.setText(message)

    def _show(self, scores: Evaluation) -> None:
        self.scores = scores
        self.button.setText("Score")
        self.save_button.setEnabled(True)
        self.table.setRowCount(len(scores.objects) + 1)
        for row, o in enumerate(scores.objects):
            rows = scores.frames[o.video, o.object_id]
            worst = min(rows, key=lambda t: rows[t].j + rows[t].f)
            name = self._names.get(o.object_id, f"object {o.object_id}")
            if o.class_name and o.class_name not in name:
                name = f"{name} ({o.class_name})"
            cells = [name, *_percents(o), str(o.longest_lost), f"{o.reidentified} of {o.returns}", str(worst)]
            self._fill(row, cells)
        self._fill(len(scores.objects), ["all", *_percents(scores.overall), "", "", ""])
        distances = ""
        if scores.protocol.surface is not None:
            distances = f" HD95 {scores.overall.hd95:.1f} px, NSD {100 * scores.overall.nsd:.1f}."
        apart = f"{BY_NUMBER} " if any(o.j < APART for o in scores.objects) else ""
        self.status.setText(f"J&F {100 * scores.overall.jf:.1f}.{distances} {apart}Protocol: {scores.protocol}.")

    def _fill(self, row: int, cells: list[str]) -> None:
        for column, text in enumerate(cells):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.table.setItem(row, column, item)

    def go_to_worst(self, row: int, column: int = 0) -> None:
        """Show the worst frame of the object of a row."""
        item = self.table.item(row, len(COLUMNS) - 1)
        if item is not None and item.text() and self._scored is not None:
            show_frame(self.viewer, self._scored, int(item.text()))

    def _choose_truth(self) -> None:
        """Ask for a folder of ground truth, or take the layer again."""
        name = "" if self.folder is not None else QFileDialog.getExistingDirectory(self, "Folder of the ground truth")
        self.take_folder(Path(name) if name else None)

    def take_folder(self, folder: Path | None) -> None:
        """Score against the masks in a folder; ``None``: against the chosen layer."""
        self.folder = folder
        self.truth.native.setEnabled(folder is None)
        self.folder_button.setText(FOLDER if folder is None else f"{folder.name}  ✕")
        self.folder_button.setToolTip(FOLDER_TIP if folder is None else f"{folder}. Press to take the layer again.")

    def _choose_folder(self) -> None:
        proposed = str(start_folder(self.viewer) / "report")  # asked for as a file is: a new folder can be named
        name, _ = QFileDialog.getSaveFileName(self, "New folder for the report", proposed, "Folders (*)")
        if name:
            self.save_report(Path(name))

    def save_report(self, folder: Path) -> None:
        """Write a report into a new or empty folder."""
        if self.scores is None or self._sides is None:
            return
        name = self.scores.videos[0]
        prediction, truth = (next(iter(find_videos(side, None).values())) for side in self._sides)
        try:
            page = write_report(self.scores, folder, prediction={name: prediction}, truth={name: truth})
        except (Sam2sError, OSError) as error:
            self._fail(str(error))
        else:
            self.status.setText(f"The report is {page}.")
        finally:
            for side in (prediction, truth):
                if isinstance(side, ProjectFile):
                    side.close()

    def let_go(self) -> None:
        """Let go of the thread and of the viewer."""
        self._cancel.set()
        self._jobs.shutdown(wait=True, cancel_futures=True)
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.disconnect(self._layers_changed)


def _side(layer: Labels) -> Any:
    """Return what to score of a layer: of our own the project, whose overlapping objects are whole, else the array."""
    data = layer.data
    return ProjectFile(data.path) if isinstance(data, LabelView) else data


def _names(side: Any) -> dict[int, str]:
    """Return the names that the user or a folder's own list gave the objects of a side."""
    if not isinstance(side, ProjectFile | Path):
        return {}
    try:
        masklets = next(iter(find_videos(side, None).values()))
    except Sam2sError:
        return {}
    try:
        return {o.id: o.name for o in masklets.objects if o.name not in ("", f"object {o.id}")}
    finally:
        if isinstance(masklets, ProjectFile):
            masklets.close()


def _percents(score: Any) -> list[str]:
    return [f"{100 * value:.1f}" for value in (score.jf, score.j, score.f, score.dice)]
