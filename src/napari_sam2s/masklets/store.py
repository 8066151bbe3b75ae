"""What everything in a project goes through: one connection, transactions, steps of undo, notes of what changed."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from psygnal import Signal

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.change_log import ChangeLog
from napari_sam2s.masklets.held_file import HeldFile
from napari_sam2s.masklets.lock import WriterLock
from napari_sam2s.masklets.page_check import is_small, refuse_broken_pages
from napari_sam2s.masklets.validation import quoted
from napari_sam2s.masklets.write_ahead_log import Checkpointer, count_commit, mark_closed, take_away_empty_log

PATIENCE_S = 2.0  # for a thread that still writes when Python ends


def _let_go(
    process: int,
    guard: threading.RLock,
    path: Path,
    db: sqlite3.Connection,
    lock: WriterLock | None,
    held: HeldFile,
    checkpointer: Checkpointer | None,
    changes: list[bool],
) -> None:
    """Close a file, also where nobody did: its notes would say that somebody still writes, or that changes are lost."""
    if process != os.getpid() or not guard.acquire(timeout=PATIENCE_S):
        return  # a fork, whose parent has the file; or Python ends while a thread writes
    try:
        if checkpointer is not None:
            checkpointer.close()
            with suppress(sqlite3.Error):  # of a full disk; the note then says so of the file
                db.rollback()  # what was left half done
                mark_closed(db, changed=bool(changes))
        held.unlock()
        db.close()
        if lock is None:
            take_away_empty_log(path)
        held.let_go()  # not before: whoever closes a file ends SQLite's locks
        if lock is not None:
            lock.release()
    finally:
        guard.release()


class Store:
    """An open project file. Safe to use from several threads; one process at a time may write.

    The parts of a project (masks, objects, prompts, ...) hold it. ``shape`` is the ``(T, Y, X)`` of the project's video.
    """

    masks_changed = Signal(tuple)  # frames; none of them: any
    objects_changed = Signal()

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock | None) -> None:
        self.path = path
        self.db = connection  # to change with, inside `transaction`; `rows` reads
        self.guard = threading.RLock()
        self.log = ChangeLog(connection)
        self.shape: tuple[int, int, int] = (0, 0, 0)
        self.current_step: int | None = None
        self.when_touched: list[Callable[[Sequence[Sequence[int]]], None]] = []  # of masks: (frame, object id)
        self.when_forgotten: list[Callable[[], None]] = []  # what was read before may be wrong
        self._lock = lock
        self._stamp = 0
        self._closed = False
        self._checked = is_small(path)  # then :func:`connect` has looked at it
        self._process = os.getpid()
        self._seen = self._data_version()
        self._held = HeldFile(path)
        self._checkpointer = Checkpointer(path) if lock is not None else None
        self._changes: list[bool] = []  # not empty once there are any
        parts = (path, connection, lock, self._held, self._checkpointer, self._changes)
        self._let_go = weakref.finalize(self, _let_go, self._process, self.guard, *parts)  # also at the end of Python
        self._frames_to_tell: set[int] = set()
        self._tell_everything = False

    @property
    def writable(self) -> bool:
        """Whether this process may write."""
        return self._lock is not None

    @property
    def mask_stamp(self) -> int:
        """A number that grows whenever masks or objects change, by this process or, where this one only reads, by another."""
        self.look()
        return self._stamp

    def look(self) -> None:
        """Look whether another process has changed the project, where this one only reads."""
        if not self.writable:
            self.refresh()

    def refresh(self) -> bool:
        """Look whether another process has changed the project, tell listeners if so, and return it.

        A project that is open for writing is changed by nobody else.
        """
        with self.guard:
            version = self._data_version()
            if version == self._seen:
                return False
            self._seen = version
            self.forget()
        self._tell_all()
        return True

    def _data_version(self) -> int:
        return int(self.rows("PRAGMA data_version")[0][0])

    def forget(self) -> None:
        """Say that any masks may be other than they were."""
        self._stamp += 1
        for forget in self.when_forgotten:
            forget()

    def _tell_all(self) -> None:
        self.objects_changed.emit()
        self.masks_changed.emit(())

    def close(self) -> None:
        """Close the file. Nothing is unsaved."""
        if self._process != os.getpid():
            return  # a fork: file and lock are its parent's
        with self.guard:
            if self._closed:
                return
            self._closed = True
            self._let_go()

    @contextmanager
    def unchecked_references(self) -> Iterator[None]:
        """Let an object go while masks of undone runs, which nobody sees, still refer to it; around a transaction."""
        with self.guard:
            self._check_open()
            self.db.execute("PRAGMA foreign_keys = OFF")  # does nothing within a transaction
            try:
                yield
            finally:
                self.db.execute("PRAGMA foreign_keys = ON")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Do several things at once or not at all; may be nested.

        Raises :class:`ProjectError` if the project is open for reading only or closed, or the disk is full or broken.
        """
        with self.guard:
            self._check_open()
            if not self.writable:
                raise ProjectError(f"{self.path.name} is open for reading only: open it with mode='a' to change it.")
            if self.db.in_transaction:
                yield self.db
                return
            if self._held.lost:
                raise ProjectError(
                    f"{self.path} was removed or replaced while it was open, perhaps by a program that synchronises folders: "
                    "changes can no longer be saved. Close it, and open the file that is there now."
                )
            try:
                self.db.execute("BEGIN IMMEDIATE")
                changes = self.db.total_changes
                yield self.db
                if self.db.total_changes > changes:
                    count_commit(self.db)
                    self._changes[:] = [True]
                self.db.execute("COMMIT")
                if self._checkpointer is not None:
                    self._checkpointer.after_commit(self.db)
            except BaseException as error:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                self._frames_to_tell, self._tell_everything = set(), False
                self.forget()
                if isinstance(error, sqlite3.DatabaseError):
                    raise ProjectError(
                        f"{self.path.name} could not be written ({error}); its earlier content is unchanged. Make room on "
                        "the disk, or close other programs that use the file. Then try again."
                    ) from error
                raise
            frames, everything = sorted(self._frames_to_tell), self._tell_everything
            self._frames_to_tell, self._tell_everything = set(), False
        # Only now that it is kept, and that others may read: listeners may call back from any thread.
        if everything:
            self._tell_all()
        elif frames:
            self.masks_changed.emit(tuple(frames))

    @contextmanager
    def step(self, label: str, earlier: Callable[[], int] | None = None) -> Iterator[sqlite3.Connection]:
        """Make everything that changes inside one step of undo; a step within a step belongs to the outer one.

        What ``earlier`` returns is the step that the changes belong to, in place of a new one.
        """
        with self.transaction() as db:
            if self.current_step is not None:
                yield db
                return
            self.current_step = self.log.begin(label) if earlier is None else earlier()
            try:
                yield db
            finally:
                self.current_step = None

    def touch(self, table: str, keys: Iterable[Sequence[int]]) -> None:
        """Keep the version that rows have now for undo; to be called before they are changed, inside a step."""
        assert self.current_step is not None, "changes are made inside a step"
        known = list(keys)
        self.log.touch(self.current_step, table, known)
        if table == "masks":
            self.touched(known)

    def touched(self, keys: Sequence[Sequence[int]]) -> None:
        """Say that masks, by frame and object id, are other than they were."""
        for touch in self.when_touched:
            touch(keys)

    @property
    def known(self) -> str:
        """Where in the file masks are read from: the table, or what is seen of it while it has those of undone runs."""
        return "known_masks" if self.rows("SELECT 1 FROM hidden_runs LIMIT 1") else "masks"

    def note(self, frames: Iterable[int] | None = None) -> None:
        """Have listeners told, once the transaction is kept, of changed masks on some frames, or (``None``) of anything."""
        self._stamp += 1
        if frames is None:
            self._tell_everything = True
        else:
            self._frames_to_tell.update(frames)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Read from the file. Raises :class:`ProjectError` if the project is closed, or damaged."""
        with self.guard:
            self._check_open()
            try:
                return self.db.execute(sql, parameters).fetchall()
            except sqlite3.DatabaseError as error:
                raise ProjectError(
                    f"{self.path.name} cannot be read ({error}): `napari-sam2s doctor {quoted(self.path.name)}` says "
                    "what can be saved."
                ) from error

    def check_pages(self) -> None:
        """Look once at all pages and indices, for whoever reads all masks: ones that a broken disk left out go unnoticed.

        Raises :class:`ProjectError` if some are damaged.
        """
        with self.guard:
            self._check_open()
            if not self._checked:
                refuse_broken_pages(self.db, self.path, large=True)
                self._checked = True

    def _check_open(self) -> None:
        if self._closed:
            raise ProjectError(f"{self.path.name} was closed: open it again.")
        if self._process != os.getpid():  # what SQLite holds does not survive a fork
            raise ProjectError(f"{self.path.name} was opened before this process was forked: open it again with mode='r'.")
