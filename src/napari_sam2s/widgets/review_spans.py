"""Spans of the review in words, shades and counts: what its panel writes, and which kinds of them it lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QComboBox

from napari_sam2s.masklets import Project, Review, ReviewSpan
from napari_sam2s.masklets.quality_checks import Kind
from napari_sam2s.widgets.settings import remembered
from napari_sam2s.wording import counted

SHOWN = 500  # rows; more would not be read, and take long to draw
WORST, MILD = QColor("#e74c3c"), QColor("#f1c40f")
SUMMARY_TIP = (
    "An upper estimate. You look at each frame of a span (0.1 s) and correct each span once (5.5 s). "
    "The SAM 2 paper assumes these times."
)
NOTHING = "Nothing to review: no mask looks doubtful. Look through the video anyway: a wrong mask can have a high score."
DIVISION: Kind = "falls in two"
KIND_TITLES: dict[Kind, str] = {DIVISION: "divisions: falls in two"}


def fill_kinds(choice: QComboBox, review: Review) -> None:
    """List the kinds in a menu, with how many spans have each; the one that is chosen stays, also when none is left of it."""
    chosen: Kind | None = choice.currentData() if choice.count() else remembered("review", "kind", "") or None
    counts = Counter(kind for span in review for kind in sorted({reason.kind for reason in span.reasons}))
    if chosen is not None:
        counts[chosen] += 0
    choice.blockSignals(True)
    choice.clear()
    choice.addItem(f"All kinds ({len(review)})", None)
    for kind, count in counts.most_common():
        choice.addItem(f"{KIND_TITLES.get(kind, kind)} ({count})", kind)
    choice.setCurrentIndex(max(0, choice.findData(chosen)))
    choice.blockSignals(False)
    choice.setVisible(len(review) > 0)


def of_kind(review: Review, kind: Kind | None) -> Review:
    """Return the spans that have a reason of a kind; all of them for ``None``."""
    if kind is None:
        return review
    return Review(tuple(span for span in review if any(reason.kind == kind for reason in span.reasons)))


def frame_of(span: ReviewSpan, kind: Kind | None) -> int:
    """Return the frame of a span to look at: where the reason of the chosen kind is seen, or else whether it is a division."""
    frames = {reason.kind: reason.frame for reason in reversed(span.reasons)}
    return frames.get(DIVISION if kind is None else kind, span.frame)


def in_two(span: ReviewSpan | None) -> int | None:
    """Return the frame of a span on which its object has fallen in two, if it has."""
    return next((r.frame for r in span.reasons if r.kind == DIVISION), None) if span is not None else None


def frames_of(span: ReviewSpan) -> str:
    """Return which frames a span has, in words."""
    return f"frame {span.start}" if span.stop == span.start + 1 else f"frames {span.start} to {span.stop - 1}"


def row_of(span: ReviewSpan | None, review: Sequence[ReviewSpan], otherwise: int) -> int:
    """Return the row of a span in a queue that was computed anew.

    That is the span itself, or else the one about the same objects that shares most frames with it; ``otherwise`` if none does.
    """
    if span is None or span in review:
        return -1 if span is None else review.index(span)
    shared = {
        n: min(span.stop, other.stop) - max(span.start, other.start)
        for n, other in enumerate(review)
        if (other.objects, other.link) == (span.objects, span.link)
    }
    best = max(shared, key=lambda n: shared[n], default=-1)
    return best if best >= 0 and shared[best] > 0 else otherwise


def most_doubted(project: Project | None, span: ReviewSpan) -> int:
    """Return the object of a span whose masks the model doubts most; the first one if it scored none of them, or of a link."""
    if project is None or span.link is not None:
        return span.objects[0]
    scores = {i: _mean_score(project, i, span) for i in span.objects}
    return min(span.objects, key=lambda i: scores[i])


def _mean_score(project: Project, object_id: int, span: ReviewSpan) -> float:
    """Return the mean predicted IoU of an object on a span; 2 where nobody scored it."""
    series = project.masks.series(object_id)
    there = (series.frames >= span.start) & (series.frames < span.stop) & np.isfinite(series.iou)
    return float(series.iou[there].mean()) if there.any() else 2.0  # painted, say: in no doubt


def confirmed_in(project: Project, object_id: int, span: ReviewSpan) -> list[int]:
    """Return the frames of a span on which an object is seen by a mask that the user has confirmed."""
    series = project.masks.series(object_id)
    seen = series.confirmed & (series.area > 0) & (series.frames >= span.start) & (series.frames < span.stop)
    return [int(t) for t in series.frames[seen]]


def summary_of(listed: Review, others: int) -> str:
    """Return how much there is to review, of what is listed; ``others`` are of other kinds than the chosen one."""
    if not listed:
        return f"No span of this kind is left. Other kinds: {others}." if others else NOTHING
    text = f"{counted(len(listed), 'span')} to review, about {max(1, round(listed.minutes))} min"
    return text + (f" (the worst {SHOWN} are listed)" if len(listed) > SHOWN else "")


def shade(severity: float) -> QColor:
    """Return a colour from mild to worst."""
    a, b = ((colour.red(), colour.green(), colour.blue()) for colour in (MILD, WORST))
    return QColor(*(round(x + severity * (y - x)) for x, y in zip(a, b, strict=True)))
