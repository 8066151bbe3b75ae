"""Cells in motion with exact ground truth: they drift, turn, grow and divide (the mother ends, the daughters are new objects).

The stage drifts, the focus changes. What is set in motion is a still picture taken apart, a drawn one by default.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_sam2s.masklets.types import Object
from napari_sam2s.synthetic.clip import DrawnClip
from napari_sam2s.synthetic.effects import interleaved
from napari_sam2s.synthetic.patches import Patch, paste

Rng = np.random.Generator
FOLLOWED = 8  # cells that are objects (their daughters too); the others are only there
PART_FRAMES = 10  # that two daughters take to part
_COLOURS = ((240, 90, 90), (90, 170, 250), (250, 200, 70), (160, 220, 110), (190, 120, 240))


@dataclass
class Plate:
    """A still picture taken apart."""

    background: NDArray[np.float32]  # (Y, X, 3) in [0, 255], without its cells
    cells: list[tuple[NDArray[np.float32], tuple[float, float]]]  # (h, w, 4) colour and alpha in [0, 1]; centre (y, x)


def drawn_plate(rng: Rng, size: tuple[int, int]) -> Plate:
    """Draw fluorescent nuclei of several sizes on a dark ground."""
    height, width = size
    coarse = rng.random((5, 5))
    down, across = (np.clip(1 - np.abs(np.linspace(0, 4, n)[:, None] - np.arange(5)), 0, 1) for n in (height, width))
    haze = (down @ coarse @ across.T)[..., None]  # spread over the picture, linearly
    tint = np.array(((1, 1, 1), (0.55, 0.75, 1), (0.6, 1, 0.65)), dtype=np.float32)[rng.integers(3)]
    background = (12 + 16 * haze + rng.normal(0, 1.5, (height, width, 1))).astype(np.float32) * tint
    radius = min(size) * rng.uniform(0.035, 0.06)
    cells: list[tuple[NDArray[np.float32], tuple[float, float]]] = []
    for _ in range(200):
        centre = float(rng.uniform(0, height)), float(rng.uniform(0, width))
        if all(np.hypot(centre[0] - y, centre[1] - x) > 2.2 * radius for _, (y, x) in cells):
            cells.append((_drawn_cell(rng, radius * rng.uniform(0.8, 1.25), tint), centre))
        if len(cells) == 24:
            break
    return Plate(background, cells)


def _drawn_cell(rng: Rng, radius: float, tint: NDArray[np.float32]) -> NDArray[np.float32]:
    side = int(3 * radius) + 4
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2) / radius
    around = np.arctan2(y, x)
    wobble = sum(rng.normal(0, 0.05) * np.sin(k * around + rng.uniform(0, 6.3)) for k in range(2, 5))
    distance = np.hypot(x, y / rng.uniform(0.65, 1)) / (1 + wobble)
    alpha = np.clip((1 - distance) * radius / 1.5 + 0.5, 0, 1)
    chromatin = gaussian_filter(rng.normal(0, 1, (side, side)), radius / 6)
    light = rng.uniform(110, 220) * (0.85 + 0.15 * np.clip(1 - distance**2, 0, 1) + 0.1 * chromatin / chromatin.std())
    return np.dstack((light[..., None] * tint, alpha)).astype(np.float32)


@dataclass
class _Cell:
    """A cell's picture and its life."""

    patch: Patch
    start: tuple[float, float]  # (y, x) at birth
    born: int
    ends: int
    drift: tuple[float, float]  # pixels a frame
    sway: tuple[float, float, float]  # amplitude (pixels), period (frames), phase
    turn: float  # radians a frame
    growth: float  # of its scale, a frame
    scale: float = 1.0  # at birth
    apart: tuple[float, float] = (0.0, 0.0)  # where a daughter is pushed while parting

    def pose(self, t: int) -> tuple[float, float, float, float]:
        """Return centre (y, x), angle and scale."""
        age = t - self.born
        amplitude, period, phase = self.sway
        sway = amplitude * (np.sin(2 * np.pi * age / period + phase) - np.sin(phase))
        parting = min(age / PART_FRAMES, 1.0)
        y = self.start[0] + self.drift[0] * age + sway + self.apart[0] * parting
        x = self.start[1] + self.drift[1] * age - sway + self.apart[1] * parting
        left = self.ends - t
        rounding = 1 - 0.15 * max(0.0, 1 - left / 6)  # a cell rounds up before it divides
        return y, x, self.turn * age, self.scale * min((1 + self.growth) ** age, 1.5) * rounding


