"""What each step of the history changed, kept in the project file: the rows as they were before it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence

from napari_sam2s.masklets.schema import COLUMNS, KEYS


class ChangeLog:
    """The steps of a project. All methods run inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def begin(self, label: str) -> int:
        """Start a step and return its id; what was undone before can no longer be redone."""
        undone = [row[0] for row in self._connection.execute("SELECT id FROM steps WHERE undone")]
        for step in undone:
            self.drop(step)
        cursor = self._connection.execute("INSERT INTO steps (label, made) VALUES (?, ?)", (label, time.time()))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def drop(self, step: int) -> None:
        """Forget a step without undoing it."""
        # Its number may be given again, which must not make a later step this run's.
        self._connection.execute("UPDATE runs SET step = NULL WHERE step = ?", (step,))
        for table in KEYS:
            self._connection.execute(f"DELETE FROM {table}_changes WHERE step = ?", (step,))
        self._connection.execute("DELETE FROM steps WHERE id = ?", (step,))

    def fold(self, steps: Sequence[int], label: str) -> None:
        """Make the last of several steps, which are ascending, all of them: of what they changed, the oldest version counts.

        Where a step between them, which is not one of them, changed the same row, the older version goes to that one: undone
        after the last, it brings back what was there before all of them.
        """
        *earlier, last = steps
        for table in KEYS:
            keys, columns = ", ".join(KEYS[table]), ", ".join(COLUMNS[table])
            same = " AND ".join(f"later.{name} = c.{name}" for name in KEYS[table])
            following = f"SELECT min(step) FROM {table}_changes later WHERE {same} AND later.step > ?1 AND later.step <= ?2"
            sql = (
                f"INSERT OR REPLACE INTO {table}_changes (step, {keys}, present, {columns}) "
                f"SELECT ifnull(({following}), ?2), {keys}, present, {columns} FROM {table}_changes c WHERE step = ?1"
            )
            for step in earlier:
                self._connection.execute(sql, (step, last))
        for step in earlier:
            self.drop(step)
        self._connection.execute("UPDATE steps SET label = ? WHERE id = ?", (label, last))

    def touch(self, step: int, table: str, keys: Iterable[Sequence[int]]) -> None:
        """Keep the version that rows have before a step's first change of them."""
        names, columns = KEYS[table], COLUMNS[table]
        numbered = [f"?{n + 2}" for n in range(len(names))]
        matches = " AND ".join(f"t.{name} = {number}" for name, number in zip(names, numbered, strict=True))
        self._connection.executemany(
            f"INSERT OR IGNORE INTO {table}_changes (step, {', '.join(names)}, present, {', '.join(columns)}) "
            f"SELECT ?1, {', '.join(numbered)}, t.{names[0]} IS NOT NULL, {', '.join(f't.{c}' for c in columns)} "
            f"FROM (SELECT 1) LEFT JOIN {table} t ON {matches}",
            ((step, *key) for key in keys),
        )

    def masks_of(self, step: int) -> list[tuple[int, int]]:
        """Return the ``(frame, object id)`` of the masks that a step changed."""
        sql = "SELECT frame, object_id FROM masks_changes WHERE step = ?"
        return [(row[0], row[1]) for row in self._connection.execute(sql, (step,))]

    def swap(self, step: int) -> None:
        """Exchange the two versions of every row of a step: undo it if it is done, redo it if it is undone."""
        self._connection.execute("PRAGMA defer_foreign_keys = ON")
        for table in KEYS:
            self._swap_table(step, table)

    def _swap_table(self, step: int, table: str) -> None:
        names, columns = KEYS[table], COLUMNS[table]
        run = self._connection.execute
        keys, values = ", ".join(names), ", ".join(columns)
        join = " AND ".join(f"t.{n} = c.{n}" for n in names)
        run("DROP TABLE IF EXISTS temp.swapped")
        run(
            f"CREATE TEMP TABLE swapped AS SELECT {', '.join(f'c.{n}' for n in names)}, t.{names[0]} IS NOT NULL AS present, "
            f"{', '.join(f't.{c}' for c in columns)} FROM {table}_changes c LEFT JOIN {table} t ON {join} WHERE c.step = ?",
            (step,),
        )
        run(f"DELETE FROM {table} WHERE ({keys}) IN (SELECT {keys} FROM {table}_changes WHERE step = ?)", (step,))
        run(
            f"INSERT INTO {table} ({keys}, {values}) SELECT {keys}, {values} FROM {table}_changes WHERE step = ? AND present",
            (step,),
        )
        run(f"DELETE FROM {table}_changes WHERE step = ?", (step,))
        run(
            f"INSERT INTO {table}_changes (step, {keys}, present, {values}) SELECT ?, {keys}, present, {values} FROM swapped",
            (step,),
        )
        run("DROP TABLE swapped")

    def last_done(self) -> sqlite3.Row | None:
        """Return the step that undo would undo."""
        return self._connection.execute("SELECT * FROM steps WHERE NOT undone ORDER BY id DESC LIMIT 1").fetchone()

    def first_undone(self) -> sqlite3.Row | None:
        """Return the step that redo would redo."""
        return self._connection.execute("SELECT * FROM steps WHERE undone ORDER BY id LIMIT 1").fetchone()

    def mark(self, step: int, undone: bool) -> None:
        """Say whether a step is undone."""
        self._connection.execute("UPDATE steps SET undone = ? WHERE id = ?", (undone, step))
