"""A widget that lets go of everything once, however it is closed."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication, QWidget


class ClosingWidget(QWidget):
    """Calls :meth:`let_go` once: when it is closed, taken out of its dock, its window is closed, or napari quits."""

    def __init__(self) -> None:
        super().__init__()
        self._shut = False
        QApplication.instance().aboutToQuit.connect(self.shut_down)

    def let_go(self) -> None:
        """Let go of threads, files and layers; overridden."""

    def shut_down(self) -> None:
        """Let go of everything, once: the widget was closed, or its viewer was."""
        if self._shut:
            return
        self._shut = True
        QApplication.instance().aboutToQuit.disconnect(self.shut_down)
        self.let_go()

    def event(self, event: QEvent) -> bool:
        """Notice that napari took the widget out of its dock: it does not close what was in it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
        return bool(super().event(event))

    def showEvent(self, event: Any) -> None:
        """Watch the window from now on."""
        super().showEvent(event)
        if self.window() is not self:
            self.window().installEventFilter(self)

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        """Notice that the viewer's window closes; it may still refuse to."""
        if event.type() == QEvent.Type.Close and not self._shut:
            QTimer.singleShot(0, lambda: None if self._shut or watched.isVisible() else self.shut_down())
        return False

    def closeEvent(self, event: Any) -> None:
        """Let go of everything."""
        self.shut_down()
        super().closeEvent(event)
