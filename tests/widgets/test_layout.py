"""Where the docks stand: on the screen, and above each other only where there is room for two."""

from __future__ import annotations

import weakref

import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QFontInfo
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow, QScrollArea, QWidget

from napari_sam2s.widgets.form_parts import stacked, wrapped
from napari_sam2s.widgets.layout import NAPARIS, OURS, WIDTH, keep_on_screen, tab_beside_ours


@pytest.fixture
def window(qtbot):
    made = QMainWindow()
    qtbot.addWidget(made)
    made.setCentralWidget(QWidget())
    made.show()
    qtbot.waitExposed(made)
    return made


def docked(window, name):
    dock, inside = QDockWidget(name, window), QWidget()
    dock.setWidget(inside)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    inside.setProperty(OURS, True)
    return inside


def test_a_window_that_a_dock_made_too_large_is_on_the_screen_again(window, qtbot):
    room = window.screen().availableGeometry()
    window.setGeometry(room.left() + 40, room.top() + 60, room.width() + 300, room.height() + 200)
    keep_on_screen(docked(window, "main"))
    qtbot.waitUntil(lambda: room.contains(window.frameGeometry()))


def test_a_window_that_is_not_shown_yet_is_looked_at_again_when_it_has_a_title_bar(window, qtbot):
    window.hide()
    keep_on_screen(docked(window, "main"))
    qtbot.wait(20)
    room = window.screen().availableGeometry()
    window.resize(room.width() + 50, room.height() + 20)  # as by a title bar
    QApplication.sendEvent(window, QEvent(QEvent.Type.WindowActivate))
    qtbot.waitUntil(lambda: window.height() <= room.height())


@pytest.mark.parametrize(("lower_than", "tabbed"), [(5000, True), (100, False)])
def test_a_second_dock_is_a_tab_where_there_is_no_room_for_two(window, qtbot, lower_than, tabbed):
    first, second = docked(window, "main"), docked(window, "plots")
    tab_beside_ours(second, lower_than)
    qtbot.wait(30)
    assert bool(window.tabifiedDockWidgets(first.parentWidget())) is tabbed


def test_a_tab_does_not_leave_the_window_as_high_as_two_docks_were(window, qtbot):
    docked(window, "main")
    room = window.screen().availableGeometry()
    tall = docked(window, "plots")
    tall.setMinimumHeight(room.height() // 2)
    window.resize(window.width(), room.height() + 90)  # as Qt does for a dock below another one
    tab_beside_ours(tall)
    qtbot.waitUntil(lambda: window.frameGeometry().height() <= room.height())


@pytest.mark.parametrize("short_of", [-50, 50])
def test_on_a_small_screen_naparis_column_is_behind_ours(window, qtbot, short_of):
    room = window.screen().availableGeometry()
    mine, theirs = docked(window, "main"), []
    for name in NAPARIS:
        dock = QDockWidget(name, window)
        dock.setObjectName(name)
        dock.setWidget(inside := QWidget())
        inside.setMinimumSize(320, 180)
        window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock)
        theirs.append(dock)
    mine.setMinimumWidth(400)
    qtbot.wait(30)
    window.centralWidget().setMinimumWidth(room.width() - window.minimumSizeHint().width() + short_of)
    keep_on_screen(mine)
    qtbot.wait(30)
    assert window.tabifiedDockWidgets(mine.parentWidget()) == (theirs if short_of > 0 else [])
    assert room.contains(window.frameGeometry())
    assert mine.visibleRegion().boundingRect().width() == mine.width()


def test_a_window_that_waits_to_be_fitted_is_not_kept_in_memory(qtbot):
    window, widget = QMainWindow(), QWidget()
    window.setCentralWidget(widget)
    keep_on_screen(widget)
    qtbot.wait(20)  # it is not active, so it waits
    gone = weakref.ref(window)
    del window
    assert gone() is None


def test_a_message_of_five_lines_moves_nothing(window, qtbot):
    status = wrapped(lines=4)
    below = QWidget()
    page = QWidget()
    stacked(status, (below, 1), into=page)
    window.setCentralWidget(page)
    window.resize(400, 400)
    qtbot.waitUntil(lambda: status.minimumHeight() > 0 and status.width() > 300)
    words = "The model is unsure. "
    status.setText(words)
    qtbot.wait(20)
    before, size = below.y(), QFontInfo(status.font()).pixelSize()
    while status.heightForWidth(status.width()) <= status.minimumHeight() and status.styleSheet() == "":
        status.setText(status.text() + words)
    qtbot.wait(20)
    assert below.y() == before
    assert QFontInfo(status.font()).pixelSize() < size
    status.setText(words)
    assert QFontInfo(status.font()).pixelSize() == size


def test_a_long_name_of_a_project_makes_the_page_no_wider_than_its_dock(sharing_user, qtbot):
    widget = sharing_user.widget
    page = next(area.widget() for area in widget.findChildren(QScrollArea) if area.isAncestorOf(widget.picker))
    name = widget.picker.project.text()
    widget.picker.project.setText("2024-03-11_laparoscopic_cholecystectomy_part_2.mp4.sam2s")
    qtbot.wait(50)
    assert page.minimumSizeHint().width() <= WIDTH
    widget.picker.project.setText(name)
