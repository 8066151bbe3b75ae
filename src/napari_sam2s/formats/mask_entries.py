"""What a writer asks of masklets, be they a project, a folder or an array: frames, size, masks, one label a pixel."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.labels import label_image
from napari_sam2s.masklets.mask_queries import Entry
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object
from napari_sam2s.masklets.validation import binary_mask


def annotated_frames(masklets: Masklets, video: str) -> list[int]:
    """Return the annotated frames, ascending.

    Raises
    ------
    FormatError
        If there are none.
    """
    frames = list(masklets.frames)
    if not frames:
        raise FormatError(f"{video} has no annotated frames to write.")
    return frames


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


def entries_of(masklets: Masklets, frame: int) -> list[Entry]:
    """Return what is known of the objects on an annotated frame, by object id: of projects all, of others the masks."""
    known = getattr(masklets.masks, "entries", None)
    if known is not None:
        return list(known(frame))
    masks = sorted(masklets.masks(frame).items())
    return [Entry(i, rle.encode(binary_mask(mask, np.shape(mask), FormatError))) for i, mask in masks]


def labels_of(
    masks: Mapping[int, NDArray[np.bool_]], objects: Iterable[Object], size: tuple[int, int]
) -> tuple[NDArray[np.int32], int]:
    """Return the label image of a frame, ``(Y, X)``, and how many pixels are lost in it where objects overlap."""
    labels = label_image(masks, objects, size)
    return labels, sum(int(np.count_nonzero(mask)) for mask in masks.values()) - int(np.count_nonzero(labels))


def warn_of_overlaps(video: str, lost: int) -> None:
    """Warn of pixels that were lost where objects overlap."""
    if lost:
        text = f"{video}: objects overlap; {lost} pixels went to the object further down the object table."
        warnings.warn(text, stacklevel=3)
