"""Whether the pages of a project file are sound, as far as SQLite can tell."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.validation import quoted

PROBLEMS = 20  # that SQLite lists
SMALL_BYTES = 64 * 2**20  # of a file whose pages and indices are checked whenever it is opened: some 200 ms


def page_problems(connection: sqlite3.Connection, *, quick: bool = False) -> list[str]:
    """Return what SQLite finds wrong with the pages of a database, and (not ``quick``) with its indices."""
    try:
        check = "quick_check" if quick else "integrity_check"
        found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}({PROBLEMS})")]
    except sqlite3.Error as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def is_small(path: Path) -> bool:
    """Whether a file's pages are looked at whenever it is opened."""
    return path.stat().st_size <= SMALL_BYTES


def refuse_broken_pages(connection: sqlite3.Connection, path: Path, *, large: bool = False) -> None:
    """Look at the pages and indices of a small file, which costs little; of a ``large`` one too, if wanted.

    Raises :class:`ProjectError` if some are damaged.
    """
    if (large or is_small(path)) and (found := page_problems(connection)):
        first = found[0].splitlines()[-1]
        raise damaged(path, first)


def damaged(path: Path, what: str) -> ProjectError:
    """Return the error that says what is damaged in a project, and what to do."""
    return ProjectError(
        f"{path} is damaged ({what}): `napari-sam2s doctor {quoted(path.name)}` says what can be saved, and how."
    )
