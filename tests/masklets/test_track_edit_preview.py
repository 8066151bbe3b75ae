"""What a track edit would do is what it does."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import TrackEdit
from napari_sam2s.masklets.track_edit_preview import draw

SPAN = {"start": 10, "stop": 20}


@pytest.fixture
def uneven(project):
    """The second object is unknown on 5 frames of the span; one mask of the first is confirmed."""
    project.tracks.delete(2, 15, 20)
    project.confirm(12, 1)
    return project


@pytest.mark.parametrize(
    ("edit", "words", "numbers"),
    [
        (TrackEdit("swap", 1, 2, **SPAN), "Exchanges 10 masks of thing 1 and 5 of thing 2", (15, 0, 1)),
        (
            TrackEdit("merge", 1, 2, **SPAN),
            "to thing 2 on frames 10 to 19. 5 masks there become",
            (10, 0, 1),
        ),
        (TrackEdit("move", 1, 2, **SPAN), "to thing 2 on frames 10 to 19. 5 masks of thing 2 there are deleted.", (10, 5, 1)),
        (TrackEdit("split", 1, **SPAN), "to a new object", (10, 0, 1)),
        (TrackEdit("delete", 2, **SPAN), "Deletes 5 masks of thing 2", (5, 5, 0)),
        (
            TrackEdit("absent", 2, **SPAN),
            "as absent on frames 10 to 19. 5 masks of thing 2 there are",
            (10, 5, 0),
        ),
        (
            TrackEdit("copy", 2, frame=3, **SPAN),
            "on frame 3 to frames 10 to 19. 5 masks of thing 2",
            (10, 5, 0),
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, TrackEdit) else "",
)
def test_the_preview_tells_the_truth_and_it_is_one_step(uneven, edit, words, numbers):
    change = edit.preview(uneven)
    assert words in change.text
    assert (change.masks, change.lost, change.confirmed) == numbers
    before = {t: uneven.masks(t) for t in range(30)}
    expected = {t: edit.masks_after(uneven, t) for t in range(30)}
    steps = len(uneven.history.steps)
    made = edit.apply(uneven)
    assert len(uneven.history.steps) == steps + 1
    assert (made is not None) == (edit.kind == "split")
    for t in range(30):
        after = uneven.masks(t)
        told = {made.id if i == 0 and made else i: m for i, m in expected[t].items()}
        assert set(after) == set(told), t
        for i, mask in after.items():
            np.testing.assert_array_equal(mask, told[i])
    uneven.undo()
    for t in range(30):
        assert set(uneven.masks(t)) == set(before[t])
        for i, mask in uneven.masks(t).items():
            np.testing.assert_array_equal(mask, before[t][i])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TrackEdit("glue", 1), "not a track edit"),
        (lambda: TrackEdit("swap", 1), "second object"),
        (lambda: TrackEdit("copy", 1), "which frame"),
    ],
)
def test_what_makes_no_sense_is_refused(make, words):
    with pytest.raises(ProjectError, match=words):
        make()


def test_previews_refuse_what_doing_it_would(uneven):
    for edit, words in (
        (TrackEdit("swap", 1, 1), "two different"),
        (TrackEdit("delete", 1, start=5, stop=5), "span 5 to 5"),
        (TrackEdit("copy", 2, start=3, stop=5, frame=16), "no mask on frame 16"),
    ):
        with pytest.raises(ProjectError, match=words):
            edit.preview(uneven)


def test_drawing(uneven):
    grey = np.full((24, 32, 3), 100, np.uint8)
    masks = uneven.masks(3)
    drawn = draw(masks, uneven.objects, grey)
    both = masks[1] | masks[2]
    assert (drawn[~both] == 100).all()
    assert np.abs(drawn[masks[1]] - (35 + 0.65 * np.array(uneven.objects.get(1).colour))).max() <= 1
    uneven.objects.set_flags(2, visible=False)
    assert (draw(masks, uneven.objects, grey)[masks[2] & ~masks[1]] == 100).all()
