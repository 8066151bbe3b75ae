"""Where the parts of the widget stand: in a column that scrolls, what is always seen below it, and under the canvas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QCoreApplication, QEvent, QEventLoop, QObject, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QMainWindow,
    QScrollArea,
    QSizePolicy,
    QTabWidget,
    QWidget,
)

from napari_sam2s.widgets.close_watcher import CloseWatcher
from napari_sam2s.widgets.form_parts import Part, quiet_timer, stacked
from napari_sam2s.widgets.settings import PLUGIN

if TYPE_CHECKING:
    import napari

TIMELINE = "SAM2S timeline"
SEGMENT, TITLE = "Segment video", "{} (SAM2S)"  # of our widget, and of its dock when it is opened from the menu
CONSOLE_HEIGHT = 190  # pixels, of whatever is shown beside the timeline: some ten lines of napari's console
WIDTH = 400  # pixels: what the widest page needs beside a scroll bar; the rest of a laptop's screen is for the picture
OPENING = "SAM2S is opening ..."
NAPARIS = ("layer controls", "layer list")  # the names of napari's docks that stand left of the picture
OURS = "napari_sam2s"  # a property of our widgets that stand in docks


class SnugTabs(QTabWidget):
    """Pages one behind the other that ask for the height of the one on show, not of the highest of them all."""

    def __init__(self) -> None:
        super().__init__()
        self.currentChanged.connect(self._fit)

    def tabInserted(self, index: int) -> None:
        """Look at the pages anew."""
        super().tabInserted(index)
        self._fit()

    def hasHeightForWidth(self) -> bool:
        """Say no: Qt would take the height that a page would like for the least it needs, and push its buttons out of sight."""
        return False

    def _fit(self, _: int = 0) -> None:
        for n in range(self.count()):
            policy = QSizePolicy.Policy.Preferred if n == self.currentIndex() else QSizePolicy.Policy.Ignored
            self.widget(n).setSizePolicy(QSizePolicy.Policy.Preferred, policy)


class _WheelScrolls(QObject):
    """Leaves the wheel to the page: a menu or a number under the pointer would change while the user scrolls past it."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Pass a turn of the wheel on to what is around, unless the part has the keyboard."""
        if event is None or event.type() != QEvent.Type.Wheel or not isinstance(watched, QWidget) or watched.hasFocus():
            return False
        event.ignore()
        return True


def lay_out(widget: QWidget, *parts: Part, below: tuple[Part, ...]) -> QScrollArea:
    """Put the parts below each other into a widget, with a scroll bar where it is too low for them; return what scrolls.

    What is ``below`` is always seen.
    """
    inside = QWidget()
    stacked(*parts, into=inside, margins=True)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QScrollArea.Shape.NoFrame)
    scroll.setWidget(inside)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    foot = QWidget()
    stacked(*below, into=foot, margins=True).setContentsMargins(9, 0, 9, 4)
    stacked((scroll, 1), foot, into=widget)
    widget.setMinimumWidth(WIDTH)
    widget.setProperty(OURS, True)
    wheel = _WheelScrolls(widget)
    for part in widget.findChildren(QWidget):
        if isinstance(part, QComboBox | QAbstractSpinBox):
            part.installEventFilter(wheel)
    return scroll


class _OnceActive(QObject):
    """Fits a window once it is first used: before that it has no title bar, and counts as lower than it is.

    It knows its window as Qt's parent only: a reference of Python's would keep a closed window in memory.
    """

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Wait for it."""
        if event is not None and event.type() == QEvent.Type.WindowActivate and watched is not None:
            watched.removeEventFilter(self)
            quiet_timer(self, 0, self._act).start()
        return False

    def _act(self) -> None:
        window = self.parent()
        if isinstance(window, QMainWindow):
            _fit(window)
        self.deleteLater()


def keep_on_screen(widget: QWidget) -> None:
    """Shrink and move the window of a widget that was just docked if it is larger than the screen then.

    Qt keeps the canvas as large as it was and makes the window larger by the dock.
    """

    def begin() -> None:
        window = widget.window()
        if isinstance(window, QMainWindow):
            _fit(window)
            if not window.isActiveWindow() and window.findChild(_OnceActive) is None:
                _OnceActive(window)

    quiet_timer(widget, 0, begin).start()  # napari is in the midst of adding it


def _fit(window: QMainWindow) -> None:
    screen = window.screen()
    if screen is None:
        return
    room = screen.availableGeometry()
    if window.minimumSizeHint().expandedTo(room.size()) != room.size():
        _share_a_column(window)
    if window.isMaximized() or window.isFullScreen():
        return
    frame = window.frameGeometry()
    wide, high = max(0, frame.width() - room.width()), max(0, frame.height() - room.height())
    if wide or high:
        window.resize(window.width() - wide, window.height() - high)
    frame = window.frameGeometry()
    left, top = min(frame.left(), room.right() - frame.width() + 1), min(frame.top(), room.bottom() - frame.height() + 1)
    if (left, top) != (frame.left(), frame.top()):
        window.move(max(room.left(), left), max(room.top(), top))


def _share_a_column(window: QMainWindow) -> None:
    """Put napari's column behind ours, as tabs: a small screen, or one whose letters are large, cannot hold both."""
    docks = [d for d in window.findChildren(QDockWidget) if d.isVisible() and not d.isFloating()]
    sides = (Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea)
    beside = [d for d in docks if window.dockWidgetArea(d) in sides]
    ours = next((d for d in beside if any(child.property(OURS) for child in d.findChildren(QWidget))), None)
    theirs = [d for d in beside if d.objectName() in NAPARIS]
    if ours is None or not theirs or theirs[0] in window.tabifiedDockWidgets(ours):
        return
    for dock in theirs:
        window.tabifyDockWidget(ours, dock)
    ours.raise_()
    layout = window.layout()
    if layout is not None:
        layout.activate()  # what it needs is less now


