"""The instruments of :mod:`research.instrument_stills` in motion, to learn tracking from: they swing, reach, leave and return.

Tissue moves and stretches below them, pieces of it are objects too, and some lie in front. Needs OpenCV (the extra ``train``)
and material (:mod:`research.material`). No file that ships has learned from these clips yet.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from research.drawn_family import DrawnFamily, Pictures, Rng
from research.instrument_stills import (
    Image,
    Instrument,
    Plane,
    as_it_is,
    blended,
    make_instrument,
    organ,
    through_the_lens,
    tissue,
)
from research.object_motion import Motion, make_motion, wander, warp

LAYER = Callable[[int], tuple[Image, Plane]]  # frame: colours (S, S, 3) and alpha (S, S)
AWAY_SHARE = 0.3  # of the instruments that leave for a while, where the clip is long enough


class InstrumentClips(DrawnFamily):
    """A family of clips of 1 to 4 objects."""

    name = "instrument-clip"

    def draw(self, rng: Rng, frames: int, pictures: Pictures) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return images ``(T, S, S, 3)`` and masks ``(T, N, S, S)``."""
        size, picture = self.size, pictures(rng)
        below = tissue(rng, picture, size) if rng.random() < 0.85 else as_it_is(picture, size)
        ground = (np.clip(below, 0, 1) * 255).astype(np.uint8)
        camera = make_motion(rng, frames, size, liveliness=rng.uniform(0, 0.35), elastic=float(rng.uniform(0, 0.03)))
        layers = [self._organ(rng, frames, pictures, camera)] if rng.random() < 0.4 else []
        layers += [self._instrument(rng, frames) for _ in range(int(rng.integers(1, 4)))]
        front = [self._organ(rng, frames, pictures, camera)] if rng.random() < 0.25 else []
        blurs, shades = rng.uniform(0.4, 1.2, len(layers)), rng.uniform(0, 0.6, len(layers))
        lens = int(rng.integers(2**31))
        images = np.empty((frames, size, size, 3), np.uint8)
        stack = np.zeros((frames, len(layers), size, size), dtype=bool)
        for t in range(frames):
            image: Image = warp(ground, camera, t, size, (0.5, 0.5), 1.3).astype(np.float32) / 255
            for n, layer in enumerate(layers):
                colours, alpha = layer(t)
                alpha = cv2.GaussianBlur(alpha, (0, 0), blurs[n])
                shadow = cv2.GaussianBlur(alpha, (0, 0), size * 0.015)
                image = blended(image * (1 - shades[n] * shadow[..., None]), colours, alpha)
                stack[t, :n] &= ~(alpha > 0.5)
                stack[t, n] = alpha > 0.5
            for layer in front:
                colours, alpha = layer(t)
                image = blended(image, colours, alpha)
                stack[t] &= ~(alpha > 0.5)
            images[t] = (np.clip(through_the_lens(np.random.default_rng(lens), image), 0, 1) * 255).astype(np.uint8)
        return images, stack

    def _instrument(self, rng: Rng, frames: int) -> LAYER:
        """Return an instrument that swings about its entry, moves in and out, and bends."""
        made = make_instrument(rng)
        lively = rng.uniform(0.2, 1.0)
        turn = wander(rng, frames, 0.25 * lively, 0.01)
        pushed = wander(rng, frames, 0.25 * lively, 0.01)
        aside = np.stack([wander(rng, frames, 0.08 * lively, 0.004) for _ in range(2)], axis=1)
        bends = np.stack([wander(rng, frames, 0.4 * lively, 0.01) for _ in made.parts], axis=1)
        if frames > 2 and rng.random() < AWAY_SHARE:
            first, last = np.sort(rng.choice(np.arange(1, frames + 1), 2, replace=False))
            pushed[first:last] = -1.4  # out of the picture
        along = made.reach / max(float(np.hypot(*made.reach)), 1e-6)

        def draw(t: int) -> tuple[Image, Plane]:
            moved = Instrument(made.entry + along * pushed[t] + aside[t], made.reach, made.parts)
            return moved.draw(self.size, turn[t], (0.0, *bends[t, 1:]))

        return draw

    def _organ(self, rng: Rng, frames: int, pictures: Pictures, camera: Motion) -> LAYER:
        """Return a piece of tissue that moves with the ground, and a little by itself."""
        colours, alpha = organ(rng, pictures(rng), self.size)
        piece = (np.clip(np.dstack((colours, alpha)), 0, 1) * 255).astype(np.uint8)
        own = make_motion(rng, frames, self.size, liveliness=rng.uniform(0, 0.3), elastic=float(rng.uniform(0, 0.03)))
        own.centre, own.angle = own.centre + camera.centre, own.angle + camera.angle

        def draw(t: int) -> tuple[Image, Plane]:
            seen = warp(piece, own, t, self.size, (0.5, 0.5), 1.0).astype(np.float32) / 255
            return seen[..., :3], seen[..., 3]

        return draw
