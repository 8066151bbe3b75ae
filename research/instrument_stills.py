"""Stills of instruments before tissue, whose looks vary more than real ones do: to learn from what belongs together.

What :mod:`napari_sam2s.synthetic` draws has instruments of a few makes. A network that learned from those takes the print on a
real shaft, or its bright joint, for an object of its own. Here shafts taper as they do before a near camera. They are put
together from parts of any colour, carry print, rings and glare, and end in jaws. The tissue is real texture in the colours of
tissue, with glare, vessels and smoke (domain randomisation, Tobin et al. 2017). None of it is meant to be beautiful.

Needs OpenCV (the extra ``train``) and material (:mod:`research.material`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import TrainingError

try:
    import cv2

    from research.drawn_family import DrawnFamily, Pictures, Rng
except ImportError as error:
    raise TrainingError("Stills of instruments need OpenCV: pip install -e '.[train]' --group research.") from error

Image = NDArray[np.floating[Any]]  # (Y, X, 3) or (Y, X, 4), 0 to 1
Plane = NDArray[np.floating[Any]]  # (Y, X), 0 to 1
LONG, WIDE = 512, 96  # of a part's texture, pixels
LETTERS = np.array(list("ABCDEFGHIKLMNOPRSTUVXY0123456789"))
TISSUES = (  # dark, middle, light
    ((0.22, 0.03, 0.03), (0.68, 0.22, 0.18), (0.95, 0.62, 0.52)),  # muscle, liver
    ((0.30, 0.10, 0.03), (0.85, 0.55, 0.22), (1.00, 0.90, 0.62)),  # fat
    ((0.28, 0.06, 0.08), (0.80, 0.45, 0.42), (1.00, 0.88, 0.84)),  # peritoneum
    ((0.10, 0.03, 0.08), (0.42, 0.20, 0.30), (0.80, 0.66, 0.70)),  # bile, veins
)


def value_noise(rng: Rng, size: int, cells: int) -> Plane:
    """Return smooth noise ``(size, size)`` in 0 to 1, of about so many bumps along a side."""
    coarse = rng.random((cells + 2, cells + 2)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def blended(below: Image, above: Image | NDArray[np.float64], alpha: Plane) -> Image:
    """Lay a picture, or a colour, over another picture."""
    part = alpha[..., None]
    return np.asarray(below * (1 - part) + above * part, np.float32)


def tissue(rng: Rng, picture: NDArray[np.uint8], size: int, *, glare: bool = True) -> Image:
    """Give a piece of a picture the colours of one or two tissues, folds, vessels and, if wanted, glare."""
    side = int(min(picture.shape[:2]) * rng.uniform(0.3, 1))
    top, left = (int(rng.integers(0, n - side + 1)) for n in picture.shape[:2])
    grey = cv2.cvtColor(picture[top : top + side, left : left + side], cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    low, high = np.percentile(grey, (2, 98))
    light = np.clip((grey - low) / max(high - low, 0.05), 0, 1) * rng.uniform(0.3, 0.9)
    light += value_noise(rng, size, int(rng.integers(2, 7))) * rng.uniform(0.2, 0.7)
    light = np.clip(light * rng.uniform(0.6, 1.1), 0, 1)
    chosen = rng.choice(len(TISSUES), 2, replace=False)
    colours = [_coloured(light, np.array(TISSUES[k]) * rng.uniform(0.85, 1.15, 3)) for k in chosen]
    border = np.clip((value_noise(rng, size, int(rng.integers(2, 5))) - rng.uniform(0.3, 0.7)) * 8 + 0.5, 0, 1)
    seen = blended(colours[0], colours[1], border)
    for _ in range(int(rng.integers(0, 5))):
        _draw_vessel(rng, seen)
    if not glare:
        return np.clip(seen, 0, 1)
    wet = value_noise(rng, size, int(rng.integers(12, 40))) * value_noise(rng, size, 4)
    shine = np.clip((wet - np.quantile(wet, rng.uniform(0.95, 0.999))) * 20, 0, 1)
    return np.clip(seen + shine[..., None], 0, 1)


def _coloured(light: Plane, colours: NDArray[np.float64]) -> Image:
    at = np.linspace(0, 1, 3)
    return np.stack([np.interp(light, at, colours[:, c]) for c in range(3)], axis=-1).astype(np.float32)


def _draw_vessel(rng: Rng, seen: Image) -> None:
    size, steps = len(seen), 24
    direction = np.cumsum(rng.normal(0, 0.35, steps)) + rng.uniform(0, 6.3)
    path = rng.uniform(0, size, 2) + np.cumsum(np.stack((np.cos(direction), np.sin(direction)), 1) * size / 20, axis=0)
    drawn = np.zeros((size, size), np.uint8)
    cv2.polylines(drawn, [path.astype(np.int32)], False, 255, int(rng.integers(1, 4)), cv2.LINE_AA)
    colour = np.array((0.45, 0.08, 0.1)) * rng.uniform(0.7, 1.4)
    seen[:] = blended(seen, colour, drawn.astype(np.float32) / 255)


def part_texture(rng: Rng, colour: NDArray[np.float64] | None = None) -> Image:
    """Return a part of a shaft ``(WIDE, LONG, 3)``, round and shaded, with rings, print and glare; its tip is on the right."""
    texture = np.empty((WIDE, LONG, 3), np.float32)
    edges = np.sort(rng.integers(0, LONG, int(rng.integers(0, 4))))
    for first, last in zip([0, *edges], [*edges, LONG], strict=True):
        texture[:, first:last] = _material(rng) if colour is None else colour
    for at in edges:
        if rng.random() < 0.5:
            texture[:, at : at + int(rng.integers(3, 30))] = _material(rng)
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.5 else 0):
        word = "".join(rng.choice(LETTERS, int(rng.integers(1, 9))))
        place = int(rng.integers(-40, LONG)), int(rng.integers(WIDE // 3, WIDE))
        print_ = np.zeros((WIDE, LONG), np.uint8)
        font, height, thick = int(rng.integers(0, 5)), rng.uniform(0.5, 2.4), int(rng.integers(1, 6))
        cv2.putText(print_, word, place, font, height, 255, thick, cv2.LINE_AA)
        texture = blended(texture, _material(rng), print_.astype(np.float32) / 255)
    across = np.linspace(-1, 1, WIDE, dtype=np.float32)
    lit, ambient = rng.uniform(-0.7, 0.7), rng.uniform(0.15, 0.7)
    shade = ambient + (1 - ambient) * np.clip(1 - (across - lit) ** 2 * rng.uniform(0.4, 1.2), 0, 1)
    glare = rng.uniform(0, 0.8) * np.exp(-(((across - lit) / rng.uniform(0.05, 0.25)) ** 2))
    along = 1 - rng.uniform(0, 0.6) * np.linspace(*rng.permutation([0, 1]), LONG, dtype=np.float32)
    return np.clip((texture * shade[:, None, None] + glare[:, None, None]) * along[None, :, None], 0, 1).astype(np.float32)


def _material(rng: Rng) -> NDArray[np.float64]:
    """Return a colour: black, grey, white, metal, or any."""
    kind = rng.random()
    if kind < 0.35:
        return np.full(3, rng.uniform(0.02, 0.2)) * rng.uniform(0.8, 1.2, 3)
    if kind < 0.75:
        return np.full(3, rng.uniform(0.35, 0.95)) * rng.uniform(0.9, 1.1, 3)
    return rng.uniform(0, 1, 3)


def outline(rng: Rng, kind: int) -> Plane:
    """Return the alpha ``(WIDE, LONG)`` of a part: 0 a plain shaft, 1 a blunt or pointed end, 2 open jaws, 3 a hook."""
    alpha = np.zeros((WIDE, LONG), np.float32)
    middle, end = WIDE / 2, LONG - 1
    if kind == 0:
        alpha[:] = 1
    elif kind == 1:
        start, tip = rng.uniform(0, 0.9) * LONG, rng.uniform(0, 0.9) * middle
        lean = rng.uniform(-1, 1) * (middle - tip)
        corners = [(0, 0), (start, 0), (end, middle - tip + lean), (end, middle + tip + lean), (start, WIDE), (0, WIDE)]
        cv2.fillPoly(alpha, [np.array(corners, np.int32)], 1.0)
    elif kind == 2:
        root, gap = rng.uniform(0, 0.4) * LONG, rng.uniform(0.1, 0.8) * middle
        for sign in (-1, 1):
            outer = middle + sign * middle
            inner = middle + sign * gap
            corners = [(0, middle), (0, outer), (root, outer), (end, outer), (end, inner), (root, middle)]
            cv2.fillPoly(alpha, [np.array(corners, np.int32)], 1.0)
    else:
        thick = int(rng.integers(8, 24))
        turn = LONG - thick * int(rng.integers(1, 4))
        path = [(0, int(middle)), (turn, int(middle)), (min(turn + thick, end), int(rng.choice((8, WIDE - 8))))]
        cv2.polylines(alpha, [np.array(path, np.int32)], False, 1.0, thick)
    return alpha


@dataclass
class Part:
    """A piece of an instrument, with its colours and alpha ``(WIDE, LONG, 4)``."""

    texture: Image
    length: float  # of the whole
    turn: float  # against the part before it, radians
    widths: tuple[float, float]  # where it begins and ends, of the picture


@dataclass
class Instrument:
    """What comes in over the border of a picture: where (x, y), how far, and of what parts."""

    entry: NDArray[np.float64]
    reach: NDArray[np.float64]  # from there to the tip
    parts: list[Part]

    def draw(self, size: int, turn: float = 0.0, bends: Sequence[float] = ()) -> tuple[Image, Plane]:
        """Return its colours ``(size, size, 3)`` and alpha; turned about its entry, its parts bent by so much more."""
        colours, alpha = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.float32)
        at, angle, whole = self.entry, float(np.arctan2(self.reach[1], self.reach[0])) + turn, float(np.hypot(*self.reach))
        for n, part in enumerate(self.parts):
            angle += part.turn + (bends[n] if n < len(bends) else 0.0)
            step = np.array((np.cos(angle), np.sin(angle))) * whole * part.length
            _lay(colours, alpha, part.texture, at, at + step, *part.widths, size)
            at = at + step * 0.98
        return colours, alpha


def make_instrument(rng: Rng) -> Instrument:
    """Draw one: its way in, its widths and its parts."""
    tip = rng.uniform(0.2, 0.8, 2)
    width = float(np.exp(rng.uniform(np.log(0.035), np.log(0.32))))
    around = rng.uniform(0, 2 * np.pi)
    outward = np.array((np.cos(around), np.sin(around)))
    entry = 0.5 + outward / np.abs(outward).max() * (0.5 + width / 2 * rng.uniform(0.5, 1.5))
    taper = rng.uniform(0.3, 1.0)
    bend, joints = rng.random() < 0.45, int(rng.integers(1, 3))
    lengths = [1.0] if not bend else [rng.uniform(0.6, 0.85)]
    lengths += [(1 - lengths[0]) / joints] * joints if bend else [rng.uniform(0.08, 0.4)]
    parts, wide, narrowing = [], width, 1.0
    for n, length in enumerate(lengths):
        last, turn = n == len(lengths) - 1, 0.0
        if n and bend:
            turn = rng.normal(0, 0.45)
            narrowing = rng.uniform(0.6, 1.0)
        narrow = wide * (taper if n == 0 else rng.uniform(0.7, 1.0))
        shape = outline(rng, int(rng.choice((1, 2, 2, 3)))) if last else outline(rng, 0)
        texture = np.dstack((part_texture(rng), shape))
        parts.append(Part(texture, length, turn, (wide * (narrowing if n else 1), narrow)))
        wide = narrow
    return Instrument(entry, tip - entry, parts)


def _lay(
    colours: Image, alpha: Plane, texture: Image, first: NDArray[np.float64], last: NDArray[np.float64],
    wide: float, narrow: float, size: int
) -> None:  # fmt: skip
    """Draw a part from one point to another, in place; it narrows from one width to the other (parts of the picture)."""
    along = (last - first) / max(float(np.hypot(*(last - first))), 1e-6)
    aside = np.array((-along[1], along[0]))
    corners = [first - aside * wide / 2, last - aside * narrow / 2, last + aside * narrow / 2, first + aside * wide / 2]
    source = np.array([(0, 0), (LONG, 0), (LONG, WIDE), (0, WIDE)], np.float32)
    turn = cv2.getPerspectiveTransform(source, (np.array(corners) * size).astype(np.float32))
    drawn = cv2.warpPerspective(texture, turn, (size, size), flags=cv2.INTER_AREA)
    part = drawn[..., 3]
    colours[:] = colours * (1 - part[..., None]) + drawn[..., :3] * part[..., None]
    np.maximum(alpha, part, out=alpha)


def organ(rng: Rng, picture: NDArray[np.uint8], size: int) -> tuple[Image, Plane]:
    """Return a smooth piece of other tissue, round or long, shaded toward its edge."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = 1 + sum(rng.normal(0, 0.2 / k) * np.sin(k * angles + rng.uniform(0, 6.3)) for k in range(1, 5))
    radius = np.clip(radius, 0.3, 2) * rng.uniform(0.06, 0.3)
    x, y = radius * np.cos(angles), radius * np.sin(angles) * rng.uniform(0.3, 1)
    turn = rng.uniform(0, 2 * np.pi)
    points = np.stack((x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)), 1) + rng.uniform(
        0.15, 0.85, 2
    )
    drawn = np.zeros((size, size), np.uint8)
    cv2.fillPoly(drawn, [(points * size).astype(np.int32)], 255, cv2.LINE_AA)
    alpha = drawn.astype(np.float32) / 255
    depth = cv2.GaussianBlur(alpha, (0, 0), size * rng.uniform(0.01, 0.05))
    return tissue(rng, picture, size) * (0.5 + 0.5 * depth[..., None]), alpha


