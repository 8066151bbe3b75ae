"""Copies of a project: whole, whoever has it open."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import schema
from napari_sam2s.masklets.project_draft import project_draft
from napari_sam2s.masklets.validation import user_path
from napari_sam2s.masklets.write_ahead_log import mark_closed


def copy_project(path: Path | str, target: Path | str, *, change: Callable[[sqlite3.Connection], None] | None = None) -> Path:
    """Copy a project as it is now, also while another process writes it; the copy appears whole or not at all.

    ``change`` may change the copy before it has its name.

    Returns
    -------
    The copy.

    Raises
    ------
    ProjectError
        If there is no project, the target exists, or it cannot be written.
    """
    path, target = user_path(path), user_path(target)
    if not path.is_file():
        raise ProjectError(f"There is no project {path}.")
    if target.is_dir():
        target = target / path.name
    schema.check_new(target)
    try:
        with (
            project_draft(target) as draft,
            closing(schema.connect(path, writable=False)) as source,
            closing(sqlite3.connect(draft)) as made,
        ):
            source.backup(made)
            if change is not None:
                change(made)
            mark_closed(made)
            made.commit()
    except (sqlite3.Error, OSError) as error:
        raise ProjectError(f"{target} cannot be written ({error}): choose a folder that can, or make room.") from error
    return target
