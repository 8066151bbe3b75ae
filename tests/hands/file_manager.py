"""A file manager of one file: ``python file_manager.py FILE X Y`` shows a small window there, from which FILE is dragged."""

from __future__ import annotations

import sys

from qtpy.QtCore import QMimeData, Qt, QUrl
from qtpy.QtGui import QDrag
from qtpy.QtWidgets import QApplication, QLabel


class File(QLabel):
    """A file that can be dragged."""

    def mouseMoveEvent(self, event):
        """Begin to drag it."""
        drag, data = QDrag(self), QMimeData()
        data.setUrls([QUrl.fromLocalFile(sys.argv[1])])
        drag.setMimeData(data)
        drag.exec(Qt.DropAction.CopyAction)
        self.hide()  # it stays: the data are asked for when they have been dropped


application = QApplication([])
file = File("file")
file.setWindowFlags(Qt.WindowType.FramelessWindowHint | Qt.WindowType.WindowStaysOnTopHint)
file.setGeometry(int(sys.argv[2]), int(sys.argv[3]), 60, 30)
file.show()
application.exec()
