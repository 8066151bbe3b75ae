"""A widget lets go once, whichever way it goes."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QCoreApplication, Qt
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_sam2s.widgets.close_watcher import CloseWatcher


@pytest.mark.parametrize("how", ["closed", "taken out", "window closed"])
def test_it_lets_go_once(qtbot, how):
    window, widget, gone = QMainWindow(), QWidget(), []
    qtbot.addWidget(window)
    watcher = CloseWatcher(widget, lambda: gone.append(how))
    window.setCentralWidget(widget)
    window.show()
    qtbot.waitExposed(window)
    assert not gone
    {"closed": widget.close, "taken out": window.takeCentralWidget, "window closed": window.close}[how]()
    qtbot.waitUntil(lambda: watcher.closed)
    widget.close()
    window.close()
    watcher.close()
    assert gone == [how]


def test_a_window_that_asks_before_it_closes_lets_go_of_it(qtbot):
    class Asks(QMainWindow):
        def closeEvent(self, event):
            QCoreApplication.processEvents()  # as a dialog does, with the window still there
            event.accept()

    window, widget, gone = Asks(), QWidget(), []
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    CloseWatcher(widget, lambda: gone.append(1))
    window.setCentralWidget(widget)
    window.show()
    qtbot.waitExposed(window)
    window.close()
    qtbot.waitUntil(lambda: gone == [1])


def test_a_window_that_refuses_to_close_keeps_it(qtbot):
    class Stubborn(QMainWindow):
        def closeEvent(self, event):
            event.ignore()

    window, widget, gone = Stubborn(), QWidget(), []
    watcher = CloseWatcher(widget, lambda: gone.append(1))
    window.setCentralWidget(widget)
    window.show()
    qtbot.waitExposed(window)
    window.close()
    qtbot.wait(20)
    assert not gone
    watcher.close()
    window.deleteLater()
