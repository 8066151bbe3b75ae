"""Procedural tissue: a large picture of an abdominal cavity that a camera moves over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_sam2s.masklets.types import Object

Rng = np.random.Generator
HIDING_DEPTH = 0.33  # of blood, from which it covers half of what lies below
DECAY = 0.55  # of noise, from one scale to the next
STRIP = 16  # rows that are worked on at once
BLOOD = (0.36, 0.015, 0.02)
PALETTES = (  # from shade to light, RGB in [0, 1]
    ((0.22, 0.03, 0.04), (0.62, 0.17, 0.15), (0.93, 0.55, 0.47)),
    ((0.28, 0.06, 0.05), (0.72, 0.33, 0.22), (0.97, 0.80, 0.55)),
    ((0.18, 0.03, 0.06), (0.50, 0.14, 0.17), (0.88, 0.48, 0.50)),
)
ORGANS = {  # class name: shade and light, elongation
    "gallbladder": ((0.20, 0.24, 0.12), (0.72, 0.70, 0.42), 1.7),
    "liver": ((0.20, 0.04, 0.03), (0.47, 0.16, 0.12), 1.2),
    "uterus": ((0.45, 0.16, 0.16), (0.95, 0.66, 0.62), 1.3),
}


@dataclass
class Tissue:
    """A picture of tissue, and the mask of the organ that lies in it."""

    picture: NDArray[np.uint8]  # (H, W, 3)
    organ: NDArray[np.bool_] | None  # (H, W)


def octaves(rng: Rng, side: int, first: int, count: int) -> NDArray[np.float32]:
    """Return smooth noise ``(side, side)`` in [0, 1] with detail at several scales."""
    return add_octaves(draw_octaves(rng, side, first, count), side)


def draw_octaves(rng: Rng, side: int, first: int, count: int) -> list[NDArray[np.float32]]:
    """Draw the coarse fields of smooth noise, each finer than the one before."""
    cells = [min(first * 2**k, side) for k in range(count)]
    return [rng.random((n + 3, n + 3), dtype=np.float32) for n in cells]


def add_octaves(fields: list[NDArray[np.float32]], side: int) -> NDArray[np.float32]:
    """Return the smooth noise ``(side, side)`` in [0, 1] of coarse fields."""
    total = np.zeros((side, side), dtype=np.float32)
    for k, coarse in enumerate(fields):
        _add_magnified(total, coarse, round(side / (len(coarse) - 3) * len(coarse)), np.float32(DECAY**k))
    total -= total.min()
    total /= total.max()
    return total


def _add_magnified(total: NDArray[np.float32], coarse: NDArray[np.float32], full: int, weight: np.float32) -> None:
    """Add the beginning of a square field spread over ``(full, full)``, corner to corner, linearly, to a larger one, in place.

    As ``scipy.ndimage.zoom(order=1)``, one axis after the other instead of four neighbours for every pixel; like there,
    in double precision, so that a seed keeps its picture.
    """
    side = len(total)
    places = np.arange(side) * ((len(coarse) - 1) / (full - 1))
    first = places.astype(np.intp)
    share = (places - first)[:, None]
    wide = coarse.T.astype(np.float64)
    wide = np.ascontiguousarray(((1 - share) * wide[first] + share * wide[first + 1]).T)  # (cells, side)
    steps = np.diff(wide, axis=0)
    for start in range(0, side, STRIP):
        rows = slice(start, start + STRIP)
        fine = steps.take(first[rows], axis=0)
        fine *= share[rows]
        fine += wide.take(first[rows], axis=0)
        added = fine.astype(np.float32)
        added *= weight
        total[rows] += added


def _blend(weights: NDArray[np.float32], palette: tuple[tuple[float, ...], ...]) -> NDArray[np.float32]:
    """Colour a field ``(Y, X)`` in [0, 1] along a palette: ``(3, Y, X)``."""
    width = 1 / (len(palette) - 1)
    ramps = [np.clip(weights.astype(np.float64) - k * width, 0, width) for k in range(len(palette) - 1)]
    picture = np.empty((3, *weights.shape), np.float32)
    for plane, stops in zip(picture, np.array(palette, np.float32).astype(np.float64).T, strict=True):
        value = stops[0] + ramps[0] * ((stops[1] - stops[0]) / width)
        for ramp, step in zip(ramps[1:], np.diff(stops)[1:], strict=True):
            value += ramp * (step / width)
        plane[...] = value
    return picture


def _vessels(rng: Rng, side: int, count: int) -> NDArray[np.float32]:
    """Return ``(side, side)`` in [0, 1]: winding branches of blood vessels."""
    drawn = np.zeros((side, side), dtype=np.float32)
    for _ in range(count):
        heading, width = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.6)
        turns = np.cumsum(rng.normal(0, 0.09, side))
        path = rng.uniform(0, side, 2) + np.cumsum(np.stack((np.cos(heading + turns), np.sin(heading + turns)), 1), axis=0)
        ij = path.round().astype(int) % side
        drawn[ij[:, 0], ij[:, 1]] = width
    return np.clip(gaussian_filter(drawn, 1.6) * 5, 0, 1)


def make_tissue(rng: Rng, side: int, organ_class: str | None) -> Tissue:
    """Draw tissue of ``side`` pixels, with an organ of soft border in its middle."""
    height = octaves(rng, side, 3, 6)
    detail = octaves(rng, side, 12, 4)
    palette = PALETTES[rng.integers(len(PALETTES))]
    vessels = _vessels(rng, side, 10)
    relief, soft, blob = height, None, None
    if organ_class is not None:
        shade, light, elongation = ORGANS[organ_class]
        blob = _blob(rng, side, elongation)
        soft = np.clip(blob / np.float32(0.12) + np.float32(0.5), 0, 1)  # a border that is not quite anywhere
        relief = height + np.float32(0.6) * np.clip(blob, 0, 1)
    lighting, highlights = _lighting(relief, detail), _highlights(relief, detail)
    result = np.empty((side, side, 3), np.uint8)
    for start in range(0, side, STRIP):  # a strip stays in the processor's cache
        rows = slice(start, start + STRIP)
        picture = _blend(np.float32(0.75) * height[rows] + np.float32(0.25) * detail[rows], palette)
        red = np.array((0.35, 0.02, 0.05), np.float32) * np.float32(0.55)
        picture *= 1 - np.float32(0.55) * vessels[rows]
        picture += red[:, None, None] * vessels[rows]
        if soft is not None and blob is not None and soft[rows].any():
            weights = np.clip(np.float32(0.6) * blob[rows] + np.float32(0.5) * detail[rows], 0, 1)
            picture *= 1 - soft[rows]
            picture += _blend(weights, (shade, light)) * soft[rows]
        picture *= lighting[rows]
        picture += highlights[rows]
        np.clip(picture, 0, 1, out=picture)
        picture *= 255
        for channel, plane in enumerate(picture):
            result[rows, :, channel] = plane
    return Tissue(result, None if soft is None else soft >= 0.5)


def _blob(rng: Rng, side: int, elongation: float) -> NDArray[np.float32]:
    """Return a smooth field that is positive inside a rounded, irregular shape in the middle, and -1 far from it."""
    along = (np.arange(side).astype(np.float32) / side - 0.5) * 2
    y, x = along[:, None], along[None]
    angle = rng.uniform(0, np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    waves = [(k, rng.normal(0, 0.09 / k), rng.uniform(0, 6.3)) for k in range(2, 6)]
    radius = rng.uniform(0.22, 0.3)
    distance = np.sqrt((u / elongation) ** 2 + v**2)
    largest = sum(abs(size) for _, size, _ in waves)
    near = np.flatnonzero(distance < 1.2 * radius * (1 + largest))
    around = np.arctan2(v.take(near), u.take(near))
    wobble = sum(size * np.sin(k * around + phase) for k, size, phase in waves)
    field = np.full((side, side), -1, np.float32)
    field.reshape(-1)[near] = 1 - distance.take(near) / (radius * (1 + wobble))
    return field


def _lighting(height: NDArray[np.float32], detail: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shade the relief from above left: folds."""
    dy, dx = np.gradient(gaussian_filter(height + 0.08 * detail, 1.5))
    return np.clip(1 + 14 * (dx + dy), 0.45, 1.5)


