"""Where the parts of the widget stand: in a column that scrolls, what is always seen below it, and under the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QScrollArea, QSizePolicy, QTabWidget, QWidget

from napari_sam2s.widgets.form_parts import Part, quiet_timer, stacked

if TYPE_CHECKING:
    import napari

TIMELINE = "SAM2S timeline"
WIDTH = 400  # pixels: what the widest page needs beside a scroll bar; the rest of a laptop's screen is for the picture
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


def lay_out(widget: QWidget, *parts: Part, below: tuple[Part, ...]) -> None:
    """Put the parts below each other into a widget, with a scroll bar where it is too low for them.

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


def keep_on_screen(widget: QWidget) -> None:
    """Shrink and move the window of a widget that was just docked if it is wider than the screen then.

    Qt keeps the canvas as wide as it was and makes the window wider by the dock.
    """

    def fit() -> None:
        window = widget.window()
        screen = window.screen() if window is not None else None
        if not isinstance(window, QMainWindow) or screen is None or window.isMaximized() or window.isFullScreen():
            return
        room, frame = screen.availableGeometry(), window.frameGeometry()
        if frame.width() > room.width():
            window.resize(window.width() - frame.width() + room.width(), window.height())
        if window.frameGeometry().right() > room.right():
            window.move(max(room.left(), room.right() - window.frameGeometry().width() + 1), frame.top())

    quiet_timer(widget, 0, fit).start()  # napari is in the midst of adding it


def tab_beside_ours(widget: QWidget) -> None:
    """Put the dock of a widget behind that of another one of ours, as a tab; two above each other leave no room to either."""
    widget.setProperty(OURS, True)

    def put() -> None:
        mine, window = _dock_of(widget), widget.window()
        if mine is None or not isinstance(window, QMainWindow) or mine.isFloating():
            return
        area = window.dockWidgetArea(mine)
        for other in window.findChildren(QDockWidget):
            alike = other is not mine and window.dockWidgetArea(other) == area and not other.isFloating() and other.isVisible()
            if alike and any(child.property(OURS) for child in other.findChildren(QWidget)):
                window.tabifyDockWidget(other, mine)
                mine.raise_()
                return

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


def dock_timeline(viewer: napari.viewer.Viewer, timeline: QWidget) -> None:
    """Put the timeline under the canvas, once."""
    if timeline.parent() is None:
        viewer.window.add_dock_widget(timeline, name=TIMELINE, area="bottom", allowed_areas=["bottom", "top"])


def undock_timeline(viewer: napari.viewer.Viewer, timeline: QWidget) -> None:
    """Take it away; a viewer that was closed from a script has no window to take it from."""
    if timeline.parent() is not None and hasattr(viewer.window, "_qt_window"):
        viewer.window.remove_dock_widget(timeline)
