"""What is left of the prompts of an object on a frame is said anew, as one step."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.masklets import Project, Prompt
from napari_sam2s.tracking import replace_prompts

CLICK, OTHER = (Prompt(1, 1, points=((y, 3.0),), labels=(1,)) for y in (2.0, 6.0))
NOT_THERE = Prompt(1, 1, points=((4.0, 4.0),), labels=(0,))


@pytest.fixture
def project(tmp_path):
    """An object with two clicks and a mask on frame 1."""
    mask = np.zeros((8, 9), bool)
    mask[2:7, 2:5] = True
    with Project.create(tmp_path / "a.sam2s", np.zeros((3, 8, 9, 3), np.uint8)) as made:
        made.add_object()
        for prompt in (CLICK, OTHER):
            made.prompts.add(prompt)
        made.write_masks([(1, 1, mask, None)], origin="prompted")
        yield made


def replaced(project, *prompts):
    """Replace them; return what was asked."""
    asked = []
    replace_prompts(project, 1, 1, prompts, asked.append)
    return asked


def test_clicks_that_are_left_are_asked_about_together(project):
    assert replaced(project, CLICK, NOT_THERE) == [Prompt(1, 1, points=((2.0, 3.0), (4.0, 4.0)), labels=(1, 0))]
    assert 1 not in project.frames  # whoever is asked writes the mask
    project.undo()
    assert project.mask(1, 1).sum() == 15
    assert len(project.prompts(1, 1)) == 2


def test_a_mask_is_its_own_answer_and_what_was_said_before_it_counts_no_more(project):
    mask = np.zeros((8, 9), bool)
    mask[:2] = True
    assert replaced(project, CLICK, Prompt(1, 1, mask=mask)) == []
    np.testing.assert_array_equal(project.mask(1, 1), mask)


def test_where_it_is_not_corrects_the_mask_that_is_there(project):
    assert replaced(project, NOT_THERE) == []
    assert project.mask(1, 1).sum() == 15
    [kept] = project.prompts(1, 1)
    assert kept.labels == (0,)


def test_nothing_left_leaves_nothing(project):
    assert replaced(project) == []
    assert 1 not in project.frames
    assert len(project.prompts(1, 1)) == 0
