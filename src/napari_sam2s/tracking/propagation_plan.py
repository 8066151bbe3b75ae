"""Which objects are propagated from where to where, planned before anything is tracked.

An object leaves at a frame on which it is confirmed: what comes after belongs to the confirmed mask.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from napari_sam2s.masklets import Project
from napari_sam2s.tracking.frame_ranges import Direction, directions

OneDirection = Literal["forward", "backward"]
Part = tuple[int, int, tuple[int, ...]]  # of a segment: first frame, the one to stop before, objects


@dataclass(frozen=True)
class Segment:
    """Some objects in one direction: from frame ``start`` up to but without ``stop``."""

    start: int
    stop: int
    direction: OneDirection
    objects: tuple[int, ...]
    stride: int = 1  # every N-th frame is tracked; those between are filled

    @property
    def frames(self) -> int:
        """How many frames it visits."""
        return abs(self.stop - self.start)

    @property
    def tracked(self) -> int:
        """About how many of them are tracked: the multiples of ``stride``, and the last."""
        return min(self.frames // self.stride + (self.stride > 1), self.frames)

    def rate(self, video: Any) -> float | None:
        """Return the working rate in frames a second of a video; ``None`` where every frame is tracked."""
        fps = getattr(video, "fps", None)
        return None if self.stride == 1 or not fps else fps / self.stride

    def facts(self) -> dict[str, Any]:
        """Return it as plain data, for a project."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Segment:
        """Make it from plain data; older projects have ``way`` and ``every``."""
        direction, stride = facts.get("direction") or facts["way"], facts.get("stride") or facts.get("every", 1)
        return cls(facts["start"], facts["stop"], direction, tuple(facts["objects"]), stride)


def plan(
    project: Project,
    start: int,
    direction: Direction,
    bounds: tuple[int, int] | None = None,
    corrected: Collection[int] = (),
    stride: int = 1,
) -> list[Segment]:
    """Return the segments of a propagation from a frame, as the widget does it.

    Tracked are the objects that were corrected, and those of which the next frame is not known; all, if that is none. An
    object leaves at the next frame on which it is confirmed. One that is known already joins where it ends to be known, so
    that a correction of one object changes no other and everything still reaches the end.

    Parameters
    ----------
    bounds
        First frame and the one after the last; the whole video by default.
    corrected
        Ids of objects that got a prompt since they were last tracked.
    stride
        Every which frame is tracked.
    """
    first, last = bounds if bounds is not None else (0, project.shape[0])
    objects = followed(project)
    start = min(max(start, first), last - 1)
    segments: list[Segment] = []
    for sign, _ in directions(direction, None):
        segments += _one_direction(project, range(start, last if sign > 0 else first - 1, sign), objects, corrected)
    return [replace(segment, stride=stride) for segment in segments]


def correction(
    project: Project, frame: int, span: tuple[int, int], corrected: Collection[int], stride: int = 1
) -> list[Segment]:
    """Return the segments of a correction that stays in a span: both ways from ``frame``, of the objects that were corrected.

    Parameters
    ----------
    span
        First frame and the one after the last.
    corrected, stride
        As for :func:`plan`.
    """
    both = plan(project, frame, "both", span, corrected, stride)
    only = [replace(s, objects=tuple(i for i in s.objects if i in corrected)) for s in both]
    only = [s for s in only if s.objects]
    return [s for s in only if s.frames > 1] or only[:1]  # one frame: what was clicked is there already


def left_out(project: Project, segments: Sequence[Segment], bounds: tuple[int, int]) -> range:
    """Return the frames that stay without masks where a run begins away from what is known, from its start back to that.

    Parameters
    ----------
    segments
        Of the run, in order.
    bounds
        First frame and the one after the last; what lies beyond is left out on purpose.
    """
    gaps = [range(0)]
    first = [s for s in segments if s.start == segments[0].start]
    for segment in first:
        sign = 1 if segment.direction == "forward" else -1
        before = range(segment.start - sign, bounds[0] - 1 if sign > 0 else bounds[1], -sign)
        for i in set(segment.objects) - {i for s in first if s.direction != segment.direction for i in s.objects}:
            known = [before.index(t) for t in project.masks.series(i).frames.tolist() if t in before]
            gaps.append(before[: min(known, default=0)])
    return max(gaps, key=len)


