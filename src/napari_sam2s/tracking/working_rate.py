"""The working rate: follow objects on some frames only, and fill the frames between.

The frames that are tracked are *key frames*: the multiples of a stride, every conditioning frame, and the last frame of
the run. The multiples are of the frame's index and not of the run's start, so that a run which goes on after a pause
visits the same ones. At a stride of 1 every frame is a key frame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.errors import TrackingError
from napari_sam2s.tracking.interpolation import fill, knots
from napari_sam2s.tracking.optical_flow import shrink

Masks = dict[int, NDArray[np.bool_]]  # {object id: (Y, X)} of a frame
Filled = list[tuple[int, Masks]]


def find_stride(video: Any, rate: float | None) -> int:
    """Return how many frames of a video make one step at ``rate`` frames per second; 1 for ``None``.

    Raises :class:`TrackingError` if the rate is not positive, or the video does not know its own.
    """
    if rate is None:
        return 1
    number = isinstance(rate, int | float | np.number) and not isinstance(rate, bool | np.complexfloating)
    if not number or not 0 < rate < np.inf:
        raise TrackingError(f"rate={rate!r} is not possible: give frames per second, such as 5.")
    fps = getattr(video, "fps", None)
    if not fps:
        raise TrackingError(
            "The video does not know its frame rate, so a working rate cannot be used. Give the frame rate with "
            "open_video(…, fps=25) or --fps 25."
        )
    return max(round(fps / rate), 1)


def spans(frames: range, stride: int, conditioning: Collection[int], *, known_before: bool) -> list[range]:
    """Cut a run into spans that end with a key frame each.

    Parameters
    ----------
    frames
        Of the run, in its direction.
    stride, conditioning
        See above.
    known_before
        Whether the masks of the frame before the run are known, so that the frames up to the first multiple can be filled;
        otherwise the run's first frame is a key frame too.
    """
    sign, found, begin = frames.step, [], frames.start
    for t in frames:
        if t % stride == 0 or t in conditioning or t == frames[-1] or (t == frames.start and not known_before):
            found.append(range(begin, t + sign, sign))
            begin = t + sign
    return found


def walk(
    parts: Sequence[range],
    *,
    image: Callable[[int], NDArray[np.uint8]],
    step: Callable[[int], Masks],
    before: Masks,
    keep: Callable[[Filled], None],
) -> Iterator[tuple[int, int, Masks]]:
    """Track the key frames of a run and fill those between.

    Parameters
    ----------
    parts
        From :func:`spans`.
    image
        Gives the pixels of a frame, of any size; asked for in the order of tracking.
    step
        Tracks a frame and keeps its masks.
    before
        What is known of the frame before the first span.
    keep
        Keeps filled masks.

    Yields
    ------
    frame, reached, masks
        Every frame in order; ``reached`` is the key frame up to which everything is kept by then.
    """
    pictures: dict[int, Tensor] = {}
    filling = any(len(part) > 1 for part in parts)
    for part in parts:
        key = part[-1]
        if len(part) == 1:
            if filling:
                pictures = {key: shrink(image(key))}
            masks = step(key)
            yield key, key, masks
        else:
            frames = [part[0] - part.step, *part]
            pictures = {t: pictures[t] if t in pictures else shrink(image(t)) for t in knots(frames)}
            masks = step(key)
            both = sorted(before.keys() & masks.keys())
            first, last = ({i: known[i] for i in both} for known in (before, masks))
            filled = list(fill(frames, pictures.__getitem__, first, last))
            keep(filled)
            for t, found in filled:
                yield t, key, found
            yield key, key, masks
        before = masks


def read_order(parts: Sequence[range], *, from_before: bool) -> list[int]:
    """Return the frames whose pixels :func:`walk` and its steps ask for, in order, each once."""
    order: list[int] = []
    for n, part in enumerate(parts):
        looked_at = knots([part[0] - part.step, *part])[1:] if len(part) > 1 else [part[-1]]
        if n == 0 and len(part) > 1 and from_before:
            order.append(part[0] - part.step)
        order += looked_at
    return order