class Microscopy(DrawnClip):
    """A time-lapse of cells, rendered as it is asked for; ``followed`` are those that are objects.

    Parameters
    ----------
    seed
        Decides everything.
    frames, size
        Number of frames and ``(Y, X)``.
    plate
        The picture to set in motion; drawn nuclei by default. Its size is the clip's then.
    divisions
        Share of the followed cells that divide.
    """

    def __init__(
        self,
        seed: int,
        frames: int = 100,
        size: tuple[int, int] = (256, 256),
        *,
        plate: Plate | None = None,
        divisions: float = 0.25,
        fps: float = 8.0,
    ) -> None:
        rng = np.random.default_rng(seed)
        plate = plate if plate is not None else drawn_plate(rng, size)
        self.name, self.fps = f"microscopy-{seed}", fps
        self.shape = (frames, *plate.background.shape[:2], 3)
        self._background = np.ascontiguousarray(plate.background.transpose(2, 0, 1))  # by planes, which numpy is faster at
        order = rng.permutation(len(plate.cells))
        self._cells: list[_Cell] = []
        followed: list[_Cell] = []
        for n, k in enumerate(order):
            picture, centre = plate.cells[k]
            cell = self._live(rng, Patch(picture), centre)
            self._cells.append(cell)
            if n < FOLLOWED:
                followed.append(cell)
                if rng.random() < divisions and frames > 12:
                    daughters = self._divide(rng, cell)
                    self._cells += daughters
                    followed += daughters
        self.followed = followed
        numbers = {id(cell): n + 1 for n, cell in enumerate(followed)}
        self._numbers = [numbers.get(id(cell), 0) for cell in self._cells]
        self.objects = tuple(Object(n + 1, f"cell {n + 1}", None, _COLOURS[n % len(_COLOURS)]) for n in range(len(followed)))
        self._stage = rng.normal(0, 0.15, 2)
        self._focus = rng.uniform(0, 1.6), rng.uniform(40, 120), rng.uniform(0, 2 * np.pi)
        self._noise = rng.normal(0, rng.uniform(1, 4), (self.shape[1] + 31, self.shape[2] + 31)).astype(np.float32)

    def _live(self, rng: Rng, patch: Patch, start: tuple[float, float]) -> _Cell:
        speed = rng.uniform(0, 0.5)
        return _Cell(
            patch,
            start,
            0,
            self.shape[0] + 100,
            (float(rng.normal(0, speed)), float(rng.normal(0, speed))),
            (float(rng.uniform(0, 3)), float(rng.uniform(20, 60)), float(rng.uniform(0, 6.3))),
            float(rng.normal(0, 0.01)),
            float(rng.uniform(0, 0.004)),
        )

    def _divide(self, rng: Rng, mother: _Cell) -> list[_Cell]:
        """End a cell within the clip; return its daughters."""
        mother.ends = int(rng.integers(self.shape[0] // 4, 3 * self.shape[0] // 4))
        y, x, _, scale = mother.pose(mother.ends)
        reach = max(mother.patch.shape) * scale / 2
        axis = rng.uniform(0, 2 * np.pi)
        daughters = []
        for side in (1, -1):
            ahead = side * np.array((np.sin(axis), np.cos(axis))) * reach
            start = (float(y + 0.35 * ahead[0]), float(x + 0.35 * ahead[1]))
            daughter = self._live(rng, mother.patch, start)
            daughter.born, daughter.scale = mother.ends, scale * 0.7
            daughter.apart = (float(0.5 * ahead[0]), float(0.5 * ahead[1]))
            daughters.append(daughter)
        return daughters

    def render(self, index: int) -> tuple[NDArray[np.uint8], dict[int, NDArray[np.bool_]]]:
        """Draw a frame ``(Y, X, 3)``; return it and the masks on it: empty before birth and after division."""
        image = self._background.copy()
        owner = np.zeros(self.shape[1:3], dtype=np.uint8)  # number of the followed cell that is seen there, or 0
        for cell, number in zip(self._cells, self._numbers, strict=True):
            if cell.born <= index < cell.ends:
                y, x, angle, scale = cell.pose(index)
                centre = y + self._stage[0] * index, x + self._stage[1] * index
                paste(image, owner, number, cell.patch, centre, angle, scale)
        return self._develop(image, index), {o.id: owner == o.id for o in self.objects}

    def _develop(self, image: NDArray[np.float32], t: int) -> NDArray[np.uint8]:
        """Bring an image ``(3, Y, X)`` out of focus, and add noise; its memory is used up."""
        most, period, phase = self._focus
        sigma = most * max(0.0, np.sin(2 * np.pi * t / period + phase))
        if sigma > 0.3:
            image = gaussian_filter(image, (0, sigma, sigma))
        y, x = np.random.default_rng((t, 11)).integers(0, 31, 2)
        image += self._noise[y : y + self.shape[1], x : x + self.shape[2]]
        return interleaved(np.clip(image, 0, 255, out=image))
