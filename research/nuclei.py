"""Pictures of real nuclei set in motion: ``NNNN.jpg`` with instance labels ``NNNN.png`` (BBBC038).

Those whose number ends in 9 are held out.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import find_objects, gaussian_filter, gaussian_filter1d

from napari_sam2s.errors import TrainingError
from napari_sam2s.synthetic.clip import Clip
from napari_sam2s.synthetic.microscopy import Microscopy, Plate

SMALLEST_PX = 60  # of a nucleus that is cut out


def read_plate(path: Path, size: int) -> Plate:
    """Take a picture of real nuclei apart along its labels (``path`` with the ending ``.png``)."""
    with Image.open(path) as picture, Image.open(path.with_suffix(".png")) as labels:
        scale = size / min(picture.size)
        shape = round(picture.width * scale), round(picture.height * scale)
        colour = np.asarray(picture.convert("RGB").resize(shape, Image.Resampling.BILINEAR))[:size, :size]
        ids = np.asarray(labels.resize(shape, Image.Resampling.NEAREST))[:size, :size]
    if ids.ndim != 2 or ids.shape != colour.shape[:2]:
        raise TrainingError(f"The labels of {path} have the shape {ids.shape}; they are one number a pixel.")
    colour = colour.astype(np.float32)
    free = (gaussian_filter((ids > 0).astype(np.float32), 2) < 0.05).astype(np.float32)
    weight = _widely_smoothed(free) + np.float32(1e-6)
    smooth = np.dstack([_widely_smoothed(colour[..., c] * free) / weight for c in range(3)])
    cells = []
    for label, found in enumerate(find_objects(ids.astype(np.int32)), 1):
        if found is None:
            continue
        rows, columns = found
        whole = rows.start > 0 and columns.start > 0 and rows.stop < ids.shape[0] and columns.stop < ids.shape[1]
        if not whole or np.count_nonzero(ids[found] == label) < SMALLEST_PX:
            continue
        box = slice(max(rows.start - 2, 0), rows.stop + 2), slice(max(columns.start - 2, 0), columns.stop + 2)
        alpha = gaussian_filter((ids[box] == label).astype(np.float32), 0.7)
        centre = (box[0].start + (alpha.shape[0] - 1) / 2, box[1].start + (alpha.shape[1] - 1) / 2)
        cells.append((np.dstack((colour[box], alpha)), centre))
    if not cells:
        raise TrainingError(f"{path} has no nucleus of {SMALLEST_PX} pixels or more that lies whole in the picture.")
    return Plate(colour * free[..., None] + smooth * (1 - free[..., None]), cells)


def _widely_smoothed(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``gaussian_filter(plane, 12)`` for a plane ``(Y, X)``: so wide a filter is faster as two products of matrices."""
    down, across = (_smoothing(n) for n in plane.shape)
    half = (down @ plane.astype(np.float64)).astype(np.float32)
    return (half.astype(np.float64) @ across.T).astype(np.float32)


@cache
def _smoothing(count: int) -> NDArray[np.float64]:
    return gaussian_filter1d(np.eye(count), 12, axis=0)


class Nuclei:
    """A family of clips of real nuclei.

    Parameters
    ----------
    folder
        With ``NNNN.jpg`` and ``NNNN.png``.
    size
        Side of the square frames.
    held_out
        Take the pictures that are not trained on, instead of the others.
    """

    def __init__(self, folder: Path, size: int = 256, *, held_out: bool = False) -> None:
        self.size = size
        pictures = [p for p in sorted(folder.glob("*.jpg")) if p.with_suffix(".png").exists()]
        self.paths = [p for p in pictures if p.stem.endswith("9") == held_out]
        if not self.paths:
            raise TrainingError(f"There are no pictures NNNN.jpg with labels NNNN.png in {folder}.")

    def __call__(self, seed: int, frames: int) -> Clip:
        """Return the clip of a seed."""
        first = np.random.default_rng(seed).integers(len(self.paths))
        for k in range(len(self.paths)):  # a few pictures have no nucleus to cut out
            try:
                plate = read_plate(self.paths[(first + k) % len(self.paths)], self.size)
            except TrainingError:
                continue
            return Microscopy(seed, max(3 * frames, 24), (self.size, self.size), plate=plate)
        raise TrainingError(f"None of {len(self.paths)} pictures has a nucleus to set in motion.")
