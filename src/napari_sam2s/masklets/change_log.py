"""What each step of the history changed, kept in the project file: the rows as they were before it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence

from napari_sam2s.masklets.schema import COLUMNS, KEYS

ROWS_AT_ONCE = 1000  # that are swapped: whole versions of the masks of hours of video do not fit into memory
REMOVED_AT_ONCE = 2000  # masks of undone runs that go with every new step: some 10 ms


class ChangeLog:
    """The steps of a project. All methods run inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def begin(self, label: str) -> int:
        """Start a step and return its id; what was undone before can no longer be redone."""
        undone = [row[0] for row in self._connection.execute("SELECT id FROM steps WHERE undone")]
        for step in undone:
            self.drop(step)
        self._remove_hidden()
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
        source = table
        if table == "masks" and self.hides:
            source, keys = "known_masks", list(keys)
            hidden = "DELETE FROM masks WHERE frame = ? AND object_id = ? AND run IN (SELECT run FROM hidden_runs)"
            self._connection.executemany(hidden, keys)  # else it would be in the way of what comes
        matches = " AND ".join(f"t.{name} = {number}" for name, number in zip(names, numbered, strict=True))
        self._connection.executemany(
            f"INSERT OR IGNORE INTO {table}_changes (step, {', '.join(names)}, present, {', '.join(columns)}) "
            f"SELECT ?1, {', '.join(numbered)}, t.{names[0]} IS NOT NULL, {', '.join(f't.{c}' for c in columns)} "
            f"FROM (SELECT 1) LEFT JOIN {source} t ON {matches}",
            ((step, *key) for key in keys),
        )

    @property
    def hides(self) -> bool:
        """Whether there are masks of undone runs that are still in their table, see :mod:`schema`."""
        return self._connection.execute("SELECT 1 FROM hidden_runs LIMIT 1").fetchone() is not None

    def masks_of(self, step: int, most: int) -> list[tuple[int, int]] | None:
        """Return the ``(frame, object id)`` of the masks that a step changed; ``None`` if they are more than ``most``."""
        sql = "SELECT frame, object_id FROM masks_changes WHERE step = ? LIMIT ?"
        rows = self._connection.execute(sql, (step, most + 1)).fetchall()
        return [(row[0], row[1]) for row in rows] if len(rows) <= most else None

    def swap(self, step: int) -> None:
        """Exchange the two versions of every row of a step: undo it if it is done, redo it if it is undone.

        The new masks of a run, of which the other version is none, are hidden and shown again where they are.
        """
        self._connection.execute("PRAGMA defer_foreign_keys = ON")
        if self.hides:
            self._make_way(step)
        for table in KEYS:
            if table != "masks" or not self._hide_or_show(step):
                self._swap_table(step, table)

    def _hide_or_show(self, step: int) -> bool:
        """Swap the masks of a run's step, if they are all its own; return whether they were."""
        row = self._connection.execute("SELECT id FROM runs WHERE step = ?", (step,)).fetchone()
        if row is None:
            return False
        hidden = "SELECT 1 FROM hidden_runs WHERE run = ?"
        if self._connection.execute(hidden, (row[0],)).fetchone() is not None:
            self._connection.execute("DELETE FROM hidden_runs WHERE run = ?", (row[0],))
        else:
            # The run's masks are on the keys that its step changed, if no other hand was at them in between.
            own = "SELECT (SELECT count(*) FROM masks WHERE run = ?) = (SELECT count(*) FROM masks_changes WHERE step = ?)"
            if not self._connection.execute(own, (row[0], step)).fetchone()[0]:
                return False
            self._connection.execute("INSERT INTO hidden_runs VALUES (?)", (row[0],))
        self._swap_table(step, "masks", "present")
        return True

    def _make_way(self, step: int) -> None:
        """Move, or remove, the masks of undone runs where another step's come back."""
        also = "EXISTS (SELECT 1 FROM masks_changes o WHERE o.step = {} AND o.frame = {}.frame AND o.object_id = {}.object_id)"
        sql = "SELECT h.run, r.step FROM hidden_runs h JOIN runs r ON r.id = h.run WHERE r.step IS NOT ?"
        for run, of_run in self._connection.execute(sql, (step,)).fetchall():
            if of_run is None:
                where = f"run = ? AND {also.format(int(step), 'masks', 'masks')}"
                self._connection.execute(f"DELETE FROM masks WHERE {where}", (run,))
            else:
                self._swap_table(of_run, "masks", f"NOT present AND {also.format(int(step), 'c', 'c')}")

    def remove_hidden_of(self, objects: Iterable[int], start: int, stop: int) -> None:
        """Remove the masks of undone runs from a span that is about to be edited, inside a step."""
        if self.hides:
            gone = "DELETE FROM masks WHERE object_id = ? AND frame >= ? AND frame < ? AND run IN (SELECT run FROM hidden_runs)"
            self._connection.executemany(gone, [(i, start, stop) for i in objects])

    def move_hidden(self) -> None:
        """Move the masks of undone runs to their steps, as those of other steps: something is written where they may be."""
        sql = "SELECT h.run, r.step FROM hidden_runs h JOIN runs r ON r.id = h.run WHERE r.step IS NOT NULL"
        for run, step in self._connection.execute(sql).fetchall():
            self._swap_table(step, "masks", "NOT present")
            self._connection.execute("DELETE FROM hidden_runs WHERE run = ?", (run,))

    def _remove_hidden(self) -> None:
        """Remove some of the masks of runs that were undone and can no longer be redone."""
        gone = "SELECT h.run FROM hidden_runs h JOIN runs r ON r.id = h.run WHERE r.step IS NULL ORDER BY h.run LIMIT 1"
        row = self._connection.execute(gone).fetchone()
        if row is None:
            return
        some = "SELECT frame, object_id FROM masks INDEXED BY masks_of_run WHERE run = ? LIMIT ?"
        sql = f"DELETE FROM masks WHERE (frame, object_id) IN ({some})"
        if self._connection.execute(sql, (row[0], REMOVED_AT_ONCE)).rowcount < REMOVED_AT_ONCE:
            self._connection.execute("DELETE FROM hidden_runs WHERE run = ?", (row[0],))

    def _swap_table(self, step: int, table: str, which: str = "1") -> None:
        """Exchange the two versions of those rows of a step for which ``which`` is true of its own version."""
        names = KEYS[table]
        keys, lowest = ", ".join(names), (-1,) * len(names)
        sql = (
            f"SELECT {keys} FROM {table}_changes c WHERE step = ? AND ({keys}) > ({', '.join('?' * len(names))}) AND {which} "
            f"ORDER BY {keys} LIMIT {ROWS_AT_ONCE}"
        )
        last = lowest
        while some := self._connection.execute(sql, (step, *last)).fetchall():
            first, last = tuple(some[0]), tuple(some[-1])
            self._swap_rows(step, table, which, (*first, *last))

    def _swap_rows(self, step: int, table: str, which: str, span: tuple[int, ...]) -> None:
        """Exchange rows between two keys."""
        names, columns = KEYS[table], COLUMNS[table]
        run = self._connection.execute
        keys, values, marks = ", ".join(names), ", ".join(columns), ", ".join("?" * len(names))
        join = " AND ".join(f"t.{n} = c.{n}" for n in names)
        own = f"({', '.join(f'c.{n}' for n in names)})"
        chosen = f"{table}_changes c WHERE c.step = ? AND {own} >= ({marks}) AND {own} <= ({marks}) AND {which}"
        theirs = ", ".join(f"c.{n}" for n in names)
        run("DROP TABLE IF EXISTS temp.swapped")
        run(
            f"CREATE TEMP TABLE swapped AS SELECT {theirs}, t.{names[0]} IS NOT NULL AS has, "
            f"{', '.join(f't.{c}' for c in columns)} FROM (SELECT {theirs} FROM {chosen}) c LEFT JOIN {table} t ON {join}",
            (step, *span),
        )
        run(f"DELETE FROM {table} WHERE ({keys}) IN (SELECT {keys} FROM swapped)")
        run(
            f"INSERT INTO {table} ({keys}, {values}) SELECT {keys}, {values} FROM {chosen} AND present",
            (step, *span),
        )
        run(f"DELETE FROM {table}_changes WHERE step = ? AND ({keys}) IN (SELECT {keys} FROM swapped)", (step,))
        run(
            f"INSERT INTO {table}_changes (step, {keys}, present, {values}) SELECT ?, {keys}, has, {values} FROM swapped",
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
