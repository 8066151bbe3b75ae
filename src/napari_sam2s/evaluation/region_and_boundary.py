"""Region similarity J, boundary accuracy F and their relatives, of two masks (Perazzi et al. 2016, DAVIS)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from napari_sam2s.masklets.overlaps import iou as iou  # the field's J

BOUNDARY_TOLERANCE = 0.008  # of the picture's diagonal

Mask = NDArray[np.bool_]


def dice(prediction: Mask, truth: Mask) -> float:
    """Return twice the intersection over the sum of areas; 1 where both are empty."""
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(prediction & truth) / total if total else 1.0


def boundary(mask: Mask) -> Mask:
    """Return the pixels that differ from their right, lower or lower right neighbour, ``(Y, X)``.

    The last row and column are compared along the edge only, so a mask that fills the frame has no boundary.
    """
    edges = np.zeros_like(mask)
    edges[:-1, :-1] = (mask[:-1, :-1] ^ mask[:-1, 1:]) | (mask[:-1, :-1] ^ mask[1:, :-1]) | (mask[:-1, :-1] ^ mask[1:, 1:])
    edges[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    edges[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return edges


def tolerance_px(shape: tuple[int, int], share: float = BOUNDARY_TOLERANCE) -> int:
    """Return by how many pixels boundaries may differ, for a frame ``(Y, X)``."""
    return math.ceil(share * math.hypot(*shape))


def boundary_f(prediction: Mask, truth: Mask, share: float = BOUNDARY_TOLERANCE) -> float:
    """Return F: the harmonic mean of how much of either boundary lies near the other; 1 where both have none."""
    box = _joint_box(prediction, truth)
    if box is None:
        return 1.0
    radius = tolerance_px(prediction.shape, share)
    # The box has a margin of one pixel where the frame has, so boundaries in it are those of the whole frame.
    ours, theirs = boundary(prediction[box]), boundary(truth[box])
    ours_count, theirs_count = np.count_nonzero(ours), np.count_nonzero(theirs)
    if not ours_count and not theirs_count:
        return 1.0
    if not ours_count or not theirs_count:
        return 0.0
    precision = _near(ours, theirs, radius) / ours_count
    recall = _near(theirs, ours, radius) / theirs_count
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _joint_box(a: Mask, b: Mask) -> tuple[slice, slice] | None:
    """Return where either mask is, with a margin of one pixel inside the frame."""
    rows = np.flatnonzero(a.any(axis=1) | b.any(axis=1))
    if not len(rows):
        return None
    top, bottom = max(int(rows[0]) - 1, 0), int(rows[-1]) + 2
    columns = np.flatnonzero(a[top:bottom].any(axis=0) | b[top:bottom].any(axis=0))
    return slice(top, bottom), slice(max(int(columns[0]) - 1, 0), int(columns[-1]) + 2)


def _near(points: Mask, others: Mask, radius: int) -> int:
    """Count the pixels of ``points`` that have one of ``others`` within ``radius``.

    The same as dilating ``others`` by a disk and intersecting, but only looked up where there are points: a disk is a pile
    of horizontal runs, and how many of ``others`` a run holds is a difference of two running sums. The rows nearest to the
    points come first, and only what they leave open is looked up in the next ones.
    """
    height, width = others.shape
    sums = np.zeros((height + 2 * radius, width + 1), dtype=np.int32)
    np.cumsum(others, axis=1, out=sums[radius : radius + height, 1:])
    flat = sums.ravel()
    y, x = np.divmod(np.flatnonzero(points), width)
    start = (y + radius) * sums.shape[1]
    count = len(x)
    for dy, reach in _disk(radius):
        rows = start + dy * sums.shape[1]
        right = np.minimum(x + (reach + 1), width)
        left = np.maximum(x - reach, 0)
        far = (flat[rows + right] == flat[rows + left]).all(axis=0)
        start, x = start[far], x[far]
        if not len(x):
            break
    return count - len(x)


@lru_cache(maxsize=64)
def _disk(radius: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the rows of a disk, the pixels with ``dx ** 2 + dy ** 2 <= radius ** 2``, in groups from its middle outward.

    A group is ``dy`` and how far each row reaches, both ``(N, 1)``.
    """
    groups = []
    first = 0
    while first <= radius:
        last = min(max(2 * first, 1), radius + 1)
        dy = np.array([d for k in range(first, last) for d in ((k, -k) if k else (0,))])[:, None]
        groups.append((dy, np.array([[math.isqrt(radius * radius - int(d) ** 2)] for d in dy[:, 0]])))
        first = last
    return groups


def surface_distances(prediction: Mask, truth: Mask, spacing: tuple[float, float] = (1.0, 1.0)) -> tuple[NDArray, NDArray]:
    """Return the distance of every surface pixel of either mask to the other's surface, in units of ``spacing``.

    The surface of a mask are its pixels with a 4-neighbour outside of it, the picture's edge counting as outside.
    """
    ours, theirs = _surface(prediction), _surface(truth)
    to_theirs = distance_transform_edt(~theirs, sampling=spacing)
    to_ours = distance_transform_edt(~ours, sampling=spacing)
    return to_theirs[ours], to_ours[theirs]


def _surface(mask: Mask) -> Mask:
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def hausdorff_95(prediction: Mask, truth: Mask, spacing: tuple[float, float] = (1.0, 1.0)) -> float:
    """Return the larger of both directions' 95th percentile of surface distances; 0 if both are empty, nan if one is."""
    if not prediction.any() and not truth.any():
        return 0.0
    if not prediction.any() or not truth.any():
        return math.nan
    ours, theirs = surface_distances(prediction, truth, spacing)
    return float(max(np.percentile(ours, 95), np.percentile(theirs, 95)))


def surface_dice(prediction: Mask, truth: Mask, tolerance: float, spacing: tuple[float, float] = (1.0, 1.0)) -> float:
    """Return NSD: the share of both surfaces that lies within ``tolerance`` of the other; 1 if both are empty, 0 if one is."""
    if not prediction.any() and not truth.any():
        return 1.0
    if not prediction.any() or not truth.any():
        return 0.0
    ours, theirs = surface_distances(prediction, truth, spacing)
    return float((np.count_nonzero(ours <= tolerance) + np.count_nonzero(theirs <= tolerance)) / (len(ours) + len(theirs)))
