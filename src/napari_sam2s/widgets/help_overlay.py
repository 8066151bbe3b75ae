"""The help that a key shows: every key, and where to change them."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget

from napari_sam2s.widgets.keys import Keys

MOUSE = (
    ("click", "the object"),
    ("right-click or Alt-click", "what the object is not"),
    ("drag", "a box around it"),
    ("Ctrl-click", "choose the object under the pointer"),
    ("paint in 'SAM2S objects'", "correct a mask by hand"),
    ("Ctrl-Z, Ctrl-Shift-Z", "undo and redo, in the two layers"),
    ("?", "show the first steps, or put them away"),
)


class HelpOverlay(QWidget):
    """A pane over the viewer; a click, Escape or the same key closes it."""

    def __init__(self, keys: Keys, over: QWidget | None) -> None:
        super().__init__(over, Qt.WindowType.ToolTip)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        text = QLabel(
            f"<h3>SAM2S</h3>{keys.help(MOUSE)}"
            "<p>Keys work unless you are typing.<br>Change keys in Preferences &gt; Plugins &gt; SAM2S.</p>"
        )
        text.setTextFormat(Qt.TextFormat.RichText)
        self.setObjectName("keys")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setStyleSheet("#keys { border: 1px solid palette(mid); }")  # it lies on a window of the same colour
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        self.adjustSize()
        assert over is not None
        middle = over.mapToGlobal(over.rect().center())
        self.move(middle - self.rect().center())
        QApplication.instance().installEventFilter(self)  # the keyboard stays with the canvas

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        """Close with Escape, wherever the keyboard is."""
        escape = isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape
        if escape:
            self.close()
        return escape

    def closeEvent(self, event: Any) -> None:
        """Listen no more."""
        QApplication.instance().removeEventFilter(self)
        super().closeEvent(event)

    def mousePressEvent(self, event: object) -> None:
        """Close."""
        self.close()


class Help:
    """Shows the overlay over the window of a widget, and hides it."""

    def __init__(self, keys: Keys, widget: QWidget) -> None:
        self._keys, self._widget = keys, widget
        self.overlay: HelpOverlay | None = None  # while it is shown

    def toggle(self) -> None:
        """Show all keys, or hide them."""
        if self.overlay is not None:
            self.hide()
        else:
            self.overlay = HelpOverlay(self._keys, self._widget.window())
            self.overlay.destroyed.connect(self._gone)
            self.overlay.show()

    def hide(self) -> None:
        """Hide them."""
        shown, self.overlay = self.overlay, None
        if shown is not None:
            shown.close()

    def _gone(self) -> None:
        self.overlay = None
