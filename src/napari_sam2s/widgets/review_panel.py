"""The review queue: a list of spans that want eyes, worst first, and four keys to answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QPushButton, QTableWidget, QTableWidgetItem, QWidget

from napari_sam2s.errors import Sam2sError
from napari_sam2s.masklets import Project, Review, ReviewSpan
from napari_sam2s.masklets.divisions import divide
from napari_sam2s.widgets.form_parts import menu, plain_table, quiet_timer, side_by_side, stacked, wrapped
from napari_sam2s.widgets.key_buttons import key_buttons
from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.link_view import LinkView
from napari_sam2s.widgets.overlap_rows import OverlapRows, shares
from napari_sam2s.widgets.review_spans import (
    NOTHING,
    SHOWN,
    SUMMARY_TIP,
    confirmed_in,
    fill_kinds,
    frame_of,
    frames_of,
    in_two,
    most_doubted,
    of_kind,
    row_of,
    shade,
    summary_of,
)
from napari_sam2s.widgets.session import Session
from napari_sam2s.widgets.settings import remember
from napari_sam2s.widgets.spotlight import point_out
from napari_sam2s.widgets.swatch import swatch
from napari_sam2s.wording import frames_in_words

DELAY = 300  # milliseconds of quiet before the queue is computed anew
COLUMNS = ("", "frames", "why", "object")
SEVERITY, FRAMES, WHY, OBJECT = range(len(COLUMNS))
OBJECT_WIDTH = 120  # pixels
END = "That was the last span. Again from the worst: "


class ReviewPanel(QWidget):
    """Shows ``project.review()`` and calls ``accept`` and ``mark_absent``; computed in a thread of its own."""

    found = Signal(object, object)  # project, review
    refused = Signal(str)
    divided = Signal(int, int, str)  # a daughter, the frame to track her from, and what happened
    titled = Signal(str)  # what is to be written on the panel's tab

    def __init__(self, session: Session, keys: Keys) -> None:
        super().__init__()
        self._session, self._keys = session, keys
        self.review = self._whole = Review(())  # of the chosen kind, and of all kinds
        self.project: Project | None = None  # that `review` is about, or will be in a moment
        self._stamp = -1  # of its masks
        self._filling = False
        self._answered: ReviewSpan | None = None  # the span that was answered just now: the next one is to be shown
        self._said = ""  # what became of it
        self._jobs = ThreadPoolExecutor(1, thread_name_prefix="sam2s-review")
        self._asked = 0  # queues that are computed now, or are to be shown in a moment
        self._timer = quiet_timer(self, DELAY, self._compute)
        self.found.connect(self._found)
        self.refused.connect(session.tell)
        self.divided.connect(self._divided)
        self.summary = wrapped(NOTHING, SUMMARY_TIP)
        self.kinds = menu((), "Which kinds of reasons are listed, with how many spans have each.")
        self.kinds.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the canvas keeps the keyboard
        self.kinds.currentIndexChanged.connect(self._choose_kind)
        fill_kinds(self.kinds, self.review)
        self.table = self._build_table()
        self.links = LinkView(session)
        self.overlaps = OverlapRows(session, keys)
        self.of_cells: Callable[[], bool] = lambda: True  # whether objects may divide
        self.links.taken_up.connect(self._taken_up)
        actions = (
            ("review_next", "J", "next span of the review queue", "Next", self.next),
            ("review_previous", "Shift-J", "previous span of the review queue", "Previous", self.previous),
            ("review_accept", "W", "accept the span (the masks are right) or the link (one object)", "Accept", self.accept),
            ("review_correct", "Shift-W", "correct the span: go there, click, track", "Correct", self.correct),
            ("review_absent", "Q", "mark the object absent on the span", "Absent", self.mark_absent),
            ("review_refuse", "Shift-Q", "refuse the link (two objects)", "Refuse", self.refuse),
        )
        self._buttons = key_buttons(keys, actions)
        words = "divide: make two daughters of an object in two parts"
        self._division = key_buttons(keys, (("review_divide", "Shift-D", words, "Make two daughters", self.divide),))
        self._division.setVisible(False)
        stacked(side_by_side((self.summary, 1), self.kinds), self.table, self.links, self._division, self._buttons, into=self)

    def _build_table(self) -> QTableWidget:
        made = plain_table(COLUMNS)
        made.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        made.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        made.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the canvas keeps the keyboard
        made.setWordWrap(False)
        header = made.horizontalHeader()
        header.setSectionResizeMode(WHY, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(OBJECT, QHeaderView.ResizeMode.Interactive)
        made.setColumnWidth(OBJECT, OBJECT_WIDTH)
        made.itemSelectionChanged.connect(self._selected)
        return made

    def refresh(self) -> None:
        """Compute the queue anew, once it has been quiet for a moment and nothing is tracking."""
        self.links.refresh()
        project = self._session.project
        if project is None:
            self._timer.stop()
            self.project, self._stamp = None, -1
            self._show(None, Review(()))
        elif not self._session.tracking and (project is not self.project or project.store.mask_stamp != self._stamp):
            self._timer.start()

    def _compute(self) -> None:
        project = self._session.project
        if project is None or self._session.tracking:
            return
        self.project, self._stamp = project, project.store.mask_stamp
        answers = self.links.list

        def work() -> None:
            try:
                review = project.review()
            except Sam2sError:  # closed in the meantime
                review = None
            self.found.emit(project, review)
            try:
                if answers is not None and review is not None:
                    answers.store(project)
            except Sam2sError as error:
                self.refused.emit(str(error))

        self._asked += 1
        self._jobs.submit(work)

    def _found(self, project: Project, review: Review | None) -> None:
        self._asked -= 1
        if review is not None:
            self._show(project, review)

    def shut_down(self) -> None:
        """Stop the thread."""
        self._timer.stop()
        self._jobs.shutdown(wait=True, cancel_futures=True)

    def _taken_up(self, links: int) -> None:
        key = self._keys.key("review_next")
        self._session.tell(f"Uncertain links added: {links}. Press {key} to see the first that is open.")

    # What is shown

    def _choose_kind(self) -> None:
        remember("review", kind=self.kinds.currentData() or "")
        self._show(self.project, self._whole)

    def _show(self, project: Project | None, review: Review) -> None:
        if project is not self.project:
            return
        row, before = self.table.currentRow(), self.span
        self.titled.emit(f"Review ({len(review)})" if review else "Review")
        fill_kinds(self.kinds, review)
        self._whole, self.review = review, (review := of_kind(review, self.kinds.currentData()))
        self.summary.setText(summary_of(review, len(self._whole)))
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
                self.table.item(n, SEVERITY).setIcon(swatch(shade(span.severity)))
                if known:
                    self.table.item(n, OBJECT).setIcon(swatch(QColor(*known[0].colour)))
            answered = before is not None and before == self._answered
            row = row_of(before, review[:SHOWN], min(row, self.table.rowCount() - 1) if answered else -1)
            self.table.setCurrentCell(row, FRAMES if row >= 0 else -1)  # of no row none is current, nor chosen
        finally:
            self._filling = False
        self._show_detail()
        # Only after an answer. Whoever corrects a mask changes the queue as well, and stays where the work is.
        if answered and self.span is not None and self.span != before:
            self._go(said=f"{self._said} Next: ".lstrip())

    def _show_detail(self) -> None:
        span = self.span
        link = None if span is None else span.link
        self.links.show_question(link)
        answers = {
            "review_accept": True,
            "review_correct": True,
            "review_refuse": link is not None,
            "review_absent": link is None,
        }
        for name, fits in answers.items():
            self._buttons.findChild(QPushButton, name).setEnabled(span is not None and fits)
        self._division.setVisible(in_two(span) is not None and self.of_cells())
        self.look()

    def look(self, _: object = None) -> None:
        """Show what the chosen span is about on the frame on show."""
        self.overlaps.show(self.span)

    @property
    def span(self) -> ReviewSpan | None:
        """The chosen span."""
        row = self.table.currentRow()
        return self.review[row] if 0 <= row < len(self.review) else None

    def _answer_to(self, action: str) -> ReviewSpan | None:
        """Return the chosen span if it is on show; else show it, or say how to choose one.

        Nobody answers what is yet to be seen.
        """
        session, span = self._session, self.span
        if span is not None and span == self._answered and self._behind:
            session.tell("This span is answered. The next one appears in a moment.")
            return None
        if span is None:
            session.tell(
                f"Press {self._keys.key('review_next')} first: it goes to a span." if self.review else self.summary.text()
            )
        elif session.passing or not self._on_show(span):
            self._go(said=f"Look at the masks first, then press {self._keys.key(action)} again. ")
            return None
        return span

    def _on_show(self, span: ReviewSpan) -> bool:
        """Whether a frame of the span is on show; of a link also that on which the other object was seen last."""
        frame = self._session.frame
        return span.start <= frame < span.stop or (span.link is not None and frame == span.link.seen)

    @property
    def _behind(self) -> bool:
        """Whether the queue is not yet that of the masks as they are, or are about to be."""
        worker = self._session.worker
        return worker is not None and (worker.answering or self._asked > 0 or worker.project.store.mask_stamp != self._stamp)

    # What the user does

    def _selected(self) -> None:
        if not self._filling:
            self._go()

    def _go(self, said: str = "", *, look: bool = True) -> None:
        """Go to the chosen span, point out its objects if the user is to ``look``, and say, after ``said``, what is asked."""
        span = self.span
        self._answered = self._session.correction = None
        if span is not None:
            self._session.following = False
            if self._session.current_object not in span.objects or len(span.objects) > 1:
                self._session.choose(most_doubted(self._session.project, span))
            divided = in_two(span)
            self._session.go_to(frame := frame_of(span, self.kinds.currentData()))
            if look:
                point_out(self._session, span.objects, frame)
            self._show_detail()
            keys = self._keys
            ask = f" Are they the same? {keys.key('review_accept')}: yes, {keys.key('review_refuse')}: no." if span.link else ""
            if shares(span):
                ask = self.overlaps.question(span)
            elif divided is not None:
                cells = f" If it divided, {keys.key('review_divide')} makes two daughters."
                ask = cells if self.of_cells() else " If one part is something else, right-click that part."
            self._session.tell(f"{said}{frames_of(span).capitalize()}, {self._who(span)}: {span.text}.{ask}")

    def _move(self, by: int) -> None:
        rows = self.table.rowCount()
        if rows:
            row = self.table.currentRow()
            new = (0 if by > 0 else rows - 1) if row < 0 else (row + by) % rows
            self._filling = True  # it is shown below
            self.table.setCurrentCell(new, FRAMES)
            self._filling = False
            self._go(said=END if new <= row and by > 0 else "")
        elif self._behind:  # that nothing was found before says nothing of these masks
            key = self._keys.key("review_next")
            self._session.tell(f"The masks are still being checked. Press {key} again in a moment.")
        else:
            self._session.tell(self.summary.text())

    def next(self) -> None:
        """Go to the next span."""
        self._move(1)

    def previous(self) -> None:
        """Go to the span before."""
        self._move(-1)

    def accept(self) -> None:
        """Confirm the masks of the span, or a link; the next span takes its place."""
        if (span := self._answer_to("review_accept")) is not None:
            self._answered, self._session.correction = span, None
            done = f"Confirmed: {self._who(span)} on {frames_of(span)}." if span.link is None else f"Joined: {self._who(span)}."
            self._tell(f"{done} {self._keys.key('undo')} undoes it.")
            self._session.edit(lambda project: project.review.accept(span))

    def _tell(self, said: str) -> None:
        """Say what became of a span, now and before the next one."""
        self._said = said
        self._session.tell(said)

    def decide(self, decision: Literal["take", "give", "keep"]) -> bool:
        """Decide who gets the pixels that two objects share on the span; return whether such a span is on show."""
        span = self.span
        if span is None or not shares(span) or not self._on_show(span):
            return False
        if decision == "keep":
            self.accept()
        elif self._answer_to(f"{decision}_shared") is not None:
            self._answered, self._session.correction = span, None
            self._tell(self.overlaps.settle(span, decision))
        return True

    def refuse(self) -> None:
        """Answer that the two objects of a link are not the same."""
        if (span := self._answer_to("review_refuse")) is not None:
            self._answered = span
            self._tell(f"Two objects: {self._who(span)}. {self._keys.key('undo')} undoes it.")
            self._session.edit(lambda project: project.review.refuse(span))

    def mark_absent(self) -> None:
        """Mark the object absent on the span; of two that overlap, the chosen one, at first the more doubtful one."""
        span, chosen = self._answer_to("review_absent"), self._session.current_object
        if span is not None and span.link is not None:
            self._go()  # asks again: on one frame there is nothing to mark
        elif span is not None:
            who = chosen if chosen in span.objects else most_doubted(self._session.project, span)
            name = self.overlaps.name(who)
            self._answered = span
            kept = confirmed_in(project, who, span) if (project := self._session.project) is not None else []
            but = f", but not on {frames_in_words(kept, 3)}, which you confirmed" if kept else ""
            said = self._said = f"{name} is marked absent on {frames_of(span)}{but}. {self._keys.key('undo')} undoes it."

            def mark(project: Project) -> None:
                with project.history.step(f"absent {who}"):
                    for before, after in pairwise((span.start - 1, *kept, span.stop)):
                        if after > before + 1:
                            project.tracks.mark_absent(who, before + 1, after)
                self._session.notify(said)

            self._session.edit(mark)

    def divide(self) -> None:
        """Make two daughters of the chosen object, where it is in two parts: on the span, or on the frame on show."""
        where, who = in_two(self.span), self._session.current_object
        frame = self._session.frame if where is None or self.span is None or who not in self.span.objects else where

        def work(project: Project) -> None:
            a, b, first, last = divide(project, who, frame)
            name = project.objects.get(who).name
            self.divided.emit(
                a.id,
                last,
                f"{name} is divided on frame {first}. {a.name} and {b.name} have masks up to this frame, {last}: "
                f"press {self._keys.key('track')} to track them on.",
            )

        self._session.edit(work)

    def _divided(self, daughter: int, frame: int, message: str) -> None:
        self._session.choose(daughter)
        self._session.go_to(frame)
        self._session.tell(message)

    def correct(self) -> None:
        """Go to the span's worst frame, ready to click."""
        if (span := self._answer_to("review_correct")) is not None:
            self._go(look=False)  # the camera stays where the user has it
            self._session.activate_prompts()
            key = self._keys.key("track")
            then = "to track"
            if span.link is None and span.stop - span.start > 1:  # after a single frame, what follows it is tracked again
                self._session.correction = start, stop = self._until_confirmed(span)
                then = f"to track frames {start} to {stop - 1} again, both ways"
            ask = f"Click {self.overlaps.name(self._session.current_object)}, or right-click what is not part of it."
            self._session.tell(f"{ask} Then press {key} {then}.")

    def _until_confirmed(self, span: ReviewSpan) -> tuple[int, int]:
        """Return the part of a span that tracking reaches from the frame on show: it stops where the user has confirmed."""
        project, frame = self._session.project, self._session.frame
        kept = [] if project is None else confirmed_in(project, self._session.current_object, span)
        start = max((t + 1 for t in kept if t < frame), default=span.start)
        return start, min((t for t in kept if t > frame), default=span.stop)

    def _who(self, span: ReviewSpan) -> str:
        """Name the objects of a span."""
        return " and ".join(self.overlaps.name(i) for i in span.objects)
