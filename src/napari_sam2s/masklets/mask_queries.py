"""Reading the masks of a project, by the frame or by the object.

Objects that were removed are in no frame: their masks are kept for undo, and found by the object's id alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import rle
from napari_sam2s.masklets.class_scores import ClassScores
from napari_sam2s.masklets.mask_statistics import COLUMNS as SERIES_COLUMNS
from napari_sam2s.masklets.mask_statistics import LARGEST_SIDE, NO_ORIGIN, PACKED, Series, SeriesCache
from napari_sam2s.masklets.objects import LIVING
from napari_sam2s.masklets.page_check import damaged
from napari_sam2s.masklets.span_states import Span
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.types import Origin, Scores
from napari_sam2s.masklets.validation import frame_of, id_of

BLOCK = 500  # frames
_RLE = "y0, x0, height, width, counts, area"
_PLACES = " || ',' || ".join(("frame", "area", "y0", "x0", "ifnull(y_sum, -1)", "ifnull(x_sum, -1)"))


@dataclass(frozen=True)
class Entry:
    """One object on one frame, as a project knows it."""

    object_id: int
    mask: rle.Mask  # of area 0 where the object was looked for and is not there
    scores: Scores | None = None
    origin: Origin | None = None  # ``None`` where nothing but the mask is known
    confirmed: bool = False


class MaskQueries:
    """The masks of a project, as far as they are read; called with a frame, they are its masks."""

    def __init__(self, store: Store, class_scores: ClassScores) -> None:
        self._store, self._class_scores = store, class_scores
        self._series = SeriesCache(self._read_series, store.guard)
        store.when_touched.append(self._series.touch)
        store.when_forgotten.append(self._series.clear)

    def __call__(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}`` of a frame, with an empty mask for an object known to be absent."""
        rows = self._store.rows(
            f"SELECT object_id, {_RLE} FROM {self._store.known} WHERE frame = ? AND {LIVING}", (frame_of(frame),)
        )
        return {row[0]: rle.decode(rle.Mask(*row[1:]), self._store.shape[1:]) for row in rows}

    def one(self, frame: int, object_id: int) -> NDArray[np.bool_] | None:
        """Return a mask ``(Y, X)``, also of an object that was removed, or ``None`` where nobody looked."""
        encoded = self.encoded(frame, object_id)
        return None if encoded is None else rle.decode(encoded, self._store.shape[1:])

    def encoded(self, frame: int, object_id: int) -> rle.Mask | None:
        """Return a mask as it is kept, see :meth:`one`."""
        key = frame_of(frame), id_of(object_id)
        rows = self._store.rows(f"SELECT {_RLE} FROM {self._store.known} WHERE frame = ? AND object_id = ?", key)
        return rle.Mask(*rows[0]) if rows else None

    def entries(self, frame: int) -> list[Entry]:
        """Return all that is known of a frame, by object id; masks stay encoded."""
        sql = (
            f"SELECT object_id, {_RLE}, iou, object_score, class_scores, origin, confirmed FROM {self._store.known} "
            f"WHERE frame = ? AND {LIVING} ORDER BY object_id"
        )
        return [
            Entry(
                row["object_id"],
                rle.Mask(*row[1:7]),
                None if row["iou"] is None else self._scores(row["iou"], row["object_score"], row["class_scores"]),
                row["origin"],
                bool(row["confirmed"]),
            )
            for row in self._store.rows(sql, (frame_of(frame),))
        ]

    def seen(self) -> Iterator[tuple[int, int, rle.Mask]]:
        """Yield frame, object id and mask wherever an object is seen, by frame and object; read in blocks of frames."""
        for start in range(0, self._store.shape[0], BLOCK):
            sql = (
                f"SELECT frame, object_id, {_RLE} FROM {self._store.known} WHERE frame >= ? AND frame < ? AND area > 0 "
                f"AND {LIVING} ORDER BY frame, object_id"
            )
            for row in self._store.rows(sql, (start, start + BLOCK)):
                yield row[0], row[1], rle.Mask(*row[2:])

    def places(self, object_ids: Iterable[int] | None = None) -> NDArray[np.float64]:
        """Return object, frame, centroid (y, x) and area wherever an object is seen ``(N, 5)``, by object and frame.

        By default of all objects that were not removed.

        The masks themselves are read only where an earlier version wrote them, which kept no sums beside them.
        """
        if object_ids is None:
            object_ids = [row[0] for row in self._store.rows("SELECT id FROM objects WHERE NOT removed ORDER BY id")]
        return np.concatenate([np.zeros((0, 5)), *map(self._places_of, object_ids)])

    def _places_of(self, object_id: int) -> NDArray[np.float64]:
        seen = f"FROM {self._store.known} WHERE object_id = ? AND area > 0"
        [(text,)] = self._store.rows(f"SELECT group_concat({_PLACES}) {seen}", (object_id,))
        kept = self._numbers(text, f"a mask of object {object_id}").reshape(-1, 6)
        kept = kept[np.argsort(kept[:, 0], kind="stable")]
        unknown = np.flatnonzero(kept[:, 4] < 0)
        for n in range(0, len(unknown), rle.PART):
            part = unknown[n : n + rle.PART]
            between = f"{seen} AND y_sum IS NULL AND frame BETWEEN ? AND ? ORDER BY frame"
            keys = (object_id, *kept[part[[0, -1]], 0].tolist())
            kept[part, 4:] = rle.sums_of([rle.Mask(*row) for row in self._store.rows(f"SELECT {_RLE} {between}", keys)])
        centres = rle.centroids(kept[:, 4:], kept[:, 1], kept[:, 2:4])
        return np.column_stack((np.full(len(kept), object_id), kept[:, 0], centres, kept[:, 1]))

    @property
    def frames(self) -> list[int]:
        """Frames on which at least one object is known, ascending."""
        # Named so, the objects' own index is read and not the masks, which is five times as fast.
        living = "object_id IN (SELECT id FROM objects WHERE NOT removed)"
        [(text,)] = self._store.rows(f"SELECT group_concat(frame) FROM {self._store.known} WHERE {living}")
        return list(np.unique(self._numbers(text, "the number of a frame")).tolist())

    def _numbers(self, text: str | None, what: str) -> NDArray[np.int64]:
        try:
            return np.fromstring(text or "", dtype=np.int64, sep=",")
        except ValueError as error:  # what SQLite made of words in the place of numbers
            raise damaged(self._store.path, what) from error

    def scores(self, frame: int) -> dict[int, Scores]:
        """Return what the model thought of the masks of a frame."""
        judged = f"frame = ? AND iou IS NOT NULL AND {LIVING}"
        sql = f"SELECT object_id, iou, object_score, class_scores FROM {self._store.known} WHERE {judged}"
        return {row[0]: self._scores(*row[1:]) for row in self._store.rows(sql, (frame_of(frame),))}

    def _scores(self, iou: float, object_score: float, class_scores: bytes | None) -> Scores:
        if not isinstance(iou, float) or not isinstance(object_score, float):
            raise damaged(self._store.path, f"a score is {iou!r} or {object_score!r}")
        return Scores(iou, object_score, self._class_scores.unpack(class_scores))

    def suggested_class(self, object_id: int, frames: int = 200) -> tuple[str, float] | None:
        """Return the class the model takes an object for and its mean probability over the latest frames, if it says so."""
        sql = (
            f"SELECT class_scores FROM {self._store.known} WHERE object_id = ?1 AND class_scores IS NOT NULL AND frame IN "
            f"(SELECT frame FROM {self._store.known} WHERE object_id = ?1 AND area > 0 ORDER BY frame DESC LIMIT ?2)"
        )
        votes = [self._class_scores.unpack(row[0]) for row in self._store.rows(sql, (id_of(object_id), frames))]
        if not votes:
            return None
        means = {name: sum(v.get(name, 0.0) for v in votes) / len(votes) for name in votes[0]}
        best = max(means, key=means.__getitem__)
        return best, means[best]

    def origins(self, frame: int) -> dict[int, str]:
        """Return where the masks of a frame come from, by object."""
        sql = f"SELECT object_id, origin FROM {self._store.known} WHERE frame = ? AND {LIVING}"
        return {row[0]: row[1] for row in self._store.rows(sql, (frame_of(frame),))}

    def known(self, object_id: int, start: int, stop: int) -> list[int]:
        """Return the frames from ``start`` to ``stop - 1`` on which something is known of an object, ascending."""
        sql = f"SELECT frame FROM {self._store.known} WHERE object_id = ? AND frame >= ? AND frame < ? ORDER BY frame"
        return [row[0] for row in self._store.rows(sql, (object_id, start, stop))]

    def confirmed_frames(self, object_id: int) -> list[int]:
        """Return the frames on which an object's mask is confirmed, ascending."""
        series = self.series(object_id)
        return [int(t) for t in series.frames[series.confirmed]]

    def presence(self, object_id: int) -> list[Span]:
        """Return where an object is present, absent, of low score or unseen, as spans that cover the video."""
        return self.series(object_id).spans(self._store.shape[0])

    def series(self, object_id: int) -> Series:
        """Return area, scores, bounding box and origin of every mask of an object, as arrays by frame.

        The first call reads them all (a fifth of a second for 180,000 frames), later ones only what has changed since.
        """
        self._store.look()
        return self._series.get(id_of(object_id))

    def _read_series(self, object_id: int, first: int | None, last: int | None) -> Series:
        try:
            series = self._series_of(object_id, first, last)
        except (ValueError, TypeError, OverflowError) as error:  # what SQLite made of words in the place of numbers
            raise damaged(self._store.path, f"a mask of object {object_id}") from error
        if (series.origin == NO_ORIGIN).any():
            frame = series.frames[series.origin == NO_ORIGIN][0]
            raise damaged(self._store.path, f"the mask of object {object_id} on frame {frame}: its origin")
        return series

    def _series_of(self, object_id: int, first: int | None, last: int | None) -> Series:
        where = "object_id = ?1" if first is None else "object_id = ?1 AND frame BETWEEN ?2 AND ?3"
        keys = (object_id,) if first is None else (object_id, first, last)
        # A part as the whole: what is read again must be what reading all of it gives, to the last bit.
        if max(self._store.shape[1:]) < LARGEST_SIDE:
            [texts] = self._store.rows(f"SELECT {PACKED} FROM {self._store.known} WHERE {where}", keys)
            return Series.of_packed(tuple(texts))
        return Series.of_rows(
            self._store.rows(f"SELECT {SERIES_COLUMNS} FROM {self._store.known} WHERE {where} ORDER BY frame", keys)
        )
