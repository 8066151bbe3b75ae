"""Bumps on a surface that they hardly differ from, before a lamp that travels with the camera, to learn tracking from.

What an endoscope sees of a polyp is this: wall and polyp have one texture and one colour, the lamp makes the difference, and
glare stays with the camera while the tissue moves below. A network that matches cells by their colour finds pieces of such a
polyp, and of the wall. Here the surface is a height field with folds, bumps of any outline, and bumps that nobody asked for.
Camera distance changes up to threefold between frames, as in recordings of which every tenth second is kept.

Shading is Lambert's with a Blinn highlight. Needs OpenCV (the extra ``train``) and material (:mod:`research.material`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from research.drawn_family import DrawnFamily, Pictures, Rng
from research.instrument_stills import (
    Image,
    Plane,
    as_it_is,
    blended,
    make_instrument,
    through_the_lens,
    tissue,
    value_noise,
)
from research.object_motion import Motion, make_motion, places_at, wander

REACH = 1.6  # widths of the picture that the surface has
PIXELS = 0.9  # of the surface for one of the picture at that width; near looks are soft, as they are in endoscopes


@dataclass
class Surface:
    """A picture of a surface, its slopes, and where its bumps are; ``(S, S)`` each."""

    colours: Image  # (S, S, 3)
    slopes: NDArray[np.float32]  # (S, S, 2), along x and y
    bumps: NDArray[np.float32]  # (S, S, N), 0 to 1


class SurfaceClips(DrawnFamily):
    """A family of clips of 1 to 3 objects."""

    name = "surface-clip"
    largest = 0.5

    def draw(self, rng: Rng, frames: int, pictures: Pictures) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return images ``(T, S, S, 3)`` and masks ``(T, N, S, S)``."""
        size = self.size
        surface, objects = make_surface(rng, pictures, int(size * REACH * PIXELS))
        motion = make_camera(rng, frames, size)
        lamp = Lamp.draw(rng, frames, size)
        tool = make_instrument(rng) if rng.random() < 0.2 else None
        turn, lens = wander(rng, frames, 0.3, 0.01), int(rng.integers(2**31))
        images = np.empty((frames, size, size, 3), np.uint8)
        stack = np.empty((frames, objects, size, size), dtype=bool)
        for t in range(frames):
            image, bumps = look(surface, motion, lamp, t, size)
            stack[t] = bumps[:objects] > 0.5
            if tool is not None:
                colours, alpha = tool.draw(size, turn[t])
                image = blended(image, colours, alpha)
                stack[t] &= ~(alpha > 0.5)
            image = through_the_lens(np.random.default_rng(lens), image)
            images[t] = (np.clip(image, 0, 1) * 255).astype(np.uint8)
        return images, stack


def make_surface(rng: Rng, pictures: Pictures, side: int) -> tuple[Surface, int]:
    """Return a surface with bumps, and how many of them, the first ones, are objects."""
    colours = _covered(rng, pictures, side)
    height = value_noise(rng, side, int(rng.integers(2, 6))) * side * rng.uniform(0, 0.25)
    if rng.random() < 0.5:  # folds: what is near a line of equal height stands up
        line = value_noise(rng, side, int(rng.integers(2, 5)))
        height += np.exp(-(((line - rng.uniform(0.3, 0.7)) / rng.uniform(0.02, 0.1)) ** 2)) * side * rng.uniform(0, 0.08)
    objects, others = int(rng.integers(1, 4)), int(rng.integers(0, 4))
    bumps = []
    for _ in range(objects + others):
        inside, profile, radius = _bump(rng, side)
        bumps.append(inside)
        steep, covered = rng.uniform(0, 0.9), rng.uniform(0, 1)
        if steep + covered < 0.5:  # one of the two has to show it
            steep += 0.4
        height += profile * radius * steep
        colours = blended(colours, _cover_of_bump(rng, colours, pictures), inside * covered)
    rough = value_noise(rng, side, side // int(rng.integers(4, 12))) * rng.uniform(0, 2.5)
    smooth = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 2.0) + rough
    slopes = np.dstack((np.gradient(smooth, axis=1), np.gradient(smooth, axis=0))).astype(np.float32)
    return Surface(colours, slopes, np.dstack(_apart(bumps))), objects


def _covered(rng: Rng, pictures: Pictures, side: int) -> Image:
    covered = (
        tissue(rng, pictures(rng), side, glare=rng.random() < 0.2) if rng.random() < 0.75 else as_it_is(pictures(rng), side)
    )
    if rng.random() < 0.4:  # plain, so that little but the shading tells a bump from the wall
        covered = blended(covered, covered.mean(axis=(0, 1)), np.full((side, side), rng.uniform(0.3, 0.9), np.float32))
    return covered


def _cover_of_bump(rng: Rng, ground: Image, pictures: Pictures) -> Image:
    """Return what a bump is covered with: mostly the ground's own look, redder, paler or darker."""
    if rng.random() < 0.25:
        return _covered(rng, pictures, len(ground))
    tint = 1 + rng.normal(0, 1, 3) * rng.uniform(0, 0.15) + rng.normal(0, 0.1)
    moved = np.roll(ground, rng.integers(0, len(ground), 2), (0, 1)) if rng.random() < 0.5 else ground
    return np.asarray(np.clip(moved * tint, 0, 1), np.float32)


