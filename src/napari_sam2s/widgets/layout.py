"""Where the parts of the widget stand: in a column that scrolls, and the timeline under the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QScrollArea, QWidget

from napari_sam2s.widgets.form_parts import Part, stacked

if TYPE_CHECKING:
    import napari

TIMELINE = "SAM2S timeline"
MINIMUM_WIDTH = 380  # pixels


STATUS_LINES = 3


def lay_out(widget: QWidget, *parts: Part, below: QLabel) -> None:
    """Put the parts below each other into a widget, with a scroll bar where it is too low for them.

    What is ``below`` is always seen, and has its lines whether they are full or not: nothing moves when its text changes.
    """
    inside = QWidget()
    stacked(*parts, into=inside, margins=True)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QScrollArea.Shape.NoFrame)
    scroll.setWidget(inside)
    below.setContentsMargins(9, 0, 9, 4)
    below.setMinimumHeight(STATUS_LINES * below.fontMetrics().lineSpacing() + 4)
    below.setAlignment(Qt.AlignmentFlag.AlignTop)
    stacked((scroll, 1), below, into=widget)
    widget.setMinimumWidth(MINIMUM_WIDTH)


def dock_timeline(viewer: napari.viewer.Viewer, timeline: QWidget) -> None:
    """Put the timeline under the canvas, once."""
    if timeline.parent() is None:
        viewer.window.add_dock_widget(timeline, name=TIMELINE, area="bottom", allowed_areas=["bottom", "top"])


def undock_timeline(viewer: napari.viewer.Viewer, timeline: QWidget) -> None:
    """Take it away; a viewer that was closed from a script has no window to take it from."""
    if timeline.parent() is not None and hasattr(viewer.window, "_qt_window"):
        viewer.window.remove_dock_widget(timeline)
