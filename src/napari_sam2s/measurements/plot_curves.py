"""A quantity of an object over time, as a plot shows it and as a table holds it."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import whole_file
from napari_sam2s.formats.text_cells import csv_cell
from napari_sam2s.masklets import Object, Project

if TYPE_CHECKING:
    import pandas as pd

# What a project knows of every mask without decoding it. All other columns of `measure` take a while.
QUICK = {
    "presence": "",
    "area": "px",
    "speed": "px/s",
    "distance": "px",
    "predicted IoU": "",
    "object score": "",
}


@dataclass(frozen=True)
class Curve:
    """A quantity on the frames on which it is known."""

    name: str
    colour: tuple[int, int, int]
    frames: NDArray[np.int64]  # (N,) ascending
    values: NDArray[np.float64]  # (N,); NaN where there is none

    def smoothed(self, window: int) -> Curve:
        """Return the mean over ``window`` frames around each frame, of what is known among them; NaN stays NaN.

        Raises :class:`FormatError` if the window is no odd number of frames.
        """
        if window < 1 or window % 2 == 0:
            raise FormatError(f"Smoothing takes an odd number of frames, such as 25; got {window}.")
        if window == 1 or not len(self.frames):
            return self
        known = np.isfinite(self.values)
        sums = np.concatenate(([0.0], np.cumsum(np.where(known, self.values, 0.0))))
        counts = np.concatenate(([0], np.cumsum(known)))
        first = np.searchsorted(self.frames, self.frames - window // 2)
        last = np.searchsorted(self.frames, self.frames + window // 2, side="right")
        number = counts[last] - counts[first]
        means = np.divide(sums[last] - sums[first], number, out=np.full(len(self.frames), np.nan), where=number > 0)
        means[~known] = np.nan
        return replace(self, values=means)

    def part(self, first: float, last: float) -> Curve:
        """Return what lies between two frames, and one more on each side, so that lines reach the border."""
        a = max(int(np.searchsorted(self.frames, first)) - 1, 0)
        b = int(np.searchsorted(self.frames, last, side="right")) + 1
        return replace(self, frames=self.frames[a:b], values=self.values[a:b])

    def lines(self, first: float, last: float, pixels: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return the lines to draw between two frames: ``(x in frames, y)`` of each, broken where nothing is known.

        Where several frames share one of the ``pixels``, their least and largest value are kept: no peak is lost.
        """
        part = self.part(first, last)
        x, y = part.frames.astype(np.float64), part.values
        apart = 1.0
        if len(x) > 2 * pixels:
            x, y, apart = _thinned(x, y, first, last, pixels)
        good = np.isfinite(y)
        x, y = x[good], y[good]
        if not len(x):
            return []
        # A frame that is missing, or has no value, breaks the line.
        cuts = np.flatnonzero(np.diff(x) > apart * 1.5) + 1
        return list(zip(np.split(x, cuts), np.split(y, cuts), strict=True))


