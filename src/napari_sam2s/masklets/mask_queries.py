"""Reading the masks of a project, by the frame or by the object.

Objects that were removed are in no frame: their masks are kept for undo, and found by the object's id alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import rle
from napari_sam2s.masklets.lock import WriterLock
from napari_sam2s.masklets.mask_statistics import COLUMNS as SERIES_COLUMNS
from napari_sam2s.masklets.mask_statistics import LARGEST_SIDE, PACKED, Series, SeriesCache
from napari_sam2s.masklets.presence import LOW_SCORE, Span
from napari_sam2s.masklets.run_records import RunStore
from napari_sam2s.masklets.types import Origin, Scores
from napari_sam2s.masklets.validation import frame_of, id_of

PROBABILITY_ONE = 65535
_RLE = "y0, x0, height, width, counts, area"
LIVING = "object_id IN (SELECT id FROM objects WHERE NOT removed)"


@dataclass(frozen=True)
class Entry:
    """One object on one frame, as a project knows it."""

    object_id: int
    mask: rle.Mask  # of area 0 where the object was looked for and is not there
    scores: Scores | None = None
    origin: Origin | None = None  # ``None`` where nothing but the mask is known
    confirmed: bool = False


class MaskReader(RunStore):
    """Masks by frame and object, as far as they are read. ``shape`` is the video's ``(T, Y, X)``."""

    shape: tuple[int, int, int]

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock | None) -> None:
        super().__init__(path, connection, lock)
        self._series = SeriesCache(self._read_series, self._guard)
        self._class_lists: dict[str, int] = {}
        self._class_names: dict[int, list[str]] = {}

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}`` of a frame, with an empty mask for an object known to be absent."""
        rows = self._rows(f"SELECT object_id, {_RLE} FROM masks WHERE frame = ? AND {LIVING}", (frame_of(frame),))
        return {row[0]: rle.decode(rle.Mask(*row[1:]), self.shape[1:]) for row in rows}

    def entries(self, frame: int) -> list[Entry]:
        """Return all that is known of a frame, by object id; masks stay encoded."""
        sql = (
            f"SELECT object_id, {_RLE}, iou, object_score, class_scores, origin, confirmed FROM masks "
            f"WHERE frame = ? AND {LIVING} ORDER BY object_id"
        )
        return [
            Entry(
                row["object_id"],
                rle.Mask(*row[1:7]),
                None
                if row["iou"] is None
                else Scores(row["iou"], row["object_score"], self._unpack_classes(row["class_scores"])),
                row["origin"],
                bool(row["confirmed"]),
            )
            for row in self._rows(sql, (frame_of(frame),))
        ]

    def mask(self, frame: int, object_id: int) -> NDArray[np.bool_] | None:
        """Return a mask ``(Y, X)``, also of an object that was removed, or ``None`` where nobody looked."""
        key = frame_of(frame), id_of(object_id)
        rows = self._rows(f"SELECT {_RLE} FROM masks WHERE frame = ? AND object_id = ?", key)
        return rle.decode(rle.Mask(*rows[0]), self.shape[1:]) if rows else None

    def masklet(self, object_id: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Yield ``(frame, mask)`` of every frame on which an object is known."""
        for row in self._rows("SELECT frame FROM masks WHERE object_id = ? ORDER BY frame", (id_of(object_id),)):
            mask = self.mask(row[0], object_id)
            if mask is not None:
                yield row[0], mask

    @property
    def frames(self) -> list[int]:
        """Frames on which at least one object is known, ascending."""
        return [row[0] for row in self._rows(f"SELECT DISTINCT frame FROM masks WHERE {LIVING} ORDER BY frame")]

    def scores(self, frame: int) -> dict[int, Scores]:
        """Return what the model thought of the masks of a frame."""
        sql = f"SELECT object_id, iou, object_score, class_scores FROM masks WHERE frame = ? AND iou IS NOT NULL AND {LIVING}"
        return {row[0]: Scores(row[1], row[2], self._unpack_classes(row[3])) for row in self._rows(sql, (frame_of(frame),))}

    def suggested_class(self, object_id: int, frames: int = 200) -> tuple[str, float] | None:
        """Return the class the model takes an object for and its mean probability over the latest frames, if it says so."""
        sql = (
            "SELECT class_scores FROM masks WHERE object_id = ?1 AND class_scores IS NOT NULL AND frame IN "
            "(SELECT frame FROM masks WHERE object_id = ?1 AND area > 0 ORDER BY frame DESC LIMIT ?2)"
        )
        votes = [self._unpack_classes(row[0]) for row in self._rows(sql, (id_of(object_id), frames))]
        if not votes:
            return None
        means = {name: sum(v.get(name, 0.0) for v in votes) / len(votes) for name in votes[0]}
        best = max(means, key=means.__getitem__)
        return best, means[best]

    def origins(self, frame: int) -> dict[int, str]:
        """Return where the masks of a frame come from, by object."""
        sql = f"SELECT object_id, origin FROM masks WHERE frame = ? AND {LIVING}"
        return {row[0]: row[1] for row in self._rows(sql, (frame_of(frame),))}

    def _unpack_classes(self, packed: bytes | None) -> dict[str, float]:
        if packed is None:
            return {}
        which, *values = np.frombuffer(packed, "<u2").tolist()
        if which not in self._class_names:
            rows = self._rows("SELECT id, names FROM class_lists")
            self._class_names.update({row[0]: json.loads(row[1]) for row in rows})
        return {name: round(v / PROBABILITY_ONE, 4) for name, v in zip(self._class_names[which], values, strict=True)}

    def confirmed_frames(self, object_id: int) -> list[int]:
        """Return the frames on which an object's mask is confirmed, ascending."""
        series = self.series(object_id)
        return [int(t) for t in series.frames[series.confirmed]]

    def presence(self, object_id: int, low_score: float = LOW_SCORE) -> list[Span]:
        """Return where an object is present, absent, of low score or unseen, as spans that cover the video."""
        return self.series(object_id).spans(self.shape[0], low_score)

    def series(self, object_id: int) -> Series:
        """Return area, scores, bounding box and origin of every mask of an object, as arrays by frame.

        The first call reads them all (a fifth of a second for 180,000 frames), later ones only what has changed since.
        """
        if not self.writable:
            self.refresh()
        return self._series.get(id_of(object_id))

    def _read_series(self, object_id: int, first: int | None, last: int | None) -> Series:
        if first is None and max(self.shape[1:]) < LARGEST_SIDE:
            [texts] = self._rows(f"SELECT {PACKED} FROM masks WHERE object_id = ?", (object_id,))
            return Series.of_packed(tuple(texts))
        where = "object_id = ?1" if first is None else "object_id = ?1 AND frame BETWEEN ?2 AND ?3"
        keys = (object_id,) if first is None else (object_id, first, last)
        return Series.of_rows(self._rows(f"SELECT {SERIES_COLUMNS} FROM masks WHERE {where} ORDER BY frame", keys))

    def _forget_cached(self) -> None:
        super()._forget_cached()
        self._series.clear()

    def _touched(self, keys: Iterable[Sequence[int]]) -> None:
        self._series.touch(keys)
