"""What formats of one label a pixel have in common."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets.protocol import Masklets


def flatten(masks: Mapping[int, NDArray[np.bool_]], size: tuple[int, int]) -> tuple[NDArray[np.int32], int]:
    """Return labels ``(Y, X)`` and the pixels lost where objects overlap; the lowest id wins, as in DAVIS folders."""
    labels = np.zeros(size, dtype=np.int32)
    lost = 0
    for object_id in sorted(masks, reverse=True):
        mask = masks[object_id]
        if mask.shape != size:
            raise FormatError(f"The mask of object {object_id} is {mask.shape}, the video {size}.")
        lost += int(np.count_nonzero(labels[mask]))
        labels[mask] = object_id
    return labels, lost


def shape_of(masklets: Masklets) -> tuple[int, int, int]:
    """Return ``(T, Y, X)``: what the masklets say, or what their frames and masks show.

    Raises
    ------
    FormatError
        If no frame is annotated, or the size cannot be known because no object is on any frame.
    """
    shape = getattr(masklets, "shape", None)
    if shape is not None:
        return int(shape[0]), int(shape[1]), int(shape[2])
    frames = list(masklets.frames)
    for frame in frames:
        for mask in masklets.masks(frame).values():
            height, width = mask.shape
            return frames[-1] + 1, height, width
    raise FormatError("No object is on any frame, so there is nothing to write.")
