"""``prompt(reset=True)``: what was said of an object on a frame before is gone, in memory and in a project."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.masklets import Project
from napari_sam2s.tracking import Tracker, reload_prompts


@pytest.mark.parametrize("kept", ["in memory", "in a project"])
def test_reset_takes_the_place_of_the_prompts_of_that_frame(random_nano, clip, tmp_path, kept):
    project = Project.create(tmp_path / "case.sam2s", clip)
    for name in ("grasper", "hook"):
        project.add_object(name)
    with project:
        tracker = Tracker(random_nano, clip, project if kept == "in a project" else None)
        for frame, object_id in ((0, 1), (5, 1), (0, 2)):
            tracker.prompt(object_id, frame, points=[(20, 30)])
        answer = tracker.prompt(1, 0, points=[(40, 70)], reset=True)
        assert [p.points for p in tracker.results.prompts(1, 0)] == [((40, 70),)]
        assert len(tracker.results.prompts()) == 3
        if kept == "in a project":
            project.undo()
            assert [p.points for p in project.prompts(1, 0)] == [((20, 30),)]
            project.redo()
            reopened = Tracker(random_nano, clip, project)
            reload_prompts(reopened, project, 1)
            assert sorted(reopened.conditioning[1]) == [0, 5]
            np.testing.assert_array_equal(project.mask(0, 1), answer)