def _thinned(
    x: NDArray[np.float64], y: NDArray[np.float64], first: float, last: float, pixels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    wide = max((last - first) / pixels, 1e-9)
    column = np.floor((x - first) / wide).astype(np.int64)
    starts = np.flatnonzero(np.diff(column, prepend=column[0] - 1))
    with np.errstate(invalid="ignore"):
        low = np.fmin.reduceat(y, starts)
        high = np.fmax.reduceat(y, starts)
    middle = first + (column[starts] + 0.5) * wide
    both = np.empty(2 * len(starts))
    # Up in one column and down in the next, so that neighbours are joined where they are near each other.
    odd = np.arange(len(starts)) % 2 == 1
    both[0::2], both[1::2] = np.where(odd, high, low), np.where(odd, low, high)
    return np.repeat(middle, 2), both, max(wide, 1.0)


def project_curves(project: Project, quantity: str, ids: Sequence[int], seconds: NDArray[np.float64] | None) -> list[Curve]:
    """Return curves of one of ``QUICK``, without decoding a mask.

    Places are centroids, as in :func:`measure`.

    Parameters
    ----------
    ids
        Of objects, or of those between which distances are wanted.
    seconds
        The time of every frame; by default the project's frame rate, and where there is none speeds are in pixels a frame.

    Raises
    ------
    FormatError
        If there is no such quantity or object.
    """
    if quantity not in QUICK:
        raise FormatError(f"{quantity!r} is not a quantity: take one of {', '.join(map(repr, QUICK))}.")
    objects = {o.id: o for o in project.objects}
    if missing := [i for i in ids if i not in objects]:
        raise FormatError(f"There is no object {missing[0]}; there are {sorted(objects)}.")
    chosen = [objects[i] for i in ids]
    if quantity == "distance":
        places = {o.id: _places(project, o.id) for o in chosen}
        return [_distance(a, b, places[a.id], places[b.id]) for a, b in itertools.combinations(chosen, 2)]
    return [_curve(project, quantity, o, seconds) for o in chosen]


def _curve(project: Project, quantity: str, o: Object, seconds: NDArray[np.float64] | None) -> Curve:
    series = project.masks.series(o.id)
    frames = series.frames
    values: NDArray[Any]
    if quantity == "presence":
        values = series.area > 0
    elif quantity == "area":
        values = series.area
    elif quantity == "speed":
        frames, centres = _places(project, o.id)
        values = _speed(frames, centres, seconds, project.fps)
    else:
        values = series.iou if quantity == "predicted IoU" else series.object_score
    return Curve(o.name, o.colour, frames, values.astype(np.float64))


_Places = tuple[NDArray[np.int64], NDArray[np.float64]]


def _places(project: Project, object_id: int) -> _Places:
    """Return the frames that are known of an object, and its centroids ``(N, 2)`` there; NaN where it is not seen."""
    frames, seen = project.masks.series(object_id).frames, project.masks.places([object_id])
    centres = np.full((len(frames), 2), np.nan)
    centres[np.isin(frames, seen[:, 1])] = seen[np.isin(seen[:, 1], frames), 2:4]
    return frames, centres


def _speed(
    frames: NDArray[np.int64], places: NDArray[np.float64], seconds: NDArray[np.float64] | None, fps: float | None
) -> NDArray[np.float64]:
    """Return how far it went since the known frame before, a second; NaN where it is not seen on both."""
    speed = np.full(len(frames), np.nan)
    if len(frames) > 1:
        passed = np.diff(seconds[frames]) if seconds is not None else np.diff(frames) / (fps or 1.0)
        moved = np.hypot(*np.diff(places, axis=0).T)
        speed[1:] = np.divide(moved, passed, out=np.full(len(moved), np.nan), where=passed > 0)
    return speed


def _distance(a: Object, b: Object, one: _Places, other: _Places) -> Curve:
    frames, here, there = np.intersect1d(one[0], other[0], assume_unique=True, return_indices=True)
    apart = np.hypot(*(one[1][here] - other[1][there]).T)
    mixed = [(p + q) // 2 for p, q in zip(a.colour, b.colour, strict=True)]
    return Curve(f"{a.name} to {b.name}", (mixed[0], mixed[1], mixed[2]), frames, apart)


def table_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of a table of :func:`measure` that are numbers which change over time."""
    left_out = {"frame", "time_s", "object_id", "confirmed"}
    return [str(name) for name in table.select_dtypes("number").columns if name not in left_out]


def table_curves(table: pd.DataFrame, column: str, objects: Iterable[Object]) -> list[Curve]:
    """Return curves of a column of a table of frames, as :func:`measure` gives it.

    Raises :class:`FormatError` if there is no such column.
    """
    if column not in table_columns(table):
        raise FormatError(f"There is no column {column!r} of numbers; there are {', '.join(table_columns(table))}.")
    curves = []
    for o in objects:
        rows = table[table["object_id"] == o.id]
        values = rows[column].to_numpy(np.float64)
        curves.append(Curve(o.name, o.colour, rows["frame"].to_numpy(np.int64), values))
    return curves


def write_curves(curves: Sequence[Curve], path: Path, quantity: str, window: int, seconds: NDArray[np.float64] | None) -> Path:
    """Write the numbers behind a plot as CSV: a row a frame, a column a curve; the smoothing is in the columns' names.

    Raises :class:`FormatError` if it cannot be written.
    """
    smooth = f", mean of {window} frames" if window > 1 else ""
    frames = np.unique(np.concatenate([c.frames for c in curves])) if curves else np.empty(0, np.int64)
    columns = []
    for curve in curves:
        column = np.full(len(frames), np.nan)
        column[np.searchsorted(frames, curve.frames)] = curve.values
        columns.append(column)
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "time_s", *(csv_cell(f"{c.name}: {quantity}{smooth}") for c in curves)])
        for n, frame in enumerate(frames.tolist()):
            time = "" if seconds is None else f"{seconds[frame]:.6f}"
            writer.writerow([frame, time, *("" if math.isnan(c[n]) else repr(float(c[n])) for c in columns)])
    return path
