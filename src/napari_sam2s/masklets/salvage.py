"""A new project of all that can be read of a damaged one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import schema
from napari_sam2s.masklets.colours import COLOURS
from napari_sam2s.masklets.damage import HISTORY, ROWS, Damage, Remains
from napari_sam2s.masklets.log_check import OPEN, SALT
from napari_sam2s.masklets.project_draft import project_draft
from napari_sam2s.masklets.row_check import lost_parents, unsound_fact
from napari_sam2s.masklets.validation import user_path
from napari_sam2s.masklets.write_ahead_log import mark_closed


def salvage_project(path: Path | str, target: Path | str) -> tuple[Path, Damage]:
    """Write what can be read of a damaged project into a new one, which appears whole or not at all; the old one stays.

    Returns
    -------
    The new file, and what could not be read.

    Raises
    ------
    ProjectError
        If there is no project, nothing of it can be read, the target exists, or it cannot be written.
    """
    target = user_path(target)
    if target.is_dir():
        target = target / user_path(path).name
    schema.check_new(target)
    with Remains(path) as remains:
        try:
            with project_draft(target) as draft:
                schema.create(draft, _sound_facts(remains.facts))
                with closing(schema.connect(draft, writable=True)) as made:
                    made.execute("PRAGMA foreign_keys = OFF")
                    made.execute("BEGIN")
                    _fill(made, remains)
                    made.execute("COMMIT")
                    mark_closed(made)
        except (sqlite3.Error, OSError) as error:
            raise ProjectError(f"{target} cannot be written ({error}): choose another folder, or make room.") from error
        return target, remains.damage


def _sound_facts(facts: Mapping[str, object]) -> dict[str, object]:
    """Return what is known of the video, without what cannot be, and without the mark of a writer."""
    kept = {key: value for key, value in facts.items() if key not in (OPEN, SALT)}
    while (wrong := unsound_fact(kept)) is not None:
        kept[wrong] = "" if wrong == "fingerprint" else None
    return kept


def _fill(made: sqlite3.Connection, remains: Remains) -> None:
    for table in ROWS:
        _insert(made, table, remains.rows(table))
    history = remains.history()
    _insert(made, "masks", remains.masks(undone=history))
    if history:
        for table in (*HISTORY, "hidden_runs"):
            _insert(made, table, remains.all_rows(table))
    else:  # runs then end where they are: their steps are not known
        made.execute("UPDATE runs SET step = NULL")
    _insert(made, "snapshots", remains.snapshots())
    found = "SELECT object_id FROM masks UNION SELECT object_id FROM prompts UNION SELECT object_id FROM links"
    for (i,) in made.execute(f"SELECT * FROM ({found}) WHERE object_id NOT IN (SELECT id FROM objects)").fetchall():
        colour = json.dumps(COLOURS[(i - 1) % len(COLOURS)])
        values = {"id": i, "name": f"object {i}", "colour": colour, "sort": i}
        _insert(made, "objects", [values])
    made.execute("UPDATE links SET same_as = NULL WHERE same_as NOT IN (SELECT id FROM objects)")
    parents = dict(made.execute("SELECT id, parent FROM objects").fetchall())
    made.executemany("UPDATE objects SET parent = NULL WHERE id = ?", [(child,) for child in lost_parents(parents)])
    made.execute(
        "DELETE FROM hidden_runs WHERE run NOT IN (SELECT r.id FROM runs r JOIN steps s ON s.id = r.step WHERE s.undone)"
    )
    for table in ("masks", "masks_changes"):  # centroids are then worked out again
        made.execute(f"UPDATE {table} SET y_sum = NULL, x_sum = NULL")
    made.execute("UPDATE masks SET run = NULL WHERE run NOT IN (SELECT id FROM runs)")
    made.execute("DELETE FROM snapshots WHERE run NOT IN (SELECT id FROM runs)")


def _insert(made: sqlite3.Connection, table: str, rows: Iterable[sqlite3.Row | Mapping[str, object]]) -> None:
    for row in rows:
        names = row.keys()
        sql = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        made.execute(sql, tuple(row[name] for name in names))
