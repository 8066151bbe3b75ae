"""Divisions: an object that falls in two becomes a mother, and its parts two daughters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.mask_parts import ALIKE, likeness, two_parts
from napari_sam2s.masklets.types import Object, Prompt

if TYPE_CHECKING:
    from napari_sam2s.masklets.project import Project

GAP = 4  # frames without two parts that it goes back over
LESS_ALIKE = 0.3  # on the frames before, where daughters are small and one of them is found first


def divide(project: Project, object_id: int, frame: int) -> tuple[Object, Object, int, int]:
    """Make two daughters of an object whose mask is in two parts of like size on a frame; one step of undo.

    It has divided where it was in two first, but for gaps. They take the parts from there up to the next frame on which it is
    not in two; the last of them are their prompts, to track from. The mother is absent from the first of these frames on.

    Returns
    -------
    tuple of Object, Object, int, int
        The daughters, the first frame on which they are, and the last one so far, to be tracked from.

    Raises
    ------
    ProjectError
        If there is no such object, it is locked, or its mask is not in two parts of like size.
    """
    project.tracks.check_span(frame, frame + 1, object_id)
    mother, known = project.objects.get(object_id), project.masks.known(object_id, 0, project.shape[0])

    def in_two(t: int, least: float = ALIKE) -> bool:
        return likeness(project.masks.encoded(t, object_id)) >= least

    if frame not in known or not in_two(frame):
        raise ProjectError(
            f"{mother.name} is not in two parts of like size on frame {frame}. Mark it absent from here, click both daughters "
            "as new objects, and record their mother in the tab Edit."
        )
    first = n = known.index(frame)
    while n > 0 and first - n < GAP:  # a model loses one of two daughters now and then
        n -= 1
        first = n if in_two(known[n], LESS_ALIKE) else first
    last = first
    while last + 1 < len(known) and in_two(known[last + 1]):
        last += 1
    frames = known[first : last + 1]
    pairs = _followed([two_parts(mask) for t in frames if (mask := project.masks.encoded(t, object_id)) is not None])
    with project.history.step(f"divide {object_id}"):
        a, b = (project.objects.add(f"{mother.name}.{n}", mother.class_name) for n in (1, 2))
        for daughter in (a, b):
            project.objects.set_parent(daughter.id, object_id)
        project.tracks.mark_absent(object_id, frames[0])
        rows = [
            (t, o.id, part, None) for t, pair in zip(frames, pairs, strict=True) for o, part in zip((a, b), pair, strict=True)
        ]
        project.write_masks(rows[:-2], origin="painted")
        project.write_masks(rows[-2:], origin="prompted")
        for t, i, part, _ in rows[-2:]:
            project.prompts.add(Prompt(i, t, mask=rle.decode(part, project.shape[1:])))
    return project.objects.get(a.id), project.objects.get(b.id), frames[0], frames[-1]


def _followed(pairs: list[list[rle.Mask]]) -> list[list[rle.Mask]]:
    """Return the parts of each frame in the order of those before, whichever way they have moved less."""
    places = [rle.centres_of(pair) for pair in pairs]
    for n in range(1, len(pairs)):
        before, now = places[n - 1], places[n]
        if np.hypot(*(now - before).T).sum() > np.hypot(*(now[::-1] - before).T).sum():
            pairs[n], places[n] = pairs[n][::-1], now[::-1]
    return pairs
