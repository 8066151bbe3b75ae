"""Interactive protocols of SAM 2 and SAM2S: who prompts what, when, as functions over anything that tracks.

*Prompt once, track throughout* (SAM2S): each object is prompted on its first frame, by 1, 3 or 5 clicks, a box or its mask.
*Offline* and *online* rounds (SAM 2, appendix on interactive evaluation): one object, prompted on up to eight frames with three
clicks each, on the worst frame after every pass, or wherever a single pass finds it lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.clicks import next_click, prompt_first
from napari_sam2s.evaluation.region_and_boundary import boundary_f, iou
from napari_sam2s.masklets.protocol import Masklets

INTERACTED_FRAMES = 8
CLICKS_A_FRAME = 3
LOST_BELOW = 0.75  # IoU at which an online user stops and corrects
LOCATE_S, CLICK_S, EXAMINE_S_A_FRAME = 1.0, 1.5, 30 / 300  # SAM 2's model of a user's time

Mask = NDArray[np.bool_]


class Tracks(Protocol):
    """What tracks: :class:`napari_sam2s.Tracker`, or anything of the same two methods."""

    def prompt(self, object_id: int, frame: int, **prompt: Any) -> Mask:
        """Take ``points`` with ``labels``, a ``box`` or a ``mask``, and return the mask ``(Y, X)``."""

    def propagate(self, start: int | None = None, stop: int | None = None) -> Iterator[tuple[int, Mapping[int, Mask]]]:
        """Yield ``frame, {object id: (Y, X) bool}`` from frame to frame, ``start`` included."""


def first_frames(truth: Masklets) -> dict[int, int]:
    """Return the first annotated frame on which each object is to be seen; an object that never is, is left out."""
    waiting = {o.id for o in truth.objects}
    first: dict[int, int] = {}
    for t in truth.frames:
        if not waiting:
            break
        for i, mask in truth.masks(t).items():
            if i in waiting and mask.any():
                first[i] = t
                waiting.discard(i)
    return first


def track_once(tracker: Tracks, truth: Masklets, kind: str) -> Iterator[tuple[int, Mapping[int, Mask]]]:
    """Prompt every object once, on its own first frame, and yield what is tracked from there to the end.

    Parameters
    ----------
    tracker
        Without prompts so far.
    truth
        By the frames of the tracker's video. A late object is prompted on the frame on which it is first annotated.
    kind
        ``"1-click"``, ``"3-click"``, ``"5-click"``, ``"box"`` or ``"mask"``.

    Raises
    ------
    EvaluationError
        If no object is ever to be seen, or the kind is none of these.
    """
    prompt_all(tracker, truth, kind)
    yield from tracker.propagate()


def prompt_all(tracker: Tracks, truth: Masklets, kind: str) -> dict[int, int]:
    """Prompt every object on its own first frame; return these."""
    first = first_frames(truth)
    if not first:
        raise EvaluationError("The ground truth shows no object, so there is nothing to prompt.")
    for i, t in sorted(first.items()):
        prompt_first(tracker, i, t, truth.masks(t)[i], kind)
    return first


@dataclass(frozen=True)
class Round:
    """Where an interactive session stands after its ``n``-th interacted frame."""

    frames: tuple[int, ...]  # prompted so far, in their order
    jf: float  # mean over the annotated frames
    seconds: float  # of a user's time, by SAM 2's model


def offline_rounds(
    tracker: Tracks, truth: Masklets, object_id: int, *, rounds: int = INTERACTED_FRAMES, clicks: int = CLICKS_A_FRAME
) -> list[Round]:
    """Click on the first frame and propagate; then, again and again, click on the worst frame and propagate anew.

    The worst frame is the annotated one with the lowest IoU that was not prompted yet. Ends early when all are right.
    """
    first = _first(truth, object_id)
    annotated = [t for t in truth.frames if t >= first]
    masks: dict[int, Mask] = {}
    prompted: list[int] = []
    results = []
    worst: int | None = first
    while worst is not None and len(prompted) < rounds:
        _click(tracker, object_id, worst, _mask(truth, object_id, worst), masks.get(worst), clicks)
        prompted.append(worst)
        for t, found in tracker.propagate(first):
            masks[t] = found[object_id]
        scores = {t: _compare(masks[t], _mask(truth, object_id, t)) for t in annotated}
        length = annotated[-1] - first + 1
        seconds = (EXAMINE_S_A_FRAME * length + LOCATE_S + clicks * CLICK_S) * len(prompted)
        results.append(Round(tuple(prompted), _mean(scores), seconds))
        left = [t for t in annotated if t not in prompted and scores[t][0] < 1]
        worst = min(left, key=lambda t: scores[t][0], default=None)
    return results


def online_rounds(
    make_tracker: Callable[[], Tracks],
    truth: Masklets,
    object_id: int,
    *,
    rounds: int = INTERACTED_FRAMES,
    clicks: int = CLICKS_A_FRAME,
    below: float = LOST_BELOW,
) -> list[Round]:
    """Pass once through the video with 1, 2, ... ``rounds`` frames to prompt: stop where IoU is too low, click, go on.

    A correction works forward only: what was passed stays as it was. Each number of frames is a pass of its own with a new
    tracker; a number that is not used up makes those beyond it needless, and the result ends there.
    """
    results: list[Round] = []
    for budget in range(1, rounds + 1):
        prompted, scores = _online_pass(make_tracker(), truth, object_id, budget, clicks, below)
        if len(prompted) < budget:
            break
        length = max(scores) - min(scores) + 1
        seconds = EXAMINE_S_A_FRAME * length + (LOCATE_S + clicks * CLICK_S) * len(prompted)
        results.append(Round(tuple(prompted), _mean(scores), seconds))
    return results


def _online_pass(
    tracker: Tracks, truth: Masklets, object_id: int, budget: int, clicks: int, below: float
) -> tuple[list[int], dict[int, tuple[float, float]]]:
    first = _first(truth, object_id)
    annotated = {t for t in truth.frames if t >= first}
    answer = _click(tracker, object_id, first, _mask(truth, object_id, first), None, clicks)
    prompted, scores = [first], {first: _compare(answer, _mask(truth, object_id, first))}
    start: int | None = first
    while start is not None:
        begin, start = start, None
        for t, found in tracker.propagate(begin):
            if t not in annotated or t in prompted:
                continue
            true = _mask(truth, object_id, t)
            scores[t] = _compare(found[object_id], true)
            if scores[t][0] < below and len(prompted) < budget:
                answer = _click(tracker, object_id, t, true, found[object_id], clicks)
                scores[t] = _compare(answer, true)
                prompted.append(t)
                start = t
                break
    return prompted, scores


def mean_over_rounds(results: list[Round], rounds: int = INTERACTED_FRAMES) -> float:
    """Return SAM 2's figure: the mean J&F over 1 to ``rounds`` interacted frames; what was not needed counts as the last."""
    values = [r.jf for r in results[:rounds]]
    return float(np.mean([*values, *[values[-1]] * (rounds - len(values))]))


