"""Two objects at a time: how far apart, and whether they touch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import Object, rle
from napari_sam2s.masklets.mask_queries import Entry
from napari_sam2s.measurements.shapes import Scale

if TYPE_CHECKING:
    import pandas as pd

Place = tuple[rle.Mask, NDArray[np.bool_], float, float]  # mask, crop, centroid y and x


def pair_table(
    entries: Callable[[int], Sequence[Entry]],
    frames: Sequence[int],
    objects: dict[int, Object],
    durations: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    *,
    scale: Scale | None,
    progress: Callable[[int, int], None] | None,
) -> pd.DataFrame:
    """Return one row a pair of objects that are seen on the same frame at least once."""
    import pandas as pd

    found: dict[tuple[int, int], list[tuple[int, float, float, bool]]] = {}
    for n, frame in enumerate(frames):
        places = {e.object_id: _place(e.mask) for e in entries(frame) if e.mask.area and e.object_id in objects}
        for a, b in itertools.combinations(sorted(places), 2):
            one, other = places[a], places[b]
            dy, dx = one[2] - other[2], one[3] - other[3]
            physical = math.nan if scale is None else math.hypot(dy * scale.size[0], dx * scale.size[1])
            found.setdefault((a, b), []).append((frame, math.hypot(dy, dx), physical, touch(one, other)))
        if progress is not None:
            progress(n + 1, len(frames))
    known = np.asarray(frames)
    rows = [_row(objects[a], objects[b], rows, known, durations, scale) for (a, b), rows in sorted(found.items())]
    example = _row(Object(0, ""), Object(0, ""), [(0, 0.0, 0.0, False)], known, durations, scale)
    return pd.DataFrame(rows, columns=list(example))


def _row(
    a: Object,
    b: Object,
    rows: Sequence[tuple[int, float, float, bool]],
    known: NDArray[np.int64],
    durations: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    scale: Scale | None,
) -> dict[str, object]:
    frames = np.array([row[0] for row in rows], dtype=np.int64)
    distance, physical = (np.array([row[n] for row in rows]) for n in (1, 2))
    contact = np.array([row[3] for row in rows], dtype=bool)
    touching = frames[contact]
    place = np.searchsorted(known, touching)  # neighbours in what is known are one contact
    facts: dict[str, object] = {
        "object_a": a.id,
        "object_b": b.id,
        "name_a": a.name,
        "name_b": b.name,
        "frames_together": len(frames),
        "mean_distance_px": float(distance.mean()),
        "min_distance_px": float(distance.min()),
        "contacts": int((np.diff(place) > 1).sum()) + 1 if len(touching) else 0,
        "contact_frames": len(touching),
        "contact_s": float(durations(touching).sum()) if len(touching) else 0.0,
    }
    if scale is not None:
        facts |= {"mean_distance": float(physical.mean()), "min_distance": float(physical.min())}
    return facts


def _place(mask: rle.Mask) -> Place:
    crop = rle.decode_crop(mask)
    y = float(np.count_nonzero(crop, axis=1) @ np.arange(mask.height) / mask.area) + mask.y0
    x = float(np.count_nonzero(crop, axis=0) @ np.arange(mask.width) / mask.area) + mask.x0
    return mask, crop, y, x


def touch(one: Place, other: Place) -> bool:
    """Whether two masks overlap, or have pixels side by side or corner to corner."""
    a, b = one[0], other[0]
    y0, x0 = max(a.y0, b.y0) - 1, max(a.x0, b.x0) - 1
    y1 = min(a.y0 + a.height, b.y0 + b.height) + 1
    x1 = min(a.x0 + a.width, b.x0 + b.width) + 1
    if y1 - y0 < 2 or x1 - x0 < 2:
        return False
    first, second = (_window(mask, crop, (y0, x0, y1, x1)) for mask, crop, *_ in (one, other))
    wide = np.pad(first, 1)
    shape = first.shape
    grown = np.zeros(shape, bool)
    for dy, dx in itertools.product(range(3), range(3)):
        grown |= wide[dy : dy + shape[0], dx : dx + shape[1]]
    return bool((grown & second).any())


def _window(mask: rle.Mask, crop: NDArray[np.bool_], box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Return a mask inside a box of the frame, which may reach beyond its crop."""
    y0, x0, y1, x1 = box
    window = np.zeros((y1 - y0, x1 - x0), bool)
    top, left = max(y0, mask.y0), max(x0, mask.x0)
    bottom, right = min(y1, mask.y0 + mask.height), min(x1, mask.x0 + mask.width)
    if top < bottom and left < right:
        inside = crop[top - mask.y0 : bottom - mask.y0, left - mask.x0 : right - mask.x0]
        window[top - y0 : bottom - y0, left - x0 : right - x0] = inside
    return window
