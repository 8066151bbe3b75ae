"""Rows of the review about two objects that share pixels: one is drawn in front, and keys decide who gets the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_sam2s.masklets import ReviewSpan
from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.session import Session
from napari_sam2s.wording import named_frames

if TYPE_CHECKING:
    from napari_sam2s.masklets import Project


class OverlapRows:
    """What a row about two objects that share pixels shows, asks, and does."""

    def __init__(self, session: Session, keys: Keys) -> None:
        self._session, self._keys = session, keys
        self._asked: tuple[int, int] | None = None  # the pair as the question names it

    def show(self, span: ReviewSpan | None) -> None:
        """Draw the chosen object of the two in front while a frame of the row is on show: else the other one hides it."""
        session = self._session
        chosen = None
        if span is not None and shares(span) and span.start <= session.frame < span.stop:
            if session.current_object in span.objects:
                chosen = session.current_object
            if self._asked is not None and set(self._asked) == set(span.objects) and self._asked != self.pair(span):
                session.tell(self.question(span).lstrip())  # the keys mean the other object now
        if session.layers is not None:
            session.layers.bring_to_front(chosen)

    def question(self, span: ReviewSpan) -> str:
        """Return what is asked about a row, with keys."""
        mine, other = self._asked = self.pair(span)
        key = self._keys.key
        return (
            f" {self.name(mine)} is in front. Who gets the shared pixels? {key('take_shared')}: {self.name(mine)}, "
            f"{key('give_shared')}: {self.name(other)}, {key('keep_shared')}: both. "
            f"{key('review_absent')}: {self.name(mine)} is not there."
        )

    def pair(self, span: ReviewSpan) -> tuple[int, int]:
        """Return the chosen one of the two objects, and the other."""
        chosen = self._session.current_object
        mine = chosen if chosen in span.objects else span.objects[0]
        return mine, next(i for i in span.objects if i != mine)

    def settle(self, span: ReviewSpan, decision: Literal["take", "give"]) -> str:
        """Give the shared pixels of all frames of a row to the chosen object, or to the other one; say what will be so."""
        pair = self.pair(span)
        winner, loser = pair if decision == "take" else pair[::-1]
        names = self.name(winner), self.name(loser)

        def work(project: Project) -> None:
            _, kept = project.tracks.give_shared(winner, loser, span.start, span.stop)
            if kept:
                self._session.notify(
                    f"{names[1]} keeps its mask on {named_frames(kept, 3)}: you confirmed it there, or nothing would "
                    f"be left of it. If it is not there, choose it and press {self._keys.key('review_absent')}."
                )

        self._session.edit(work)
        return f"{names[0]} gets the pixels that it shares with {names[1]}. {self._keys.key('undo')} undoes it."

    def name(self, object_id: int) -> str:
        """Return an object's name."""
        project = self._session.project
        return next((o.name for o in (project.objects if project else ()) if o.id == object_id), f"object {object_id}")


def shares(span: ReviewSpan) -> bool:
    """Return whether a row is about two objects that share pixels."""
    return span.link is None and len(span.objects) == 2
