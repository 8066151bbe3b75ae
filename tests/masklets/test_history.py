"""Steps of undo that are made one."""

from __future__ import annotations

import numpy as np

from napari_sam2s.masklets import Prompt


def test_the_dabs_of_a_stroke_are_one_step(project):
    one = project.add_object()
    project.labels[0, 0:4, 0:4] = one.id
    steps = len(project.steps)
    before = project.labels[0].copy()
    since = project.last_step
    project.labels[0, 2:8, 2:8] = one.id
    project.labels[0, 6:9, 6:9] = 0
    project.add_prompt(Prompt(one.id, 0, mask=project.mask(0, one.id)))
    after = project.labels[0].copy()
    project.merge_steps(since, "paint")
    assert project.steps[-1] == ("paint", False)
    assert len(project.steps) == steps + 1
    assert project.undo() == "paint"
    np.testing.assert_array_equal(project.labels[0], before)
    assert not project.prompts()
    assert project.redo() == "paint"
    np.testing.assert_array_equal(project.labels[0], after)
    assert len(project.prompts()) == 1


def test_nothing_to_merge_is_no_harm(project):
    project.add_object()
    project.merge_steps(project.last_step, "paint")
    assert project.steps[-1] == ("add object", False)
