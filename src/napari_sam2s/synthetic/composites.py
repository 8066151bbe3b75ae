"""Composites of real material: what carries over to real video.

Two kinds of clips. In one, cut-outs (with alpha), segments of real frames and free shapes with real texture move, turn,
deform, cover each other, leave and come back over a real background, moving or still. In the other a real frame is warped
whole by a smooth flow, with one of its own segments as the object: its borders truly exist in the picture.

Needs the extra ``train`` (OpenCV and scikit-image) and material (:mod:`napari_sam2s.synthetic.material`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import TrainingError
from napari_sam2s.masklets.vocabulary import Object
from napari_sam2s.synthetic.clip import ArrayClip
from napari_sam2s.synthetic.material import Material

try:
    import cv2
    from skimage.segmentation import felzenszwalb
except ImportError as error:
    raise TrainingError("Composites need OpenCV and scikit-image: pip install 'napari-sam2s[train]'.") from error

Rng = np.random.Generator
WHOLE_FRAME_SHARE = 0.35
SEGMENT_AREA = (0.008, 0.25)  # of the picture
DEPARTURE = 1.7  # widths of the picture to be out of it
SMALLEST_AREA = 0.003  # of the picture, on the first frame, for an object worth following


@dataclass
class Motion:
    """A smooth path of position, turn, size and shear, and an elastic flow."""

    centre: NDArray[np.float64]  # (T, 2) as (x, y), in units of the picture
    angle: NDArray[np.float64]  # (T,) radians
    scale: NDArray[np.float64]  # (T,)
    shear: NDArray[np.float64]  # (T,)
    flow: NDArray[np.float32] | None = None  # (K, 2, S, S) displacement fields in units of the picture
    flow_weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))  # (T, K)


def _path(rng: Rng, frames: int, amplitude: float, drift: float) -> NDArray[np.float64]:
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
    wander = 0.25 * liveliness if rng.random() < 0.75 else 0.9 * liveliness  # some leave the picture
    centre = np.stack([_path(rng, frames, wander, 0.012 * liveliness) for _ in range(2)], axis=1)
    motion = Motion(
        centre=centre,
        angle=_path(rng, frames, 0.5 * liveliness, 0.03 * liveliness),
        scale=np.exp(_path(rng, frames, 0.2 * liveliness, 0.01 * liveliness)),
        shear=_path(rng, frames, 0.1 * liveliness, 0.0),
    )
    if elastic:
        motion.flow = _flow_fields(rng, size, 2, elastic)
        motion.flow_weights = np.stack([_path(rng, frames, 1.0, 0.06) for _ in range(2)], axis=1)
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


def _warp(picture: NDArray[np.uint8], motion: Motion, t: int, size: int, start: tuple[float, float], reach: float) -> NDArray:
    """Draw ``picture`` at time ``t``: its centre at ``start`` + path, its longer side ``reach`` of the frame."""
    height, width = picture.shape[:2]
    zoom = reach * size / max(height, width) * motion.scale[t]
    cosine, sine = np.cos(motion.angle[t]) * zoom, np.sin(motion.angle[t]) * zoom
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[1, motion.shear[t]], [0, 1]])
    target = (np.array(start) + motion.centre[t]) * size
    inverse = np.linalg.inv(linear)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    if motion.flow is not None:
        shift = np.tensordot(motion.flow_weights[t].astype(np.float32), motion.flow, axes=1) * size
        x, y = x + shift[0], y + shift[1]
    dx, dy = x - np.float32(target[0]), y - np.float32(target[1])
    i = inverse.astype(np.float32)
    map_x = i[0, 0] * dx + i[0, 1] * dy + np.float32((width - 1) / 2)
    map_y = i[1, 0] * dx + i[1, 1] * dy + np.float32((height - 1) / 2)
    border = cv2.BORDER_CONSTANT if picture.shape[2] == 4 else cv2.BORDER_REFLECT_101
    return cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=border, borderValue=(0, 0, 0, 0))


class CompositeMaker:
    """Draws clips from material.

    Parameters
    ----------
    material
        See :class:`Material`.
    size
        Side of the square frames.
    segments
        How many segments of real frames to cut out beforehand, as further objects.
    departures
        Share of the moving objects that leave the picture for a while.
    """

    def __init__(
        self, material: Material, size: int = 256, *, segments: int = 150, seed: int = 0, departures: float = 0.0
    ) -> None:
        self.material = material
        self.size = size
        self.departures = departures
        rng = np.random.default_rng(seed)
        self._segments = [s for s in (self._cut_segment(rng) for _ in range(segments)) if s is not None]

    def __call__(self, seed: int, frames: int = 8) -> ArrayClip:
        """Return the clip of a seed; 1 to 4 objects, all visible on the first frame."""
        rng = np.random.default_rng(seed)
        for _ in range(20):
            make = self._whole_frame if rng.random() < WHOLE_FRAME_SHARE else self._layers
            images, stack = make(rng, frames)
            keep = stack[0].mean(axis=(1, 2)) > SMALLEST_AREA
            if keep.any():
                break
        else:
            raise TrainingError(f"No object was visible in 20 tries of seed {seed}; the material has too little in it.")
        if rng.random() < 0.5:
            last = stack[-1].mean(axis=(1, 2)) > SMALLEST_AREA
            if (keep & last).any():  # played backward
                images, stack, keep = images[::-1], stack[::-1], last
        stack = stack[:, keep]
        objects = tuple(Object(n + 1, f"object {n + 1}") for n in range(stack.shape[1]))
        return ArrayClip(f"composite-{seed}", _develop(rng, images), np.ascontiguousarray(stack), objects)

    def _picture(self, rng: Rng) -> NDArray[np.uint8]:
        video = self.material.videos[rng.integers(len(self.material.videos))]
        return video[rng.integers(len(video))]

    def _regions(self, rng: Rng, picture: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        """Return one segment of a picture as a mask, by Felzenszwalb's graph."""
        small = cv2.resize(picture, (192, 128), interpolation=cv2.INTER_AREA)
        labels = felzenszwalb(small, scale=float(rng.uniform(80, 400)), sigma=0.8, min_size=120)
        shares = np.bincount(labels.ravel()) / labels.size
        good = np.flatnonzero((shares > SEGMENT_AREA[0]) & (shares < SEGMENT_AREA[1]))
        if not len(good):
            return None
        mask = (labels == rng.choice(good)).astype(np.uint8) * 255
        mask = cv2.GaussianBlur(cv2.resize(mask, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR), (7, 7), 0)
        return mask > 127

    def _cut_segment(self, rng: Rng) -> NDArray[np.uint8] | None:
        picture = self._picture(rng)
        mask = self._regions(rng, picture)
        return None if mask is None else _crop_to(picture, mask)

    def _object(self, rng: Rng) -> NDArray[np.uint8]:
        """Return a cut-out ``(Y, X, 4)``: photographic, a segment, or a free shape; sometimes with another texture."""
        kind = rng.random()
        if kind < 0.4 and self.material.cutouts:
            cutout = self.material.cutouts[rng.integers(len(self.material.cutouts))]
        elif kind < 0.8 and self._segments:
            cutout = self._segments[rng.integers(len(self._segments))]
        else:
            cutout = self._free_shape(rng)
        if rng.random() < 0.15:
            texture = cv2.resize(self._picture(rng), cutout.shape[1::-1])
            cutout = np.dstack((texture, cutout[..., 3]))
        return cutout[:, ::-1] if rng.random() < 0.5 else cutout

    def _free_shape(self, rng: Rng) -> NDArray[np.uint8]:
        """Return a long or round smooth blob filled with a piece of a picture."""
        side = 128
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        radius = 1 + sum(rng.normal(0, 0.25 / k) * np.sin(k * angles + rng.uniform(0, 6.3)) for k in range(1, 5))
        radius = np.clip(radius, 0.2, 2)
        x, y = radius * np.cos(angles), radius * np.sin(angles) * rng.uniform(0.15, 1)
        points = np.stack((x, y), axis=1)
        points = ((points / np.abs(points).max() * 0.48 + 0.5) * side).astype(np.int32)
        alpha = np.zeros((side, side), np.uint8)
        cv2.fillPoly(alpha, [points], 255, lineType=cv2.LINE_AA)
        picture = self._picture(rng)
        top, left = rng.integers(0, picture.shape[0] - side), rng.integers(0, picture.shape[1] - side)
        return _crop_to(picture[top : top + side, left : left + side], alpha > 127)

    def _background(self, rng: Rng, frames: int) -> NDArray[np.uint8]:
        """Return a real background ``(T, S, S, 3)``: consecutive frames, or one frame under a moving camera."""
        video = self.material.videos[rng.integers(len(self.material.videos))]
        step = int(rng.integers(1, 4))
        moving = rng.random() < 0.6 and len(video) > step * frames
        first = int(rng.integers(0, len(video) - step * (frames - 1))) if moving else int(rng.integers(len(video)))
        camera = make_motion(rng, frames, self.size, liveliness=rng.uniform(0, 0.35), elastic=0.0)
        start = (0.5 + rng.uniform(-0.1, 0.1), 0.5 + rng.uniform(-0.1, 0.1))
        reach = rng.uniform(1.4, 2.2)
        return np.stack(
            [_warp(video[first + t * step if moving else first], camera, t, self.size, start, reach) for t in range(frames)]
        )

    def _layers(self, rng: Rng, frames: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Lay moving objects over a background; later ones cover earlier ones."""
        images = self._background(rng, frames).astype(np.float32)
        cutouts = [self._object(rng) for _ in range(int(rng.integers(1, 4)))]
        if rng.random() < 0.25:
            cutouts.append(cutouts[0])  # a look-alike
        stack = np.zeros((frames, len(cutouts), self.size, self.size), dtype=bool)
        for n, cutout in enumerate(cutouts):
            start = tuple(rng.uniform(0.15, 0.85, 2))
            reach = float(np.exp(rng.uniform(np.log(0.12), np.log(0.75))))
            elastic = 0.02 * rng.random() if rng.random() < 0.4 else 0.0
            motion = make_motion(rng, frames, self.size, liveliness=rng.uniform(0.1, 1.0), elastic=elastic)
            if self.departures and rng.random() < self.departures:
                depart(rng, motion)
            for t in range(frames):
                self._draw(images[t], stack[t], n, _warp(cutout, motion, t, self.size, start, reach))
        return images.astype(np.uint8), stack

    @staticmethod
    def _draw(image: NDArray[np.float32], masks: NDArray[np.bool_], n: int, layer: NDArray[np.uint8]) -> None:
        """Lay an RGBA layer over an image, in place, and take its pixels from the objects below."""
        covered = layer[..., 3] > 127
        rows, columns = np.flatnonzero(layer[..., 3].any(axis=1)), np.flatnonzero(layer[..., 3].any(axis=0))
        if not len(rows):
            return
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        alpha = layer[box][..., 3:].astype(np.float32) / 255
        image[box] += alpha * (layer[box][..., :3] - image[box])
        masks[:n] &= ~covered
        masks[n] = covered

    def _whole_frame(self, rng: Rng, frames: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Warp a whole frame, with one or two of its own segments as objects, and sometimes something passing over."""
        picture = self._picture(rng)
        regions = [r for r in (self._regions(rng, picture) for _ in range(int(rng.integers(1, 3)))) if r is not None]
        motion = make_motion(
            rng, frames, self.size, liveliness=rng.uniform(0.02, 0.4), elastic=float(rng.uniform(0.005, 0.045))
        )
        start, reach = (0.5 + rng.uniform(-0.1, 0.1), 0.5 + rng.uniform(-0.1, 0.1)), float(rng.uniform(1.4, 2.0))
        passing = [self._object(rng)] if rng.random() < 0.4 else []
        stack = np.zeros((frames, max(len(regions), 1) + len(passing), self.size, self.size), dtype=bool)
        images = np.stack([_warp(picture, motion, t, self.size, start, reach) for t in range(frames)]).astype(np.float32)
        for n, region in enumerate(regions):
            channel = np.repeat(region[..., None].astype(np.uint8) * 255, 3, axis=2)
            for t in range(frames):
                stack[t, n] = _warp(channel, motion, t, self.size, start, reach)[..., 0] > 127
        if len(regions) == 2:
            stack[:, 0] &= ~stack[:, 1]
        for cutout in passing:
            path = make_motion(rng, frames, self.size, liveliness=rng.uniform(0.3, 1.0), elastic=0.0)
            place, reach = tuple(rng.uniform(0.1, 0.9, 2)), float(rng.uniform(0.15, 0.5))
            for t in range(frames):
                self._draw(images[t], stack[t], stack.shape[1] - 1, _warp(cutout, path, t, self.size, place, reach))
        return images.astype(np.uint8), stack


def _crop_to(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Cut a picture out along a mask, with an alpha softened by a pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    alpha = cv2.GaussianBlur(np.pad(mask[box].astype(np.uint8) * 255, 2), (3, 3), 0)
    return np.dstack((np.pad(picture[box], ((2, 2), (2, 2), (0, 0)), mode="edge"), alpha))


def _develop(rng: Rng, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Light that drifts, colour, gamma, tint, blur and noise, alike over a clip."""
    frames = len(images)
    gain = np.exp(_path(rng, frames, 0.12, 0.01) + rng.normal(0, 0.15))[:, None, None, None]
    colour = np.exp(rng.normal(0, 0.06, 3))
    if rng.random() < 0.15:
        colour = colour * np.array([1.35, 0.75, 0.75])  # as inside a body
    table = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.2))
    out = table[images].astype(np.float32) * (gain * colour).astype(np.float32)
    if rng.random() < 0.1:
        out = np.repeat(out.mean(axis=3, keepdims=True), 3, axis=3)
    if rng.random() < 0.25:
        sigma = float(rng.uniform(0.4, 1.4))
        out = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in out])
    if rng.random() < 0.5:
        noise = rng.normal(0, rng.uniform(0.005, 0.03), (1, *out.shape[1:])).astype(np.float32)
        for t in range(frames):  # one field of noise, shifted, is much cheaper than one a frame
            out[t] += np.roll(noise[0], tuple(rng.integers(0, out.shape[1], 2)), axis=(0, 1))
    return (np.clip(out, 0, 1) * 255).astype(np.uint8)
