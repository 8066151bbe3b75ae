"""Disks that are full and folders that cannot be written, for real."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_sam2s.errors import FormatError, ModelError, ProjectError
from napari_sam2s.evaluation.score_tables import write_csv
from napari_sam2s.masklets import Project
from napari_sam2s.model.checkpoints import WEIGHTS
from napari_sam2s.model.own_models import add_model, own_models
from napari_sam2s.training.checkpoint import save_atomically
from napari_sam2s.training.curves import append_row


class Clip:
    shape, fps, path = (30, 900, 900, 3), 25.0, None


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


@pytest.mark.slow
def test_a_disk_that_fills_up_in_the_middle_of_a_run(small_disk):
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


def test_helper_files_on_a_full_disk(small_disk, project, monkeypatch):
    """The note of who writes, the list of models, training's checkpoint and curves: a sentence each, and nothing half."""
    project.close()
    path = shutil.copy(project.path, small_disk / "case.sam2s")
    save_atomically({"step": 1}, small_disk / "last.pt")
    (small_disk / "scores.csv").write_text("earlier")
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(small_disk))
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    before = sorted(small_disk.iterdir())
    with pytest.raises(
        ProjectError, match=r"(?m)be written \(No space left on device\): make room on its disk, or choose another disk\.$"
    ):
        Project.open(path)
    with pytest.raises(ProjectError, match="make room"):
        Project.create(small_disk / "new.sam2s", Clip())
    with pytest.raises(FormatError, match=r"last\.pt cannot be written \(No space left"):
        save_atomically({"step": 2}, small_disk / "last.pt")
    assert sorted(small_disk.iterdir()) == before
    with pytest.raises(FormatError, match=r"curve\.csv cannot be written"):
        append_row(small_disk / "curve.csv", {"step": 3})
    with pytest.raises(ModelError, match=r"own_models\.json cannot be written .*make room"):
        add_model(WEIGHTS / "sam2s-nano.pt", "mine")
    with pytest.raises(FormatError, match=r"scores\.csv cannot be written .*make room"):
        write_csv(small_disk / "scores.csv", ["frame"], [[1]])
    assert (small_disk / "scores.csv").read_text() == "earlier"
    assert torch.load(small_disk / "last.pt", weights_only=True) == {"step": 1}
    os.truncate(small_disk / "ballast", (small_disk / "ballast").stat().st_size - 2 * 4096)  # for the note, and no more
    with pytest.raises(ProjectError, match=r"cannot be opened \(.*\): its disk may be full or failing.*Make room"):
        Project.open(path)
    (small_disk / "ballast").unlink()
    with Project.open(path) as again:
        assert again.frames == list(range(30))
    append_row(small_disk / "curve.csv", {"step": 3})
    assert (small_disk / "curve.csv").read_text().split() == ["step", "3"]
    assert not own_models()


@pytest.fixture
def shared_folder(tmp_path):
    """A folder whose files cannot be mapped into the memory of several processes, as some network drives' cannot."""
    inner, folder = tmp_path / "inner", tmp_path / "shared"
    inner.mkdir()
    folder.mkdir()
    if shutil.which("bindfs") is None or subprocess.run(["bindfs", "-o", "direct_io", inner, folder], check=False).returncode:
        pytest.skip("needs bindfs and FUSE")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_drive_that_shares_no_memory_is_one_sentence_and_nothing_is_left(shared_folder, project):
    project.close()
    path = shutil.copy(project.path, shared_folder / "case.sam2s")
    words = r"cannot be opened \(disk I/O error\): its drive does not lock files.*Put the project on a disk of this machine"
    with pytest.raises(ProjectError, match=words):
        Project.create(shared_folder / "new.sam2s", Clip())
    with pytest.raises(ProjectError, match=words):
        Project.open(path)
    with Project.open(path, mode="r") as there:
        assert there.shape == project.shape
    assert not [p.name for p in shared_folder.iterdir() if p.name.startswith("new")]


@pytest.mark.skipif(sys.platform == "win32", reason="fcntl")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_drive_without_locks_is_one_sentence(tmp_path, monkeypatch, number):
    def refuse(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(ProjectError, match=r"its drive does not lock files.*Put the project on a disk of this machine"):
        Project.create(tmp_path / "new.sam2s", Clip())
    assert not list(tmp_path.glob("new*"))


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
    with pytest.raises(ProjectError, match=r"cannot be written .*copy the project to another") as refused:
        Project.open(path)
    assert refused.value.__notes__ == ["Project.open(path, mode='r') only reads it."]
    with Project.open(path, mode="r") as looking:
        assert looking.frames == list(range(30))
        assert looking.labels[3].any()
        assert len(looking.masks.series(1)) == 30
        with pytest.raises(ProjectError, match="reading only"):
            looking.add_object()
    with pytest.raises(ProjectError, match="cannot be written"):
        Project.create(small_disk / "new.sam2s", video)
