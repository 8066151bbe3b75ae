"""What a project says about patients, places and people, and a copy without it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_sam2s.masklets.copies import copy_project
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.video_reference import path_of

NO_NAME = "(name removed)"  # of a model, in a stripped copy
ENDINGS = (".pt", ".pth", ".safetensors", ".bin", ".ckpt")  # of checkpoints


def private_facts(store: Store) -> dict[str, Any]:
    """Return what an open project says beyond masks and prompts.

    Returns
    -------
    ``video``: its last known path, or None. ``names``: names and classes of the objects, and of phases. ``removed_names``:
    names that only the undo history has. ``model_files``: checkpoints, with their paths. ``models``: names of other models.
    ``model_classes``: names that models have for classes. ``first``, ``last``: local time of the first and the last step or
    run, or None. ``steps``: how many the undo history has. A project holds neither user nor machine; while it is open for
    writing, the file ``.holder`` beside it does.
    """
    meta = {row["key"]: row["value"] for row in store.rows("SELECT key, value FROM meta")}
    named = [(row["name"], row["class_name"]) for row in store.rows("SELECT name, class_name FROM objects WHERE NOT removed")]
    phases = {row["name"] for row in store.rows("SELECT name FROM phases")}
    names = phases | {text for pair in named for text in pair if text}
    old = "SELECT name, class_name FROM objects WHERE removed UNION SELECT name, class_name FROM objects_changes "
    old += "UNION SELECT name, NULL FROM phases_changes"
    earlier = {text for row in store.rows(old) for text in (row["name"], row["class_name"]) if text}
    runs = [json.loads(row["provenance"]) for row in store.rows("SELECT provenance FROM runs")]
    sources = {run.get("model_source") for run in runs} - {None, "", NO_NAME}
    classes = [json.loads(row["names"]) for row in store.rows("SELECT names FROM class_lists")]
    classes += [run.get("class_names") or [] for run in runs]
    times = [row["t"] for row in store.rows("SELECT made AS t FROM steps UNION SELECT started FROM runs")]
    times += [meta["created"]] if meta.get("created") else []
    return {
        "video": path_of(meta.get("video")),
        "names": sorted(names),
        "removed_names": sorted(earlier - names),
        "model_files": sorted(filter(_is_file, sources)),
        "models": sorted(source for source in sources if not _is_file(source)),
        "model_classes": sorted({name for names in classes for name in names}),
        "first": _local(min(times, default=0.0)),
        "last": _local(max(times, default=0.0)),
        "steps": store.rows("SELECT count(*) AS n FROM steps")[0]["n"],
    }


def copy_stripped(path: Path | str, target: Path | str) -> Path:
    """Copy a project without its video's path, times of day, files of models, removed objects and undo history.

    Objects with their names and classes, prompts, masks, phases and runs stay, and so do the names of classes that models have
    and the hash by which the video is recognised. The memory of interrupted runs, which comes from the pictures, and where
    uncertain links were read do not. Times count from the first one. An interrupted run can be resumed in the project itself,
    not in the copy.

    Returns
    -------
    The copy.

    Raises
    ------
    ProjectError
        If there is no project, the target exists, or it cannot be written.
    """
    return copy_project(path, target, change=_strip)


def _strip(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM meta WHERE key IN ('video', 'video_relative')")
    done = [run for (run,) in db.execute("SELECT r.id FROM runs r JOIN steps s ON s.id = r.step WHERE NOT s.undone")]
    earlier = db.execute("SELECT value FROM meta WHERE key = 'stripped_runs'").fetchone()
    done += json.loads(earlier[0]) if earlier else []
    db.execute("INSERT OR REPLACE INTO meta VALUES ('stripped_runs', ?)", (json.dumps(sorted(done)),))
    for table in ("masks_changes", "objects_changes", "prompts_changes", "links_changes", "phases_changes", "steps"):
        db.execute(f"DELETE FROM {table}")
    db.execute("DELETE FROM masks WHERE run IN (SELECT run FROM hidden_runs)")  # what was undone, see schema.py
    db.execute("DELETE FROM hidden_runs")
    db.execute("DELETE FROM snapshots")
    db.execute("DELETE FROM prompts WHERE removed OR object_id IN (SELECT id FROM objects WHERE removed)")
    db.execute("UPDATE objects SET name = 'removed', class_name = NULL WHERE removed")
    first = db.execute("SELECT min(started) FROM runs").fetchone()[0] or 0.0
    db.execute("UPDATE runs SET step = NULL, started = started - ?1, finished = finished - ?1", (first,))
    db.execute("UPDATE meta SET value = 0.0 WHERE key = 'created'")
    for run, text in db.execute("SELECT id, provenance FROM runs").fetchall():
        db.execute("UPDATE runs SET provenance = ? WHERE id = ?", (json.dumps(_without_paths(json.loads(text))), run))
    for link, text in db.execute("SELECT id, content FROM links").fetchall():
        db.execute("UPDATE links SET content = ? WHERE id = ?", (json.dumps(json.loads(text) | {"source": {}}), link))
    db.commit()
    db.execute("VACUUM")  # what was deleted is not left in free pages


def _without_paths(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a run without paths and names of files: they can be a person's."""
    return {key: NO_NAME if isinstance(value, str) and _is_file(value) else value for key, value in provenance.items()}


def _is_file(text: str) -> bool:
    return "/" in text or "\\" in text or text.lower().endswith(ENDINGS)


def _local(seconds: float) -> str | None:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else None