def _highlights(height: NDArray[np.float32], detail: NDArray[np.float32]) -> NDArray[np.float32]:
    """Wet spots where the relief faces the light."""
    relief = gaussian_filter(height + 0.25 * detail, 2.0)
    dy, dx = np.gradient(relief)
    facing = np.exp(-((dx * 160 + 0.6) ** 2 + (dy * 160 + 0.6) ** 2) * 3)
    return 0.75 * np.clip(facing * (relief / relief.max()) ** 3 * 1.6 - 0.25, 0, 1)


class Bleeding:
    """Blood that wells up on tissue of ``side`` pixels, and ebbs."""

    def __init__(self, rng: Rng, side: int, path: Callable[[Rng, float, float, float], Callable[[float], float]]) -> None:
        self._field = octaves(rng, side, 3, 5).reshape(-1)
        self.level = path(rng, rng.uniform(0.25, 0.4), 0.12, 250.0)  # how much of the field stands under blood

    def __call__(self, image: NDArray[np.float32], index: NDArray[np.int32], t: int) -> NDArray[np.bool_]:
        """Lay the blood of frame ``t`` over an image ``(3, Y, X)`` in [0, 1] of these pixels of the tissue, in place.

        Returns
        -------
        The pixels that it hides, ``(Y, X)``.
        """
        depth = self._field.take(index)
        depth -= np.float32(1 - min(self.level(t), 0.5))
        depth /= np.float32(0.05)
        hidden = depth > np.float32(HIDING_DEPTH)
        wet = np.flatnonzero(depth > 0)
        depth = depth.reshape(-1).take(wet)
        cover = np.minimum(depth * np.float32(1.5), np.float32(0.92))
        rim = np.exp(-(((depth - np.float32(0.9)) / np.float32(0.25)) ** 2)) * np.float32(0.12)  # light along the pool's edge
        shade = np.float32(1.25) - np.float32(0.4) * np.minimum(depth, np.float32(1))
        for plane, value in zip(image.reshape(3, -1), BLOOD, strict=True):
            below = plane.take(wet)
            plane[wet] = below + cover * (np.float32(value) * shade + rim - below)
        return hidden


def organ_object(object_id: int, organ_class: str) -> Object:
    """Return the organ as an object."""
    return Object(object_id, organ_class, organ_class, (120, 200, 80))
