"""A crop that follows: small objects in large frames, and no seam where the window moves or grows."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.cli import main
from napari_sam2s.errors import PromptError, TrackingError
from napari_sam2s.formats import write_video
from napari_sam2s.masklets import Project, Prompt, rle
from napari_sam2s.tracking import CropTracker, ProjectRun, Tracker, resume_run
from napari_sam2s.tracking.crop_window import LEAST, Bounds, Window, around, box_of, following, window_at
from tests.fakes import ColourModel

SIZE = (240, 400)
FRAMES = 24
FACTS = ColourModel.facts


def place(t):
    """Top left corner and side of the object: from the border over to the other one, growing fivefold."""
    return 2 + 5 * t, 4 + 9 * t, 6 + t


@pytest.fixture(scope="module")
def video():
    """A small red square that grows and wanders, and a green one that rests at the border."""
    frames = np.zeros((FRAMES, *SIZE, 3), np.uint8)
    for t in range(FRAMES):
        y, x, side = place(t)
        frames[t, y : y + side, x : x + side, 0] = 255
        frames[t, 200:240, 380:400, 1] = 255
    return frames


def truth(t):
    mask = np.zeros(SIZE, bool)
    y, x, side = place(t)
    mask[y : y + side, x : x + side] = True
    return mask


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_what_the_window_shows_lies_where_it_was():
    window = Window(30, 50, 64, 64)
    mask = np.zeros(SIZE, bool)
    mask[40:52, 60:75] = True
    np.testing.assert_array_equal(rle.decode(window.place(window.cut_mask(mask, 256)), SIZE), mask)
    cut = window.cut(Prompt(1, 0, ((30.0, 50.0), (93.0, 113.0), (0.0, 0.0)), (1, 1, 0), (40.0, 60.0, 52.0, 75.0)), 128)
    assert cut.points == ((0.5, 0.5), (126.5, 126.5), (0, 0))  # centres of 2 x 2 pixels; what is outside comes to the border
    assert cut.box == (20, 20, 44, 50)


def test_a_window_stays_in_the_frame_and_follows_in_steps():
    assert window_at((5, 5), 96, SIZE) == Window(0, 0, 96, 96)
    assert window_at((239, 399), 96, SIZE) == Window(144, 304, 96, 96)
    assert window_at((100, 100), 9999, SIZE) == Window(0, 0, *SIZE)
    still = Window(50, 50, LEAST, LEAST)
    assert following(still, Bounds(100, 100, 106, 106), SIZE, 32) == Window(55, 55, LEAST, LEAST)
    assert following(still, Bounds(80, 80, 140, 140), SIZE, 32).side == round(LEAST * 1.25)  # of six times sixty, by and by
    assert following(still, None, SIZE, 32) == still  # its pixels are finer than two of the video's? no: it grows no more
    assert following(still, None, SIZE, 384).side > LEAST


def test_a_speck_far_off_does_not_draw_the_window_wide():
    mask = np.zeros(SIZE, bool)
    mask[100:110, 100:110] = True
    mask[5, 390] = True
    assert box_of(rle.encode(mask)) == Bounds(100, 100, 110, 110)
    assert around(box_of(rle.encode(mask)), SIZE).side == LEAST


def test_a_growing_object_is_followed_from_border_to_border_without_a_seam(video):
    tracker, whole = CropTracker(ColourModel(), video), Tracker(ColourModel(), video)
    for each in (tracker, whole):
        each.prompt(1, 0, points=[(4, 6)])
    found = dict(tracker.propagate())
    assert list(found) == list(range(FRAMES))
    scores = [iou(found[t][1], truth(t)) for t in range(FRAMES)]
    assert min(scores) > 0.6, scores  # of six pixels at first, where the fake sees cells of three
    assert np.mean(scores) > 0.75
    assert np.mean([iou(m[1], truth(t)) for t, m in whole.propagate()]) < np.mean(scores) - 0.1
    apart = [np.mean(np.nonzero(found[t][1]), 1) - np.mean(np.nonzero(truth(t)), 1) for t in range(FRAMES)]
    assert np.abs(apart).max() < 2  # of cells of three and more: no jump where the window moves and grows


def test_objects_far_apart_each_have_a_window_and_come_out_as_alone(video):
    both, alone = CropTracker(ColourModel(), video), CropTracker(ColourModel(), video)
    for each in (both, alone):
        each.prompt(1, 0, points=[(4, 6)])
    both.prompt(2, 3, box=(198, 376, 240, 400))
    one = dict(alone.propagate(0, 12))
    for t, masks in both.propagate(0, 12):
        np.testing.assert_array_equal(masks[1], one[t][1])
        assert (2 in masks) == (t >= 3)
        assert t < 3 or iou(masks[2], video[0, ..., 1] > 0) > 0.7  # a pixel of the fake is eight of the video
    back = [t for t, _ in both.propagate(3, direction="backward", objects=[2])]
    assert back == [3, 2, 1, 0]


def test_a_click_finds_a_window_that_suits_and_a_later_one_moves_it(video):
    tracker = CropTracker(ColourModel(), video)
    y, x, side = place(20)
    mask = tracker.prompt(1, 20, points=[(y + side // 2, x + side // 2)])
    assert iou(mask, truth(20)) > 0.8
    wrong = np.zeros(SIZE, bool)
    wrong[10:20, 10:20] = True
    tracker.results.write_masks([(10, 1, wrong, None)])  # it was lost, say
    y, x, side = place(10)
    mask = tracker.prompt(1, 10, points=[(y + side // 2, x + side // 2)])
    assert iou(mask, truth(10)) > 0.8
    assert tracker.conditioning == {1: [20, 10]}
    again = tracker.prompt(1, 10, points=[(230, 390)], labels=[0])  # far outside the window
    np.testing.assert_array_equal(again, mask)
    tracker.forget(1, 20)
    assert tracker.conditioning == {1: [10]}
    tracker.forget(1)
    assert tracker.object_ids == ()


def test_candidates_lie_where_they_are_in_the_frame(video):
    y, x, side = place(12)
    [one] = CropTracker(ColourModel(), video).candidates(12, points=[(y + side // 2, x + side // 2)])
    assert iou(one.mask, truth(12)) > 0.6


def test_out_of_sight_the_window_waits_and_takes_up_what_comes_back(video):
    gone = video.copy()
    gone[8:12, ..., 0] = 0
    tracker = CropTracker(ColourModel(), gone)
    tracker.prompt(1, 4, mask=truth(4))
    found = dict(tracker.propagate(4, 16))
    assert not any(found[t][1].any() for t in range(8, 12))
    assert iou(found[13][1], truth(13)) > 0.7


def test_broken_off_it_goes_on_to_the_same_masks(video, tmp_path):
    labels = []
    for name, breaks in (("whole", False), ("broken", True)):
        with Project.create(tmp_path / f"{name}.sam2s", video) as project:
            project.add_object()
            tracker = CropTracker(ColourModel(), video, project)
            tracker.prompt(1, 0, mask=truth(0))
            run = ProjectRun(tracker)
            for t, _ in run:
                if breaks and t == 9:
                    break
            if breaks:
                run.pause()
                with pytest.raises(TrackingError, match="tracked in crops"):
                    ProjectRun.resume(Tracker(ColourModel(), video, project))
                rest = [t for t, _ in resume_run(project, video, ColourModel())]
                assert rest == list(range(10, FRAMES))
            assert project.runs[-1].provenance["crop"] is True
            labels.append(np.stack([project.labels[t] for t in range(FRAMES)]))
    np.testing.assert_array_equal(*labels)


def test_prompts_known_before_are_taken_up(video, tmp_path):
    with Project.create(tmp_path / "a.sam2s", video) as project:
        project.add_object()
        first = CropTracker(ColourModel(), video, project)
        first.prompt(1, 5, box=(*np.array(place(5)[:2]) - 2, *np.array(place(5)[:2]) + 13))
        here = dict(first.propagate(5, 10))
        again = CropTracker(ColourModel(), video, project)
        again.replay(project.prompts(1)[0])
        for t, masks in again.propagate(5, 10):
            np.testing.assert_array_equal(masks[1], here[t][1])


def test_what_a_crop_cannot_do_is_said(video):
    tracker = CropTracker(ColourModel(), video)
    with pytest.raises(PromptError, match="outside the frame"):
        tracker.prompt(1, 0, points=[(500, 3)])
    with pytest.raises(PromptError, match="negative"):
        tracker.prompt(1, 0, points=[(50, 30)], labels=[0])
    assert tracker.object_ids == ()
    with pytest.raises(TrackingError, match="nothing to track"):
        tracker.propagate()
    tracker.prompt(1, 0, mask=truth(0))
    loop = tracker.propagate()
    next(loop)
    tracker.prompt(1, 1, mask=truth(1))
    with pytest.raises(TrackingError, match="Propagate again"):
        next(loop)
    with pytest.raises(TrackingError, match="not of a crop"):
        tracker.restore(Tracker(ColourModel(), video).snapshot())


def test_on_the_command_line(video, tmp_path, capsys):
    write_video(iter(video[:3]), tmp_path / "a.mp4")
    y, x, side = place(0)
    arguments = ["track", str(tmp_path / "a.mp4"), "--box", f"0,{y},{x},{y + side},{x + side}", "--image-size", "64", "--crop"]
    assert main([*arguments, "--out", str(tmp_path / "a.sam2s")]) == 0
    with Project.open(tmp_path / "a.sam2s", "r") as project:
        assert project.frames == [0, 1, 2]
        assert project.runs[0].provenance["crop"] is True
    assert main([*arguments, "--rate", "5", "--out", str(tmp_path / "b.sam2s")]) == 2
    assert "leave out --rate" in capsys.readouterr().err
