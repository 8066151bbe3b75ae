"""Divisions: a parent of an object, through the Cell Tracking Challenge's files and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_sam2s.errors import FormatError, ProjectError
from napari_sam2s.formats import read_ctc, write_ctc
from napari_sam2s.masklets import Object, Project

LINES = "1 0 1 0\n2 2 3 1\n3 2 3 1\n"


def challenge(folder, lines=LINES):
    """Write ground truth in which cell 1 divides into 2 and 3 on frame 2."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(4):
        labels = np.zeros((12, 16), np.uint16)
        if t < 2:
            labels[2:5, 2:10] = 1
        else:
            labels[2:5, 2:5], labels[2:5, 7:10] = 2, 3
        tifffile.imwrite(folder / f"man_track{t:03d}.tif", labels)
    (folder / "man_track.txt").write_text(lines)
    return folder


def read(folder):
    return next(iter(read_ctc(folder).values()))


def parents(masklets):
    return {o.id: o.parent for o in masklets.objects}


def test_parents_there_and_back(tmp_path):
    cells = read(challenge(tmp_path / "TRA"))
    assert parents(cells) == {1: None, 2: 1, 3: 1}
    out = write_ctc(cells, tmp_path / "out", "01")
    assert (out / "res_track.txt").read_text() == LINES
    assert parents(read(out)) == {1: None, 2: 1, 3: 1}
    (out / "objects.csv").unlink()  # as others write it
    assert parents(read(out)) == {1: None, 2: 1, 3: 1}


class Gaps:
    """Object 4 is seen twice, then 9 comes of it, which is seen twice as well."""

    shape = (7, 4, 5)
    frames = range(7)
    objects = (Object(9, "child", parent=4), Object(4, "mother"))

    def masks(self, frame):
        whole = np.ones((4, 5), bool)
        return {4: whole} if frame in (0, 2) else {9: whole} if frame in (4, 6) else {}


def test_a_parent_with_gaps_is_its_last_track(tmp_path):
    out = write_ctc(Gaps(), tmp_path, "01")
    assert (out / "res_track.txt").read_text() == "1 0 0 0\n2 2 2 0\n3 4 4 2\n4 6 6 0\n"
    assert parents(read(out)) == {4: None, 9: 4}


def test_a_track_whose_parent_is_its_own_object_is_no_division(tmp_path):
    out = write_ctc(Gaps(), tmp_path, "01")
    (out / "res_track.txt").write_text("1 0 0 0\n2 2 2 1\n3 4 4 2\n4 6 6 3\n")
    assert parents(read(out)) == {4: None, 9: 4}


def test_a_parent_that_is_not_seen_before_is_told(tmp_path):
    late = Gaps()
    late.objects = (Object(9, "mother"), Object(4, "child", parent=9))
    with pytest.warns(UserWarning, match=r"the parents of the objects \[4\] are left out"):
        out = write_ctc(late, tmp_path, "01")
    assert all(line.endswith(" 0") for line in (out / "res_track.txt").read_text().splitlines())


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("1 0 1 0\n2 2 3 8\n3 2 3 1\n", "track 2 the parent 8, which is not in the list"),
        ("1 0 1 2\n2 2 3 1\n3 2 3 1\n", "descend from themselves"),
        ("1 0 1 one\n2 2 3 1\n3 2 3 1\n", "is not a list of tracks"),
    ],
)
def test_bad_lists(tmp_path, lines, words):
    with pytest.raises(FormatError, match=words):
        read_ctc(challenge(tmp_path / "TRA", lines))


def test_parents_of_a_project(tmp_path):
    with Project.create(tmp_path / "cells.sam2s", np.zeros((4, 12, 16, 3), np.uint8)) as project:
        for i in range(3):
            project.add_object()
            shown = range(2) if i == 0 else range(2, 4)
            mask = np.zeros((12, 16), bool)
            mask[3 * i : 3 * i + 2] = True
            project.write_masks([(t, i + 1, mask if t in shown else ~mask & False, None) for t in range(4)])
        project.objects.set_parent(2, 1)
        project.objects.set_parent(3, np.int64(1))
        assert parents(project) == {1: None, 2: 1, 3: 1}
        assert (project.export(tmp_path, "ctc") / "res_track.txt").read_text() == LINES
        project.undo()
        assert parents(project) == {1: None, 2: 1, 3: None}
        project.redo()
    with Project.open(tmp_path / "cells.sam2s") as project:
        assert parents(project) == {1: None, 2: 1, 3: 1}
        assert project.objects.get(2) == replace(project.objects.get(2), parent=1)
        for child, parent, words in (
            (1, 1, "cannot descend"),
            (1, 2, "cannot descend"),
            (2, 7, "no object 7"),
            (7, 1, "no object 7"),
        ):
            with pytest.raises(ProjectError, match=words):
                project.objects.set_parent(child, parent)
        project.objects.set_parent(2, None)
        assert project.objects.get(2).parent is None
