"""The window of the frame in which an object is tracked when a crop follows it: where it is, and how it moves and grows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy.ndimage
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from napari_sam2s.masklets import rle
from napari_sam2s.masklets.types import Prompt

TIMES = 6.0  # that the window's side is of the object's longer one
LEAST = 96  # pixels of its side, for an object of a few pixels
STEP = 1.25  # that the side changes at most from frame to frame, and by which it may differ from what is wanted
SEARCH = 1.1  # that the side grows on every frame on which the object is not seen
EDGE = 0.02  # of the side: what comes so near to the border may go on beyond it


class Bounds(NamedTuple):
    """Bounds in pixels of the video, the ends excluded."""

    y0: int
    x0: int
    y1: int
    x1: int


@dataclass(frozen=True)
class Window:
    """A part of the frame, in pixels of the video."""

    y0: int
    x0: int
    height: int
    width: int

    @property
    def side(self) -> int:
        """Its longer side."""
        return max(self.height, self.width)

    @property
    def rows(self) -> slice:
        """The rows of the frame in it."""
        return slice(self.y0, self.y0 + self.height)

    @property
    def columns(self) -> slice:
        """The columns of the frame in it."""
        return slice(self.x0, self.x0 + self.width)

    def has(self, point: tuple[float, float]) -> bool:
        """Whether a place ``(y, x)`` is in it."""
        y, x = point
        return self.y0 <= y < self.y0 + self.height and self.x0 <= x < self.x0 + self.width

    def cut(self, prompt: Prompt, size: int) -> Prompt:
        """Return a prompt in coordinates of the window at ``(size, size)``; what lies outside is moved to its border."""
        scale_y, scale_x = size / self.height, size / self.width
        points = tuple(
            (
                float(np.clip((y + 0.5 - self.y0) * scale_y - 0.5, 0, size - 1)),
                float(np.clip((x + 0.5 - self.x0) * scale_x - 0.5, 0, size - 1)),
            )
            for y, x in prompt.points
        )
        box = prompt.box
        if box is not None:
            y0, y1 = (float(np.clip((y - self.y0) * scale_y, 0, size)) for y in (box[0], box[2]))
            x0, x1 = (float(np.clip((x - self.x0) * scale_x, 0, size)) for x in (box[1], box[3]))
            box = (y0, x0, y1, x1)
        mask = None if prompt.mask is None else self.cut_mask(prompt.mask, size)
        return replace(prompt, points=points, box=box, mask=mask)

    def cut_mask(self, mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
        """Return what a mask ``(Y, X)`` has in the window, ``(size, size)``; of a thing too thin to be seen, most of it."""
        part = mask[self.rows, self.columns]
        soft = _resized(part, (size, size))
        return soft >= min(0.5, 0.5 * float(soft.max())) if part.any() else np.zeros((size, size), dtype=bool)

    def place(self, mask: NDArray[np.bool_]) -> rle.Mask:
        """Return a mask ``(size, size)`` of the window as run lengths in the frame."""
        if not mask.any():
            return rle.EMPTY
        there = mask if mask.shape == (self.height, self.width) else _resized(mask, (self.height, self.width)) > 0.5
        return rle.encode(there, (self.y0, self.x0))


def _resized(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    image = torch.from_numpy(mask.astype(np.float32))[None, None]
    soft = F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)
    return np.asarray(soft[0, 0].numpy())


def window_at(centre: tuple[float, float], side: float, frame: tuple[int, int]) -> Window:
    """Return a window of a side around a place, moved into the frame ``(Y, X)``, and no larger than it."""
    height, width = (max(1, min(round(side), whole)) for whole in frame)
    y0 = min(max(round(centre[0] - height / 2), 0), frame[0] - height)
    x0 = min(max(round(centre[1] - width / 2), 0), frame[1] - width)
    return Window(y0, x0, height, width)


def wanted_side(box: Bounds) -> float:
    """Return the side of a window that suits an object."""
    return max(LEAST, TIMES * max(box.y1 - box.y0, box.x1 - box.x0))


def around(box: Bounds, frame: tuple[int, int]) -> Window:
    """Return the window of an object of which nothing else is known."""
    return window_at(((box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2), wanted_side(box), frame)


def following(last: Window, box: Bounds | None, frame: tuple[int, int], size: int) -> Window:
    """Return the window of the next frame.

    Parameters
    ----------
    last
        The window of the frame before.
    box
        Where the object is on it; ``None`` if it is not seen. Then the window stays there, and grows until a pixel of the
        network's input is two of the video.
    frame
        The size of the video, ``(Y, X)``.
    size
        The side of the network's input.
    """
    if box is None:
        centre = last.y0 + last.height / 2, last.x0 + last.width / 2
        return window_at(centre, max(last.side, min(last.side * SEARCH, 2 * size)), frame)
    wanted, side = wanted_side(box), float(last.side)
    if not 1 / STEP <= wanted / side <= STEP:
        side = float(np.clip(wanted, side / STEP, side * STEP))
    return window_at(((box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2), side, frame)


def better_for(window: Window, box: Bounds | None, frame: tuple[int, int]) -> Window | None:
    """Return the window that an object found in another one had better be looked at in; ``None`` if that one will do."""
    if box is None:
        return None
    near = EDGE * window.side
    cut_off = (
        (box.y0 < window.y0 + near and window.y0 > 0)
        or (box.x0 < window.x0 + near and window.x0 > 0)
        or (box.y1 > window.y0 + window.height - near and window.y0 + window.height < frame[0])
        or (box.x1 > window.x0 + window.width - near and window.x0 + window.width < frame[1])
    )
    if cut_off:
        return window_at(((box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2), 2 * max(window.side, wanted_side(box)), frame)
    new = around(box, frame)
    return new if not 0.5 <= new.side / window.side <= 2 else None


def first_window(prompt: Prompt, known: Bounds | None, frame: tuple[int, int], size: int) -> Window:
    """Return the window in which a prompt is answered: around all it says, and what is known of the object there.

    Of clicks alone one does not know how large the object is: a pixel of the input is one of the video then.
    """
    inside = [(y, x) for (y, x), label in zip(prompt.points, prompt.labels, strict=True) if label]
    near = known is not None and (not inside or any(map(around(known, frame).has, inside)))
    boxes = [known] if known is not None and near else []  # clicks elsewhere say that it is elsewhere
    if prompt.mask is not None and (found := box_of(rle.encode(prompt.mask))) is not None:
        boxes = [found]
    if prompt.box is not None:
        y0, x0, y1, x1 = prompt.box
        boxes.append(Bounds(int(y0), int(x0), int(np.ceil(y1)), int(np.ceil(x1))))
    side = float(size) if not boxes else 0.0
    boxes += [Bounds(int(y), int(x), int(y) + 1, int(x) + 1) for y, x in inside]
    whole = _union(boxes) if boxes else Bounds(0, 0, *frame)
    return window_at(((whole.y0 + whole.y1) / 2, (whole.x0 + whole.x1) / 2), max(side, wanted_side(whole)), frame)


def holds(window: Window, prompt: Prompt) -> bool:
    """Whether all that a prompt says the object is lies well inside a window."""
    near = EDGE * window.side
    places = [point for point, label in zip(prompt.points, prompt.labels, strict=True) if label]
    if prompt.box is not None:
        places += [(prompt.box[0], prompt.box[1]), (prompt.box[2] - 1, prompt.box[3] - 1)]
    if prompt.mask is not None:
        outside = prompt.mask.copy()
        outside[window.rows, window.columns] = False
        if outside.any():
            return False
    y1, x1 = window.y0 + window.height - 1, window.x0 + window.width - 1
    return all(window.y0 + near <= y <= y1 - near and window.x0 + near <= x <= x1 - near for y, x in places)


def _union(boxes: Iterable[Bounds]) -> Bounds:
    columns = list(zip(*boxes, strict=True))
    return Bounds(min(columns[0]), min(columns[1]), max(columns[2]), max(columns[3]))


def box_of(mask: rle.Mask) -> Bounds | None:
    """Return the bounds of the largest part of a mask, so that a speck far off does not draw the window wide."""
    if not mask.area:
        return None
    crop = rle.decode_crop(mask)
    parts, count = scipy.ndimage.label(crop, structure=np.ones((3, 3)))
    if count > 1:
        largest = int(np.argmax(np.bincount(parts.ravel())[1:]))
        rows, columns = scipy.ndimage.find_objects(parts)[largest]
        return Bounds(mask.y0 + rows.start, mask.x0 + columns.start, mask.y0 + rows.stop, mask.x0 + columns.stop)
    return Bounds(mask.y0, mask.x0, mask.y0 + mask.height, mask.x0 + mask.width)