class InstrumentStills(DrawnFamily):
    """A family of stills, shown as often as there are frames; 1 to 4 objects."""

    name = "instruments"

    def draw(self, rng: Rng, frames: int, pictures: Pictures) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return the same image and masks for each frame."""
        image, masks = self._still(rng, pictures)
        images = (np.clip(image, 0, 1) * 255).astype(np.uint8)
        return np.repeat(images[None], frames, axis=0), np.repeat(masks[None], frames, axis=0)

    def _still(self, rng: Rng, pictures: Pictures) -> tuple[Image, NDArray[np.bool_]]:
        size = self.size
        image = tissue(rng, pictures(rng), size) if rng.random() < 0.85 else as_it_is(pictures(rng), size)
        masks = np.zeros((0, size, size), dtype=bool)
        layers = [organ(rng, pictures(rng), size)] if rng.random() < 0.3 else []
        layers += [make_instrument(rng).draw(size) for _ in range(int(rng.integers(1, 4)))]
        for colours, alpha in layers:
            alpha = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.4, 1.2))
            shadow = np.roll(cv2.GaussianBlur(alpha, (0, 0), size * 0.015), rng.integers(-size // 30, size // 30, 2), (0, 1))
            image = blended(image * (1 - rng.uniform(0, 0.7) * shadow[..., None]), colours, alpha)
            masks = np.concatenate((masks & ~(alpha > 0.5), alpha[None] > 0.5))
        if rng.random() < 0.3:  # something in front
            colours, alpha = organ(rng, pictures(rng), size)
            image, masks = blended(image, colours, alpha), masks & ~(alpha > 0.5)
        if rng.random() < 0.15:
            haze = value_noise(rng, size, 3)[..., None] * rng.uniform(0.2, 0.7)
            image = image * (1 - haze) + haze * rng.uniform(0.6, 0.95)
        return through_the_lens(rng, image), masks


def as_it_is(picture: NDArray[np.uint8], size: int) -> Image:
    """Return a picture squashed to a square, in its own colours."""
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def through_the_lens(rng: Rng, image: Image) -> Image:
    """Darken what is far from the lamp, and leave the border black that some recorders add."""
    size = len(image)
    line = np.linspace(-1, 1, size, dtype=np.float32)
    y, x = np.meshgrid(line - rng.uniform(-0.4, 0.4), line - rng.uniform(-0.4, 0.4), indexing="ij")
    image = image * np.clip(1 - rng.uniform(0, 0.6) * (x * x + y * y), 0, 1)[..., None]
    if rng.random() < 0.25:
        border = int(rng.integers(1, size // 12))
        image[:, :border] = image[:, -border:] = 0
    return np.asarray(image, np.float32)
