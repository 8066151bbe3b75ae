"""An object that falls in two: found by the review, and divided into daughters with a mother."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project, rle
from napari_sam2s.masklets.divisions import divide
from napari_sam2s.masklets.mask_parts import likeness

FRAMES, FIRST, SPLIT, STOP, AGAIN = 20, 6, 7, 13, 15  # on FIRST a daughter is small yet; from STOP to AGAIN one is lost


def disc(y, x, radius=8):
    rows, columns = np.ogrid[:60, :80]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def mask_of(t):
    """A nucleus; from ``FIRST`` on its daughters, which turn about each other."""
    if t < FIRST:
        return disc(30, 40, 11)
    if STOP <= t < AGAIN:
        return disc(30, 55)
    turn = (t - FIRST) * 0.5
    y, x = 15 * np.sin(turn), 15 * np.cos(turn)
    return disc(30 + y, 40 + x, 4.6 if t == FIRST else 7) | disc(30 - y, 40 - x)


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "a.sam2s", np.zeros((FRAMES, 60, 80, 3), np.uint8)) as made:
        made.add_object("nucleus", "cell")
        made.write_masks([(t, 1, mask_of(t), None) for t in range(FRAMES)])
        yield made


def test_how_alike_the_parts_of_a_mask_are():
    assert likeness(rle.encode(disc(20, 20))) == likeness(rle.EMPTY) == likeness(None) == 0
    assert likeness(rle.encode(disc(20, 20) | disc(20, 60))) == 1
    ring, speck = disc(20, 20) & ~disc(20, 20, 6), disc(40, 60, 0)
    assert likeness(rle.encode(ring | speck)) == pytest.approx(1 / ring.sum())


def test_the_review_offers_it_once_there_are_two_for_a_while(project):
    [span] = [s for s in project.review() if "in two parts" in s.text]
    reason = next(r for r in span.reasons if r.kind == "falls in two")
    assert (span.objects, reason.frames) == ((1,), STOP - SPLIT + FRAMES - AGAIN)
    assert reason.frame == SPLIT, "the first frame that is in two, though later ones are so more clearly"
    project.write_masks([(t, 1, mask_of(0), None) for t in range(FRAMES) if t not in (SPLIT, AGAIN + 2)])
    assert not [s for s in project.review() if "in two parts" in s.text], "on one frame alone"


@pytest.mark.parametrize("when", [SPLIT, SPLIT + 2, AGAIN + 1])
def test_a_division_gives_each_daughter_her_part_a_mother_and_a_prompt(project, when):
    left, right, first, last = divide(project, 1, when)
    assert (first, last) == (FIRST, STOP - 1)
    assert [(o.name, o.class_name, o.parent) for o in (left, right)] == [("nucleus.1", "cell", 1), ("nucleus.2", "cell", 1)]
    assert [t for t in range(FRAMES) if project.mask(t, 1).any()] == list(range(FIRST))
    for o in (left, right):
        masks = [project.mask(t, o.id) for t in range(FIRST, STOP)]
        centres = np.array([np.argwhere(mask).mean(axis=0) for mask in masks])
        assert np.hypot(*np.diff(centres, axis=0).T).max() < 9, "she is the same all the time"
        [prompt] = project.prompts(o.id)
        assert prompt.frame == last
        np.testing.assert_array_equal(prompt.mask, masks[-1])
        assert project.mask(FIRST - 1, o.id) is None
    whole = project.mask(SPLIT, left.id) | project.mask(SPLIT, right.id)
    np.testing.assert_array_equal(whole, mask_of(SPLIT))
    assert project.tracks().parents == {left.id: 1, right.id: 1}
    project.undo()
    assert [o.id for o in project.objects] == [1]
    np.testing.assert_array_equal(project.mask(STOP, 1), mask_of(STOP))


def test_what_is_in_one_part_or_locked_is_not_divided(project):
    with pytest.raises(ProjectError, match="nucleus is not in two parts of like size on frame 2"):
        divide(project, 1, 2)
    project.objects.set_flags(1, locked=True)
    with pytest.raises(ProjectError, match="locked"):
        divide(project, 1, SPLIT)
    assert len(project.objects) == 1


def organ_and_bar(project, width):
    """An organ in two halves, with a bar of so many pixels between them: an instrument that lies across it."""
    organ, bar = project.add_object("organ"), project.add_object("hook")
    whole, across = disc(30, 40, 20), np.zeros((60, 80), bool)
    across[:, 40 - width // 2 : 40 + width // 2] = True
    project.write_masks([(t, organ.id, whole if t < 3 else whole & ~across, None) for t in range(FRAMES)])
    project.write_masks([(t, bar.id, across, None) for t in range(FRAMES)])
    return organ, bar


def of(project, thing):
    return [s for s in project.review() if "in two parts" in s.text and thing.id in s.objects]


def test_an_instrument_that_lies_across_an_organ_does_not_divide_it(project):
    organ, bar = organ_and_bar(project, 8)
    assert not of(project, organ)
    project.tracks.mark_absent(bar.id, 10)
    assert [(s.start, s.stop) for s in of(project, organ)] == [(10, FRAMES)], "then nothing lies across it"
    project.undo()
    assert not of(project, organ)


def test_two_parts_with_much_between_them_are_doubted_all_the_same(project):
    organ, _ = organ_and_bar(project, 26)
    assert of(project, organ)
