"""The review queue: a list of spans that want eyes, worst first, and four keys to answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_sam2s.errors import Sam2sError
from napari_sam2s.masklets import Project, Review, ReviewSpan
from napari_sam2s.widgets.key_buttons import key_buttons

if TYPE_CHECKING:
    from napari_sam2s.widgets.segment import SegmentWidget

SHOWN = 500  # rows; more would not be read, and take long to draw
DELAY = 300  # milliseconds of quiet before the queue is computed anew
WORST, MILD = QColor("#e74c3c"), QColor("#f1c40f")
COLUMNS = ("", "frames", "why", "object")
SEVERITY, FRAMES, WHY, OBJECT = range(len(COLUMNS))
OBJECT_WIDTH = 90  # pixels
NOTHING = "Nothing to review: no mask is in doubt."


class ReviewPanel(QWidget):
    """Shows ``project.review()`` and calls ``accept`` and ``mark_absent``; computed in a thread of its own."""

    found = Signal(object, object)  # project, review

    def __init__(self, host: SegmentWidget) -> None:
        super().__init__()
        self._host = host
        self.review = Review(())
        self._project: Project | None = None
        self._stamp = -1  # of the masks that `review` is about
        self._filling = False
        self._jobs = ThreadPoolExecutor(1, thread_name_prefix="sam2s-review")
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY)
        self._timer.timeout.connect(self._compute)
        self.found.connect(self._show)
        self.summary = QLabel(NOTHING)
        self.summary.setWordWrap(True)
        self.summary.setToolTip(
            "An estimate from above: each span is looked at frame by frame (0.1 s each) and corrected once (5.5 s), "
            "the times of people that the SAM 2 paper assumes."
        )
        self.table = self._build_table()
        self.detail = QLabel()
        self.detail.setWordWrap(True)
        actions = (
            ("review_previous", "Shift-J", "previous span of the review queue", "Previous", self.previous),
            ("review_next", "J", "next span of the review queue", "Next", self.next),
            ("review_accept", "W", "accept the span: its masks are right", "Accept", self.accept),
            ("review_correct", "Shift-W", "correct the span: go there, click, track", "Correct", self.correct),
            ("review_absent", "Q", "mark the object absent on the span", "Absent", self.mark_absent),
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.summary)
        layout.addWidget(self.table)
        layout.addWidget(self.detail)
        layout.addWidget(key_buttons(host.keys, actions))

    def _build_table(self) -> QTableWidget:
        table = QTableWidget(0, len(COLUMNS))
        table.setHorizontalHeaderLabels(COLUMNS)
        table.verticalHeader().setVisible(False)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys go on reaching the canvas
        table.setWordWrap(False)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(WHY, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(OBJECT, QHeaderView.ResizeMode.Interactive)
        table.setColumnWidth(OBJECT, OBJECT_WIDTH)
        table.itemSelectionChanged.connect(self._selected)
        return table

    # What the host calls

    def refresh(self) -> None:
        """Compute the queue anew, once it has been quiet for a moment and nothing is tracking."""
        session = self._host.session
        if session is None:
            self._timer.stop()
            self._project, self._stamp = None, -1
            self._show(None, Review(()))
        elif not session.tracking and (session.project is not self._project or session.project.mask_stamp != self._stamp):
            self._timer.start()

    def _compute(self) -> None:
        session = self._host.session
        if session is None or session.tracking:
            return
        project = self._project = session.project
        self._stamp = project.mask_stamp

        def work() -> None:
            try:
                review = project.review()
            except Sam2sError:  # closed in the meantime
                return
            self.found.emit(project, review)

        self._jobs.submit(work)

    def shut_down(self) -> None:
        """Stop the thread."""
        self._timer.stop()
        self._jobs.shutdown(wait=True, cancel_futures=True)

    # What is shown

    def _show(self, project: Project | None, review: Review) -> None:
        if project is not self._project:
            return
        row, before = self.table.currentRow(), self.span
        self.review = review
        self.summary.setText(self._words(review))
        tabs = self._host.tabs
        tabs.setTabText(tabs.indexOf(self), f"Review ({len(review)})" if review else "Review")
        names = {} if project is None else {o.id: o for o in project.objects}
        self._filling = True
        try:
            self.table.setRowCount(min(len(review), SHOWN))
            for n, span in enumerate(review[:SHOWN]):
                known = [names[i] for i in span.objects if i in names]
                frames = f"{span.start}" if span.stop == span.start + 1 else f"{span.start}–{span.stop - 1}"
                who = ", ".join(o.name for o in known)
                texts = ("", frames, ", ".join(reason.kind for reason in span.reasons), who)
                for column, text in enumerate(texts):
                    item = QTableWidgetItem(text)
                    item.setToolTip(f"{who}: {span.text}\nseverity {span.severity:.2f}")
                    self.table.setItem(n, column, item)
                self.table.item(n, SEVERITY).setData(Qt.ItemDataRole.DecorationRole, _shade(span.severity))
                if known:
                    self.table.item(n, OBJECT).setData(Qt.ItemDataRole.DecorationRole, QColor(*known[0].colour))
            same = next((n for n, span in enumerate(review[:SHOWN]) if span == before), min(row, self.table.rowCount() - 1))
            self.table.setCurrentCell(same, FRAMES) if same >= 0 else self.table.clearSelection()
        finally:
            self._filling = False
        self.detail.setText("" if self.span is None else self._told(self.span))
        if self.span is not None and before is not None and self.span != before:
            self._go()

    @staticmethod
    def _told(span: ReviewSpan) -> str:
        return f"Frames {span.start} to {span.stop - 1}: {span.text}."

    @staticmethod
    def _words(review: Review) -> str:
        if not review:
            return NOTHING
        text = f"{len(review)} span{'s' * (len(review) != 1)} to review, about {max(1, round(review.minutes))} min"
        return text + (f" (the worst {SHOWN} are listed)" if len(review) > SHOWN else "")

    @property
    def span(self) -> ReviewSpan | None:
        """The chosen span."""
        row = self.table.currentRow()
        return self.review[row] if 0 <= row < len(self.review) else None

    # What the user does

    def _selected(self) -> None:
        if not self._filling:
            self._go()

    def _go(self) -> None:
        span = self.span
        if span is not None:
            if self._host.current_object not in span.objects:
                self._host.choose(span.objects[0])
            self._host.go_to(span.frame)
            self.detail.setText(self._told(span))
            self._host.say(self._told(span))

    def _move(self, by: int) -> None:
        rows = self.table.rowCount()
        if rows:
            row = self.table.currentRow()
            new = (0 if by > 0 else rows - 1) if row < 0 else min(max(row + by, 0), rows - 1)
            if new == row:
                self._go()
            else:
                self.table.setCurrentCell(new, FRAMES)
        else:
            self._host.say(NOTHING)

    def next(self) -> None:
        """Go to the next span."""
        self._move(1)

    def previous(self) -> None:
        """Go to the span before."""
        self._move(-1)

    def accept(self) -> None:
        """Vouch for the masks of the span; the next one takes its place."""
        span, session = self.span, self._host.session
        if span is not None and session is not None:
            session.edit(lambda project: project.accept(span))

    def mark_absent(self) -> None:
        """Say that the object is not there on the span; of two that overlap, the chosen one."""
        span, session = self.span, self._host.session
        if span is not None and session is not None:
            who = self._host.current_object if self._host.current_object in span.objects else span.objects[0]
            session.edit(lambda project: project.mark_absent(who, span.start, span.stop))

    def correct(self) -> None:
        """Go to the span's worst frame, ready to click."""
        if self.span is not None:
            self._go()
            self._host.activate_prompts()
            self._host.say(f"Click what is right, or right-click what is not; then {self._host.keys.key('track')} tracks on.")


def _shade(severity: float) -> QColor:
    """Return a colour from mild to worst."""
    a, b = MILD.getRgb(), WORST.getRgb()
    return QColor(*(round(x + severity * (y - x)) for x, y in zip(a, b, strict=True)))
