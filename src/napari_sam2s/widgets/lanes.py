"""What the timeline shows, as data, and its pixels: nothing here grows with the length of the video but a few arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import Project, Span

# Of spans that share a pixel the one with the highest code is seen: a doubt of one frame in an hour must not vanish.
CODES = {"unseen": 0, "absent": 1, "present": 2, "low score": 3}
DOUBT = (230, 126, 34)
ABSENT_OPACITY = 0.25
ROWS = 6  # of pixels that a lane is made of before it is stretched; the lowest two say whether the model doubts


@dataclass(frozen=True)
class Lane:
    """One object on the strip."""

    name: str
    colour: tuple[int, int, int]
    spans: Sequence[Span]
    prompted: Sequence[int]
    confirmed: Sequence[int]
    edited: Sequence[int] = ()
    _starts: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    _codes: NDArray[np.int8] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", np.array([s.start for s in self.spans], dtype=np.int64))
        object.__setattr__(self, "_codes", np.array([CODES[s.state] for s in self.spans], dtype=np.int8))

    def codes(self, first: float, last: float, width: int) -> NDArray[np.int8]:
        """Return the state to show in each of ``width`` pixels between two frames; see ``CODES``."""
        if not len(self._starts) or width < 1:
            return np.zeros(max(width, 0), dtype=np.int8)
        edges = np.linspace(first, last, width + 1)
        at = np.searchsorted(self._starts, edges, side="right") - 1
        # A pixel ends before the span that starts exactly at its right edge.
        ends = np.maximum(np.searchsorted(self._starts, edges[1:], side="left"), at[:-1] + 1)
        bounds = np.stack([at[:-1], ends], axis=1).ravel()
        padded = np.append(self._codes, 0).astype(np.int8)
        seen: NDArray[np.int8] = np.maximum.reduceat(padded, bounds)[::2]
        return seen

    def pixels(self, first: float, last: float, width: int, background: tuple[int, int, int]) -> NDArray[np.uint8]:
        """Return the lane between two frames as an image ``(ROWS, width, 4)`` uint8 RGBA."""
        codes = self.codes(first, last, width)
        base, colour = np.array(background, float), np.array(self.colour, float)
        palette = np.stack([base, base + ABSENT_OPACITY * (colour - base), colour, colour])
        image = np.full((ROWS, width, 4), 255, dtype=np.uint8)
        image[..., :3] = palette[codes][None]
        image[ROWS - 2 :, codes == CODES["low score"], :3] = DOUBT
        return image


def lanes_of(project: Project) -> list[Lane]:
    """Read the lanes of a project."""
    prompted: dict[int, list[int]] = {}
    for p in project.prompts():
        prompted.setdefault(p.object_id, []).append(p.frame)
    return [
        Lane(
            o.name,
            o.colour,
            project.presence(o.id),
            prompted.get(o.id, []),
            project.confirmed_frames(o.id),
            _edited(project, o.id),
        )
        for o in project.objects
    ]


def _edited(project: Project, object_id: int) -> Sequence[int]:
    """Return the frames that a person painted."""
    series = getattr(project, "series", None)
    return () if series is None else series(object_id).where("painted").tolist()
