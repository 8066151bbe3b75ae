"""The masks of a project: written by the tracker and the brush, read by the frame or by the object."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.lock import WriterLock
from napari_sam2s.masklets.presence import LOW_SCORE, Span
from napari_sam2s.masklets.runs import RunStore
from napari_sam2s.masklets.schema import MASK_COLUMNS
from napari_sam2s.masklets.series import COLUMNS as SERIES_COLUMNS
from napari_sam2s.masklets.series import LARGEST_SCORE, LARGEST_SIDE, PACKED, Series, SeriesCache
from napari_sam2s.masklets.vocabulary import Origin, Scores

PROBABILITY_ONE = 65535
Row = tuple[int, int, NDArray[np.bool_] | rle.Mask, Scores | None]  # frame, object id, mask (Y, X), scores
_RLE = "y0, x0, height, width, counts, area"
_INSERT = (
    f"INSERT OR REPLACE INTO masks (frame, object_id, {', '.join(MASK_COLUMNS)}) VALUES "
    f"({', '.join('?' * (2 + len(MASK_COLUMNS)))})"
)


@dataclass(frozen=True)
class Entry:
    """One object on one frame, as a project knows it."""

    object_id: int
    mask: rle.Mask  # of area 0 where the object was looked for and is not there
    scores: Scores | None = None
    origin: Origin | None = None  # ``None`` where nothing but the mask is known
    confirmed: bool = False


class MaskStore(RunStore):
    """Masks by frame and object. ``shape`` is the video's ``(T, Y, X)``."""

    shape: tuple[int, int, int]

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock | None) -> None:
        super().__init__(path, connection, lock)
        self._series = SeriesCache(self._read_series, self._guard)
        self._class_lists: dict[str, int] = {}
        self._class_names: dict[int, list[str]] = {}

    def write_masks(
        self, rows: Iterable[Row], *, origin: Origin = "propagated", run: int | None = None, confirmed: bool = False
    ) -> None:
        """Keep masks, in one transaction.

        What a person painted or confirmed, and every mask of a locked object, is not overwritten by propagation; nor is what
        was changed by a later step than the run's own, when a run that is resumed comes by again.

        Parameters
        ----------
        rows
            ``(frame, object id, mask (Y, X) bool or encoded, scores or None)``; an empty mask says that it is not there.
        origin
            Where they come from.
        run
            The run that made them, whose step of undo they belong to.
        confirmed
            Whether a person vouches for them.
        """
        encoded = []
        for frame, object_id, mask, scores in rows:
            self._check_mask(frame, mask)
            kept = mask if isinstance(mask, rle.Mask) else rle.encode(np.asarray(mask, dtype=bool))
            encoded.append((frame, object_id, kept, scores))
        with self._step_of(run, f"masks ({origin})") as db:
            if origin in ("propagated", "interpolated"):
                later = self._later_steps(db)
                encoded = [row for row in encoded if not self._protected(db, row[0], row[1], later)]
            keys = [(frame, object_id) for frame, object_id, *_ in encoded]
            self._touch("masks", keys)
            db.executemany(_INSERT, (self._values(*row, origin, confirmed, run) for row in encoded))
            self._note({frame for frame, _ in keys})

    def _check_mask(self, frame: int, mask: NDArray[Any] | rle.Mask) -> None:
        if not 0 <= frame < self.shape[0]:
            raise ProjectError(f"Frame {frame} is not in the project's video of {self.shape[0]} frames.")
        if isinstance(mask, rle.Mask):
            if mask.y0 + mask.height > self.shape[1] or mask.x0 + mask.width > self.shape[2]:
                raise ProjectError(f"A mask reaches beyond the video's frames of {self.shape[1:]} (Y, X).")
        elif np.shape(mask) != self.shape[1:]:
            raise ProjectError(f"A mask of {np.shape(mask)} does not fit the video's frames of {self.shape[1:]} (Y, X).")

    @staticmethod
    def _protected(db: sqlite3.Connection, frame: int, object_id: int, later: Sequence[int]) -> bool:
        sql = (
            "SELECT 1 FROM objects WHERE id = ?2 AND locked UNION ALL "
            "SELECT 1 FROM masks WHERE frame = ?1 AND object_id = ?2 AND (confirmed OR origin = 'painted')"
        )
        if db.execute(sql, (frame, object_id)).fetchone() is not None:
            return True
        changed = "SELECT 1 FROM masks_changes WHERE step = ? AND frame = ? AND object_id = ?"
        return any(db.execute(changed, (step, frame, object_id)).fetchone() for step in later)

    def _later_steps(self, db: sqlite3.Connection) -> list[int]:
        """Return the steps after the current one that changed masks: what was done while a run went on."""
        sql = "SELECT id FROM steps WHERE id > ? AND NOT undone AND EXISTS (SELECT 1 FROM masks_changes WHERE step = steps.id)"
        return [row[0] for row in db.execute(sql, (self._step,))]

    def _values(
        self, frame: int, object_id: int, mask: rle.Mask, scores: Scores | None, origin: str, confirmed: bool, run: int | None
    ) -> tuple[Any, ...]:
        classes = self._pack_classes(scores.class_scores) if scores is not None and scores.class_scores else None
        iou, score = (None, None) if scores is None else _kept_scores(scores)
        box = (mask.y0, mask.x0, mask.height, mask.width, mask.counts, mask.area)
        return (frame, object_id, *box, iou, score, classes, origin, int(confirmed), run)

    def _pack_classes(self, scores: Mapping[str, float]) -> bytes:
        """Pack probabilities as 16-bit numbers after the id of their list of names."""
        names = json.dumps(list(scores))
        if names not in self._class_lists:
            self._db.execute("INSERT OR IGNORE INTO class_lists (names) VALUES (?)", (names,))
            row = self._db.execute("SELECT id FROM class_lists WHERE names = ?", (names,)).fetchone()
            self._class_lists[names] = int(row[0])
        values = np.array([self._class_lists[names], *(round(v * PROBABILITY_ONE) for v in scores.values())], "<u2")
        return values.tobytes()

    def _unpack_classes(self, packed: bytes | None) -> dict[str, float]:
        if packed is None:
            return {}
        which, *values = np.frombuffer(packed, "<u2").tolist()
        if which not in self._class_names:
            rows = self._rows("SELECT id, names FROM class_lists")
            self._class_names.update({row[0]: json.loads(row[1]) for row in rows})
        return {name: round(v / PROBABILITY_ONE, 4) for name, v in zip(self._class_names[which], values, strict=True)}

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}`` of a frame, with an empty mask for an object known to be absent."""
        rows = self._rows(f"SELECT object_id, {_RLE} FROM masks WHERE frame = ?", (frame,))
        return {row[0]: rle.decode(rle.Mask(*row[1:]), self.shape[1:]) for row in rows}

    def entries(self, frame: int) -> list[Entry]:
        """Return all that is known of a frame, by object id; masks stay encoded."""
        sql = (
            f"SELECT object_id, {_RLE}, iou, object_score, class_scores, origin, confirmed FROM masks WHERE frame = ? "
            "ORDER BY object_id"
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
            for row in self._rows(sql, (frame,))
        ]

    def mask(self, frame: int, object_id: int) -> NDArray[np.bool_] | None:
        """Return a mask ``(Y, X)``, or ``None`` where nobody looked."""
        rows = self._rows(f"SELECT {_RLE} FROM masks WHERE frame = ? AND object_id = ?", (frame, object_id))
        return rle.decode(rle.Mask(*rows[0]), self.shape[1:]) if rows else None

    def masklet(self, object_id: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Yield ``(frame, mask)`` of every frame on which an object is known."""
        for row in self._rows("SELECT frame FROM masks WHERE object_id = ? ORDER BY frame", (object_id,)):
            mask = self.mask(row[0], object_id)
            if mask is not None:
                yield row[0], mask

    @property
    def frames(self) -> list[int]:
        """Frames on which at least one object is known, ascending."""
        return [row[0] for row in self._rows("SELECT DISTINCT frame FROM masks ORDER BY frame")]

    def scores(self, frame: int) -> dict[int, Scores]:
        """Return what the model thought of the masks of a frame."""
        sql = "SELECT object_id, iou, object_score, class_scores FROM masks WHERE frame = ? AND iou IS NOT NULL"
        return {row[0]: Scores(row[1], row[2], self._unpack_classes(row[3])) for row in self._rows(sql, (frame,))}

    def suggested_class(self, object_id: int, frames: int = 200) -> tuple[str, float] | None:
        """Return the class the model takes an object for and its mean probability over the latest frames, if it says so."""
        sql = (
            "SELECT class_scores FROM masks WHERE object_id = ?1 AND class_scores IS NOT NULL AND frame IN "
            "(SELECT frame FROM masks WHERE object_id = ?1 AND area > 0 ORDER BY frame DESC LIMIT ?2)"
        )
        votes = [self._unpack_classes(row[0]) for row in self._rows(sql, (object_id, frames))]
        if not votes:
            return None
        means = {name: sum(v.get(name, 0.0) for v in votes) / len(votes) for name in votes[0]}
        best = max(means, key=means.__getitem__)
        return best, means[best]

    def origins(self, frame: int) -> dict[int, str]:
        """Return where the masks of a frame come from, by object."""
        return {row[0]: row[1] for row in self._rows("SELECT object_id, origin FROM masks WHERE frame = ?", (frame,))}

    def label_image(self, frame: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the masks of a frame as one image of ids ``(Y, X)``; the object with the higher order covers the others."""
        sql = (
            f"SELECT object_id, {', '.join(f'm.{c.strip()}' for c in _RLE.split(','))} FROM masks m JOIN objects o "
            "ON o.id = m.object_id WHERE frame = ? AND area > 0 AND o.visible AND NOT o.removed ORDER BY o.sort, o.id"
        )
        image = np.zeros(self.shape[1:], dtype=dtype)
        for row in self._rows(sql, (frame,)):
            mask = rle.Mask(*row[1:])
            part = image[mask.y0 : mask.y0 + mask.height, mask.x0 : mask.x0 + mask.width]
            part[rle.decode_crop(mask)] = row[0]
        return image

    def paint(self, frame: int, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Take over what a person changed in the label image of a frame, as one step of undo.

        Raises
        ------
        ProjectError
            If a label is not the id of an object, or the object is locked.
        """
        changed = before != after
        if not changed.any():
            return
        ids = {int(i) for i in np.unique(np.concatenate((before[changed], after[changed])))} - {0}
        facts = {row["id"]: row for row in self._rows("SELECT * FROM objects")}
        for i in sorted(ids):
            if i not in facts or facts[i]["removed"]:
                raise ProjectError(f"There is no object {i} to paint: add an object first.")
            if facts[i]["locked"]:
                raise ProjectError(f"{facts[i]['name']} is locked: unlock it to paint.")
        known = self.masks(frame)
        rows: list[Row] = []
        for i in sorted(ids):
            mask = known.get(i, np.zeros(self.shape[1:], dtype=bool)).copy()
            mask[changed & (before == i)] = False
            mask[changed & (after == i)] = True
            rows.append((frame, i, mask, None))
        with self.step("paint"):
            self.write_masks(rows, origin="painted")

    def confirm(self, frame: int, object_id: int | None = None, *, confirmed: bool = True) -> None:
        """Vouch for the masks of a frame: propagation stops there and never overwrites them."""
        where, values = ("frame = ?", (frame,)) if object_id is None else ("frame = ? AND object_id = ?", (frame, object_id))
        with self.step("confirm" if confirmed else "unconfirm"):
            keys = [tuple(row) for row in self._db.execute(f"SELECT frame, object_id FROM masks WHERE {where}", values)]
            self._touch("masks", keys)
            self._db.execute(f"UPDATE masks SET confirmed = ? WHERE {where}", (int(confirmed), *values))
            self._note([frame])

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
        return self._series.get(object_id)

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


def _kept_scores(scores: Scores) -> tuple[float | None, float | None]:
    """Return predicted IoU and object score as they are kept: within what they can mean, or both unknown."""
    iou, score = float(scores.iou), float(scores.object_score)
    if math.isnan(iou) or math.isnan(score):
        return None, None
    return min(max(iou, 0.0), 1.0), min(max(score, -LARGEST_SCORE), LARGEST_SCORE)
