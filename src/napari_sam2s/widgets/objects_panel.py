"""The page of objects: the table, what is done with the chosen one, and which list of classes there is to choose from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets import ClassList, class_list
from napari_sam2s.masklets.class_lists import PRESETS
from napari_sam2s.widgets.object_table import ObjectTable
from napari_sam2s.widgets.settings import remember, remembered

if TYPE_CHECKING:
    from napari_sam2s.widgets.segment_widget import SegmentWidget

OWN = "a list of your own …"


class ClassChooser(QComboBox):
    """The list of classes in use; remembered."""

    listed = Signal(object)  # the ClassList
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "Where the classes come from that objects are offered; your own: a text file with a name a line, or JSON."
        )
        self.current: ClassList | None = None
        self.source = ""  # a preset's name, or a path
        self._fill()
        self.activated.connect(self._activated)

    def load_remembered(self) -> None:
        """Take the list that was in use last; the first preset if that cannot be read."""
        if not self.take(str(remembered("classes", "chosen", "")) or next(iter(PRESETS))):
            self.take(next(iter(PRESETS)))

    def take(self, source: str) -> bool:
        """Use a preset or a file; return whether that was possible."""
        try:
            chosen = class_list(source)
        except FormatError as error:
            self.refused.emit(str(error))
            return False
        self.current, self.source = chosen, source
        self._fill()
        remember("classes", chosen=source)
        self.listed.emit(chosen)
        return True

    def _fill(self) -> None:
        self.clear()
        for name, preset in PRESETS.items():
            self.addItem(f"{name} ({len(preset.classes)})", name)
        if self.current is not None and self.source not in PRESETS:
            self.addItem(f"{Path(self.source).name} ({len(self.current.classes)})", self.source)
        self.addItem(OWN, OWN)
        self.setCurrentIndex(max(0, self.findData(self.source)))

    def _activated(self, index: int) -> None:
        source = self.itemData(index)
        if source == OWN:
            source, _ = QFileDialog.getOpenFileName(self, "A list of classes", "", "Lists (*.txt *.json);;All files (*)")
        if not source or not self.take(source):
            self._fill()


class ObjectsPanel(QWidget):
    """The table and its buttons."""

    def __init__(self, host: SegmentWidget) -> None:
        super().__init__()
        self.table = ObjectTable()
        self.chooser = ClassChooser()
        self.chooser.listed.connect(self._listed)
        self.chooser.refused.connect(self.table.refused)
        self.chooser.load_remembered()
        buttons = QHBoxLayout()
        for text, tip, action in (
            ("New", "Add an object; the next click says where it is.", host.new_object),
            ("Remove", "Remove the chosen object; undo brings it back.", host.remove_object),
            ("Up", "Move the chosen object up: behind those below it.", lambda: self.table.move_chosen(-1)),
            ("Down", "Move the chosen object down: in front of those above it.", lambda: self.table.move_chosen(1)),
        ):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.clicked.connect(lambda _checked=False, action=action: action())
            buttons.addWidget(button)
        lists = QHBoxLayout()
        lists.addWidget(QLabel("classes"))
        lists.addWidget(self.chooser, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        layout.addLayout(buttons)
        layout.addLayout(lists)

    def _listed(self, chosen: ClassList) -> None:
        self.table.classes = chosen.classes
