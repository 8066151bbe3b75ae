"""The review queue: spans of masks that want eyes, worst first, and what a person answers to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.identity_links import Links, Question
from napari_sam2s.masklets.mask_parts import ALIKE, hidden_between, likeness
from napari_sam2s.masklets.mask_queries import MaskQueries
from napari_sam2s.masklets.mask_statistics import Series
from napari_sam2s.masklets.objects import Objects
from napari_sam2s.masklets.quality_checks import MERGE, Doubts, Kind, Thresholds
from napari_sam2s.masklets.review_cache import ReviewCache
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.track_editing import TrackEditor
from napari_sam2s.wording import counted

# A person's time, as the SAM 2 paper (appendix, interactive evaluation) counts it: to get to a frame, to look at one of 300
# frames that are watched for 30 s, to click. Three clicks correct a mask.
SECONDS_TO_FIND, SECONDS_PER_FRAME, SECONDS_TO_CLICK, CLICKS = 1.0, 0.1, 1.5, 3
LINK_SEVERITY = 0.9  # at least: who is who decides on all frames that follow


@dataclass(frozen=True)
class Reason:
    """Why a span wants eyes."""

    kind: Kind
    frame: int  # on which it is worst; of a mask that falls in two, the first in two parts
    frames: int  # how many frames have it
    severity: float  # 0 to 1
    text: str


@dataclass(frozen=True)
class ReviewSpan:
    """Frames ``start`` to ``stop - 1`` of one object, or of two that overlap, or that may be the same (a link)."""

    start: int
    stop: int
    objects: tuple[int, ...]
    severity: float  # 0 to 1
    reasons: tuple[Reason, ...]  # the worst first
    link: Question | None = None  # what is asked, if it is an uncertain link: is the first object the second?

    @property
    def frame(self) -> int:
        """The frame to look at first."""
        return self.reasons[0].frame

    @property
    def text(self) -> str:
        """The reasons in words."""
        return "; ".join(reason.text for reason in self.reasons)


@dataclass(frozen=True)
class Review(Sequence[ReviewSpan]):
    """The spans that want eyes, worst first."""

    spans: tuple[ReviewSpan, ...]

    def __len__(self) -> int:
        return len(self.spans)

    @overload
    def __getitem__(self, index: int) -> ReviewSpan: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ReviewSpan, ...]: ...
    def __getitem__(self, index: int | slice) -> ReviewSpan | tuple[ReviewSpan, ...]:
        return self.spans[index]

    @property
    def frames(self) -> int:
        """Frames to look at, all spans together."""
        return sum(span.stop - span.start for span in self.spans)

    @property
    def minutes(self) -> float:
        """What looking at all of it and correcting every span once would take, an estimate from above.

        A span takes 1 s to get to, 0.1 s a frame to look at and three clicks of 1.5 s: the times that the SAM 2 paper's
        interactive evaluation assumes for people.
        """
        each = SECONDS_TO_FIND + CLICKS * SECONDS_TO_CLICK
        return (len(self.spans) * each + self.frames * SECONDS_PER_FRAME) / 60


class Reviewer:
    """Asks what wants eyes, and takes the answers; called, it lists the spans."""

    def __init__(self, store: Store, objects: Objects, masks: MaskQueries, tracks: TrackEditor, links: Links) -> None:
        self._store, self._objects, self._masks, self._tracks, self._links = store, objects, masks, tracks, links
        self._cache = ReviewCache(self._shared, self._likeness, store.guard)
        store.when_touched.append(self._cache.touch)
        store.when_forgotten.append(self._cache.clear)

    def __call__(self, start: int = 0, stop: int | None = None, *, thresholds: Thresholds | None = None) -> Review:
        """Return the spans that want eyes between two frames, worst first.

        Doubted are: a low object score or predicted IoU, a sudden jump in area or position, flicker, a mask over most of the
        frame, one that falls in two (a division, perhaps), coming back after an absence, and two objects that claim the same
        pixels. What a person prompted, painted, imported or confirmed is not doubted; so an accepted span stays away until its
        masks change. Uncertain links (:meth:`Links.add`) come first: of each what is asked next, :attr:`ReviewSpan.link`.

        It is computed from ``project.masks.series``: the first call reads them all (seconds for a video of hours), later ones
        read and compare only what changed.
        """
        limits = thresholds or Thresholds()
        frames, height, width = self._store.shape
        start, stop = max(start, 0), frames if stop is None else min(stop, frames)

        def read() -> dict[int, Series]:
            return {o.id: self._masks.series(o.id) for o in self._objects}

        found: list[ReviewSpan] = []
        for doubts in self._cache.doubts(read, height * width, limits, (start, stop)):
            found += _spans(doubts, start, stop)
        found += [self._link_span(question) for question in self._links.questions() if start <= question.frame < stop]
        return Review(tuple(sorted(found, key=lambda s: (s.link is None, -s.severity, s.start, s.objects))))

    def _likeness(self, frame: int, object_id: int) -> float:
        """Return the area of a mask's second largest part by the largest: 0 if another object only lies across it."""
        mask = self._masks.encoded(frame, object_id)
        alike = likeness(mask)
        if mask is None or alike < ALIKE:
            return alike
        others = [entry.mask for entry in self._masks.entries(frame) if entry.object_id != object_id and entry.mask.area]
        return 0.0 if hidden_between(mask, others) else alike

    def _shared(self, frame: int, first: int, second: int) -> float:
        """Return the part of the smaller of two masks that both claim."""
        a, b = self._masks.encoded(frame, first), self._masks.encoded(frame, second)
        if a is None or b is None or not (a.area and b.area):
            return 0.0
        y0, y1 = max(a.y0, b.y0), min(a.y0 + a.height, b.y0 + b.height)
        x0, x1 = max(a.x0, b.x0), min(a.x0 + a.width, b.x0 + b.width)
        if y0 >= y1 or x0 >= x1:
            return 0.0
        both = [rle.decode_crop(m)[y0 - m.y0 : y1 - m.y0, x0 - m.x0 : x1 - m.x0] for m in (a, b)]
        return float(np.count_nonzero(both[0] & both[1])) / min(a.area, b.area)

    def _link_span(self, question: Question) -> ReviewSpan:
        names = {o.id: o.name for o in self._objects}
        text = (
            f"{names[question.object_id]}, new here, may be {names[question.candidate]} of frame {question.seen} "
            f"(overlap {question.overlap:.2f}{f', {question.others} more to ask about' if question.others else ''})"
        )
        text += f": {question.link.reason}" if question.link.reason else ""
        severity = LINK_SEVERITY + (1 - LINK_SEVERITY) * question.overlap
        reason = Reason("uncertain link", question.frame, 1, severity, text)
        objects = question.object_id, question.candidate
        return ReviewSpan(question.frame, question.frame + 1, objects, severity, (reason,), question)

    def accept(self, span: ReviewSpan) -> None:
        """Answer yes, as one step of undo, and the span leaves the queue.

        The masks of the span are right: they are confirmed, and propagation keeps them. Of a link: the two objects are the
        same, and become one, see :meth:`Links.accept`.
        """
        if span.link is not None:
            self._links.accept(span.link.link.id)
        else:
            self._tracks.confirm(span.objects, span.start, span.stop)

    def refuse(self, span: ReviewSpan) -> None:
        """Answer no to a link, as one step of undo: the two objects are not the same, see :meth:`Links.refuse`.

        Raises
        ------
        ProjectError
            If the span is not a link: masks that are wrong are corrected, or the object marked absent.
        """
        if span.link is None:
            raise ProjectError("Only a link can be refused. Correct wrong masks, or mark the object absent.")
        self._links.refuse(span.link.link.id)


