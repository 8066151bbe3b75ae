"""YOLO segmentation: ``<video>_yolo/labels/<video>_00000.txt``, a line an object: its class and the outline, from 0 to 1.

A corner is the centre of a pixel on the outline. The pieces of an object are one outline, joined by lines of no width, as
Ultralytics joins them. Lost are the holes of masks, and which object is the same from one frame to the next; ``data.yaml``
has the names of the classes. A frame without objects is an empty file. Nothing reads this back as masklets.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.formats.atomic_write import refuse_full, whole_folder
from napari_sam2s.formats.coco import NO_CLASS
from napari_sam2s.formats.mask_entries import annotated_frames, entries_of, shape_of
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.wording import counted

LABELS, DATA = "labels", "data.yaml"


def write_yolo_seg(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write masklets as ``root/<video>_yolo/``; return that folder.

    Raises :class:`FormatError` if nothing is annotated, or the folder is there already or cannot be written.
    """
    frames, (_, height, width) = annotated_frames(masklets, video), shape_of(masklets)
    objects = tuple(masklets.objects)
    names = sorted({o.class_name or NO_CLASS for o in objects})
    class_of = {o.id: names.index(o.class_name or NO_CLASS) for o in objects}
    folder = Path(root) / f"{video}_yolo"
    refuse_full(folder)
    holes = 0
    with whole_folder(folder, anew=True) as draft:
        (draft / LABELS).mkdir()
        for frame in frames:
            lines = []
            for entry in entries_of(masklets, frame):
                if entry.mask.area and entry.object_id in class_of:
                    outline, filled = outline_of(entry.mask)
                    holes += filled
                    corners = (outline + 0.5) / (width, height)
                    lines.append(f"{class_of[entry.object_id]} {' '.join(f'{c:.6f}' for c in corners.ravel())}\n")
            (draft / LABELS / f"{video}_{frame:05d}.txt").write_text("".join(lines), encoding="ascii")
        words = "".join(f"  {n}: {json.dumps(name)}\n" for n, name in enumerate(names))
        (draft / DATA).write_text(f"path: .\ntrain: images\nval: images\nnames:\n{words}", encoding="utf-8")
    lost = f", and {counted(holes, 'pixel of holes was', 'pixels of holes were')} filled" if holes else ""
    warnings.warn(
        f"{video}: YOLO loses names, numbers and colours of objects, times, and identities over time{lost}.",
        stacklevel=2,
    )
    return folder


def outline_of(mask: rle.Mask) -> tuple[NDArray[np.float64], int]:
    """Return the outline of a mask, ``(N, 2)`` pixels ``(x, y)`` with N at least 3, and how many pixels of holes it fills."""
    from scipy import ndimage

    outside, count = ndimage.label(~np.pad(rle.decode_crop(mask), 1))  # 1 at the corner, which is no hole
    filled = outside != 1
    pieces = [piece + np.array((mask.x0, mask.y0)) for piece in _outlines(filled)]
    return _joined(pieces), int(np.count_nonzero(filled)) - mask.area if count > 1 else 0


def _outlines(filled: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the outline of each piece of a crop with a rim of 1 pixel, its straight stretches by their ends.

    They are pixels ``(x, y)`` of the crop without its rim, ``(N, 2)``.
    """
    from skimage.measure import find_contours

    found = []
    # Just below 1 the contour runs through the centres of the pixels on the rim.
    for line in find_contours(filled.astype(np.float64), 1 - 1e-9, fully_connected="high"):
        corners = np.rint(line[:-1, ::-1]) - 1
        corners = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)] if len(corners) > 1 else corners
        before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
        straight = (np.sign(before) == np.sign(after)).all(axis=1) & (before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0])
        kept = corners[~straight]
        found.append(kept if len(kept) else np.rint(line[:1, ::-1]) - 1)
    return found


def _joined(pieces: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return one outline through all pieces: to the nearest corner of the next and, behind the last, all the way back."""
    whole = pieces[0]
    for piece in pieces[1:]:
        distances = ((whole[:, None] - piece[None]) ** 2).sum(axis=2)
        here, there = (int(n) for n in np.unravel_index(distances.argmin(), distances.shape))
        way = np.concatenate((piece[there:], piece[: there + 1]))
        whole = np.concatenate((whole[: here + 1], way, whole[here:]))
    return whole if len(whole) >= 3 else np.resize(whole, (3, 2))
