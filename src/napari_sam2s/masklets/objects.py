"""The objects of a project: their names, classes, colours, order, and whether they are locked or hidden."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.colours import COLOURS, unlike
from napari_sam2s.masklets.live_sequence import LiveSequence
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.types import Object
from napari_sam2s.masklets.validation import colour_of, id_of, name_of, quoted, read_colour, shown_name, whole_number, yes_or_no

LIVING = "object_id IN (SELECT id FROM objects WHERE NOT removed)"  # in SQL: of objects that were not removed


class Objects(LiveSequence[Object]):
    """The objects, lowest order first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> tuple[Object, ...]:
        """Return the objects, lowest order first."""
        return self._read("NOT removed")

    def _read(self, which: str, keys: Sequence[object] = ()) -> tuple[Object, ...]:
        return tuple(
            Object(
                r["id"],
                self._kept_text(r["name"]),
                r["class_name"] and self._kept_text(r["class_name"]),
                _kept_colour(r["id"], r["colour"]),
                r["sort"],
                bool(r["locked"]),
                bool(r["visible"]),
                r["parent"],
            )
            for r in self._store.rows(f"SELECT * FROM objects WHERE {which} ORDER BY sort, id", keys)
        )

    def _kept_text(self, text: object) -> str:
        if not isinstance(text, str):
            name = self._store.path.name
            raise ProjectError(
                f"{name} is damaged (a name of an object): `napari-sam2s doctor {quoted(name)}` says what can be "
                "saved, and how."
            )
        return shown_name(text)

    @property
    def largest_id(self) -> int:
        """The largest id ever given."""
        given = "SELECT max(seq) FROM sqlite_sequence WHERE name = 'objects' AND typeof(seq) = 'integer'"
        return int(self._store.rows(f"SELECT max(ifnull(({given}), 0), ifnull(max(id), 0)) FROM objects")[0][0])

    def get(self, object_id: int) -> Object:
        """Return an object by its id. Raises :class:`ProjectError` if there is none, or it was removed."""
        for one in self._read("NOT removed AND id = ?", (id_of(object_id),)):
            return one
        raise ProjectError(f"There is no object {object_id}; there are {[o.id for o in self]}.")

    def check(self, *object_ids: int, removed_too: bool = False) -> None:
        """Refuse objects that the project does not have, or (``removed_too``) never had.

        Raises :class:`ProjectError` (naming the objects that there are).
        """
        rows = self._store.rows("SELECT id, removed FROM objects ORDER BY id")
        missing = set(map(id_of, object_ids)) - {row["id"] for row in rows if removed_too or not row["removed"]}
        if missing:
            known = [row["id"] for row in rows if not row["removed"]]
            there = f"it has {known}" if known else "it has none"
            raise ProjectError(f"The project has no object {min(missing)} ({there}): add_object makes one.")

    def add(self, name: str | None = None, class_name: str | None = None, colour: tuple[int, int, int] | None = None) -> Object:
        """Add an object; its id is new for ever."""
        name, class_name = (None if text is None or text == "" else name_of(text) for text in (name, class_name))
        own = None if colour is None else colour_of(colour)
        with self._store.step("add object") as db:
            new = self.largest_id + 1
            chosen = own or unlike([o.colour for o in self.read()])
            self._store.touch("objects", [(new,)])
            db.execute(
                "INSERT INTO objects (id, name, class_name, colour, sort) VALUES (?, ?, ?, ?, ?)",
                (new, name or f"object {new}", class_name, json.dumps(list(chosen)), new),
            )
            self._store.note()
        return self.get(new)

    def rename(self, object_id: int, name: str) -> None:
        """Give an object another name."""
        self._update(object_id, "rename", name=name_of(name))

    def set_class(self, object_id: int, class_name: str | None) -> None:
        """Say what an object is."""
        self._update(object_id, "set class", class_name=name_of(class_name) if class_name else None)

    def set_colour(self, object_id: int, colour: tuple[int, int, int]) -> None:
        """Give an object a colour, RGB from 0 to 255."""
        self._update(object_id, "set colour", colour=json.dumps(colour_of(colour)))

    def set_parent(self, object_id: int, parent: int | None) -> None:
        """Say which object divided into this one and others; ``None``: none that is known.

        Raises :class:`ProjectError` if there is no such object, or it would descend from itself.
        """
        if parent is not None:
            parent = self.get(parent).id
            ancestor: int | None = parent
            while ancestor is not None:
                if ancestor == id_of(object_id):
                    raise ProjectError(f"Object {object_id} cannot descend from object {parent}, which descends from it.")
                above = self._read("NOT removed AND id = ?", (ancestor,))
                ancestor = above[0].parent if above else None
        self._update(object_id, "set parent", parent=parent)

    def set_flags(self, object_id: int, *, locked: bool | None = None, visible: bool | None = None) -> None:
        """Lock or hide an object."""
        given = {k: v for k, v in {"locked": locked, "visible": visible}.items() if v is not None}
        if given:
            self._update(object_id, "set flags", **{k: int(yes_or_no(v, f"{k}=")) for k, v in given.items()})

    def reorder(self, object_ids: Sequence[int]) -> None:
        """Put the objects in this order; the last one covers the others."""
        bad = ProjectError(f"An order names every object once, by its id; got {object_ids!r}.")
        try:
            ids = [whole_number(i, bad) for i in object_ids]
        except TypeError:
            raise bad from None
        if sorted(ids) != sorted(o.id for o in self):
            raise bad
        with self._store.step("reorder"):
            for place, i in enumerate(ids):
                self._update(i, "reorder", sort=place)

    def remove(self, object_id: int) -> None:
        """Remove an object; undo brings it and its masks back."""
        self._update(object_id, "remove object", removed=1)

    def _update(self, object_id: int, label: str, **values: Any) -> None:
        self.get(object_id)
        with self._store.step(label) as db:
            self._store.touch("objects", [(object_id,)])
            columns = ", ".join(f"{name} = ?" for name in values)
            db.execute(f"UPDATE objects SET {columns} WHERE id = ?", (*values.values(), object_id))
            self._store.note()


def _kept_colour(object_id: int, text: str) -> tuple[int, int, int]:
    """Return the colour that a file holds; earlier versions kept whatever they were given."""
    try:
        kept = read_colour(json.loads(text))
    except ValueError:
        kept = None
    return kept or COLOURS[(object_id - 1) % len(COLOURS)]
