"""Files of older versions are brought up to date, wholly or not at all.

``version1.sql`` is what the first version wrote: two objects, a prompt, ten tracked frames, a painted and a confirmed one,
a paused run and an undone swap.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project, schema


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old.sam2s"
    db = sqlite3.connect(path)
    db.executescript((Path(__file__).parent / "version1.sql").read_text(encoding="utf-8"))
    db.close()
    return path


def structure(path):
    """Return the columns and indexes of every table."""
    db = sqlite3.connect(path)
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    columns = {t: [row[1:] for row in db.execute(f"PRAGMA table_info({t})")] for t in tables}
    indexes = {
        (t, i[1]): [row[2] for row in db.execute(f"PRAGMA index_info({i[1]})")]
        for t in tables
        for i in db.execute(f"PRAGMA index_list({t})").fetchall()
    }
    version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return columns, indexes, version


def test_a_file_of_the_first_version_becomes_one_of_this(old, tmp_path, video):
    Project.create(tmp_path / "new.sam2s", video).close()
    with Project.open(old) as project:
        assert [(o.name, o.class_name) for o in project.objects] == [("left", "grasper"), ("right", None)]
        assert project.frames == list(range(10))
        assert (project.labels[3, :4, :4] == 2).all()
        assert project.masks.confirmed_frames(1) == [5]
        assert project.prompts()[0].points == ((4.0, 5.0),)
        assert project.masks.series(1).bbox[4].tolist() == [2, 4, 9, 12]
        run = project.runs[0]
        assert (run.status, run.next_frame, run.stop_frame, run.start_frame) == ("paused", 10, 30, None)
        assert run.seconds == run.finished - run.started
        assert project.runs.latest_snapshot(run.id) == (10, "forward", b"state")
        before = np.asarray(project.labels)
        assert project.redo() == "swap 1 and 2"
        while project.undo():
            pass
        assert not project.objects
        while project.redo() not in ("confirm", None):
            pass
        np.testing.assert_array_equal(np.asarray(project.labels), before)
    assert structure(old) == structure(tmp_path / "new.sam2s")


def test_looking_does_not_change_it(old):
    content = old.read_bytes()
    with pytest.raises(ProjectError, match="open it once for writing"):
        Project.open(old, mode="r")
    assert old.read_bytes() == content


def test_what_fails_half_way_did_not_happen(old, monkeypatch):
    before = structure(old)
    monkeypatch.setitem(schema.MIGRATIONS, 1, schema.MIGRATIONS[1] + "INSERT INTO nowhere VALUES (1);")
    with pytest.raises(ProjectError, match=r"could not be brought up to date .*it is as it was"):
        Project.open(old)
    assert structure(old) == before
    monkeypatch.undo()
    Project.open(old).close()


def test_there_is_a_way_from_every_version():
    assert sorted(schema.MIGRATIONS) == list(range(1, schema.VERSION))
