"""Whether the pages of a project file are sound, as far as SQLite can tell."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from napari_sam2s.errors import ProjectError

PROBLEMS = 20  # that SQLite lists
SMALL_BYTES = 4 * 2**20  # of a file whose pages and indices are checked whenever it is opened: some 100 ms


def page_problems(connection: sqlite3.Connection, *, quick: bool = False) -> list[str]:
    """Return what SQLite finds wrong with the pages of a database, and (not ``quick``) with its indices."""
    try:
        check = "quick_check" if quick else "integrity_check"
        found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}({PROBLEMS})")]
    except sqlite3.Error as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def refuse_broken_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Look at the pages and indices of a small file, which costs little.

    Raises
    ------
    ProjectError
        If some are damaged.
    """
    if path.stat().st_size <= SMALL_BYTES and (found := page_problems(connection)):
        first = found[0].splitlines()[-1]
        raise ProjectError(f"{path} is damaged ({first}): `napari-sam2s doctor` says what can be saved, and how.")
