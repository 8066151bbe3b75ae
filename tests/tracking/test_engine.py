"""The engine: another process, the same masks."""

from __future__ import annotations

import os
import signal

import numpy as np
import psutil
import pytest
import torch

from napari_sam2s.errors import CheckpointDiffers, ProjectError, PromptError, TrackingError
from napari_sam2s.masklets import Project
from napari_sam2s.model import load_model
from napari_sam2s.model.checkpoints import WEIGHTS
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.tracking import CropTracker, Engine, EngineLost, ProjectRun, Tracker, resumable_run
from napari_sam2s.video import open_video

# Starting it takes seconds. What runs in it is in `test_tracker.py` too, how it starts in `test_engine_keys.py`.
pytestmark = pytest.mark.slow
SIDE = 128  # of the network's input: the model's own 384 takes nine times as long


@pytest.fixture(scope="module")
def video():
    case = demo_case(16, size=(120, 160))
    return open_video(np.stack([case[t] for t in range(16)]))


@pytest.fixture(scope="module")
def engine():
    with Engine() as running:
        yield running


def test_the_viewer_goes_first(engine):
    """What draws and answers the mouse is not to wait for the model."""
    ours, theirs = psutil.Process().nice(), psutil.Process(engine.pid).nice()
    if os.name == "nt":
        assert theirs == psutil.BELOW_NORMAL_PRIORITY_CLASS
    else:
        assert theirs == min(ours + 5, 19)


def project_of(folder, name, video):
    project = Project.create(folder / name, video)
    project.add_object()
    project.add_object()
    return project


def give(tracker):
    tracker.prompt(1, 0, points=[(60, 80)])
    tracker.prompt(1, 0, points=[(10, 10)], labels=[0])
    tracker.prompt(2, 2, box=(20, 20, 80, 90))


def labels(project):
    return np.stack([project.labels[t] for t in range(16)])


def test_the_same_masks_as_in_this_process(engine, video, tmp_path):
    with project_of(tmp_path, "a.sam2s", video) as here, project_of(tmp_path, "b.sam2s", video) as there:
        for tracker in (
            Tracker(load_model(image_size=SIDE), video, here),
            Tracker(engine.model("sam2s-nano", image_size=SIDE), video, there),
        ):
            give(tracker)
            for _ in ProjectRun(tracker, 0, 16):
                pass
        np.testing.assert_array_equal(labels(here), labels(there))
        assert here.scores(9).keys() == there.scores(9).keys() == {1, 2}
        assert there.runs[0].provenance["model_hash"] == here.runs[0].provenance["model_hash"]


def test_a_working_rate_and_a_second_run_over_it_as_here(engine, video, tmp_path):
    case = demo_case(16, size=(120, 160))
    slow = open_video(np.stack([case[t] for t in range(16)]), fps=25)
    origins = []
    with project_of(tmp_path, "a.sam2s", slow) as here, project_of(tmp_path, "b.sam2s", slow) as there:
        for tracker in (
            Tracker(load_model(image_size=SIDE), slow, here),
            Tracker(engine.model("sam2s-nano", image_size=SIDE), slow, there),
        ):
            tracker.prompt(1, 0, mask=case.masks(0)[1])
            tracker.prompt(2, 7, mask=case.masks(7)[2])
            for _ in ProjectRun(tracker, 0, 16, rate=5):
                pass
            for _ in ProjectRun(tracker, 8, 10):  # tracked anew, with the masks before it remembered
                pass
            origins.append([tuple(r) for r in tracker.results.store.rows("SELECT frame, object_id, origin FROM masks")])
        np.testing.assert_array_equal(labels(here), labels(there))
    assert origins[0] == origins[1]
    assert {origin for *_, origin in origins[0]} == {"prompted", "propagated", "interpolated"}


def test_killed_in_the_middle_and_gone_on_with(engine, video, tmp_path):
    with project_of(tmp_path, "a.sam2s", video) as whole, project_of(tmp_path, "b.sam2s", video) as broken:
        here = Tracker(load_model(image_size=SIDE), video, whole)
        give(here)
        for _ in ProjectRun(here, 0, 16):
            pass
        with Engine() as first:
            tracker = Tracker(first.model("sam2s-nano", image_size=SIDE), video, broken)
            give(tracker)
            run = ProjectRun(tracker, 0, 16)
            with pytest.raises(EngineLost, match="ended unexpectedly"):
                kill_at(run, 6, first.pid)
        assert resumable_run(broken).status == "interrupted"
        assert len(broken.frames) >= 7
        for _ in ProjectRun.resume(Tracker(engine.model("sam2s-nano", image_size=SIDE), video, broken)):
            pass
        np.testing.assert_array_equal(labels(whole), labels(broken))
        assert resumable_run(broken) is None


