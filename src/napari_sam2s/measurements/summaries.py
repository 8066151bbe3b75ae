"""From the table of frames: one row an object, when it was seen and how it moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import Object
from napari_sam2s.measurements.shapes import Scale

if TYPE_CHECKING:
    import pandas as pd

Durations = Callable[[NDArray[np.int64]], NDArray[np.float64]]  # of frames, in seconds; NaN where no rate is known


def object_table(
    table: pd.DataFrame, objects: Mapping[int, Object], durations: Durations, scale: Scale | None, idle_speed: float
) -> pd.DataFrame:
    """Return one row an object, also of those that are on no frame."""
    import pandas as pd

    by_object = dict(iter(table.groupby("object_id", sort=True)))
    rows = [_summary(o, by_object.get(o.id, table.iloc[:0]), durations, scale, idle_speed) for o in objects.values()]
    names = list(_summary(Object(0, ""), table.iloc[:0], durations, scale, idle_speed))
    return pd.DataFrame(rows, columns=names).astype({"first_frame": "Int64", "last_frame": "Int64", "parent": "Int64"})


def _summary(o: Object, rows: pd.DataFrame, durations: Durations, scale: Scale | None, idle_speed: float) -> dict[str, Any]:
    frames, times = rows["frame"].to_numpy(np.int64), rows["time_s"].to_numpy(np.float64)
    shown = rows["area_px"].to_numpy() > 0
    seen = frames[shown]
    came, left = shown[1:] & ~shown[:-1], ~shown[1:] & shown[:-1]
    places = rows[["centroid_y", "centroid_x"]].to_numpy(np.float64)
    together = shown[1:] & shown[:-1]  # steps from one known frame to the next on which it is seen both times
    steps = np.diff(places, axis=0)[together] if len(rows) else np.empty((0, 2))
    seconds = np.diff(times)[together] if len(rows) else np.empty(0)
    moved = np.hypot(*steps.T)
    speeds = moved / seconds
    path, whole = float(moved.sum()), float(seconds.sum())
    facts: dict[str, Any] = {
        "object_id": o.id,
        "name": o.name,
        "class": o.class_name or "",
        "parent": o.parent,
        "first_frame": int(seen[0]) if len(seen) else None,
        "last_frame": int(seen[-1]) if len(seen) else None,
        "first_s": float(times[shown][0]) if len(seen) else math.nan,
        "last_s": float(times[shown][-1]) if len(seen) else math.nan,
        "known_frames": len(frames),
        "visible_frames": len(seen),
        "visible_s": float(durations(seen).sum()) if len(seen) else 0.0,
        "entries": int(came.sum()),
        "exits": int(left.sum()),
        "mean_area_px": float(rows["area_px"].to_numpy()[shown].mean()) if len(seen) else math.nan,
        "path_px": path,
        "mean_speed_px_s": path / whole if whole > 0 else math.nan,
        "max_speed_px_s": float(speeds.max()) if whole > 0 else math.nan,
        "idle_s": float(seconds[speeds < idle_speed].sum()) if whole > 0 or not len(seconds) else math.nan,
    }
    if scale is not None:
        physical = float(np.hypot(*(steps * scale.size).T).sum())
        facts |= {
            "mean_area": facts["mean_area_px"] * scale.size[0] * scale.size[1],
            "path": physical,
            "mean_speed": physical / whole if whole > 0 else math.nan,
        }
    return facts
