"""What is damaged in a project file, and what of it can still be read: row by row, past pages that cannot."""

from __future__ import annotations

import io
import itertools
import json
import sqlite3
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import rle, schema
from napari_sam2s.masklets.page_check import page_problems
from napari_sam2s.masklets.types import Origin
from napari_sam2s.masklets.validation import user_path

BEYOND = 1000  # ids that are tried behind a place that cannot be read
ORIGINS = frozenset(get_args(Origin))
HISTORY = ("steps", *(f"{table}_changes" for table in schema.KEYS))
ROWS = ("objects", "prompts", "runs", "links", "phases", "class_lists")  # whose key is a number, `id`


@dataclass
class Damage:
    """What is wrong with a project file, and what can be read."""

    frames: int
    pages: list[str] = field(default_factory=list)  # what SQLite says of pages and indices
    parts: dict[str, str] = field(default_factory=dict)  # a sentence for what is lost, by what it is of
    names: dict[int, str] = field(default_factory=dict)  # of objects
    masks: int = 0  # that can be read
    lost: dict[int, list[int]] = field(default_factory=dict)  # frames whose masks cannot, by object

    @property
    def whole(self) -> bool:
        """Whether nothing is damaged."""
        return not (self.pages or self.parts or self.lost)

    def lose(self, frame: int, object_id: int) -> None:
        """Note a mask that cannot be read."""
        self.lost.setdefault(object_id, []).append(frame)

    @property
    def lost_text(self) -> str:
        """Which masks cannot be read, in words."""
        return "; ".join(f"{self.names.get(i, f'object {i}')}: {_ranges(frames)}" for i, frames in sorted(self.lost.items()))


def _ranges(frames: Iterable[int], most: int = 8) -> str:
    ordered = sorted(set(frames))
    groups = [[t for _, t in g] for _, g in itertools.groupby(enumerate(ordered), lambda pair: pair[1] - pair[0])]
    words = [f"{g[0]}" if len(g) == 1 else f"{g[0]} to {g[-1]}" for g in groups]
    more = f" and {len(groups) - most} more spans" if len(groups) > most else ""
    return f"frame{'s' * (len(ordered) > 1)} {', '.join(words[:most])}{more}"


