"""What is damaged in a project file, and what of it can still be read: row by row, past pages that cannot."""

from __future__ import annotations

import io
import itertools
import json
import sqlite3
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import rle, schema
from napari_sam2s.masklets.colours import COLOURS
from napari_sam2s.masklets.mask_statistics import LARGEST_SCORE
from napari_sam2s.masklets.page_check import page_problems
from napari_sam2s.masklets.row_check import lost_parents, unsound_column, unsound_fact
from napari_sam2s.masklets.types import Origin
from napari_sam2s.masklets.validation import user_path
from napari_sam2s.wording import frames_in_words

SCORES = ("iou", "object_score")
BEYOND = 1000  # ids that are tried behind a place that cannot be read
ORIGINS = frozenset(get_args(Origin))
HISTORY = ("steps", *(f"{table}_changes" for table in schema.KEYS))
_BY_DEFAULT = {"class_name": None, "locked": 0, "visible": 1, "removed": 0, "parent": None}  # of an object
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
    def sentence(self) -> str:
        """What is damaged, in words; of pages only where it is not known what lies on them."""
        masks = [f"masks cannot be read ({self.lost_text})."] if self.lost else []
        named = [*masks, *self.parts.values()]
        return " ".join(named or [f"{' '.join(page.split())}." for page in self.pages[:1]])

    @property
    def lost_text(self) -> str:
        """Which masks cannot be read, in words."""
        return "; ".join(f"{self.names.get(i, f'object {i}')}: {_named(frames)}" for i, frames in sorted(self.lost.items()))


