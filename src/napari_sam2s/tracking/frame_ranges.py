"""Which objects a run follows, which frames it visits, and what is known before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets.validation import whole_number
from napari_sam2s.tracking.results import ResultStore
from napari_sam2s.wording import counted

Direction = Literal["forward", "backward", "both"]


def known_masks(
    results: ResultStore, frames: range, ids: Sequence[int], conditioning: Mapping[int, Sequence[int]]
) -> tuple[dict[int, Any], bool]:
    """Return what is known on the frame before a run, and whether that is all a run that comes from there would know.

    Of objects that are prompted only further on nothing is asked: a run that comes from there does not follow them yet.
    """
    before = frames.start - frames.step
    followed = [i for i in ids if before >= 0 and any((before - t) * frames.step >= 0 for t in conditioning[i])]
    masks = {i: mask for i in followed if (mask := results.mask(before, i)) is not None}
    return masks, bool(followed) and len(masks) == len(followed)


def directions(direction: str, stop: int | None) -> list[tuple[int, int | None]]:
    """Return the sign of each direction, and where it stops: in ``"both"``, ``stop`` is that of going forward.

    Raises :class:`TrackingError` if it is no direction.
    """
    if direction not in get_args(Direction):
        raise TrackingError(f"direction={direction!r} is not one of {', '.join(map(repr, get_args(Direction)))}.")
    return {"forward": [(1, stop)], "backward": [(-1, stop)], "both": [(1, stop), (-1, None)]}[direction]


def check_frames(frames: range) -> range:
    """Return the frames of a run, or raise a :class:`TrackingError` if there are none."""
    if not frames:
        direction = "forward" if frames.step > 0 else "backward"
        raise TrackingError(f"There are no frames from {frames.start} up to {frames.stop} going {direction}.")
    return frames


def check_followed(conditioning: Mapping[int, list[int]], objects: Sequence[int] | None) -> tuple[int, ...]:
    """Return the objects to follow: those asked for, or all that have a prompt.

    Raises :class:`TrackingError` if one asked for has no prompt, or there is none.
    """
    given = conditioning if objects is None else objects
    bad = "Objects to follow are given by their ids, integers; got"
    ids = tuple(dict.fromkeys(whole_number(i, TrackingError(f"{bad} {i}.")) for i in given))
    if unknown := [i for i in ids if i not in conditioning]:
        raise TrackingError(f"Object {unknown[0]} has no prompt: say where it is on a frame first.")
    if not ids:
        raise TrackingError("There is nothing to track: give an object a point, a box or a mask first.")
    return ids


def frame_range(
    conditioning: dict[int, list[int]], length: int, ids: Sequence[int], start: int | None, stop: int | None, sign: int
) -> range:
    """Return the frames a run visits; see :meth:`Tracker.frames`."""
    prompted = [frame for i in ids for frame in conditioning[i]]
    first = (min(prompted) if sign > 0 else max(prompted)) if start is None else _frame("Start", start)
    last = (length if sign > 0 else -1) if stop is None else _frame("Stop", stop)
    if not (0 <= first < length or first == stop):  # a run that had come to its end when it was interrupted
        raise TrackingError(f"Start {first} is not in the video: its frames are 0 to {length - 1}.")
    if not -1 <= last <= length:
        raise TrackingError(
            f"Stop {last} is not in the video of {counted(length, 'frame')}: it is the first frame that is not tracked."
        )
    return range(first, last, sign)


def _frame(what: str, value: int) -> int:
    return whole_number(value, TrackingError(f"{what} is the index of a frame, an integer; got {value}."))
