"""Identity surgery over ranges."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project, Prompt


def test_swap_from_here_on(project):
    before = {t: project.masks(t) for t in range(30)}
    project.tracks.swap(1, 2, 10)
    for t in range(30):
        mine, other = (1, 2) if t < 10 else (2, 1)
        np.testing.assert_array_equal(project.mask(t, 1), before[t][mine])
        np.testing.assert_array_equal(project.mask(t, 2), before[t][other])
    assert project.undo() == "swap 1 and 2"
    np.testing.assert_array_equal(project.mask(20, 1), before[20][1])


def test_split_moves_a_span_to_a_new_object(project):
    new = project.add_object("other one").id
    moved = project.mask(12, 1)
    project.tracks.move(1, new, 10, 15)
    assert project.mask(12, 1) is None
    np.testing.assert_array_equal(project.mask(12, new), moved)
    assert project.mask(15, 1) is not None
    assert [s.state for s in project.masks.presence(1)] == ["present", "unseen", "present"]


def test_merge_joins_masks(project):
    both = project.mask(5, 1) | project.mask(5, 2)
    project.tracks.merge(1, 2, 5, 6)
    np.testing.assert_array_equal(project.mask(5, 2), both)
    assert project.mask(5, 1) is None
    assert project.mask(6, 1) is not None


def test_merge_holds_no_more_than_a_few_pictures(tmp_path):
    class Clip:
        shape, fps, path = (60, 540, 960, 3), 25.0, None

    square = np.zeros((540, 960), dtype=bool)
    square[100:300, 100:300] = True
    with Project.create(tmp_path / "a.sam2s", Clip()) as project:
        for mask in (square, square.T.copy().reshape(540, 960)):
            i = project.add_object().id
            project.write_masks([(t, i, mask, None) for t in range(60)])
        tracemalloc.start()
        project.tracks.merge(1, 2)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 15 * square.nbytes  # of 60


def test_shared_pixels_go_to_one_and_what_was_confirmed_or_would_vanish_stays(project):
    whole = np.zeros(project.shape[1:], bool)
    whole[4:20, 4:20] = True
    part = whole.copy()
    part[:, 12:] = False
    project.write_masks([(t, 1, whole, None) for t in range(6)] + [(t, 2, part, None) for t in range(6)])
    project.prompts.add(Prompt(1, 1, points=((5, 5),), labels=(1,)))
    project.tracks.confirm([1], 3, 4)
    assert project.tracks.give_shared(2, 1, 0, 5) == ([0, 1, 2, 4], [3])
    for t in (0, 1, 2, 4):
        np.testing.assert_array_equal(project.mask(t, 1), whole & ~part)
        np.testing.assert_array_equal(project.mask(t, 2), part)
    for t in (3, 5):
        np.testing.assert_array_equal(project.mask(t, 1), whole, "confirmed, or outside of the span")
    [prompt] = project.prompts(1, 1)
    np.testing.assert_array_equal(prompt.mask, whole & ~part, "else tracking on from there would bring the pixels back")
    assert project.tracks.give_shared(1, 2, 5, 6) == ([], [5])
    assert project.undo() == "share 2"
    np.testing.assert_array_equal(project.mask(1, 1), whole)
    assert project.prompts(1, 1)[0].points == ((5, 5),)


def test_delete_and_copy(project):
    project.tracks.delete(1, 3, 8)
    assert project.mask(5, 1) is None
    source = project.mask(2, 1)
    project.tracks.copy(1, 2, 3, 8)
    np.testing.assert_array_equal(project.mask(5, 1), source)
    project.undo()
    project.undo()
    assert project.mask(5, 1) is not None


def test_a_run_that_comes_by_again_leaves_what_was_done_since(project):
    run = project.runs[0].id
    rows = [(t, i, project.mask(t, i), None) for t in range(30) for i in (1, 2)]
    project.tracks.swap(1, 2, 4, 8)
    project.tracks.delete(1, 10, 12)
    after = [project.masks(t) for t in range(30)]
    project.write_masks(rows, run=run)
    for t, masks in enumerate(after):
        assert masks.keys() == project.masks(t).keys()
        assert all(np.array_equal(project.mask(t, i), m) for i, m in masks.items())
    project.undo()
    project.write_masks(rows, run=run)
    assert project.mask(10, 1) is not None


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda p: p.tracks.swap(1, 1), "two different"),
        (lambda p: p.tracks.swap(1, 9), "no object 9"),
        (lambda p: p.tracks.delete(1, 8, 3), "span 8 to 3"),
        (lambda p: p.tracks.delete(1, 0, 31), "31"),
        (lambda p: (p.objects.set_flags(1, locked=True), p.tracks.delete(1))[1], "locked"),
        (lambda p: (p.tracks.delete(1, 2, 3), p.tracks.copy(1, 2, 3, 5))[1], "no mask on frame 2"),
    ],
)
def test_what_makes_no_sense_is_refused(project, act, words):
    with pytest.raises(ProjectError, match=words):
        act(project)
    assert project.labels[4].any()


def test_prompts_go_where_their_masks_go(project):
    for i, t in ((1, 2), (1, 12), (2, 14)):
        project.prompts.add(Prompt(i, t, ((5.0, 5.0),), (1,)))

    def owners():
        return {p.frame: p.object_id for p in project.prompts()}

    project.tracks.swap(1, 2, 10)
    assert owners() == {2: 1, 12: 2, 14: 1}
    project.undo()
    assert owners() == {2: 1, 12: 1, 14: 2}
    project.tracks.move(1, project.add_object().id, 10, 20)
    assert owners() == {2: 1, 12: 3, 14: 2}
    project.tracks.merge(3, 2, 12, 13)
    assert owners() == {2: 1, 12: 2, 14: 2}
    project.tracks.delete(2, 14, 15)
    assert owners() == {2: 1, 12: 2}
    project.tracks.mark_absent(1, 0, 5)
    assert owners() == {12: 2}
    while project.undo() != "swap 1 and 2" and owners() != {2: 1, 12: 1, 14: 2}:
        pass
    assert owners() == {2: 1, 12: 1, 14: 2}