def followed(project: Project) -> tuple[int, ...]:
    """Return the objects that tracking can follow: prompted, and not locked."""
    prompted = {p.object_id for p in project.prompts()}
    return tuple(o.id for o in project.objects if o.id in prompted and not o.locked)


def _one_direction(project: Project, frames: range, objects: tuple[int, ...], corrected: Collection[int]) -> list[Segment]:
    sign, start = frames.step, frames.start
    frontier = {i: find_frontier(project, i, start + sign, sign) for i in objects}
    active = {i for i in objects if i in corrected or frontier[i] == start + sign} or set(objects)
    confirmed = {i: _next_confirmed(project, i, start if i in active else frontier[i] - sign, sign) for i in objects}
    joins = {i: {frontier[i]} - confirmed[i] for i in objects if i not in active}
    segments: list[Segment] = []
    for begin, end, who in cut(frames, objects, active, joins, confirmed):
        if segments and segments[-1].stop != begin:
            break  # what is known beyond a frame on which nothing is tracked stays
        segments.append(Segment(begin, end, "forward" if sign > 0 else "backward", who))
    return segments


def find_frontier(project: Project, object_id: int, frame: int, sign: int) -> int:
    """Return the first frame from ``frame`` on in a direction of which nothing is known of an object."""
    spans = [(s.start, s.stop) for s in project.masks.presence(object_id) if s.state != "unseen"]
    for a, b in spans if sign > 0 else reversed(spans):
        if a <= frame < b:
            frame = b if sign > 0 else a - 1
    return frame


def _next_confirmed(project: Project, object_id: int, frame: int, sign: int) -> set[int]:
    """Return the next confirmed frame beyond ``frame`` in a direction, if there is one."""
    confirmed = project.masks.confirmed_frames(object_id)
    if sign > 0:
        n = bisect.bisect_right(confirmed, frame)
        return set(confirmed[n : n + 1])
    n = bisect.bisect_left(confirmed, frame)
    return set(confirmed[max(n - 1, 0) : n])


def cut_where_confirmed(
    frames: range, objects: Sequence[int], conditioning: Mapping[int, Sequence[int]], confirmed: Mapping[int, Sequence[int]]
) -> list[Part]:
    """Cut a run where objects leave or join it.

    At the next conditioning frame an object that left is tracked again. A confirmed frame that is a conditioning one as well
    is therefore no end, nor is the frame that the run starts on.
    """
    joins = {i: set(conditioning[i]) for i in objects}
    leaves = {i: set(confirmed.get(i, ())) - joins[i] - {frames.start} for i in objects}
    return cut(frames, objects, objects, joins, leaves)


def cut(
    frames: range,
    objects: Sequence[int],
    active: Iterable[int],
    joins: Mapping[int, Collection[int]],
    leaves: Mapping[int, Collection[int]],
) -> list[Part]:
    """Cut frames where the objects that are tracked change.

    Parameters
    ----------
    frames
        In the direction of tracking.
    objects
        All that take part, in order.
    active
        Those that are tracked from the first frame on.
    joins, leaves
        Frames on which an object joins or leaves; on both it joins.
    """
    tracked: set[int] = set(active)
    found: list[Part] = []
    events = sorted({t for ends in (joins, leaves) for ts in ends.values() for t in ts if t in frames and t != frames.start})
    begin = frames.start
    for t in [*events[:: frames.step], frames.stop] if frames else []:
        gone = {i for i in objects if t in leaves.get(i, ())}
        following = (tracked - gone) | {i for i in objects if t in joins.get(i, ())}
        if following != tracked or t == frames.stop:
            if tracked:
                found.append((begin, t, tuple(i for i in objects if i in tracked)))
            begin, tracked = t, following
    return found


def remaining(parts: Sequence[tuple[int, int | None, Sequence[int]]], frames: range) -> list[Part]:
    """Return what is left of a run that still has ``frames`` to visit; a part without an end goes as far as the run."""
    later, earlier = (max, min) if frames.step > 0 else (min, max)
    left = [
        (later(begin, frames.start), frames.stop if end is None else earlier(end, frames.stop), tuple(objects))
        for begin, end, objects in parts
    ]
    return [part for part in left if (part[1] - part[0]) * frames.step > 0]