def _named(frames: Iterable[int]) -> str:
    known = set(frames)
    return f"frame{'s' * (len(known) > 1)} {frames_in_words(known, most=8)}"


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
            if (lacks := schema.wrong_tables(self._db, lacks=True)) is not None:
                raise ValueError(lacks)
            self.facts = {row["key"]: row["value"] for row in self._db.execute("SELECT * FROM meta")}
            frames, height, width = (int(n) for n in json.loads(self.facts["shape"]))
            self.shape = frames, height, width
            self.hidden = frozenset(row["run"] for row in self._db.execute("SELECT run FROM hidden_runs"))
            self.damage = Damage(self.shape[0])
            if (wrong := unsound_fact(self.facts)) is not None:
                self.damage.parts["video"] = f"the facts of the video have a {wrong}, which is impossible."
            if (wrong := schema.wrong_tables(self._db)) is not None:
                self.damage.parts["tables"] = f"{wrong}."
            self._forget_wrongly_hidden()
        except (sqlite3.Error, KeyError, ValueError, TypeError) as error:
            self._db.close()
            raise ProjectError(
                f"{self.path} is damaged ({error}): it cannot be read without that. Restore a copy, or try "
                "SQLite's own `sqlite3 FILE .recover`."
            ) from error

    def __enter__(self) -> Remains:
        return self

    def __exit__(self, *exception: object) -> None:
        self._db.close()

    def _forget_wrongly_hidden(self) -> None:
        """Show masks that are hidden as of an undone run, and the run is not undone."""
        undone = "SELECT r.id FROM runs r JOIN steps s ON s.id = r.step WHERE s.undone"
        with suppress(sqlite3.Error):
            sound = self.hidden & {row["id"] for row in self._db.execute(undone)}
            if sound != self.hidden:
                self.hidden = sound
                self.damage.parts["undone runs"] = "masks of a run are hidden, but the run was not undone."

    def check_pages(self) -> None:
        """Note what SQLite finds wrong: all of the file is read."""
        self.damage.pages = page_problems(self._db)

    def rows(self, table: str) -> Iterator[sqlite3.Row | dict[str, Any]]:
        """Yield the rows of a table with an ``id``; what cannot be read is noted."""
        lost = False

        def note(_: object) -> None:
            nonlocal lost
            lost = True

        parents = {}
        for row in self._walk(table, ("id",), lambda last: [(n,) for n in range(last[0] + 1, last[0] + BEYOND)], note):
            known = self._mended(table, row)
            if known is not None and table == "objects":
                self.damage.names[row["id"]], parents[row["id"]] = known["name"], known["parent"]
            elif known is not None and not self._of_an_object(known):
                self.damage.parts[table] = f"some of the {table} belong to objects that do not exist."
            if known is not None:
                yield known
            lost |= known is not row
        if lost_parents(parents):
            self.damage.parts["parents"] = "some objects descend from objects that do not exist, or from themselves."
        with suppress(sqlite3.Error):
            lost |= self._db.execute(f"SELECT 1 FROM {table} WHERE id < 0").fetchone() is not None
        if lost:
            self.damage.parts[table] = f"some of the {table.replace('_', ' ')} cannot be read."

    def _of_an_object(self, row: sqlite3.Row | Mapping[str, Any]) -> bool:
        ids = [row[name] for name in ("object_id", "same_as") if name in row.keys() and row[name] is not None]  # noqa: SIM118
        return not self.damage.names or all(i in self.damage.names for i in ids)

    def _mended(self, table: str, row: sqlite3.Row) -> sqlite3.Row | dict[str, Any] | None:
        """Return a row that is sound, with what an object has by default in place of what is not, or ``None``."""
        wrong = unsound_column(table, row)
        if wrong is None and table in ("prompts", "links") and not 0 <= row["frame"] < self.shape[0]:
            wrong = "frame"
        if table != "objects" or wrong in ("id", "name"):
            return row if wrong is None else None
        sound, usual = dict(row), {**_BY_DEFAULT, "sort": row["id"]}
        while (wrong := unsound_column(table, sound)) is not None:
            sound[wrong] = usual[wrong]
        if not _is_json(sound["colour"]):
            sound["colour"] = json.dumps(COLOURS[(row["id"] - 1) % len(COLOURS)])
        return row if sound == dict(row) else sound

    def masks(self, *, undone: bool = False) -> Iterator[sqlite3.Row]:
        """Yield the rows of masks that can be read and decoded; the others are noted. ``undone``: those of undone runs too."""
        known = self._known_masks()
        with suppress(sqlite3.Error):
            for row in self._db.execute("SELECT frame, object_id FROM masks WHERE frame < 0 AND typeof(object_id) = 'integer'"):
                self.damage.lose(*row)
        for row in self._walk("masks", ("frame", "object_id"), known, lambda key: self.damage.lose(*key)):
            key = row["frame"], row["object_id"]
            if row["run"] in self.hidden and not undone:
                continue
            whose = all(isinstance(n, int) for n in key) and row["object_id"] > 0
            if whose and not self.sound_mask(row):
                self.damage.lose(*key)
            elif not whose:
                self.damage.parts["masks"] = "some masks do not name their object."
            else:
                if self.damage.names and row["object_id"] not in self.damage.names and row["run"] not in self.hidden:
                    self.damage.parts["masks"] = "some masks belong to objects that do not exist."
                self.damage.masks += 1
                yield row

    def check_centroids(self, rows: Iterable[sqlite3.Row]) -> None:
        """Note it if what is kept of the centroids of sound masks is not what their pixels say."""
        waiting = iter(rows)
        while part := list(itertools.islice(waiting, rle.PART)):
            if not _placed(part):
                self.damage.parts["centroids"] = "some centroids do not match their masks."

    def sound_mask(self, row: sqlite3.Row) -> bool:
        """Whether a row is a mask of this video, which can be decoded."""
        mask = _mask_of(row)
        numbers = all(row[n] is None or (isinstance(row[n], float) and abs(row[n]) <= LARGEST_SCORE) for n in SCORES)
        if not (0 <= row["frame"] < self.shape[0] and rle.fits(mask, (self.shape[1], self.shape[2])) and numbers):
            return False
        if not (isinstance(mask.area, int) and isinstance(mask.counts, bytes) and row["confirmed"] in (0, 1)):
            return False
        if row["origin"] not in ORIGINS or not isinstance(row["class_scores"], bytes | None):
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
                    else:
                        self.damage.parts[table] = f"some {table} do not name their object."
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
            if all(self._sound_change(table, row) for table in HISTORY for row in self.all_rows(table)):
                return True
        except (sqlite3.Error, TypeError):
            pass
        self.damage.parts["history"] = "the history of undo cannot be read."
        return False

    def _sound_change(self, table: str, row: sqlite3.Row) -> bool:
        base = table.removesuffix("_changes")
        if base == "steps" or not row["present"]:
            return base != "steps" or unsound_column(base, row) is None
        return self.sound_mask(row) and _placed([row]) if base == "masks" else unsound_column(base, row) is None

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
            self.damage.parts["snapshots"] = "a run cannot be resumed: track again from a prompt."
        return sound


def _mask_of(row: sqlite3.Row) -> rle.Mask:
    return rle.Mask(*(row[name] for name in ("y0", "x0", "height", "width", "counts", "area")))


def _placed(rows: Sequence[sqlite3.Row]) -> bool:
    kept = [(row["y_sum"], row["x_sum"]) for row in rows]
    sums = rle.sums_of([_mask_of(row) for row in rows]).tolist()
    return all(pair in ((None, None), (y, x)) for pair, (y, x) in zip(kept, sums, strict=True))


def _is_json(text: object) -> bool:
    try:
        return isinstance(text, str) and json.loads(text) is not None
    except ValueError:
        return False


def _sound_snapshot(data: object) -> bool:
    try:
        assert isinstance(data, bytes)
        with closing(zipfile.ZipFile(io.BytesIO(data))) as archive:
            return archive.testzip() is None
    except (AssertionError, zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError):
        return False


def find_damage(path: Path | str) -> Damage:
    """Read all of a project, every page and every mask, and say what is damaged.

    Raises :class:`ProjectError` if it is no project, or so damaged that not even its tables are known.
    """
    with Remains(path) as remains:
        remains.check_pages()
        for rows in map(remains.rows, ROWS):
            for _ in rows:
                pass
        remains.check_centroids(remains.masks())
        remains.history()
        remains.snapshots()
        return remains.damage
