"""Tables of measurements of a project, or of any masklets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets import Object, rle
from napari_sam2s.masklets.mask_queries import Entry
from napari_sam2s.measurements.frame_table import Progress, frame_table
from napari_sam2s.measurements.intensity import RawFrames
from napari_sam2s.measurements.pairs import pair_table
from napari_sam2s.measurements.shapes import Scale
from napari_sam2s.measurements.summaries import object_table

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("frames", "objects", "pairs")
IDLE_SPEED = 10.0  # pixels a second
UNIT = "pixel"


def measure(
    masklets: Any,
    video: Any = None,
    table: Literal["frames", "objects", "pairs"] = "frames",
    *,
    objects: Iterable[int] | None = None,
    pixel_size: tuple[float, float] | None = None,
    unit: str = "",
    shape: bool = True,
    idle_speed: float = IDLE_SPEED,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure masks, frame by frame, in time that goes with their area.

    Parameters
    ----------
    masklets
        A :class:`Project`, or any masklets.
    video
        An open :class:`Video`: its times are taken, its pixel size, and with ``table="frames"`` the intensities of all raw
        channels, such as 16-bit values. Without it times are frames divided by the project's frames a second.
    table
        ``"frames"``: a row an object and frame that is known, with area 0 where it was looked for and is not there.
        ``"objects"``: a row an object. ``"pairs"``: a row a pair of objects that are seen together.
    objects
        Ids of the objects to measure; all by default.
    pixel_size
        Height and width of a pixel in ``unit``; by default what the video's file says, or the project noted of it.
    shape
        Whether perimeter, axes, orientation and solidity are measured, which takes most of the time.
    idle_speed
        Pixels a second below which an object counts as idle.
    progress
        Called with the frames done and their number.

    Raises
    ------
    FormatError
        If there is no such table or object, the video is another one, or the pixel size is none.
    """
    if table not in TABLES:
        raise FormatError(f"{table!r} is not a table: take one of {', '.join(TABLES)}.")
    if not (isinstance(idle_speed, int | float) and 0 <= idle_speed < math.inf):
        raise FormatError(f"idle_speed={idle_speed!r} is not a speed: give pixels a second, 0 or more.")
    if not hasattr(masklets, "objects"):
        raise FormatError(f"A {type(masklets).__name__} holds no masks of objects: give what Project.open(PATH) returns.")
    if video is not None and not hasattr(video, "shape"):
        raise FormatError(f"A {type(video).__name__} is not an open video: give what open_video(PATH) returns.")
    chosen = _chosen(masklets.objects, objects)
    scale = _scale(video if video is not None else getattr(masklets, "video", None), pixel_size, unit)
    _check_size(masklets, video)
    if (store := getattr(masklets, "store", None)) is not None:
        store.check_pages()
    frames = [int(frame) for frame in masklets.frames]
    entries, clock = _entries(masklets), Clock(masklets if video is None else video, getattr(masklets, "fps", None))
    if table == "pairs":
        return pair_table(entries, frames, chosen, clock.durations, scale=scale, progress=progress)
    whole = table == "frames"
    raw = RawFrames(video) if video is not None and whole else None
    rows = frame_table(entries, frames, chosen, clock.time, raw=raw, scale=scale, shape=shape and whole, progress=progress)
    if whole:
        rows["unit"] = "" if scale is None else scale.unit
        return rows
    return object_table(rows, chosen, clock.durations, scale, idle_speed)


class Clock:
    """The time of frames: of the video itself where it is open, else of its rate; NaN where neither is known."""

    def __init__(self, video: Any, fps: float | None) -> None:
        self._fps = fps or getattr(video, "fps", None)
        stamps = getattr(video, "timestamps", None)
        self._times = None if stamps is None or (self._fps is None) else np.asarray(stamps, dtype=np.float64)

    def time(self, frame: int) -> float:
        """Return the time of a frame in seconds."""
        if self._times is not None and frame < len(self._times):
            return float(self._times[frame])
        return frame / self._fps if self._fps else math.nan

    def durations(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how long frames are shown, in seconds."""
        usual = 1 / self._fps if self._fps else math.nan
        if self._times is None:
            return np.full(len(frames), usual)
        every = np.append(np.diff(self._times), usual)
        return np.array([every[frame] if frame < len(every) else usual for frame in frames.tolist()])


def _chosen(known: Sequence[Object], wanted: Iterable[int] | None) -> dict[int, Object]:
    every = {o.id: o for o in known}
    if wanted is None:
        return every
    ids = [int(i) for i in wanted]
    missing = [i for i in ids if i not in every]
    if missing:
        raise FormatError(f"There is no object {missing[0]}; there are {sorted(every)}.")
    return {i: o for i, o in every.items() if i in ids}


def _scale(video: Any, size: tuple[float, float] | None, unit: str) -> Scale | None:
    if size is None:
        size, known = getattr(video, "pixel_size", None), getattr(video, "pixel_unit", None) or UNIT
        if unit and (size is None or unit != known):  # what is known of it is in another unit
            raise FormatError(f"The unit {unit} needs a pixel size: give one, such as 0.5.")
        if size is None:
            return None
        unit = known
    try:
        height, width = (float(side) for side in size)
    except (TypeError, ValueError):
        height = width = math.nan
    if not (0 < height < math.inf and 0 < width < math.inf):
        raise FormatError(f"A pixel size is two numbers above 0, height and width; got {size}.")
    return Scale((height, width), unit or UNIT)


def _check_size(masklets: Any, video: Any) -> None:
    ours, theirs = getattr(masklets, "shape", None), getattr(video, "shape", None)
    if ours is not None and theirs is not None and tuple(ours[:3]) != tuple(theirs[:3]):
        raise FormatError(
            f"The masks are of a video of {tuple(ours[:3])} (T, Y, X), and this one has {tuple(theirs[:3])}: "
            "give the video that was tracked."
        )


def _entries(masklets: Any) -> Callable[[int], Sequence[Entry]]:
    known = getattr(masklets.masks, "entries", None)
    if known is not None:
        found: Callable[[int], Sequence[Entry]] = known
        return found

    ids = sorted(o.id for o in masklets.objects)

    def encoded(frame: int) -> list[Entry]:
        masks = masklets.masks(frame)  # an object that is left out is absent
        return [Entry(i, rle.encode(np.asarray(masks[i], dtype=bool)) if i in masks else rle.EMPTY) for i in ids]

    return encoded