class Remains:
    """What can be read of a project file that may be damaged; a context manager.

    Raises
    ------
    ProjectError
        If it is no project, or so damaged that not even its tables are known.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = user_path(path)
        if not self.path.is_file():
            raise ProjectError(f"There is no project {self.path}.")
        self._db = schema.connect(self.path, writable=False, check=False)
        try:
            self.facts = {row["key"]: row["value"] for row in self._db.execute("SELECT * FROM meta")}
            self.shape = tuple(int(n) for n in json.loads(self.facts["shape"]))
            self.hidden = frozenset(row["run"] for row in self._db.execute("SELECT run FROM hidden_runs"))
            self.damage = Damage(self.shape[0])
        except (sqlite3.Error, KeyError, ValueError, TypeError) as error:
            self._db.close()
            raise ProjectError(
                f"{self.path} is damaged ({error}): it does not say which video it belongs to. Restore a copy, or try "
                "SQLite's own `sqlite3 FILE .recover`."
            ) from error

    def __enter__(self) -> Remains:
        return self

    def __exit__(self, *exception: object) -> None:
        self._db.close()

    def check_pages(self) -> None:
        """Note what SQLite finds wrong: all of the file is read."""
        self.damage.pages = page_problems(self._db)

    def rows(self, table: str) -> Iterator[sqlite3.Row]:
        """Yield the rows of a table with an ``id``; what cannot be read is noted."""
        lost = False

        def note(_: object) -> None:
            nonlocal lost
            lost = True

        for row in self._walk(table, ("id",), lambda last: [(n,) for n in range(last[0] + 1, last[0] + BEYOND)], note):
            if _sound(table, row):
                if table == "objects":
                    self.damage.names[row["id"]] = row["name"]
                yield row
            else:
                lost = True
        if lost:
            self.damage.parts[table] = f"some of the {table.replace('_', ' ')} cannot be read."

    def masks(self, *, undone: bool = False) -> Iterator[sqlite3.Row]:
        """Yield the rows of masks that can be read and decoded; the others are noted. ``undone``: those of undone runs too."""
        known = self._known_masks()
        for row in self._walk("masks", ("frame", "object_id"), known, lambda key: self.damage.lose(*key)):
            key = row["frame"], row["object_id"]
            if row["run"] in self.hidden and not undone:
                continue
            if all(isinstance(n, int) for n in key) and not self.sound_mask(row):
                self.damage.lose(*key)
            elif not all(isinstance(n, int) for n in key):
                self.damage.parts["masks"] = "some masks do not say whose they are."
            else:
                self.damage.masks += 1
                yield row

    def sound_mask(self, row: sqlite3.Row) -> bool:
        """Whether a row is a mask of this video, which can be decoded."""
        mask = rle.Mask(*(row[name] for name in ("y0", "x0", "height", "width", "counts", "area")))
        numbers = all(row[name] is None or isinstance(row[name], float) for name in ("iou", "object_score"))
        if not (0 <= row["frame"] < self.shape[0] and rle.fits(mask, (self.shape[1], self.shape[2])) and numbers):
            return False
        if not (isinstance(mask.area, int) and isinstance(mask.counts, bytes) and row["origin"] in ORIGINS):
            return False
        try:
            rle.decode_crop(mask)
        except ProjectError:
            return False
        return True

    def _known_masks(self) -> Callable[[tuple[int, ...]], Iterable[tuple[int, ...]]]:
        """Return a function that lists the masks behind one, by the index, or where that cannot be read, those there may be."""
        try:
            found = self._db.execute("SELECT frame, object_id FROM masks INDEXED BY masks_of_object").fetchall()
            keys = sorted(tuple(row) for row in found if isinstance(row[0], int) and isinstance(row[1], int))
        except sqlite3.Error:
            ids = sorted(self.damage.names) or [1]
            return lambda last: ((t, i) for t in range(last[0], self.shape[0]) for i in ids if (t, i) > last)
        return lambda last: (key for key in keys if key > last)

    def _walk(
        self,
        table: str,
        names: Sequence[str],
        behind: Callable[[tuple[int, ...]], Iterable[tuple[int, ...]]],
        lose: Callable[[tuple[int, ...]], None],
    ) -> Iterator[sqlite3.Row]:
        """Yield rows by their keys; where they cannot be read, go on with the next key that can."""
        keys, marks = ", ".join(names), ", ".join("?" * len(names))
        last: tuple[int, ...] = (-1,) * len(names)
        while True:
            try:
                for row in self._db.execute(f"SELECT * FROM {table} WHERE ({keys}) > ({marks}) ORDER BY {keys}", last):
                    key = tuple(row[name] for name in names)
                    if all(isinstance(n, int) for n in key) and key > last:  # else out of order, as garbage is
                        last = key
                        yield row
                return
            except sqlite3.Error:
                found = None
                for key in behind(last):
                    with suppress(sqlite3.Error):
                        found = self._db.execute(f"SELECT * FROM {table} WHERE ({keys}) = ({marks})", key).fetchone()
                    last = key
                    if found is not None:
                        break
                    lose(key)
                if found is None:
                    return
                yield found

    def history(self) -> bool:
        """Return whether all of the history is sound, and note it if not: half a step would undo to what never was."""
        try:
            if all(not _has_mask(row) or self.sound_mask(row) for table in HISTORY for row in self.all_rows(table)):
                return True
        except (sqlite3.Error, TypeError):
            pass
        self.damage.parts["history"] = "the history of undo cannot be read."
        return False

    def all_rows(self, table: str) -> Iterator[sqlite3.Row]:
        """Yield the rows of a table that is sound."""
        yield from self._db.execute(f"SELECT * FROM {table}")

    def snapshots(self) -> list[sqlite3.Row]:
        """Return the states that runs are resumed from, those that are sound."""
        try:
            found = self._db.execute("SELECT * FROM snapshots").fetchall()
            sound = [row for row in found if _sound_snapshot(row["data"])]
        except sqlite3.Error:
            found, sound = [None], []
        if len(sound) < len(found):
            self.damage.parts["snapshots"] = "a run cannot be resumed from where it was: track on from a prompt."
        return sound


def _sound(table: str, row: sqlite3.Row) -> bool:
    texts = {
        **{"objects": ("name", "colour"), "runs": ("status", "provenance")},
        **{"class_lists": ("names",), "phases": ("name",)},
    }.get(table, ("content",))
    if not all(isinstance(row[name], str) for name in texts):
        return False
    try:
        return all(json.loads(row[name]) is not None for name in texts if name not in ("name", "status"))
    except ValueError:
        return False


def _has_mask(row: sqlite3.Row) -> bool:
    return "counts" in row.keys() and bool(row["present"])  # noqa: SIM118 (a row is no dictionary)


def _sound_snapshot(data: object) -> bool:
    try:
        assert isinstance(data, bytes)
        with closing(zipfile.ZipFile(io.BytesIO(data))) as archive:
            return archive.testzip() is None
    except (AssertionError, zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError):
        return False


def find_damage(path: Path | str, progress: Callable[[int, int], None] | None = None) -> Damage:
    """Read all of a project, every page and every mask, and say what is damaged.

    Parameters
    ----------
    progress
        Called with the frame that is reached, and how many there are.

    Raises
    ------
    ProjectError
        If it is no project, or so damaged that not even its tables are known.
    """
    with Remains(path) as remains:
        remains.check_pages()
        for table in ROWS:
            for _ in remains.rows(table):
                pass
        for row in remains.masks():
            if progress is not None and row["frame"] % 100 == 0:
                progress(row["frame"], remains.shape[0])
        remains.history()
        remains.snapshots()
        return remains.damage