def _first(truth: Masklets, object_id: int) -> int:
    first = next((t for t in truth.frames if object_id in (m := truth.masks(t)) and m[object_id].any()), None)
    if first is None:
        raise EvaluationError(f"The ground truth never shows object {object_id}, so it cannot be prompted.")
    return first


def _mask(truth: Masklets, object_id: int, frame: int) -> Mask:
    masks = truth.masks(frame)
    if object_id in masks:
        return masks[object_id]
    shape = getattr(truth, "shape", None)
    size = shape[1:3] if shape is not None else next((m.shape for m in masks.values()), None)
    return np.zeros(size if size is not None else (1, 1), dtype=bool)


def _click(tracker: Tracks, object_id: int, frame: int, true: Mask, answer: Mask | None, clicks: int) -> Mask:
    """Click on the largest error so many times, looking at the answer after each."""
    shown = answer if answer is not None else np.zeros_like(true)
    for _ in range(clicks):
        if np.array_equal(shown, np.broadcast_to(true, shown.shape)):
            break
        point, label = next_click(np.broadcast_to(true, shown.shape), shown)
        shown = tracker.prompt(object_id, frame, points=[point], labels=[label])
    return shown


def _compare(ours: Mask, true: Mask) -> tuple[float, float]:
    true = np.broadcast_to(true, ours.shape)
    return iou(ours, true), boundary_f(ours, true)


def _mean(scores: Mapping[int, tuple[float, float]]) -> float:
    return float(np.mean(list(scores.values())))
