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
    """Draw an instrument over an image ``(3, Y, X)`` in [0, 1], in place; return the pixels it covers ``(Y, X)``."""
    tip_parts, shaft_colour, _ = CLASSES[name]
    length = 3 * max(image.shape[1:]) / pose.radius
    parts = [Part((-length, 0), (0, 0), 1.0, 1.0, shaft_colour), Part((-2.2, 0), (0.2, 0), 0.92, 0.85)]
    parts += [_stained(part, pose.stain) for part in tip_parts(pose.opening)]
    mask = np.zeros(image.shape[1:], dtype=bool)
    turn = float(np.cos(pose.angle)), float(np.sin(pose.angle))
    for part in parts:
        _draw_capsule(image, mask, part, pose, turn)
    return mask


def _stained(part: Part, stain: float) -> Part:
    if not stain:
        return part
    mixed = tuple(c + stain * (b - c) for c, b in zip(part.colour, BLOOD, strict=True))
    return replace(part, colour=(mixed[0], mixed[1], mixed[2]))


def _draw_capsule(image: NDArray[np.float32], mask: NDArray[np.bool_], part: Part, pose: Pose, turn: Point) -> None:
    """Shade one capsule as a round metal or plastic rod; ``turn`` is the cosine and sine of the pose's angle."""
    scale, (c, s) = pose.radius, turn
    (ax, ay), (bx, by) = (
        ((c * x - s * y) * scale + pose.tip[0], (s * x + c * y) * scale + pose.tip[1])
        for x, y in ((p[0], pose.side_up * p[1]) for p in (part.a, part.b))
    )
    ra, rb = part.ra * scale, part.rb * scale
    index, x, y = _band((ax, ay), (bx, by), max(ra, rb) + 1, mask.shape)
    if not len(index):
        return
    dx, dy = np.float32(bx - ax), np.float32(by - ay)
    squared = max(float(dx * dx + dy * dy), 1e-6)
    x, y = x - np.float32(ax), y - np.float32(ay)
    along = ((x * dx + y * dy) / np.float32(squared)).clip(0, 1)
    across = (y * dx - x * dy) / np.float32(np.sqrt(squared))
    distance = np.sqrt((x - along * dx) ** 2 + (y - along * dy) ** 2)
    radius = np.float32(ra) + along * np.float32(rb - ra)
    alpha = (radius - distance + np.float32(0.5)).clip(0, 1)
    mask.reshape(-1)[index[alpha >= 0.5]] = True
    round_off = (across / np.maximum(radius, np.float32(0.5))).clip(-1, 1)
    light = np.float32(pose.light)
    shade = np.float32(0.35) + np.float32(0.65) * np.sqrt(1 - round_off**2 * np.float32(0.95))
    shine = np.float32(0.9) * np.exp(-(((round_off + np.float32(0.35)) / np.float32(0.16)) ** 2))
    shine = shine * np.float32(0.7 if part.colour == METAL else 0.3) * light
    for plane, value in zip(image.reshape(3, -1), part.colour, strict=True):
        below = plane.take(index)
        plane[index] = below + alpha * (np.float32(value) * shade * light + shine - below)


def _band(a: Point, b: Point, reach: float, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray, NDArray]:
    """Return the flat indices, columns and rows of the pixels of a picture within ``reach`` of a segment, and of few others.

    A shaft lies across the picture and goes far beyond it: most of the box around it is not the shaft.
    """
    x0, x1 = max(int(min(a[0], b[0]) - reach), 0), min(int(max(a[0], b[0]) + reach) + 2, shape[1])
    y0, y1 = max(int(min(a[1], b[1]) - reach), 0), min(int(max(a[1], b[1]) + reach) + 2, shape[0])
    if x0 >= x1 or y0 >= y1:
        return np.zeros(0, np.intp), np.zeros(0, np.float32), np.zeros(0, np.float32)
    dx, dy = b[0] - a[0], b[1] - a[1]
    slope = dy if abs(dy) > 1e-6 else 1e-6  # a level segment: whole rows, or none
    rows = np.arange(y0, y1)
    middle = a[0] + (rows - a[1]) * (dx / slope)
    aside = abs(reach * max(float(np.hypot(dx, dy)), 1e-3) / slope)
    first = (middle - aside).clip(x0, x1).astype(np.intp)
    count = (middle + aside + 2).clip(x0, x1).astype(np.intp) - first
    columns = np.arange(count.sum()) + np.repeat(first - count.cumsum() + count, count)
    rows = np.repeat(rows, count)
    return rows * shape[1] + columns, columns.astype(np.float32), rows.astype(np.float32)
