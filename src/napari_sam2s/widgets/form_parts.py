"""The parts that forms are made of: buttons and menus with tooltips, rows, columns, tables, and timers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QFontInfo, QPaintEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QBoxLayout,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLayout,
    QPushButton,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QTableWidget,
    QVBoxLayout,
    QWidget,
)

REMARK = " · "  # what follows it in an entry of a menu may be left out while the menu is closed
MANY_PIXELS = 10_000  # wider than any line
SMALLER = (0.92, 0.85, 0.78, 0.7)  # of the font, for what is too long
Part = QWidget | QLayout | tuple[QWidget | QLayout, int]  # with how much of the room it takes


def button(text: str, action: Callable[[], Any], tip: str, focus: Qt.FocusPolicy = Qt.FocusPolicy.TabFocus) -> QPushButton:
    """Return a button with a tooltip, that leaves the keyboard to the canvas when it is clicked."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setFocusPolicy(focus)
    made.clicked.connect(lambda _checked=False: action())
    return made


def buttons(*descriptions: tuple[str, Callable[[], Any], str]) -> QHBoxLayout:
    """Return buttons side by side: text, action, tooltip. They take no focus at all."""
    return side_by_side(*(button(*description, focus=Qt.FocusPolicy.NoFocus) for description in descriptions))


class _Menu(QComboBox):
    """A drop-down menu that shows where its text does not fit: Qt cuts it off in the midst of a letter."""

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw it as Qt does, with an ellipsis."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        complex_, field = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(complex_, option, field, self).width()
        room -= 0 if option.currentIcon.isNull() else option.iconSize.width() + 8
        if option.fontMetrics.horizontalAdvance(option.currentText) > room:  # a remark goes first, whole
            option.currentText = option.currentText.partition(REMARK)[0]
        option.currentText = option.fontMetrics.elidedText(option.currentText, Qt.TextElideMode.ElideRight, room)
        painter.drawComplexControl(complex_, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def menu(items: Iterable[str], tip: str) -> QComboBox:
    """Return a drop-down menu with a tooltip."""
    made = _Menu()
    made.addItems(list(items))
    made.setToolTip(tip)
    return made


class ShortenedLabel(QLabel):
    """A line that is shortened in the middle where there is no room for it: a label of Qt makes the whole page wider."""

    def minimumSizeHint(self) -> QSize:
        """Ask for no width."""
        return QSize(0, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw what fits."""
        line = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideMiddle, self.contentsRect().width())
        painter, side = QStylePainter(self), int(self.alignment().value)
        painter.drawItemText(self.contentsRect(), side, self.palette(), self.isEnabled(), line, self.foregroundRole())


def wrapped(text: str = "", tip: str = "", lines: int = 0) -> Lines:
    """Return a label of as many lines as it needs; it takes the height of ``lines`` also when it has fewer."""
    made = Lines(text, lines)
    made.setTextFormat(Qt.TextFormat.PlainText)  # it may hold names
    made.setWordWrap(True)
    made.setToolTip(tip)
    if lines:
        made.setAlignment(Qt.AlignmentFlag.AlignTop)
    return made


class Lines(QLabel):
    """A label that is never lower than some lines of the font that it has by now: napari's theme comes after it is made.

    What needs more lines is written smaller: a label that grew would move the buttons above it.
    """

    def __init__(self, text: str, lines: int) -> None:
        super().__init__(text)
        self._lines, self._fitting = lines, False

    def setText(self, text: str | None) -> None:
        """Show a text."""
        super().setText(text or "")
        self._fit()

    def resizeEvent(self, event: Any) -> None:
        """Fit the text into another width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if not self._lines or not self.minimumHeight() or self._fitting:
            return
        self._fitting = True
        if self.styleSheet():
            self.setStyleSheet("")
        full = QFontInfo(self.font()).pixelSize()
        for share in SMALLER:
            if self.heightForWidth(self.width()) <= self.minimumHeight():
                break
            self.setStyleSheet(f"QLabel {{ font-size: {round(share * full)}px }}")
        self._fitting = False

    def event(self, event: Any) -> bool:
        """Look at the font whenever it may be another."""
        handled = super().event(event)
        if (
            self._lines
            and not self._fitting
            and event.type() in (QEvent.Type.Polish, QEvent.Type.FontChange, QEvent.Type.StyleChange)
        ):
            self.setMinimumHeight(self._height_of_lines())
        return handled

    def keep(self, lines: int) -> None:
        """Keep room for so many lines from now on."""
        if lines != self._lines:
            self._lines = lines
            self.setMinimumHeight(self._height_of_lines())
            self._fit()

    def _height_of_lines(self) -> int:
        """Measure the lines as they are laid out, which takes more than the font's own metrics say."""
        text = self.text()
        self.setMinimumHeight(0)  # nothing is fitted meanwhile
        super().setText("\n".join("x" * self._lines))
        height = self.heightForWidth(MANY_PIXELS)
        super().setText(text)
        return height

    def sizeHint(self) -> QSize:
        """Return the height at the width it has: Qt's own is that of a narrower label, which moves what is above by a line."""
        hint = super().sizeHint()
        return QSize(hint.width(), max(self.minimumHeight(), self.heightForWidth(self.width()))) if self._lines else hint


def plain_table(columns: Sequence[str], tip: str = "") -> QTableWidget:
    """Return an empty table to read and to choose rows of."""
    made = QTableWidget(0, len(columns))
    made.setHorizontalHeaderLabels(list(columns))
    made.verticalHeader().setVisible(False)
    made.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    made.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    made.horizontalHeader().setHighlightSections(False)  # or its text grows bold where a cell is chosen
    made.setToolTip(tip)
    return made


def side_by_side(*parts: Part) -> QHBoxLayout:
    """Return parts side by side."""
    line = QHBoxLayout()
    _fill(line, parts)
    return line


def stacked(*parts: Part, into: QWidget, margins: bool = False) -> QVBoxLayout:
    """Put parts below each other into a widget."""
    layout = QVBoxLayout(into)
    if not margins:
        layout.setContentsMargins(0, 0, 0, 0)
    _fill(layout, parts)
    return layout


def _fill(layout: QBoxLayout, parts: Iterable[Part]) -> None:
    for part in parts:
        thing, room = part if isinstance(part, tuple) else (part, 0)
        if isinstance(thing, QLayout):
            layout.addLayout(thing, room)
        else:
            layout.addWidget(thing, room)


def quiet_timer(owner: QObject, milliseconds: int, action: Callable[[], Any]) -> QTimer:
    """Return a timer that acts once it has not been started again for so long."""
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(action)
    return timer
