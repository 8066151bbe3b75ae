"""Copies of a project: whole, whoever has it open."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from napari_sam2s.errors import ProjectError, remedy
from napari_sam2s.masklets import schema
from napari_sam2s.masklets.damage import find_damage
from napari_sam2s.masklets.page_check import damaged
from napari_sam2s.masklets.project_draft import project_draft
from napari_sam2s.masklets.validation import quoted, user_path
from napari_sam2s.masklets.write_ahead_log import mark_closed


def copy_project(path: Path | str, target: Path | str, *, change: Callable[[sqlite3.Connection], None] | None = None) -> Path:
    """Copy a project as it is now, also while another process writes it; the copy appears whole or not at all.

    All of the copy is read before it has its name, so that no damage is copied. ``change`` may change it then.

    Returns
    -------
    The copy.

    Raises
    ------
    ProjectError
        If there is no project, it is damaged, the target exists, or it cannot be written.
    """
    path, target = user_path(path), user_path(target)
    if not path.is_file():
        raise ProjectError(f"There is no project {path}.")
    if target.is_dir():
        target = target / path.name
    schema.check_new(target)
    try:
        with project_draft(target) as draft:
            with (
                closing(schema.connect(path, writable=False, check=False)) as source,
                closing(sqlite3.connect(draft)) as made,
            ):
                source.backup(made)
                mark_closed(made)
                made.commit()
            _refuse_damage(path, draft)
            if change is not None:
                with closing(sqlite3.connect(draft)) as made:
                    change(made)
                    made.commit()
    except (sqlite3.Error, OSError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise damaged(path, str(error)) from error
        raise ProjectError(f"{target} cannot be written ({error}): {remedy(error)}.") from error
    return target


def _refuse_damage(path: Path, draft: Path) -> None:
    """Refuse to copy what is damaged; the copy is looked at, since the project itself may change meanwhile."""
    try:
        found = find_damage(draft)
    except ProjectError as error:
        raise ProjectError(str(error).replace(str(draft), str(path))) from error
    if not found.whole:
        raise ProjectError(
            f"{path} is damaged, so the copy would be damaged too: {found.sentence} `napari-sam2s copy --salvage "
            f"{quoted(path.name)} "
            "saved.sam2s` copies what can be read."
        )
