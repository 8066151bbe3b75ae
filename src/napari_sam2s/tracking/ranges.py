"""Which objects a run follows, which frames it visits, and what is known before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from napari_sam2s.errors import TrackingError
from napari_sam2s.tracking.results import ResultStore

Direction = Literal["forward", "backward", "both"]


def known_masks(results: ResultStore, frames: range, ids: Sequence[int]) -> dict[int, Any]:
    """Return what is known of objects on the frame before a run."""
    before = frames.start - frames.step
    masks = {i: results.mask(before, i) for i in ids} if before >= 0 else {}
    return {i: mask for i, mask in masks.items() if mask is not None}


def check_direction(direction: str) -> None:
    """Raise a :class:`TrackingError` if it is none."""
    if direction not in get_args(Direction):
        raise TrackingError(f"direction={direction!r} is not one of {', '.join(map(repr, get_args(Direction)))}.")


def check_followed(conditioning: Mapping[int, list[int]], objects: Sequence[int] | None) -> tuple[int, ...]:
    """Return the objects to follow: those asked for, or all that have a prompt.

    Raises
    ------
    TrackingError
        If one asked for has no prompt, or there is none.
    """
    ids = tuple(conditioning if objects is None else objects)
    if unknown := [i for i in ids if i not in conditioning]:
        raise TrackingError(f"Object {unknown[0]} has no prompt: say where it is on a frame first.")
    if not ids:
        raise TrackingError("There is nothing to follow: give an object a point, a box or a mask first.")
    return ids


def frame_range(
    conditioning: dict[int, list[int]], length: int, ids: Sequence[int], start: int | None, stop: int | None, sign: int
) -> range:
    """Return the frames a run visits; see :meth:`Tracker.frames`."""
    prompted = [frame for i in ids for frame in conditioning[i]]
    first = start if start is not None else (min(prompted) if sign > 0 else max(prompted))
    last = stop if stop is not None else (length if sign > 0 else -1)
    if not 0 <= first < length:
        raise TrackingError(f"Start {first} is not in the video: its frames are 0 to {length - 1}.")
    if not -1 <= last <= length:
        raise TrackingError(f"Stop {last} is not in the video of {length} frames: it is the frame to stop before.")
    return range(first, last, sign)
