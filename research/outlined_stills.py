"""Stills of free pictures that a teacher outlined (:mod:`research.outline_pictures`): real things, parts and wholes.

A window around one of them is cut out, so that it is anything from small to most of the picture, and its neighbours with it.
Large and small masks come up alike: most of what a teacher finds is small.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import TrainingError
from napari_sam2s.masklets.types import Object
from napari_sam2s.synthetic.clip import ArrayClip, Clip
from research.drawn_family import TRIES
from research.material import existing

Masks = NDArray[np.bool_]  # (N, Y, X)
MOST = 4  # objects of a still
SMALLEST_AREA = 0.004  # of the window
EXTENT = (0.15, 0.95)  # of the chosen thing, of the window's side
STRETCH = 1.6  # the window's sides differ by so much at most: frames are squashed into a square


class OutlinedStills:
    """A family of stills of ``size`` pixels."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = existing(path), size

    @cached_property
    def _pictures(self) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]]:
        """Pictures, their masks in bits ``(N, ceil(Y X / 8))``, and how often each is chosen."""
        found = []
        with np.load(self.path) as archive:
            for name in sorted(n for n in archive.files if n.startswith("picture")):
                picture, bits = archive[name], archive[name.replace("picture", "masks")]
                areas = np.bitwise_count(bits).sum(axis=1) / (picture.shape[0] * picture.shape[1])
                if (areas > 0).any():  # what is thin may vanish from a small picture
                    found.append((picture, bits[areas > 0], _even(areas[areas > 0])))
        if not found:
            raise TrainingError(f"No picture of {self.path} has a mask: make it with `python -m research.outline_pictures`.")
        return found

    def __call__(self, seed: int, frames: int = 1) -> Clip:
        """Return the still of a seed; all its objects are visible.

        Raises
        ------
        TrainingError
            If what was chosen was too small in 20 tries.
        """
        rng = np.random.default_rng(seed)
        for _ in range(TRIES):
            picture, bits, shares = self._pictures[rng.integers(len(self._pictures))]
            shape = picture.shape[0], picture.shape[1]
            masks = np.unpackbits(bits, axis=1, count=shape[0] * shape[1]).reshape(-1, *shape).astype(bool)
            chosen = rng.choice(len(masks), p=shares)
            y, x = self._window(rng, masks[chosen])
            inside = masks[:, y, x]
            good = np.flatnonzero(inside.mean(axis=(1, 2)) > SMALLEST_AREA)
            others = [n for n in rng.permutation(good) if n != chosen and inside[n].mean() < 0.9]
            if chosen in good:
                break
        else:
            raise TrainingError(f"No object was large enough in {TRIES} tries of seed {seed}.")
        stack = np.stack([_squashed(inside[n], self.size, Image.Resampling.BOX) for n in [chosen, *others][:MOST]])
        image = _squashed(picture[y, x], self.size, Image.Resampling.BILINEAR)
        if rng.random() < 0.5:
            image, stack = image[:, ::-1], stack[..., ::-1]
        objects = tuple(Object(n + 1, f"object {n + 1}") for n in range(len(stack)))
        return ArrayClip(f"outlined-{seed}", np.ascontiguousarray(image)[None], np.ascontiguousarray(stack)[None], objects)

    @staticmethod
    def _window(rng: np.random.Generator, mask: NDArray[np.bool_]) -> tuple[slice, slice]:
        """Return a window that holds a mask's middle, and most often all of it."""
        ys, xs = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        extent = max(np.ptp(ys), np.ptp(xs)) + 1
        side = extent / rng.uniform(*EXTENT)
        stretch = STRETCH ** rng.uniform(-0.5, 0.5)
        cut = []
        for at, whole, wanted in ((ys, mask.shape[0], side * stretch), (xs, mask.shape[1], side / stretch)):
            length = int(np.clip(wanted, 64, whole))
            middle = (at[0] + at[-1]) / 2 + rng.uniform(-0.5, 0.5) * max(length - np.ptp(at), 0.3 * length)
            first = int(np.clip(middle - length / 2, 0, whole - length))
            cut.append(slice(first, first + length))
        return cut[0], cut[1]


def _even(areas: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return shares by which every doubling of area comes up alike often."""
    octave = np.floor(np.log2(np.maximum(areas, 1e-6))).astype(int)
    counts = {o: (octave == o).sum() for o in set(octave.tolist())}
    shares = np.array([1 / counts[o] for o in octave.tolist()])
    return shares / shares.sum()


def _squashed(array: NDArray[Any], size: int, how: Image.Resampling) -> NDArray[Any]:
    """Return a picture, or a mask, of ``size`` pixels on a side."""
    if array.dtype == bool:
        return np.asarray(Image.fromarray(np.uint8(255) * array).resize((size, size), how)) > 127
    return np.asarray(Image.fromarray(array).resize((size, size), how))
