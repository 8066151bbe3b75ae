"""The page of objects: the table, what is done with the chosen one, and which list of classes there is to choose from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QPushButton, QWidget

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets import ClassList, class_list
from napari_sam2s.masklets.class_lists import PRESETS
from napari_sam2s.synthetic.microscopy import Microscopy
from napari_sam2s.video import Video
from napari_sam2s.widgets.class_grid import ClassGrid
from napari_sam2s.widgets.form_parts import buttons, side_by_side, stacked
from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.label_menu import LabelMenu
from napari_sam2s.widgets.lessons import Lessons, LessonsOr
from napari_sam2s.widgets.object_pictures import ObjectPictures
from napari_sam2s.widgets.object_table import ObjectTable
from napari_sam2s.widgets.session import Session
from napari_sam2s.widgets.settings import remember, remembered

OWN = "a list of your own …"
CELLS = "cells"  # the preset for microscopy
SHADES = 30  # more than a black frame has, before a video begins
LARGE = ("millimeter", "centimeter", "meter", "inch")  # pixels of a scan of a body, not of cells


def is_microscopy(video: Video) -> bool:
    """Whether a video is of cells by all that is known: a stack without colours or of channels, or grey pictures."""
    if video.pixel_unit in LARGE:
        return False
    if isinstance(video.raw, Microscopy) or (video.mapping is not None and video.mapping.axes != "TYXC"):
        return True
    frame = video[0]
    return bool(np.ptp(frame) > SHADES and (frame == frame[..., :1]).all())


class ClassChooser(QComboBox):
    """The list of classes in use; remembered."""

    listed = Signal(object)  # the ClassList
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("The classes to choose from. Your own list is a JSON file, or a text file with one name on each line.")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.current: ClassList | None = None
        self.source = ""  # a preset's name, or a path
        self._fill()
        self.activated.connect(self._activated)

    def load_remembered(self) -> None:
        """Take the list that was chosen last; the first preset if none was, or that cannot be read."""
        chosen = str(remembered("classes", "chosen", ""))
        if not chosen or not self.take(chosen):
            self.take(next(iter(PRESETS)), keep=False)

    def suit(self, video: Video) -> None:
        """Take the list that suits a video, unless the user has chosen one."""
        if not remembered("classes", "chosen", ""):
            self.take(CELLS if is_microscopy(video) else next(iter(PRESETS)), keep=False)

    def take(self, source: str, *, keep: bool = True) -> bool:
        """Use a preset or a file, from now on if ``keep``; return whether that was possible."""
        try:
            chosen = class_list(source)
        except FormatError as error:
            self.refused.emit(str(error))
            return False
        self.current, self.source = chosen, source
        self._fill()
        if keep:
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
    """The table and its buttons; for a beginner the lessons in place of the table."""

    def __init__(self, session: Session, keys: Keys) -> None:
        super().__init__()
        self._session, self._keys = session, keys
        self.table = ObjectTable()
        self.table.chosen.connect(session.select)
        self.table.edited.connect(session.changed)
        self.table.refused.connect(session.tell)
        self.pictures = ObjectPictures(session, self, self._seen, self.table.show_pictures)
        self.table.pictures = self.pictures.known
        self.table.verticalScrollBar().valueChanged.connect(lambda _: self.pictures.wait())
        self._make_grid()
        self.chooser = ClassChooser()
        self.chooser.listed.connect(self._listed)
        self.chooser.refused.connect(session.tell)
        self.chooser.load_remembered()
        session.opened.connect(lambda worker: self.chooser.suit(worker.video))
        table = self.table
        table.editing_ended.connect(self.refresh)
        actions = buttons(
            ("New", session.new_object, "Add an object; the next click prompts it."),
            ("Remove", self._remove, "Remove the chosen object; undo brings it back."),
            ("Up", lambda: table.move_chosen(-1), "Move the chosen object up: behind those below it."),
            ("Down", lambda: table.move_chosen(1), "Move the chosen object down: in front of those above it."),
        )
        self.from_layer = QPushButton("From layer")
        self.from_layer.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.label_menu = LabelMenu(session, self.from_layer)
        actions.addWidget(self.from_layer)
        self.rapid = QCheckBox("rapid")
        self.rapid.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        keys.add("rapid", "Shift-N", "rapid marking on or off: every click is a new object", self.rapid.toggle)
        self.rapid.setToolTip(f"Rapid marking ({keys.key('rapid')}): every click is a new object, as for many nuclei.")
        self.rapid.toggled.connect(self._set_rapid)
        self.outlines = QCheckBox("outlines")
        self.outlines.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        keys.add("outlines", "Shift-F", "outlines of the masks, or filled", self.outlines.toggle)
        self.outlines.setToolTip(f"Show masks by their outlines ({keys.key('outlines')}): what is below them stays visible.")
        self.outlines.toggled.connect(self._set_outlines)
        self.outlines.setChecked(bool(remembered("display", "outlines", False)))
        self.lessons = Lessons(keys.key)
        self.shown = LessonsOr(self.lessons, table)
        last = side_by_side(self.by_class, (self.chooser, 1), self.rapid, self.outlines)
        self.tools = QWidget()  # what is done with objects: without a video there are none
        stacked(actions, last, self.grid, into=self.tools)
        stacked((self.shown, 1), self.tools, into=self)

    def _make_grid(self) -> None:
        self.grid = ClassGrid(self._session, self._keys)
        self.by_class = QPushButton("classes")
        self.by_class.setCheckable(True)
        self.by_class.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.by_class.setToolTip(
            "Show a button for each of the first nine classes: the next click adds an object of this class."
        )
        self.by_class.setChecked(bool(remembered("display", "class_buttons", False)))
        self.by_class.toggled.connect(self.grid.setVisible)
        self.by_class.toggled.connect(lambda shown: remember("display", class_buttons=shown))
        self.grid.setVisible(self.by_class.isChecked())

    def of_cells(self) -> bool:
        """Whether objects may divide: the list of classes is of cells, or the user's own, or some did divide."""
        objects = () if self._session.project is None else self._session.project.objects
        return self.chooser.source == CELLS or self.chooser.source not in PRESETS or any(o.parent is not None for o in objects)

    def _remove(self) -> None:
        session, project = self._session, self._session.project
        before = {} if project is None else {o.id: o.name for o in project.objects}
        session.remove_object()
        for i in before.keys() - {o.id for o in (() if project is None else project.objects)}:
            session.tell(f"{before[i]} is removed. {self._keys.key('undo')} brings it back.")

    def _set_outlines(self, outlines: bool) -> None:
        remember("display", outlines=outlines)
        self._session.show_outlines(outlines)

    def _set_rapid(self, rapid: bool) -> None:
        session, key = self._session, self._keys.key("rapid")
        session.rapid = rapid
        session.activate_prompts()
        on = f"Rapid marking: every click is a new object, a right-click corrects the last one. {key} ends it."
        session.tell(on if rapid else "Rapid marking is over: clicks belong to the chosen object.")

    def _seen(self) -> list[int]:
        return self.table.seen() if self.table.isVisible() else []

    def refresh(self) -> None:
        """Show the objects as they are."""
        project = self._session.project
        objects = () if project is None else project.objects
        begun = len(objects) > 1 or any(project.prompts(o.id) for o in objects)
        self.shown.refresh(video=project is not None, begun=begun)
        self.tools.setVisible(project is not None)
        if self._session.project is None:
            self.table.show_project(None, None)
        elif self.table.state() != self.table.State.EditingState:  # or a name is lost while it is typed; see `editing_ended`
            self.table.show_project(self._session.project, self._session.current_object)

    def _listed(self, chosen: ClassList) -> None:
        self.table.classes = chosen.classes
        self.grid.show_classes(chosen.classes)
