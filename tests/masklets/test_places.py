"""Centroids are kept beside the masks: whatever is done to masks, they are the means of their pixels, to the last bit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project, rle
from napari_sam2s.masklets.clean_up import CleanUp
from napari_sam2s.masklets.copies import copy_project
from napari_sam2s.masklets.damage import find_damage
from napari_sam2s.masklets.salvage import salvage_project


def pixel_means(project):
    """Return what ``places`` says, from the pixels."""
    rows = []
    for known in project.objects:
        for frame in project.frames:
            mask = project.masks(frame).get(known.id)
            if mask is not None and mask.any():
                y, x = np.nonzero(mask)
                rows.append((known.id, frame, y.sum() / len(y), x.sum() / len(x), len(y)))
    return np.array(rows).reshape(-1, 5)


def check(project):
    places, means = project.masks.places(), pixel_means(project)
    np.testing.assert_array_equal(places[:, [0, 1, 4]], means[:, [0, 1, 4]])
    np.testing.assert_allclose(places[:, 2:4], means[:, 2:4], rtol=0, atol=1e-12)
    return places


def kept(path, where="1"):
    """Return how many masks of a file have a centroid beside them, and how many have none."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"SELECT count(y_sum), count(*) - count(y_sum) FROM masks WHERE {where}").fetchone()


def blob(random):
    mask = np.zeros((24, 32), dtype=bool)
    y, x = random.integers(0, 20, 2)
    mask[y : y + 9, x : x + 11] = random.random(mask[y : y + 9, x : x + 11].shape) < 0.6
    return mask


EDITS = [
    lambda p, r: p.write_masks([(t, 1, blob(r), None) for t in (3, 4)], origin="painted"),
    lambda p, r: p.write_masks([(t, i, blob(r), None) for t in (4, 5, 6) for i in (1, 2)]),
    lambda p, r: p.write_masks([(7, 2, rle.encode(blob(r)), None), (8, 2, rle.EMPTY, None)], origin="imported"),
    lambda p, r: p.tracks.swap(1, 2, 5, 12),
    lambda p, r: p.tracks.move(1, 2, 14, 17),
    lambda p, r: p.tracks.merge(2, 1, 20, 24),
    lambda p, r: p.tracks.delete(1, 9, 11),
    lambda p, r: p.tracks.copy(2, 3, 25, 28),
    lambda p, r: p.tracks.mark_absent(1, 12, 14),
    lambda p, r: p.tracks.reshape(2, [(t, rle.encode(blob(r))) for t in (15, 16)]),
    lambda p, r: CleanUp("shrink", 1, 1).apply(p),
    lambda p, r: p.objects.remove(2),
]


def test_after_each_edit_undo_and_redo(project):
    random = np.random.default_rng(1)
    states = [check(project)]
    for edit in EDITS:
        edit(project, random)
        states.append(check(project))
    assert all(not np.array_equal(a, b) for a, b in pairwise(states)), "an edit changed nothing"
    for state in states[-2::-1]:
        project.undo()
        np.testing.assert_array_equal(check(project), state)
    for _ in range(3):
        project.undo()  # the run and the objects
        check(project)
    while project.redo():
        check(project)
    np.testing.assert_array_equal(check(project), states[-1])
    assert kept(project.path)[1] == 0, "a mask was written without its centroid"


def test_in_copies_and_salvaged_projects(project, tmp_path):
    CleanUp("shrink", 1, 1).apply(project)
    expected = check(project)
    for made in (copy_project(project.path, tmp_path / "b.sam2s"), salvage_project(project.path, tmp_path / "c.sam2s")[0]):
        with Project.open(made, mode="r") as other:
            np.testing.assert_array_equal(check(other), expected)


def test_a_file_of_an_earlier_version_has_none_and_they_are_worked_out(tmp_path, monkeypatch):
    path = tmp_path / "old.sam2s"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(Path(__file__).with_name("version1.sql").read_text(encoding="utf-8"))
    monkeypatch.setattr(rle, "PART", 3)
    with Project.open(path) as project:
        assert kept(path) == (0, 20)
        assert len(check(project)) == 20
        project.write_masks([(4, 1, blob(np.random.default_rng(0)), None)], origin="painted")
        check(project)
        project.redo()
        while project.undo():
            check(project)
    assert kept(path)[0] == 0, "undone, the mask of the earlier version is back, without a centroid"


def test_a_centroid_of_another_mask_is_told_and_not_saved(project, tmp_path):
    path = project.path
    expected = check(project)
    project.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE masks SET y_sum = y_sum + 1 WHERE frame = 3 AND object_id = 2")
    assert find_damage(path).sentence == "some centroids do not match their masks."
    with pytest.raises(ProjectError, match="some centroids do not match their masks"):
        copy_project(path, tmp_path / "b.sam2s")
    with Project.open(salvage_project(path, tmp_path / "c.sam2s")[0], mode="r") as other:
        np.testing.assert_array_equal(check(other), expected)


@pytest.mark.parametrize("value", ["-5", "9000000000", "'x'", "2.5", "NULL"])
def test_a_centroid_that_cannot_be_is_refused(project, value):
    path = project.path
    project.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE masks SET x_sum = {value} WHERE frame = 3 AND object_id = 2")
    with pytest.raises(ProjectError, match="object 2 on frame 3: x_sum is"), Project.open(path):
        pass


def test_a_damaged_mask_is_not_written(project):
    good = rle.encode(blob(np.random.default_rng(0)))
    bad = rle.Mask(good.y0, good.x0, good.height, good.width, good.counts, good.area + 1)
    before = check(project)
    with pytest.raises(ProjectError, match="damaged"):
        project.write_masks([(2, 1, good, None), (3, 1, bad, None)], origin="painted")
    np.testing.assert_array_equal(check(project), before)