def test_candidates_are_those_found_here(engine, video):
    there = Tracker(engine.model("sam2s-nano", image_size=SIDE), video).candidates(0, points=[(60, 80)])
    here = Tracker(load_model(image_size=SIDE), video).candidates(0, points=[(60, 80)])
    assert [c.iou for c in there] == pytest.approx([c.iou for c in here])
    assert len(here) > 1
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(there, here, strict=True))


def test_a_crop_in_the_engine_as_here(engine, video, tmp_path):
    """Each object has a tracker of its own there, and all of them share the model."""
    with project_of(tmp_path, "a.sam2s", video) as here, project_of(tmp_path, "b.sam2s", video) as there:
        for tracker in (
            CropTracker(load_model(image_size=SIDE), video, here),
            CropTracker(engine.model("sam2s-nano", image_size=SIDE), video, there),
        ):
            tracker.prompt(1, 0, box=(50, 60, 80, 90))
            tracker.prompt(2, 2, points=[(30, 40)])
            for _ in ProjectRun(tracker, 0, 6):
                pass
        np.testing.assert_array_equal(labels(here), labels(there))
        assert here.frames == list(range(6))


def kill_at(run, frame, pid):
    for t, _ in run:
        if t == frame:
            os.kill(pid, signal.SIGKILL)


def test_paused_runs_go_on(engine, video, tmp_path):
    with project_of(tmp_path, "a.sam2s", video) as project:
        tracker = Tracker(engine.model("sam2s-nano", image_size=SIDE), video, project)
        give(tracker)
        run = ProjectRun(tracker, 0, 16)
        frames = iter(run)
        reached = [next(frames)[0] for _ in range(5)]
        frames.close()
        run.pause()
        again = ProjectRun.resume(Tracker(engine.model("sam2s-nano", image_size=SIDE), video, project))
        assert [t for t, _ in again] == list(range(reached[-1] + 1, 16))
        assert [r.status for r in project.runs] == ["finished"]


def test_errors_arrive_as_they_are(engine, video, tmp_path):
    with project_of(tmp_path, "a.sam2s", video) as project:
        tracker = Tracker(engine.model("sam2s-nano", image_size=SIDE), video, project)
        with pytest.raises(PromptError, match="outside"):
            tracker.prompt(1, 0, points=[(500, 80)])
        with pytest.raises(PromptError, match="negative"):
            tracker.prompt(1, 0, points=[(50, 80)], labels=[0])
        with pytest.raises(ProjectError, match="no object 7"):
            tracker.prompt(7, 0, points=[(50, 80)])
        with pytest.raises(TrackingError, match="nothing to track"):
            next(tracker.propagate())
        assert project.prompts() == []


def test_nothing_to_resume(video, tmp_path, engine):
    with project_of(tmp_path, "a.sam2s", video) as project, pytest.raises(TrackingError, match="no interrupted run"):
        ProjectRun.resume(Tracker(engine.model("sam2s-nano", image_size=SIDE), video, project))


def test_an_address_where_nothing_answers(monkeypatch):
    monkeypatch.setattr("napari_sam2s.tracking.engine.START_TIMEOUT_S", 1.0)
    with pytest.raises(TrackingError, match="No engine answers"):
        Engine("tcp://127.0.0.1:9")


def test_dask_arrays_here_are_computed_here_meanwhile(engine, video, tmp_path):
    """A viewer slices dask arrays in one thread while another talks to the engine."""
    import threading

    import dask.array as da

    failures = []
    stop = threading.Event()

    def slice_on():
        while not stop.wait(0.005):
            try:
                da.ones((4, 4), chunks=2).sum().compute()
            except RuntimeError as error:
                failures.append(error)

    thread = threading.Thread(target=slice_on)
    thread.start()
    try:
        with project_of(tmp_path, "a.sam2s", video) as project:
            tracker = Tracker(engine.model("sam2s-nano", image_size=SIDE), video, project)
            give(tracker)
            for _ in tracker.propagate(0, 6):
                pass
    finally:
        stop.set()
        thread.join()
    assert not failures


def test_what_a_checkpoint_holds_is_told_through_the_engine(engine, video, tmp_path):
    weights = torch.load(WEIGHTS / "sam2s-nano.pt", weights_only=True)
    torch.save({**weights, "model": {**weights["model"], "slots.a": torch.zeros(1)}}, tmp_path / "slots.pt")
    with pytest.raises(CheckpointDiffers) as told:
        Tracker(engine.model(str(tmp_path / "slots.pt")), video)
    assert told.value.unknown == ("slots.a",)
    without = Tracker(engine.model(str(tmp_path / "slots.pt"), strict=False), video)
    assert without.describe()["differences"] == "1 tensor is unknown (slots.a)"