def _bump(rng: Rng, side: int) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Return where a bump is ``(side, side)``, its height in parts of its radius, and that radius in pixels."""
    radius = float(np.exp(rng.uniform(np.log(0.025), np.log(0.17)))) * side
    line = np.arange(side, dtype=np.float32)
    x0, y0 = rng.normal(0.5, 0.13, 2) * side
    angle, flat = rng.uniform(0, np.pi), rng.uniform(0.45, 1)
    dx, dy = line[None] - np.float32(x0), line[:, None] - np.float32(y0)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    across, along = (cosine * dx + sine * dy) / radius, (cosine * dy - sine * dx) / (radius * flat)
    around = np.arctan2(along, across)
    waves = sum(rng.normal(0, 0.16 / k) * np.sin(k * around + rng.uniform(0, 6.3)) for k in range(1, 6))
    far = np.hypot(across, along) / np.clip(1 + waves, 0.4, 2)
    inside = np.clip((1 - far) * radius / 2 + 0.5, 0, 1)
    steep = rng.uniform(0.25, 1.5)  # below 0.5 a plateau with steep flanks
    profile = np.clip(1 - far * far, 0, None) ** steep
    return inside.astype(np.float32), profile.astype(np.float32), radius


def _apart(bumps: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Let every bump end where a later one lies over it."""
    seen = []
    for n, inside in enumerate(bumps):
        left = inside.copy()
        for later in bumps[n + 1 :]:
            left *= 1 - later
        seen.append(left)
    return seen


def make_camera(rng: Rng, frames: int, size: int) -> Motion:
    """Return the way of the surface before the camera: calm, or as far apart as kept frames of an examination are."""
    lively = float(rng.choice((0.2, 0.6, 1.5)))
    motion = make_motion(rng, frames, size, liveliness=lively, elastic=float(rng.uniform(0, 0.03)))
    motion.centre = np.clip(motion.centre, -0.4, 0.4)
    nearer = wander(rng, frames, 0.9 * lively, 0.02) + rng.normal(0, 0.25)
    motion.scale = np.exp(np.clip(nearer, np.log(0.65), np.log(2.2)))
    return motion


@dataclass
class Lamp:
    """A lamp beside the camera, and how the surface shines."""

    at: NDArray[np.float64]  # (T, 2), from the picture's middle in widths
    distance: float
    ambient: float
    shine: float
    sharpness: float
    fall: float

    @classmethod
    def draw(cls, rng: Rng, frames: int, size: int) -> Lamp:
        """Draw one; it hardly moves before the camera."""
        at = rng.normal(0, 0.12, 2) + np.stack([wander(rng, frames, 0.05, 0.0) for _ in range(2)], axis=1)
        return cls(
            at, rng.uniform(0.3, 1.2), rng.uniform(0.05, 0.5), rng.uniform(0, 1.2), rng.uniform(15, 90), rng.uniform(0, 1.5)
        )

    def light(self, slopes: NDArray[np.float32], t: int) -> tuple[Plane, Plane]:
        """Return how bright each pixel of ``(S, S, 2)`` is, and its glare, which are ``(S, S)``."""
        line = (np.arange(len(slopes), dtype=np.float32) + 0.5) / len(slopes) - 0.5
        to_x, to_y = np.float32(self.at[t, 0]) - line[None], np.float32(self.at[t, 1]) - line[:, None]
        far = np.sqrt(to_x**2 + to_y**2 + np.float32(self.distance) ** 2)
        steep = np.sqrt(1 + slopes[..., 0] ** 2 + slopes[..., 1] ** 2)
        facing = (self.distance - slopes[..., 0] * to_x - slopes[..., 1] * to_y) / (far * steep)
        bright = (self.ambient + (1 - self.ambient) * np.clip(facing, 0, 1)) * (self.distance / far) ** self.fall
        return bright, self.shine * np.clip(facing, 0, 1) ** self.sharpness * 0.8


def look(surface: Surface, motion: Motion, lamp: Lamp, t: int, size: int) -> tuple[Image, NDArray[np.float32]]:
    """Return the picture ``(S, S, 3)`` of a surface at a time, and its bumps ``(N, S, S)``."""
    _, places = places_at(surface.colours.shape, motion, t, size, (0.5, 0.5), REACH)

    def seen(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.remap(plane, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    cosine, sine = np.float32(np.cos(motion.angle[t])), np.float32(np.sin(motion.angle[t]))
    slopes = seen(surface.slopes) @ np.array([[cosine, sine], [-sine, cosine]], np.float32)
    bright, glare = lamp.light(slopes, t)
    image = seen(surface.colours) * bright[..., None] + glare[..., None]
    bumps = np.stack([seen(np.ascontiguousarray(surface.bumps[..., n])) for n in range(surface.bumps.shape[2])])
    return image.astype(np.float32), bumps
