"""The page of phases: which there are, and a key that begins and ends them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QFileDialog, QHeaderView, QTableWidgetItem, QWidget

from napari_sam2s.errors import Sam2sError
from napari_sam2s.formats.atomic_write import TakenError, replacing
from napari_sam2s.formats.export_view import ExportView
from napari_sam2s.formats.phase_import import import_phases
from napari_sam2s.formats.phase_table import ENDING, write_phases
from napari_sam2s.masklets import Phase, Project
from napari_sam2s.widgets.form_parts import button, plain_table, side_by_side, stacked
from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.session import Session
from napari_sam2s.widgets.start_folder import note_folder, start_folder
from napari_sam2s.wording import counted

NAME, FIRST, LAST = range(3)
UNNAMED = "phase 1"
FILES = "Tables (*.csv *.tsv *.txt);;All files (*)"


class PhasesPanel(QWidget):
    """A name to mark next, the button, and the table of what is marked; the lanes are on the timeline."""

    typed = Signal()  # a name is chosen: the keyboard may go back to the canvas

    def __init__(self, session: Session, keys: Keys) -> None:
        super().__init__()
        self._session, self._keys = session, keys
        self._shown: tuple[Phase, ...] = ()
        self._names: list[str] = []  # in use, and those of the videos before: the next one is marked by the same
        self._filling = False
        self.name = QComboBox()
        self.name.setEditable(True)
        self.name.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.name.setToolTip("What is marked next: a phase such as 'dissection', or a moment such as 'clip'. Type a name.")
        self.name.lineEdit().setPlaceholderText(UNNAMED)
        self.name.lineEdit().returnPressed.connect(self.typed)
        self.name.activated.connect(lambda _: self.typed.emit())
        self.name.currentTextChanged.connect(lambda _: self._title())
        keys.add("mark_phase", "Shift-M", "begin a phase at this frame, or end it", self.mark)
        self.mark_button = button(
            "", self.mark, "Begin this phase at the frame on show; press again on its last frame.", Qt.FocusPolicy.NoFocus
        )
        tip = "Double-click a cell to change it. A click on a row goes to its first frame."
        self.table = plain_table(("phase", "first frame", "last frame"), tip)
        self.table.horizontalHeader().setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        # Not by any key: a shortcut pressed after a row was clicked would overwrite the name.
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.table.itemChanged.connect(self._edit)
        self.table.cellClicked.connect(self._go)
        self.remove_button = button(
            "Remove", self.remove, "Remove the chosen phase; undo brings it back.", Qt.FocusPolicy.NoFocus
        )
        tip = "Add the phases of a table: an export of SAM2S, one with seconds, or one with a phase a frame, as Cholec80 has."
        self.import_button = button("Import ...", self._choose_file, tip, Qt.FocusPolicy.NoFocus)
        tip = "Write a table of the phases: name, first and last frame, seconds. The project does not change."
        self.export_button = button("Export ...", self._choose_target, tip, Qt.FocusPolicy.NoFocus)
        buttons = side_by_side(self.remove_button, self.import_button, self.export_button)
        stacked(side_by_side((self.name, 1), self.mark_button), (self.table, 1), buttons, into=self)
        self._title()

    @property
    def chosen_name(self) -> str:
        """What is marked next."""
        return self.name.currentText().strip() or UNNAMED

    def mark(self) -> None:
        """Begin the phase of the chosen name at the frame on show, or end the one that has begun."""
        self.typed.emit()
        frame, name = self._session.frame, self.chosen_name
        phase = self._do(lambda project: project.phases.mark(name, frame))
        if phase is None:
            return
        key = self._keys.key("mark_phase")
        if phase.stop is None:
            self._session.tell(f"{phase.name} begins at frame {frame}. Go to its last frame and press {key} again.")
        else:
            self._session.tell(f"{phase.name} is on frames {phase.start} to {phase.stop - 1}. Undo reverts the last mark.")

    def remove(self) -> None:
        """Remove the chosen phase."""
        row = self.table.currentRow()
        if 0 <= row < len(self._shown):
            phase = self._shown[row]
            self._do(lambda project: project.phases.remove(phase.id))
        else:
            self._session.tell("Click a phase in the table first.")

    def _choose_file(self) -> None:
        folder = str(start_folder(self._session.viewer))
        if name := QFileDialog.getOpenFileName(self, "A table of phases", folder, FILES)[0]:
            self.take_file(Path(name))

    def take_file(self, path: Path) -> None:
        """Add the phases of a table, one step of undo; say what is wrong with it."""
        video = self._session.video
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            added = self._do(lambda project: import_phases(project, path, video=video))
        if added:
            told = [
                f"{counted(len(added), 'phase is added. Undo reverts it', 'phases are added. Undo reverts them')}.",
                *(str(each.message) for each in said),
            ]
            self._session.tell(" ".join(told))

    def _choose_target(self) -> None:
        project = self._session.project
        if project is None or not project.phases.read():
            key = self._keys.key("mark_phase")
            self._session.tell(f"There are no phases to export. Type a name and press {key} on its first frame.")
            return
        usual = start_folder(self._session.viewer, project.path) / f"{project.video.export_name()}{ENDING}"
        chosen, _ = QFileDialog.getSaveFileName(self, "Table of phases as", str(usual), "*.csv")
        if chosen:
            note_folder(self._session.viewer, chosen)
            path = Path(chosen)
            named = path.suffix.lower() == ".csv"
            self.write_file(path if named else path.with_name(f"{path.name}.csv"), overwrite=named)  # as the dialog has asked

    def write_file(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the phases as a table; say where it is, or why it cannot be written."""
        session = self._session
        project, video = session.project, session.video
        if project is None or video is None:
            return
        try:
            with replacing(overwrite):
                write_phases(ExportView(project, video.timestamps if video.fps else None), path, path.stem)
        except TakenError:
            session.warn(f"{path} exists already. Choose another name.")
        except Sam2sError as error:
            session.warn(str(error))
        else:
            session.tell(f"Exported to {path}.")

    def _do(self, change: Callable[[Project], Any]) -> Any:
        """Change the project and show it; of what cannot be the user is told."""
        project, made = self._session.project, None
        if project is None:
            self._session.tell("A phase belongs to a video. Drop one on napari first.")
            return None
        try:
            made = change(project)
        except Sam2sError as error:
            self._session.warn(str(error))
        self._session.changed.emit()
        return made

    def refresh(self) -> None:
        """Show the phases as they are."""
        project = self._session.project
        phases = () if project is None else project.phases.read()
        self._title()
        if phases == self._shown and self.table.rowCount() == len(phases):
            return
        row = self.table.currentRow()
        chosen = self._shown[row].id if 0 <= row < len(self._shown) else None
        self._shown, self._filling = phases, True
        try:
            self.table.setRowCount(len(phases))
            for row, phase in enumerate(phases):
                last = "" if phase.stop is None else str(phase.stop - 1)
                for column, text in ((NAME, phase.name), (FIRST, str(phase.start)), (LAST, last)):
                    self.table.setItem(row, column, QTableWidgetItem(text))
            # The rows may have moved under the choice: what "Remove" removes is the phase that was clicked, or none.
            row = next((n for n, phase in enumerate(phases) if phase.id == chosen), -1)
            self.table.setCurrentCell(row, max(self.table.currentColumn(), NAME) if row >= 0 else -1)
            self._offer([] if project is None else project.phases.names)
        finally:
            self._filling = False

    def _offer(self, names: list[str]) -> None:
        typed = self.name.currentText()
        self._names = list(dict.fromkeys([*names, *self._names]))
        self.name.clear()
        self.name.addItems(self._names)
        self.name.setEditText(typed or (names[-1] if names else ""))

    def _title(self) -> None:
        project = self._session.project
        begun = None if project is None else project.phases.open(self.chosen_name)
        self.mark_button.setText(f"{'Begin' if begun is None else 'End'} ({self._keys.key('mark_phase')})")

    def _go(self, row: int, column: int) -> None:
        phase = self._shown[row]
        self._session.go_to(phase.stop - 1 if column == LAST and phase.stop is not None else phase.start)

    def _edit(self, item: QTableWidgetItem) -> None:
        if self._filling:
            return
        phase, column, text = self._shown[item.row()], item.column(), item.text().strip()
        self._shown = ()  # whatever becomes of it, it is shown anew
        if column != NAME and not (text.isdecimal() or (column == LAST and not text)):
            self._session.warn(f"{text!r} is not a frame number. Give a whole number.")
            self._session.changed.emit()
            return
        name = text if column == NAME else phase.name
        start = int(text) if column == FIRST else phase.start
        stop = phase.stop if column != LAST else int(text) + 1 if text else None
        self._do(lambda project: project.phases.change(phase.id, name, start, stop))
