"""A folder of pictures is all of them: one that changed is named when its project is opened."""

from __future__ import annotations

import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.errors import ProjectError, VideoError
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.picture_changes import changed_pictures, packed, unpacked
from napari_sam2s.video import open_video


def draw(path, value):
    Image.fromarray(np.full((12, 16), value, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "case").mkdir()
    for k in range(9):
        draw(tmp_path / "case" / f"{k:03d}.bmp", 10 * k)  # all of one size
    with open_video(tmp_path / "case") as video:
        Project.create(tmp_path / "case.sam2s", video).close()
    return tmp_path / "case"


def check(folder):
    with Project.open(folder.with_suffix(".sam2s")) as project, open_video(folder) as video:
        project.video.check(video)


def test_the_same_folder_and_copies_of_it_are_known(folder):
    check(folder)
    moved = folder.with_name("moved")
    folder.rename(moved)
    moved.rename(folder)
    check(folder)
    shutil.copytree(folder, folder.with_name("copy"), copy_function=shutil.copyfile)
    for k, path in enumerate(sorted(folder.with_name("copy").iterdir())):
        os.utime(path, ns=(10**18 + 10**10 * k,) * 2)
    shutil.rmtree(folder)
    folder.with_name("copy").rename(folder)
    check(folder)


@pytest.mark.parametrize("changed", [[1], [3, 7], [0]])
def test_pictures_that_changed_are_named(folder, changed):
    with open_video(folder) as video:
        before = video.fingerprint()
        for k in changed:
            draw(folder / f"{k:03d}.bmp", 200)
            os.utime(folder / f"{k:03d}.bmp", ns=(10**18, 10**18))
        with pytest.raises(VideoError, match=f"{changed[0]:03d}.bmp changed or disappeared while it was open"):
            video[changed[0]]
        assert (video[5] == 50).all()
    names = ", ".join(f"{k:03d}.bmp" for k in changed)
    with pytest.raises(ProjectError, match=rf"{len(changed)} of 9 pictures changed since the project was made \({names}\)"):
        check(folder)
    with open_video(folder) as video, Project.open(folder.with_suffix(".sam2s")) as project:
        assert video.fingerprint() != before
        project.video.relink(video)
    check(folder)


def test_a_project_of_before_pictures_were_listed(folder):
    with (
        Project.open(folder.with_suffix(".sam2s")) as project,
        open_video(folder) as video,
        project.store.transaction() as db,
    ):
        db.execute("DELETE FROM meta WHERE key IN ('pictures', 'sample_fingerprint')")
        db.execute("UPDATE meta SET value = ? WHERE key = 'fingerprint'", (video.sample_fingerprint(),))
    check(folder)


def test_what_counts_as_a_change():
    before = {"a": (1, 10**10), "b": (1, 2 * 10**10)}
    assert changed_pictures(before, {"a": (1, 10**10 + 10**9), "b": (1, 2 * 10**10)}) == []  # a disk that counts in 2 s
    assert changed_pictures(before, {"a": (1, 10**10), "b": (2, 2 * 10**10)}) == ["b"]
    assert changed_pictures(before, {"a": (1, 10**10), "c": (1, 2 * 10**10)}) == ["b", "c"]
    many = {f"{k:05d}.png": (k, k * 10**10) for k in range(10_000)}
    started = time.perf_counter()
    assert changed_pictures(unpacked(packed(many)), many | {"00007.png": (8, 0)}) == ["00007.png"]
    assert time.perf_counter() - started < 20  # some 40 ms on an idle machine
