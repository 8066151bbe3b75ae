"""Composites of real material: what carries over to real video.

Two kinds of clips. In one, cut-outs (with alpha), segments of real frames and free shapes with real texture move, turn,
deform, cover each other, leave and come back over a real background, moving or still. In the other a real frame is warped
whole by a smooth flow, with one of its own segments as the object: its borders truly exist in the picture.

Needs OpenCV (the extra ``train``), scikit-image (the group ``research``) and material (:mod:`research.material`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import TrainingError
from napari_sam2s.masklets.types import Object
from napari_sam2s.synthetic.clip import ArrayClip
from research.material import Material

try:
    import cv2
    from skimage.segmentation import felzenszwalb

    from research.camera_effects import develop
    from research.object_motion import Box, Places, depart, look_up, make_motion, places_at, warp
except ImportError as error:
    raise TrainingError("Composites need OpenCV and scikit-image: pip install -e '.[train]' --group research.") from error

Rng = np.random.Generator
WHOLE_FRAME_SHARE = 0.35
SEGMENT_AREA = (0.008, 0.25)  # of the picture
PHOTOGRAPH_SHARE = 0.35  # of still pictures, where there are any; the others are frames of videos
SMALLEST_AREA = 0.003  # of the picture, on the first frame, for an object worth following


class CompositeMaker:
    """Draws clips from material.

    Parameters
    ----------
    material
        See :class:`Material`.
    size
        Side of the square frames.
    segments
        How many segments of real frames to cut out beforehand, as further objects, if the material comes without them.
    departures
        Share of the moving objects that leave the picture for a while.
    """

    def __init__(
        self, material: Material, size: int = 256, *, segments: int = 150, seed: int = 0, departures: float = 0.0
    ) -> None:
        self.material = material
        self.size = size
        self.departures = departures
        self._segments = material.segments or cut_segments(material, segments, seed)

    def __call__(self, seed: int, frames: int = 8) -> ArrayClip:
        """Return the clip of a seed; 1 to 4 objects, all visible on the first frame."""
        rng = np.random.default_rng(seed)
        for _ in range(20):
            make = self._whole_frame if rng.random() < WHOLE_FRAME_SHARE else self._layers
            images, stack = make(rng, frames)
            keep = _areas(stack[0]) > SMALLEST_AREA
            if keep.any():
                break
        else:
            raise TrainingError(f"No object was visible in 20 tries of seed {seed}; the material has too little in it.")
        if rng.random() < 0.5:
            last = _areas(stack[-1]) > SMALLEST_AREA
            if (keep & last).any():  # played backward
                images, stack, keep = images[::-1], stack[::-1], last
        stack = stack[:, keep]
        objects = tuple(Object(n + 1, f"object {n + 1}") for n in range(stack.shape[1]))
        return ArrayClip(f"composite-{seed}", develop(rng, images), np.ascontiguousarray(stack), objects)

    def _object(self, rng: Rng) -> NDArray[np.uint8]:
        """Return a cut-out ``(Y, X, 4)``: photographic, rendered, a segment, or a free shape; some with another texture."""
        kind = rng.random()
        if kind < 0.4 and self.material.rendered and rng.random() < 0.5:
            cutout = _varied(rng, self.material.rendered[rng.integers(len(self.material.rendered))])
        elif kind < 0.4 and self.material.cutouts:
            cutout = self.material.cutouts[rng.integers(len(self.material.cutouts))]
        elif kind < 0.8 and self._segments:
            cutout = self._segments[rng.integers(len(self._segments))]
        else:
            cutout = self._free_shape(rng)
        if rng.random() < 0.15:
            texture = cv2.resize(_picture(self.material, rng), cutout.shape[1::-1])
            cutout = np.dstack((texture, cutout[..., 3]))
        return np.ascontiguousarray(cutout[:, ::-1]) if rng.random() < 0.5 else cutout

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
        picture = _picture(self.material, rng)
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
            [warp(video[first + t * step if moving else first], camera, t, self.size, start, reach) for t in range(frames)]
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
                self._draw(
                    images[t], stack[t], n, cutout, places_at(cutout.shape, motion, t, self.size, start, reach, only=True)
                )
        return images.astype(np.uint8), stack

    @staticmethod
    def _draw(
        image: NDArray[np.float32], masks: NDArray[np.bool_], n: int, cutout: NDArray[np.uint8], seen: tuple[Box, Places]
    ) -> None:
        """Lay an RGBA cut-out over an image, in place, and take its pixels from the objects below."""
        box, places = seen
        if not places[0].size:
            return
        layer = look_up(cutout, places)
        alpha = cv2.cvtColor(np.ascontiguousarray(layer[..., 3]), cv2.COLOR_GRAY2RGB).astype(np.float32)
        alpha /= 255
        below = image[box]
        change = layer[..., :3].astype(np.float32)
        change -= below
        change *= alpha
        below += change
        covered = layer[..., 3] > 127
        masks[:n, *box] &= ~covered
        masks[n, *box] = covered

    def _whole_frame(self, rng: Rng, frames: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Warp a whole frame, with one or two of its own segments as objects, and sometimes something passing over."""
        picture = _picture(self.material, rng)
        regions = [r for r in (_regions(rng, picture) for _ in range(int(rng.integers(1, 3)))) if r is not None]
        motion = make_motion(
            rng, frames, self.size, liveliness=rng.uniform(0.02, 0.4), elastic=float(rng.uniform(0.005, 0.045))
        )
        start, reach = (0.5 + rng.uniform(-0.1, 0.1), 0.5 + rng.uniform(-0.1, 0.1)), float(rng.uniform(1.4, 2.0))
        passing = [self._object(rng)] if rng.random() < 0.4 else []
        stack = np.zeros((frames, max(len(regions), 1) + len(passing), self.size, self.size), dtype=bool)
        images = np.empty((frames, self.size, self.size, 3), np.float32)
        alphas = [region.astype(np.uint8) * 255 for region in regions]
        for t in range(frames):
            places = places_at(picture.shape, motion, t, self.size, start, reach)[1]
            images[t] = look_up(picture, places)
            for n, alpha in enumerate(alphas):
                stack[t, n] = look_up(alpha, places) > 127
        if len(regions) == 2:
            stack[:, 0] &= ~stack[:, 1]
        for cutout in passing:
            path = make_motion(rng, frames, self.size, liveliness=rng.uniform(0.3, 1.0), elastic=0.0)
            place, reach = tuple(rng.uniform(0.1, 0.9, 2)), float(rng.uniform(0.15, 0.5))
            for t in range(frames):
                seen = places_at(cutout.shape, path, t, self.size, place, reach, only=True)
                self._draw(images[t], stack[t], stack.shape[1] - 1, cutout, seen)
        return images.astype(np.uint8), stack


