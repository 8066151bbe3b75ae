"""Prompts on their way to the network: checked, and turned from the video's ``(y, x)`` into the input's ``(x, y)``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from napari_sam2s.errors import PromptError
from napari_sam2s.masklets.types import Prompt
from napari_sam2s.masklets.validation import LARGEST_ID, array_of, binary_mask, whole_number
from napari_sam2s.model.prompt_encoder import BOX_FIRST, BOX_SECOND
from napari_sam2s.wording import counted

THIN = 0.5  # of what the cells of a thin mask have of it, which a cell is to have


def make_prompt(
    object_id: int,
    frame: int,
    shape: tuple[int, int, int],
    *,
    points: ArrayLike | None = None,
    labels: int | Sequence[int] | None = None,
    box: Sequence[float] | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Prompt:
    """Check a prompt against a video of ``shape`` (T, Y, X).

    Raises :class:`PromptError` with the value that does not fit and what would.
    """
    bad_id = PromptError(f"Object ids are integers from 1 to {LARGEST_ID}; got {object_id!r}.")
    object_id = whole_number(object_id, bad_id)
    if not 1 <= object_id <= LARGEST_ID:
        raise bad_id
    frame = whole_number(frame, PromptError(f"A frame is given by its index, an integer; got {frame}."))
    frames, *size = shape
    if not 0 <= frame < frames:
        raise PromptError(f"Frame {frame} is not in the video: its frames are 0 to {frames - 1}.")
    if mask is not None and (points is not None or box is not None):
        raise PromptError("A mask prompt cannot be combined with others: give points and a box, or a mask.")
    if mask is not None:
        return Prompt(object_id, frame, mask=_checked_mask(mask, (size[0], size[1])))
    points_yx = _checked_points(points, (size[0], size[1]))
    kinds = _checked_labels(labels, len(points_yx))
    corners = None if box is None else _checked_box(box, (size[0], size[1]))
    if not points_yx and corners is None:
        raise PromptError("The prompt is empty: give points, a box or a mask.")
    return Prompt(object_id, frame, points_yx, kinds, corners)


def check_prompt(prompt: Prompt, shape: tuple[int, int, int]) -> Prompt:
    """Check a prompt that was made elsewhere against a video, as :func:`make_prompt` does."""
    points, labels = (prompt.points, prompt.labels) if prompt.points else (None, prompt.labels or None)
    given = {"points": points, "labels": labels, "box": prompt.box, "mask": prompt.mask}
    return make_prompt(prompt.object_id, prompt.frame, shape, **given)  # type: ignore[arg-type]


def _checked_points(points: ArrayLike | None, size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    if points is None:
        return ()
    array = _numbers(points, "Points are (y, x) pairs of numbers")
    if not array.size:
        return ()
    if array.shape[-1:] != (2,) or array.ndim > 2:
        raise PromptError(f"Points are (y, x) pairs, of the shape (N, 2); got the shape {array.shape}.")
    array = np.atleast_2d(array)
    for y, x in array:
        if not (-0.5 <= y <= size[0] - 0.5 and -0.5 <= x <= size[1] - 0.5):  # also false for nan
            raise PromptError(f"The point (y={y:.1f}, x={x:.1f}) lies outside the frame of {size[0]} x {size[1]} pixels.")
    return tuple((float(y), float(x)) for y, x in array)


def _numbers(value: ArrayLike, otherwise: str) -> NDArray[np.float64]:
    found = array_of(value, PromptError, otherwise)
    bad = PromptError(f"{otherwise}; got {' '.join(repr(value).split())}.")
    if np.ma.is_masked(value) or found.dtype.kind in "bcmMV":
        raise bad
    try:
        return np.asarray(found, dtype=float)
    except (TypeError, ValueError):
        raise bad from None


def _checked_labels(labels: int | Sequence[int] | None, count: int) -> tuple[int, ...]:
    given = [1] * count if labels is None else labels
    kinds = np.ravel(array_of(given, PromptError, "Labels are 1 or 0")).tolist()  # one number for one point is fine
    if len(kinds) != count:
        raise PromptError(f"{counted(count, 'point needs', 'points need')} {counted(count, 'label')}; got {len(kinds)}.")
    if bad := [kind for kind in kinds if kind not in (0, 1)]:
        raise PromptError(f"A point's label is 1 (the object) or 0 (not the object); got {bad[0]}.")
    return tuple(int(kind) for kind in kinds)


def _checked_box(box: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    corners = _numbers(box, "A box is four numbers (y0, x0, y1, x1)")
    if corners.shape != (4,):
        raise PromptError(f"A box is four numbers (y0, x0, y1, x1); got {corners.size} of the shape {corners.shape}.")
    y0, x0, y1, x1 = corners.tolist()
    if not (y0 < y1 and x0 < x1):
        raise PromptError(f"The box (y0={y0:g}, x0={x0:g}, y1={y1:g}, x1={x1:g}) has no area: y0 < y1 and x0 < x1.")
    if y1 <= 0 or x1 <= 0 or y0 >= size[0] or x0 >= size[1]:
        raise PromptError(
            f"The box (y0={y0:g}, x0={x0:g}, y1={y1:g}, x1={x1:g}) lies outside the frame of {size[0]} x {size[1]} pixels."
        )
    return max(y0, 0.0), max(x0, 0.0), min(y1, float(size[0])), min(x1, float(size[1]))


def _checked_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    array = binary_mask(mask, size, PromptError)
    if not array.any():
        raise PromptError("The mask prompt is empty: to say that an object is absent, mark it as absent instead.")
    return array


def merge(old: Prompt | None, new: Prompt) -> Prompt:
    """Add a prompt to what was said before of that object on that frame.

    Points add up, a new box takes the place of the old one; a mask takes the place of everything, and everything that of
    a mask.
    """
    if old is None or new.mask is not None or old.mask is not None:
        return new
    points, labels = old.points + new.points, old.labels + new.labels
    return Prompt(new.object_id, new.frame, points, labels, new.box or old.box)


def only_excludes(prompt: Prompt) -> bool:
    """Return whether a prompt says where the object is not, and no more."""
    return prompt.mask is None and prompt.box is None and bool(prompt.labels) and not any(prompt.labels)


def with_inside(prompt: Prompt, mask: NDArray[np.bool_], *, always: bool = False) -> Prompt:
    """Add to negative points alone, or ``always`` to points, a positive one in what is known of the object, ``(Y, X)``.

    Networks of SAM's kind lose the object that a mask prompt shows when they hear only where it is not, or where more of it is.
    """
    if not (only_excludes(prompt) or (always and prompt.box is None and prompt.points)) or not mask.any():
        return prompt
    excluded = [point for point, label in zip(prompt.points, prompt.labels, strict=True) if not label]
    return replace(prompt, points=(inside_point(mask, excluded), *prompt.points), labels=(1, *prompt.labels))


def inside_point(mask: NDArray[np.bool_], far_from: Iterable[tuple[float, float]] = ()) -> tuple[float, float]:
    """Return the point ``(y, x)`` that lies deepest in a mask ``(Y, X)`` which is not empty, and far from others."""
    found = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    (y0, y1), (x0, x1) = ((int(at[0]), int(at[-1]) + 1) for at in found)
    crop = mask[y0:y1, x0:x1]
    depth = distance_transform_edt(np.pad(crop, 1))[1:-1, 1:-1]
    rows, columns = np.ogrid[y0:y1, x0:x1]
    for y, x in far_from:
        depth = np.minimum(depth, np.hypot(rows - y, columns - x) / 2)
    deepest = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(y0 + deepest[0]), float(x0 + deepest[1])


def to_network(prompt: Prompt, size: tuple[int, int], image_size: int) -> tuple[Tensor, Tensor]:
    """Return points ``(1, N, 2)`` as ``(x, y)`` in pixels of the input, and labels ``(1, N)``; the box comes first.

    The one place where the video's ``(y, x)`` becomes SAM's ``(x, y)``.
    """
    points = [(x, y) for y, x in prompt.points]
    labels = list(prompt.labels)
    if prompt.box is not None:
        y0, x0, y1, x1 = prompt.box
        points = [(x0, y0), (x1, y1), *points]
        labels = [BOX_FIRST, BOX_SECOND, *labels]
    scale = torch.tensor((image_size / size[1], image_size / size[0]))
    return torch.tensor(points, dtype=torch.float32)[None] * scale, torch.tensor(labels)[None]


def _cells(mask: NDArray[np.bool_], side: int) -> tuple[Tensor, float]:
    """Return the part of each cell of ``(1, 1, S, S)`` that a mask ``(Y, X)`` fills; and from which part on a cell counts.

    That is one half, as in SAM 2, but where the cells that have as much hold less than half of the mask: of a thread of one
    pixel in 1080p, also if it has a knot. Then it is half of what such cells have: by the median over its pixels.
    """
    image = torch.from_numpy(mask.astype(np.float32))[None, None]
    small = F.interpolate(image, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    parts = small.flatten().sort().values
    upto = parts.cumsum(0, dtype=torch.float64)
    middle = float(parts[int(torch.searchsorted(upto, upto[-1] / 2))])
    return small, 0.5 if middle >= 0.5 or not mask.any() else THIN * middle


def mask_to_network(mask: NDArray[np.bool_], image_size: int) -> Tensor:
    """Return a mask ``(Y, X)`` as ``(1, 1, S, S)`` of 0 and 1: antialiased, then cut at one half, or lower if it is thin."""
    small, least = _cells(mask, image_size)
    return (small >= least).float()


def too_thin(mask: NDArray[np.bool_], image_size: int) -> str:
    """Say what to do about a mask ``(Y, X)`` that the network hardly sees; "" of all others."""
    least = _cells(mask, image_size)[1]
    if least == 0.5:
        return ""
    wanted = math.ceil(image_size * 0.5 * THIN / least / 64) * 64
    return (
        f"The object is too thin or small for an input of {image_size} px, so it may be lost. Take an image_size of about "
        f"{wanted}, or let a crop follow it (crop=True, --crop)."
    )
