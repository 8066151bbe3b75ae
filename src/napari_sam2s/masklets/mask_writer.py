"""The masks of a project, as they are written by the tracker, the brush and the track edits."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.class_scores import ClassScores
from napari_sam2s.masklets.mask_statistics import LARGEST_SCORE
from napari_sam2s.masklets.objects import LIVING, Objects
from napari_sam2s.masklets.run_records import Runs
from napari_sam2s.masklets.schema import MASK_COLUMNS
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.types import Origin, Scores
from napari_sam2s.masklets.validation import binary_mask, frame_of, id_of, yes_or_no
from napari_sam2s.wording import counted

Row = tuple[int, int, NDArray[np.bool_] | rle.Mask, Scores | None]  # frame, object id, mask (Y, X), scores
_INSERT = (
    f"INSERT OR REPLACE INTO masks (frame, object_id, {', '.join(MASK_COLUMNS)}) VALUES "
    f"({', '.join('?' * (2 + len(MASK_COLUMNS)))})"
)


class MaskWriter:
    """Writes and confirms masks."""

    def __init__(self, store: Store, objects: Objects, runs: Runs, class_scores: ClassScores) -> None:
        self._store, self._objects, self._runs, self._class_scores = store, objects, runs, class_scores

    def write(
        self, rows: Iterable[Row], *, origin: Origin = "propagated", run: int | None = None, confirmed: bool = False
    ) -> None:
        """Keep masks, in one transaction; see :meth:`Project.write_masks`."""
        if origin not in get_args(Origin):
            raise ProjectError(f"Masks come from one of {', '.join(get_args(Origin))}; got origin={origin!r}.")
        confirmed = yes_or_no(confirmed, "confirmed=")
        encoded = []
        for t, i, mask, scores in _whole_rows(rows):
            frame, object_id = frame_of(t), id_of(i)
            encoded.append((frame, object_id, self._encoded(frame, mask), scores))
        if twice := [key for key, n in Counter(row[:2] for row in encoded).items() if n > 1]:
            raise ProjectError(
                f"Object {twice[0][1]} has two masks on frame {twice[0][0]}: write one for each object and frame."
            )
        # Those of a removed object are kept, for it may be brought back.
        self._objects.check(*{object_id for _, object_id, *_ in encoded}, removed_too=True)
        with self._runs.step_of(run, f"masks ({origin})") as db:
            if origin in ("propagated", "interpolated"):
                later, known = self._later_steps(db), self._store.known
                encoded = [row for row in encoded if not _protected(db, known, row[0], row[1], later)]
            keys = [(frame, object_id) for frame, object_id, *_ in encoded]
            self._store.touch("masks", keys)
            sums = rle.sums_of([mask for _, _, mask, _ in encoded]).tolist()
            told = (origin, confirmed, run)
            db.executemany(_INSERT, ((*self._values(*row, *told), *s) for row, s in zip(encoded, sums, strict=True)))
            self._store.note({frame for frame, _ in keys})

    def _check_frame(self, frame: int) -> None:
        if not 0 <= frame < self._store.shape[0]:
            raise ProjectError(f"Frame {frame} is not in the project's video of {counted(self._store.shape[0], 'frame')}.")

    def _encoded(self, frame: int, mask: NDArray[Any] | rle.Mask) -> rle.Mask:
        size = self._store.shape[1:]
        self._check_frame(frame)
        if isinstance(mask, rle.Mask):
            if not rle.fits(mask, (size[0], size[1])):
                raise ProjectError(f"A mask reaches beyond the video's frames of {tuple(size)} (Y, X).")
            return mask
        return rle.encode(binary_mask(mask, (size[0], size[1]), ProjectError))

    def _later_steps(self, db: sqlite3.Connection) -> list[int]:
        """Return the steps after the current one that changed masks: what was done while a run went on."""
        sql = "SELECT id FROM steps WHERE id > ? AND NOT undone AND EXISTS (SELECT 1 FROM masks_changes WHERE step = steps.id)"
        return [row[0] for row in db.execute(sql, (self._store.current_step,))]

    def _values(
        self, frame: int, object_id: int, mask: rle.Mask, scores: Scores | None, origin: str, confirmed: bool, run: int | None
    ) -> tuple[Any, ...]:
        classes = None if scores is None else self._class_scores.pack(scores.class_scores)
        iou, score = (None, None) if scores is None else _kept_scores(scores)
        box = (mask.y0, mask.x0, mask.height, mask.width, mask.counts, mask.area)
        return (frame, object_id, *box, iou, score, classes, origin, int(confirmed), run)

    def confirm(self, frame: int, object_id: int | None = None, *, confirmed: bool = True) -> None:
        """Vouch for the masks of a frame; see :meth:`Project.confirm`."""
        frame, confirmed = frame_of(frame), yes_or_no(confirmed, "confirmed=")
        self._check_frame(frame)
        self._objects.check(*([] if object_id is None else [object_id]), removed_too=True)
        where = f"frame = ?1 AND CASE WHEN ?2 IS NULL THEN {LIVING} ELSE object_id = ?2 END"
        values = frame, None if object_id is None else id_of(object_id)
        with self._store.step("confirm" if confirmed else "unconfirm") as db:
            keys = [tuple(row) for row in db.execute(f"SELECT frame, object_id FROM {self._store.known} WHERE {where}", values)]
            self._store.touch("masks", keys)
            db.execute(f"UPDATE masks SET confirmed = ?3 WHERE {where}", (*values, int(confirmed)))
            self._store.note([frame])


def _whole_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows that are whole: frame, object, mask, and scores or None."""
    if not isinstance(rows, Iterable):
        raise ProjectError(f"Masks are written as rows (frame, object id, mask, scores or None); got {type(rows).__name__}.")
    for row in rows:
        if not isinstance(row, tuple | list) or len(row) != 4 or not isinstance(row[3], Scores | None):
            raise ProjectError("A row of masks is (frame, object id, mask, scores or None), with scores as a Scores.")
        yield row[0], row[1], row[2], row[3]


def _protected(db: sqlite3.Connection, known: str, frame: int, object_id: int, later: Sequence[int]) -> bool:
    """Whether propagation leaves a mask alone: it is locked, painted, confirmed, or changed by a later step than the run's."""
    sql = (
        "SELECT 1 FROM objects WHERE id = ?2 AND locked UNION ALL "
        f"SELECT 1 FROM {known} WHERE frame = ?1 AND object_id = ?2 AND (confirmed OR origin = 'painted')"
    )
    if db.execute(sql, (frame, object_id)).fetchone() is not None:
        return True
    changed = "SELECT 1 FROM masks_changes WHERE step = ? AND frame = ? AND object_id = ?"
    return any(db.execute(changed, (step, frame, object_id)).fetchone() for step in later)


def _kept_scores(scores: Scores) -> tuple[float | None, float | None]:
    """Return predicted IoU and object score as they are kept: within what they can mean, or both unknown."""
    try:
        iou, score = float(scores.iou), float(scores.object_score)
    except (TypeError, ValueError):
        raise ProjectError(f"Scores are numbers; got {scores.iou!r} and {scores.object_score!r}.") from None
    if math.isnan(iou) or math.isnan(score):
        return None, None
    return min(max(iou, 0.0), 1.0), min(max(score, -LARGEST_SCORE), LARGEST_SCORE)
