"""The connected parts of a mask."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import rle

ALIKE = 0.4  # the smaller part by the larger one, from which on an object has fallen in two


MOST = 5  # parts of a mask that are looked at
THIN, COVERED = 0.5, 0.8  # of the way between two parts: what may be hidden at most, and how much of that others cover


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


def hidden_between(mask: rle.Mask, others: Iterable[rle.Mask]) -> bool:
    """Whether the two largest parts of a mask are one thing behind something thin: other masks fill the way between them."""
    a, b = rle.centres_of(parts_of(mask)[:2])
    way = np.rint(np.linspace(a, b, int(np.abs(b - a).max()) + 2)).astype(int)
    gap = ~_on(mask, way)
    covered = np.zeros_like(gap)
    for other in others:
        covered |= _on(other, way)
    return bool(0 < gap.sum() <= THIN * len(way) and (covered & gap).sum() >= COVERED * gap.sum())


def _on(mask: rle.Mask, pixels: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Return which pixels ``(N, 2)``, y and x, a mask has."""
    places = pixels - (mask.y0, mask.x0)
    inside: NDArray[np.bool_] = np.all((places >= 0) & (places < (mask.height, mask.width)), axis=1)
    if inside.any():
        inside[inside] = rle.decode_crop(mask)[tuple(places[inside].T)]
    return inside
