"""What the key would do, without a viewer."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.masklets import Project, Prompt
from napari_sam2s.tracking.propagation_plan import Segment, correction, left_out, plan

FRAMES = 20


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "p.sam2s", np.zeros((FRAMES, 8, 8, 3), np.uint8)) as made:
        for _ in range(2):
            made.prompts.add(Prompt(made.add_object().id, 0, ((2.0, 2.0),), (1,)))
        yield made


def know(project, object_id, frames):
    project.write_masks([(t, object_id, np.ones((8, 8), bool), None) for t in frames])


def test_all_objects_go_to_the_end(project):
    assert plan(project, 3, "forward") == [Segment(3, FRAMES, "forward", (1, 2))]
    assert plan(project, 3, "backward") == [Segment(3, -1, "backward", (1, 2))]
    assert plan(project, 3, "both") == [Segment(3, FRAMES, "forward", (1, 2)), Segment(3, -1, "backward", (1, 2))]


def test_the_handles_bound_it(project):
    assert plan(project, 3, "both", (2, 9)) == [Segment(3, 9, "forward", (1, 2)), Segment(3, 1, "backward", (1, 2))]
    assert plan(project, 15, "forward", (2, 9)) == [Segment(8, 9, "forward", (1, 2))]


def test_a_correction_changes_no_other_object(project):
    know(project, 1, range(FRAMES))
    know(project, 2, range(FRAMES))
    assert plan(project, 5, "forward", corrected={2}) == [Segment(5, FRAMES, "forward", (2,))]
    assert plan(project, 5, "forward") == [Segment(5, FRAMES, "forward", (1, 2))]


def test_a_correction_ends_at_the_next_confirmed_frame_of_its_object(project):
    know(project, 1, range(FRAMES))
    know(project, 2, range(FRAMES))
    project.confirm(12, 2)
    project.confirm(8, 1)
    assert plan(project, 5, "forward", corrected={2}) == [Segment(5, 12, "forward", (2,))]
    assert plan(project, 15, "backward", corrected={2}) == [Segment(15, 12, "backward", (2,))]


def test_a_correction_in_a_span_goes_both_ways_and_stays_there(project):
    know(project, 1, range(FRAMES))
    know(project, 2, range(FRAMES))
    assert correction(project, 8, (5, 12), {2}) == [Segment(8, 12, "forward", (2,)), Segment(8, 4, "backward", (2,))]
    assert correction(project, 5, (5, 12), {2}) == [Segment(5, 12, "forward", (2,))]
    assert correction(project, 11, (5, 12), {1, 2}) == [Segment(11, 4, "backward", (1, 2))]
    assert correction(project, 5, (5, 6), {2}) == [Segment(5, 6, "forward", (2,))]
    project.confirm(6, 2)
    assert correction(project, 8, (5, 12), {2})[1] == Segment(8, 6, "backward", (2,))


def test_an_object_known_for_a_while_joins_where_it_ends(project):
    know(project, 1, range(11))
    know(project, 2, range(11))
    assert plan(project, 5, "forward", corrected={2}) == [
        Segment(5, 11, "forward", (2,)),
        Segment(11, FRAMES, "forward", (1, 2)),
    ]


def test_one_confirmed_object_leaves_and_the_other_goes_on(project):
    know(project, 1, [7])
    project.confirm(7, 1)
    assert plan(project, 0, "forward") == [Segment(0, 7, "forward", (1, 2)), Segment(7, FRAMES, "forward", (2,))]


def test_locked_and_unprompted_objects_stay(project):
    project.add_object()
    project.objects.set_flags(1, locked=True)
    assert plan(project, 0, "forward") == [Segment(0, FRAMES, "forward", (2,))]
    project.objects.set_flags(2, locked=True)
    assert plan(project, 0, "forward") == []


def test_at_the_last_frame_there_is_nothing_left(project):
    assert plan(project, FRAMES - 1, "forward") == [Segment(FRAMES - 1, FRAMES, "forward", (1, 2))]


def test_every_segment_has_the_working_rate(project):
    segments = plan(project, 3, "both", stride=5)
    assert segments == [Segment(3, FRAMES, "forward", (1, 2), 5), Segment(3, -1, "backward", (1, 2), 5)]
    assert [s.frames for s in segments] == [17, 4]
    assert [s.tracked for s in segments] == [4, 1]
    assert Segment(0, 3, "forward", (1,), 100).tracked == 1
    assert Segment(0, 1, "forward", (1,), 2).tracked == 1


def test_segments_of_older_projects_are_read():
    old = {"start": 20, "stop": -1, "way": "backward", "objects": [1], "every": 5}
    assert Segment.from_facts(old) == Segment(20, -1, "backward", (1,), 5)
    assert Segment.from_facts(Segment(3, 9, "forward", (1, 2)).facts()) == Segment(3, 9, "forward", (1, 2))


def test_where_nothing_is_tracked_any_more_the_plan_ends(project):
    """The other object is known up to frame 15, beyond the frame on which the corrected one is confirmed."""
    know(project, 1, range(FRAMES))
    know(project, 2, range(15))
    project.confirm(12, 1)
    assert plan(project, 5, "forward", corrected={1}) == [Segment(5, 12, "forward", (1,))]


def test_frames_between_what_is_known_and_a_run_are_left_out(project):
    know(project, 1, [0, 1, 15])
    know(project, 2, [0, 1, 2, 14])

    def gap(start, direction, bounds=(0, FRAMES)):
        return list(left_out(project, plan(project, start, direction, bounds), bounds))

    assert gap(8, "forward") == [7, 6, 5, 4, 3, 2]  # object 1: that of object 2 is part of it
    assert gap(8, "backward") == [9, 10, 11, 12, 13, 14]
    assert gap(8, "both") == gap(0, "forward") == gap(1, "forward") == gap(2, "both") == []
    assert gap(8, "forward", (5, FRAMES)) == [], "the handles of the timeline leave it out"
    assert left_out(project, [], (0, FRAMES)) == range(0)
