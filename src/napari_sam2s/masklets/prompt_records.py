"""What the user said about the objects of a project."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

import numpy as np

from napari_sam2s.masklets import rle
from napari_sam2s.masklets.objects import LIVING, Objects
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.types import Prompt
from napari_sam2s.masklets.validation import frame_of, id_of


class Prompts:
    """The prompts of a project; called, it lists them."""

    def __init__(self, store: Store, objects: Objects) -> None:
        self._store, self._objects = store, objects

    def __call__(self, object_id: int | None = None, frame: int | None = None) -> list[Prompt]:
        """Return prompts in the order they were given; those of a removed object are gone with it."""
        wanted = f"(?1 IS NULL OR object_id = ?1) AND (?2 IS NULL OR frame = ?2) AND {LIVING}"
        sql = f"SELECT * FROM prompts WHERE NOT removed AND {wanted} ORDER BY id"
        return [self._prompt(row) for row in self._store.rows(sql, _which(object_id, frame))]

    def ids(self) -> dict[int, str]:
        """Return the ids of each object's prompts, as one text: another text, other prompts."""
        sql = f"SELECT object_id, id FROM prompts WHERE NOT removed AND {LIVING} ORDER BY id"
        found: dict[int, str] = {}
        for object_id, prompt in self._store.rows(sql):
            found[object_id] = f"{found.get(object_id, '')} {prompt}"
        return found

    def _prompt(self, row: sqlite3.Row) -> Prompt:
        content = json.loads(row["content"])
        mask = None if row["mask"] is None else rle.decode(_unpack(row["mask"]), self._store.shape[1:])
        points = tuple(tuple(p) for p in content["points"])
        box = tuple(content["box"]) if content["box"] else None
        return Prompt(row["object_id"], row["frame"], points, tuple(content["labels"]), box, mask)

    def add(self, prompt: Prompt) -> int:
        """Keep a prompt and return its id."""
        self._objects.get(prompt.object_id)
        key = id_of(prompt.object_id), frame_of(prompt.frame)
        content = {"points": prompt.points, "labels": prompt.labels, "box": prompt.box}
        mask = None if prompt.mask is None else _pack(rle.encode(prompt.mask))
        with self._store.step("prompt") as db:
            given = "SELECT max(seq) FROM sqlite_sequence WHERE name = 'prompts' AND typeof(seq) = 'integer'"
            new = 1 + db.execute(f"SELECT max(ifnull(({given}), 0), ifnull(max(id), 0)) FROM prompts").fetchone()[0]
            self._store.touch("prompts", [(new,)])
            db.execute(
                "INSERT INTO prompts (id, object_id, frame, content, mask) VALUES (?, ?, ?, ?, ?)",
                (new, *key, json.dumps(content, default=lambda number: number.item()), mask),
            )
        return int(new)

    def remove(self, object_id: int, frame: int | None = None) -> None:
        """Take back the prompts of an object, on one frame or all."""
        sql = "SELECT id FROM prompts WHERE NOT removed AND object_id = ?1 AND (?2 IS NULL OR frame = ?2)"
        keys = [(row[0],) for row in self._store.rows(sql, _which(object_id, frame))]
        with self._store.step("remove prompts") as db:
            self._store.touch("prompts", keys)
            db.executemany("UPDATE prompts SET removed = 1 WHERE id = ?", keys)

    def give(self, to: Mapping[int, int | None], start: int, stop: int) -> None:
        """Give the prompts of the frames ``start`` to ``stop - 1`` to other objects, or to none; within a step."""
        sql = "SELECT id, object_id FROM prompts WHERE NOT removed AND frame >= ? AND frame < ? ORDER BY id"
        rows = [row for row in self._store.rows(sql, (start, stop)) if row["object_id"] in to]
        self._store.touch("prompts", [(row["id"],) for row in rows])
        for row in rows:
            target = to[row["object_id"]]
            if target is None:
                self._store.db.execute("UPDATE prompts SET removed = 1 WHERE id = ?", (row["id"],))
            else:
                self._store.db.execute("UPDATE prompts SET object_id = ? WHERE id = ?", (target, row["id"]))


def _which(object_id: int | None, frame: int | None) -> tuple[int | None, int | None]:
    return None if object_id is None else id_of(object_id), None if frame is None else frame_of(frame)


def _pack(mask: rle.Mask) -> bytes:
    return np.array([mask.y0, mask.x0, mask.height, mask.width, mask.area], "<i8").tobytes() + mask.counts


def _unpack(data: bytes) -> rle.Mask:
    y0, x0, height, width, area = (int(n) for n in np.frombuffer(data[:40], "<i8"))
    return rle.Mask(y0, x0, height, width, data[40:], area)
