"""Divisions: an object that falls in two becomes a mother, and its parts two daughters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.mask_parts import ALIKE, likeness, parts_of
from napari_sam2s.masklets.types import Object, Prompt

if TYPE_CHECKING:
    from napari_sam2s.masklets.project import Project

GAP = 4  # frames without two parts that it goes back over
REACH = 1.5  # how far a daughter moves from frame to frame at most, by her size (the root of her area)
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
    pairs = _followed(project, object_id, known[first:], known[first - 1] if first else None)
    frames = list(pairs)
    with project.history.step(f"divide {object_id}"):
        a, b = (project.objects.add(f"{mother.name}.{n}", mother.class_name) for n in (1, 2))
        for daughter in (a, b):
            project.objects.set_parent(daughter.id, object_id)
        project.tracks.mark_absent(object_id, frames[0])
        rows = [(t, o.id, part, None) for t in frames for o, part in zip((a, b), pairs[t], strict=True)]
        project.write_masks(rows[:-2], origin="painted")
        project.write_masks(rows[-2:], origin="prompted")
        for t, i, part, _ in rows[-2:]:
            project.prompts.add(Prompt(i, t, mask=rle.decode(part, project.shape[1:])))
    return project.objects.get(a.id), project.objects.get(b.id), frames[0], frames[-1]


def _followed(project: Project, object_id: int, frames: Sequence[int], before: int | None) -> dict[int, list[rle.Mask]]:
    """Return the two daughters by frame: beside the mother at first, then where they were before, until one is lost."""
    mask = project.masks.encoded(before, object_id) if before is not None else None
    then = rle.centres_of([mask, mask]) if mask is not None and mask.area else None
    found: dict[int, list[rle.Mask]] = {}
    for t in frames:
        mask = project.masks.encoded(t, object_id)
        if likeness(mask) < (ALIKE if found else LESS_ALIKE) or mask is None:
            break
        parts = parts_of(mask)
        now = rle.centres_of(parts)
        two = [(i, j) for i in range(len(parts)) for j in range(len(parts)) if i != j]
        if then is None:
            pair = (0, 1)
        else:
            way = np.hypot(*(now[:, None] - then[None]).transpose(2, 0, 1))
            if not found:  # all pieces that could be a pair
                two = [(i, j) for i, j in two if LESS_ALIKE <= parts[i].area / parts[j].area <= 1]
            pair = min(two, key=lambda ij: way[ij[0], 0] + way[ij[1], 1])
            if found and any(way[i, n] > REACH * np.sqrt(parts[i].area) for n, i in enumerate(pair)):
                break
        found[t], then = [parts[i] for i in pair], now[list(pair)]
    return found
