"""Copies of a project, made in any way, are whole or say what they lack."""

import gc
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import warnings
from contextlib import closing

import numpy as np
import pytest

from napari_sam2s.cli import main
from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.copies import copy_project
from napari_sam2s.masklets.project_draft import project_draft
from tests.fakes import squares

MASK = np.zeros((48, 80), bool)
MASK[5:20, 5:20] = True
LAST = "SELECT max(frame) FROM masks"


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "a.sam2s", squares(40)) as project:
        project.add_object("grasper")
        project.write_masks([(t, 1, MASK, None) for t in range(30)])
        yield project


def frames(path):
    with Project.open(path, "r") as copy:
        return len(copy.frames), [o.name for o in copy.objects]


def brought_over(project):
    """Wait until the main file has everything."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        shutil.copy(project.path, project.path.with_name("probe.sam2s"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if frames(project.path.with_name("probe.sam2s"))[0] == len(project.frames):
                return True
        project.path.with_name("probe.sam2s").unlink()
    return False


def test_the_main_file_alone_has_it_all_soon_and_says_that_it_was_open(project):
    assert brought_over(project)
    with pytest.warns(UserWarning, match=r"probe.sam2s was copied while it was open.*napari-sam2s copy"):
        assert frames(project.path.with_name("probe.sam2s")) == (30, ["grasper"])


def test_the_main_file_has_it_all_as_soon_as_who_read_what_was_before_has_read_it(project):
    """Else the last commit stayed out of it until there was another."""
    with closing(sqlite3.connect(project.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM masks").fetchone()
        project.write_masks([(35, 1, MASK, None)])
        time.sleep(0.05)
        reader.execute("COMMIT")
    end, last = time.monotonic() + 5, None
    while last != (35,):
        with closing(sqlite3.connect(f"{project.path.as_uri()}?mode=ro&immutable=1", uri=True)) as alone:
            last = alone.execute(LAST).fetchone()
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_closed_project_is_one_file_and_says_nothing(project, tmp_path):
    project.close()
    assert [p.name for p in tmp_path.iterdir()] == ["a.sam2s"]
    shutil.copy(project.path, tmp_path / "b.sam2s")
    assert frames(tmp_path / "b.sam2s") == (30, ["grasper"])


def test_copied_while_it_is_open(project, tmp_path):
    (tmp_path / "folder").mkdir()
    assert main(["copy", str(project.path), str(tmp_path / "folder")]) == 0
    assert frames(tmp_path / "folder" / "a.sam2s") == (30, ["grasper"])
    assert copy_project(project.path, tmp_path / "b.sam2s") == tmp_path / "b.sam2s"
    with Project.open(tmp_path / "b.sam2s") as copy:
        copy.write_masks([(35, 1, MASK, None)])
    assert frames(tmp_path / "b.sam2s")[0] == 31
    assert len(project.frames) == 30
    for bad in (tmp_path / "b.sam2s", tmp_path / "no" / "c.sam2s"):
        with pytest.raises(ProjectError):
            copy_project(project.path, bad)
    with pytest.raises(ProjectError, match="There is no project"):
        copy_project(tmp_path / "none.sam2s", tmp_path / "c.sam2s")


KILLED = """
import os, signal, sys, time
import numpy as np
from napari_sam2s.masklets import Project
project = Project.create(sys.argv[1], np.zeros((40, 48, 80, 3), np.uint8))
project.add_object("hook")
project.write_masks([(t, 1, np.ones((48, 80), bool), None) for t in range(20)])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_killed_it_opens_without_a_word_and_a_copy_without_its_log_with_one(tmp_path):
    path = tmp_path / "a.sam2s"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    shutil.copy(path, tmp_path / "alone.sam2s")
    with pytest.warns(UserWarning, match=r"lost its file alone.sam2s-wal"):
        frames(tmp_path / "alone.sam2s")
    assert frames(path) == (20, ["hook"])
    with Project.open(path) as project:
        assert len(project.frames) == 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_lets_go_of_nothing(project):
    child = os.fork()
    if not child:
        code = 1
        try:
            project.frames  # noqa: B018
        except ProjectError:
            project.close()
            code = 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(ProjectError, match="open for writing"):
        Project.open(project.path)
    project.write_masks([(33, 1, MASK, None)])


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_there_is_one_writer_whatever_the_name(project, tmp_path, link, monkeypatch):
    project.close()
    link(project.path, tmp_path / "other.sam2s")
    with Project.open(project.path), pytest.raises(ProjectError, match="open for writing"):
        Project.open(tmp_path / "other.sam2s")
    Project.open(tmp_path / "other.sam2s").close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not let go of an open file")
def test_a_name_given_while_it_is_open_lets_no_second_writer_in(tmp_path):
    """Which went unseen: the one would have written into a log that the other does not have."""
    with Project.create(tmp_path / "a.sam2s", squares()) as project:
        os.link(project.path, tmp_path / "b.sam2s")
        with pytest.raises(ProjectError, match="open for writing"):
            Project.open(tmp_path / "b.sam2s")
        project.add_object("kept")
    with Project.open(tmp_path / "b.sam2s") as project:
        assert [o.name for o in project.objects] == ["kept"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not let go of an open file")
@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_work_is_not_written_into_a_file_that_nobody_can_find(tmp_path, change):
    path = tmp_path / "a.sam2s"
    with Project.create(path, squares()) as project:
        project.add_object("before")
        shutil.copy(path, tmp_path / "older.sam2s")
        if change == "replaced":
            (tmp_path / "older.sam2s").replace(path)
        else:
            path.unlink()
        with pytest.raises(ProjectError, match="removed or replaced while it was open"):
            project.add_object("after")
        assert [o.name for o in project.objects] == ["before"]


def _write(target, *, interrupted):
    with project_draft(target) as draft:
        assert not draft.exists()
        for ending in ("", "-wal", ".lock") if interrupted else ("",):
            draft.with_name(draft.name + ending).write_text("content")
        if interrupted:
            raise KeyboardInterrupt


def test_a_draft_leaves_nothing_and_touches_nothing_else(tmp_path):
    target, other = tmp_path / "case[1].sam2s", tmp_path / "case[1].sam2s.parts.txt"
    other.write_text("the user's")
    (tmp_path / "case[1].sam2s.part").write_text("of a killed process")
    with pytest.raises(KeyboardInterrupt):
        _write(target, interrupted=True)
    assert [path.name for path in tmp_path.iterdir()] == [other.name]
    _write(target, interrupted=False)
    assert target.read_text() == "content"
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name, other.name]


@pytest.mark.parametrize("half_done", [False, True])
def test_what_nobody_closed_is_closed_when_it_is_no_longer_used(project, half_done):
    """A script that forgets it, or its end: else each later command would say that the last changes may be missing."""
    path = project.path
    project.close()
    left = Project.open(path)
    left.objects.rename(1, "renamed")
    if half_done:
        left.store.db.execute("BEGIN IMMEDIATE")
        left.store.db.execute("UPDATE objects SET name = 'half'")
    assert left.store._let_go.atexit
    del left
    gc.collect()
    assert [p.name for p in path.parent.iterdir()] == [path.name], "a lock or a log is left"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Project.open(path, mode="r") as again:
            assert again.objects.get(1).name == "renamed"
