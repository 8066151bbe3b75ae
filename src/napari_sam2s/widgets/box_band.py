"""The rubber band: the box that is being dragged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPoint, QRect
from qtpy.QtWidgets import QRubberBand

if TYPE_CHECKING:
    import napari


class BoxBand:
    """A rubber band over the canvas of a viewer."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self.band: QRubberBand | None = None

    def show(self, start: tuple[float, float], now: tuple[float, float] | None) -> None:
        """Draw it between two places ``(x, y)`` in pixels of the canvas, or hide it."""
        if now is None:
            if self.band is not None:
                self.band.hide()
            return
        if self.band is None:
            self.band = QRubberBand(QRubberBand.Shape.Rectangle, self._viewer.window._qt_viewer.canvas.native)
        corners = (QPoint(round(x), round(y)) for x, y in (start, now))
        self.band.setGeometry(QRect(*corners).normalized())
        self.band.show()

    def close(self) -> None:
        """Take it away."""
        band, self.band = self.band, None
        if band is not None:
            band.hide()
            band.deleteLater()
