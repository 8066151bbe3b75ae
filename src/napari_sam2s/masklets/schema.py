"""The project file on disk: an SQLite database in WAL mode.

``masks`` holds one row an object and frame; a row with area 0 says that the object was looked for and is not there, no
row that nobody looked. ``y_sum`` and ``x_sum`` are those of a mask's pixels, from the corner of its box: its centroid without
its runs; ``NULL`` where an earlier version wrote it.

``*_changes`` hold, for each step of the history, the other version of every row that the step
touched: undoing swaps the two, and so does redoing. But the new masks of an undone run stay in ``masks``, and the run is in
``hidden_runs``: to move those of hours of video takes long. ``known_masks`` are the masks without them.
"""

from __future__ import annotations

import glob
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2s.errors import ProjectError, ProjectInUse, remedy
from napari_sam2s.masklets.lock import NO_LOCKS_HERE, only_to_read
from napari_sam2s.masklets.log_check import log_of, refuse_foreign_log, salt_of
from napari_sam2s.masklets.page_check import refuse_broken_pages
from napari_sam2s.masklets.write_ahead_log import mark_closed, mark_open, warn_of_missing_log

APPLICATION_ID = 0x53414D32  # "SAM2"
VERSION = 7
BUSY_SECONDS = 10.0
WAL_BYTES = 4 * 2**20  # that the log keeps when it begins anew
# Of drives that lock no files or share no memory, which a write-ahead log needs.
_WITHOUT_LOCKS = {getattr(sqlite3, f"SQLITE_IOERR_{what}") for what in ("LOCK", "SHMOPEN", "SHMMAP", "SHMLOCK")}
PAGE_BYTES = 16384  # masks take about a kilobyte: small pages would leave a third of the file empty

# Columns that one version of a row consists of, after its key.
MASK_COLUMNS = tuple("y0 x0 height width counts area iou object_score class_scores origin confirmed run y_sum x_sum".split())  # noqa: SIM905
OBJECT_COLUMNS = ("name", "class_name", "colour", "sort", "locked", "visible", "removed", "parent")
PROMPT_COLUMNS = ("object_id", "frame", "content", "mask", "removed")
LINK_COLUMNS = ("object_id", "frame", "content", "ruled_out", "same_as")
PHASE_COLUMNS = ("name", "start", "stop")
KEYS = {"masks": ("frame", "object_id"), "objects": ("id",), "prompts": ("id",), "links": ("id",), "phases": ("id",)}
COLUMNS = {
    **{"masks": MASK_COLUMNS, "objects": OBJECT_COLUMNS, "prompts": PROMPT_COLUMNS},
    **{"links": LINK_COLUMNS, "phases": PHASE_COLUMNS},
}


def _changes_table(table: str) -> str:
    keys, columns = KEYS[table], COLUMNS[table]
    return (
        f"CREATE TABLE {table}_changes (step INTEGER NOT NULL REFERENCES steps(id) ON DELETE CASCADE, "
        f"{', '.join(f'{k} INTEGER NOT NULL' for k in keys)}, present INTEGER NOT NULL, {', '.join(columns)}, "
        f"PRIMARY KEY (step, {', '.join(keys)})) WITHOUT ROWID;"
    )


_LINKS = """
CREATE TABLE links (
    id INTEGER PRIMARY KEY, object_id INTEGER NOT NULL REFERENCES objects(id), frame INTEGER NOT NULL, content TEXT NOT NULL,
    ruled_out TEXT NOT NULL DEFAULT '[]', same_as INTEGER
);
"""

_PHASES = "CREATE TABLE phases (id INTEGER PRIMARY KEY, name TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER);"

_HIDDEN_RUNS = """
CREATE INDEX masks_of_run ON masks (run) WHERE run IS NOT NULL;
CREATE TABLE hidden_runs (run INTEGER PRIMARY KEY REFERENCES runs(id));
CREATE VIEW known_masks AS SELECT * FROM masks AS m WHERE NOT EXISTS (
    SELECT 1 FROM hidden_runs AS h CROSS JOIN masks AS hidden INDEXED BY masks_of_run
    WHERE hidden.run = h.run AND hidden.frame = m.frame AND hidden.object_id = m.object_id
);
"""

