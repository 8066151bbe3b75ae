"""What the timeline shows, as data, and its pixels: nothing here grows with the length of the video but a few arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import Project, Span
from napari_sam2s.masklets.colours import COLOURS

# Of spans that share a pixel the one with the highest code is seen: a doubt of one frame in an hour must not vanish.
CODES = {"unseen": 0, "absent": 1, "present": 2, "low score": 3}
# Of a doubt: dashes, which are told from objects of any colour by their form, below an edge.
DASHES, EDGE = ((255, 255, 255), (20, 20, 20)), (20, 20, 20)
DASH = 3  # pixels
ABSENT_OPACITY = 0.25
FILLED_OPACITY = 0.55
# Rows of pixels that an object's row is made of before it is stretched: the upper ones are pale where masks were filled
# between tracked frames, so that tracked ones stand out like teeth; the lowest show whether the model doubts.
ROWS, FILLED_ROWS, DOUBT_ROWS = 6, 3, 2


@dataclass(frozen=True)
class TimelineRow:
    """One object on the strip, or a lane of the phases of one name."""

    name: str
    colour: tuple[int, int, int]
    spans: Sequence[Span]
    prompted: Sequence[int]
    confirmed: Sequence[int]
    edited: Sequence[int] = ()
    filled: Sequence[int] | NDArray[np.int64] = ()  # ascending
    lane: bool = False  # of phases
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
        """Return the row between two frames as an image ``(ROWS, width, 4)`` uint8 RGBA."""
        codes = self.codes(first, last, width)
        base, colour = np.array(background, float), np.array(self.colour, float)
        palette = np.stack([base, base + ABSENT_OPACITY * (colour - base), colour, colour])
        image = np.full((ROWS, width, 4), 255, dtype=np.uint8)
        image[..., :3] = palette[codes][None]
        filled = self.fills(first, last, width) & (codes >= CODES["present"])
        image[:FILLED_ROWS, filled, :3] = base + FILLED_OPACITY * (colour - base)
        doubted = codes == CODES["low score"]
        dashes = np.array(DASHES, dtype=np.uint8)[np.arange(width) // DASH % 2]
        image[ROWS - DOUBT_ROWS :, doubted, :3] = dashes[doubted]
        image[ROWS - DOUBT_ROWS - 1, doubted, :3] = EDGE
        return image

    def fills(self, first: float, last: float, width: int) -> NDArray[np.bool_]:
        """Return for each of ``width`` pixels between two frames whether masks in it were filled, not tracked."""
        frames = np.asarray(self.filled, dtype=np.int64)
        edges = np.linspace(first, last, max(width, 0) + 1)
        begin = np.floor(edges[:-1])
        # Where a frame covers several pixels, each of them shows the frame that it begins in, and no other.
        end = begin + 1 if last - first < width else np.maximum(np.ceil(edges[1:]), begin + 1)
        found: NDArray[np.bool_] = np.searchsorted(frames, begin) < np.searchsorted(frames, end)
        return found


def timeline_rows(project: Project) -> list[TimelineRow]:
    """Read the rows of a project: a lane for each name of phases, then the objects."""
    prompted: dict[int, list[int]] = {}
    for p in project.prompts():
        prompted.setdefault(p.object_id, []).append(p.frame)
    # From the other end of the colours than objects take.
    lanes = [
        TimelineRow(name, COLOURS[-1 - n % len(COLOURS)], project.phases.spans(name), (), (), lane=True)
        for n, name in enumerate(project.phases.names)
    ]
    return lanes + [
        TimelineRow(
            o.name,
            o.colour,
            project.masks.presence(o.id),
            prompted.get(o.id, []),
            project.masks.confirmed_frames(o.id),
            project.masks.series(o.id).where("painted").tolist(),
            project.masks.series(o.id).where("interpolated"),
        )
        for o in project.objects
    ]
