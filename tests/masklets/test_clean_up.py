"""Cleaning up: what each way does to a mask, and what it leaves alone in a project."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import CleanUp, Project, Scores
from napari_sam2s.masklets.clean_up import CLEAN_UPS
from napari_sam2s.masklets.overlaps import covered, without


def ring():
    """A block of 20 x 20 with a hole of 9 pixels and one of 25, a speck of 4 and a bay that is open to the border."""
    mask = np.zeros((40, 50), bool)
    mask[0:20, 5:25] = True
    mask[8:11, 8:11] = False
    mask[13:18, 15:20] = False
    mask[0:3, 12:14] = False
    mask[30:32, 40:42] = True
    return mask


@pytest.fixture
def project(tmp_path):
    class Video:
        shape = (6, 40, 50, 3)

    with Project.create(tmp_path / "p.sam2s", Video()) as made:
        made.add_object("liver")
        made.write_masks([(t, 1, ring(), Scores(0.5 + t / 100, 3.0)) for t in range(4)])
        yield made


def areas(kind, amount=None, mask=None):
    return int(CleanUp(kind, 1, amount=amount).of(ring() if mask is None else mask).sum())


def test_each_way_does_what_it_says():
    whole = int(ring().sum())
    assert areas("fill holes") == whole + 9 + 25, "a bay at the border is no hole"
    assert areas("fill holes", 9) == whole + 9
    assert areas("remove specks", 4) == whole
    assert areas("remove specks", 5) == whole - 4
    assert areas("keep largest") == whole - 4
    square = np.zeros((40, 50), bool)
    square[10:20, 0:20] = True
    assert areas("grow", 1, square) == 10 * 20 + 2 * 20 + 10, "the border of the picture is no outline"
    assert areas("shrink", 1, square) == 8 * 19
    rough = square.copy()
    rough[9, 5], rough[19, 8] = True, False
    smooth = CleanUp("smooth", 1, amount=2).of(rough)
    assert not smooth[9, 5]
    assert smooth[19, 8]
    for kind in CLEAN_UPS:
        assert not CleanUp(kind, 1).of(np.zeros((5, 5), bool)).any()


def test_nothing_vanishes():
    speck = np.zeros((40, 50), bool)
    speck[3:5, 3:5] = True
    for kind, amount in (("remove specks", 50), ("shrink", 3), ("smooth", 5)):
        np.testing.assert_array_equal(CleanUp(kind, 1, amount=amount).of(speck), speck)
    full = np.ones((5, 5), bool)
    assert CleanUp("shrink", 1).of(full).all()


def test_a_span_is_cleaned_in_one_step_and_keeps_what_is_known(project):
    project.confirm(2)
    edit = CleanUp("fill holes", 1, 1, 3)
    assert edit.preview(project).text == "Fills the holes of 2 masks of liver on frames 1 to 2."
    assert edit.preview(project).confirmed == 1
    assert edit.masks_after(project, 1)[1].sum() == ring().sum() + 34
    assert edit.masks_after(project, 3)[1].sum() == ring().sum()
    before = [(e.scores, e.origin, e.confirmed) for t in range(4) for e in project.masks.entries(t)]
    heard = []
    project.masks_changed.connect(heard.append)
    assert edit.apply(project) == 2
    assert heard == [(1, 2)]
    assert [int(project.mask(t, 1).sum() - ring().sum()) for t in range(4)] == [0, 34, 34, 0]
    assert [(e.scores, e.origin, e.confirmed) for t in range(4) for e in project.masks.entries(t)] == before
    assert project.masks.series(1).area.tolist() == [int(project.mask(t, 1).sum()) for t in range(4)]
    steps = len(project.history.steps)
    assert edit.apply(project) == 0
    assert len(project.history.steps) == steps, "what changes nothing is no step of undo"
    assert project.undo() == "fill holes of object 1"
    assert all(np.array_equal(project.mask(t, 1), ring()) for t in range(4))


def test_what_does_not_fit_is_refused(project):
    with pytest.raises(ProjectError, match="is not a clean-up"):
        CleanUp("polish", 1)
    with pytest.raises(ProjectError, match="give 0 to 100 pixels; got 101"):
        CleanUp("grow", 1, amount=101)
    with pytest.raises(ProjectError, match="give 0 pixels or more; got -1"):
        CleanUp("fill holes", 1, amount=-1)
    project.objects.set_flags(1, locked=True)
    with pytest.raises(ProjectError, match="liver is locked"):
        CleanUp("smooth", 1).apply(project)


def test_what_a_mask_covers_as_well(project):
    project.add_object("gauze")
    project.add_object("thread")
    other = np.zeros((40, 50), bool)
    other[15:25, 5:25] = True
    project.write_masks([(0, 2, other, None), (0, 3, np.roll(other, 15, axis=0), None)])
    both = int((ring() & other).sum())
    assert covered(project.masks(0), 2) == {1: pytest.approx(both / 200)}
    assert covered(project.masks(0), 3) == {}
    assert covered(project.masks(1), 2) == {}
    assert without(project.masks(0), 2, 1).sum() == 200 - both
