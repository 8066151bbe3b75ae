"""Which masks want eyes: what can be told from scores, areas, boxes and presence, without looking at a picture.

A *doubt* is one frame of one object (or of two, for an overlap) with one reason. Frames that a person vouched for (prompted,
painted, imported, confirmed) are never doubted; they still serve as neighbours of those that are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets.mask_parts import ALIKE
from napari_sam2s.masklets.mask_statistics import ORIGINS, Series
from napari_sam2s.masklets.span_states import LOW_SCORE

LOOSE = 0.9  # of the most that an object ever does: how much of its box a mask in two parts fills at most
MERGE = 12  # frames: doubts about the same objects that are closer than this belong together

Kind = Literal[
    "whole frame",
    "overlap",
    "position jump",
    "area jump",
    "low object score",
    "low predicted IoU",
    "flicker",
    "re-entry",
    "uncertain link",
    "falls in two",
]


# By origin: whether a person saw the mask.
SEEN = np.array([origin in ("prompted", "painted", "imported") for origin in ORIGINS])


@dataclass(frozen=True)
class Thresholds:
    """From when on a mask is doubted."""

    object_score: float = 1.0  # logit: 0 is the model's border between visible and absent
    iou: float = LOW_SCORE  # predicted
    whole_frame: float = 0.75  # of the frame's pixels
    area_ratio: float = 2.0  # of two neighbouring frames
    distance: float = 1.0  # between box centres of neighbouring frames, in the object's own size (root of its box)
    outlier: float = 6.0  # and a jump is this many times what is usual (the median) for that object
    small: int = 50  # pixels: an object smaller on both frames does not jump, and shares no pixels
    flicker: int = 5  # frames: shorter presences and absences flicker
    absence: int = 25  # frames: coming back after a longer absence is a re-entry
    re_entry: int = 10  # frames to look at after it
    shared: float = 0.3  # of the smaller of two masks
    alike: float = ALIKE  # the smaller part of a mask by the larger
    lasting: int = 2  # frames on which it is in two parts
    checks: int = 200  # counted out in pixels: parts of an object, overlaps of boxes; of more frames, every nth


@dataclass(frozen=True)
class Doubts:
    """Doubts of one kind about one object, or a pair: frames ascending, with severities in [0, 1] and the value behind."""

    kind: Kind
    objects: tuple[int, ...]
    frames: NDArray[np.int64]
    severity: NDArray[np.float64]
    value: NDArray[np.float64]
    step: int  # frames between two neighbours that were looked at


def vouched(series: Series) -> NDArray[np.bool_]:
    """Return which masks a person saw, ``(N,)``: prompted, painted or imported ones, and those that are confirmed."""
    seen: NDArray[np.bool_] = SEEN[series.origin]
    return seen | series.confirmed


def doubts_of(object_id: int, series: Series, pixels: int, limits: Thresholds) -> Iterator[Doubts]:
    """Yield the doubts about one object.

    Parameters
    ----------
    object_id, series
        The object, and what is known of it.
    pixels
        Of a frame.
    """
    frames = series.frames
    if not len(frames):
        return
    step = max(1, int(np.median(np.diff(frames)))) if len(frames) > 1 else 1
    shown, open_ = series.area > 0, ~vouched(series)

    def found(flags: Flags) -> Doubts:
        kind, where, severity, value = flags
        at = np.flatnonzero(where & open_)
        worth = value[at].astype(float)
        worst = np.broadcast_to(np.clip(severity(worth), 0.05, 0.95), worth.shape)
        return Doubts(kind, (object_id,), frames[at], worst, worth, step)

    # Comparisons with NaN (no score) are False: what no model judged is not doubted for its score.
    score, iou = series.object_score, series.iou
    yield found(("whole frame", series.area >= limits.whole_frame * pixels, lambda _: 0.95, series.area / pixels))
    low = shown & (score < limits.object_score)
    yield found(("low object score", low, lambda v: 0.3 + 0.5 * (1 - v / limits.object_score), score))
    yield found(("low predicted IoU", shown & (iou < limits.iou), lambda v: 0.3 + 0.6 * (1 - v / limits.iou), iou))
    for flags in (*_jumps(series, shown, step, limits), *_runs(frames, shown, step, limits)):
        yield found(flags)


# A kind, the masks that have it, and how severe a value is.
Flags = tuple[Kind, NDArray[np.bool_], Callable[[NDArray[np.float64]], Any], NDArray[Any]]


def _jumps(series: Series, shown: NDArray[np.bool_], step: int, limits: Thresholds) -> Iterator[Flags]:
    """Yield jumps against the frame before."""
    pair = shown.copy()
    pair[0] = False
    area = np.maximum(series.area, 1).astype(float)
    pair[1:] &= shown[:-1] & (np.diff(series.frames) <= 2 * step) & (np.maximum(area[1:], area[:-1]) >= limits.small)
    growth = np.ones(len(area))  # how many times larger or smaller
    growth[1:] = np.maximum(area[1:], area[:-1]) / np.minimum(area[1:], area[:-1])
    usual = float(np.median(growth[pair])) if pair.any() else 1.0
    big = pair & (growth > max(limits.area_ratio, usual**limits.outlier))
    yield "area jump", big, lambda v: 0.2 + 0.2 * np.log2(v), growth
    box = series.bbox.T.astype(float)  # y0, x0, y1, x1
    height, width = box[2:] - box[:2]
    size = np.sqrt(np.maximum(height * width, 1.0))
    moved = np.zeros(len(area))
    moved[1:] = np.hypot(*np.diff(box[2:] + box[:2])) / (size[1:] + size[:-1])  # twice the way, over twice the size
    usual = float(np.median(moved[pair])) if pair.any() else 0.0
    far = pair & (moved > max(limits.distance, limits.outlier * usual))
    yield "position jump", far, lambda v: 0.4 + 0.15 * v, moved


def _runs(frames: NDArray[np.int64], shown: NDArray[np.bool_], step: int, limits: Thresholds) -> Iterator[Flags]:
    """Yield short presences and absences, and returns after long ones."""
    flicker, back = np.zeros(len(frames), bool), np.zeros(len(frames), bool)
    away = np.zeros(len(frames))
    breaks = np.flatnonzero((np.diff(shown.astype(np.int8)) != 0) | (np.diff(frames) > 2 * step)) + 1
    starts, stops = np.concatenate(([0], breaks)), np.concatenate((breaks, [len(frames)]))
    first, last = frames[starts], frames[stops - 1]
    lasts = last - first + step
    joined = first[1:] - last[:-1] <= 2 * step  # no unknown frames between a run and the next
    short = (lasts < limits.flicker * step) & np.append(False, joined) & np.append(joined, False)
    returns = np.zeros(len(starts), bool)
    returns[1:] = shown[starts[1:]] & ~shown[starts[:-1]] & joined & (lasts[:-1] > limits.absence)
    for n in np.flatnonzero(short):
        flicker[starts[n] : stops[n]] = True
    for n in np.flatnonzero(returns):
        seen = slice(starts[n], min(stops[n], starts[n] + limits.re_entry))
        back[seen], away[seen] = True, lasts[n - 1]
    yield "flicker", flicker, lambda _: 0.45, np.ones(len(frames))
    yield "re-entry", back, lambda v: 0.35 + 0.3 * np.minimum(v / 1000, 1), away


def falls_in_two(object_id: int, series: Series, likeness: Callable[[int, int], float], limits: Thresholds) -> Iterator[Doubts]:
    """Yield where an object is in two parts for a while, as after a division.

    Parameters
    ----------
    object_id, series
        The object, and what is known of it.
    likeness
        Called with a frame and the object, returns the area of the second largest part of the mask by the largest.
    """
    y0, x0, y1, x1 = series.bbox.T.astype(float)
    full = series.area / np.maximum((y1 - y0) * (x1 - x0), 1.0)  # parts with room between them fill less of their box
    shown = series.area >= 2 * limits.small
    if not shown.any():
        return
    at = np.flatnonzero(shown & ~vouched(series) & (full < LOOSE * full[shown].max()))
    every = max(1, -(-len(at) // limits.checks))
    parts = np.array([likeness(int(t), object_id) for t in series.frames[at[::every]]], dtype=float)
    parts = np.repeat(parts, every)[: len(at)]  # masks in between are taken to be like the one before
    at, parts = at[parts >= limits.alike], parts[parts >= limits.alike]
    runs = np.split(np.arange(len(at)), np.flatnonzero(np.diff(at) > 1) + 1)
    long = np.concatenate([run for run in runs if len(run) >= limits.lasting] or [np.zeros(0, int)])
    step = max(1, int(np.median(np.diff(series.frames)))) if len(series.frames) > 1 else 1
    yield Doubts("falls in two", (object_id,), series.frames[at[long]], 0.3 + 0.3 * parts[long], parts[long], step)


def overlaps(found: NDArray[np.int64], shared: Callable[[int, int, int], float], limits: Thresholds) -> Iterator[Doubts]:
    """Yield overlaps of pairs of objects.

    Parameters
    ----------
    found
        Where their boxes overlap, see :func:`overlapping_boxes`.
    shared
        Called with a frame and two object ids, returns the part of the smaller mask that both claim, 0 to 1.
    """
    found = found[np.lexsort((found[:, 2], found[:, 1], found[:, 0]))]
    breaks = np.any(np.diff(found[:, :2], axis=0) != 0, axis=1) | (np.diff(found[:, 2]) > MERGE)
    runs = [run for run in np.split(found, np.flatnonzero(breaks) + 1) if len(run)]
    runs = sorted(runs, key=len, reverse=True)[: limits.checks]
    every = max(1, -(-sum(map(len, runs)) // limits.checks))
    for run in runs:
        i, j = (int(n) for n in run[0, :2])
        parts = np.array([shared(int(t), i, j) for t in run[::every, 2]], dtype=float)
        parts = np.repeat(parts, every)[: len(run)]  # frames in between are taken to be like the one before
        claimed = parts > limits.shared
        if claimed.any():
            yield Doubts("overlap", (i, j), run[claimed, 2], 0.5 + 0.45 * parts[claimed], parts[claimed], 1)


def overlapping_boxes(series: Mapping[int, Series], limits: Thresholds, within: tuple[int, int]) -> NDArray[np.int64]:
    """Return ``(N, 3)``: lower id, higher id, frame of objects whose boxes overlap by so much that their masks may.

    ``series`` are by object id; ``within`` are the frames ``(start, stop)`` to look at.
    """
    kept = []
    for i, s in series.items():
        part = slice(*np.searchsorted(s.frames, within))
        at = part.start + np.flatnonzero(s.area[part] >= limits.small)
        kept.append((np.full(len(at), i), s.frames[at], s.area[at], s.bbox[at], vouched(s)[at]))
    pairs = [np.empty((0, 3), np.int64)]
    if kept:
        objects, frames, area, box, seen = (np.concatenate(columns) for columns in zip(*kept, strict=True))
        # One sort of 64-bit keys takes a third of the time of sorting by two columns; each object's are in order already.
        left, right = (frames << 32) | box[:, 1], (frames << 32) | box[:, 3]
        order = np.argsort(left, kind="stable")
        left, right = left[order], right[order]
        ahead = 1
        while ahead < len(order):  # neighbours by x within a frame, as long as any of them still reach each other
            reach = np.flatnonzero(left[ahead:] < right[:-ahead])
            if not len(reach):
                break
            a, b = order[reach], order[reach + ahead]
            sides = np.minimum(box[a, 2:], box[b, 2:]) - np.maximum(box[a, :2], box[b, :2])
            # The intersection of boxes as a part of the smaller mask, an upper bound of what masks share.
            part_shared = np.prod(np.maximum(sides, 0), axis=1, dtype=float) / np.minimum(area[a], area[b])
            close = (part_shared > limits.shared) & ~(seen[a] & seen[b])
            a, b = a[close], b[close]
            low, high = np.minimum(objects[a], objects[b]), np.maximum(objects[a], objects[b])
            pairs.append(np.stack([low, high, frames[a]], axis=1))
            ahead += 1
    return np.concatenate(pairs)
