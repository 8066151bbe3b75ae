"""The table of objects: colour, name, class, presence, locked, visible."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from qtpy.QtCore import QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QComboBox,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Object, Project
from napari_sam2s.widgets.object_pictures import HEIGHT, WIDTH, ObjectPicture, picture_icon
from napari_sam2s.widgets.swatch import swatch
from napari_sam2s.wording import counted

COLUMNS = ("", "name", "class", "frames", "lock", "show")
DOUBTFUL = "#8a8f98"  # a class that the model suggests and nobody confirmed
# Probability from which a class is suggested. There is no class for "none of these": below this, nuclei were called hooks.
SURE = 0.8
UNNAMED = re.compile(r"object \d+")  # as a project names objects
TELLING_FRAMES = 10  # on which an object must have been seen for that: one picture shows little of what it is
SWATCH, NAME, CLASS, FRAMES, LOCK, SHOW = range(len(COLUMNS))
TIPS = {
    SWATCH: "The colour of its masks. Double-click to choose another.",
    NAME: "Double-click to rename.",
    LOCK: "Ticked: its masks are locked. Tracking, the brush and clicks do not change them.",
    SHOW: "Ticked: its masks are shown.",
}
_READ_ONLY = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable


@dataclass(frozen=True)
class Cell:
    """What a cell shows."""

    text: str
    tip: str
    colour: tuple[int, int, int] | None = None
    data: int | None = None
    checked: bool | None = None  # ``None`` without a box
    editable: bool = True
    doubtful: bool = False
    picture: ObjectPicture | None = None

    def item(self) -> QTableWidgetItem:
        """Return it for the table."""
        item = QTableWidgetItem(self.text)
        item.setToolTip(self.tip)
        if self.colour is not None:
            colour = QColor(*self.colour)
            item.setIcon(swatch(colour) if self.picture is None else picture_icon(self.picture, colour))
        if self.data is not None:
            item.setData(Qt.ItemDataRole.UserRole, self.data)
        if self.doubtful:
            item.setForeground(QColor(DOUBTFUL))
        if self.checked is not None:
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if self.checked else Qt.CheckState.Unchecked)
        elif not self.editable:
            item.setFlags(_READ_ONLY)
        return item


def give_class(project: Project, object_id: int, class_name: str) -> None:
    """Say what an object is; one that has no name of its own is called so, too: "grasper", "grasper 2"."""
    with project.history.step("set class"):
        project.objects.set_class(object_id, class_name or None)
        if class_name and UNNAMED.fullmatch(project.objects.get(object_id).name):
            taken = {o.name for o in project.objects}
            names = (class_name if n == 1 else f"{class_name} {n}" for n in count(1))
            project.objects.rename(object_id, next(name for name in names if name not in taken))


class NameDelegate(QStyledItemDelegate):
    """Shows the number at the end of a name that is too long: of "nuclei 1" to "nuclei 63" it is what tells them apart."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Leave out the middle of such a name."""
        super().initStyleOption(option, index)
        if str(index.data() or "")[-1:].isdigit():
            option.textElideMode = Qt.TextElideMode.ElideMiddle


class ClassEditor(QStyledItemDelegate):
    """Edits a class in place: a list to choose from, or anything typed."""

    def __init__(self, table: ObjectTable) -> None:
        super().__init__(table)
        self._table = table

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: QModelIndex) -> QWidget:
        """Return the list, the model's own suggestion first."""
        editor = QComboBox(parent)
        editor.setEditable(True)
        editor.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        editor.addItems(self._table.choices(index.row()))
        editor.activated.connect(lambda _: self._done(editor))
        return editor

    def setEditorData(self, editor: QWidget, index: QModelIndex) -> None:
        """Begin with what is there."""
        assert isinstance(editor, QComboBox)
        editor.setEditText(str(index.data() or "").rstrip("?"))
        editor.lineEdit().selectAll()

    def setModelData(self, editor: QWidget, model: object, index: QModelIndex) -> None:
        """Take over what was chosen or typed."""
        assert isinstance(editor, QComboBox)
        self._table.item(index.row(), CLASS).setText(editor.currentText().strip())

    def _done(self, editor: QComboBox) -> None:
        self.commitData.emit(editor)
        self.closeEditor.emit(editor)