_TABLES = (
    """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, class_name TEXT, colour TEXT NOT NULL,
    sort INTEGER NOT NULL, locked INTEGER NOT NULL DEFAULT 0, visible INTEGER NOT NULL DEFAULT 1,
    removed INTEGER NOT NULL DEFAULT 0, parent INTEGER
);
CREATE TABLE prompts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, object_id INTEGER NOT NULL REFERENCES objects(id), frame INTEGER NOT NULL,
    content TEXT NOT NULL, mask BLOB, removed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX prompts_of_object ON prompts (object_id, frame);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, finished REAL, status TEXT NOT NULL, provenance TEXT NOT NULL,
    step INTEGER, next_frame INTEGER, stop_frame INTEGER, direction TEXT, start_frame INTEGER,
    seconds REAL NOT NULL DEFAULT 0
);
CREATE TABLE snapshots (
    run INTEGER NOT NULL REFERENCES runs(id), frame INTEGER NOT NULL, direction TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (run, direction)
) WITHOUT ROWID;
CREATE TABLE masks (
    frame INTEGER NOT NULL, object_id INTEGER NOT NULL REFERENCES objects(id),
    y0 INTEGER NOT NULL, x0 INTEGER NOT NULL, height INTEGER NOT NULL, width INTEGER NOT NULL, counts BLOB NOT NULL,
    area INTEGER NOT NULL, iou REAL, object_score REAL, class_scores BLOB, origin TEXT NOT NULL,
    confirmed INTEGER NOT NULL DEFAULT 0, run INTEGER REFERENCES runs(id), y_sum INTEGER, x_sum INTEGER,
    PRIMARY KEY (frame, object_id)
) WITHOUT ROWID;
CREATE INDEX masks_of_object ON masks
    (object_id, frame, area, iou, object_score, y0, x0, height, width, origin, confirmed, y_sum, x_sum);
CREATE TABLE class_lists (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
CREATE TABLE steps (id INTEGER PRIMARY KEY, label TEXT NOT NULL, made REAL NOT NULL, undone INTEGER NOT NULL DEFAULT 0);
"""
    + _LINKS
    + _PHASES
    + _HIDDEN_RUNS
)

# What turns a file of one version into the next.
MIGRATIONS = {
    1: """
ALTER TABLE runs ADD COLUMN start_frame INTEGER;
ALTER TABLE runs ADD COLUMN seconds REAL NOT NULL DEFAULT 0;
UPDATE runs SET seconds = finished - started WHERE finished IS NOT NULL;
UPDATE runs SET step = NULL WHERE step NOT IN (SELECT id FROM steps);
DROP INDEX masks_of_object;
CREATE INDEX masks_of_object ON masks
    (object_id, frame, area, iou, object_score, y0, x0, height, width, origin, confirmed);
""",
    2: _LINKS + _changes_table("links"),
    3: "ALTER TABLE objects ADD COLUMN parent INTEGER; ALTER TABLE objects_changes ADD COLUMN parent;",
    4: _HIDDEN_RUNS,
    5: _PHASES + _changes_table("phases"),
    6: """
ALTER TABLE masks ADD COLUMN y_sum INTEGER;
ALTER TABLE masks ADD COLUMN x_sum INTEGER;
ALTER TABLE masks_changes ADD COLUMN y_sum;
ALTER TABLE masks_changes ADD COLUMN x_sum;
DROP INDEX masks_of_object;
CREATE INDEX masks_of_object ON masks
    (object_id, frame, area, iou, object_score, y0, x0, height, width, origin, confirmed, y_sum, x_sum);
""",
}


