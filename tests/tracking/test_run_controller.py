"""Segments one after the other, paused and resumed, without a viewer; with a model that proves as much in milliseconds."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from fakes import ColourModel, squares
from napari_sam2s.masklets import Project
from napari_sam2s.tracking import RunController, Tracker, continue_run, plan, resumable_run, unfinished
from napari_sam2s.video import open_video


@pytest.fixture(scope="module")
def video():
    return open_video(squares(), fps=25)


def started(path, video):
    """Return a project of two prompted objects, and its tracker."""
    project = Project.create(path, video)
    tracker = Tracker(ColourModel(), video, project)
    tracker.prompt(project.add_object().id, 20, points=[(14, 30)])
    tracker.prompt(project.add_object().id, 20, points=[(34, 36)])
    return project, tracker


def content(project):
    return [{i: mask.tobytes() for i, mask in project.masks(t).items()} for t in range(40)]


def pause_at(done):
    """Return an event, and what sets it once a run has done so many frames."""
    pause = threading.Event()
    return pause, lambda n, of, frame, rate: pause.set() if n >= done else None


@pytest.mark.parametrize("old", [False, True])  # as projects were written before their words changed
def test_paused_in_the_first_of_two_directions_both_are_resumed(video, tmp_path, monkeypatch, old):
    monkeypatch.setattr("napari_sam2s.tracking.run_controller.PROGRESS_SECONDS", -1.0)
    whole, tracker = started(tmp_path / "whole.sam2s", video)
    broken, other = started(tmp_path / "broken.sam2s", video)
    with whole, broken:
        assert RunController(whole, lambda: tracker).propagate(plan(whole, 20, "both", stride=5))
        pause, progressed = pause_at(7)
        segments = plan(broken, 20, "both", stride=5)
        assert not RunController(broken, lambda: other, progressed).propagate(segments, pause)
        assert resumable_run(broken).status == "paused"
        if old:
            facts = dict(broken.runs[-1].provenance)
            later = facts.pop("later")
            facts["then"] = [
                {**{k: each[k] for k in ("start", "stop", "objects")}, "way": each["direction"], "every": each["stride"]}
                for each in later
            ]
            with broken.store.transaction() as db:
                db.execute("UPDATE runs SET provenance = ?", (json.dumps(facts),))
        again = Tracker(ColourModel(), video, broken)
        assert RunController(broken, lambda: again).resume()
        assert [(r.direction, r.status) for r in broken.runs] == [("forward", "finished"), ("backward", "finished")]
        assert content(broken) == content(whole)
        assert [broken.masks.origins(t) for t in range(40)] == [whole.masks.origins(t) for t in range(40)]
        assert again.conditioning == {1: [20], 2: [20]}


def test_a_prompt_while_paused_is_known_after_resuming(video, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_sam2s.tracking.run_controller.PROGRESS_SECONDS", -1.0)
    project, tracker = started(tmp_path / "p.sam2s", video)
    with project:
        pause, progressed = pause_at(3)
        controller = RunController(project, lambda: tracker, progressed)
        assert not controller.propagate(plan(project, 20, "forward"), pause)
        tracker.prompt(1, 22, points=[(14, 32)])
        controller.note_prompt(1)
        assert controller.resume()
        assert {i: sorted(frames) for i, frames in tracker.conditioning.items()} == {1: [20, 22], 2: [20]}
        assert controller.corrected == {1}


def test_names_of_before_say_what_they_are_called_now(video, tmp_path):
    project, tracker = started(tmp_path / "p.sam2s", video)
    with project:
        with pytest.warns(DeprecationWarning, match="resumable_run"):
            assert unfinished(project) is None
        with (
            pytest.warns(DeprecationWarning, match=r"ProjectRun\.resume"),
            pytest.raises(Exception, match="no interrupted run"),
        ):
            continue_run(tracker)
