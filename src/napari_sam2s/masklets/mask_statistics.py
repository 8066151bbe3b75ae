"""Numbers of every mask of an object, without the masks: what a timeline and a review queue are computed from."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets.span_states import Span, spans
from napari_sam2s.masklets.types import Origin

ORIGINS: tuple[Origin, ...] = get_args(Origin)
CACHED_ROWS = 4_000_000  # about 40 bytes each
COLUMNS = "frame, area, iou, object_score, y0, x0, height, width, origin, confirmed"  # all in the index of masks by object
# The same as three texts of integers: SQLite joins them several times faster than Python takes rows, and each text costs. A
# predicted IoU is in units of 2**-30, which holds every float32 from 1/64 on exactly, an object score in 2**-25, from 1/2 on.
IOU_ONE, SCORE_ONE, UNKNOWN = 2**30, 2**25, -(2**62)
NO_ORIGIN = 7  # of a word that is none: damage
LARGEST_SCORE = 63.0  # that fits beside the IoU; the model's logits end at 32
_MARKS = " ".join(f"WHEN {name!r} THEN {n}" for n, name in enumerate(ORIGINS))
PACKED = (
    f"group_concat((frame << 34) | (area << 4) | (2 * CASE origin {_MARKS} ELSE {NO_ORIGIN} END + (confirmed != 0))), "
    "group_concat((y0 << 48) | (x0 << 32) | (height << 16) | width), "
    f"group_concat(ifnull((CAST(iou * {IOU_ONE} AS INTEGER) << 32) + CAST(object_score * {SCORE_ONE} AS INTEGER), {UNKNOWN}))"
)
assert len(ORIGINS) <= NO_ORIGIN, "PACKED has four bits for origin and confirmed"
LARGEST_SIDE = 2**15  # pixels of a frame that PACKED can hold: an area has 30 bits
NEAR = 64  # changed frames this close together are read again as one range
_CODES = {name: code for code, name in enumerate(ORIGINS)}


@dataclass(frozen=True)
class Series:
    """What is known of one object, by frame. All arrays are read-only and of the same length, one entry a known frame."""

    frames: NDArray[np.int64]  # (N,) ascending
    area: NDArray[np.int64]  # (N,) pixels; 0 where it was looked for and is not there
    iou: NDArray[np.float32]  # (N,) predicted IoU, 0 to 1; NaN where no model made the mask
    object_score: NDArray[np.float32]  # (N,) logit; NaN where no model made the mask
    bbox: NDArray[np.int32]  # (N, 4) y0, x0, y1, x1; the ends excluded; zeros where it is not there
    origin: NDArray[np.uint8]  # (N,) index into ORIGINS
    confirmed: NDArray[np.bool_]  # (N,) whether a person vouches for it

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def centre(self) -> NDArray[np.float64]:
        """``(N, 2)``: y, x of the middle of the bounding box; NaN where the object is not there."""
        middle = (self.bbox[:, :2] + self.bbox[:, 2:] - 1) / 2
        middle[self.area == 0] = np.nan
        return middle

    def of(self, origin: Origin) -> NDArray[np.bool_]:
        """Return which entries have an origin, ``(N,)``."""
        chosen: NDArray[np.bool_] = self.origin == _CODES[origin]
        return chosen

    def where(self, origin: Origin) -> NDArray[np.int64]:
        """Return the frames whose masks have an origin."""
        return self.frames[self.of(origin)]

    def spans(self, frames: int) -> list[Span]:
        """Return where the object is over a video of ``frames`` frames, see ``project.masks.presence``."""
        return spans(frames, self.frames, self.area, self.iou)

    @classmethod
    def of_rows(cls, rows: Sequence[Sequence[float | str | None]]) -> Series:
        """Return the series of rows of ``COLUMNS``, ascending."""
        columns = list(zip(*rows, strict=True)) or [()] * 10
        y0, x0, height, width = (np.array(c, dtype=np.int32) for c in columns[4:8])
        return cls(
            np.array(columns[0], dtype=np.int64),
            np.array(columns[1], dtype=np.int64),
            np.array(columns[2], dtype=np.float32),  # None becomes NaN
            np.array(columns[3], dtype=np.float32),
            np.stack((y0, x0, y0 + height, x0 + width), axis=1),
            np.fromiter((_CODES.get(o, NO_ORIGIN) for o in columns[8]), dtype=np.uint8, count=len(rows)),
            np.array(columns[9], dtype=bool),
        )

    @classmethod
    def of_packed(cls, texts: Sequence[str | None]) -> Series:
        """Return the series of the texts of ``PACKED``; they are ``None`` where there are no rows."""
        if texts[0] is None:
            return cls.of_rows([])
        place, box, scores = (np.fromstring(text or "", dtype=np.int64, sep=",") for text in texts)
        score = scores.astype(np.int32)  # its lower half, with the sign
        judged = scores != UNKNOWN
        bbox = np.empty((len(box), 4), np.int32)
        for side, start, length in ((0, 48, 16), (1, 32, 0)):
            bbox[:, side] = box >> start & 0xFFFF
            bbox[:, side + 2] = bbox[:, side] + (box >> length & 0xFFFF)
        series = cls(
            place >> 34,
            place >> 4 & 0x3FFFFFFF,
            _unscaled((scores - score) >> 32, IOU_ONE, judged),
            _unscaled(score, SCORE_ONE, judged),
            bbox,
            (place >> 1 & 0b111).astype(np.uint8),
            (place & 1).astype(bool),
        )
        if (np.diff(series.frames) > 0).all():  # the index gives them in order, which SQL does not promise
            return series
        order = np.argsort(series.frames)
        return cls(*(getattr(series, f.name)[order] for f in fields(series)))

    def part(self, start: int, stop: int) -> Series:
        """Return what is known on the frames ``start`` to ``stop - 1``."""
        here = slice(*np.searchsorted(self.frames, (start, stop)))
        return Series(*(getattr(self, f.name)[here] for f in fields(self)))

    def replaced(self, start: int, stop: int, other: Series) -> Series:
        """Return this series with another one in place of the frames ``start`` to ``stop - 1``."""
        first, last = np.searchsorted(self.frames, (start, stop))
        parts = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Series(*(np.concatenate((mine[:first], new, mine[last:])) for mine, new in parts))


def _unscaled(score: NDArray[Any], one: int, judged: NDArray[np.bool_]) -> NDArray[np.float32]:
    unscaled = (score / one).astype(np.float32)
    unscaled[~judged] = np.nan
    return unscaled


class SeriesCache:
    """Series as they were last read, of which only what has changed since is read again."""

    def __init__(self, read: Callable[[int, int | None, int | None], Series], guard: threading.RLock) -> None:
        self._read = read  # object id, first frame, last frame (both included) or None
        self._guard = guard  # the store's own: a second lock could be taken in the other order
        self._known: OrderedDict[int, Series] = OrderedDict()
        self._changed: dict[int, set[int]] = {}

    def touch(self, keys: Iterable[Sequence[int]]) -> None:
        """Note that ``(frame, object id)`` have changed."""
        with self._guard:
            for frame, object_id in keys:
                if object_id in self._known:
                    self._changed.setdefault(object_id, set()).add(frame)

    def clear(self) -> None:
        """Forget everything: anything may have changed."""
        with self._guard:
            self._known.clear()
            self._changed.clear()

    def get(self, object_id: int) -> Series:
        """Return the series of an object."""
        with self._guard:
            series = self._known.get(object_id)
            if series is None:
                series = self._read(object_id, None, None)
            else:
                for first, last in _ranges(self._changed.get(object_id, ())):
                    series = series.replaced(first, last + 1, self._read(object_id, first, last))
            self._changed.pop(object_id, None)
            for f in fields(series):
                getattr(series, f.name).flags.writeable = False
            self._known[object_id] = series
            self._known.move_to_end(object_id)
            while len(self._known) > 1 and sum(map(len, self._known.values())) > CACHED_ROWS:
                self._changed.pop(self._known.popitem(last=False)[0], None)
            return series


def _ranges(frames: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of frames that are near each other."""
    ordered = np.array(sorted(frames), dtype=np.int64)
    if len(ordered):
        cuts = np.flatnonzero(np.diff(ordered) > NEAR) + 1
        for a, b in itertools.pairwise((0, *cuts.tolist(), len(ordered))):
            yield int(ordered[a]), int(ordered[b - 1])
