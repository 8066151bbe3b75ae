"""A ring around what is meant, over the canvas, for a moment; and the camera goes there if it could hardly be seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QElapsedTimer, QRectF, Qt, QTimer
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari_sam2s.widgets.session import Session

SHOWN_MS, CLOSING_MS, TICK_MS = 1500, 350, 50  # how long, how long of it the ring draws in, and between two drawings
FAR, NEAR = 60.0, 7.0  # pixels from the object to the ring, at first and then
RIMS = ((QColor(0, 0, 0, 200), 7), (QColor("white"), 3))  # seen on whatever is below
SMALL, ENLARGED, MOST_ZOOM = 24.0, 48.0, 8.0  # pixels of the screen: what is smaller is brought to this size; how much at most
EDGE = 12  # pixels: what is nearer to the canvas's edge is brought to its middle


def point_out(session: Session, objects: Iterable[int], frame: int) -> None:
    """Show which objects are meant on the frame on show: the camera goes to them if need be, and a ring is drawn around each.

    No layer and no data change.
    """
    viewer, project, image = session.viewer, session.project, session.image
    if project is None or image is None or not hasattr(viewer.window, "_qt_viewer") or viewer.dims.ndisplay != 2:
        return
    native = viewer.window._qt_viewer.canvas.native
    for old in native.findChildren(_Rings):
        old.close()
    wanted = set(objects)
    boxes = [
        (e.mask.y0, e.mask.x0, e.mask.y0 + e.mask.height, e.mask.x0 + e.mask.width)
        for e in project.masks.entries(frame)
        if e.object_id in wanted and e.mask.area
    ]
    if boxes:
        shown = list(viewer.dims.displayed)
        places = [
            np.array([image.data_to_world((frame, y, x)) for y in (y0 - 0.5, y1 - 0.5) for x in (x0 - 0.5, x1 - 0.5)])[:, shown]
            for y0, x0, y1, x1 in boxes
        ]
        ends = [(frame, -0.5, -0.5), (frame, project.shape[1] - 0.5, project.shape[2] - 0.5)]
        picture = np.array([image.data_to_world(end) for end in ends])[:, shown]
        _bring_into_view(viewer, native, np.concatenate(places), picture)
        _Rings(native, session, frame, places)


def _bring_into_view(viewer: Any, native: QWidget, places: NDArray[np.float64], picture: NDArray[np.float64]) -> None:
    """Move the camera so that places ``(N, 2)`` of the world are seen, if they are outside, and closer if they are tiny.

    ``picture`` are two opposite corners of it in the world, ``(2, 2)``.
    """
    rect = _on_canvas(viewer, places)
    centre, camera = rect.center(), viewer.scene.camera
    inside = QRectF(native.rect()).adjusted(EDGE, EDGE, -EDGE, -EDGE).contains(centre)
    size = max(rect.width(), rect.height())
    if inside and size >= SMALL:
        return
    if size < SMALL:
        camera.zoom *= min(MOST_ZOOM, ENLARGED / max(size, 1.0))
    y, x = (places.min(axis=0) + places.max(axis=0)) / 2
    camera.center = (camera.center[0], float(y), float(x))
    _fill_canvas(viewer, native, picture)


def _fill_canvas(viewer: Any, native: QWidget, picture: NDArray[np.float64]) -> None:
    """Move the camera until no room is empty beside a picture that is larger than the canvas: what is around is seen then.

    ``picture`` are two opposite corners of it in the world, ``(2, 2)``. One that is smaller comes to the middle.
    """
    rect, camera = _on_canvas(viewer, picture), viewer.scene.camera
    if min(rect.width(), rect.height()) <= 0:
        return
    moves = []
    for start, size, room in ((rect.top(), rect.height(), native.height()), (rect.left(), rect.width(), native.width())):
        beside = max(start, 0.0) + min(start + size - room, 0.0)
        moves.append(beside if size >= room else start + size / 2 - room / 2)
    y, x = camera.center[-2:]
    world = np.abs(picture[1] - picture[0]) / (rect.height(), rect.width())  # of a pixel of the screen
    camera.center = (camera.center[0], float(y + moves[0] * world[0]), float(x + moves[1] * world[1]))


def _on_canvas(viewer: Any, places: NDArray[np.float64]) -> QRectF:
    """Return the rectangle that places of the world, ``(N, 2)`` as y and x, take on the canvas."""
    transform = viewer.window._qt_viewer.canvas.view.camera.transform
    at = np.array([transform.map([x, y, 0, 1])[:2] for y, x in places])
    (left, top), (right, bottom) = at.min(axis=0), at.max(axis=0)
    return QRectF(left, top, right - left, bottom - top)


class _Rings(QWidget):
    """Rings over the canvas; they end by themselves, and with the frame."""

    def __init__(self, canvas: QWidget, session: Session, frame: int, places: list[NDArray[np.float64]]) -> None:
        super().__init__(canvas)
        self._session, self._frame, self._places = session, frame, places
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setGeometry(canvas.rect())
        self._since = QElapsedTimer()
        self._since.start()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)
        self.show()

    def _tick(self) -> None:
        if self._since.elapsed() > SHOWN_MS or self._session.project is None or self._session.frame != self._frame:
            self._timer.stop()
            self.close()
        else:
            self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw them where the objects are by now, closer from moment to moment."""
        gap = NEAR + (FAR - NEAR) * max(0.0, 1 - self._since.elapsed() / CLOSING_MS)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for places in self._places:
            ring = _on_canvas(self._session.viewer, places).adjusted(-gap, -gap, gap, gap)
            for colour, width in RIMS:
                painter.setPen(QPen(colour, width))
                painter.drawRoundedRect(ring, 2 * NEAR, 2 * NEAR)
        painter.end()
