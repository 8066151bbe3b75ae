"""Small pictures with alpha, laid turned and scaled over larger ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Patch:
    """The pixels of a picture with alpha ``(h, w, 4)`` in double precision, and how far from its middle it is seen."""

    def __init__(self, picture: NDArray[np.float32]) -> None:
        self.shape = h, w = picture.shape[:2]
        self.pixels = picture.reshape(h * w, 4).astype(np.float64)
        seen = picture[..., 3] > 0
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        # Much of a patch is clear, and that needs no drawing. Towards the next pixel it fades.
        self.extent = (
            (rows[0] - 1 - (h - 1) / 2, rows[-1] + 1 - (h - 1) / 2, columns[0] - 1 - (w - 1) / 2, columns[-1] + 1 - (w - 1) / 2)
            if len(rows)
            else (0.0, 0.0, 0.0, 0.0)
        )


def paste(
    image: NDArray[np.float32],
    owner: NDArray[np.uint8],
    number: int,
    patch: Patch,
    centre: tuple[float, float],
    angle: float,
    scale: float,
) -> None:
    """Lay a turned and scaled patch over an image, in place, and note in ``owner`` whose the pixels are now.

    Parameters
    ----------
    image, owner
        ``(3, Y, X)`` and ``(Y, X)``; ``number`` is written into the latter where the patch covers half of a pixel or more.
    centre
        Of the patch, ``(y, x)`` in pixels of the image.
    angle, scale
        Of the patch against the image, the angle in radians.
    """
    h, w = patch.shape
    c, s = np.cos(angle), np.sin(angle)
    y0, y1, x0, x1 = patch.extent
    ys, xs = zip(*((c * v + s * u, c * u - s * v) for v in (y0, y1) for u in (x0, x1)), strict=True)
    top, left = max(int(centre[0] + scale * min(ys)) - 1, 0), max(int(centre[1] + scale * min(xs)) - 1, 0)
    bottom = min(int(centre[0] + scale * max(ys)) + 2, image.shape[1])
    right = min(int(centre[1] + scale * max(xs)) + 2, image.shape[2])
    if top >= bottom or left >= right:
        return
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(centre[0])
    dx = np.arange(left, right, dtype=np.float32)[None] - np.float32(centre[1])
    c, s = np.float32(c / scale), np.float32(s / scale)
    v, u = c * dy - s * dx + np.float32((h - 1) / 2), s * dy + c * dx + np.float32((w - 1) / 2)
    inside = (v > 0) & (v < h - 1) & (u > 0) & (u < w - 1)
    i, j = v.clip(0, h - 2).astype(np.intp), u.clip(0, w - 2).astype(np.intp)
    p, q = v - i, u - j
    index = i * w + j
    # For every channel: numpy is slow at spreading a number over four.
    right_share, lower_share = np.repeat(q.reshape(-1, 1), 4, axis=1), np.repeat(p.reshape(-1, 1), 4, axis=1)
    index = index.reshape(-1)
    rows = []
    for first in (index, index + w):
        row, after = patch.pixels.take(first, axis=0), patch.pixels.take(first + 1, axis=0)
        row *= 1 - right_share
        after *= right_share
        row += after
        rows.append(row)
    upper, lower = rows
    upper *= 1 - lower_share
    lower *= lower_share
    upper += lower
    sampled = np.ascontiguousarray(upper.T).reshape(4, *i.shape)
    colour, alpha = sampled[:3], sampled[3] * inside
    box = image[:, top:bottom, left:right]
    colour -= box
    colour *= alpha
    box += colour
    owner[top:bottom, left:right][alpha >= 0.5] = number
