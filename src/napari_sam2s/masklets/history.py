"""Undo and redo, without limit and also after a restart."""

from __future__ import annotations

import json
import sqlite3
from contextlib import AbstractContextManager

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.store import Store
from napari_sam2s.wording import counted

MANY = 20_000  # changed masks: to read all anew then takes less than to note each


class History:
    """The steps of undo of a project."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def steps(self) -> list[tuple[str, bool]]:
        """All steps, oldest first: ``(name, undone)``."""
        return [(row["label"], bool(row["undone"])) for row in self._store.rows("SELECT * FROM steps ORDER BY id")]

    @property
    def last(self) -> int:
        """The number of the latest step that is not undone; 0 if there is none."""
        return int(self._store.rows("SELECT ifnull(max(id), 0) FROM steps WHERE NOT undone")[0][0])

    def step(self, label: str) -> AbstractContextManager[sqlite3.Connection]:
        """Make everything that changes inside one step of undo; a step within a step belongs to the outer one."""
        return self._store.step(label)

    def merge(self, since: int, label: str, *others: str) -> None:
        """Make the steps after number ``since`` that are called ``label`` or as ``others`` one step of undo of that name.

        Such as the dabs of one stroke of a brush. Steps of other names stay what they are: a run may begin meanwhile.
        """
        names = (label, *others)
        with self._store.transaction() as db:
            sql = f"SELECT id FROM steps WHERE id > ? AND NOT undone AND label IN ({', '.join('?' * len(names))}) ORDER BY id"
            steps = [row[0] for row in db.execute(sql, (since, *names))]
            if steps:
                self._store.log.fold(steps, label)

    def undo(self) -> str | None:
        """Undo the last step and return its name, or ``None`` if there is none. A run goes with all its segments.

        Raises :class:`ProjectError` if that step is a run that is still going on, or would bring back what lies behind the
        end of the video.
        """
        with self._store.unchecked_references(), self._store.transaction() as db:
            row = self._store.log.last_done()
            if row is None:
                return None
            if db.execute("SELECT 1 FROM runs WHERE step = ? AND status = 'running'", (row["id"],)).fetchone():
                raise ProjectError("Tracking is still running: pause it, then undo.")
            label = self._toggle(row, undone=True)
            while (before := self._store.log.last_done()) is not None and self._goes_on(before["id"], row["id"]):
                self._toggle(row := before, undone=True)
            return label

    def redo(self) -> str | None:
        """Redo the step that was undone last and return its name, or ``None``."""
        with self._store.unchecked_references(), self._store.transaction():
            row = self._store.log.first_undone()
            if row is None:
                return None
            label = self._toggle(row, undone=False)
            while (then := self._store.log.first_undone()) is not None and self._goes_on(row["id"], then["id"]):
                self._toggle(row := then, undone=False)
            return label

    def _goes_on(self, step: int, following: int) -> bool:
        """Whether the run of a step went on as that of another: whoever tracks both ways has asked for one run."""
        sql = "SELECT provenance FROM runs WHERE step = ?"
        found, next_found = self._store.rows(sql, (step,)), self._store.rows(sql, (following,))
        if not found or not next_found:
            return False
        run, then = json.loads(found[0]["provenance"]), json.loads(next_found[0]["provenance"])
        later = run.get("later") or []
        return bool(later) and [later[0].get("objects"), later[1:]] == [then.get("objects"), then.get("later")]

    def _toggle(self, row: sqlite3.Row, *, undone: bool) -> str:
        store, step, label = self._store, row["id"], str(row["label"])
        behind = "SELECT max({1}) FROM {0}_changes WHERE step = ?1 AND {1} >= ?2 AND present"
        shown = (
            "SELECT max(frame) FROM masks WHERE frame >= ?2 AND run IN "
            "(SELECT h.run FROM hidden_runs h JOIN runs r ON r.id = h.run WHERE r.step = ?1)"
        )
        tables = {"masks": "frame", "prompts": "frame", "links": "frame", "phases": "max(start, ifnull(stop, 0) - 1)"}
        for sql in (*(behind.format(*pair) for pair in tables.items()), shown):  # of a video that was cut since
            last = store.rows(sql, (step, store.shape[0]))[0][0]
            if last is not None:
                raise ProjectError(
                    f"To {'undo' if undone else 'redo'} {label!r} would bring back data of frame {last}, but the "
                    f"video has {counted(store.shape[0], 'frame')} now. Relink the project to the whole recording first."
                )
        changed = store.log.masks_of(step, MANY)
        if changed is None:
            store.forget()
        else:
            store.touched(changed)
        store.log.swap(step)
        store.log.mark(step, undone)
        store.note()
        return label
