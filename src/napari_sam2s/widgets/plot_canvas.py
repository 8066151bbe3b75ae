"""Curves over time, painted: on the screen, as a picture, as SVG.

With Qt's painter, as the timeline is: matplotlib is not among what napari brings, vispy has no SVG, and pyqtgraph would be one
more dependency for lines and two axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import (
    QColor,
    QImage,
    QImageWriter,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from qtpy.QtSvg import QSvgGenerator
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import whole_file
from napari_sam2s.measurements.plot_curves import Curve

LEFT, RIGHT, TOP, BOTTOM = 88, 10, 22, 34  # pixels around the axes
TICKS = 6
CLOCK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)  # seconds between two marks
NAME_PITCH = 12  # pixels from one object's name to the next: closer ones would lie on each other
PRESENCE_PITCH = 1.4  # from one object's line to the next
DRAG = 4  # pixels that make a click a drag
SEEN = 3.0  # pixels that a line is wide at least
GONE = 40.0  # brightness that a curve keeps from its ground


@dataclass(frozen=True)
class Plot:
    """What is drawn."""

    curves: Sequence[Curve] = ()
    title: str = ""  # what the vertical axis shows, with its unit and the smoothing
    frames: int = 1
    seconds: NDArray[np.float64] | None = None  # the time of every frame
    stacked: bool = False  # each curve is 0 or 1, and has a line of its own

    def heights(self, first: float, last: float) -> tuple[float, float]:
        """Return the least and the largest value to show between two frames."""
        if self.stacked:
            return -PRESENCE_PITCH * max(len(self.curves) - 1, 0) - 0.2, 1.2
        ends = [(np.nanmin(v), np.nanmax(v)) for c in self.curves if np.isfinite(v := c.part(first, last).values).any()]
        if not ends:
            return 0.0, 1.0
        low, high = float(min(a for a, _ in ends)), float(max(b for _, b in ends))
        room = (high - low) * 0.05 or abs(high) * 0.05 or 0.5
        return low - room, high + room


def steps(low: float, high: float, count: int = TICKS) -> list[float]:
    """Return round numbers between two values."""
    rough = (high - low) / count
    if not rough > 0 or not math.isfinite(rough):
        return [low]
    size = 10.0 ** math.floor(math.log10(rough))
    size *= next(m for m in (1, 2, 5, 10) if m * size >= rough)
    return [n * size for n in range(math.ceil(low / size), math.floor(high / size) + 1)]


def clock(seconds: float) -> str:
    """Return a time as people write it."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:05.2f}".rstrip("0").rstrip(".") if rest % 1 else f"{int(rest):02}"
    return f"{hours}:{minutes:02}:{text}" if hours else f"{minutes}:{text}"


def draw(painter: QPainter, size: QSize, plot: Plot, view: tuple[float, float], ink: QColor, ground: QColor) -> None:
    """Draw axes, names and curves."""
    area = QRectF(LEFT, TOP, max(size.width() - LEFT - RIGHT, 10), max(size.height() - TOP - BOTTOM, 10))
    painter.fillRect(QRectF(0, 0, size.width(), size.height()), ground)
    low, high = plot.heights(*view)
    _draw_axes(painter, area, plot, view, (low, high), ink)
    painter.save()
    painter.setClipRect(area)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    for n, curve in enumerate(plot.curves):
        painter.setPen(QPen(_apart(QColor(*curve.colour), ground), 1.5))
        for x, y in curve.lines(*view, int(area.width())):
            shown = y - n * PRESENCE_PITCH if plot.stacked else y
            across = area.left() + (x - view[0]) / (view[1] - view[0]) * area.width()
            down = area.bottom() - (shown - low) / (high - low) * area.height()
            wide = max(area.width() / (view[1] - view[0]), SEEN)  # of a frame
            for part in _seen_alone(across, y, wide, runs=plot.stacked):
                ends = QPointF(across[part[0]] - wide / 2, down[part[0]]), QPointF(across[part[1]] + wide / 2, down[part[1]])
                painter.drawLine(*ends)
            painter.drawPolyline(QPolygonF([QPointF(a, b) for a, b in zip(across.tolist(), down.tolist(), strict=True)]))
    painter.restore()
    _draw_names(painter, area, plot, ink, ground)


def _seen_alone(
    across: NDArray[np.float64], y: NDArray[np.float64], wide: float, *, runs: bool
) -> list[tuple[np.intp, np.intp] | tuple[int, int]]:
    """Return the first and last point of what is to be drawn as wide as its frames: each presence, or a frame alone."""
    if not runs:
        return [(0, -1)] if across[-1] - across[0] < wide else []
    edges = np.diff(np.r_[False, y > 0.5, False].astype(np.int8))
    return list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True))


