"""Phases of a video: begun and ended, undone, refused where they cannot be, kept through copies and damage."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Phase, Project, Span
from napari_sam2s.masklets.privacy import copy_stripped, private_facts
from napari_sam2s.masklets.salvage import salvage_project
from napari_sam2s.video import open_video


@pytest.fixture
def project(tmp_path, video):
    with Project.create(tmp_path / "case.sam2s", video) as made:
        yield made


def test_begun_ended_and_undone(project):
    clip = project.phases.mark("clip", 5)
    assert clip == Phase(1, "clip", 5, None)
    assert project.phases.mark("dissection", 2).stop is None, "another name may be open, too"
    assert project.phases.mark("clip", 8) == Phase(1, "clip", 5, 9)
    assert project.phases.mark("dissection", 0) == Phase(2, "dissection", 0, 3), "ended before its beginning: the other way"
    assert [phase.name for phase in project.phases] == ["dissection", "clip"]
    project.phases.mark("clip", 12)
    assert project.phases.mark("clip", 12) == Phase(3, "clip", 12, 13), "a moment"
    assert project.undo() == "change phase"
    assert project.phases.open("clip") == Phase(3, "clip", 12, None)
    assert project.undo() == "add phase"
    project.phases.remove(1)
    assert project.phases.names == ["dissection"]
    project.undo()
    assert project.redo() == "remove phase"
    project.undo()
    with Project.open(project.path, mode="r") as again:
        assert list(again.phases) == [Phase(2, "dissection", 0, 3), Phase(1, "clip", 5, 9)]


def test_what_cannot_be_is_refused(project):
    project.phases.add("clip", 5, 9)
    for start, stop in ((-1, 3), (30, None), (4, 4), (4, 31)):
        with pytest.raises(ProjectError, match="does not lie in the video, whose frames are 0 to 29"):
            project.phases.add("suture", start, stop)
    with pytest.raises(ProjectError, match="Another 'clip' is on frames 5 to 8: end the new one earlier"):
        project.phases.add("clip", 8)
    project.phases.add("clip", 1)
    with pytest.raises(ProjectError, match="Another 'clip' is on frames 5 to 8"):
        project.phases.mark("clip", 20)
    with pytest.raises(ProjectError, match="There is no phase 7"):
        project.phases.remove(7)
    with pytest.raises(ProjectError, match="at least one character"):
        project.phases.mark(" ", 3)
    assert project.history.steps == [("add phase", False)] * 2


def test_where_they_are(project):
    assert project.phases.spans("clip") == [Span(0, 30, "unseen")]
    project.phases.add("clip", 5, 9)
    project.phases.add("clip", 20)
    spans = [(0, 5, "unseen"), (5, 9, "present"), (9, 20, "unseen"), (20, 21, "present"), (21, 30, "absent")]
    assert project.phases.spans("clip") == [Span(*span) for span in spans]


def test_a_video_that_is_cut_keeps_them(project):
    project.phases.add("clip", 5, 21)
    short = open_video(np.zeros((20, 24, 32, 3), dtype=np.uint8))
    with pytest.raises(ProjectError, match="has data on frame 20"):
        project.video.relink(short)
    project.phases.remove(1)
    project.video.relink(short)
    with pytest.raises(ProjectError, match="bring back data of frame 20"):
        project.undo()


def test_copies_have_them_and_no_names_of_old(project, tmp_path):
    project.phases.add("clip", 5, 9)
    project.phases.add("slip", 15, 19)
    project.phases.remove(2)
    assert (private_facts(project.store)["names"], private_facts(project.store)["removed_names"]) == (["clip"], ["slip"])
    for copy in (
        copy_stripped(project.path, tmp_path / "stripped.sam2s"),
        salvage_project(project.path, tmp_path / "saved.sam2s")[0],
    ):
        with Project.open(copy) as again:
            assert list(again.phases) == [Phase(1, "clip", 5, 9)]
    assert b"slip" not in (tmp_path / "stripped.sam2s").read_bytes()
