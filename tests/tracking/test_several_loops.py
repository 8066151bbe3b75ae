"""One tracker in several loops, or threads: each gets what it would get alone."""

import threading

import numpy as np
import pytest

from napari_sam2s.errors import PromptError, TrackingError
from napari_sam2s.masklets import Project
from napari_sam2s.tracking import CropTracker, Tracker
from napari_sam2s.tracking.prompts import mask_to_network, too_thin
from tests.fakes import ColourModel, squares

BOX = np.zeros((48, 80), bool)
BOX[10:30, 20:50] = True


def tracker(model, video):
    made = Tracker(model, video)
    made.prompt(1, 0, mask=BOX)
    return made


def masks(loop):
    return {t: found[1].copy() for t, found in loop}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[t], b[t]) for t in a)


@pytest.fixture(scope="module")
def alone(random_nano, clip):
    return masks(tracker(random_nano, clip[:12]).propagate())


def test_two_loops_one_step_each(random_nano, clip, alone):
    one = tracker(random_nano, clip[:12])
    pairs = list(zip(one.propagate(), one.propagate(), strict=True))
    assert same(masks(a for a, _ in pairs), alone)
    assert same(masks(b for _, b in pairs), alone)


def test_three_threads(random_nano, clip, alone):
    one, found = tracker(random_nano, clip[:12]), {}
    threads = [threading.Thread(target=lambda k=k: found.update({k: masks(one.propagate())})) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2]
    assert all(same(each, alone) for each in found.values())


def test_a_loop_that_was_left_disturbs_nobody(random_nano, clip, alone):
    one = tracker(random_nano, clip[:12])
    left = one.propagate()
    for _ in range(5):
        next(left)
    assert same(masks(one.propagate()), alone)


def test_prompts_in_another_loop_end_this_one():
    one = tracker(ColourModel(), squares(12))
    first, second = one.propagate(), one.propagate()
    next(first), next(second)
    one.prompt(2, 3, points=[(30, 18)])
    next(second)
    with pytest.raises(TrackingError, match="Propagate again"):
        next(first)


def test_an_object_forgotten_in_the_loop():
    one = tracker(ColourModel(), squares(12))
    loop = one.propagate()
    next(loop)
    one.forget(1)
    with pytest.raises(TrackingError, match="Object 1 was forgotten"):
        next(loop)


def test_both_directions_give_every_frame_once():
    one = tracker(ColourModel(), squares(12))
    assert [t for t, _ in one.propagate(direction="both")] == list(range(12))
    short = tracker(ColourModel(), squares(1))
    assert [t for t, _ in short.propagate(direction="both")] == [0]


def test_both_directions_of_two_objects_end_with_both():
    """Frames between their prompts come twice: what comes last has what came first, too."""
    one = tracker(ColourModel(), squares(12))
    one.prompt(2, 6, points=[(14, 12)], labels=[1])
    steps = list(one.propagate(direction="both"))
    assert [t for t, _ in steps] == [*range(12), *range(5, -1, -1)]
    assert all(masks.keys() == {1, 2} for masks in dict(steps).values())


def test_what_a_tracker_is_not_made_of(tmp_path):
    with Project.create(tmp_path / "a.sam2s", squares(3)) as project:
        for parts, told in (
            (("sam2s-nano", squares(3)), "'sam2s-nano' is not a model: give what sam2s.load_model"),
            ((ColourModel(), "case.mp4"), "'case.mp4' is not an open video"),
            ((ColourModel(), squares(3), "a.sam2s"), "'a.sam2s' is not an open project"),
            ((ColourModel(), squares(4), project), "it is another"),
        ):
            for kind in (Tracker, CropTracker):
                with pytest.raises(TrackingError, match=told):
                    kind(*parts)


@pytest.mark.parametrize("labels", [1, True, 1.0, [1], np.array([1])])
def test_one_label_for_one_point(labels):
    assert Tracker(ColourModel(), squares(1)).prompt(1, 0, points=(14, 10), labels=labels).any()


@pytest.mark.parametrize(
    "prompt",
    [
        {"points": [(14, 10), (15, 10)], "labels": [1, 0.9]},
        {"points": [(14, 10)], "labels": "x"},
        {"points": [("a", 1)]},
        {"box": ("a", 1, 2, 3)},
        {"box": [[1, 2, 3, 4]] * 4},
    ],
)
def test_what_is_no_prompt(prompt):
    with pytest.raises(PromptError):
        Tracker(ColourModel(), squares(1)).prompt(1, 0, **prompt)


def test_a_thread_of_one_pixel_is_seen_and_told(random_nano):
    video = np.zeros((2, 512, 512, 3), np.uint8)
    thread = np.zeros((512, 512), bool)
    thread[100:400, 200] = True
    small = mask_to_network(thread, 64)[0, 0]
    assert 1 <= small.any(0).sum() <= 2  # columns of cells
    assert small.any(1).sum() >= 36
    with pytest.warns(UserWarning, match=r"input of 64 px.*image_size of about \d+, or let a crop"):
        Tracker(random_nano, video).prompt(1, 0, mask=thread)
    assert too_thin(np.ones((512, 512), bool), 64) == too_thin(np.zeros((512, 512), bool), 64) == ""
    thread[240:252, 194:206] = True  # a knot, which alone would be kept by one half of a cell
    assert mask_to_network(thread, 64)[0, 0].any(1).sum() >= 36
    assert "too thin" in too_thin(thread, 64)
