"""What a track does over time: comes and goes, is lost and found again, changes its identity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets.overlaps import iou

LOST_BELOW, FOUND_ABOVE = 0.1, 0.5  # J

Masks = Mapping[int, NDArray[np.bool_]]


@dataclass(frozen=True)
class Returns:
    """How an object fares that comes back after an absence."""

    count: int  # returns in the ground truth
    found: int  # of these, how many reach J above 0.5 before the object leaves again
    frames: float  # mean frames from the return until then, or until it leaves again if it is not found; nan without returns


def visibility_switches(present: Sequence[bool]) -> int:
    """Count how often an object appears or disappears from one frame to the next."""
    return sum(a != b for a, b in itertools.pairwise(present))


def longest_lost(present: Sequence[bool], j: Sequence[float]) -> int:
    """Return the longest run of frames on which the object is there and J is below 0.1."""
    return _longest(p and value < LOST_BELOW for p, value in zip(present, j, strict=True))


def _longest(flags: Iterable[bool]) -> int:
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def returns(present: Sequence[bool], j: Sequence[float]) -> Returns:
    """Find the returns of an object after an absence, and how long each takes to be seen; in scored frames.

    The first appearance is no return. An absence ends the search: that nothing is where nothing should be (J is 1 there)
    finds nothing.
    """
    waits, found, seen = [], 0, False
    for t, there in enumerate(present):
        if there and seen and not present[t - 1]:
            leaves = next((k for k in range(t, len(present)) if not present[k]), len(present))
            wait = next((k for k, value in enumerate(j[t:leaves]) if value > FOUND_ABOVE), None)
            found += wait is not None
            waits.append(leaves - t if wait is None else wait)
        seen = seen or there
    return Returns(len(waits), found, float(np.mean(waits)) if waits else math.nan)


class Identities:
    """Counts identity switches, as CLEAR MOT does: frame by frame, with a match where IoU is above 0.5.

    An object's identity is the predicted id that covers it. It switches when another id does than the last time that any
    did; between the two the object may be lost, or away, for as long as it likes.
    """

    def __init__(self) -> None:
        self.switches: dict[int, int] = {}
        self._last: dict[int, int] = {}

    def feed(self, truth: Masks, prediction: Masks, own: Mapping[int, float]) -> None:
        """Take up a frame; ``own`` is the J of every object with the predicted mask of its own id."""
        for object_id, mask in truth.items():
            if not mask.any():
                continue
            match = object_id if own.get(object_id, 0.0) > FOUND_ABOVE else self._other(object_id, mask, prediction)
            if match is None:
                continue
            if self._last.setdefault(object_id, match) != match:
                self.switches[object_id] = self.switches.get(object_id, 0) + 1
            self._last[object_id] = match

    @staticmethod
    def _other(object_id: int, mask: NDArray[np.bool_], prediction: Masks) -> int | None:
        """Return the other id that covers a mask; above 0.5 there is only one, unless predicted masks overlap."""
        overlaps = {i: iou(other, mask) for i, other in prediction.items() if i != object_id}
        best = max(overlaps, key=overlaps.__getitem__, default=None)
        return best if best is not None and overlaps[best] > FOUND_ABOVE else None
