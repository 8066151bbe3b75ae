"""COCO's run lengths: column by column, the first run of background, packed into a short string."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.foreign_files import whole
from napari_sam2s.masklets import rle
from napari_sam2s.wording import counted

_FINE = 5  # points of pycocotools' grid for polygons, a pixel
_FAR = 1e6  # pixels


def encode_rle(mask: rle.Mask, size: tuple[int, int]) -> dict[str, Any]:
    """Return ``{"size": [Y, X], "counts": str}`` of a mask in a frame of ``size (Y, X)``, as pycocotools writes it.

    The time it takes goes with the mask's box, not with the frame.
    """
    return {"size": list(size), "counts": pack_counts(counts_of(mask, size))}


def counts_of(mask: rle.Mask, size: tuple[int, int]) -> list[int]:
    """Return the run lengths of a mask in a frame of ``size (Y, X)``, column by column, the first of background."""
    height, width = size
    closed = np.pad(rle.decode_crop(mask).T, ((0, 0), (1, 1)))  # (x, y): runs end with their column
    x, y = np.nonzero(closed[:, 1:] != closed[:, :-1])  # where runs start and end by turns
    bounds = (x + mask.x0) * height + y + mask.y0
    # A run that reaches the frame's lower edge goes on at the top of the next column.
    joined = np.flatnonzero(bounds[1:-1:2] == bounds[2::2]) * 2 + 1
    bounds = np.delete(bounds, np.concatenate((joined, joined + 1)))
    counts = np.diff(np.concatenate(([0], bounds, [height * width])))
    if len(counts) > 1 and counts[-1] == 0:
        counts = counts[:-1]
    lengths: list[int] = counts.tolist()
    return lengths


def decode_rle(runs: Mapping[str, Any], size: tuple[int, ...] | None = None) -> NDArray[np.bool_]:
    """Return the mask ``(Y, X)`` of packed or plain runs.

    Raises :class:`FormatError` if the runs do not fill their size, are no runs, or are of another size than ``size (Y, X)``,
    if that is known.
    """
    try:
        height, width = (whole(n) for n in runs["size"])
        counts = unpack_counts(runs["counts"]) if isinstance(runs["counts"], str) else [whole(n) for n in runs["counts"]]
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"A mask is not in COCO's run-length format ({error!r}).") from error
    if size is not None and (height, width) != tuple(size):
        raise FormatError(
            f"A mask has {(height, width)} pixels (Y, X), its frames are of {tuple(size)}: give one of this video."
        )
    if sum(counts) != height * width or min(counts, default=0) < 0:
        raise FormatError(f"Runs of {counted(sum(counts), 'pixel')} do not fill a picture of {(height, width)} (Y, X).")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T.copy()


def decode_segmentation(segmentation: Any, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the mask ``(Y, X)`` of run lengths, or of polygons ``[x, y, x, y, ...]``, drawn as by pycocotools.

    Raises :class:`FormatError` if it is neither.
    """
    if not isinstance(segmentation, list):
        return decode_rle(segmentation, size)
    if not segmentation:
        raise FormatError("An annotation has neither a mask nor a polygon, perhaps a box alone: export the masks.")
    mask = np.zeros(tuple(size), np.bool_)
    for polygon in segmentation:
        mask |= _draw_polygon(polygon, (int(size[0]), int(size[1])))
    return mask


def _draw_polygon(polygon: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return what is inside: its outline is walked on a grid five times as fine, as in pycocotools' ``rleFrPoly``."""
    try:
        corners = np.array(polygon, np.float64)
    except (TypeError, ValueError):
        corners = np.empty(0)
    if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2 or not (np.abs(corners) < _FAR).all():
        raise FormatError("A polygon is no list x, y, x, y, ... of three points or more: correct or delete it.")
    fine = np.trunc(corners.reshape(-1, 2) * _FINE + 0.5).astype(np.int64)
    walked = [_edge(a, b) for a, b in zip(fine, np.roll(fine, -1, 0), strict=True)]
    u, v = np.concatenate(walked, axis=1)
    turns = np.flatnonzero(np.diff(u)) + 1  # where it goes on to another column of the fine grid
    x = (np.where(u[turns] < u[turns - 1], u[turns], u[turns] - 1) + 0.5) / _FINE - 0.5
    y = np.ceil(((np.minimum(v[turns], v[turns - 1]) + 0.5) / _FINE - 0.5).clip(0, size[0]))
    inside = (np.floor(x) == x) & (x >= 0) & (x <= size[1] - 1)
    places = (x[inside] * size[0] + y[inside]).astype(np.int64)
    crossed = np.cumsum(np.bincount(places, minlength=size[0] * size[1] + 1))[:-1]
    return (crossed % 2 == 1).reshape(size[1], size[0]).T


def _edge(start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the points ``(2, N)`` of a straight line on a grid, from the same end on whichever way it is walked."""
    dx, dy = (int(n) for n in np.abs(end - start))
    flat = dx >= dy
    flip = start[0] > end[0] if flat else start[1] > end[1]
    (x0, y0), (x1, y1) = ((int(a), int(b)) for a, b in ((end, start) if flip else (start, end)))
    along = np.arange(max(dx, dy) + 1)
    if flip:
        along = along[::-1]
    slope = ((y1 - y0) if flat else (x1 - x0)) / max(dx, dy, 1)
    across = np.trunc((y0 if flat else x0) + slope * along + 0.5).astype(np.int64)
    return np.stack((along + x0, across) if flat else (across, along + y0))


def pack_counts(counts: Sequence[int]) -> str:
    """Pack run lengths: from the fourth on the difference from the one two before, in base 32 with a carry bit."""
    text = []
    for n, count in enumerate(counts):
        value = count - counts[n - 2] if n > 2 else count
        more = True
        while more:
            digit = value & 31
            value >>= 5
            more = value != (-1 if digit & 16 else 0)
            text.append(chr((digit | 32 if more else digit) + 48))
    return "".join(text)


def unpack_counts(text: str) -> list[int]:
    """Unpack what :func:`pack_counts` packs. Raises :class:`FormatError` if the string ends in the middle of a number."""
    counts: list[int] = []
    at = 0
    while at < len(text):
        value = shift = 0
        more = True
        while more:
            if at >= len(text):
                raise FormatError("A run-length string ends in the middle of a number.")
            digit = ord(text[at]) - 48
            value |= (digit & 31) << shift
            more = bool(digit & 32)
            at, shift = at + 1, shift + 5
            if not more and digit & 16:
                value |= -1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts
