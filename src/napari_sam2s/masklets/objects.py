"""The objects of a project, and what the user said about them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.mask_queries import LIVING
from napari_sam2s.masklets.mask_writer import MaskStore
from napari_sam2s.masklets.types import Object, Prompt, Scores
from napari_sam2s.masklets.validation import frame_of, id_of

# Okabe and Ito's colours, told apart by most colour-blind people, then more of the same kind.
COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (148, 103, 189),
    (140, 200, 75),
    (255, 127, 140),
)


class ObjectStore(MaskStore):
    """Objects and prompts."""

    @property
    def objects(self) -> tuple[Object, ...]:
        """The objects, lowest order first."""
        rows = self._rows("SELECT * FROM objects WHERE NOT removed ORDER BY sort, id")
        return tuple(
            Object(
                r["id"],
                r["name"],
                r["class_name"],
                tuple(json.loads(r["colour"])),
                r["sort"],
                bool(r["locked"]),
                bool(r["visible"]),
            )
            for r in rows
        )

    @property
    def largest_id(self) -> int:
        """The largest id ever given."""
        rows = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'objects'")
        return rows[0][0] if rows else 0

    def object(self, object_id: int) -> Object:
        """Return an object."""
        wanted = id_of(object_id)
        for known in self.objects:
            if known.id == wanted:
                return known
        raise ProjectError(f"There is no object {object_id}; there are {[o.id for o in self.objects]}.")

    def add_object(
        self, name: str | None = None, class_name: str | None = None, colour: tuple[int, int, int] | None = None
    ) -> Object:
        """Add an object; its id is new for ever."""
        with self.step("add object"):
            new = self.largest_id + 1
            chosen = colour if colour is not None else COLOURS[(new - 1) % len(COLOURS)]
            self._touch("objects", [(new,)])
            self._db.execute(
                "INSERT INTO objects (id, name, class_name, colour, sort) VALUES (?, ?, ?, ?, ?)",
                (new, name or f"object {new}", class_name, json.dumps(list(chosen)), new),
            )
            self._note(None)
        return self.object(new)

    def rename(self, object_id: int, name: str) -> None:
        """Give an object another name."""
        if not name.strip():
            raise ProjectError("A name has at least one character.")
        self._update(object_id, "rename", name=name.strip())

    def set_class(self, object_id: int, class_name: str | None) -> None:
        """Say what an object is."""
        self._update(object_id, "set class", class_name=class_name or None)

    def set_colour(self, object_id: int, colour: tuple[int, int, int]) -> None:
        """Give an object a colour, RGB from 0 to 255."""
        self._update(object_id, "set colour", colour=json.dumps([int(c) for c in colour]))

    def set_flags(self, object_id: int, *, locked: bool | None = None, visible: bool | None = None) -> None:
        """Lock or hide an object."""
        flags = {"locked": locked, "visible": visible}
        self._update(object_id, "set flags", **{k: int(v) for k, v in flags.items() if v is not None})

    def reorder(self, object_ids: Sequence[int]) -> None:
        """Put the objects in this order; the last one covers the others."""
        if sorted(object_ids) != sorted(o.id for o in self.objects):
            raise ProjectError("An order names every object once.")
        with self.step("reorder"):
            for place, i in enumerate(object_ids):
                self._update(i, "reorder", sort=place)

    def remove_object(self, object_id: int) -> None:
        """Remove an object; undo brings it and its masks back."""
        self._update(object_id, "remove object", removed=1)

    def _update(self, object_id: int, label: str, **values: Any) -> None:
        self.object(object_id)
        with self.step(label):
            self._touch("objects", [(object_id,)])
            columns = ", ".join(f"{name} = ?" for name in values)
            self._db.execute(f"UPDATE objects SET {columns} WHERE id = ?", (*values.values(), object_id))
            self._note(None)

    # Prompts

    def add_prompt(self, prompt: Prompt) -> int:
        """Keep a prompt and return its id."""
        self.object(prompt.object_id)
        key = id_of(prompt.object_id), frame_of(prompt.frame)
        content = {"points": prompt.points, "labels": prompt.labels, "box": prompt.box}
        mask = None if prompt.mask is None else _pack(rle.encode(prompt.mask))
        with self.step("prompt"):
            new = self._db.execute("SELECT ifnull(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'prompts'").fetchone()[0]
            self._touch("prompts", [(new,)])
            self._db.execute(
                "INSERT INTO prompts (id, object_id, frame, content, mask) VALUES (?, ?, ?, ?, ?)",
                (new, *key, json.dumps(content, default=lambda number: number.item()), mask),
            )
        return int(new)

    def check_object(self, object_id: int) -> None:
        """Refuse prompts of an object that the project does not have.

        Raises
        ------
        ProjectError
            Naming the objects that there are.
        """
        if id_of(object_id) not in [o.id for o in self.objects]:
            raise ProjectError(self._no_object(object_id))

    def keep_prompt(self, prompt: Prompt, mask: NDArray[np.bool_], scores: Scores | None, *, reset: bool = False) -> None:
        """Keep a prompt and the mask that answers it, as one step of undo.

        With ``reset`` it takes the place of what was said of the object on that frame before, else it adds to it.
        """
        with self.step("prompt"):
            if reset:
                self.remove_prompts(prompt.object_id, prompt.frame)
            self.add_prompt(prompt)
            self.write_masks([(prompt.frame, prompt.object_id, mask, scores)], origin="prompted")

    def prompts(self, object_id: int | None = None, frame: int | None = None) -> list[Prompt]:
        """Return prompts in the order they were given; those of a removed object are gone with it."""
        wanted = f"(?1 IS NULL OR object_id = ?1) AND (?2 IS NULL OR frame = ?2) AND {LIVING}"
        rows = self._rows(f"SELECT * FROM prompts WHERE NOT removed AND {wanted} ORDER BY id", _which(object_id, frame))
        return [self._prompt(row) for row in rows]

    def _prompt(self, row: sqlite3.Row) -> Prompt:
        content = json.loads(row["content"])
        mask = None if row["mask"] is None else rle.decode(_unpack(row["mask"]), self.shape[1:])
        points = tuple(tuple(p) for p in content["points"])
        box = tuple(content["box"]) if content["box"] else None
        return Prompt(row["object_id"], row["frame"], points, tuple(content["labels"]), box, mask)

    def remove_prompts(self, object_id: int, frame: int | None = None) -> None:
        """Take back the prompts of an object, on one frame or all."""
        sql = "SELECT id FROM prompts WHERE NOT removed AND object_id = ?1 AND (?2 IS NULL OR frame = ?2)"
        keys = [(row[0],) for row in self._rows(sql, _which(object_id, frame))]
        with self.step("remove prompts"):
            self._touch("prompts", keys)
            self._db.executemany("UPDATE prompts SET removed = 1 WHERE id = ?", keys)


def _which(object_id: int | None, frame: int | None) -> tuple[int | None, int | None]:
    return None if object_id is None else id_of(object_id), None if frame is None else frame_of(frame)


def _pack(mask: rle.Mask) -> bytes:
    return np.array([mask.y0, mask.x0, mask.height, mask.width, mask.area], "<i8").tobytes() + mask.counts


def _unpack(data: bytes) -> rle.Mask:
    y0, x0, height, width, area = (int(n) for n in np.frombuffer(data[:40], "<i8"))
    return rle.Mask(y0, x0, height, width, data[40:], area)
