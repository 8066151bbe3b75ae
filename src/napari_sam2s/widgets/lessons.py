"""What a beginner sees in place of an empty table: how to get a video, then three steps with pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF, QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QStackedWidget, QWidget

from napari_sam2s.widgets.form_parts import button, side_by_side, stacked, wrapped
from napari_sam2s.widgets.recent_projects import recent_projects
from napari_sam2s.widgets.settings import remember, remembered

TISSUE, THING, MASK, SURE = (QColor(c) for c in ("#8c3b3b", "#b9bec7", "#e69f00", "#e69f00"))
PICTURE = QSize(120, 62)  # pixels


class StepPicture(QWidget):
    """A small drawing of a step: ``click``, ``track`` or ``look``."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return its size."""
        return PICTURE

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.translate((self.width() - PICTURE.width()) / 2, 0)
        getattr(self, f"_draw_{self._step}")(painter)
        painter.end()

    def _draw_frame(self, painter: QPainter, x: float, y: float, width: float, thing: QColor) -> None:
        height = width * 0.6
        painter.setPen(QPen(self.palette().text().color(), 1))
        painter.setBrush(TISSUE)
        painter.drawRect(QRectF(x, y, width, height))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(thing)
        painter.drawEllipse(QRectF(x + 0.3 * width, y + 0.22 * height, 0.42 * width, 0.5 * height))

    def _draw_click(self, painter: QPainter) -> None:
        self._draw_frame(painter, 15, 4, 90, THING)
        tip = QPointF(62, 30)
        outline = ((0, 0), (0, 17), (4, 13), (8, 20), (11, 18), (7, 12), (12, 12))
        arrow = [tip + QPointF(x, y) for x, y in outline]
        painter.setPen(QPen(QColor("black"), 1))
        painter.setBrush(QColor("white"))
        painter.drawPolygon(QPolygonF(arrow))

    def _draw_track(self, painter: QPainter) -> None:
        for n in range(3):
            self._draw_frame(painter, 22 + 14 * n, 2 + 7 * n, 66, MASK)

    def _draw_look(self, painter: QPainter) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        for row, doubts in enumerate(((0.55, 0.2), (0.2, 0.1), (0.8, 0.08))):
            y = 8 + 17 * row
            painter.setBrush(SURE)
            painter.drawRect(QRectF(6, y, 108, 11))
            left, wide = round(6 + 108 * doubts[0]), round(108 * doubts[1])  # dashes, as in the timeline
            for n, x in enumerate(range(left, left + wide, 3)):
                painter.fillRect(x, y + 6, 3, 5, QColor("black" if n % 2 else "white"))
        painter.setPen(QPen(self.palette().text().color(), 1))
        painter.drawLine(72, 2, 72, 60)


class Lessons(QWidget):
    """The page: without a video how to get one, with one what to do."""

    wants_video = Signal()
    wants_sample = Signal(str)  # its key
    wants_project = Signal(str)  # its path
    done = Signal()

    def __init__(self, key: Callable[[str], str]) -> None:
        super().__init__()
        self._key = key
        self.opening, self.steps = QWidget(), QWidget()
        for page, fill in ((self.opening, self._fill_opening), (self.steps, self._fill_steps)):
            fill(page)
        self._pages = QStackedWidget()
        self._pages.addWidget(self.opening)
        self._pages.addWidget(self.steps)
        stacked(self._pages, into=self)

    def _fill_opening(self, page: QWidget) -> None:
        text = wrapped("Drop a video file, an image stack or a folder of images on napari. Or start with one of these.")
        first = button("Open a video ...", self.wants_video.emit, "Choose a video file.")
        samples = side_by_side(
            button("Sample: surgery", lambda: self.wants_sample.emit("short"), "Six seconds of drawn laparoscopy."),
            button("Sample: cells", lambda: self.wants_sample.emit("cells"), "A time-lapse of drawn nuclei that divide."),
        )
        self._earlier = QWidget()
        self._below = stacked(into=self._earlier)
        stacked(text, first, samples, self._earlier, into=page).addStretch()

    def _show_earlier(self) -> None:
        """Offer the projects that were open last."""
        while (item := self._below.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.deleteLater()
        for path in recent_projects():
            open_it = button(f"Continue {path.name}", partial(self.wants_project.emit, str(path)), str(path))
            self._below.addWidget(open_it)

    def _fill_steps(self, page: QWidget) -> None:
        columns = []
        for picture, words in (
            ("click", "1. Click an object. Right-click to leave something out."),
            ("track", f"2. Press {self._key('track')} to track it through the video."),
            ("look", f"3. Press {self._key('review_next')} to see doubtful masks, {self._key('new_object')} for a new object."),
        ):
            column = QWidget()
            text = wrapped(words)
            text.setAlignment(Qt.AlignmentFlag.AlignTop)
            stacked(StepPicture(picture), text, into=column).addStretch()
            columns.append((column, 1))
        close = button("Close", self.done.emit, "Show the table of objects. Press ? to see these steps again.")
        stacked(side_by_side(*columns), close, into=page).addStretch()

    def show_for(self, *, video: bool) -> None:
        """Show what fits: with a video the steps, without one how to get one."""
        if not video:
            self._show_earlier()
        self._pages.setCurrentWidget(self.steps if video else self.opening)


class LessonsOr(QStackedWidget):
    """The lessons, or in their place what they are about."""

    def __init__(self, lessons: Lessons, otherwise: QWidget) -> None:
        super().__init__()
        self.lessons, self._otherwise = lessons, otherwise
        self._asked = False  # the user wants to see them
        self._closed = False  # not again in this session
        self.addWidget(lessons)
        self.addWidget(otherwise)
        lessons.done.connect(self.close_lessons)

    def refresh(self, *, video: bool, begun: bool) -> None:
        """Show the lessons where they are of use: without a video, and until a first object is clicked by a beginner."""
        beginner = not begun and not self._closed and not bool(remembered("lessons", "learned", False))
        self.lessons.show_for(video=video)
        self.setCurrentWidget(self.lessons if self._asked or not video or beginner else self._otherwise)

    def toggle(self) -> None:
        """Show the lessons, or put them away."""
        self._asked = self.currentWidget() is not self.lessons
        self._closed = not self._asked
        self.setCurrentWidget(self.lessons if self._asked else self._otherwise)

    def close_lessons(self) -> None:
        """Put them away."""
        self._asked, self._closed = False, True
        self.setCurrentWidget(self._otherwise)

    def sizeHint(self) -> QSize:
        """Return that of the page on show."""
        shown: Any = self.currentWidget()
        return shown.sizeHint()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Ask for another height at another width: a layout keeps the one that it was told first."""
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self.updateGeometry()

    def minimumSizeHint(self) -> QSize:
        """Return that of the page on show; of text, the height at the width it has, or it is cut off."""
        shown: Any = self.currentWidget()
        hint = shown.minimumSizeHint()
        if shown.hasHeightForWidth():
            hint.setHeight(max(hint.height(), shown.heightForWidth(self.width())))
        return QSize(hint)


def learned() -> None:
    """Remember that a first run came to its end: the lessons do not come by themselves any more."""
    remember("lessons", learned=True)
