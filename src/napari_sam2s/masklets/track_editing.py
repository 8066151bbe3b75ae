"""Identity surgery: giving spans of masks to the objects they belong to. Each is one step of undo.

Prompts go where their masks go: else tracking on from there would bring the confusion back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.mask_writer import MaskStore
from napari_sam2s.masklets.schema import MASK_COLUMNS
from napari_sam2s.masklets.validation import frame_of, id_of

_ALL = ", ".join(MASK_COLUMNS)


@dataclass(frozen=True)
class MaskCount:
    """Masks of one object on a span."""

    known: int  # with the frames on which it is known to be absent
    shown: int
    confirmed: int


class Surgery(MaskStore):
    """Swap, merge, split, delete and copy over the frames ``start`` to ``stop - 1`` (``None``: to the end)."""

    def swap(self, first: int, second: int, start: int = 0, stop: int | None = None) -> None:
        """Exchange the masks of two objects."""
        stop = self._range(start, stop, first, second)
        with self.step(f"swap {first} and {second}"):
            self._touch_span((first, second), start, stop)
            db, span = self._db, (start, stop)
            db.execute("DROP TABLE IF EXISTS temp.moved")
            db.execute(
                f"CREATE TEMP TABLE moved AS SELECT frame, ?1 + ?2 - object_id AS object_id, {_ALL} FROM masks "
                "WHERE object_id IN (?1, ?2) AND frame >= ?3 AND frame < ?4",
                (first, second, *span),
            )
            db.execute("DELETE FROM masks WHERE object_id IN (?, ?) AND frame >= ? AND frame < ?", (first, second, *span))
            db.execute(f"INSERT INTO masks (frame, object_id, {_ALL}) SELECT frame, object_id, {_ALL} FROM moved")
            db.execute("DROP TABLE moved")
            self._give_prompts({first: second, second: first}, start, stop)
            self._note(None)

    def move(self, source: int, target: int, start: int = 0, stop: int | None = None) -> None:
        """Give the masks of one object to another, whose own masks there go; with a new object this is a split."""
        stop = self._range(start, stop, source, target)
        with self.step(f"move {source} to {target}"):
            self._touch_span((source, target), start, stop)
            span = (start, stop)
            # Where the source is not known, the target keeps what it has.
            self._db.execute(
                "DELETE FROM masks WHERE object_id = ?1 AND frame >= ?3 AND frame < ?4 AND frame IN "
                "(SELECT frame FROM masks WHERE object_id = ?2)",
                (target, source, *span),
            )
            self._db.execute(
                "UPDATE masks SET object_id = ? WHERE object_id = ? AND frame >= ? AND frame < ?", (target, source, *span)
            )
            self._give_prompts({source: target}, start, stop)
            self._note(None)

    def merge(self, source: int, target: int, start: int = 0, stop: int | None = None) -> None:
        """Add the masks of one object to another's, and take them from the first."""
        stop = self._range(start, stop, source, target)
        frames = self._known(source, start, stop)
        with self.step(f"merge {source} into {target}"):
            self._touch_span((source, target), start, stop)
            # One by one: the whole pictures of hours of video do not fit into memory.
            self.write_masks(((t, target, self._joined_mask(t, source, target), None) for t in frames), origin="painted")
            self._delete_rows(source, start, stop)
            self._give_prompts({source: target}, start, stop)
            self._note(None)

    def _joined_mask(self, frame: int, source: int, target: int) -> NDArray[np.bool_]:
        mine, other = self.mask(frame, source), self.mask(frame, target)
        assert mine is not None
        return mine if other is None else mine | other

    def delete(self, object_id: int, start: int = 0, stop: int | None = None) -> None:
        """Forget the masks and prompts of an object on a span: it is unseen there."""
        stop = self._range(start, stop, object_id)
        with self.step(f"delete {object_id}"):
            self._touch_span((object_id,), start, stop)
            self._delete_rows(object_id, start, stop)
            self._give_prompts({object_id: None}, start, stop)
            self._note(None)

    def copy(self, object_id: int, frame: int, start: int, stop: int) -> None:
        """Put the mask of one frame on the frames of a span."""
        stop = self._range(start, stop, object_id)
        mask = self.mask(frame, object_id)
        if mask is None:
            raise ProjectError(f"Object {object_id} has no mask on frame {frame} to copy.")
        with self.step(f"copy {object_id}"):
            self.write_masks([(t, object_id, mask, None) for t in range(start, stop)], origin="painted")

    def fill_gap(self, object_id: int, start: int, stop: int) -> int:
        """Fill the frames of a span on which an object is unseen with the masks that propagation last made there.

        They come from the history: what was deleted, or given to another object, is found again. Frames on which something is
        known stay as they are.

        Returns
        -------
        The number of frames that were filled.

        Raises
        ------
        ProjectError
            If nothing is missing there, or propagation never saw the object on any of the missing frames.
        """
        stop = self._range(start, stop, object_id)
        missing = set(range(start, stop)) - set(self._known(object_id, start, stop))
        if not missing:
            raise ProjectError(f"Object {object_id} has no gap on frames {start} to {stop - 1}.")
        # Of several versions the one before the latest change counts: it is what stood there last.
        rows = self._rows(
            f"SELECT frame, max(step), {_ALL} FROM masks_changes WHERE object_id = ? AND frame >= ? AND frame < ? AND present "
            "AND origin IN ('propagated', 'interpolated') AND step IN (SELECT id FROM steps WHERE NOT undone) GROUP BY frame",
            (object_id, start, stop),
        )
        found = [(row["frame"], object_id, *(row[name] for name in MASK_COLUMNS)) for row in rows if row["frame"] in missing]
        if not found:
            raise ProjectError(
                f"Propagation never saw object {object_id} on the missing frames between {start} and {stop - 1}: track it over "
                "that span."
            )
        with self.step(f"fill gap of {object_id}"):
            self._touch("masks", [row[:2] for row in found])
            marks = ", ".join("?" * len(found[0]))
            self._db.executemany(f"INSERT INTO masks (frame, object_id, {_ALL}) VALUES ({marks})", found)
            self._note({row[0] for row in found})
        return len(found)

    def check_span(self, start: int, stop: int | None, *objects: int) -> int:
        """Return where a span ends, after making sure that surgery on it is possible.

        Raises
        ------
        ProjectError
            If the span is not in the video, an object does not exist or is locked, or two are the same.
        """
        return self._range(start, stop, *objects)

    def count_masks(self, object_id: int, start: int, stop: int) -> MaskCount:
        """Count the masks of an object on the frames ``start`` to ``stop - 1``."""
        sql = (
            "SELECT count(*), ifnull(sum(area > 0), 0), ifnull(sum(confirmed), 0) FROM masks "
            "WHERE object_id = ? AND frame >= ? AND frame < ?"
        )
        return MaskCount(*self._rows(sql, (object_id, start, stop))[0])

    def count_shared_frames(self, first: int, second: int, start: int, stop: int) -> int:
        """Count the frames of a span on which both objects are known."""
        sql = (
            "SELECT count(*) FROM masks a JOIN masks b ON b.frame = a.frame AND b.object_id = ?2 "
            "WHERE a.object_id = ?1 AND a.frame >= ?3 AND a.frame < ?4"
        )
        return int(self._rows(sql, (first, second, start, stop))[0][0])

    def _give_prompts(self, to: Mapping[int, int | None], start: int, stop: int) -> None:
        """Give the prompts of a span to other objects, or to none."""
        sql = "SELECT id, object_id FROM prompts WHERE NOT removed AND frame >= ? AND frame < ? ORDER BY id"
        rows = [row for row in self._db.execute(sql, (start, stop)).fetchall() if row["object_id"] in to]
        self._touch("prompts", [(row["id"],) for row in rows])
        for row in rows:
            target = to[row["object_id"]]
            if target is None:
                self._db.execute("UPDATE prompts SET removed = 1 WHERE id = ?", (row["id"],))
            else:
                self._db.execute("UPDATE prompts SET object_id = ? WHERE id = ?", (target, row["id"]))

    def _range(self, start: int, stop: int | None, *objects: int) -> int:
        frames = self.shape[0]
        start, stop = frame_of(start), frames if stop is None else frame_of(stop)
        if not 0 <= start < stop <= frames:
            raise ProjectError(f"The span {start} to {stop} is not in the video of {frames} frames.")
        known = {row[0]: row for row in self._rows("SELECT id, removed, locked, name FROM objects")}
        for i in map(id_of, objects):
            if i not in known or known[i][1]:
                raise ProjectError(f"There is no object {i}.")
            if known[i][2]:
                raise ProjectError(f"{known[i][3]} is locked: unlock it first.")
        if len(set(objects)) < len(objects):
            raise ProjectError("Choose two different objects.")
        return stop

    def _known(self, object_id: int, start: int, stop: int) -> list[int]:
        sql = "SELECT frame FROM masks WHERE object_id = ? AND frame >= ? AND frame < ? ORDER BY frame"
        return [row[0] for row in self._rows(sql, (object_id, start, stop))]

    def _touch_span(self, objects: tuple[int, ...], start: int, stop: int) -> None:
        frames = sorted({t for i in objects for t in self._known(i, start, stop)})
        self._touch("masks", [(t, i) for t in frames for i in objects])

    def _delete_rows(self, object_id: int, start: int, stop: int) -> None:
        self._db.execute("DELETE FROM masks WHERE object_id = ? AND frame >= ? AND frame < ?", (object_id, start, stop))