def tab_beside_ours(widget: QWidget, lower_than: float = math.inf) -> None:
    """Put the dock of a widget behind that of another one of ours, as a tab; two above each other leave no room to either.

    In a window that is not ``lower_than`` so many pixels there is room for both.
    """
    widget.setProperty(OURS, True)
    give_the_menus_title(widget)

    def put() -> None:
        mine, window = _dock_of(widget), widget.window()
        if mine is None or not isinstance(window, QMainWindow) or mine.isFloating() or window.height() >= lower_than:
            return
        area = window.dockWidgetArea(mine)
        for other in window.findChildren(QDockWidget):
            alike = other is not mine and window.dockWidgetArea(other) == area and not other.isFloating() and other.isVisible()
            if alike and any(child.property(OURS) for child in other.findChildren(QWidget)):
                window.tabifyDockWidget(other, mine)
                mine.raise_()
                keep_on_screen(widget)  # the window has grown for two docks above each other
                return

    quiet_timer(widget, 0, put).start()  # napari is in the midst of adding it


@contextmanager
def getting_ready(viewer: Any) -> Iterator[None]:
    """Say in the viewer's corner that the widget opens, and show it by the pointer: on a slow machine it takes seconds."""
    QGuiApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
    viewer.status = OPENING
    QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)  # the menu closes, too
    try:
        yield
    finally:
        QGuiApplication.restoreOverrideCursor()
        viewer.status = "Ready"


def open_widget(viewer: Any) -> Any:
    """Open the widget, or show the one that is open, as the menu does; return it."""
    name = TITLE.format(SEGMENT)
    if (widget := viewer.window.dock_widgets.get(name)) is None:
        with getting_ready(viewer):
            _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, SEGMENT)
    if (dock := _dock_of(widget)) is not None:
        dock.show()
        dock.raise_()
    return widget


def give_the_menus_title(widget: QWidget) -> None:
    """Title a dock as the menu does, when it was opened by ``napari -w`` or a script: napari has two names for a plugin.

    Under both, napari finds it then, where it would open a second one.
    """

    def put() -> None:
        mine: Any = _dock_of(widget)
        other = getattr(mine, "name", "")
        if not other.endswith(f" ({PLUGIN})"):
            return
        docks = mine._ref_qt_viewer().viewer.window._wrapped_dock_widgets
        mine.name = TITLE.format(other.removesuffix(f" ({PLUGIN})"))
        docks[mine.name] = mine
        mine.setWindowTitle(mine.name)
        mine.title.title.setText(mine.name)
        # Not when the dock is destroyed: PyQt6 ends in a segmentation fault where Python runs in the midst of that.
        CloseWatcher(widget, partial(docks.pop, other, None))

    quiet_timer(widget, 0, put).start()  # napari is in the midst of adding it


def take_no_more_width(widget: QWidget) -> None:
    """Give a widget's dock the width that it needs, once, when it is laid out: napari gives it half of a laptop's canvas."""

    def put() -> None:
        mine, window = _dock_of(widget), widget.window()
        if mine is not None and isinstance(window, QMainWindow) and not mine.isFloating():
            window.resizeDocks([mine], [widget.sizeHint().width()], Qt.Orientation.Horizontal)

    quiet_timer(widget, 0, put).start()  # napari is in the midst of adding it


def _dock_of(widget: QWidget) -> QDockWidget | None:
    above: Any = widget
    while above is not None and not isinstance(above, QDockWidget):
        above = above.parentWidget()
    return above


class _Neighbours(QObject):
    """Gives what is shown beside the timeline, such as napari's console, more height than that needs; and takes it back."""

    def __init__(self, timeline: QWidget, window: QMainWindow) -> None:
        super().__init__(timeline)
        self._mine, self._usual = _dock_of(timeline), 0
        here = Qt.DockWidgetArea.BottomDockWidgetArea
        for other in window.findChildren(QDockWidget):
            if other is not self._mine and window.dockWidgetArea(other) == here:
                other.visibilityChanged.connect(self._fit)

    def _fit(self, shown: bool) -> None:
        quiet_timer(self, 0, partial(self._resize, shown)).start()  # Qt is in the midst of showing it

    def _resize(self, shown: bool) -> None:
        mine, window = self._mine, None if self._mine is None else self._mine.window()
        if mine is None or not isinstance(window, QMainWindow) or mine.isFloating():
            return
        if shown and mine.height() < CONSOLE_HEIGHT:
            self._usual = self._usual or mine.sizeHint().height()
            window.resizeDocks([mine], [CONSOLE_HEIGHT], Qt.Orientation.Vertical)
        elif not shown and self._usual:
            window.resizeDocks([mine], [self._usual], Qt.Orientation.Vertical)


def dock_timeline(viewer: napari.viewer.Viewer, timeline: QWidget) -> None:
    """Put the timeline under the canvas, once."""
    if timeline.parent() is None:
        viewer.window.add_dock_widget(timeline, name=TIMELINE, area="bottom", allowed_areas=["bottom", "top"])
        keep_on_screen(timeline)
        _Neighbours(timeline, viewer.window._qt_window)


def undock_timeline(viewer: napari.viewer.Viewer, timeline: QWidget) -> None:
    """Take it away; a viewer that was closed from a script has no window to take it from."""
    if timeline.parent() is not None and hasattr(viewer.window, "_qt_window"):
        viewer.window.remove_dock_widget(timeline)
