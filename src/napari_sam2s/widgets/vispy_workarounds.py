"""Keeps the canvas from drawing out of buffers that are gone."""

from __future__ import annotations

from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget
from vispy.gloo import gl

MOST_ATTRIBUTES = 16  # that OpenGL promises to have


def forget_vertex_arrays(window: QWidget | None) -> None:
    """Disable the vertex attributes of every canvas in a window, and draw it; what is drawn enables its own.

    vispy never disables those of a visual that is gone. A driver then reads out of its deleted buffers at the next draw, and
    takes the process down (napari#6472, napari#7345, napari#8471): seen here when two layers are removed without a draw in
    between.
    """
    for canvas in window.findChildren(QOpenGLWidget) if window is not None else ():
        if not canvas.isValid():
            continue  # never drawn
        canvas.makeCurrent()
        for index in range(MOST_ATTRIBUTES):
            gl.glDisableVertexAttribArray(index)
        canvas.doneCurrent()
        # Drawn at once, because the attributes alone are not all: where three layers went before the next draw, or two and
        # another video came, it took the process down nevertheless. No draw that merely comes soon helps, this one does.
        canvas.grabFramebuffer()
