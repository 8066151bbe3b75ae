"""Divisions: a parent of an object, through the Cell Tracking Challenge's files and back."""

from __future__ import annotations

import shutil
import warnings
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
    assert (out / "res_track.txt").read_text() == "1 0 0 0\n2 2 2 1\n3 4 4 2\n4 6 6 3\n"
    assert parents(read(out)) == {4: None, 9: 4}


class Away(Gaps):
    """One object is not seen for two frames, and comes back; another is there all the time."""

    objects = (Object(1, "in and out"), Object(2, "always"))

    def masks(self, frame):
        half = np.arange(20).reshape(4, 5) < 10
        return {2: ~half} if frame in (2, 3) else {1: half, 2: ~half}


def test_an_object_that_comes_back_is_one_object_again(tmp_path):
    """The challenge's annotators link it by the parent, as its only child, after a gap (its "Annotation procedure", page 2)."""
    out = write_ctc(Away(), tmp_path, "01")
    assert (out / "res_track.txt").read_text() == "1 0 1 0\n2 0 6 0\n3 4 6 1\n"
    assert parents(read(out)) == {1: None, 2: None}
    (out / "objects.csv").unlink()  # as others write it
    back = read(out)
    assert parents(back) == {1: None, 2: None}
    for t in range(7):
        for i, mask in Away().masks(t).items():
            np.testing.assert_array_equal(back.masks(t)[i], mask)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("1 0 1 0\n2 0 6 0\n3 2 6 1\n", {1: None, 2: None, 3: 1}),  # no gap: no reappearance
        ("1 0 1 0\n2 3 6 1\n3 4 6 1\n", {1: None, 2: 1, 3: 1}),  # two children: a division
        ("3 4 6 2\n2 2 2 1\n1 0 0 0\n", {1: None}),  # away twice, in any order
        ("1 0 1\n2 0 6\n3 4 6\n", {1: None, 2: None, 3: None}),  # no parents at all
        ("1 0 1 0\n2 0 6 0\n3 4 6 0\n", {1: None, 2: None, 3: None}),
    ],
)
def test_what_is_a_division_and_what_has_come_back(tmp_path, lines, found):
    out = write_ctc(Away(), tmp_path, "01")
    (out / "objects.csv").unlink()
    (out / "res_track.txt").write_text(lines)
    assert parents(read(out)) == found


def test_a_parent_that_is_not_seen_before_is_told(tmp_path):
    late = Gaps()
    late.objects = (Object(9, "mother"), Object(4, "child", parent=9))
    with pytest.warns(UserWarning, match="01: child has no parent in this format.* Mark the mother as absent"):
        out = write_ctc(late, tmp_path, "01")
    assert (out / "res_track.txt").read_text() == "1 0 0 0\n2 2 2 1\n3 4 4 0\n4 6 6 3\n"


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


def cells_of(seed):
    """Return a project's worth of cells that leave, come back, hide each other and divide: shape, objects and masks."""
    random = np.random.default_rng(seed)
    shape = (9, 30, 40)
    objects = (Object(1, "mother"), Object(4, "left", parent=1), Object(2, "right", parent=1), Object(7, "alone", order=1))
    masks = {t: {} for t in range(shape[0])}
    for o in objects:
        born, last = (0, 3) if o.id == 1 else (4, 8) if o.parent else (0, 8)
        y, x = (int(n) for n in random.integers(0, 20, 2))
        for t in range(born, last + 1):
            if random.random() < 0.8:
                mask = np.zeros(shape[1:], bool)
                mask[y + t // 3 : y + 7, x + t % 2 : x + 12] = True
                masks[t][o.id] = mask
    for t in masks:  # an empty frame is no fault of an export, and the checker warns of it
        masks[t].setdefault(7, np.ones(shape[1:], bool) & (np.arange(40) > 37))
    return shape, objects, masks


@pytest.mark.parametrize("seed", range(4))
def test_the_checker_of_the_challenge_finds_them_valid(tmp_path, seed):
    """`py-ctcmetrics` is no test dependency, as it brings scikit-learn: `pip install py-ctcmetrics` runs this."""
    checker = pytest.importorskip("ctc_metrics", reason="the oracle py-ctcmetrics is not installed")
    shape, objects, masks = cells_of(seed)

    class Cells:
        frames = range(shape[0])

    Cells.shape, Cells.objects, Cells.masks = shape, objects, lambda self, t: masks[t]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pixels that overlap
        out = write_ctc(Cells(), tmp_path, "01")
        truth = tmp_path / "01_GT" / "TRA"
        truth.mkdir(parents=True)
        for path in out.glob("mask*.tif"):
            shutil.copy(path, truth / path.name.replace("mask", "man_track"))
        shutil.copy(out / "res_track.txt", truth / "man_track.txt")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # with which the checker says what is not valid
        found = checker.evaluate_sequence(str(out), str(truth.parent), ["Valid", "DET", "TRA", "BC", "CT", "LNK"], threads=1)
    assert (found["Valid"], found["DET"], found["TRA"], found["CT"], found["AOGM"]) == (1, 1, 1, 1, 0)
    assert found["fp_div(0)"] == found["fn_div(0)"] == 0
    divisions = [int(line.split()[3]) for line in (out / "res_track.txt").read_text().splitlines()]
    assert found["gt_divisions"] == sum(divisions.count(parent) > 1 for parent in set(divisions) - {0})