def _draw_axes(
    painter: QPainter, area: QRectF, plot: Plot, view: tuple[float, float], heights: tuple[float, float], ink: QColor
) -> None:
    faint = QColor(ink)
    faint.setAlphaF(0.2)
    low, high = heights
    right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
    for value in [] if plot.stacked else steps(low, high):
        y = area.bottom() - (value - low) / (high - low) * area.height()
        painter.setPen(faint)
        painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
        painter.setPen(ink)
        painter.drawText(QRectF(0, y - 8, LEFT - 6, 16), right, f"{value:.6g}")
    for frame, text in _times(plot, view):
        x = area.left() + (frame - view[0]) / (view[1] - view[0]) * area.width()
        painter.setPen(faint)
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        painter.setPen(ink)
        painter.drawText(QRectF(x - 50, area.bottom() + 2, 100, 14), Qt.AlignmentFlag.AlignCenter, text)
    painter.drawRect(area)
    unit = "frame" if plot.seconds is None else "time"
    painter.drawText(QRectF(area.left(), area.bottom() + 16, area.width(), 16), Qt.AlignmentFlag.AlignCenter, unit)


def _times(plot: Plot, view: tuple[float, float]) -> list[tuple[float, str]]:
    """Return marks of the time axis: frame, and what is written there."""
    if plot.seconds is None or len(plot.seconds) < 2:
        return [(value, f"{value:.6g}") for value in steps(*view) if value == int(value)]
    numbers = np.arange(len(plot.seconds))
    first, last = (float(np.interp(frame, numbers, plot.seconds)) for frame in view)
    step = next((s for s in CLOCK_STEPS if s >= (last - first) / TICKS), CLOCK_STEPS[-1])
    marks = (
        np.arange(math.ceil(first / step), math.floor(last / step) + 1) * step if last - first > TICKS else steps(first, last)
    )
    return [(float(np.interp(t, plot.seconds, numbers)), clock(float(t))) for t in marks]


def _draw_names(painter: QPainter, area: QRectF, plot: Plot, ink: QColor, ground: QColor) -> None:
    painter.setPen(ink)
    painter.drawText(QRectF(4, 2, area.width() + LEFT, 16), Qt.AlignmentFlag.AlignLeft, plot.title)
    metrics = painter.fontMetrics()
    x, lowest = area.right(), -math.inf
    for n, curve in enumerate(plot.curves if plot.stacked else reversed(plot.curves)):
        painter.setPen(_apart(QColor(*curve.colour), ground))
        if plot.stacked:
            low, high = plot.heights(0, 1)
            y = area.bottom() - (0.5 - n * PRESENCE_PITCH - low) / (high - low) * area.height()
            if y - lowest >= NAME_PITCH:
                name = metrics.elidedText(curve.name, Qt.TextElideMode.ElideMiddle, LEFT - 8)
                painter.drawText(QRectF(2, y - 8, LEFT - 8, 16), Qt.AlignmentFlag.AlignRight, name)
                lowest = y
            continue
        x -= metrics.horizontalAdvance(curve.name) + 12
        if x > area.left() + metrics.horizontalAdvance(plot.title):
            painter.drawText(QPointF(x, TOP - 6), curve.name)


def _apart(colour: QColor, ground: QColor) -> QColor:
    """Return a colour that can be seen on a ground."""
    if abs(_brightness(colour) - _brightness(ground)) >= GONE:
        return colour
    return colour.darker(200) if ground.lightness() > 127 else colour.lighter(200) if colour.lightness() else QColor("gray")


def _brightness(colour: QColor) -> float:
    """Return how bright a colour looks, 0 to 255: yellow as white nearly, blue nearly as black."""
    return 0.299 * colour.red() + 0.587 * colour.green() + 0.114 * colour.blue()


