"""Where the objects of a run leave it, because a person confirmed their mask, and where a prompt brings them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Stretch = tuple[int, int, tuple[int, ...]]  # first frame, the one to stop before, objects


def stretches(
    frames: range, objects: Sequence[int], conditioning: Mapping[int, Sequence[int]], confirmed: Mapping[int, Sequence[int]]
) -> list[Stretch]:
    """Cut a run where objects leave or join it.

    An object leaves at a frame on which it is confirmed, which it is not followed over: what comes after belongs to the
    confirmed mask, and the run knows only its own. At the next conditioning frame it is followed again. A confirmed frame
    that is a conditioning one as well is therefore no end, nor is the frame that the run starts on.
    """
    joins = {i: set(conditioning[i]) for i in objects}
    leaves = {i: set(confirmed.get(i, ())) - joins[i] - {frames.start} for i in objects}
    active, found = set(objects), []
    events = sorted({t for i in objects for t in joins[i] | leaves[i] if t in frames and t != frames.start})
    begin = frames.start
    for t in [*events[:: frames.step], frames.stop]:
        following = (active - {i for i in objects if t in leaves[i]}) | {i for i in objects if t in joins[i]}
        if following != active or t == frames.stop:
            if active:
                found.append((begin, t, tuple(i for i in objects if i in active)))
            begin, active = t, following
    return found


def remaining(cut: Sequence[tuple[int, int | None, Sequence[int]]], frames: range) -> list[Stretch]:
    """Return what is left of a run that still has ``frames`` to visit; a stretch without an end goes as far as the run."""
    later, earlier = (max, min) if frames.step > 0 else (min, max)
    left = [
        (later(begin, frames.start), frames.stop if end is None else earlier(end, frames.stop), tuple(objects))
        for begin, end, objects in cut
    ]
    return [stretch for stretch in left if (stretch[1] - stretch[0]) * frames.step > 0]
