"""The connected parts of a mask."""

from __future__ import annotations

import numpy as np

from napari_sam2s.masklets import rle

ALIKE = 0.4  # the smaller part by the larger one, from which on an object has fallen in two


MOST = 5  # parts of a mask that are looked at


def parts_of(mask: rle.Mask) -> list[rle.Mask]:
    """Return the largest connected parts of a mask, the largest first, at most ``MOST``."""
    from scipy import ndimage

    parts, count = ndimage.label(rle.decode_crop(mask), structure=np.ones((3, 3), dtype=int))
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    return [rle.encode(parts == n + 1, (mask.y0, mask.x0)) for n in np.argsort(-areas, kind="stable")[:MOST]]


def likeness(mask: rle.Mask | None) -> float:
    """Return the area of the second largest part by that of the largest: 0 for a mask in one part, or none."""
    parts = parts_of(mask) if mask is not None and mask.area else []
    return parts[1].area / parts[0].area if len(parts) > 1 else 0.0
