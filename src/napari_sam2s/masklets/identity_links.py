"""Uncertain links: an object that may be one that was there before, for a person to decide.

They come from whoever links objects over time and does not guess, such as the conversion of data sets. A link asks of one
object, new on some frame, whether it is one of its candidates; the answer is a step of undo like any other change.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.absence import forget_absence
from napari_sam2s.masklets.live_sequence import LiveSequence
from napari_sam2s.masklets.mask_queries import MaskQueries
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.track_editing import TrackEditor


@dataclass(frozen=True)
class Link:
    """Whether ``object_id``, new on ``frame``, is one of the candidates."""

    id: int
    object_id: int
    frame: int
    candidates: tuple[tuple[int, float], ...]  # object, overlap (IoU) with where it was expected, 0 to 1; the best first
    reason: str = ""
    same_as: int | None = None  # the object that it is, its own id if it is another one; ``None`` while that is open
    ruled_out: tuple[int, ...] = ()  # candidates that were refused
    source: Mapping[str, Any] = field(default_factory=dict)  # where it came from; for whoever brought it


@dataclass(frozen=True)
class Question:
    """What is asked next about an open link: whether ``object_id``, from ``frame`` on, is the same as ``candidate``."""

    link: Link
    object_id: int
    candidate: int
    listed_as: int  # the candidate's id in the link: what has been joined since is one object under several
    overlap: float  # with where the candidate was expected, 0 to 1
    seen: int  # frame on which the candidate was seen last before ``frame``; the nearest one if it was not seen before
    others: int  # further candidates

    @property
    def frame(self) -> int:
        """The frame on which the object is new."""
        return self.link.frame


class Links(LiveSequence[Link]):
    """All links, decided and open ones, in the order of their frames."""

    def __init__(self, store: Store, masks: MaskQueries, tracks: TrackEditor) -> None:
        self._store, self._masks, self._tracks = store, masks, tracks

    def read(self) -> tuple[Link, ...]:
        """Return all links, decided and open ones, in the order of their frames."""
        return tuple(_link(row) for row in self._store.rows("SELECT * FROM links ORDER BY frame, id"))

    def get(self, link_id: int) -> Link:
        """Return a link by its id."""
        rows = self._store.rows("SELECT * FROM links WHERE id = ?", (link_id,))
        if not rows:
            raise ProjectError(f"There is no link {link_id}.")
        return _link(rows[0])

    def add(
        self,
        object_id: int,
        frame: int,
        candidates: Iterable[tuple[int, float]],
        reason: str = "",
        source: Mapping[str, Any] | None = None,
    ) -> Link:
        """Keep a link for a person to decide; one step of undo.

        Parameters
        ----------
        object_id, frame
            The object, and the frame on which it is new.
        candidates
            ``(object id, overlap 0 to 1)`` of those that it may be, the best first.
        reason
            Why it is uncertain, in words.
        source
            Anything that JSON can hold, returned as it is.

        Raises
        ------
        ProjectError
            If an object or the frame does not exist, or the object is its own candidate.
        """
        ranked = [(int(i), float(v)) for i, v in candidates]
        for i, _ in ranked:
            self._tracks.check_span(frame, frame + 1, object_id, i)
        self._tracks.check_span(frame, frame + 1, object_id)
        content = json.dumps({"candidates": ranked, "reason": reason, "source": dict(source or {})})
        # Of what was undone, too: redoing brings it back under its number.
        last = "SELECT max(ifnull((SELECT max(id) FROM links), 0), ifnull((SELECT max(id) FROM links_changes), 0))"
        with self._store.step("add link") as db:
            new = 1 + int(db.execute(last).fetchone()[0])
            self._store.touch("links", [(new,)])
            values = (new, object_id, frame, content)
            db.execute("INSERT INTO links (id, object_id, frame, content) VALUES (?, ?, ?, ?)", values)
            self._store.note()
        return self.get(new)

    def questions(self) -> list[Question]:
        """Return what is open: of each undecided link its best candidate that is still possible.

        A candidate that is on one frame together with the object cannot be it, and is not asked about; nor is a link whose
        object or candidates have no masks left.
        """
        links = self.read()
        now = _joined(links)
        alive = {row[0] for row in self._store.rows("SELECT id FROM objects WHERE NOT removed")}
        asked = []
        for link in links:
            mine = now.get(link.object_id, link.object_id)
            if link.same_as is not None or mine not in alive:
                continue
            possible: dict[int, tuple[int, float]] = {}
            refused = {now.get(i, i) for i in link.ruled_out}
            for i, overlap in link.candidates:
                other = now.get(i, i)
                if other in alive and other not in refused and self._apart(mine, other):
                    possible.setdefault(other, (i, overlap))
            if possible:
                best, (listed, overlap) = next(iter(possible.items()))
                asked.append(Question(link, mine, best, listed, overlap, self._last_seen(best, link.frame), len(possible) - 1))
        return asked

    def _shown(self, object_id: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        series = self._masks.series(object_id)
        return series.frames[series.area > 0]

    def _apart(self, first: int, second: int) -> bool:
        """Whether two objects are each somewhere, and never on one frame."""
        a, b = self._shown(first), self._shown(second)
        return first != second and bool(len(a) and len(b)) and not len(np.intersect1d(a, b, assume_unique=True))

    def _last_seen(self, object_id: int, frame: int) -> int:
        shown = self._shown(object_id)
        return int(shown[max(0, int(np.searchsorted(shown, frame)) - 1)])

    def question(self, link_id: int) -> Question:
        """Return what is asked next about a link. Raises :class:`ProjectError` if nothing is."""
        for question in self.questions():
            if question.link.id == link_id:
                return question
        raise ProjectError("This link is already decided, or its objects no longer exist.")

    def accept(self, link_id: int) -> None:
        """Say that a link's object is the candidate in question: its masks become the candidate's, and it goes; one step.

        Raises :class:`ProjectError` if nothing is asked about the link, or one of the two objects is locked.
        """
        self.decide(link_id, self.question(link_id).listed_as)

    def decide(self, link_id: int, same_as: int) -> None:
        """Say which object a link's object is, without being asked: any other, which it joins, or itself; one step of undo.

        Raises :class:`ProjectError` if the link is decided, one of the objects does not exist or is locked, or the two are
        on one frame together.
        """
        link = self.get(link_id)
        if link.same_as is not None:
            raise ProjectError("This link is already decided. Undo that first, then decide again.")
        now = _joined(self)
        mine, other = (now.get(i, i) for i in (link.object_id, same_as))
        if mine == other:
            with self._store.step(f"{mine} is itself"):
                self._answer(link, same_as=same_as)
            return
        self._tracks.check_span(0, None, mine, other)
        if not self._apart(mine, other):
            raise ProjectError(f"The objects {mine} and {other} are on one frame together, so they cannot be the same object.")
        with self._store.step(f"{mine} is {other}"):
            forget_absence(self._store, mine, other)  # else moving would put it in the place of masks
            self._tracks.move(mine, other)
            self._store.touch("objects", [(mine,)])
            self._store.db.execute("UPDATE objects SET removed = 1 WHERE id = ?", (mine,))
            self._answer(link, same_as=same_as)

    def refuse(self, link_id: int) -> None:
        """Say that a link's object is not the candidate in question; without a further one it is another object. One step."""
        question = self.question(link_id)
        link, mine, other = question.link, question.object_id, question.candidate
        with self._store.step(f"{mine} is not {other}"):
            ruled_out = (*link.ruled_out, question.listed_as)
            self._answer(link, same_as=None if question.others else link.object_id, ruled_out=ruled_out)

    def _answer(self, link: Link, same_as: int | None, ruled_out: tuple[int, ...] | None = None) -> None:
        self._store.touch("links", [(link.id,)])
        self._store.db.execute(
            "UPDATE links SET same_as = ?, ruled_out = ? WHERE id = ?",
            (same_as, json.dumps(link.ruled_out if ruled_out is None else ruled_out), link.id),
        )
        self._store.note()


def _link(row: sqlite3.Row) -> Link:
    content = json.loads(row["content"])
    return Link(
        row["id"],
        row["object_id"],
        row["frame"],
        tuple((i, v) for i, v in content["candidates"]),
        content["reason"],
        row["same_as"],
        tuple(json.loads(row["ruled_out"])),
        content["source"],
    )


def _joined(links: Iterable[Link]) -> dict[int, int]:
    """Return what each joined object is now: 9 is 5 and 5 is 2, so 9 is 2."""
    direct = {link.object_id: link.same_as for link in links if link.same_as not in (None, link.object_id)}
    ends = {}
    for start in direct:
        end, steps = start, 0
        while direct.get(end) is not None and steps <= len(direct):
            end, steps = int(direct[end] or 0), steps + 1
        ends[start] = end
    return ends
