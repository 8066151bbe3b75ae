"""One row an object and frame, streamed: a frame is read, measured on the crops of its masks, and left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2s.masklets import Object, rle
from napari_sam2s.masklets.mask_queries import Entry
from napari_sam2s.measurements.intensity import RawFrames, intensities
from napari_sam2s.measurements.shapes import Scale, columns, measured

if TYPE_CHECKING:
    import pandas as pd

ROWS = 20_000  # that are held as Python's own numbers at a time: arrays take a tenth
WHO = ("frame", "time_s", "object_id", "name", "class")
JUDGEMENT = ("predicted_iou", "object_score", "origin", "confirmed")
WHOLE = {"frame": np.int64, "object_id": np.int64, "area_px": np.int64}
REPEATED = ("name", "class", "origin")

Progress = Callable[[int, int], None]


def frame_table(
    entries: Callable[[int], Sequence[Entry]],
    frames: Sequence[int],
    objects: dict[int, Object],
    times: Callable[[int], float],
    *,
    raw: RawFrames | None,
    scale: Scale | None,
    shape: bool,
    progress: Progress | None,
) -> pd.DataFrame:
    """Return the table; see :func:`napari_sam2s.measurements.measure`."""
    values = [f"{kind}_intensity_{c}" for c in range(raw.channels if raw is not None else 0) for kind in ("mean", "sum")]
    names = (*WHO, *columns(scale, shape=shape), *values, *JUDGEMENT)

    def rows() -> Iterator[list[Any]]:
        for n, frame in enumerate(frames):
            known = [entry for entry in entries(frame) if entry.object_id in objects]
            pixels = raw[frame] if raw is not None and any(entry.mask.area for entry in known) else None
            for entry in known:
                crop = rle.decode_crop(entry.mask)
                o = objects[entry.object_id]
                row = [frame, times(frame), o.id, o.name, o.class_name or ""]
                row += measured(entry.mask, crop, scale, shape=shape)
                row += (
                    [math.nan] * len(values) if pixels is None or not entry.mask.area else intensities(pixels, entry.mask, crop)
                )
                yield row + _judgement(entry)
            if progress is not None:
                progress(n + 1, len(frames))

    return _frame_of(rows(), names)


def _judgement(entry: Entry) -> list[Any]:
    scores = entry.scores
    judged = [math.nan, math.nan] if scores is None else [scores.iou, scores.object_score]
    return [*judged, entry.origin or "", entry.confirmed]


def _frame_of(rows: Iterator[list[Any]], names: Sequence[str]) -> pd.DataFrame:
    import itertools

    import pandas as pd

    parts = [_typed(pd.DataFrame(part, columns=names)) for part in iter(lambda: list(itertools.islice(rows, ROWS)), [])]
    table = pd.concat(parts, ignore_index=True) if parts else _typed(pd.DataFrame([], columns=names))
    return table.astype(dict.fromkeys(REPEATED, "category"))


def _typed(part: pd.DataFrame) -> pd.DataFrame:
    text = dict.fromkeys(REPEATED, object)
    return part.astype({name: WHOLE.get(name, text.get(name, bool if name == "confirmed" else np.float64)) for name in part})
