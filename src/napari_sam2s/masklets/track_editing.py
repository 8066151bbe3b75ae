"""Editing tracks: giving spans of masks to the objects they belong to. Each edit is one step of undo.

Prompts go where their masks go: else tracking on from there would bring the confusion back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple
from itertools import chain
from typing import TYPE_CHECKING

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import absence, rle
from napari_sam2s.masklets.mask_queries import MaskQueries
from napari_sam2s.masklets.mask_writer import MaskWriter
from napari_sam2s.masklets.objects import Objects
from napari_sam2s.masklets.prompt_records import Prompts
from napari_sam2s.masklets.schema import MASK_COLUMNS
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.types import Object, Prompt
from napari_sam2s.masklets.validation import frame_of, id_of
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    from napari_sam2s.formats.track_graph import TrackGraph

_ALL = ", ".join(MASK_COLUMNS)
_SPAN = "object_id = ? AND frame >= ? AND frame < ?"


class TrackEditor:
    """The objects' masks over the frames ``start`` to ``stop - 1`` (``None``: to the end), to be edited."""

    def __init__(self, store: Store, masks: MaskQueries, writer: MaskWriter, objects: Objects, prompts: Prompts) -> None:
        self._store, self._masks, self._writer, self._objects, self._prompts = store, masks, writer, objects, prompts

    def __call__(self) -> TrackGraph:
        """Return where the objects are, frame by frame, with divisions.

        Its ``data`` and ``graph`` are what a napari Tracks layer takes. All masks are read.
        """
        from napari_sam2s.formats.track_graph import track_graph

        return track_graph(self)

    @property
    def masks(self) -> MaskQueries:
        """The masks, called with a frame."""
        return self._masks

    @property
    def frames(self) -> list[int]:
        """Frames on which at least one object is known."""
        return self._masks.frames

    @property
    def objects(self) -> tuple[Object, ...]:
        """The objects."""
        return self._objects.read()

    def swap(self, first: int, second: int, start: int = 0, stop: int | None = None) -> None:
        """Exchange the masks of two objects."""
        stop = self.check_span(start, stop, first, second)
        with self._store.step(f"swap {first} and {second}") as db:
            self._touch_span((first, second), start, stop)
            db.execute("DROP TABLE IF EXISTS temp.moved")
            db.execute(
                f"CREATE TEMP TABLE moved AS SELECT frame, ?1 + ?2 - object_id AS object_id, {_ALL} FROM {self._store.known} "
                "WHERE object_id IN (?1, ?2) AND frame >= ?3 AND frame < ?4",
                (first, second, start, stop),
            )
            db.executemany(f"DELETE FROM masks WHERE {_SPAN}", [(i, start, stop) for i in (first, second)])
            db.execute(f"INSERT INTO masks (frame, object_id, {_ALL}) SELECT frame, object_id, {_ALL} FROM moved")
            db.execute("DROP TABLE moved")
            self._prompts.give({first: second, second: first}, start, stop)
            self._store.note()

    def move(self, source: int, target: int, start: int = 0, stop: int | None = None) -> None:
        """Give the masks of one object to another, whose own masks there go; with a new object this is a split."""
        stop = self.check_span(start, stop, source, target)
        with self._store.step(f"move {source} to {target}") as db:
            self._touch_span((source, target), start, stop)
            # Where the source is not known, the target keeps what it has.
            known = f"SELECT frame FROM {self._store.known} WHERE object_id = ?"
            db.execute(f"DELETE FROM masks WHERE {_SPAN} AND frame IN ({known})", (target, start, stop, source))
            db.execute(f"UPDATE masks SET object_id = ? WHERE {_SPAN}", (target, source, start, stop))
            self._prompts.give({source: target}, start, stop)
            self._store.note()

    def merge(self, source: int, target: int, start: int = 0, stop: int | None = None) -> None:
        """Add the masks of one object to another's, and take them from the first."""
        stop = self.check_span(start, stop, source, target)
        frames = self._masks.known(source, start, stop)
        with self._store.step(f"merge {source} into {target}") as db:
            self._touch_span((source, target), start, stop)
            # One by one: the whole pictures of hours of video do not fit into memory.
            self._writer.write(((t, target, self._joined(t, source, target), None) for t in frames), origin="painted")
            db.execute(f"DELETE FROM masks WHERE {_SPAN}", (source, start, stop))
            self._prompts.give({source: target}, start, stop)
            self._store.note()

    def _joined(self, frame: int, source: int, target: int) -> rle.Mask:
        masks = [m for i in (source, target) if (m := self._masks.one(frame, i)) is not None]
        return rle.encode(masks[0] if len(masks) == 1 else masks[0] | masks[1])

    def give_shared(self, winner: int, loser: int, start: int = 0, stop: int | None = None) -> tuple[list[int], list[int]]:
        """Take from one object the pixels that another one has as well; its prompts there become the masks that are left.

        Returns
        -------
        The frames on which that was done, and those on which the loser keeps its mask: confirmed, or nothing would be left.
        """
        stop = self.check_span(start, stop, winner, loser)
        confirmed = set(self._masks.confirmed_frames(loser))
        rows: list[tuple[int, int, rle.Mask, None]] = []
        kept: list[int] = []
        for t in self._masks.known(loser, start, stop):
            mine, theirs = self._masks.one(t, loser), self._masks.one(t, winner)
            if mine is None or theirs is None or not (mine & theirs).any():
                continue
            if t not in confirmed and (left := mine & ~theirs).any():
                rows.append((t, loser, rle.encode(left), None))
            else:
                kept.append(t)
        if rows:
            with self._store.step(f"share {winner}"):
                self._writer.write(rows, origin="painted")
                for t, _, left_over, _ in rows:
                    if self._prompts(loser, t):
                        self._prompts.remove(loser, t)
                        self._prompts.add(Prompt(loser, t, mask=rle.decode(left_over, self._store.shape[1:])))
        return [row[0] for row in rows], kept

    def delete(self, object_id: int, start: int = 0, stop: int | None = None) -> None:
        """Forget the masks and prompts of an object on a span: it is unseen there."""
        stop = self.check_span(start, stop, object_id)
        with self._store.step(f"delete {object_id}") as db:
            self._touch_span((object_id,), start, stop)
            db.execute(f"DELETE FROM masks WHERE {_SPAN}", (object_id, start, stop))
            self._prompts.give({object_id: None}, start, stop)
            self._store.note()

    def copy(self, object_id: int, frame: int, start: int, stop: int) -> None:
        """Put the mask of one frame on the frames of a span."""
        stop = self.check_span(start, stop, object_id)
        mask = self._masks.encoded(frame, object_id)
        if mask is None:
            raise ProjectError(f"Object {object_id} has no mask on frame {frame} to copy.")
        with self._store.step(f"copy {object_id}"):
            self._writer.write([(t, object_id, mask, None) for t in range(start, stop)], origin="painted")

    def mark_absent(self, object_id: int, start: int = 0, stop: int | None = None) -> None:
        """Say that an object is not there on a span; confirmed. Prompts that said otherwise go."""
        stop = self.check_span(start, stop, object_id)
        absence.mark_absent(self._store, self._prompts, self._writer, object_id, start, stop)

    def confirm(self, objects: Iterable[int], start: int = 0, stop: int | None = None, *, confirmed: bool = True) -> None:
        """Vouch for the masks of some objects on a span, or take it back. Locked objects too: it changes no mask."""
        chosen = tuple(objects)
        locked = {row[0] for row in self._store.rows("SELECT id FROM objects WHERE locked AND NOT removed")}
        stop = self.check_span(start, stop, *(i for i in chosen if i not in locked))
        with self._store.step("confirm" if confirmed else "unconfirm") as db:
            for i in chosen:
                self._touch_span((i,), start, stop)
                db.execute(f"UPDATE masks SET confirmed = ? WHERE {_SPAN}", (int(confirmed), i, start, stop))
            self._store.note()

    def reshape(self, object_id: int, masks: Iterable[tuple[int, rle.Mask]], label: str = "clean up") -> int:
        """Give masks ``(frame, mask)`` that are there another shape, as one step of undo; return how many.

        What else is known of them stays: where they come from, their scores, whether they are confirmed.
        """
        waiting = iter(masks)
        first = next(waiting, None)
        if first is None:
            return 0
        frames = []
        with self._store.step(f"{label} of object {object_id}") as db:
            for frame, mask in chain((first,), waiting):
                self._store.touch("masks", [(frame, object_id)])
                db.execute(
                    "UPDATE masks SET y0 = ?, x0 = ?, height = ?, width = ?, counts = ?, area = ?, y_sum = ?, x_sum = ? "
                    "WHERE frame = ? AND object_id = ?",
                    (*astuple(mask), *rle.sums_of([mask])[0].tolist(), frame, object_id),
                )
                frames.append(frame)
            self._store.note(frames)
        return len(frames)

    def check_span(self, start: int, stop: int | None, *objects: int) -> int:
        """Return where a span ends, after making sure that it can be edited.

        Raises
        ------
        ProjectError
            If the span is not in the video, an object does not exist or is locked, or two are the same.
        """
        frames = self._store.shape[0]
        start, stop = frame_of(start), frames if stop is None else frame_of(stop)
        if not 0 <= start < stop <= frames:
            raise ProjectError(f"The span {start} to {stop} is not in the video of {counted(frames, 'frame')}.")
        known = {row[0]: row for row in self._store.rows("SELECT id, removed, locked, name FROM objects")}
        for i in map(id_of, objects):
            if i not in known or known[i]["removed"]:
                raise ProjectError(f"There is no object {i}.")
            if known[i]["locked"]:
                raise ProjectError(f"{known[i]['name']} is locked: unlock it first.")
        if len(set(objects)) < len(objects):
            raise ProjectError("Choose two different objects.")
        return stop

    def _touch_span(self, objects: tuple[int, ...], start: int, stop: int) -> None:
        self._store.log.remove_hidden_of(objects, start, stop)
        frames = sorted({t for i in objects for t in self._masks.known(i, start, stop)})
        self._store.touch("masks", [(t, i) for t in frames for i in objects])
