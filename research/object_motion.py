"""Smooth motion of pictures: a path, turns, size, shear and elastic flow. Needs OpenCV."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Box = tuple[slice, slice]
Places = tuple[NDArray[np.float32], NDArray[np.float32]]
DEPARTURE = 1.7  # widths of the picture to be out of it


@dataclass
class Motion:
    """A smooth path of position, turn, size and shear, and an elastic flow."""

    centre: NDArray[np.float64]  # (T, 2) as (x, y), in units of the picture
    angle: NDArray[np.float64]  # (T,) radians
    scale: NDArray[np.float64]  # (T,)
    shear: NDArray[np.float64]  # (T,)
    flow: NDArray[np.float32] | None = None  # (K, 2, S, S) displacement fields in units of the picture
    flow_weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))  # (T, K)


def wander(rng: Rng, frames: int, amplitude: float, drift: float) -> NDArray[np.float64]:
    """Return ``(frames,)``: a drift and two slow waves, zero on the first frame."""
    t = np.arange(frames)
    path = rng.normal(0, drift) * t
    for _ in range(2):
        period, phase = rng.uniform(6, 40), rng.uniform(0, 2 * np.pi)
        path = path + rng.normal(0, amplitude / 2) * np.sin(2 * np.pi * t / period + phase)
    return path - path[0]


def _flow_fields(rng: Rng, size: int, count: int, amplitude: float) -> NDArray[np.float32]:
    """Return smooth random displacement fields ``(count, 2, size, size)``."""
    cells = rng.integers(3, 7)
    coarse = rng.normal(0, amplitude, (count * 2, cells, cells)).astype(np.float32)
    fine = [cv2.resize(c, (size, size), interpolation=cv2.INTER_CUBIC) for c in coarse]
    return np.stack(fine).reshape(count, 2, size, size)


def make_motion(rng: Rng, frames: int, size: int, *, liveliness: float, elastic: float) -> Motion:
    """Draw a motion; ``liveliness`` about 1 moves an object across a good part of the picture in a second."""
    reach = 0.25 * liveliness if rng.random() < 0.75 else 0.9 * liveliness  # some leave the picture
    centre = np.stack([wander(rng, frames, reach, 0.012 * liveliness) for _ in range(2)], axis=1)
    motion = Motion(
        centre=centre,
        angle=wander(rng, frames, 0.5 * liveliness, 0.03 * liveliness),
        scale=np.exp(wander(rng, frames, 0.2 * liveliness, 0.01 * liveliness)),
        shear=wander(rng, frames, 0.1 * liveliness, 0.0),
    )
    if elastic:
        motion.flow = _flow_fields(rng, size, 2, elastic)
        motion.flow_weights = np.stack([wander(rng, frames, 1.0, 0.06) for _ in range(2)], axis=1)
    return motion


def depart(rng: Rng, motion: Motion) -> None:
    """Take an object out of the picture for a while, never on the first frame, and let it come back somewhere else."""
    frames = len(motion.centre)
    if frames < 2:
        return
    away = int(rng.integers(1, frames))
    back = away + int(rng.integers(1, frames))
    ramp = int(rng.integers(1, min(away, 3) + 1))  # frames it takes to go and to come
    t = np.arange(frames)
    share = np.clip(np.minimum(t - away + ramp, back - 1 + ramp - t) / ramp, 0, 1)
    angle = rng.uniform(0, 2 * np.pi)
    motion.centre += DEPARTURE * share[:, None] * np.array([np.cos(angle), np.sin(angle)])
    motion.centre[back:] += rng.normal(0, 0.15, 2)


def places_at(
    shape: tuple[int, ...], motion: Motion, t: int, size: int, start: tuple[float, float], reach: float, *, only: bool = False
) -> tuple[Box, Places]:
    """Find which places of a picture of this shape are seen at time ``t``.

    Its centre is at ``start`` + path, its longer side ``reach`` of the frame.

    Returns
    -------
    box, (x, y)
        Rows and columns of the frame, and the places that its pixels show: the whole frame, or ``only`` what may show some.
    """
    height, width = shape[:2]
    zoom = reach * size / max(height, width) * motion.scale[t]
    cosine, sine = np.cos(motion.angle[t]) * zoom, np.sin(motion.angle[t]) * zoom
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[1, motion.shear[t]], [0, 1]])
    target = (np.array(start) + motion.centre[t]) * size
    inverse = np.linalg.inv(linear)
    shift = None
    if motion.flow is not None:
        shift = np.tensordot(motion.flow_weights[t].astype(np.float32), motion.flow, axes=1) * size
    rows = columns = slice(0, size)
    if only:
        corners = target + np.array([(x, y) for x in (-1, 1) for y in (-1, 1)]) * (width / 2 + 1, height / 2 + 1) @ linear.T
        low, high = corners.min(axis=0) - 2, corners.max(axis=0) + 3
        if shift is not None:
            low, high = low - shift.max(axis=(1, 2)), high - shift.min(axis=(1, 2))
        (left, top), (right, bottom) = (np.clip(ends, 0, size).astype(int) for ends in (low, high))
        rows, columns = slice(top, bottom), slice(left, right)
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None]
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    if shift is not None:
        x, y = x + shift[0, rows, columns], y + shift[1, rows, columns]
    dx, dy = x - np.float32(target[0]), y - np.float32(target[1])
    i = inverse.astype(np.float32)
    map_x, map_y = i[0, 0] * dx + i[0, 1] * dy, i[1, 0] * dx + i[1, 1] * dy
    map_x += np.float32((width - 1) / 2)
    map_y += np.float32((height - 1) / 2)
    return (rows, columns), (map_x, map_y)


def look_up(picture: NDArray[np.uint8], places: Places) -> NDArray[np.uint8]:
    """Return a picture at these places; mirrored beyond its border, or clear where it has an alpha."""
    border = cv2.BORDER_CONSTANT if picture.shape[2:] == (4,) else cv2.BORDER_REFLECT_101
    found = cv2.remap(picture, *places, cv2.INTER_LINEAR, borderMode=border, borderValue=(0, 0, 0, 0))
    return np.asarray(found, np.uint8)


def warp(
    picture: NDArray[np.uint8], motion: Motion, t: int, size: int, start: tuple[float, float], reach: float
) -> NDArray[np.uint8]:
    """Fill a frame with ``picture`` at time ``t``: its centre at ``start`` + path, its longer side ``reach`` of the frame."""
    return look_up(picture, places_at(picture.shape, motion, t, size, start, reach)[1])
