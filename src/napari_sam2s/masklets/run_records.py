"""Propagations as a project keeps them: how they were made, how far they came, what they resume from."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.live_sequence import LiveSequence
from napari_sam2s.masklets.store import Store

# Whether a run is of before the project was stripped of its history (privacy.py): it has no step, but was not undone.
_FORGOTTEN = "(r.step IS NULL AND r.id IN (SELECT value FROM json_each((SELECT value FROM meta WHERE key = 'stripped_runs'))))"


@dataclass(frozen=True)
class Run:
    """One propagation, running or over."""

    id: int
    status: str  # running, finished, paused, interrupted (its process died), failed, or undone
    started: float  # seconds since 1970
    finished: float | None
    provenance: Mapping[str, Any]
    next_frame: int | None  # where it resumes
    stop_frame: int | None  # where it stops before
    direction: str | None
    start_frame: int | None = None  # where it began
    seconds: float = 0.0  # that it has worked, pauses left out

    @property
    def unfinished(self) -> bool:
        """Whether it did not come to its end, and can be resumed."""
        return self.status in ("running", "paused", "interrupted", "failed")


class Runs(LiveSequence[Run]):
    """All runs, the oldest first, with their snapshots."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._clocks: dict[int, float] = {}  # since when the time of a run is not yet written down
        if store.writable:
            # Nobody else can be at it, so whoever was has died.
            with store.transaction() as db:
                db.execute("UPDATE runs SET status = 'interrupted' WHERE status = 'running'")

    def read(self) -> tuple[Run, ...]:
        """Return all runs, the oldest first."""
        sql = f"SELECT r.*, s.undone, {_FORGOTTEN} AS forgotten FROM runs r LEFT JOIN steps s ON s.id = r.step ORDER BY r.id"
        return tuple(
            Run(
                r["id"],
                r["status"] if r["undone"] == 0 or r["forgotten"] else "undone",
                r["started"],
                r["finished"],
                json.loads(r["provenance"]),
                r["next_frame"],
                r["stop_frame"],
                r["direction"],
                r["start_frame"],
                r["seconds"],
            )
            for r in self._store.rows(sql)
        )

    @property
    def bounds(self) -> tuple[int, int] | None:
        """First frame that the user wants tracked and the one after the last; ``None`` for all of the video."""
        kept = self._store.rows("SELECT value FROM meta WHERE key = 'bounds'")
        try:
            first, stop = json.loads(kept[0]["value"]) if kept else (0, 0)
            return (int(first), int(stop)) if 0 <= first < stop else None
        except (TypeError, ValueError):  # a hand has been at it: it is no more than a convenience
            return None

    def keep_bounds(self, bounds: tuple[int, int] | None) -> None:
        """Keep them with the project. That is no step of undo."""
        if bounds != self.bounds:
            with self._store.transaction() as db:
                db.execute("INSERT OR REPLACE INTO meta VALUES ('bounds', ?)", (json.dumps(bounds),))

    def start(
        self,
        *,
        next_frame: int | None = None,
        stop_frame: int | None = None,
        direction: str = "forward",
        snapshot: bytes | None = None,
        **provenance: Any,
    ) -> int:
        """Note that a propagation begins, with how it is made; return its id. All it writes is one step of undo.

        With the tracker's state from before ``next_frame`` as ``snapshot`` it can be resumed from then on: a run that is there
        without one, because its process died in between, could not.
        """
        with self._store.step("track") as db:
            cursor = db.execute(
                "INSERT INTO runs (started, status, provenance, step, start_frame, next_frame, stop_frame, direction) "
                "VALUES (?1, 'running', ?2, ?3, ?4, ?4, ?5, ?6)",
                (
                    time.time(),
                    json.dumps(provenance, default=_plain),
                    self._store.current_step,
                    next_frame,
                    stop_frame,
                    direction,
                ),
            )
            run = cursor.lastrowid
            assert run is not None
            if snapshot is not None:
                db.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?)", (run, next_frame, direction, snapshot))
            # Only the latest run can be resumed, and the one before if that is undone.
            db.execute("DELETE FROM snapshots WHERE run NOT IN (SELECT id FROM runs ORDER BY id DESC LIMIT 2)")
        self._clocks[run] = time.monotonic()
        return run

    def resume(self, run: int) -> None:
        """Note that a propagation is resumed. Raises :class:`ProjectError` if there is no such run, or it was undone."""
        with self._store.transaction() as db:
            self._step_id(run)
            db.execute("UPDATE runs SET status = 'running', finished = NULL WHERE id = ?", (run,))
        self._clocks[run] = time.monotonic()

    def finish(self, run: int, status: str = "finished") -> None:
        """Note that a propagation is over: ``"finished"``, ``"paused"`` or ``"failed"``."""
        with self._store.transaction() as db:
            db.execute("UPDATE runs SET finished = ?, status = ? WHERE id = ?", (time.time(), status, run))
            self._count_time(db, run)
            if status == "finished":
                db.execute("DELETE FROM snapshots WHERE run = ?", (run,))
        self._clocks.pop(run, None)

    def save_snapshot(self, run: int, frame: int, direction: str, data: bytes) -> None:
        """Keep the tracker's state from before ``frame``, in place of the run's earlier one of that direction."""
        with self._store.transaction() as db:
            db.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)", (run, frame, direction, data))
            db.execute("UPDATE runs SET next_frame = ?, direction = ? WHERE id = ?", (frame, direction, run))
            self._count_time(db, run)

    def latest_snapshot(self, run: int) -> tuple[int, str, bytes] | None:
        """Return ``(frame to resume from, direction, state)`` of a run, or ``None``."""
        sql = (
            "SELECT s.frame, s.direction, s.data FROM snapshots s JOIN runs r ON r.id = s.run "
            "WHERE run = ? AND s.direction = r.direction"
        )
        rows = self._store.rows(sql, (run,))
        return tuple(rows[0]) if rows else None

    def step_of(self, run: int | None, label: str) -> AbstractContextManager[sqlite3.Connection]:
        """Open a transaction whose changes belong to the step of a run, or to the current or a new one."""
        return self._store.step(label, None if run is None else lambda: self._earlier_step(run))

    def _earlier_step(self, run: int) -> int:
        step = self._step_id(run)
        self._store.log.move_hidden()  # later ones may have been undone, and can still be redone
        return step

    def _count_time(self, db: sqlite3.Connection, run: int) -> None:
        if run in self._clocks:
            now = time.monotonic()
            db.execute("UPDATE runs SET seconds = seconds + ? WHERE id = ?", (now - self._clocks[run], run))
            self._clocks[run] = now

    def _step_id(self, run: int) -> int:
        sql = f"SELECT s.id, s.undone, {_FORGOTTEN} AS forgotten FROM runs r LEFT JOIN steps s ON s.id = r.step WHERE r.id = ?"
        row = self._store.db.execute(sql, (run,)).fetchone()
        if row is None:
            raise ProjectError(f"There is no run {run}.")
        if row["forgotten"]:
            raise ProjectError(f"The steps of run {run} are not in this stripped copy: resume it in the project itself.")
        if row["id"] is None or row["undone"]:
            raise ProjectError(f"Run {run} was undone: track again from a prompt.")
        return int(row["id"])


def _plain(value: object) -> object:
    """Return what JSON can hold in place of a value that it cannot."""
    return value.item() if isinstance(value, np.generic) else str(value)
