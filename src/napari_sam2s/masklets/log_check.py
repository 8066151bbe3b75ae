"""Whether the write-ahead log beside a project is its own, and of the same moment.

SQLite does not know: the log of another file, or of another day, is applied to whatever lies beside it, and the masks of two
projects are mixed. So the main file keeps a number of its log while it is open (the first "salt" of the log's header, see
https://www.sqlite.org/fileformat2.html#the_write_ahead_log), and a file that was closed has no log that says anything new. Who
copies the main file first and its log some commits later has a pair that does not fit either: so commits are numbered.
"""

from __future__ import annotations

import itertools
import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from napari_sam2s.errors import ProjectError

OPEN, SALT = "open_since", "log_salt"  # in meta, while somebody writes
COMMITS = "commits"  # in meta: how many there were
CREATED = "created"  # in meta, always
MAGIC = {0x377F0682: "<", 0x377F0683: ">"}  # and the order of bytes in its checksums
HEADER, FRAME_HEADER = 32, 24  # bytes
WINDOW = 2**16  # the salt grows by one whenever the log begins anew; it is noted again much sooner
TRIES, TRY_S = 10, 0.05  # while a writer is just opening the file


def log_of(path: Path) -> Path:
    """Return where the write-ahead log of a project is: beside the file itself, not beside a link to it."""
    path = path.resolve()
    return path.with_name(f"{path.name}-wal")


def salt_of(log: Path) -> int | None:
    """Return the first salt of a log, or ``None`` where there is no log that SQLite would read."""
    try:
        with log.open("rb") as file:
            header = file.read(HEADER)
    except OSError:
        return None
    order = MAGIC.get(int.from_bytes(header[:4], "big"))
    if len(header) < HEADER or order is None:
        return None
    first = second = 0
    words = struct.unpack(f"{order}6I", header[:24])
    for a, b in zip(words[::2], words[1::2], strict=True):
        first = (first + a + second) % 2**32
        second = (second + b + first) % 2**32
    return int.from_bytes(header[16:20], "big") if (first, second) == struct.unpack(">2I", header[24:]) else None


def refuse_foreign_log(path: Path, *, alone: bool) -> bool:
    """Look at what lies beside a project before SQLite does; return whether it is a log that can be read.

    ``alone`` says that nobody else can be writing.

    Raises :class:`ProjectError` if it is of another file, or of another moment.
    """
    log = log_of(path)
    for attempt in itertools.count(1):
        salt = salt_of(log)
        if salt is None or _own(path, log, salt):
            return salt is not None
        if alone or attempt == TRIES:
            raise ProjectError(
                f"{log.name} beside {path} holds changes of another project, or of another moment: with it their masks would "
                "be mixed. Move it elsewhere, and open the project without it."
            )
        time.sleep(TRY_S)
    raise AssertionError("unreachable")


def _own(path: Path, log: Path, salt: int) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as main:
            noted = dict(main.execute("SELECT key, value FROM meta WHERE key IN (?, ?, ?)", (OPEN, SALT, CREATED)).fetchall())
    except sqlite3.Error:  # no project, or damaged: what opens it says so
        return True
    if OPEN in noted:
        try:
            same = (salt - int(noted.get(SALT) or "", 16)) % 2**32 < WINDOW
        except (TypeError, ValueError):  # earlier versions noted none
            return True
        return same and _of_one_moment(path, log)
    try:
        with path.open("rb") as main:
            news = [page for number, page in _committed(log).items() if _page(main, number, len(page)) != page]
    except OSError:
        return True
    return not news or (len(news) == 1 and _only_opened(news[0], noted.get(CREATED)))


def _of_one_moment(path: Path, log: Path) -> bool:
    """Whether a log goes on where the file ends: it holds every commit that the file lacks, and the file none that it lacks."""
    asked = "SELECT value FROM meta WHERE key = ?", (COMMITS,)
    uri = f"{path.absolute().as_uri()}?mode=ro"  # which brings nothing into the file when it is closed
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as both:
            both.execute("BEGIN")  # until it is over nobody brings later commits into the file
            last = (both.execute(*asked).fetchone() or (0,))[0]
            with closing(sqlite3.connect(f"{uri}&immutable=1", uri=True)) as main:
                reached = (main.execute(*asked).fetchone() or (0,))[0]
            return last - _commits(log) <= reached <= last
    except (sqlite3.Error, OSError, TypeError):  # damaged, or in a folder that cannot be written: what opens it says so
        return True


def _commits(log: Path) -> int:
    """Return how many commits a log holds."""
    content = log.read_bytes()
    step, salts = FRAME_HEADER + int.from_bytes(content[8:12], "big"), content[16:24]
    found = 0
    for start in range(HEADER, len(content) - step + 1, step):
        if content[start + 8 : start + 16] != salts:  # of before the log began anew
            break
        found += content[start + 4 : start + 8] != bytes(4)
    return found


def _only_opened(page: bytes, created: object) -> bool:
    """Whether the one page that a log changes is the file's own, as it is between opening it and noting that in it.

    Whoever is killed just then leaves such a log. The page holds when the project was made, as SQLite writes a real number.
    """
    return isinstance(created, float) and OPEN.encode() in page and struct.pack(">d", created) in page


def _committed(log: Path) -> dict[int, bytes]:
    """Return the pages that a log would put over those of the file, by their numbers."""
    content = log.read_bytes()
    size, salts = int.from_bytes(content[8:12], "big"), content[16:24]
    pages: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    for start in range(HEADER, len(content) - FRAME_HEADER - size + 1, FRAME_HEADER + size):
        number, length = struct.unpack(">2I", content[start : start + 8])
        if content[start + 8 : start + 16] != salts:  # of before the log began anew
            break
        pending[number] = content[start + FRAME_HEADER : start + FRAME_HEADER + size]
        if length:  # the end of a transaction
            pages.update(pending)
            pending.clear()
    return pages


def _page(main: BinaryIO, number: int, size: int) -> bytes:
    main.seek((number - 1) * size)
    return main.read(size)
