"""Procedural laparoscopy with exact ground truth: instruments of eight classes over tissue, seen by a moving camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import TrainingError
from napari_sam2s.masklets.types import Object
from napari_sam2s.synthetic.clip import DrawnClip
from napari_sam2s.synthetic.effects import Effects, interleaved
from napari_sam2s.synthetic.instruments import CLASSES, Pose, draw
from napari_sam2s.synthetic.tissue import ORGANS, Bleeding, make_tissue, organ_object

Rng = np.random.Generator
INSTRUMENT_CLASSES = tuple(CLASSES)
RETRACTION_FRAMES = 10  # that an instrument takes to leave or to come back
BLOODY, STAINED, TURNED = 0.35, 0.3, 0.5  # shares of clips with bleeding, of bloody instruments, of returns from elsewhere
_COLOURS = ((230, 60, 60), (60, 140, 240), (250, 190, 40), (170, 90, 220))


@dataclass
class _Wave:
    """A smooth path: a mean and a few slow waves, the same at a frame whenever it is asked for."""

    mean: float
    amplitudes: NDArray[np.float64]
    periods: NDArray[np.float64]
    phases: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: Rng, mean: float, amplitude: float, slowest: float = 120.0) -> _Wave:
        return cls(mean, amplitude * rng.uniform(0.2, 0.6, 3), rng.uniform(0.2, 1, 3) * slowest, rng.uniform(0, 2 * np.pi, 3))

    def __call__(self, t: float) -> float:
        return float(self.mean + (self.amplitudes * np.sin(2 * np.pi * t / self.periods + self.phases)).sum())


@dataclass
class _Instrument:
    """An instrument, its paths, and when it is away."""

    object: Object
    class_name: str
    entry: tuple[float, float]  # (x, y) outside the picture, in units of its side
    x: _Wave
    y: _Wave
    opening: _Wave
    radius: float  # pixels
    away: tuple[tuple[int, int], ...]  # half-open ranges of frames
    visits: list[tuple[float, int]] = field(default_factory=list)  # each return: turn of the entry (radians), which way up
    stain: float = 0.0  # how bloody its tip is

    def vary(self, rng: Rng) -> None:
        """Draw from where it comes back after each absence: as before, or from another port and the other way up."""
        for _ in self.away:
            turn = float(rng.uniform(0.4, 1.4) * rng.choice((-1, 1))) if rng.random() < TURNED else 0.0
            self.visits.append((turn, int(rng.choice((-1, 1))) if turn else 1))

    def move(self, rng: Rng) -> None:
        """Draw one other port through which it comes back after every absence, the other way up."""
        turn = float(rng.uniform(0.4, 1.4) * rng.choice((-1, 1)))
        self.visits = [(turn, -1)] * len(self.away)

    def pose(self, t: int, side: tuple[int, int]) -> Pose:
        height, width = side
        tip = np.array((self.x(t) * width, self.y(t) * height))
        back = sum(t >= (start + stop) // 2 for start, stop in self.away)  # times it has left and is on its way back
        turn, side_up = self.visits[back - 1] if back and self.visits else (0.0, 1)
        entry = np.array(_turned(self.entry, turn)) * (width, height)
        direction = tip - entry
        direction /= np.linalg.norm(direction)
        tip = tip - direction * self.retraction(t) * 1.8 * max(side)
        angle = float(np.arctan2(direction[1], direction[0]))
        opening = float(np.clip(self.opening(t), 0.02, 0.7))
        return Pose((float(tip[0]), float(tip[1])), angle, opening, self.radius, stain=self.stain, side_up=side_up)

    def retraction(self, t: int) -> float:
        """Return 0 in place to 1 away."""
        most = 0.0
        for start, stop in self.away:
            inside = min(t - start, stop - 1 - t) + 1  # frames since leaving began or until it is back
            if inside > 0:
                most = max(most, min(inside / RETRACTION_FRAMES, 1.0))
        return most * most * (3 - 2 * most)


def _turned(entry: tuple[float, float], angle: float) -> tuple[float, float]:
    """Turn a place outside the picture around the picture's middle."""
    x, y = entry[0] - 0.5, entry[1] - 0.5
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return 0.5 + c * x - s * y, 0.5 + s * x + c * y


