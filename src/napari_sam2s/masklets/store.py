"""What everything in a project goes through: one connection, transactions, steps of the history."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.history import History
from napari_sam2s.masklets.lock import WriterLock


class Store:
    """An open project file. Safe to use from several threads; one process at a time may write."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock | None) -> None:
        self.path = path
        self._db = connection
        self._lock = lock
        self._guard = threading.RLock()
        self._stamp = 0
        self._history = History(connection)
        self._step: int | None = None
        self._closed = False
        self._seen = self._data_version()
        self._frames_to_tell: set[int] = set()
        self._tell_everything = False

    @property
    def writable(self) -> bool:
        """Whether this process may write."""
        return self._lock is not None

    @property
    def mask_stamp(self) -> int:
        """A number that grows whenever masks or objects change, by this process or, where this one only reads, by another."""
        if not self.writable:
            self.refresh()
        return self._stamp

    def refresh(self) -> bool:
        """Look whether another process has changed the project, tell listeners if so, and return it.

        A project that is open for writing is changed by nobody else.
        """
        with self._guard:
            version = self._data_version()
            if version == self._seen:
                return False
            self._seen = version
            self._forget_cached()
        self._everything_changed()
        return True

    def _data_version(self) -> int:
        return int(self._rows("PRAGMA data_version")[0][0])

    def _forget_cached(self) -> None:
        """Take nothing for known that was read before."""
        self._stamp += 1

    def close(self) -> None:
        """Close the file. Nothing is unsaved."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            self._db.close()
            if self._lock is not None:
                self._lock.release()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Do several things at once or not at all; may be nested.

        Raises
        ------
        ProjectError
            If the project is open for reading only or closed, or the disk is full or broken.
        """
        with self._guard:
            if self._closed:
                raise ProjectError(f"{self.path.name} was closed: open it again.")
            if not self.writable:
                raise ProjectError(f"{self.path.name} is open for reading only: open it with mode='a' to change it.")
            if self._db.in_transaction:
                yield self._db
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._frames_to_tell, self._tell_everything = set(), False
                self._forget_cached()
                if isinstance(error, sqlite3.DatabaseError):
                    raise ProjectError(
                        f"{self.path.name} could not be written ({error}); what was there before is untouched. Make room on "
                        "the disk, or look at what else uses the file, and go on."
                    ) from error
                raise
            frames, everything = sorted(self._frames_to_tell), self._tell_everything
            self._frames_to_tell, self._tell_everything = set(), False
        # Only now that it is kept, and that others may read: listeners may call back from any thread.
        if everything:
            self._everything_changed()
        elif frames:
            self._masks_changed(frames)

    def _note(self, frames: Iterable[int] | None) -> None:
        """Have listeners told, once the transaction is kept, of changed masks on some frames, or (``None``) of anything."""
        self._stamp += 1
        if frames is None:
            self._tell_everything = True
        else:
            self._frames_to_tell.update(frames)

    @contextmanager
    def step(self, label: str) -> Iterator[int]:
        """Make everything that changes inside one step of undo; a step within a step belongs to the outer one."""
        with self.transaction():
            if self._step is not None:
                yield self._step
                return
            self._step = self._history.begin(label)
            try:
                yield self._step
            finally:
                self._step = None

    def undo(self) -> str | None:
        """Undo the last step and return its name, or ``None`` if there is none.

        Raises
        ------
        ProjectError
            If that step is a run that is still going on.
        """
        with self.transaction() as db:
            row = self._history.last_done()
            if row is None:
                return None
            if db.execute("SELECT 1 FROM runs WHERE step = ? AND status = 'running'", (row["id"],)).fetchone():
                raise ProjectError("Tracking is still going on: pause it before undoing it.")
            return self._toggle(row, undone=True)

    def redo(self) -> str | None:
        """Redo the step that was undone last and return its name, or ``None``."""
        with self.transaction():
            row = self._history.first_undone()
            return None if row is None else self._toggle(row, undone=False)

    def _toggle(self, row: sqlite3.Row, *, undone: bool) -> str:
        self._touched(self._history.masks_of(row["id"]))
        self._history.swap(row["id"])
        self._history.mark(row["id"], undone)
        self._note(None)
        return str(row["label"])

    def _everything_changed(self) -> None:
        """Tell listeners that anything may be different; overridden."""

    def _masks_changed(self, frames: Sequence[int]) -> None:
        """Tell listeners of masks; overridden."""

    @property
    def steps(self) -> list[tuple[str, bool]]:
        """The history, oldest first: ``(name, undone)``."""
        return [(row["label"], bool(row["undone"])) for row in self._rows("SELECT * FROM steps ORDER BY id")]

    @property
    def last_step(self) -> int:
        """The number of the latest step that is not undone; 0 if there is none."""
        return int(self._rows("SELECT ifnull(max(id), 0) FROM steps WHERE NOT undone")[0][0])

    def merge_steps(self, since: int, label: str, *others: str) -> None:
        """Make the steps after number ``since`` that are called ``label`` or as ``others`` one step of undo of that name.

        Such as the dabs of one stroke of a brush. Steps of other names stay what they are: a run may begin meanwhile.
        """
        names = (label, *others)
        with self.transaction() as db:
            sql = f"SELECT id FROM steps WHERE id > ? AND NOT undone AND label IN ({', '.join('?' * len(names))}) ORDER BY id"
            steps = [row[0] for row in db.execute(sql, (since, *names))]
            if steps:
                self._history.fold(steps, label)

    def _touch(self, table: str, keys: Iterable[Sequence[int]]) -> None:
        assert self._step is not None, "changes are made inside a step"
        known = list(keys)
        self._history.touch(self._step, table, known)
        if table == "masks":
            self._touched(known)

    def _touched(self, keys: Iterable[Sequence[int]]) -> None:
        """Note that masks, by frame and object id, are other than they were; overridden."""

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        with self._guard:
            if self._closed:
                raise ProjectError(f"{self.path.name} was closed: open it again.")
            try:
                return self._db.execute(sql, parameters).fetchall()
            except sqlite3.DatabaseError as error:
                raise ProjectError(f"{self.path.name} cannot be read ({error}); it may be damaged.") from error
