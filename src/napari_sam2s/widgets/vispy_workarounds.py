"""Keeps the canvas from drawing out of buffers that are gone."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget


class CanvasGuard(QObject):
    """Makes a viewer's canvas the current one before a layer is removed, as long as the viewer's window lives.

    napari 0.9 then deletes what the layer was drawn with, in whatever OpenGL context is current. That is Qt's own more often
    than the canvas's, and it shares their names: the canvas goes on drawing out of what was deleted, and the driver takes the
    process down (napari#6472, napari#7345, napari#8471).
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window

    def make_current(self, event: Any = None) -> None:
        """Make the canvas's context current."""
        for canvas in self._window.findChildren(QOpenGLWidget):
            if canvas.isValid():  # it was drawn
                canvas.makeCurrent()


def guard_canvas(viewer: Any) -> None:
    """Guard the canvas of a viewer that has a window, once."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # a plugin gets a proxy, whose window Qt does not take for a window
    window = getattr(viewer.window, "_qt_window", None)
    if window is not None and window.findChild(CanvasGuard) is None:
        viewer.layers.events.removing.connect(CanvasGuard(window).make_current)
