"""The masks of a project, as they are written by the tracker and the brush."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.mask_queries import LIVING, PROBABILITY_ONE, MaskReader
from napari_sam2s.masklets.mask_statistics import LARGEST_SCORE
from napari_sam2s.masklets.schema import MASK_COLUMNS
from napari_sam2s.masklets.types import Origin, Scores
from napari_sam2s.masklets.validation import frame_of, id_of

Row = tuple[int, int, NDArray[np.bool_] | rle.Mask, Scores | None]  # frame, object id, mask (Y, X), scores
_INSERT = (
    f"INSERT OR REPLACE INTO masks (frame, object_id, {', '.join(MASK_COLUMNS)}) VALUES "
    f"({', '.join('?' * (2 + len(MASK_COLUMNS)))})"
)


class MaskStore(MaskReader):
    """Masks by frame and object."""

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

        Raises
        ------
        ProjectError
            If a mask does not fit the video, or its object does not exist.
        """
        encoded = []
        for t, i, mask, scores in rows:
            frame, object_id = frame_of(t), id_of(i)
            self._check_mask(frame, mask)
            kept = mask if isinstance(mask, rle.Mask) else rle.encode(np.asarray(mask, dtype=bool))
            encoded.append((frame, object_id, kept, scores))
        self._check_known({object_id for _, object_id, *_ in encoded})
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

    def _check_known(self, object_ids: set[int]) -> None:
        """Refuse masks of objects that never were; those of a removed one are kept, for it may be brought back."""
        missing = object_ids - {row[0] for row in self._rows("SELECT id FROM objects")}
        if missing:
            raise ProjectError(self._no_object(min(missing)))

    def _no_object(self, object_id: int) -> str:
        known = [row[0] for row in self._rows("SELECT id FROM objects WHERE NOT removed ORDER BY id")]
        there = f"it has {known}" if known else "it has none"
        return f"The project has no object {object_id} ({there}): add_object makes one."

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

    def _toggle(self, row: sqlite3.Row, *, undone: bool) -> str:
        """Undo or redo a step, unless that would bring back what lies behind the end of a video that was cut since."""
        for table in ("masks", "prompts", "links"):
            behind = f"SELECT max(frame) FROM {table}_changes WHERE step = ? AND frame >= ? AND present"
            last = self._rows(behind, (row["id"], self.shape[0]))[0][0]
            if last is not None:
                raise ProjectError(
                    f"To {'undo' if undone else 'redo'} {row['label']!r} would bring back something of frame {last}, and the "
                    f"video has {self.shape[0]} frames now: relink the project to the whole recording first."
                )
        return super()._toggle(row, undone=undone)

    def confirm(self, frame: int, object_id: int | None = None, *, confirmed: bool = True) -> None:
        """Vouch for the masks of a frame: propagation stops there and never overwrites them."""
        frame = frame_of(frame)
        where = f"frame = ?1 AND CASE WHEN ?2 IS NULL THEN {LIVING} ELSE object_id = ?2 END"
        values = frame, None if object_id is None else id_of(object_id)
        with self.step("confirm" if confirmed else "unconfirm"):
            keys = [tuple(row) for row in self._db.execute(f"SELECT frame, object_id FROM masks WHERE {where}", values)]
            self._touch("masks", keys)
            self._db.execute(f"UPDATE masks SET confirmed = ?3 WHERE {where}", (*values, int(confirmed)))
            self._note([frame])


def _kept_scores(scores: Scores) -> tuple[float | None, float | None]:
    """Return predicted IoU and object score as they are kept: within what they can mean, or both unknown."""
    iou, score = float(scores.iou), float(scores.object_score)
    if math.isnan(iou) or math.isnan(score):
        return None, None
    return min(max(iou, 0.0), 1.0), min(max(score, -LARGEST_SCORE), LARGEST_SCORE)
