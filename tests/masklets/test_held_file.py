"""Another process beside a project that is open here, after something here has closed a descriptor of its files."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from napari_sam2s.masklets import Project

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="locks of open file descriptions are Linux's")

LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM masks").fetchone()[0])
connection.close()
"""


class Clip:
    shape, fps, path = (20, 24, 32, 3), 25.0, None


def look(path, code=LOOK):
    """Open and close a project in a process of its own, as a viewer of databases does, and return what that says."""
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout.strip()


def read_all(folder):
    """Read the first bytes of every file, as Qt's file dialogs do for the icons. SQLite's own locks end by that."""
    for file in folder.iterdir():
        with file.open("rb") as opened:
            opened.read(16)


def test_commits_after_a_file_dialog_are_kept_when_another_program_looks_in(tmp_path):
    path = tmp_path / "case.sam2s"
    mask = np.zeros((24, 32), bool)
    mask[4:9, 5:11] = True
    with Project.create(path, Clip) as project:
        project.add_object()
        project.write_masks([(0, 1, mask, None)])
        read_all(tmp_path)
        assert look(path) == "1"
        beside = {file.name: file.stat().st_ino for file in tmp_path.glob("*.sam2s-*")}
        assert set(beside) == {"case.sam2s-wal", "case.sam2s-shm"}, "whoever thinks to be the last takes them away"
        project.write_masks([(1, 1, mask, None)])
        assert look(path) == "2"
        assert {file.name: file.stat().st_ino for file in tmp_path.glob("*.sam2s-*")} == beside
    assert [file.name for file in tmp_path.iterdir()] == ["case.sam2s"], "at rest it is one file"
    with Project.open(path, mode="r") as project:
        assert list(project.frames) == [0, 1]


def test_a_writer_leaves_the_log_to_a_reader_that_has_had_a_file_dialog_open(tmp_path):
    path = tmp_path / "case.sam2s"
    mask = np.ones((24, 32), bool)
    write = """
import sys; import numpy as np; from napari_sam2s.masklets import Project
with Project.open(sys.argv[1]) as project:
    project.write_masks([(len(project.frames), 1, np.ones((24, 32), bool), None)])
"""
    with Project.create(path, Clip) as project:
        project.add_object()
        project.write_masks([(0, 1, mask, None)])
    with Project.open(path, mode="r") as reader:
        assert list(reader.frames) == [0]
        read_all(tmp_path)
        look(path, write)
        assert list(reader.frames) == [0, 1]
        look(path, write)
        assert list(reader.frames) == [0, 1, 2]
