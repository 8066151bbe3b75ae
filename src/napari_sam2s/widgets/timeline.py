"""The strip under the canvas: where every object is, and the handles of the range that is tracked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import (
    QColor,
    QFontMetricsF,
    QImage,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_sam2s.widgets.timeline_model import TimelineRow

ROW, GAP, RULER = 14, 3, 18  # pixels
# All rows together are as high as these, or as the user makes the strip, and with more objects they get thinner: a strip that
# grew with each new object would move the picture under the mouse that is about to click the next one.
USUAL_ROWS, LEAST_ROWS = 3, 2
MOST_LANES = 3  # of phases, for which it does grow: they come seldom, and names could not be read on thinner rows
LEAST_PITCH, MOST_GROWTH = 3.0, 72  # from one row to the next: the strip grows when they would be thinner, and by so much
NAMES_FROM = 11  # from one row to the next, when names are written on them
LEAST_FONT = 9  # pixels; smaller letters cannot be read
EDGE = 4  # pixels left of the first frame and right of the last: a handle at the screen's edge is not taken hold of
HANDLE = 7  # half the width of a handle, and how near the mouse takes it
DRAG = 3  # pixels that the mouse goes before a handle moves: with hours on the strip, a click beside it would lose minutes
TICKS = {"prompted": QColor("white"), "confirmed": QColor("#2ecc71"), "edited": QColor("#9b59b6")}
STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)  # seconds or frames between two marks


class Timeline(QWidget):
    """Rows of objects over the length of the video.

    A click or a drag goes to that frame; the wheel zooms around the mouse, with Shift it pans, as dragging with the middle
    button does. The two handles on the ruler bound what is tracked; double-click the ruler to take all of it.
    """

    jumped = Signal(int)
    bounds_changed = Signal(int, int)  # first frame, and the one after the last

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.frames = 1
        self.fps: float | None = None
        self.current = 0
        self.rows: Sequence[TimelineRow] = ()
        self.bounds = (0, 1)
        self.view = (0.0, 1.0)  # frames at the left and the right edge
        self._picture: QPixmap | None = None  # ruler and rows; the cursor moves over it
        self._held: str | None = None  # what the mouse moves: "cursor", "in", "out" or "view"
        self._held_at = 0.0
        self._pressed_at: float | None = None  # where, in pixels, on a handle that has not been dragged yet
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(240)
        self.setMouseTracking(True)
        self.setToolTip(
            "Where each object is. Full colour: present. Faded above: filled between tracked frames. Dashes below: the model "
            "doubts it. Faint: absent. Empty: not tracked yet.\n"
            "White ticks: prompts. Green: confirmed. Violet: painted by you. Phases have their lanes above the objects.\n"
            "Click to go there. The wheel zooms, with Shift it pans. Drag the handles to bound tracking; double-click the "
            "ruler to track all of it."
        )

    def sizeHint(self) -> QSize:
        """Return a height for all rows."""
        return QSize(480, self._height_of(USUAL_ROWS))

    def minimumSizeHint(self) -> QSize:
        """Return how low the user can make it: napari's console may want the room."""
        return QSize(240, self._height_of(LEAST_ROWS))

    def _height_of(self, rows: int) -> int:
        lanes = min(MOST_LANES, sum(row.lane for row in self.rows))
        return RULER + GAP + max((rows + lanes) * (ROW + GAP), min(MOST_GROWTH, round(LEAST_PITCH * len(self.rows))))

    @property
    def _pitch(self) -> float:
        """Pixels from the top of one row to the top of the next."""
        return min(ROW + GAP, (self.height() - RULER - GAP) / max(1, len(self.rows)))

    def show_rows(self, frames: int, rows: Sequence[TimelineRow], fps: float | None = None) -> None:
        """Draw these rows; for a video of another length, all of it."""
        if frames != self.frames:
            self.frames = max(1, frames)
            self.view, self.bounds = (0.0, float(self.frames)), (0, self.frames)
            self.bounds_changed.emit(*self.bounds)
        before = self.minimumSizeHint()
        self.rows, self.fps = rows, fps
        if self.minimumSizeHint() != before:
            self.updateGeometry()
        self._redraw()

    def set_current(self, frame: int) -> None:
        """Move the cursor."""
        if frame != self.current:
            self.current = frame
            self.update()

    def set_bounds(self, first: int, stop: int) -> None:
        """Move the handles; at least one frame stays between them."""
        first = min(max(0, first), self.frames - 1)
        stop = min(max(first + 1, stop), self.frames)
        if (first, stop) != self.bounds:
            self.bounds = (first, stop)
            self._redraw()
            self.bounds_changed.emit(first, stop)

    def mark_in(self) -> None:
        """Put the in handle at the frame on show."""
        self.set_bounds(self.current, max(self.current + 1, self.bounds[1]))

    def mark_out(self) -> None:
        """Put the out handle after the frame on show."""
        self.set_bounds(min(self.current, self.bounds[0]), self.current + 1)

    def zoom(self, factor: float, around: float) -> None:
        """Show ``factor`` times fewer frames; the one at ``around`` (a position in frames) stays where it is."""
        left, right = self.view
        span = min(max((right - left) / factor, min(20.0, self.frames)), float(self.frames))
        share = (around - left) / (right - left)
        self._set_view(around - share * span, span)

    def pan(self, frames: float) -> None:
        """Move what is shown by so many frames."""
        self._set_view(self.view[0] + frames, self.view[1] - self.view[0])

    def _set_view(self, left: float, span: float) -> None:
        left = min(max(0.0, left), self.frames - span)
        self.view = (left, left + span)
        self._redraw()

    def frame_at(self, x: float) -> int:
        """Return the frame at a horizontal position in pixels."""
        return min(self.frames - 1, max(0, int(self._position(x))))

    def _position(self, x: float) -> float:
        left, right = self.view
        return left + (x - EDGE) / max(1, self._room) * (right - left)

    def x_of(self, frame: float) -> float:
        """Return the horizontal position of a frame in pixels."""
        left, right = self.view
        return EDGE + (frame - left) / (right - left) * self._room

    @property
    def _room(self) -> int:
        """The pixels of the frames on show."""
        return self.width() - 2 * EDGE

    # Drawing

    def _redraw(self) -> None:
        self._picture = None
        self.update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draw anew at another width."""
        self._redraw()

    def changeEvent(self, event: QEvent) -> None:
        """Draw anew in another theme."""
        self._redraw()
        super().changeEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the picture, and the cursor over it."""
        if self._picture is None:
            self._picture = self._draw()
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._picture)
        painter.setPen(QPen(self.palette().text().color(), 1))
        x = int(self.x_of(self.current + 0.5))
        painter.drawLine(x, 0, x, self.height())
        self._draw_place(painter, x)
        self._draw_handles(painter)  # once more, over it: they are to be taken hold of
        painter.end()

    @property
    def place(self) -> str:
        """The frame on show and its time, in words."""
        if not self.fps:
            return f"frame {self.current}"
        seconds = self.current / self.fps
        return f"frame {self.current} · {self._mark(int(seconds))}.{int(seconds % 1 * 100):02d}"

    def _draw_place(self, painter: QPainter, x: int) -> None:
        """Write beside the cursor which frame that is, and when."""
        font = self.font()
        font.setPixelSize(RULER - 7)
        painter.setFont(font)
        width = painter.fontMetrics().horizontalAdvance(self.place) + 8
        left = self._left_of_place(x, width)
        # Marks that it would cut go whole.
        cut = [at for mark in self._marks() if (at := self._mark_place(mark)).left() < left + width and at.right() > left]
        first, last = min([left, *(at.left() for at in cut)]), max([left + width, *(at.right() for at in cut)])
        painter.fillRect(QRectF(first, 0, last - first, RULER - 4), self.palette().base().color())
        painter.drawText(QRectF(left, 0, width, RULER - 4), Qt.AlignmentFlag.AlignCenter, self.place)

    def _left_of_place(self, x: int, width: int) -> int:
        """Return where what is written beside the cursor begins: where no handle lies on it, if there is such a place."""
        first, stop = (self.x_of(t) for t in self.bounds)
        places = [x + 2, x - 2 - width, int(first) + HANDLE + 2, int(stop) + 2]
        inside = [left for left in places if left >= 0 and left + width <= self.width()]
        free = [
            p for p in inside if not any(p < b and a < p + width for a, b in ((first, first + HANDLE), (stop - HANDLE, stop)))
        ]
        return (free or inside or places)[0]

    def _draw(self) -> QPixmap:
        ratio = self.devicePixelRatioF()
        picture = QPixmap(int(self.width() * ratio), int(self.height() * ratio))
        picture.setDevicePixelRatio(ratio)
        background = self.palette().base().color()
        picture.fill(background)
        painter = QPainter(picture)
        self._draw_ruler(painter)
        pitch = self._pitch
        for n, row in enumerate(self.rows):
            top, bottom = (round(RULER + GAP + k * pitch) for k in (n, n + 1))
            top = min(top, self.height() - 1)
            self._draw_row(
                painter, row, top, max(1, bottom - top - (GAP if pitch >= ROW else pitch >= LEAST_PITCH)), background
            )
        self._draw_bounds(painter)
        painter.end()
        return picture

    def _draw_row(self, painter: QPainter, row: TimelineRow, top: int, height: int, background: QColor) -> None:
        width = max(1, self._room)
        shade = 24 if background.lightness() < 128 else -24  # a row is seen where nothing is known, too
        red, green, blue = (min(255, max(0, c + shade)) for c in (background.red(), background.green(), background.blue()))
        pixels = row.pixels(*self.view, width, (red, green, blue))
        image = QImage(pixels.tobytes(), width, pixels.shape[0], width * 4, QImage.Format.Format_RGBA8888)
        painter.drawImage(QRectF(EDGE, top, width, height), image)
        if self._pitch >= NAMES_FROM:  # on all or on none, though rows differ by a pixel
            font = self.font()
            font.setPixelSize(max(height - 3, LEAST_FONT))
            painter.setFont(font)
            box = QRectF(EDGE, top, painter.fontMetrics().horizontalAdvance(row.name) + 8, height)
            painter.fillRect(box, QColor(0, 0, 0, 150))
            painter.setPen(QColor("white"))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, row.name)
        for kind, colour in TICKS.items():
            for x in self._columns(getattr(row, kind)):
                painter.fillRect(QRectF(x, top, 2, height), colour)

    def _columns(self, frames: Sequence[int]) -> list[float]:
        """Return where ticks are drawn: at most one a pixel."""
        left, right = self.view
        shown = np.asarray(frames, dtype=float)
        shown = shown[(shown >= left) & (shown < right)]
        return [float(x) for x in np.unique(EDGE + np.floor((shown - left) / (right - left) * self._room))]

    def _draw_ruler(self, painter: QPainter) -> None:
        font = self.font()
        font.setPixelSize(RULER - 7)
        painter.setFont(font)
        painter.setPen(self.palette().text().color())
        for mark in self._marks():
            x = self.x_of(mark * (self.fps or 1.0))
            painter.drawLine(QPointF(x, RULER - 4), QPointF(x, RULER))
            painter.drawText(self._mark_place(mark).adjusted(0, 0, 70, 4), Qt.AlignmentFlag.AlignVCenter, self._mark(mark))

    def _marks(self) -> range:
        """Return the seconds, or frames, that the ruler marks."""
        left, right = (frame / (self.fps or 1.0) for frame in self.view)
        step = next((s for s in STEPS if (right - left) / s <= self.width() / 70), STEPS[-1])
        return range(int(left // step) * step, int(right) + 1, step)

    def _mark_place(self, mark: int) -> QRectF:
        """Return where a mark is written."""
        font = self.font()
        font.setPixelSize(RULER - 7)
        wide = QFontMetricsF(font).horizontalAdvance(self._mark(mark))
        return QRectF(self.x_of(mark * (self.fps or 1.0)) + HANDLE + 1, 0, wide, RULER - 4)

    def _mark(self, mark: int) -> str:
        if not self.fps:
            return str(mark)
        minutes, seconds = divmod(mark, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

    def _draw_bounds(self, painter: QPainter) -> None:
        first, stop = (self.x_of(t) for t in self.bounds)
        colour = self.palette().text().color()
        outside = QColor(colour)
        outside.setAlpha(70)
        if self.bounds != (0, self.frames):
            painter.fillRect(QRectF(0, RULER, first, self.height()), outside)
            painter.fillRect(QRectF(stop, RULER, self.width() - stop, self.height()), outside)
        self._draw_handles(painter)

    def _draw_handles(self, painter: QPainter) -> None:
        first, stop = (self.x_of(t) for t in self.bounds)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self.palette().text().color())
        for x, way in ((first, 1), (stop, -1)):
            corners = [QPointF(x, 2), QPointF(x + way * HANDLE, 2), QPointF(x, RULER - 2)]
            painter.drawPolygon(QPolygonF(corners))

    # The mouse

    def _grip(self, x: float, y: float) -> str:
        """Return what the mouse would take hold of."""
        first, stop = (self.x_of(t) for t in self.bounds)
        if y <= RULER and min(abs(x - first), abs(x - stop)) <= HANDLE + 2:
            return "in" if abs(x - first) <= abs(x - stop) else "out"
        return "cursor"

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take a handle, or go to the frame under the mouse."""
        place = event.position()
        self._held_at = self._position(place.x())
        if event.button() == Qt.MouseButton.MiddleButton:
            self._held = "view"
        elif event.button() == Qt.MouseButton.LeftButton:
            self._held = self._grip(place.x(), place.y())
            if self._held == "cursor":
                self._drag(place.x())
            else:
                self._pressed_at = place.x()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the mouse."""
        place = event.position()
        if self._pressed_at is not None and abs(place.x() - self._pressed_at) < DRAG:
            return
        self._pressed_at = None
        if self._held is not None:
            self._drag(place.x())
        elif self._grip(place.x(), place.y()) == "cursor":
            self.unsetCursor()
        else:
            self.setCursor(Qt.CursorShape.SizeHorCursor)

    def _drag(self, x: float) -> None:
        if self._held == "cursor":
            self.jumped.emit(self.frame_at(x))
        elif self._held == "in":
            self.set_bounds(min(self.frame_at(x), self.bounds[1] - 1), self.bounds[1])
        elif self._held == "out":
            self.set_bounds(self.bounds[0], self.frame_at(x) + 1)
        elif self._held == "view":
            self.pan(self._held_at - self._position(x))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go; a handle that was not dragged was in the way of a click."""
        if self._pressed_at is not None:
            self.jumped.emit(self.frame_at(self._pressed_at))
        self._held = self._pressed_at = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Take all of the video."""
        if event.position().y() <= RULER:
            self.set_bounds(0, self.frames)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom, or pan with Shift or sideways."""
        turn = event.angleDelta()
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier or abs(turn.x()) > abs(turn.y()):
            self.pan(-(turn.x() or turn.y()) / 120 * 0.1 * (self.view[1] - self.view[0]))
        else:
            self.zoom(1.25 ** (turn.y() / 120), self._position(event.position().x()))
        event.accept()
