"""Which object may be the mother of another one: what was near where that appears, and ended just then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_sam2s.masklets.project import Project

JUST_BEFORE = 5  # frames that a mother may be gone when her daughters are seen first
NEAR = 3.0  # how far from her they are at most, by the larger one's size (the root of the area)


def possible_mothers(project: Project, child: int) -> tuple[list[int], int | None]:
    """Return the other objects, the nearest first where the child is seen first, and the probable mother, if there is one.

    The nearest is counted from where each was seen last up to then; those seen ``JUST_BEFORE`` frames ago at most come first.
    The probable mother is the nearest one that was there before and ended then, at or just before the child's first frame.
    """
    series = {o.id: project.masks.series(o.id) for o in project.objects}
    others = [i for i in series if i != child]
    mine = series.get(child)
    if mine is None or not (seen := np.flatnonzero(mine.area > 0)).size:
        return others, None
    first, place, area = mine.frames[seen[0]], mine.centre[seen[0]], mine.area[seen[0]]
    ranks: dict[int, tuple[bool, float]] = {}
    ended: dict[int, float] = {}
    for i in others:
        its = series[i]
        before = np.flatnonzero((its.area > 0) & (its.frames <= first))
        if not len(before):
            ranks[i] = True, np.inf
            continue
        last = before[-1]
        way, recent = float(np.linalg.norm(its.centre[last] - place)), bool(first - its.frames[last] <= JUST_BEFORE)
        ranks[i] = not recent, way
        there_before = its.frames[before[0]] < first  # on its own first frame nothing has ended
        if (
            recent
            and there_before
            and not (its.area[last + 1 :] > 0).any()
            and way <= NEAR * np.sqrt(max(area, its.area[last]))
        ):
            ended[i] = way
    return sorted(others, key=lambda i: ranks[i]), min(ended, key=lambda i: ended[i], default=None)
