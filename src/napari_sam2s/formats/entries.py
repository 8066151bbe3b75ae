"""Masks with all that is known of them, of projects and of masklets that are masks alone."""

from __future__ import annotations

import numpy as np

from napari_sam2s.masklets import Project, rle
from napari_sam2s.masklets.mask_queries import Entry
from napari_sam2s.masklets.protocol import Masklets


def entries_of(masklets: Masklets, frame: int) -> list[Entry]:
    """Return what is known of the objects on an annotated frame, by object id."""
    if isinstance(masklets, Project):
        return masklets.entries(frame)
    masks = sorted(masklets.masks(frame).items())
    return [Entry(i, rle.encode(np.asarray(mask, dtype=bool))) for i, mask in masks]
