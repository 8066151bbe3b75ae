"""Colours that are seen on what they cover: an orange mask on a yellow arm looks like no mask at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import Project
from napari_sam2s.masklets.colours import GIVEN, Colour, lab, unlike

FAR = 45.0  # in CIELAB: from which on half of a colour over another is seen at a glance; ochre under orange is 37
BESIDE = 25.0  # from which on what is seen of a mask stands out from what is around it; amber over black before dusk is 21
MARGIN = 8  # pixels of the picture around a mask that are looked at
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
    under, colours = _middle(pixels), np.array((now, *GIVEN))
    seen = _far(colours, under, FAR)
    rows, columns = (np.flatnonzero(np.any(mask, axis=axis)) for axis in (1, 0))
    here = tuple(slice(max(0, at[0] - MARGIN), at[-1] + MARGIN + 1) for at in (rows, columns))
    if len(around := picture[here][~mask[here]]):
        beside = seen & _far((colours + under) / 2, _middle(around), BESIDE)  # half of a colour is what napari draws
        seen = beside if beside[1:].any() else seen
    return now if seen[0] else unlike(list(taken), [colour for colour, clear in zip(GIVEN, seen[1:], strict=True) if clear])


def _middle(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.median(pixels[:: max(1, len(pixels) // MOST_PIXELS)], axis=0)


def _far(colours: NDArray[Any], other: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    return np.linalg.norm(lab(colours) - lab(other), axis=1) >= least


def recolour(project: Project, object_id: int, frame: int, picture: NDArray[np.uint8]) -> None:
    """Give an object that has its first mask a colour that is seen on it; one that the user chose stays."""
    objects = {o.id: o for o in project.objects}
    now = objects[object_id].colour
    given = now in GIVEN and len(project.prompts(object_id)) == 1  # at its first prompt, and nobody chose it
    mask = project.mask(frame, object_id) if given else None
    if mask is None:
        return
    clear = clear_colour(picture, mask, now, [o.colour for o in objects.values() if o.id != object_id])
    if clear != now:
        project.objects.set_colour(object_id, clear)
