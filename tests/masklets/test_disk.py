"""Disks that are full and folders that cannot be written, for real."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = sys.platform == "linux" and os.geteuid() == 0
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if not mounted or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(project, run, noise):
    """Write until it fails; return what was kept."""
    kept = 0
    try:
        for t in range(30):
            project.write_masks([(t, 1, noise[t], None)], run=run)
            kept = t + 1
    except ProjectError as error:
        if re.search(r"could not be written .*full.*Make room", str(error)):
            return kept
        raise
    raise AssertionError("the disk did not fill up")


def test_a_disk_that_fills_up_in_the_middle_of_a_run(small_disk):
    class Clip:
        shape, fps, path = (30, 900, 900, 3), 25.0, None

    noise = np.random.default_rng(0).random((30, 900, 900)) < 0.5
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(400_000))
    with Project.create(small_disk / "case.sam2s", Clip()) as project:
        project.add_object()
        run = project.runs.start(next_frame=0, stop_frame=30, model="x")
        kept = fill(project, run, noise)
        assert 0 < kept < 30
        assert project.frames == list(range(kept))
        np.testing.assert_array_equal(project.mask(kept - 1, 1), noise[kept - 1])
        ballast.unlink()  # room was made: it goes on in the same process
        project.write_masks([(kept, 1, noise[kept], None)], run=run)
        fill(project, run, noise[::-1])
    with Project.open(small_disk / "case.sam2s", mode="r") as again:
        assert again.store.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert again.frames[: kept + 1] == list(range(kept + 1))
        np.testing.assert_array_equal(again.mask(kept, 1), noise[kept])


def test_changes_that_cannot_be_read_are_not_left_out(small_disk, project):
    """As after a power cut: what was written last lies beside the file."""
    for ending in ("", "-wal"):
        shutil.copy(f"{project.path}{ending}", small_disk / f"case.sam2s{ending}")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(ProjectError, match=r"latest changes of .* still in case\.sam2s-wal.*[Cc]opy both files"):
        Project.open(small_disk / "case.sam2s", mode="r")
    copied = project.path.parent / "copied"
    shutil.copytree(small_disk, copied)
    with Project.open(copied / "case.sam2s", mode="r") as looking:
        assert looking.frames == list(range(30))


def test_a_folder_that_cannot_be_written_is_looked_at(small_disk, project, video):
    project.close()
    path = shutil.copy(project.path, small_disk / "case.sam2s")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(ProjectError, match=r"cannot be written .*open the project with mode='r'"):
        Project.open(path)
    with Project.open(path, mode="r") as looking:
        assert looking.frames == list(range(30))
        assert looking.labels[3].any()
        assert len(looking.masks.series(1)) == 30
        with pytest.raises(ProjectError, match="reading only"):
            looking.add_object()
    with pytest.raises(ProjectError, match="cannot be written"):
        Project.create(small_disk / "new.sam2s", video)
