"""Identity surgery: what, whom, on which frames; what it would change, in words and as a picture; then doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QColor, QImage, QPixmap
from qtpy.QtWidgets import QComboBox, QFormLayout, QGridLayout, QHBoxLayout, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_sam2s.errors import Sam2sError
from napari_sam2s.masklets import Object, TrackEdit
from napari_sam2s.masklets.track_edits import PAIRED, TrackEditKind, draw
from napari_sam2s.widgets.swatch import swatch

if TYPE_CHECKING:
    from napari_sam2s.widgets.segment_widget import SegmentWidget

TITLES: dict[TrackEditKind, str] = {
    "swap": "swap with",
    "move": "give masks to",
    "merge": "merge into",
    "split": "split off as a new object",
    "copy": "copy this frame's mask to",
    "absent": "mark absent",
    "delete": "forget masks",
}
DELAY = 150  # milliseconds of quiet before the preview is made
WIDE = 200  # pixels of a swatch


class SurgeryPanel(QWidget):
    """Shows an :class:`TrackEdit` and applies it."""

    def __init__(self, host: SegmentWidget) -> None:
        super().__init__()
        self._host = host
        self._objects: tuple[Object, ...] = ()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY)
        self._timer.timeout.connect(self.show_preview)
        self.first, self.second, self.kind = QComboBox(), QComboBox(), QComboBox()
        for kind, title in TITLES.items():
            self.kind.addItem(title, kind)
        self.start, self.last = QSpinBox(), QSpinBox()
        for box, tip in ((self.start, "First frame that changes."), (self.last, "Last frame that changes.")):
            box.setToolTip(tip)
            box.setMaximum(0)
            box.valueChanged.connect(self._changed)
        for choice in (self.first, self.second, self.kind):
            choice.currentIndexChanged.connect(self._changed)
        self.first.setToolTip("The object whose masks are operated on.")
        self.second.setToolTip("The other object.")
        self.kind.setToolTip("What to do with its masks on these frames; one step of undo.")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.before, self.after = QLabel(), QLabel()
        self.apply_button = QPushButton("Apply")
        self.apply_button.setToolTip("Do it; undo takes it back.")
        self.apply_button.clicked.connect(self.apply)
        self._lay_out()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("object", self.first)
        form.addRow("do", self.kind)
        form.addRow("other", self.second)
        frames = QHBoxLayout()
        frames.addWidget(self.start)
        frames.addWidget(QLabel("to"))
        frames.addWidget(self.last)
        form.addRow("frames", frames)
        spans = QHBoxLayout()
        for text, tip, action in (
            ("In–out", "Take the frames between the timeline's in and out handles.", self.take_range),
            ("From here", "Take all frames from the one on show.", self.take_rest),
            ("This", "Take the frame on show alone.", self.take_frame),
        ):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.clicked.connect(lambda _checked=False, action=action: action())
            spans.addWidget(button)
        form.addRow("", spans)
        pictures = QGridLayout()
        for column, (title, label) in enumerate((("before", self.before), ("after", self.after))):
            head = QLabel(title)
            head.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
            pictures.addWidget(head, 0, column)
            pictures.addWidget(label, 1, column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.text)
        layout.addLayout(pictures)
        layout.addWidget(self.apply_button)
        layout.addStretch()

    # What the host calls

    def refresh(self) -> None:
        """Show the project's objects as they are."""
        session = self._host.session
        objects = tuple(session.project.objects) if session is not None else ()
        if objects != self._objects:
            self._objects = objects
            for choice, other in ((self.first, 0), (self.second, 1)):
                self._fill(choice, min(other, len(objects) - 1))
            self._keep_apart()
        last = 0 if session is None else session.project.shape[0] - 1
        if last != self.last.maximum():
            for box, value in ((self.start, 0), (self.last, last)):
                box.setMaximum(last)
                box.setValue(value)
        self._timer.start()

    def _fill(self, choice: QComboBox, otherwise: int) -> None:
        chosen = choice.currentData()
        choice.blockSignals(True)
        choice.clear()
        for o in self._objects:
            choice.addItem(swatch(QColor(*o.colour)), o.name, o.id)
        at = choice.findData(chosen)
        choice.setCurrentIndex(at if at >= 0 else otherwise)
        choice.blockSignals(False)

    def showEvent(self, event: Any) -> None:
        """Look at the project as it is now, and follow the slider."""
        super().showEvent(event)
        self._host.viewer.dims.events.current_step.connect(self._moved)
        self._timer.start()

    def hideEvent(self, event: Any) -> None:
        """Look away."""
        super().hideEvent(event)
        self._host.viewer.dims.events.current_step.disconnect(self._moved)

    def _moved(self, event: Any = None) -> None:
        self._timer.start()

    # What the user does

    def take_range(self) -> None:
        """Take the frames between the timeline's handles."""
        start, stop = self._host.range
        self._take(start, stop - 1)

    def take_rest(self) -> None:
        """Take all frames from the one on show."""
        self._take(self._host.frame, self.last.maximum())

    def take_frame(self) -> None:
        """Take the frame on show."""
        self._take(self._host.frame, self._host.frame)

    def _take(self, start: int, last: int) -> None:
        self.start.setValue(start)
        self.last.setValue(last)
        self._timer.start()

    def _keep_apart(self) -> None:
        """Choose another second object if it is the first."""
        if self.second.currentData() == self.first.currentData() and self.second.count() > 1:
            self.second.blockSignals(True)
            self.second.setCurrentIndex((self.first.currentIndex() + 1) % self.second.count())
            self.second.blockSignals(False)

    def _changed(self, *_: Any) -> None:
        if self.sender() is self.first:
            self._keep_apart()
        self.second.setEnabled(self.kind.currentData() in PAIRED)
        self._timer.start()

    @property
    def operation(self) -> TrackEdit:
        """What is chosen.

        Raises
        ------
        ProjectError
            If something is missing.
        """
        kind = self.kind.currentData()
        return TrackEdit(
            kind,
            int(self.first.currentData() or 0),
            self.second.currentData() if kind in PAIRED else None,
            self.start.value(),
            self.last.value() + 1,
            self._host.frame if kind == "copy" else None,
        )

    def apply(self) -> None:
        """Do it."""
        session = self._host.session
        if session is None:
            return
        try:
            operation = self.operation
            operation.preview(session.project)  # says what is wrong, before anything is paused
        except Sam2sError as error:
            self.text.setText(str(error))
            return
        session.edit(operation.apply)

    def show_preview(self) -> None:
        """Say and draw what would change, if anybody looks."""
        session = self._host.session
        self.apply_button.setEnabled(False)
        if session is None or not self.isVisible():
            return
        try:
            operation = self.operation
            change = operation.preview(session.project)
        except Sam2sError as error:
            self.text.setText(str(error))
            self.before.clear()
            self.after.clear()
            return
        text = change.text
        if change.confirmed:
            text += f" You confirmed {change.confirmed} of them."
        self.text.setText(text)
        self.apply_button.setEnabled(change.masks > 0)
        frame = self._host.frame
        if not operation.start <= frame < int(operation.stop or 0):
            frame = operation.start
        picture = np.asarray(session.video[frame])
        for label, masks in (
            (self.before, session.project.masks(frame)),
            (self.after, operation.masks_after(session.project, frame)),
        ):
            label.setPixmap(_pixmap(draw(masks, session.project.objects, picture)))
            label.setToolTip(f"frame {frame}")


def _pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    """Return a picture ``(Y, X, 3)`` as a small pixmap."""
    height, width = picture.shape[:2]
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    return QPixmap.fromImage(image).scaledToWidth(WIDE, Qt.TransformationMode.SmoothTransformation)
