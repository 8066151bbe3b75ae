"""The write-ahead log beside a project: its own, or of another file, or damaged. SQLite itself applies any."""

from __future__ import annotations

import shutil
import sqlite3
import warnings
from contextlib import closing

import numpy as np
import pytest

from napari_sam2s.cli import main
from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project, write_ahead_log
from napari_sam2s.masklets.log_check import log_of, salt_of
from napari_sam2s.masklets.schema import WAL_BYTES

VIDEO = np.zeros((60, 24, 32, 3), np.uint8)


@pytest.fixture(autouse=True)
def nobody_is_waited_for(monkeypatch):
    """A reader looks ten times whether a writer is just opening the file: here as often, in less than half a second."""
    monkeypatch.setattr("napari_sam2s.masklets.log_check.TRY_S", 0.001)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Two projects with their logs, as they lie there when their writers are killed."""
    folder = tmp_path_factory.mktemp("killed")
    for name, masks in (("a", 5), ("b", 9)):
        with Project.create(folder / "open.sam2s", VIDEO) as project:
            project.store._checkpointer.slow = True  # so that the log keeps what is committed
            project.store._checkpointer.close()
            project.add_object(name)
            for t in range(masks):
                project.write_masks([(t, 1, np.ones((24, 32), bool), None)])
            for ending in ("", "-wal"):
                shutil.copy(folder / f"open.sam2s{ending}", folder / f"{name}.sam2s{ending}")
        (folder / "open.sam2s").unlink()
    return folder / "a.sam2s", folder / "b.sam2s"


def beside(folder, project, log):
    """Put a project and a log beside each other."""
    path = shutil.copy(project, folder / "case.sam2s")
    if isinstance(log, bytes):
        log_of(path).write_bytes(log)
    else:
        shutil.copy(log_of(log), log_of(path))
    return path


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_log_of_another_project_is_refused(killed, tmp_path, mode):
    path = beside(tmp_path, *killed)
    with pytest.raises(ProjectError, match=r"case\.sam2s-wal beside .* another project.*Move it elsewhere"):
        Project.open(path, mode)
    assert main(["copy", str(path), str(tmp_path / "copy.sam2s")]) == 2
    assert not (tmp_path / "copy.sam2s").exists()
    shutil.copy(log_of(killed[0]), log_of(path))
    with Project.open(path, mode) as project:
        assert ([o.name for o in project.objects], len(project.frames)) == (["a"], 5)


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_log_that_was_copied_some_commits_later_than_its_file_is_refused(tmp_path, mode):
    """As `cp case.sam2s* backup/` does while somebody writes: each commit is in the file before the next one is in the log."""
    with Project.create(tmp_path / "open.sam2s", VIDEO) as project:
        for t in range(4):
            project.add_object(f"{t}")
            for ending in ("", "-wal"):
                shutil.copy(tmp_path / f"open.sam2s{ending}", tmp_path / f"{t}.sam2s{ending}")
        # A reader keeps the log from beginning anew: it goes on where the file ends.
        with Project.open(project.path, "r") as reader:
            reader.store.db.execute("BEGIN")
            assert len(reader.objects) == 4
            shutil.copy(project.path, tmp_path / "5.sam2s")
            for t in (4, 5):
                project.add_object(f"{t}")
            shutil.copy(log_of(project.path), log_of(tmp_path / "5.sam2s"))
    for file, log in ((0, 2), (1, 3), (3, 1)):
        path = beside(tmp_path, tmp_path / f"{file}.sam2s", tmp_path / f"{log}.sam2s")
        before = path.read_bytes(), log_of(path).read_bytes()
        with pytest.raises(ProjectError, match="or of another moment"):
            Project.open(path, mode)
        assert (path.read_bytes(), log_of(path).read_bytes()) == before
    for file, log, objects in ((2, 2, 3), (2, 3, 4), (5, 5, 6)):
        path = beside(tmp_path, tmp_path / f"{file}.sam2s", tmp_path / f"{log}.sam2s")
        with Project.open(path, mode) as project:
            assert len(project.objects) == objects
        log_of(path).unlink(missing_ok=True)


def test_a_project_that_was_closed_takes_no_log(killed, tmp_path):
    whole = tmp_path / "whole.sam2s"
    with Project.create(whole, VIDEO) as project:
        project.add_object("mine")
    path = beside(tmp_path, whole, killed[1])
    with pytest.raises(ProjectError, match="another project"):
        Project.open(path)
    log_of(path).unlink()
    with Project.open(path) as project:
        assert [o.name for o in project.objects] == ["mine"]


def test_a_log_that_says_what_the_file_has_already(tmp_path):
    path = tmp_path / "case.sam2s"
    with Project.create(path, VIDEO) as project:
        project.add_object("mine")
    with closing(sqlite3.connect(path)) as db:  # another program, which dies after its checkpoint
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("UPDATE objects SET name = 'yours'")
        db.commit()
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        log = log_of(path).read_bytes()
    log_of(path).write_bytes(log)
    with Project.open(path) as project:
        assert [o.name for o in project.objects] == ["yours"]


@pytest.mark.parametrize("cut", [20, 5000])
def test_a_log_that_is_damaged_is_told(killed, tmp_path, cut):
    log = log_of(killed[0]).read_bytes()
    path = beside(tmp_path, killed[0], log[:cut] if cut < 32 else b"x" * cut)
    with pytest.warns(UserWarning, match=r"case\.sam2s was not closed, and case\.sam2s-wal is damaged: the last changes"):
        Project.open(path, "r").close()


def test_no_project_is_made_beside_a_log_that_is_left(killed, tmp_path):
    shutil.copy(log_of(killed[0]), tmp_path / "case.sam2s-wal")
    with pytest.raises(ProjectError, match="left from a project that no longer exists"):
        Project.create(tmp_path / "case.sam2s", VIDEO)
    assert [path.name for path in tmp_path.iterdir()] == ["case.sam2s-wal"]


def test_the_number_of_the_log_is_noted_again(tmp_path, monkeypatch):
    monkeypatch.setattr(write_ahead_log, "NOTED_EVERY", 10)
    path = tmp_path / "case.sam2s"
    with Project.create(path, VIDEO) as project:
        project.add_object("mine")
        first = salt_of(log_of(path))
        for t in range(60):
            project.write_masks([(t, 1, np.ones((24, 32), bool), None)])
        now = salt_of(log_of(path))
        noted = project.store.rows("SELECT value FROM meta WHERE key = 'log_salt'")[0][0]
        assert first < now  # each commit begins it anew, as what was in it is in the file
        assert 0 <= now - int(noted, 16) <= 20
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM meta WHERE key IN ('open_since', 'log_salt')").fetchone()[0] == 0


def test_a_project_that_is_only_opened_stays_the_same_file(tmp_path):
    """Whatever the number of its log was meanwhile: it is another each time."""
    path = tmp_path / "case.sam2s"
    Project.create(path, VIDEO).close()
    Project.open(path).close()
    before = path.read_bytes()
    for _ in range(16):
        Project.open(path).close()
        assert path.read_bytes() == before


def test_a_link_to_a_project_has_the_log_of_the_project(killed, tmp_path):
    path = beside(tmp_path, killed[0], killed[0])
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.sam2s"
    link.symlink_to(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Project.open(link, "r") as project:
            assert len(project.frames) == 5


def closed_and_marked(folder, name, ids, monkeypatch):
    """A closed project, and beside it the log of one who was killed before the main file knew that it is open."""
    path = folder / f"{name}.sam2s"
    with Project.create(path, np.zeros((4, 20, 30, 3), np.uint8)) as project:
        for i in ids:
            project.add_object()
            project.write_masks([(t, i, np.ones((20, 30), bool), None) for t in range(4)])
    monkeypatch.setattr(write_ahead_log, "note_log", lambda *_: None)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        write_ahead_log.mark_open(_WithoutCheckpoint(writer), path)
        kept = folder / f"{name} as it was"
        kept.mkdir()
        for file in (path, log_of(path)):
            shutil.copy(file, kept / file.name)
    monkeypatch.undo()
    return kept / path.name


class _WithoutCheckpoint:
    def __init__(self, connection):
        self._connection = connection

    def execute(self, sql, *values):
        return self._connection.execute("SELECT 1" if "checkpoint" in sql else sql, *values)


def test_one_who_was_killed_in_the_midst_of_opening_loses_nothing(tmp_path, monkeypatch):
    path = closed_and_marked(tmp_path, "case", [1, 2], monkeypatch)
    assert log_of(path).stat().st_size > 0
    with Project.open(path) as project:
        assert {i for t in range(4) for i in project.masks(t)} == {1, 2}


def test_such_a_log_of_another_project_is_refused(tmp_path, monkeypatch):
    mine, other = (closed_and_marked(tmp_path, name, [1], monkeypatch) for name in ("mine", "other"))
    shutil.copy(log_of(other), log_of(mine))
    with pytest.raises(ProjectError, match="another project"):
        Project.open(mine)


def test_a_reader_leaves_nothing_beside_a_project_at_rest(tmp_path):
    with Project.create(tmp_path / "case.sam2s", VIDEO) as project:
        project.add_object("polyp")
    before = project.path.read_bytes()
    first, second = (Project.open(project.path, mode="r") for _ in range(2))
    first.close()
    assert second.objects[0].name == "polyp"
    second.close()
    assert [path.name for path in tmp_path.iterdir()] == ["case.sam2s"]
    assert project.path.read_bytes() == before


def test_the_log_shrinks_again_after_a_large_commit(tmp_path):
    with Project.create(tmp_path / "case.sam2s", VIDEO) as project:
        project.runs.start(next_frame=0, stop_frame=9, snapshot=bytes(12 * 2**20))
        for _ in range(3):
            project.add_object()
        assert log_of(project.path).stat().st_size <= WAL_BYTES
