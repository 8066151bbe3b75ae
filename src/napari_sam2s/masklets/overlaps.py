"""Where objects overlap: which one is seen, which ones a mask covers, and a mask without what others claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.types import Object

COVERS = 0.1  # of the smaller of two masks, from which on one covers the other


def label_image(
    masks: Mapping[int, NDArray[np.bool_] | rle.Mask],
    objects: Iterable[Object],
    size: tuple[int, int],
    dtype: DTypeLike = np.int32,
) -> NDArray[Any]:
    """Return masks as one image of ids, ``(Y, X)`` of ``dtype``; 0 is background.

    Where objects overlap, the one further down the object table covers the others: the one of higher ``order``, and of two
    with the same order the one of higher id. Objects without a place in a table (of folders and arrays) are of order 0, so
    the higher id covers. This is the one rule: the Labels view, every file with one label a pixel and every picture of masks
    follow it.

    Raises :class:`FormatError` if a mask has another size.
    """
    order = {o.id: o.order for o in objects}
    image = np.zeros(size, dtype=dtype)
    for object_id in sorted(masks, key=lambda i: (order.get(i, 0), i)):
        mask = masks[object_id]
        if isinstance(mask, rle.Mask):
            crop = rle.crop_in(mask, size)
            part = image[mask.y0 : mask.y0 + mask.height, mask.x0 : mask.x0 + mask.width]
            np.copyto(part, np.asarray(object_id, image.dtype), where=crop)
        elif mask.shape != size:
            raise FormatError(f"The mask of object {object_id} is {mask.shape}, the video {size}.")
        else:
            image[mask] = object_id
    return image


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the intersection over the union of two masks ``(Y, X)``, the J of DAVIS; 1 where both are empty."""
    common = np.count_nonzero(one & other)
    union = np.count_nonzero(one) + np.count_nonzero(other) - common
    return common / union if union else 1.0


def covered(masks: Mapping[int, NDArray[np.bool_]], object_id: int) -> dict[int, float]:
    """Return which other masks of a frame one covers, ``{object id: part of the smaller of the two masks}``, the most first."""
    mine = masks.get(object_id)
    if mine is None or not mine.any():
        return {}
    area = np.count_nonzero(mine)
    shares = {}
    for i, other in masks.items():
        both = np.count_nonzero(mine & other) if i != object_id else 0
        if both and (share := both / min(area, np.count_nonzero(other))) >= COVERS:
            shares[i] = float(share)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def without(masks: Mapping[int, NDArray[np.bool_]], object_id: int, *others: int) -> NDArray[np.bool_]:
    """Return the mask ``(Y, X)`` of an object, of those of a frame, without what others cover."""
    left = masks[object_id].copy()
    for i in others:
        if i in masks:
            left &= ~masks[i]
    return left
