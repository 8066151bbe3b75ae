"""Lets a widget let go of everything once, however it is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QApplication, QWidget


class CloseWatcher(QObject):
    """Calls ``let_go`` once: when a widget is closed, taken out of its dock, its window is closed, or napari quits."""

    def __init__(self, widget: QWidget, let_go: Callable[[], None]) -> None:
        super().__init__(widget)
        self._widget, self._let_go = widget, let_go
        self.closed = False
        widget.installEventFilter(self)
        QApplication.instance().aboutToQuit.connect(self.close)

    def close(self) -> None:
        """Let go of everything, once."""
        if not self.closed:
            self.closed = True
            QApplication.instance().aboutToQuit.disconnect(self.close)
            self._let_go()

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        """Notice what happens to the widget and to its window."""
        kind = event.type()
        if self.closed:
            return False
        if kind == QEvent.Type.DeferredDelete:  # napari asks while a window closes: by the time of the answer it was looked at
            self.close()
        elif watched is self._widget:
            taken_out = kind == QEvent.Type.ParentChange and self._widget.parent() is None  # napari does not close it then
            if kind == QEvent.Type.Close or taken_out:
                self.close()
            elif kind == QEvent.Type.Show and self._widget.window() is not self._widget:
                self._widget.window().installEventFilter(self)
        elif kind == QEvent.Type.Close:  # the window may still refuse to
            QTimer.singleShot(0, lambda: None if self.closed or watched.isVisible() else self.close())
        return False
