"""All videos of a folder, one after the other or at once, with a table that shows how far each is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QFormLayout, QHeaderView, QSpinBox, QTableWidgetItem, QWidget

from napari_sam2s.batching import BatchRow, batch
from napari_sam2s.batching.batch_run import SUMMARY
from napari_sam2s.batching.batch_videos import PromptSource, find_batch
from napari_sam2s.errors import Sam2sError
from napari_sam2s.widgets.background_job import failures_told
from napari_sam2s.widgets.close_watcher import CloseWatcher
from napari_sam2s.widgets.form_parts import button, menu, plain_table, stacked, wrapped
from napari_sam2s.widgets.layout import tab_beside_ours
from napari_sam2s.widgets.model_panel import CROP_TIP
from napari_sam2s.widgets.settings import remembered
from napari_sam2s.widgets.start_folder import video_folder
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    import napari

PROMPTS: dict[PromptSource, str] = {
    "project": "clicks in the video's project",
    "masks": "a picture VIDEO_frame0.png beside it",
    "first-labels": "the first mask of each object in VIDEO_labels.tif",
}
COLUMNS = ("video", "state", "frames", "frames/s", "note")
FOLDER, START, PAUSE = "Choose a folder ...", "Track all", "Pause"
PROMPTS_TIP = "Where the prompts of each video are. VIDEO is its name without the ending; the files lie beside it."
MOST_WORKERS = 64
STRONG = Qt.FocusPolicy.StrongFocus


class BatchWidget(QWidget):
    """Tracks all videos of a folder as ``napari-sam2s batch`` does; what is tracked already is left as it is."""

    told = Signal(object)  # a list of BatchRow
    ended = Signal(str)  # what there is to say

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.folder: Path | None = None
        self._jobs = ThreadPoolExecutor(1, thread_name_prefix="sam2s-batch")
        self._stop = threading.Event()
        self._gone = False
        self._build()
        self.told.connect(self._show)
        self.ended.connect(self._end)
        self._watcher = CloseWatcher(self, self.let_go)
        tab_beside_ours(self)
        self.take_folder(video_folder(napari_viewer))

    def _build(self) -> None:
        self.folder_button = button(FOLDER, self._choose_folder, "All videos in this folder are tracked.", STRONG)
        self.prompts = menu((), PROMPTS_TIP)
        for source, title in PROMPTS.items():
            self.prompts.addItem(title, source)
        self.prompts.currentIndexChanged.connect(lambda _: self.take_folder(self.folder))
        self.workers = QSpinBox()
        self.workers.setRange(0, MOST_WORKERS)
        self.workers.setSpecialValueText("automatic")
        self.workers.setToolTip("How many videos at once on this machine; automatic is one for every two cores.")
        tip = "Track all videos that are not finished, each into its own project. Press again to pause them all."
        self.button = button(START, self.start_or_pause, tip, STRONG)
        self.table = plain_table(COLUMNS, "Each video has a project of its own, beside it.")
        self.table.horizontalHeader().setSectionResizeMode(len(COLUMNS) - 1, QHeaderView.ResizeMode.Stretch)
        self.status = wrapped(lines=3)
        self.crop = QCheckBox("a crop follows each object")
        self.crop.setToolTip(CROP_TIP)
        form = QFormLayout()
        form.addRow("folder", self.folder_button)
        form.addRow("prompts", self.prompts)
        form.addRow("workers", self.workers)
        form.addRow("small objects", self.crop)
        stacked(form, self.button, (self.table, 1), self.status, into=self, margins=True)

    def _choose_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Folder of videos", str(self.folder or ""))
        if name:
            self.take_folder(Path(name))

    def take_folder(self, folder: Path | None) -> None:
        """List the videos of a folder; none of them is opened yet."""
        self.folder = folder
        self.folder_button.setText(FOLDER if folder is None else folder.name or str(folder))
        self.folder_button.setToolTip("All videos in this folder are tracked." if folder is None else str(folder))
        self.table.setRowCount(0)
        rows: list[BatchRow] = []
        said = "Click objects in each video first, then choose the folder of the videos."
        if folder is not None:
            try:
                found = find_batch([folder], self.prompts.currentData())
                rows = [BatchRow(one.video, one.project) for one in found]
                said = f"{_counted(len(rows))}. The model and the device are those of Segment video."
            except (Sam2sError, OSError) as error:
                said = str(error)
        self._show(rows)
        self.button.setEnabled(bool(rows))
        self.status.setText(said)

    def start_or_pause(self) -> None:
        """Begin; or let every video pause, with all that was found."""
        if self.button.text() == PAUSE:
            self._stop.set()
            self.button.setEnabled(False)
            self.status.setText("Pausing every video ...")
            return
        if self.folder is None:
            return
        self._stop.clear()
        self._settle(busy=True)
        self.status.setText("Starting the workers ...")
        address = str(remembered("model", "address", ""))
        options: dict[str, Any] = {
            "prompts": self.prompts.currentData(),
            "model": remembered("model", "name", "sam2s-nano"),
            "image_size": remembered("model", "input_size", 0) or None,
            "device": remembered("model", "device", "auto"),
            "precision": remembered("model", "precision", "float32"),
            "crop": self.crop.isChecked(),
            "fast": remembered("model", "mode", "exact") == "fast",
            "memory": remembered("model", "memory", "divemem"),
            "scheduler": address or None,
            "workers": None if address else self.workers.value() or None,
        }
        self._jobs.submit(self._track, self.folder, options)

    def _track(self, folder: Path, options: dict[str, Any]) -> None:
        with failures_told(self._say_end):
            rows = batch(folder, progress=self._tell, stop=self._stop, **options)
            self._tell(rows)
            self._say_end(_summary(rows))

    def _say_end(self, said: str) -> None:
        if not self._gone:
            self.ended.emit(said)

    def _tell(self, rows: Sequence[BatchRow]) -> None:
        if not self._gone:
            self.told.emit([replace(row) for row in rows])

    def _show(self, rows: Sequence[BatchRow]) -> None:
        self.table.setRowCount(len(rows))
        for n, row in enumerate(rows):
            frames = f"{row.tracked} of {row.total}" if row.total else ""
            rate = f"{row.rate:.1f}" if row.tracked and row.seconds else ""
            for column, text in enumerate((row.video.name, row.state, frames, rate, row.message)):
                item = self.table.item(n, column)
                if item is None:
                    item = QTableWidgetItem()
                    self.table.setItem(n, column, item)
                if item.text() != text:
                    item.setText(text)
                    item.setToolTip(str(row.video) if column == 0 else text)
        if any(row.state == "running" for row in rows) and not self._stop.is_set():
            self.status.setText(f"{sum(row.over for row in rows)} of {_counted(len(rows))} finished.")

    def _end(self, said: str) -> None:
        self._settle(busy=False)
        self.status.setText(said)

    def _settle(self, *, busy: bool) -> None:
        self.button.setText(PAUSE if busy else START)
        self.button.setEnabled(True)
        for part in (self.folder_button, self.prompts, self.workers, self.crop):
            part.setEnabled(not busy)

    def let_go(self) -> None:
        """Let every video pause, and end the workers: in the background, as that may take seconds. Nobody is told of it."""
        self._gone = True
        self._stop.set()
        self._jobs.shutdown(wait=False, cancel_futures=True)


def _counted(videos: int) -> str:
    return counted(videos, "video")


def _summary(rows: Sequence[BatchRow]) -> str:
    """Say what came of a batch, and what to do."""
    done = sum(row.state in ("done", "nothing to do") for row in rows)
    failed = sum(row.state == "failed" for row in rows)
    said = [f"{done} of {_counted(len(rows))} done; the table is in {SUMMARY} too."]
    if failed:
        said.append(f"{failed} failed: their notes say why.")
    if done < len(rows):
        said.append(f"Press {START} to track what is missing.")
    return " ".join(said)
