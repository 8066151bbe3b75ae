"""Masks that are wrong as those of tracked frames are: a part is lost, a neighbour is taken in, the mask has slid away.

A network whose head for first prompts corrects tracked frames, too, learns from these what a click on such a mask means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.evaluation.clicks import box_of

Mask = NDArray[np.bool_]  # (S, S)
TWICE = 0.3  # share of masks with two faults
RADIUS = (0.25, 0.8)  # of what is lost or taken in, of the root of the object's area
ASPECT = 2.5  # of its longer half axis to the shorter one, at most
SLIDE = 0.35  # of the object's extent, at most


def wrong_masks(rng: np.random.Generator, masks: NDArray[np.bool_], clip_of: Sequence[int]) -> NDArray[np.bool_]:
    """Return :func:`wrong_mask` of each object ``(N, S, S)``; ``clip_of`` says of which picture it is."""
    others = [[m for k, m in enumerate(masks) if k != n and clip_of[k] == clip_of[n]] for n in range(len(masks))]
    return np.stack([wrong_mask(rng, mask, near) for mask, near in zip(masks, others, strict=True)])


def wrong_mask(rng: np.random.Generator, mask: Mask, neighbours: list[Mask]) -> Mask:
    """Return a mask of a visible object that is wrong in one or two ways, and never empty.

    Parameters
    ----------
    rng
        Draws the faults.
    mask
        The true one.
    neighbours
        Masks of other visible objects of the picture; may be empty.
    """
    found = mask
    for _ in range(1 + int(rng.random() < TWICE)):
        kind = rng.random()
        if neighbours and kind < 0.35:
            other = neighbours[rng.integers(len(neighbours))]
            changed = found | (other if rng.random() < 0.5 else other & _blob(rng, mask, other))
        elif kind < 0.55:
            changed = found | _blob(rng, mask, mask)
        elif kind < 0.85:
            changed = found & ~_blob(rng, mask, mask)
        else:
            changed = _slid(rng, found)
        found = changed if changed.any() else found
    return found


def _blob(rng: np.random.Generator, mask: Mask, around: Mask) -> Mask:
    """Return an ellipse as large as a part of ``mask``, in the middle of which is a pixel of ``around``."""
    pixels = np.argwhere(around)
    y, x = pixels[rng.integers(len(pixels))]
    radius = rng.uniform(*RADIUS) * np.sqrt(mask.sum())
    aspect, angle = np.sqrt(rng.uniform(1, ASPECT)), rng.uniform(0, np.pi)
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    along = (rows - y) * np.sin(angle) + (columns - x) * np.cos(angle)
    across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    return np.asarray((along / aspect) ** 2 + (across * aspect) ** 2 <= radius**2)


def _slid(rng: np.random.Generator, mask: Mask) -> Mask:
    top, left, bottom, right = box_of(mask)
    dy, dx = (round(rng.uniform(-SLIDE, SLIDE) * side) for side in (bottom - top, right - left))
    found = np.zeros_like(mask)
    height, width = mask.shape
    to = slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0))
    of = slice(max(-dy, 0), height + min(-dy, 0)), slice(max(-dx, 0), width + min(-dx, 0))
    found[to] = mask[of]
    return found