class Laparoscopy(DrawnClip):
    """A laparoscopic clip of any length, rendered as it is asked for.

    What it is made of: ``instruments``, ``organ``, ``effects`` and ``bleeding``.

    Parameters
    ----------
    seed
        Decides everything.
    frames, size
        Number of frames and ``(Y, X)``.
    classes
        Instruments, by the names of :data:`INSTRUMENT_CLASSES`; drawn at random by default (1 to 3, sometimes two alike).
    organ
        An organ of soft border that is an object too: a name of ``ORGANS``, ``None`` for none, ``"random"``.
    absences
        How many times each instrument leaves; drawn at random by default.
    absence_frames
        Range of the length of an absence.
    away
        Instead: half-open ranges of frames, from the first of leaving to the last of coming back, for every instrument.
    moved
        Whether every instrument comes back from its first absence through another port and the other way up, and from then on
        always so. By default each return is drawn anew.
    effects
        Blood, smoke, shake, defocus, noise, compression, vignette, changing light. Off for a plain picture, of the same masks
        but for what blood hides of an organ.
    bleeding
        Whether blood wells up, and hides of the organ what it covers; drawn at random by default, never without effects.

    Raises
    ------
    TrainingError
        If there is no such instrument or organ.
    """

    def __init__(
        self,
        seed: int,
        frames: int = 100,
        size: tuple[int, int] = (256, 256),
        *,
        classes: tuple[str, ...] | None = None,
        organ: str | None = "random",
        absences: int | None = None,
        absence_frames: tuple[int, int] = (30, 60),
        away: Sequence[tuple[int, int]] | None = None,
        moved: bool = False,
        effects: bool = True,
        bleeding: bool | None = None,
        fps: float = 25.0,
    ) -> None:
        if unknown := sorted(set(classes or ()) - set(INSTRUMENT_CLASSES)):
            raise TrainingError(f"There is no instrument {unknown[0]!r}; choose of {', '.join(INSTRUMENT_CLASSES)}.")
        if organ not in (None, "random", *ORGANS):
            raise TrainingError(f"There is no organ {organ!r}; choose of {', '.join(ORGANS)}, None for none, or 'random'.")
        rng = np.random.default_rng(seed)
        self.name = f"laparoscopy-{seed}"
        self.fps = fps
        self.shape = (frames, *size, 3)
        if organ == "random":
            organ = str(rng.choice(list(ORGANS))) if rng.random() < 0.6 else None
        if classes is None:
            classes = tuple(str(c) for c in rng.choice(INSTRUMENT_CLASSES, int(rng.integers(1, 4))))
        tissue = make_tissue(rng, int(1.6 * max(size)), organ)
        shown = np.zeros(tissue.picture.shape[:2], bool) if tissue.organ is None else tissue.organ
        # Colour and organ in one number, so that each frame looks them up once.
        self._pixels = np.dstack((tissue.picture, shown.astype(np.uint8))).view(np.uint32)[..., 0]
        self._camera = [_Wave.draw(rng, 0.0, 0.10), _Wave.draw(rng, 0.0, 0.10), _Wave.draw(rng, 0.0, 0.10)]
        self._breathing = rng.uniform(30, 60), rng.uniform(0, 6.3)
        self.instruments = [self._make_instrument(rng, n, name, absences, absence_frames) for n, name in enumerate(classes)]
        self.organ = organ_object(len(classes) + 1, organ) if organ is not None else None
        self.objects = tuple(i.object for i in self.instruments) + ((self.organ,) if self.organ is not None else ())
        later = np.random.default_rng((seed, 1))  # of what came into being later
        self.effects = Effects(rng, later, size, _Wave.draw) if effects else None
        drawn = later.random() < BLOODY
        bloody = effects and (drawn if bleeding is None else bleeding)
        self.bleeding = Bleeding(later, self._pixels.shape[0], _Wave.draw) if bloody else None
        ways = np.random.default_rng((seed, 2))  # of its own, so that instruments are the same without effects
        for instrument in self.instruments:
            if away is not None:
                instrument.away = tuple(away)
            if moved:
                instrument.move(ways)
            else:
                instrument.vary(ways)
            instrument.stain = float(later.uniform(0.2, 0.7)) if effects and later.random() < STAINED else 0.0

    def _make_instrument(self, rng: Rng, n: int, name: str, absences: int | None, lengths: tuple[int, int]) -> _Instrument:
        frames = self.shape[0]
        angle = rng.uniform(0, 2 * np.pi)
        entry = (0.5 + 1.1 * np.cos(angle), 0.5 + 1.1 * np.sin(angle))
        mean_x, mean_y = rng.uniform(0.3, 0.7, 2)
        count = absences if absences is not None else int(rng.random() < 0.35)
        away = []
        for k in range(count):
            length = int(rng.integers(*lengths, endpoint=True)) + 2 * RETRACTION_FRAMES
            first, last = int(frames * (k + 0.15) / count), int(frames * (k + 0.9) / count) - length
            if last > first:
                start = int(rng.integers(first, last))
                away.append((start, start + length))
        return _Instrument(
            Object(n + 1, f"{name} {n + 1}", name, _COLOURS[n % len(_COLOURS)]),
            name,
            (float(entry[0]), float(entry[1])),
            _Wave.draw(rng, mean_x, rng.uniform(0.08, 0.3)),
            _Wave.draw(rng, mean_y, rng.uniform(0.08, 0.3)),
            _Wave.draw(rng, 0.25, 0.3, 60.0),
            CLASSES[name][2] / 100 * max(self.shape[1:3]) * float(rng.uniform(0.85, 1.5)),
            tuple(away),
        )

    def presence(self) -> NDArray[np.bool_]:
        """Return which objects are there, ``(T, N)``: instruments that have not gone half-way out, organs always."""
        there = np.ones((len(self), len(self.objects)), dtype=bool)
        for n, instrument in enumerate(self.instruments):
            there[:, n] = [instrument.retraction(t) < 0.5 for t in range(len(self))]
        return there

    def render(self, index: int) -> tuple[NDArray[np.uint8], dict[int, NDArray[np.bool_]]]:
        """Draw a frame ``(Y, X, 3)``; return it and the masks on it."""
        image, organ = self.look(index)
        masks: dict[int, NDArray[np.bool_]] = {}
        for instrument in self.instruments:
            covered = draw(image, instrument.class_name, instrument.pose(index, self.shape[1:3]))
            for other in masks.values():
                other &= ~covered
            organ &= ~covered
            masks[instrument.object.id] = covered
        if self.organ is not None:
            masks[self.organ.id] = organ
        return self._record(image, index), masks

    def look(self, t: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the tissue as the moving camera sees it, ``(3, Y, X)``, and its organ; the tissue breathes."""
        height, width = self.shape[1:3]
        side = self._pixels.shape[0]
        dx, dy, zoom = (wave(t) for wave in self._camera)
        period, phase = self._breathing
        breath = np.sin(2 * np.pi * t / period + phase)
        scale = np.float32((1.15 + 0.6 * zoom + 0.01 * breath) * min(1.35, side / max(height, width)) / 1.35)
        ripple = np.float32(3 * breath)
        y = (np.arange(height, dtype=np.float32) - height / 2) * scale
        x = (np.arange(width, dtype=np.float32) - width / 2) * scale
        rows = (y + np.float32(side * (0.5 + dy)))[:, None] + (ripple * np.sin(x / 37, dtype=np.float32))[None]
        columns = (x + np.float32(side * (0.5 + dx)))[None] + (ripple * np.sin(y / 31, dtype=np.float32))[:, None]
        for places in (rows, columns):
            np.clip(places, 0, side - 1, out=places)
        index = rows.astype(np.int32)
        index *= side
        index += columns.astype(np.int32)
        seen = self._pixels.reshape(-1).take(index).view(np.uint8).reshape(height, width, 4)
        image = np.empty((3, height, width), np.float32)  # by planes, which numpy is faster at
        for channel, plane in enumerate(image):
            np.divide(seen[..., channel], np.float32(255), out=plane)
        organ = seen[..., 3] > 0
        if self.bleeding is not None:
            organ &= ~self.bleeding(image, index, t)
        return image, organ

    def _record(self, image: NDArray[np.float32], t: int) -> NDArray[np.uint8]:
        return interleaved(np.clip(image, 0, 1) * 255) if self.effects is None else self.effects(image, t)
