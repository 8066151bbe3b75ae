"""Runs of some of the objects, taken up again."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets import Project
from napari_sam2s.tracking import ProjectRun, Tracker, continue_run, unfinished
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
