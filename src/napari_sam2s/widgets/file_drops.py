"""Files that are dropped on our docks are opened as if they were dropped on napari's canvas."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget


class FileDrops(QObject):
    """Hands files that are dropped on a dock to napari, which opens those alone that are dropped on its own parts.

    Parameters
    ----------
    dock
        Takes drops from now on, wherever a part of it does not want them itself.
    viewer
        The napari viewer that opens the files.
    """

    def __init__(self, dock: QWidget, viewer: Any) -> None:
        super().__init__(dock)
        self._viewer = viewer
        dock.setAcceptDrops(True)
        dock.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: Any) -> bool:
        """Take drags of files, and hand on what is dropped."""
        if event.type() not in (QEvent.Type.DragEnter, QEvent.Type.Drop) or not event.mimeData().hasUrls():
            return False
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            self._viewer.window._qt_viewer.dropEvent(event)  # sent as an event, Qt would bring it back here
        return True