def cut_segments(material: Material, number: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Cut segments ``(Y, X, 4)`` out of a material's videos and pictures, in so many tries."""
    rng = np.random.default_rng(seed)
    segments = []
    for _ in range(number):
        picture = _picture(material, rng)
        mask = _regions(rng, picture)
        if mask is not None:
            segments.append(_crop_to(picture, mask))
    return segments


def _picture(material: Material, rng: Rng) -> NDArray[np.uint8]:
    """Return a frame of a video, or a piece of a photograph."""
    if material.pictures and rng.random() < PHOTOGRAPH_SHARE:
        whole = material.pictures[rng.integers(len(material.pictures))]
        height = int(rng.uniform(0.35, 1) * whole.shape[0])
        width = min(int(height * rng.uniform(1.3, 1.8)), whole.shape[1])
        top, left = rng.integers(whole.shape[0] - height + 1), rng.integers(whole.shape[1] - width + 1)
        return whole[top : top + height, left : left + width]
    video = material.videos[rng.integers(len(material.videos))]
    return video[rng.integers(len(video))]


def _regions(rng: Rng, picture: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
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


def _crop_to(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Cut a picture out along a mask, with an alpha softened by a pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    alpha = cv2.GaussianBlur(np.pad(mask[box].astype(np.uint8) * 255, 2), (3, 3), 0)
    return np.dstack((np.pad(picture[box], ((2, 2), (2, 2), (0, 0)), mode="edge"), alpha))


def _areas(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the shares of the picture that masks ``(N, Y, X)`` have."""
    return np.count_nonzero(masks, axis=(1, 2)) / masks[0].size


def _varied(rng: Rng, cutout: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a rendered cut-out duller and other colours: what ships paints all of its things alike."""
    colours = cutout[..., rng.permutation(3) if rng.random() < 0.3 else slice(3)].astype(np.float32) / 255
    grey = colours.mean(axis=2, keepdims=True)
    colours = np.clip(grey + (colours - grey) * rng.uniform(0.1, 1.1), 0, 1) ** rng.uniform(0.6, 1.7)
    return np.dstack(((colours * 255).astype(np.uint8), cutout[..., 3]))
