"""Colours that are seen on what they cover: an orange mask on a yellow arm looks like no mask at all."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from napari_sam2s.masklets import Project
from napari_sam2s.masklets.objects import COLOURS

Colour = tuple[int, int, int]

MORE = ((255, 0, 200), (0, 255, 255), (150, 255, 0))  # colours of few things, where none of the usual ones will do
FAR = 35.0  # in CIELAB: from which on half of a colour over another is seen at a glance
APART = 35.0  # between the colours of two objects
MOST_PIXELS = 4000  # that are looked at


def clear_colour(picture: NDArray[np.uint8], mask: NDArray[np.bool_], now: Colour, taken: Iterable[Colour]) -> Colour:
    """Return the colour for a mask: the one it has if that is seen on the picture, else one that is.

    Parameters
    ----------
    picture
        ``(Y, X, 3)`` uint8.
    mask
        ``(Y, X)`` bool.
    now
        Its colour, RGB from 0 to 255.
    taken
        Those of the other objects.
    """
    pixels = picture[mask]
    if not len(pixels):
        return now
    under = _lab(np.median(pixels[:: max(1, len(pixels) // MOST_PIXELS)], axis=0))

    def contrast(colour: Colour) -> float:
        return float(np.linalg.norm(_lab(colour) - under))

    if contrast(now) >= FAR:
        return now
    others = [_lab(colour) for colour in taken]
    free = [c for c in (*COLOURS, *MORE) if all(np.linalg.norm(_lab(c) - other) >= APART for other in others)]
    return next((c for c in free if contrast(c) >= FAR), max((now, *free), key=contrast))


def recolour(project: Project, object_id: int, frame: int, picture: NDArray[np.uint8]) -> None:
    """Give an object that has its first mask a colour that is seen on it; one that the user chose stays."""
    objects = {o.id: o for o in project.objects}
    now = objects[object_id].colour
    given = now in COLOURS and len(project.prompts(object_id)) == 1  # at its first prompt, and nobody chose it
    mask = project.mask(frame, object_id) if given else None
    if mask is None:
        return
    clear = clear_colour(picture, mask, now, [o.colour for o in objects.values() if o.id != object_id])
    if clear != now:
        project.objects.set_colour(object_id, clear)


def _lab(colour: Colour | NDArray[np.floating]) -> NDArray[np.float64]:
    """Return a colour, RGB from 0 to 255, in CIELAB, where distances are what the eye sees."""
    lab: NDArray[np.float64] = rgb2lab(np.asarray(colour, dtype=np.float64) / 255)
    return lab
