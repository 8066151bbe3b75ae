"""Runs of some of the objects, taken up again."""

from __future__ import annotations

import numpy as np
import pytest
import torch.nn.functional as F

from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets import Project
from napari_sam2s.model import load_model
from napari_sam2s.synthetic.laparoscopy import Laparoscopy
from napari_sam2s.tracking import MemoryPolicy, ProjectRun, Tracker, continue_run, reload_prompts, unfinished
from napari_sam2s.video import open_video


@pytest.fixture(scope="module")
def video(clip):
    return open_video(clip, fps=25)


def corrected(path, model, video, stop):
    """Track two objects, correct the first on frame 5, and follow it alone to ``stop``; return the project and a tracker."""
    project = Project.create(path, video)
    tracker = Tracker(model, video, project)
    for frame, points in ((0, [(20, 30)]), (0, [(30, 60)])):
        tracker.prompt(project.add_object().id, frame, points=points)
    for _ in ProjectRun(tracker, 0, 20):
        pass
    tracker.prompt(1, 5, points=[(10, 10)])
    for frame, _ in ProjectRun(tracker, 5, 20, objects=[1]):
        if frame == stop:
            break
    return project


def test_a_correction_of_one_object_is_gone_on_with_for_that_one(random_nano, video, tmp_path):
    with (
        corrected(tmp_path / "whole.sam2s", random_nano, video, None) as whole,
        corrected(tmp_path / "broken.sam2s", random_nano, video, 11) as broken,
    ):
        assert unfinished(whole) is None
        assert unfinished(broken).status == "interrupted"
        others = [broken.mask(t, 2) for t in range(20)]
        followed = [sorted(masks) for _, masks in continue_run(Tracker(random_nano, video, broken))]
        assert followed == [[1]] * len(followed)
        for t in range(20):
            np.testing.assert_array_equal(broken.mask(t, 1), whole.mask(t, 1))
            np.testing.assert_array_equal(broken.mask(t, 2), others[t])
        with pytest.raises(TrackingError, match="no interrupted run"):
            continue_run(Tracker(random_nano, video, broken))


@pytest.mark.parametrize("frame", [4, 6, 9])
def test_interrupted_within_a_frame_it_goes_on_from_where_all_objects_were_alike(
    random_nano, video, tmp_path, monkeypatch, frame
):
    """Ctrl+C, once the first of two objects that are tracked one after the other has seen a frame."""

    def started(path):
        project = Project.create(path, video)
        tracker = Tracker(random_nano, video, project, MemoryPolicy(name="keen", iou_threshold=0.0, candidates=3))
        for t, points in ((0, [(20, 30)]), (3, [(30, 60)])):
            tracker.prompt(project.add_object().id, t, points=points)
        return project, tracker

    whole, tracker = started(tmp_path / "whole.sam2s")
    for _ in ProjectRun(tracker, 0, 20):
        pass
    broken, tracker = started(tmp_path / "broken.sam2s")
    read, calls = tracker._sight.follow, []

    def follow(t, recalls):
        calls.append(t)
        if calls.count(frame) == 2:
            raise KeyboardInterrupt
        return read(t, recalls)

    monkeypatch.setattr(tracker._sight, "follow", follow)
    run = ProjectRun(tracker, 0, 20)
    with whole, broken:
        with pytest.raises(KeyboardInterrupt):
            for _ in run:
                pass
        run.pause()
        assert unfinished(broken).status == "paused"
        for _ in continue_run(Tracker(random_nano, video, broken, tracker.policy)):
            pass
        for t in range(20):
            assert {i: m.tobytes() for i, m in broken.masks(t).items()} == {i: m.tobytes() for i, m in whole.masks(t).items()}


@pytest.mark.parametrize(("first", "second", "direction"), [(0, 9, "forward"), (9, 2, "backward")])
def test_corrections_are_known_again_when_a_project_is_opened(tmp_path, monkeypatch, first, second, direction):
    """Even one that only says where the object is not: alone it would say nothing, but it was said of a tracked mask."""
    drawn = Laparoscopy(2**31 + 5, 10, (192, 192), absences=0)
    video, model = open_video(drawn, axes="TYXC", limits=(0, 255)), load_model(device="cpu", image_size=192)
    with Project.create(tmp_path / "p.sam2s", video) as project:
        live = Tracker(model, video, project)
        i = project.add_object().id
        live.prompt(i, first, mask=drawn.masks(first)[1])
        for _ in live.propagate(first, None, direction):
            pass
        places = np.argwhere(project.mask(second, i))
        answer = live.prompt(i, second, points=[places[len(places) // 4]], labels=[0])
        assert answer.any()
        opened = Tracker(model, video, project)
        reload_prompts(opened, project, i)
        assert sorted(opened.conditioning[i]) == sorted(live.conditioning[i]) == sorted((first, second))
        for tracker in (live, opened):
            patches = tracker._objects.banks[i].conditioning[second].patches.float()
            small = F.pixel_shuffle(patches[None], 2)
            remembered = F.interpolate(small, answer.shape, mode="bilinear")[0, 0].numpy() > 0.5
            assert (remembered & answer).sum() > 0.8 * (remembered | answer).sum()  # in cells of stride 4
        np.testing.assert_array_equal(project.mask(second, i), answer)
        reads = []
        answered = opened._objects.sight.answer
        monkeypatch.setattr(opened._objects.sight, "answer", lambda *args: (reads.append(args), answered(*args))[1])
        opened.prompt(i, second, points=[places[0]])
        ((whole, recall, _),) = reads
        assert whole.labels == (0, 1)  # adds to the click of before
        assert first in recall.frames  # answered by what is remembered of other frames
        assert second not in recall.frames
