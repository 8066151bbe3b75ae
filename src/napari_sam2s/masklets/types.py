"""The words of the project as data: objects, prompts and scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Origin = Literal["propagated", "prompted", "painted", "imported", "interpolated"]


@dataclass(frozen=True)
class Object:
    """One thing the user follows through the video. Its id is never given to another object of the same project."""

    id: int
    name: str
    class_name: str | None = None
    colour: tuple[int, int, int] = (255, 255, 255)  # RGB, 0 to 255
    order: int = 0  # of two overlapping objects the one with the higher order is shown
    locked: bool = False
    visible: bool = True
    parent: int | None = None  # the id of the object that divided into this one and others


@dataclass(frozen=True)
class Prompt:
    """What the user said about one object on one frame.

    Either ``points`` (with ``labels``) and/or ``box``, or ``mask`` alone.
    """

    object_id: int
    frame: int
    points: tuple[tuple[float, float], ...] = ()  # (y, x) in pixels of the video; pixel centres are integers
    labels: tuple[int, ...] = ()  # 1 the object, 0 not the object; one for each point
    box: tuple[float, float, float, float] | None = None  # (y0, x0, y1, x1) in pixels
    mask: NDArray[np.bool_] | None = None  # (Y, X)

    def __eq__(self, other: object) -> bool:
        """Whether both say the same; what a dataclass makes of an array has no truth value."""
        if not isinstance(other, Prompt):
            return NotImplemented
        ours, theirs = ((p.object_id, p.frame, p.points, p.labels, p.box) for p in (self, other))
        return ours == theirs and (self.mask is other.mask or np.array_equal(self.mask, other.mask))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Scores:
    """What the model thinks of one mask."""

    iou: float  # predicted intersection over union with the truth, 0 to 1
    object_score: float  # logit: above 0 the object is visible, at or below 0 it is absent
    class_scores: Mapping[str, float] = field(default_factory=dict)  # probability of each class name; empty without TSL
