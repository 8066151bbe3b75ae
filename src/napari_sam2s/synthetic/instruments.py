"""Laparoscopic instruments as capsules: a shaft and what makes each class recognisable at its tip."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

METAL, BLACK, BLUE, GOLD, YELLOW = (
    (0.78, 0.80, 0.84),
    (0.16, 0.16, 0.18),
    (0.16, 0.30, 0.72),
    (0.82, 0.66, 0.28),
    (0.86, 0.80, 0.45),
)
BLOOD = (0.38, 0.02, 0.03)
Point = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """A capsule from ``a`` to ``b``, its radius going from ``ra`` to ``rb``, in shaft radii; x points out of the tip."""

    a: Point
    b: Point
    ra: float
    rb: float
    colour: tuple[float, float, float] = METAL


def _turn(point: Point, angle: float) -> Point:
    c, s = np.cos(angle), np.sin(angle)
    return float(c * point[0] - s * point[1]), float(s * point[0] + c * point[1])


def _jaw(length: float, angle: float, radius: float, tip: float, bend: float = 0.0, colour: tuple = METAL) -> list[Part]:
    """Return one jaw: two segments, the second turned by ``bend`` against the first."""
    middle = _turn((length * 0.55, 0), angle)
    end_offset = _turn((length * 0.45, 0), angle + bend)
    end = (middle[0] + end_offset[0], middle[1] + end_offset[1])
    return [Part((0, 0), middle, radius, (radius + tip) / 2, colour), Part(middle, end, (radius + tip) / 2, tip, colour)]


def _grasper(opening: float) -> list[Part]:
    return [s for side in (1, -1) for s in _jaw(6.0, side * opening, 0.6, 0.42, -side * 0.18)]


def _hook(opening: float) -> list[Part]:
    return [
        Part((0, 0), (2.6, 0), 0.75, 0.45, YELLOW),
        Part((2.6, 0), (4.6, 0), 0.3, 0.3),
        Part((4.6, 0), (4.8, 2.3), 0.3, 0.26),
    ]


def _scissors(opening: float) -> list[Part]:
    blades = [s for side in (1, -1) for s in _jaw(6.6, side * (0.12 + 1.2 * opening), 0.55, 0.1, side * 0.1)]
    return [Part((-0.3, 0), (0.5, 0), 0.85, 0.85), *blades]


def _clip_applier(opening: float) -> list[Part]:
    gap = 0.75 + 0.8 * opening
    jaws = [Part((1.0, s * gap), (5.0, s * gap * 0.9), 0.42, 0.42) for s in (1, -1)]
    return [Part((-3, 0), (0.6, 0), 1.25, 1.1), *(Part((0.4, 0), (1.0, s * gap), 0.5, 0.45) for s in (1, -1)), *jaws]


def _suction(opening: float) -> list[Part]:
    holes = [Part((x, 0.25), (x + 0.15, 0.25), 0.26, 0.26, BLACK) for x in (-3.2, -2.0, -0.8)]
    return [Part((-8, 0), (0.6, 0), 0.95, 0.95), *holes, Part((0.75, 0), (1.0, 0), 0.62, 0.62, BLACK)]


def _needle_driver(opening: float) -> list[Part]:
    jaws = [s for side in (1, -1) for s in _jaw(3.4, side * 0.6 * opening, 0.8, 0.6, 0.0, GOLD)]
    arc = [(3.0 + 2.4 * np.sin(t), 2.4 * np.cos(t)) for t in np.linspace(-0.2, 2.4, 6)]
    needle = [Part(a, b, 0.16, 0.16) for a, b in itertools.pairwise(arc)]
    return [*needle, *jaws]


def _bipolar(opening: float) -> list[Part]:
    return [
        p
        for side in (1, -1)
        for p in (
            Part((-1.0, 0), (1.2, side * (0.5 + opening)), 0.62, 0.5, BLUE),
            Part((1.2, side * (0.5 + opening)), (5.4, side * 0.35), 0.36, 0.28),
        )
    ]


def _catheter(opening: float) -> list[Part]:
    bend = 0.12 + 0.5 * opening
    points = [(0.0, 0.0)]
    for k in range(7):
        dx, dy = _turn((1.5, 0), bend * k * 0.6)
        points.append((points[-1][0] + dx, points[-1][1] + dy))
    return [Part(a, b, 0.8, 0.8 if k < 6 else 0.5, YELLOW) for k, (a, b) in enumerate(itertools.pairwise(points))]


# name: tip, colour of the shaft, its radius in percent of the picture
CLASSES: dict[str, tuple[Callable[[float], list[Part]], tuple[float, float, float], float]] = {
    "grasper": (_grasper, BLACK, 3.0),
    "hook": (_hook, BLACK, 2.7),
    "scissors": (_scissors, BLACK, 2.8),
    "clip applier": (_clip_applier, METAL, 3.2),
    "suction": (_suction, METAL, 2.8),
    "needle driver": (_needle_driver, BLACK, 3.0),
    "bipolar": (_bipolar, BLUE, 2.7),
    "catheter": (_catheter, YELLOW, 2.3),
}


@dataclass(frozen=True)
class Pose:
    """Where an instrument is on one frame, in pixels."""

    tip: Point  # (x, y) of the wrist
    angle: float  # of the shaft's direction, from its entry to its tip, radians
    opening: float  # of the jaws, radians
    radius: float  # of the shaft
    light: float = 1.0
    stain: float = 0.0  # how bloody the tip is
    side_up: int = 1  # -1 for the other way up


def draw(image: NDArray[np.float32], name: str, pose: Pose) -> NDArray[np.bool_]:
    """Draw an instrument over an image ``(Y, X, 3)`` in [0, 1], in place; return the pixels it covers ``(Y, X)``."""
    tip_parts, shaft_colour, _ = CLASSES[name]
    length = 3 * max(image.shape[:2]) / pose.radius
    parts = [Part((-length, 0), (0, 0), 1.0, 1.0, shaft_colour), Part((-2.2, 0), (0.2, 0), 0.92, 0.85)]
    mask = np.zeros(image.shape[:2], dtype=bool)
    for part in parts:
        _draw_capsule(image, mask, part, pose)
    for part in tip_parts(pose.opening):
        _draw_capsule(image, mask, _stained(part, pose.stain), pose)
    return mask


def _stained(part: Part, stain: float) -> Part:
    if not stain:
        return part
    mixed = tuple(c + stain * (b - c) for c, b in zip(part.colour, BLOOD, strict=True))
    return replace(part, colour=(mixed[0], mixed[1], mixed[2]))


def _draw_capsule(image: NDArray[np.float32], mask: NDArray[np.bool_], part: Part, pose: Pose) -> None:
    """Shade one capsule as a round metal or plastic rod."""
    scale = pose.radius
    a, b = (np.array(_turn((p[0], pose.side_up * p[1]), pose.angle)) * scale + pose.tip for p in (part.a, part.b))
    ra, rb = part.ra * scale, part.rb * scale
    box = _box(a, b, max(ra, rb) + 1, image.shape)
    if box is None:
        return
    rows, columns = box
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(a[1])
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None] - np.float32(a[0])
    dx, dy = (b - a).astype(np.float32)
    squared = max(float(dx * dx + dy * dy), 1e-6)
    along = np.clip((x * dx + y * dy) / squared, 0, 1)
    across = (y * dx - x * dy) / np.float32(np.sqrt(squared))
    distance = np.sqrt((x - along * dx) ** 2 + (y - along * dy) ** 2)
    radius = np.float32(ra) + along * np.float32(rb - ra)
    alpha = np.clip(radius - distance + 0.5, 0, 1)
    inside = alpha > 0
    if not inside.any():
        return
    mask[rows, columns] |= alpha >= 0.5
    alpha = alpha[inside]  # a shaft lies across its box: most of that is not the shaft
    round_off = np.clip(across[inside] / np.maximum(radius[inside], 0.5), -1, 1)
    shade = 0.35 + 0.65 * np.sqrt(1 - round_off**2 * 0.95)
    shine = 0.9 * np.exp(-(((round_off + 0.35) / 0.16) ** 2)) * (0.7 if part.colour == METAL else 0.3)
    light = np.float32(pose.light)
    colour = np.array(part.colour, np.float32) * shade[..., None] * light + shine[..., None] * light
    target = image[rows, columns]
    below = target[inside]
    target[inside] = below + alpha[..., None] * (colour - below)


def _box(a: NDArray, b: NDArray, reach: float, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return the rows and columns that a capsule may touch, or ``None`` if it lies outside."""
    # A shaft goes far beyond the picture: cut the segment to it first, so that its box is no larger than needed.
    low, high = np.minimum(a, b) - reach, np.maximum(a, b) + reach
    x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
    x1, y1 = min(int(high[0]) + 2, shape[1]), min(int(high[1]) + 2, shape[0])
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None
