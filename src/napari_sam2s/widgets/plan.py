"""What pressing the key would do: which objects are followed, from where to where. Nothing here touches Qt."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from napari_sam2s.masklets import Project

OneWay = Literal["forward", "backward"]
Way = Literal["forward", "backward", "both"]


@dataclass(frozen=True)
class Leg:
    """One propagation of some objects in one direction: from frame ``start`` up to but without ``stop``."""

    start: int
    stop: int
    way: OneWay
    objects: tuple[int, ...]
    every: int = 1  # every which frame is tracked; those between are filled

    @property
    def frames(self) -> int:
        """How many frames it visits."""
        return abs(self.stop - self.start)

    @property
    def tracked(self) -> int:
        """About how many of them are tracked: the multiples of ``every``, and the last."""
        return min(self.frames // self.every + (self.every > 1), self.frames)


def followed(project: Project) -> tuple[int, ...]:
    """Return the objects that tracking can follow: prompted, and not locked."""
    prompted = {p.object_id for p in project.prompts()}
    return tuple(o.id for o in project.objects if o.id in prompted and not o.locked)


def plan(
    project: Project,
    start: int,
    way: Way,
    bounds: tuple[int, int] | None = None,
    corrected: Collection[int] = (),
    every: int = 1,
) -> list[Leg]:
    """Return the legs of a run from a frame.

    Followed are the objects that were corrected, and those of which the next frame is not known; all, if that is none. An
    object leaves at the next frame on which it is confirmed. One that is known already joins where it ends to be known, so
    that a correction of one object changes no other and everything still reaches the end.

    Parameters
    ----------
    bounds
        First frame and the one after the last, from the in and out handles; the whole video by default.
    corrected
        Ids of objects that got a prompt since they were last tracked.
    every
        Every which frame is tracked.
    """
    first, last = bounds if bounds is not None else (0, project.shape[0])
    objects = followed(project)
    start = min(max(start, first), last - 1)
    ways: Sequence[OneWay] = ("forward", "backward") if way == "both" else (way,)
    legs: list[Leg] = []
    for one in ways:
        legs += _one_way(project, start, last if one == "forward" else first - 1, one, objects, corrected)
    return [replace(leg, every=every) for leg in legs]


def _one_way(
    project: Project, start: int, end: int, way: OneWay, objects: tuple[int, ...], corrected: Collection[int]
) -> list[Leg]:
    sign = 1 if way == "forward" else -1
    frontier = {i: _frontier(project, i, start + sign, sign) for i in objects}
    active = {i for i in objects if i in corrected or frontier[i] == start + sign} or set(objects)
    waiting = {i: frontier[i] for i in objects if i not in active}
    walls = {i: _wall(project, i, start if i in active else frontier[i] - sign, sign) for i in objects}
    legs, here = [], start
    while active and (end - here) * sign > 0:
        events = [end, *(walls[i] for i in active), *waiting.values()]
        there = sign * min(sign * t for t in events if t is not None and (t - here) * sign > 0)
        legs.append(Leg(here, there, way, tuple(i for i in objects if i in active)))
        joining = {i for i, t in waiting.items() if t == there and walls[i] != there}
        active = {i for i in active if walls[i] != there} | joining
        waiting = {i: t for i, t in waiting.items() if (t - there) * sign > 0}
        here = there
    return legs


def _frontier(project: Project, object_id: int, frame: int, sign: int) -> int:
    """Return the first frame from ``frame`` on in a direction of which nothing is known of an object."""
    spans = [(s.start, s.stop) for s in project.masks.presence(object_id) if s.state != "unseen"]
    for a, b in spans if sign > 0 else reversed(spans):
        if a <= frame < b:
            frame = b if sign > 0 else a - 1
    return frame


def _wall(project: Project, object_id: int, frame: int, sign: int) -> int | None:
    """Return the next confirmed frame beyond ``frame`` in a direction."""
    confirmed = project.masks.confirmed_frames(object_id)
    if sign > 0:
        n = bisect.bisect_right(confirmed, frame)
        return confirmed[n] if n < len(confirmed) else None
    n = bisect.bisect_left(confirmed, frame)
    return confirmed[n - 1] if n else None