_WORDS: dict[Kind, str] = {
    "whole frame": "covers {:.0%} of the frame",
    "overlap": "two objects share {:.0%} of the smaller one",
    "position jump": "jumps by {:.1f} times its size",
    "area jump": "area changes {:.1f}-fold at once",
    "low object score": "object score down to {:.1f}",
    "low predicted IoU": "predicted IoU down to {:.2f}",
    "flicker": "flickers",
    "falls in two": "in two parts, the smaller {:.2f} of the larger",
    "re-entry": "back after {:.0f} frames of absence",
}


def _spans(all_doubts: Iterable[Doubts], start: int, stop: int) -> Iterator[ReviewSpan]:
    """Join doubts about the same objects that are close in time."""
    several = [d for d in all_doubts if len(d.frames)]
    if not several:
        return
    frames = np.concatenate([d.frames for d in several])
    which = np.repeat(np.arange(len(several)), [len(d.frames) for d in several])
    severity, value = (np.concatenate([getattr(d, name) for d in several]) for name in ("severity", "value"))
    inside = (frames >= start) & (frames < stop)
    order = np.lexsort((which, frames))
    order = order[inside[order]]
    step = max(d.step for d in several)
    edges = np.flatnonzero(np.diff(frames[order]) > max(MERGE, 2 * step)) + 1
    for part in np.split(order, edges):
        if len(part):
            reasons = tuple(_reasons(several, which[part], frames[part], severity[part], value[part]))
            worst = 1 - float(np.prod([1 - r.severity for r in reasons]))
            yield ReviewSpan(int(frames[part[0]]), int(frames[part[-1]]) + 1, several[0].objects, worst, reasons)


def _reasons(
    several: Sequence[Doubts],
    which: NDArray[np.int64],
    frames: NDArray[np.int64],
    severity: NDArray[np.float64],
    value: NDArray[Any],
) -> list[Reason]:
    reasons = []
    for n in np.unique(which):
        here = np.flatnonzero(which == n)
        worst = here[np.argmax(severity[here])]
        kind, count = several[n].kind, len(here)
        shown = here[0] if kind == "falls in two" else worst  # a division is seen where it begins
        text = _WORDS[kind].format(float(value[shown]))
        if count > 1 and kind != "re-entry":
            text += f" ({counted(count, 'frame')})"
        reasons.append(Reason(kind, int(frames[shown]), count, float(severity[worst]), text))
    return sorted(reasons, key=lambda r: -r.severity)
