"""Colours of objects: far from each other to the eye, in CIELAB."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Colour = tuple[int, int, int]  # RGB, 0 to 255

# Chosen one by one, each as far as can be in CIELAB from all before it: a field of nuclei has more neighbours than ten colours.
_FURTHER = bytes.fromhex(
    "0000ffff00f000ff005a4b0fffd2a5ff0096003cd200ffffff003c00ffa5872d1e0f5a00a50096b4f0b4ff87ffa5f0002d87ffa53cff"
    "a50f5a878700ffd2ff00c31eb47869007878b4782d87965a693c6969c3c3ff3c0000962de1e187a500001e4ba5a55ae1e1005aff9669"
    "a5a5f087ff78ffb4b4ffc36900e1b4f05a4bff69b4873c4b3c5a2d7800b4ff0fc378e187ffa5f02d3cff3ca5ff963c87a5002da5b400"
)
# Okabe and Ito's colours, told apart by most colour-blind people, then more of the same kind, then the further ones.
COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (148, 103, 189),
    (140, 200, 75),
    (255, 127, 140),
    *zip(_FURTHER[::3], _FURTHER[1::3], _FURTHER[2::3], strict=True),
)
CLEAR = 45.0  # in CIELAB: apart by so much, two colours are told apart side by side and far from each other
# Where all of COLOURS are taken: all shades of a coarse grid that are neither black nor nearly so.
_SHADES = tuple((r, g, b) for r in range(0, 256, 51) for g in range(0, 256, 51) for b in range(0, 256, 51) if r + g + b > 150)
GIVEN = COLOURS + _SHADES  # what objects get that nobody chose a colour for
_WHITE = np.array([0.95047, 1.0, 1.08883])  # of daylight, D65
_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])


def lab(colours: ArrayLike) -> NDArray[np.float64]:
    """Return colours ``(..., 3)``, sRGB from 0 to 255, in CIELAB (D65), where distances are what the eye sees."""
    rgb = np.asarray(colours, dtype=np.float64) / 255
    light = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    share = light @ _XYZ.T / _WHITE
    x, y, z = np.moveaxis(np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@lru_cache(8)
def _lab_of(colours: Sequence[Colour]) -> NDArray[np.float64]:
    return lab(colours)


def unlike(taken: Sequence[Colour], among: Sequence[Colour] = GIVEN) -> Colour:
    """Return a colour for a new object: the first usual one that is clear of all that are taken, else the one furthest off.

    With all of them taken, they begin again.
    """
    if not taken:
        return among[0]
    apart = np.linalg.norm(_lab_of(tuple(among))[:, None] - lab(sorted(set(taken)))[None], axis=-1).min(axis=1)
    clear = next((c for c, far in zip(among, apart, strict=True) if far >= CLEAR and c in COLOURS), None)
    if clear is not None:
        return clear
    return among[int(apart.argmax()) if apart.any() else len(taken) % len(among)]