class PlotCanvas(QWidget):
    """A plot that follows the slider. A click goes to that frame; the wheel zooms, a drag pans, a double click shows all."""

    jumped = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = Plot()
        self.view = (0.0, 1.0)
        self.current = 0
        self._picture: QPixmap | None = None
        self._pressed: tuple[float, tuple[float, float]] | None = None
        self._dragged = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(240, 140)
        self.setToolTip("Click to go to a frame. Turn the wheel to zoom, drag to pan, double-click to see everything.")

    def show_plot(self, plot: Plot) -> None:
        """Draw a plot; of another length, all of it."""
        if plot.frames != self.plot.frames:
            self.view = (0.0, float(max(plot.frames - 1, 1)))
        self.plot = plot
        self._redraw()

    def set_current(self, frame: int) -> None:
        """Move the line that shows where the slider is; a zoomed view follows it."""
        if frame == self.current:
            return
        self.current = frame
        first, last = self.view
        if not first <= frame <= last and self._pressed is None:
            self._move_to(frame - (last - first) / 2)
        self.update()

    def save(self, path: Path) -> None:
        """Write what is shown as PNG or SVG, on white, whole or not at all.

        Raises :class:`FormatError` if it cannot be written, or the name ends otherwise.
        """
        size = QSize(max(self.width(), 800), max(self.height(), 400))
        ink, ground = QColor("black"), QColor("white")
        if path.suffix.lower() not in (".png", ".svg"):
            raise FormatError(f"{path.name} is neither a .png nor an .svg: choose one of these endings.")
        with whole_file(path) as part:
            if path.suffix.lower() == ".svg":
                generator = QSvgGenerator()
                generator.setFileName(str(part))
                generator.setSize(size)
                generator.setViewBox(QRectF(0, 0, size.width(), size.height()))
                generator.setTitle(self.plot.title)
                painter = QPainter(generator)
                draw(painter, size, self.plot, self.view, ink, ground)
                painter.end()
                written = part.is_file() and part.stat().st_size > 0
            else:
                picture = QImage(size * 2, QImage.Format.Format_RGB32)
                picture.setDevicePixelRatio(2)
                painter = QPainter(picture)
                draw(painter, size, self.plot, self.view, ink, ground)
                painter.end()
                written = QImageWriter(str(part), b"PNG").write(picture)
            if not written:
                raise FormatError(f"{path} cannot be written: choose another folder, on a disk with room.")

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the plot, and the line where the slider is."""
        if self._picture is None:
            ratio = self.devicePixelRatioF()
            self._picture = QPixmap(round(self.width() * ratio), round(self.height() * ratio))
            self._picture.setDevicePixelRatio(ratio)
            with_plot = QPainter(self._picture)
            colours = self.palette()
            draw(with_plot, self.size(), self.plot, self.view, colours.windowText().color(), colours.window().color())
            with_plot.end()
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._picture)
        x = self._across(self.current)
        if LEFT <= x <= self.width() - RIGHT:
            painter.setPen(QPen(QColor("#e67e22"), 1))
            painter.drawLine(QPointF(x, TOP), QPointF(x, self.height() - BOTTOM))
        painter.end()

    def changeEvent(self, event: QEvent) -> None:
        """Take up new colours."""
        self._redraw()
        super().changeEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draw anew."""
        self._redraw()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click or a drag."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed, self._dragged = (event.position().x(), self.view), False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Pan."""
        if self._pressed is None:
            return
        moved = event.position().x() - self._pressed[0]
        if abs(moved) > DRAG or self._dragged:
            self._dragged = True
            first, last = self._pressed[1]
            self._move_to(first - moved * (last - first) / self._across_pixels())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Go to the frame of a click."""
        if self._pressed is not None and not self._dragged and self._pressed[0] >= LEFT:
            self.jumped.emit(self.frame_at(event.position().x()))
        self._pressed = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show all of it."""
        self.view = (0.0, float(max(self.plot.frames - 1, 1)))
        self._redraw()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom around the mouse."""
        first, last = self.view
        at = first + (event.position().x() - LEFT) / self._across_pixels() * (last - first)
        share = 0.8 ** (event.angleDelta().y() / 120)
        whole = float(max(self.plot.frames - 1, 1))
        length = min(max((last - first) * share, min(10.0, whole)), whole)
        place = (at - first) / (last - first)
        self.view = (at - place * length, at - place * length + length)
        self._move_to(self.view[0])
        event.accept()

    def frame_at(self, x: float) -> int:
        """Return the frame at a pixel."""
        first, last = self.view
        frame = round(first + (x - LEFT) / self._across_pixels() * (last - first))
        return min(max(frame, 0), self.plot.frames - 1)

    def _across(self, frame: float) -> float:
        first, last = self.view
        return LEFT + (frame - first) / (last - first) * self._across_pixels()

    def _across_pixels(self) -> int:
        return max(self.width() - LEFT - RIGHT, 10)

    def _move_to(self, first: float) -> None:
        length = self.view[1] - self.view[0]
        first = min(max(first, 0.0), max(self.plot.frames - 1, 1) - length)
        self.view = (first, first + length)
        self._redraw()

    def _redraw(self) -> None:
        self._picture = None
        self.update()
