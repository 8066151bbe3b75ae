"""Which masks want eyes: what can be told from scores, areas, boxes and presence, without looking at a picture.

A *doubt* is one frame of one object (or of two, for an overlap) with one reason. Frames that a person vouched for (prompted,
painted, imported, confirmed) are never doubted; they still serve as neighbours of those that are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets.presence import LOW_SCORE
from napari_sam2s.masklets.series import ORIGINS, Series

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
]


ROW = np.dtype(
    [
        ("frame", np.int32),
        ("object_id", np.int32),
        ("area", np.int64),  # pixels; 0: looked for and absent
        ("y0", np.int32),
        ("x0", np.int32),
        ("height", np.int32),
        ("width", np.int32),
        ("iou", np.float32),  # NaN where no model judged the mask
        ("object_score", np.float32),
        ("vouched", np.bool_),  # prompted, painted or imported, or confirmed: a person saw it
    ]
)
SEEN = [ORIGINS.index(origin) for origin in ("prompted", "painted", "imported")]


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
    checks: int = 200  # overlaps that are counted out in pixels; if boxes overlap on more frames, every nth of them


@dataclass(frozen=True)
class Doubts:
    """Doubts of one kind about one object, or a pair: frames ascending, with severities in [0, 1] and the value behind."""

    kind: Kind
    objects: tuple[int, ...]
    frames: NDArray[np.int64]
    severity: NDArray[np.float64]
    value: NDArray[np.float64]
    step: int  # frames between two neighbours that were looked at


def rows_of(object_id: int, series: Series) -> NDArray[Any]:
    """Return a row (:data:`ROW`) for each mask of an object, by frame."""
    rows = np.empty(len(series), ROW)
    rows["frame"], rows["object_id"], rows["area"] = series.frames, object_id, series.area
    rows["iou"], rows["object_score"] = series.iou, series.object_score
    for name, column in (("y0", 0), ("x0", 1)):
        rows[name] = series.bbox[:, column]
    for name, column in (("height", 0), ("width", 1)):
        rows[name] = series.bbox[:, column + 2] - series.bbox[:, column]
    rows["vouched"] = series.confirmed | np.isin(series.origin, SEEN)
    return rows


def doubts_of(rows: NDArray[Any], pixels: int, limits: Thresholds) -> Iterator[Doubts]:
    """Yield the doubts about one object.

    Parameters
    ----------
    rows
        Its rows (:data:`ROW`), by frame.
    pixels
        Of a frame.
    """
    if not len(rows):
        return
    object_id = int(rows["object_id"][0])
    frames = rows["frame"].astype(np.int64)
    step = max(1, int(np.median(np.diff(frames)))) if len(frames) > 1 else 1
    shown, open_ = rows["area"] > 0, ~rows["vouched"]
    share = rows["area"] / pixels
    score, iou = rows["object_score"].astype(float), rows["iou"].astype(float)

    def found(kind: Kind, where: NDArray[np.bool_], severity: Any, value: NDArray[Any]) -> Doubts:
        where = where & open_
        worst = np.broadcast_to(np.clip(severity, 0.05, 0.95), where.shape)
        return Doubts(kind, (object_id,), frames[where], worst[where].astype(float), value[where].astype(float), step)

    # Comparisons with NaN (no score) are False: what no model judged is not doubted for its score.
    yield found("whole frame", share >= limits.whole_frame, 0.95, share)
    yield found("low object score", shown & (score < limits.object_score), 0.3 + 0.5 * (1 - score / limits.object_score), score)
    yield found("low predicted IoU", shown & (iou < limits.iou), 0.3 + 0.6 * (1 - iou / limits.iou), iou)
    linked = np.diff(frames, prepend=frames[0] - 10 * step) <= 2 * step
    for kind, where, severity, value in _jumps(rows, shown, linked, limits):
        yield found(kind, where, severity, value)
    for kind, where, severity, value in _runs(frames, shown, step, limits):
        yield found(kind, where, severity, value)


Flags = tuple[Kind, NDArray[np.bool_], Any, NDArray[Any]]


def _jumps(rows: NDArray[Any], shown: NDArray[np.bool_], linked: NDArray[np.bool_], limits: Thresholds) -> Iterator[Flags]:
    """Yield jumps against the frame before."""
    pair = shown & linked
    pair[0] = False
    pair[1:] &= shown[:-1]
    area = np.maximum(rows["area"], 1).astype(float)
    pair[1:] &= np.maximum(area[1:], area[:-1]) >= limits.small
    growth = np.zeros(len(rows))
    growth[1:] = np.abs(np.log2(area[1:] / area[:-1]))
    usual = float(np.median(growth[pair])) if pair.any() else 0.0
    big = pair & (growth > np.log2(limits.area_ratio)) & (growth > limits.outlier * usual)
    yield "area jump", big, 0.2 + 0.2 * growth, 2.0**growth
    size = np.sqrt(np.maximum(rows["height"] * rows["width"].astype(float), 1.0))
    y, x = rows["y0"] + rows["height"] / 2, rows["x0"] + rows["width"] / 2
    moved = np.zeros(len(rows))
    moved[1:] = np.hypot(np.diff(y), np.diff(x)) / ((size[1:] + size[:-1]) / 2)
    usual = float(np.median(moved[pair])) if pair.any() else 0.0
    far = pair & (moved > limits.distance) & (moved > limits.outlier * usual)
    yield "position jump", far, 0.4 + 0.15 * moved, moved


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
    yield "flicker", flicker, 0.45, np.ones(len(frames))
    yield "re-entry", back, 0.35 + 0.3 * np.minimum(away / 1000, 1), away


def overlaps(
    rows: NDArray[Any], shared: Callable[[int, int, int], float], limits: Thresholds, within: tuple[int, int]
) -> Iterator[Doubts]:
    """Yield overlaps of pairs of objects.

    Parameters
    ----------
    rows
        Rows (:data:`ROW`) of all objects, in any order.
    shared
        Called with a frame and two object ids, returns the part of the smaller mask that both claim, 0 to 1.
    within
        Frames ``(start, stop)`` to look at.
    """
    found = _overlapping_boxes(rows, limits, within)
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


def _overlapping_boxes(rows: NDArray[Any], limits: Thresholds, within: tuple[int, int]) -> NDArray[np.int64]:
    """Return ``(N, 3)``: lower id, higher id, frame of objects whose boxes overlap by so much that their masks may."""
    kept = (rows["area"] >= limits.small) & (rows["frame"] >= within[0]) & (rows["frame"] < within[1])
    order = np.flatnonzero(kept)
    # One sort of 64-bit keys takes a third of the time of sorting by two columns.
    key = (rows["frame"][order].astype(np.int64) << 32) | rows["x0"][order]
    by_key = np.argsort(key)
    order, key = order[by_key], key[by_key]
    frame, left = key >> 32, key & 0xFFFFFFFF
    right = left + rows["width"][order]
    pairs = [np.empty((0, 3), np.int64)]
    ahead = 1
    while ahead < len(order):  # neighbours by x within a frame, as long as any of them still reach each other
        reach = np.flatnonzero((frame[:-ahead] == frame[ahead:]) & (left[ahead:] < right[:-ahead]))
        if not len(reach):
            break
        a, b = rows[order[reach]], rows[order[reach + ahead]]
        close = (_box_overlap(a, b) > limits.shared) & ~(a["vouched"] & b["vouched"])
        low, high = np.minimum(a["object_id"], b["object_id"]), np.maximum(a["object_id"], b["object_id"])
        pairs.append(np.stack([low, high, a["frame"]], axis=1)[close].astype(np.int64))
        ahead += 1
    return np.concatenate(pairs)


def _box_overlap(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the intersection of boxes as a part of the smaller mask's area, an upper bound of what masks share."""
    sides = []
    for start, length in (("y0", "height"), ("x0", "width")):
        stop = np.minimum(a[start] + a[length], b[start] + b[length])
        sides.append(np.maximum(stop - np.maximum(a[start], b[start]), 0).astype(float))
    return sides[0] * sides[1] / np.minimum(a["area"], b["area"])