@cache
def _made_tables() -> dict[tuple[str, str], tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as made:
        made.executescript(f"{_TABLES} {''.join(map(_changes_table, KEYS))}")
        return _parts_of(made)


def _parts_of(connection: sqlite3.Connection) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return of every table and index its columns, and of every view and trigger its text, by kind and name."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    listed = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    for kind, name, sql in map(tuple, connection.execute(listed).fetchall()):
        ask = {"table": "SELECT name FROM pragma_table_info(?)", "index": "SELECT name FROM pragma_index_info(?)"}.get(kind)
        columns = [str(row[0]) for row in connection.execute(ask, (name,))] if ask else [" ".join(str(sql).split())]
        found[kind, name] = tuple(columns)
    return found


def wrong_tables(connection: sqlite3.Connection, *, lacks: bool = False) -> str | None:
    """Say what of the tables of a file is not as they are made here, ``None`` where all is.

    Tables that other programs added do no harm, but triggers change what is written. With ``lacks`` only columns that tables
    lack are looked at.
    """
    found, made = _parts_of(connection), _made_tables()
    for (kind, name), parts in made.items():
        there = found.get((kind, name))
        lost = set(parts) - set(parts if there is None else there)
        if kind == "table" and lost:
            return f"its table {name} lacks {', '.join(sorted(lost))}"
        if not lacks and (there is None or (kind != "table" and there != parts)):
            return f"its {kind} {name} is not there, or another one"
    triggers = [name for kind, name in found if kind == "trigger" and not lacks]
    return f"another program gave it the trigger {triggers[0]}, which changes what is written" if triggers else None


def connect(path: Path, *, writable: bool, check: bool = True) -> sqlite3.Connection:
    """Open the file of a project, brought up to date if an older version made it; of small files the pages are checked.

    Raises :class:`ProjectError` if it is not one, is damaged, comes from a newer version, or has the log of another one
    beside it.
    """
    mode, log_was_there = "rw" if writable else "ro", refuse_foreign_log(path, alone=writable)
    try:
        try:
            connection, application, version = _open_and_ask(path, f"mode={mode}")
        except sqlite3.OperationalError:
            if writable:
                raise
            # In a folder that cannot be written SQLite has no place to note who reads, and so nobody can be writing.
            _refuse_unread_changes(path)
            connection, application, version = _open_and_ask(path, "mode=ro&immutable=1")
    except sqlite3.Error as error:
        raise cannot_be_opened(path, error, "is not a project, or is damaged") from error
    try:
        if application != APPLICATION_ID:
            what = "a database of another application" if path.stat().st_size else "empty"
            raise ProjectError(f"{path} is {what}, not a project of napari-sam2s.")
        if version < 1:
            raise ProjectError(f"{path} is damaged (it does not say its format): restore a copy.")
        if version > VERSION:
            raise ProjectError(
                f"{path} was made by a newer napari-sam2s (format {version}, known is {VERSION}): update napari-sam2s."
            )
        if version < VERSION and not writable:
            raise ProjectError(
                f"{path} was made by an older napari-sam2s (format {version}, now {VERSION}): open it once for writing "
                "(mode='a', or in napari), which brings it up to date."
            )
        if check:
            refuse_broken_pages(connection, path)
        warn_of_missing_log(connection, path, log_was_there=log_was_there)
        _configure(connection, writable)
        if writable:
            mark_open(connection, path)
            _migrate(connection, version, path)
    except sqlite3.Error as error:
        connection.close()
        raise cannot_be_opened(path, error, "is damaged") from error
    except BaseException:
        connection.close()
        raise
    return connection


def cannot_be_opened(path: Path, error: sqlite3.Error, otherwise: str) -> ProjectError:
    """Say why, and not that a project is damaged whose disk is full."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _WITHOUT_LOCKS:
        return only_to_read(ProjectError(f"{path} cannot be opened ({error}): {NO_LOCKS_HERE}."))
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ProjectInUse(f"{path} is in use by another program, such as a viewer of databases: close it there.")
    if code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return ProjectError(f"{path} cannot be opened ({error}): its disk may be full or failing. Make room, or check it.")
    if code & 0xFF == sqlite3.SQLITE_CANTOPEN and not os.access(path, os.R_OK):
        return ProjectError(f"{path} may not be read by you: change its permissions, or ask its owner for a copy.")
    return ProjectError(f"{path} {otherwise} ({error}): restore a copy, or try SQLite's own `sqlite3 FILE .recover`.")


def _refuse_unread_changes(path: Path) -> None:
    """Refuse to look at a file alone whose latest changes are still beside it: they would be missing without a word."""
    beside = log_of(path)
    if beside.is_file() and beside.stat().st_size:
        raise ProjectError(
            f"The latest changes of {path} are still in {beside.name}, which cannot be read, because the folder "
            f"cannot be written. "
            "Copy both files to another folder, and open the copy."
        )


class _Connection(sqlite3.Connection):
    """A connection that takes NumPy's numbers for numbers: SQLite's own would keep their bytes."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        try:
            return super().execute(sql, _plain(parameters))
        except UnicodeDecodeError as error:  # SQLite's own words on a damaged schema quote its bytes
            raise sqlite3.DatabaseError("malformed database schema") from error

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        return super().executemany(sql, map(_plain, parameters))

    def __del__(self) -> None:
        """Close what nobody closed, such as the project of a layer that is gone: since Python 3.13 SQLite's own warns of it."""
        with suppress(sqlite3.ProgrammingError):  # it was never opened
            self.close()


def _plain(row: Iterable[object]) -> tuple[object, ...]:
    return tuple(value.item() if isinstance(value, np.generic) else value for value in row)


def _open(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        timeout=BUSY_SECONDS,
        check_same_thread=False,
        isolation_level=None,
        factory=_Connection,
    )


def _open_and_ask(path: Path, options: str) -> tuple[sqlite3.Connection, int, int]:
    """Return a connection, and application and version of the database."""
    connection = _open(path, options)
    try:
        return connection, *(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    except sqlite3.Error:
        connection.close()
        raise


def _migrate(connection: sqlite3.Connection, version: int, path: Path) -> None:
    """Bring a file up to date, wholly or not at all."""
    steps = "".join(f"{MIGRATIONS[v]} PRAGMA user_version = {v + 1};" for v in range(version, VERSION))
    if not steps:
        return
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {steps} COMMIT;")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        mark_closed(connection)
        raise ProjectError(
            f"{path} was made by an older napari-sam2s and could not be brought up to date ({error}); it is as it was."
        ) from error


def check_new(path: Path) -> None:
    """Refuse to make a file where there is one already, or no folder for it."""
    if path.exists():
        raise ProjectError(f"{path} exists already: open it, or choose another name.")
    if salt_of(log_of(path)) is not None:  # SQLite would put its masks into the new file
        raise ProjectError(
            f"{log_of(path)} is left from a project that no longer exists: move it elsewhere, or choose another name."
        )
    if not path.parent.is_dir():
        raise ProjectError(f"There is no folder {path.parent} to put {path.name} in.")


def create(path: Path, facts: Mapping[str, object]) -> None:
    """Make a new file that knows ``facts``; it appears whole or not at all.

    Raises :class:`ProjectError` if there is one already, or it cannot be written there.
    """
    check_new(path)
    for left in path.parent.glob(f"{glob.escape(path.name)}.new-*"):
        left.unlink(missing_ok=True)  # of a process that was killed: who makes a project holds its lock
    draft = path.with_name(f"{path.name}.new-{os.getpid()}")
    try:
        connection = _open(draft, "mode=rwc")
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.executescript(f"BEGIN; {_TABLES} {''.join(map(_changes_table, KEYS))} COMMIT;")
            connection.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
        finally:
            connection.close()
        draft.rename(path)
    except (sqlite3.Error, OSError) as error:
        draft.unlink(missing_ok=True)
        raise ProjectError(f"{path} cannot be written ({error}): {remedy(error)}.") from error


def _configure(connection: sqlite3.Connection, writable: bool) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    if writable:
        # In WAL mode a commit survives the death of the process; of the whole machine, all but the last instants do.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")  # or the log keeps the size of its largest commit
