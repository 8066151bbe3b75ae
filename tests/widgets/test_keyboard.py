"""Keys that are pressed beside the canvas."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit, QSpinBox, QTableWidget, QTabWidget, QVBoxLayout, QWidget

from napari_sam2s.widgets.keyboard import KeyboardKeeper


class Pressed(QWidget):
    """A canvas that notes its keys."""

    def __init__(self):
        super().__init__()
        self.keys = []

    def keyPressEvent(self, event):
        """Note it."""
        self.keys.append(event.key())


@pytest.fixture
def panel(qtbot):
    """A page with a table, a number and a line of text, in tabs; and the canvas."""
    canvas, dock = Pressed(), QWidget()
    qtbot.addWidget(canvas)
    qtbot.addWidget(dock)
    page, tabs = QWidget(), QTabWidget(dock)
    parts = QTableWidget(2, 2), QSpinBox(), QLineEdit("ab")
    layout = QVBoxLayout(page)
    for part in parts:
        layout.addWidget(part)
    tabs.addTab(page, "Review")
    tabs.addTab(QWidget(), "Edit")
    QVBoxLayout(dock).addWidget(tabs)
    viewer = SimpleNamespace(window=SimpleNamespace(_qt_viewer=SimpleNamespace(canvas=SimpleNamespace(native=canvas))))
    dock.keeper = KeyboardKeeper(viewer, dock)
    dock.show()
    yield canvas, tabs, *parts
    dock.hide()  # so it is kept until here


@pytest.mark.parametrize("key", [Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_J])
def test_tabs_and_tables_leave_frames_and_letters_to_the_canvas(panel, key):
    canvas, tabs, table, _, _ = panel
    for part in (tabs.tabBar(), table, table.horizontalHeader()):
        QTest.keyClick(part, key)
    assert canvas.keys == [key] * 3
    assert tabs.currentIndex() == 0


def test_numbers_and_text_keep_their_arrows(panel):
    canvas, _, table, number, text = panel
    for part in (number.lineEdit(), text):
        QTest.keyClick(part, Qt.Key.Key_Left)
    QTest.keyClick(table, Qt.Key.Key_Down)
    QTest.keyClick(table, Qt.Key.Key_Left, Qt.KeyboardModifier.ControlModifier)
    assert canvas.keys == []
    assert text.cursorPosition() == 1
