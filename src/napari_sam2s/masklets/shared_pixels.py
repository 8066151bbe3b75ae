"""Pixels that two objects claim on a frame: which objects a mask covers, and the mask without them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets.project import Project

COVERS = 0.1  # of the smaller of two masks, from which on one covers the other


def covered(project: Project, frame: int, object_id: int, least: float = COVERS) -> dict[int, float]:
    """Return the other objects that a mask covers, ``{object id: part of the smaller of the two masks}``, the most first."""
    masks = project.masks(frame)
    mine = masks.pop(object_id, None)
    if mine is None or not mine.any():
        return {}
    area = np.count_nonzero(mine)
    shares = {}
    for i, other in masks.items():
        both = np.count_nonzero(mine & other)
        if both and (share := both / min(area, np.count_nonzero(other))) >= least:
            shares[i] = float(share)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def without(project: Project, frame: int, object_id: int, *others: int) -> NDArray[np.bool_]:
    """Return the mask ``(Y, X)`` of an object on a frame without what others cover."""
    masks = project.masks(frame)
    left = masks.get(object_id, np.zeros(project.shape[1:], dtype=bool)).copy()
    for i in others:
        if i in masks:
            left &= ~masks[i]
    return left
