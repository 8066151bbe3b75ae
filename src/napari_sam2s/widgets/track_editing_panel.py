"""Edits of tracks and masks: which, of which objects, on which frames; what would change, in words and pictures; doing it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QImage, QPixmap
from qtpy.QtWidgets import QComboBox, QFormLayout, QGridLayout, QLabel, QSpinBox, QWidget

from napari_sam2s.errors import Sam2sError
from napari_sam2s.masklets import CleanUp, Object, Project, TrackEdit
from napari_sam2s.masklets.clean_up import CLEAN_UPS, USUAL
from napari_sam2s.masklets.lineage import possible_mothers
from napari_sam2s.masklets.track_edit_preview import PAIRED, TrackEditKind, draw
from napari_sam2s.widgets.form_parts import REMARK, button, buttons, menu, quiet_timer, side_by_side, stacked, wrapped
from napari_sam2s.widgets.session import Session
from napari_sam2s.widgets.swatch import swatch
from napari_sam2s.wording import counted

TITLES: dict[TrackEditKind, str] = {
    "swap": "swap with",
    "move": "give masks to",
    "merge": "merge into",
    "split": "split off as a new object",
    "copy": "copy this frame's mask to",
    "absent": "mark absent",
    "delete": "forget masks",
}
MOST_PIXELS = 1_000_000
DELAY = 150  # milliseconds of quiet before the preview is made
WIDE = 180  # pixels of a picture; two stand side by side


class TrackEditingPanel(QWidget):
    """Shows a track edit and applies it."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._objects: tuple[Object, ...] = ()
        self._followed: int | None = None  # the current object that was taken over into the menu
        self._timer = quiet_timer(self, DELAY, self.show_preview)
        session.moved.connect(self._timer.start)
        self.first = menu((), "The object whose masks are edited.")
        self.second = menu((), "The other object.")
        self.kind = menu((), "What to do with its masks on these frames; one step of undo.")
        for kind, title in TITLES.items():
            self.kind.addItem(title, kind)
        self.kind.insertSeparator(self.kind.count())
        for clean in CLEAN_UPS:
            self.kind.addItem(clean if clean != "keep largest" else "keep the largest part", clean)
        self.amount = QSpinBox()
        self.amount.setMaximum(MOST_PIXELS)
        self.amount.setToolTip(
            "The area of holes or specks in pixels (0 fills all holes). For an outline: how many pixels it moves."
        )
        self.amount.valueChanged.connect(self._changed)
        self.start, self.last = QSpinBox(), QSpinBox()
        for box, tip in ((self.start, "First frame that changes."), (self.last, "Last frame that changes.")):
            box.setToolTip(tip)
            box.setMaximum(0)
            box.valueChanged.connect(self._changed)
        for choice in (self.first, self.second, self.kind):
            choice.currentIndexChanged.connect(self._changed)
        self.text = wrapped(lines=2)  # the button below stays where it is
        self.before, self.after = QLabel(), QLabel()
        self.apply_button = button("Apply", self.apply, "Apply this edit. Undo reverts it.")
        self.parent_menu = menu((), "The mother of the object above, the nearest first. 'Record' keeps the choice.")
        tip = "Record that the object above is a daughter of this one. Undo reverts it."
        self.parent_button = button("Record", self.record_parent, tip)
        self._proposed: int | None = None  # the mother that the menu showed at first
        self.parent_menu.currentIndexChanged.connect(lambda _: self._note_parent())
        self.first.currentIndexChanged.connect(self._show_parent)
        self._lay_out()

    def _lay_out(self) -> None:
        self._form = form = QFormLayout()
        form.addRow("object", self.first)
        form.addRow("do", self.kind)
        form.addRow("other", self.second)
        form.addRow("pixels", self.amount)
        form.setRowVisible(self.amount, False)
        form.addRow("frames", side_by_side(self.start, QLabel("to"), self.last))
        spans = buttons(
            ("In–out", self.take_range, "Take the frames between the timeline's in and out handles."),
            ("From here", self.take_rest, "Take all frames from the one on show."),
            ("This", self.take_frame, "Take the frame on show alone."),
        )
        form.addRow("", spans)
        pictures = QGridLayout()
        for n, (title, label) in enumerate((("before", self.before), ("after", self.after))):
            head = QLabel(title)
            head.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
            pictures.addWidget(head, 0, n)
            pictures.addWidget(label, 1, n)
        lineage = QFormLayout()
        lineage.addRow("daughter of", side_by_side((self.parent_menu, 1), self.parent_button))
        # The button first: on a laptop the pictures reach below the fold.
        stacked(form, self.text, self.apply_button, pictures, lineage, into=self).addStretch()

    def refresh(self) -> None:
        """Show the project's objects as they are."""
        project = self._session.project
        objects = tuple(project.objects) if project is not None else ()
        if objects != self._objects:
            self._objects = objects
            for choice, other in ((self.first, 0), (self.second, 1)):
                self._fill(choice, min(other, len(objects) - 1))
            self._keep_apart()
            self._show_parent()
        self._follow()
        if self.isVisible() and self.parent_menu.currentData() == self._proposed:  # or the user has chosen another one
            self._show_parent()
        last = 0 if project is None else project.shape[0] - 1
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

    def _show_parent(self, *_: Any) -> None:
        """Show which object the first came of; of one that has no mother yet, the probable one, and the others by nearness."""
        project, child = self._session.project, self.first.currentData()
        known = {o.id: o for o in self._objects}
        order, probable = [i for i in known if i != child], None
        if project is not None and child in known and self.isVisible():
            order, probable = possible_mothers(project, child)
        parent = known[child].parent if child in known else None
        parent_menu = self.parent_menu
        parent_menu.blockSignals(True)
        parent_menu.clear()
        parent_menu.addItem("none", None)
        for o in (known[i] for i in order if i in known):
            remark = f"{REMARK}probably" if o.id == probable else ""
            parent_menu.addItem(swatch(QColor(*o.colour)), f"{o.name}{remark}", o.id)
        self._proposed = probable if parent is None else parent
        parent_menu.setCurrentIndex(max(0, parent_menu.findData(self._proposed)))
        parent_menu.blockSignals(False)
        self._note_parent()

    def _note_parent(self) -> None:
        """Let a mother be recorded that is not recorded yet."""
        recorded = next((o.parent for o in self._objects if o.id == self.first.currentData()), None)
        self.parent_button.setEnabled(bool(self._objects) and self.parent_menu.currentData() != recorded)

    def record_parent(self) -> None:
        """Keep which object the first one came of."""
        child, parent = self.first.currentData(), self.parent_menu.currentData()
        if self._session.project is None or child is None:
            return
        self._session.edit(lambda project: self._record(project, int(child), parent))

    def _record(self, project: Project, child: int, parent: int | None) -> None:
        project.objects.set_parent(child, parent)
        name = project.objects.get(child).name
        of = "has no parent" if parent is None else f"is a daughter of {project.objects.get(parent).name}"
        self._session.notify(f"{name} {of}. Undo reverts it.")

    def showEvent(self, event: Any) -> None:
        """Look at the project as it is now, and at the object that is chosen there."""
        super().showEvent(event)
        if not event.spontaneous():
            self._followed = None
            self._follow()
            self._show_parent()
        self._timer.start()

    def _follow(self) -> None:
        """Take over the object that is chosen in the table or the picture, once; another one in the menu stays."""
        current = self._session.current_object
        if current != self._followed and (at := self.first.findData(current)) >= 0:
            self._followed = current
            self.first.setCurrentIndex(at)
            self._keep_apart()

    # What the user does

    def take_range(self) -> None:
        """Take the frames between the timeline's handles."""
        start, stop = self._session.bounds
        self._take(start, stop - 1)

    def take_rest(self) -> None:
        """Take all frames from the one on show."""
        self._take(self._session.frame, self.last.maximum())

    def take_frame(self) -> None:
        """Take the frame on show."""
        self._take(self._session.frame, self._session.frame)

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
        kind = self.kind.currentData()
        cleans = kind in CLEAN_UPS
        self.second.setEnabled(kind in PAIRED)
        self._form.setRowVisible(self.second, not cleans)
        self._form.setRowVisible(self.amount, cleans)
        self.amount.setEnabled(kind != "keep largest")
        if cleans and self.sender() is self.kind:
            self.amount.setValue(USUAL[kind])
        self._timer.start()

    @property
    def edit(self) -> TrackEdit | CleanUp:
        """What is chosen. Raises :class:`ProjectError` if something is missing."""
        kind = self.kind.currentData()
        if kind in CLEAN_UPS:
            chosen = int(self.first.currentData() or 0)
            return CleanUp(kind, chosen, self.start.value(), self.last.value() + 1, self.amount.value())
        return TrackEdit(
            kind,
            int(self.first.currentData() or 0),
            self.second.currentData() if kind in PAIRED else None,
            self.start.value(),
            self.last.value() + 1,
            self._session.frame if kind == "copy" else None,
        )

    def apply(self) -> None:
        """Do it."""
        if (project := self._session.project) is None:
            return
        try:
            edit = self.edit
            edit.preview(project)  # shows what is wrong, before anything is paused
        except Sam2sError as error:
            self.text.setText(str(error))
            return
        self._session.edit(lambda p: self._change(edit, p) if isinstance(edit, TrackEdit) else self._clean(edit, p))

    def _change(self, edit: TrackEdit, project: Project) -> None:
        edit.apply(project)
        other = f" {project.objects.get(edit.second).name}" if edit.second is not None else ""
        last = (project.shape[0] if edit.stop is None else edit.stop) - 1
        what = f"{TITLES[edit.kind]}{other} ({project.objects.get(edit.first).name}, frames {edit.start} to {last})"
        self._session.notify(f"Done: {what}. Undo reverts it.")

    def _clean(self, edit: CleanUp, project: Project) -> None:
        changed = edit.apply(project)
        name = project.objects.get(edit.object_id).name
        was = f"{counted(changed, 'mask')} of {name} {'is' if changed == 1 else 'are'} cleaned up. Undo reverts it."
        self._session.notify(was if changed else f"There was nothing to clean up in the masks of {name}.")

    def show_preview(self) -> None:
        """Show what would change, if anybody looks."""
        worker = self._session.worker
        self.apply_button.setEnabled(False)
        if worker is None or not self.isVisible():
            return
        try:
            edit = self.edit
            change = edit.preview(worker.project)
        except Sam2sError as error:
            self.text.setText(str(error))
            self.before.clear()
            self.after.clear()
            return
        text = change.text
        if change.confirmed:
            text += f" You confirmed {change.confirmed} of these frames."
        self.text.setText(text)
        self.apply_button.setEnabled(change.masks > 0)
        frame = self._session.frame
        if not edit.start <= frame < int(edit.stop or 0):
            frame = edit.start
        picture = np.asarray(worker.video[frame])
        for label, masks in (
            (self.before, worker.project.masks(frame)),
            (self.after, edit.masks_after(worker.project, frame)),
        ):
            label.setPixmap(_pixmap(draw(masks, worker.project.objects, picture)))
            label.setToolTip(f"frame {frame}")


def _pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    """Return a picture ``(Y, X, 3)`` as a small pixmap."""
    height, width = picture.shape[:2]
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    return QPixmap.fromImage(image).scaledToWidth(WIDE, Qt.TransformationMode.SmoothTransformation)
