"""The states of an object over time as spans of frames: present, absent, low score, unseen."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

State = Literal["present", "absent", "low score", "unseen"]
STATES: tuple[State, ...] = ("unseen", "absent", "low score", "present")
LOW_SCORE = 0.65  # predicted IoU below which a tracked mask wants eyes (benchmarks/calibration.py)
UNSURE_ANSWER = 0.7  # the same of the answer to a click or a box: another click is cheap (benchmarks/first_prompts.py)


@dataclass(frozen=True)
class Span:
    """Frames ``start`` to ``stop - 1`` in one state."""

    start: int
    stop: int
    state: State


def spans(frames: int, known: NDArray[np.int64], area: NDArray[np.int64], iou: NDArray[np.float32]) -> list[Span]:
    """Return the spans of a video of ``frames`` frames.

    Of the ``known`` frames (ascending) ``area`` is in pixels, and ``iou`` is predicted or NaN, which doubts nothing.
    """
    if not len(known):
        return [Span(0, frames, "unseen")]
    codes = np.where(area > 0, np.where(iou < LOW_SCORE, 2, 3), 1)
    breaks = np.flatnonzero((np.diff(codes) != 0) | (np.diff(known) != 1)) + 1
    out: list[Span] = []
    end = 0
    for a, b in itertools.pairwise((0, *breaks.tolist(), len(known))):
        start, stop = int(known[a]), int(known[b - 1]) + 1
        if start > end:
            out.append(Span(end, start, "unseen"))
        out.append(Span(start, stop, STATES[codes[a]]))
        end = stop
    return [*out, Span(end, frames, "unseen")] if end < frames else out
