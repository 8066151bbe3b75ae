"""Where the keyboard is: with the canvas, except while something is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractButton, QAbstractItemView, QApplication, QComboBox, QLineEdit, QSpinBox, QTabBar, QWidget

if TYPE_CHECKING:
    import napari

PLAIN = Qt.KeyboardModifier.NoModifier | Qt.KeyboardModifier.ShiftModifier


ARROWS = (Qt.Key.Key_Left, Qt.Key.Key_Right)  # which step through the frames


class KeyboardKeeper(QObject):
    """Hands letters on to the canvas that are pressed where no text is typed, and the arrows where they change no value.

    After a click on a menu, a table or a box of numbers Qt sends the keys there: a menu jumps to an entry that begins with
    the letter, and a box takes it as text. What is typed into a line of text stays there.
    """

    def __init__(self, viewer: napari.viewer.Viewer, widget: QWidget) -> None:
        super().__init__(widget)
        self._viewer = viewer
        for part in widget.findChildren(QWidget):
            if part.window() is not widget.window():
                continue  # the list of a menu: a letter finds an entry there while it is open
            numbers = isinstance(part, QLineEdit) and isinstance(part.parent(), QSpinBox)
            menu = isinstance(part, QComboBox) and not part.isEditable()
            if numbers or menu or isinstance(part, QSpinBox | QAbstractItemView | QTabBar | QAbstractButton):
                part.installEventFilter(self)
            if isinstance(part, QComboBox) and menu:
                part.activated.connect(self.give_back)

    def give_back(self, _: object = None) -> None:
        """Give the keyboard to the canvas."""
        canvas = self._canvas
        if canvas is not None:
            canvas.setFocus(Qt.FocusReason.OtherFocusReason)

    @property
    def _canvas(self) -> QWidget | None:
        window = getattr(self._viewer.window, "_qt_viewer", None)  # gone when the viewer was closed
        return None if window is None else window.canvas.native

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Pass a letter on; everything else goes where it was going."""
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return False
        letter = Qt.Key.Key_A <= event.key() <= Qt.Key.Key_Z and not event.modifiers() & ~PLAIN
        arrow = event.key() in ARROWS and not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        arrow = arrow and isinstance(watched, QAbstractItemView | QTabBar | QAbstractButton)
        canvas = self._canvas  # while a cell is edited, its editor has the keyboard and not the table
        if canvas is None or not (letter or arrow):
            return False
        self.give_back()
        QApplication.sendEvent(canvas, QKeyEvent(event.type(), event.key(), event.modifiers(), event.text()))
        return True
