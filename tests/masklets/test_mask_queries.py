"""What is read of a project: of objects that are there, by any kind of integer."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Prompt, Scores


def square(t, i):
    mask = np.zeros((24, 32), dtype=bool)
    mask[2 + 10 * (i - 1) : 9 + 10 * (i - 1), t % 20 : t % 20 + 8] = True
    return mask


def test_a_removed_object_is_on_no_frame_until_undo_brings_it_back(project):
    third = project.add_object().id
    project.write_masks([(t, third, square(t, 1), Scores(0.9, 4.0)) for t in (4, 5)])
    project.tracks.delete(1, 5, 6)
    project.tracks.delete(2, 5, 6)
    project.prompts.add(Prompt(third, 4, ((3.0, 4.0),), (1,)))
    assert 5 in project.frames
    project.objects.remove(third)
    assert sorted(project.masks(4)) == [1, 2]
    assert [entry.object_id for entry in project.masks.entries(4)] == [1, 2]
    assert project.scores(4) == {}
    assert sorted(project.masks.origins(4)) == [1, 2]
    assert project.frames == [t for t in range(30) if t != 5]
    assert project.masks(5) == {}
    assert project.prompts() == project.prompts(third) == []
    np.testing.assert_array_equal(project.mask(4, third), square(4, 1))  # by its id it is still found
    assert len(project.masks.series(third)) == 2
    assert project.undo() == "remove object"
    assert sorted(project.masks(4)) == [1, 2, third]
    assert project.scores(4) == {third: Scores(0.9, 4.0)}
    project.write_masks([(4, third, square(4, 1), Scores(0.8, 4.0, None))])  # no probabilities of classes
    assert project.scores(4) == {third: Scores(0.8, 4.0)}
    assert project.frames == list(range(30))
    assert len(project.prompts(third)) == 1


def test_a_removed_object_is_not_confirmed_with_its_frame(project):
    project.objects.remove(2)
    project.confirm(3)
    project.undo()
    project.redo()
    assert project.masks.confirmed_frames(1) == [3]
    assert project.masks.confirmed_frames(2) == []


def test_what_propagation_goes_on_to_write_of_a_removed_object_comes_back_with_it(project):
    """The widget may remove an object while it is being tracked."""
    project.objects.remove(2)
    project.write_masks([(7, 2, square(9, 2), None)], run=project.runs[0].id)
    assert sorted(project.masks(7)) == [1]
    project.undo()
    np.testing.assert_array_equal(project.mask(7, 2), square(9, 2))


def test_frames_and_ids_may_be_numpys_integers(project):
    left, right = np.int64(1), np.uint8(2)
    assert len(project.masks.series(1)) == 30  # from now on it is cached
    project.write_masks([(t, left, square(0, 1), Scores(np.float32(0.5), np.float32(2.0))) for t in np.arange(3)])
    for t in range(3):
        np.testing.assert_array_equal(project.mask(t, 1), square(0, 1))
        np.testing.assert_array_equal(project.mask(np.int32(t), left), square(0, 1))
    assert project.masks.series(1).area[:3].tolist() == [56] * 3
    assert project.scores(np.int64(0))[1] == Scores(0.5, 2.0)
    assert project.frames == list(range(30))
    project.confirm(np.int64(2), left)
    assert project.masks.confirmed_frames(left) == [2]
    project.prompts.add(Prompt(left, np.int64(4), ((np.float32(1.5), np.int64(2)),), (np.int64(1),)))
    assert project.prompts(left, np.int64(4)) == [Prompt(1, 4, ((1.5, 2),), (1,))]
    project.prompts.remove(left, np.int64(4))
    assert project.prompts() == []
    project.tracks.swap(left, right, np.int64(10), np.int64(12))
    np.testing.assert_array_equal(project.mask(10, 2), square(10, 1))
    project.tracks.copy(left, np.int64(0), np.int64(20), np.int64(22))
    np.testing.assert_array_equal(project.mask(21, 1), square(0, 1))
    link = project.links.add(left, np.int64(3), [(right, np.float32(0.5))])
    assert project.links.get(np.int64(link.id)).frame == 3
    project.tracks.mark_absent(left, np.int64(25), np.int64(26))
    assert not project.mask(25, 1).any()
    run = project.runs.start(next_frame=np.int64(3), stop_frame=np.int64(9), objects=[left])
    project.runs.save_snapshot(run, np.int64(5), "forward", b"state")
    assert project.runs.latest_snapshot(run)[0] == 5
    assert (project.runs[-1].start_frame, project.runs[-1].stop_frame) == (3, 9)
    assert project.runs[-1].provenance == {"objects": [1]}
    project.runs.finish(run)
    while project.undo():
        pass
    kinds = {tuple(row) for row in project.store.rows("SELECT typeof(frame), typeof(object_id) FROM masks_changes")}
    assert kinds == {("integer", "integer")}


@pytest.mark.parametrize(
    "act",
    [
        lambda p: p.write_masks([(1.0, 1, square(0, 1), None)]),
        lambda p: p.write_masks([(1, 1.0, square(0, 1), None)]),
        lambda p: p.mask(1.5, 1),
        lambda p: p.masks(np.float64(1)),
        lambda p: p.masks.series("1"),
        lambda p: p.confirm(1.0),
        lambda p: p.tracks.swap(1, 2, 1.5),
        lambda p: p.tracks.delete(1.0, 1),
        lambda p: p.prompts.add(Prompt(1, 1.5)),
        lambda p: p.prompts(1, 1.5),
        lambda p: p.objects.rename(1.0, "x"),
    ],
)
def test_what_is_no_integer_is_refused(project, act):
    before = project.history.steps
    with pytest.raises(ProjectError, match=r"must be a whole number, not "):
        act(project)
    assert project.history.steps == before


def test_a_prompt_that_starts_anew_takes_the_place_of_those_of_its_frame(project):
    for t in (3, 4):
        project.keep_prompt(Prompt(1, t, ((5.0, 5.0),), (1,)), square(t, 1), None)
    project.keep_prompt(Prompt(2, 3, ((15.0, 5.0),), (1,)), square(3, 2), None)
    anew = Prompt(1, 3, box=(1.0, 2.0, 8.0, 9.0))
    project.keep_prompt(anew, square(9, 1), None, reset=True)
    assert project.prompts(1, 3) == [anew]
    assert len(project.prompts(1, 4)) == len(project.prompts(2, 3)) == 1
    assert project.undo() == "prompt"  # one step
    assert project.prompts(1, 3) == [Prompt(1, 3, ((5.0, 5.0),), (1,))]
    np.testing.assert_array_equal(project.mask(3, 1), square(3, 1))
