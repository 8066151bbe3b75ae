"""What is committed goes into the main file at once, and a file that was copied alone says that it may lack something.

SQLite's write-ahead log (https://www.sqlite.org/wal.html) keeps commits in a file of its own, ``-wal``, until they are brought
into the main one. Whoever copies the main file alone copies what was there at the last such checkpoint.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import warnings
from collections import deque
from contextlib import closing, suppress
from pathlib import Path

from napari_sam2s.masklets.log_check import COMMITS, OPEN, SALT, log_of, salt_of

NOTED_EVERY = 4096  # commits: how often the number of the log is noted
SLOW_S, RECENT = 0.25, 31  # a checkpoint that half of the last ones took longer than
TRIES, TRY_S = 4, 0.005
READER_TRIES = 200  # of the thread, while somebody reads what was before


class Checkpointer:
    """Brings commits into the main file: at once, or on a slow disk in a thread with a connection of its own.

    On a busy machine a thread may come a second too late for who copies the file; a writer that does it alone does not.
    That takes some milliseconds, but for disks that are slow: for these writers never wait.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._took: deque[float] = deque(maxlen=RECENT)
        self.slow = False
        self._commits = 0
        self._wanted, self._over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="sam2s-checkpoint", daemon=True)
        self._thread.start()

    def after_commit(self, connection: sqlite3.Connection) -> None:
        """Bring what the writer committed into the main file, now or, on a slow disk, soon."""
        self._commits += 1
        if self._commits % NOTED_EVERY == 0:
            with suppress(sqlite3.Error), connection:
                connection.execute("BEGIN IMMEDIATE")
                note_log(connection, self._path)
                count_commit(connection)
        if self.slow:
            self._wanted.set()
            return
        started = time.perf_counter()
        # Not the thread at the first sign of another who is at it: stopped in the midst of one it would keep the writer off.
        found = next((state for state in (_checkpoint(connection) for _ in range(TRIES)) if state is not None), False)
        if not found:
            self._wanted.set()
        self._took.append(time.perf_counter() - started)
        self.slow = len(self._took) == RECENT and sorted(self._took)[RECENT // 2] > SLOW_S

    def _run(self) -> None:
        try:
            with closing(sqlite3.connect(self._path, timeout=0.1, isolation_level=None)) as connection:
                while True:
                    self._wanted.wait()
                    self._wanted.clear()
                    if self._over:
                        return
                    for _ in range(READER_TRIES):
                        busy, there, done = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                        if self._wanted.is_set() or not (busy or done < there):
                            break
                        time.sleep(TRY_S)  # until who reads an earlier state has read it
        except sqlite3.Error:  # a full disk, say: the log has everything, and who writes is told
            return

    def close(self) -> None:
        """End the thread."""
        self._over = True
        self._wanted.set()
        if self._thread is not threading.current_thread():  # in which the garbage of a project may be collected
            self._thread.join()


def _checkpoint(connection: sqlite3.Connection) -> bool | None:
    """Return whether all is in the main file, which a reader of an earlier state prevents; ``None`` if others were at it."""
    try:
        busy, there, done = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error:  # a full disk, say: the log has everything
        return True
    if busy:
        time.sleep(TRY_S)
        return None
    return bool(done == there)


def mark_open(connection: sqlite3.Connection, path: Path) -> None:
    """Note in the main file itself that somebody writes, and which log is the file's own."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (OPEN, time.time()))
    note_log(connection, path)
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def count_commit(connection: sqlite3.Connection) -> None:
    """Give a number to a commit that is about to be made; see :mod:`log_check`."""
    sql = "INSERT INTO meta VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET value = value + 1"
    connection.execute(sql, (COMMITS,))


def note_log(connection: sqlite3.Connection, path: Path) -> None:
    """Note the number of the log, which grows: always as many characters, so that who changes nothing leaves the same file."""
    salt = salt_of(log_of(path))
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (SALT, None if salt is None else f"{salt:08x}"))


def mark_closed(connection: sqlite3.Connection, *, changed: bool = False) -> None:
    """Take the notes away again; of a file that was changed this is a commit that counts, too."""
    with connection:
        if changed:
            connection.execute("BEGIN IMMEDIATE")
            count_commit(connection)
        connection.execute("DELETE FROM meta WHERE key IN (?, ?)", (OPEN, SALT))


def take_away_empty_log(path: Path) -> None:
    """Let SQLite take away the empty log that a reader leaves beside a project at rest; a log with changes stays.

    A connection that may only read cannot do so when it is closed. One that may write does, unless others have the file open.
    """
    with suppress(OSError, sqlite3.Error):
        if log_of(path).stat().st_size == 0:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
                connection.execute("PRAGMA user_version").fetchone()


def warn_of_missing_log(connection: sqlite3.Connection, path: Path, *, log_was_there: bool) -> None:
    """Warn where a file was copied alone while somebody wrote, or lost its log, or has one that cannot be read."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (OPEN,)).fetchone()
    log = log_of(path)
    if row is None or log_was_there or salt_of(log) is not None:  # somebody opened it for writing at this very moment
        return
    if log.exists() and log.stat().st_size > 0:
        what = f"was not closed, and {log.name} is damaged: the last changes cannot be read."
    else:
        what = f"was copied while it was open, or lost its file {log.name}: the last changes may be missing."
    warnings.warn(f"{path.name} {what} Copy projects with `napari-sam2s copy`, or close them first.", stacklevel=4)