class ObjectTable(QTableWidget):
    """Shows the objects of a project and edits them."""

    chosen = Signal(int)  # id of the object that clicks belong to
    edited = Signal()
    refused = Signal(str)
    editing_ended = Signal()  # of a cell

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self._project: Project | None = None
        self._filling = False
        self._cells: dict[tuple[int, int], Cell] = {}  # what is shown: to set a cell anew lays out the table anew
        self.classes: Sequence[str] = ()  # to choose from
        self.pictures: Mapping[int, ObjectPicture] = {}  # by object id
        self.setIconSize(QSize(WIDTH, HEIGHT))
        self.setHorizontalHeaderLabels(COLUMNS)
        self.verticalHeader().setVisible(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setItemDelegateForColumn(NAME, NameDelegate(self))
        self.setItemDelegateForColumn(CLASS, ClassEditor(self))
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        for column in (NAME, CLASS):
            self.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setHighlightSections(False)  # or its text grows bold where a cell is chosen
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)  # the tooltip has all of it
        # Not by any key: a shortcut pressed after a row was clicked would overwrite the name.
        triggers = QAbstractItemView.EditTrigger
        self.setEditTriggers(triggers.DoubleClicked | triggers.EditKeyPressed)
        # In napari's dark theme Qt draws the border of an empty box in the colour of what is around it.
        self.setStyleSheet("QTableView::indicator:unchecked { border: 1px solid #8a8f98; width: 11px; height: 11px; }")
        self.setMinimumWidth(340)
        self.setToolTip("Double-click a name or a class to change it. The chosen object receives the clicks.")
        self.itemSelectionChanged.connect(self._choose)
        self.itemChanged.connect(self._edit)
        self.cellDoubleClicked.connect(self._double_clicked)

    def show_project(self, project: Project | None, current: int | None) -> None:
        """Fill the table."""
        self._project = project
        self._filling = True
        try:
            objects = project.objects if project is not None else ()
            if len(objects) != self.rowCount():
                self.setRowCount(len(objects))
                self._cells = {at: cell for at, cell in self._cells.items() if at[0] < len(objects)}
            for row, o in enumerate(objects):
                self._fill(row, o)
                if o.id == current and row != self.currentRow():
                    self.selectRow(row)
        finally:
            self._filling = False

    def closeEditor(self, editor: QWidget, hint: QStyledItemDelegate.EndEditHint) -> None:
        """Qt's: what changed elsewhere while a cell was edited can be shown now."""
        super().closeEditor(editor, hint)
        self.editing_ended.emit()

    def _fill(self, row: int, o: Object) -> None:
        assert self._project is not None
        series, length = self._project.masks.series(o.id), self._project.shape[0]
        shown = int(np.count_nonzero(series.area))
        filled = int(np.count_nonzero(series.area[series.of("interpolated")]))
        tip = f"Shown on {shown} of {counted(length, 'frame')}, {100 * shown / length:.0f} %."
        tip += (
            f" {counted(filled, 'of these masks was', 'of these masks were')} filled in between tracked frames."
            if filled
            else ""
        )
        kind, kind_tip, guessed = o.class_name or "", "Double-click to choose a class from the list below, or type one.", False
        guess = self._guess(o.id)
        if guess is not None:
            kind_tip = f"The model suggests {guess[0]} ({100 * guess[1]:.0f} %). Double-click to choose."
            if o.class_name is None and guess[1] >= SURE and shown >= TELLING_FRAMES and self._speaks():
                kind, guessed = f"{guess[0]}?", True
        cells = (
            Cell("", TIPS[SWATCH], colour=o.colour, data=o.id, editable=False, picture=self.pictures.get(o.id)),
            Cell(o.name, f"{o.name}\n{TIPS[NAME]}"),
            Cell(kind, f"{o.class_name}\n{kind_tip}" if o.class_name else kind_tip, doubtful=guessed),
            Cell(f"{shown}, {filled} filled" if filled else f"{shown}", tip, editable=False),
            Cell("", TIPS[LOCK], checked=o.locked),
            Cell("", TIPS[SHOW], checked=o.visible),
        )
        for column, cell in enumerate(cells):
            if self._cells.get((row, column)) != cell:
                self._cells[row, column] = cell
                self.setItem(row, column, cell.item())

    def _guess(self, object_id: int) -> tuple[str, float] | None:
        """Return the class that the model suggests, with its probability, if it is in the list.

        The model knows surgery alone, and has no class for "none of these": a nucleus would be a hook.
        """
        guess = self._project.masks.suggested_class(object_id) if self._project is not None else None
        return guess if guess is not None and guess[0] in self.classes else None

    def _speaks(self) -> bool:
        """Whether the user works with classes of the list."""
        return self._project is not None and any(o.class_name in self.classes for o in self._project.objects)

    def show_pictures(self) -> None:
        """Show the pictures that are new, and nothing else anew."""
        self._filling = True
        try:
            for row in range(self.rowCount()):
                cell, picture = self._cells.get((row, SWATCH)), self.pictures.get(self.object_of(row))
                if cell is not None and cell.picture != picture:
                    self._cells[row, SWATCH] = shown = replace(cell, picture=picture)
                    self.setItem(row, SWATCH, shown.item())
        finally:
            self._filling = False

    def seen(self) -> list[int]:
        """Return the ids of the objects whose rows are on show."""
        if not self.rowCount():
            return []
        last = self.rowAt(self.viewport().height() - 1)
        return [self.object_of(n) for n in range(max(0, self.rowAt(0)), (self.rowCount() if last < 0 else last + 1))]

    def object_of(self, row: int) -> int:
        """Return the id of a row's object."""
        return int(self.item(row, SWATCH).data(Qt.ItemDataRole.UserRole))

    def choices(self, row: int) -> list[str]:
        """Return the classes to choose from for a row: what the model takes it for, then the list, then what is in use."""
        if self._project is None:
            return []
        guess = self._guess(self.object_of(row))
        used = [o.class_name for o in self._project.objects if o.class_name]
        return list(dict.fromkeys([*([guess[0]] if guess else []), *self.classes, *used]))

    def move_chosen(self, by: int) -> None:
        """Move the chosen object up (-1) or down (1) the list; the lower ones cover the higher."""
        row = self.currentRow()
        if self._project is None or not (0 <= row < self.rowCount() and 0 <= row + by < self.rowCount()):
            return
        order = [self.object_of(n) for n in range(self.rowCount())]
        order.insert(row + by, order.pop(row))
        self._do(lambda project: project.objects.reorder(order))

    def set_colour(self, row: int, colour: QColor) -> None:
        """Give a row's object a colour."""
        rgb = colour.red(), colour.green(), colour.blue()
        self._do(lambda project: project.objects.set_colour(self.object_of(row), rgb))

    def _double_clicked(self, row: int, column: int) -> None:
        if column == SWATCH and self._project is not None:
            now = QColor(*self._project.objects.get(self.object_of(row)).colour)
            chosen = QColorDialog.getColor(now, self, "Colour")
            if chosen.isValid():
                self.set_colour(row, chosen)

    def _choose(self) -> None:
        rows = {index.row() for index in self.selectedIndexes()}
        if not self._filling and rows:
            self.chosen.emit(self.object_of(min(rows)))

    def _edit(self, item: QTableWidgetItem) -> None:
        if self._filling or self._project is None:
            return
        self._cells.pop((item.row(), item.column()), None)  # whatever becomes of it, it is shown anew
        i = self.object_of(item.row())
        checked = item.checkState() == Qt.CheckState.Checked
        if item.column() == NAME:
            self._do(lambda project: project.objects.rename(i, item.text()))
        elif item.column() == CLASS:
            self._do(lambda project: give_class(project, i, item.text().strip().rstrip("?")))
        elif item.column() == LOCK:
            self._do(lambda project: project.objects.set_flags(i, locked=checked))
        elif item.column() == SHOW:
            self._do(lambda project: project.objects.set_flags(i, visible=checked))

    def _do(self, change) -> None:  # type: ignore[no-untyped-def]
        try:
            change(self._project)
        except ProjectError as error:
            self.refused.emit(str(error))
        self.edited.emit()
