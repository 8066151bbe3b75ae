"""Runs of some of the objects, taken up again."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.run_records import Run
from napari_sam2s.model import Speed, apply_speed, load_model
from napari_sam2s.synthetic.laparoscopy import Laparoscopy
from napari_sam2s.tracking import (
    MemoryPolicy,
    ProjectRun,
    Segment,
    Tracker,
    propagation_run,
    reload_prompts,
    resumable_run,
    resume_run,
    segment_runs,
)
from napari_sam2s.tracking.prompts import mask_to_network
from napari_sam2s.tracking.propagation_plan import cut_where_confirmed, remaining
from napari_sam2s.video import open_video
from tests.fakes import ColourModel, squares
from tests.inside import actor_of


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


def test_a_correction_of_one_object_is_gone_on_with_for_that_one(attentive, video, tmp_path):
    with (
        corrected(tmp_path / "whole.sam2s", attentive, video, None) as whole,
        corrected(tmp_path / "broken.sam2s", attentive, video, 11) as broken,
    ):
        assert resumable_run(whole) is None
        assert resumable_run(broken).status == "interrupted"
        others = [broken.mask(t, 2) for t in range(20)]
        followed = [sorted(masks) for _, masks in ProjectRun.resume(Tracker(attentive, video, broken))]
        assert followed == [[1]] * len(followed)
        for t in range(20):
            np.testing.assert_array_equal(broken.mask(t, 1), whole.mask(t, 1))
            np.testing.assert_array_equal(broken.mask(t, 2), others[t])
        with pytest.raises(TrackingError, match="no interrupted run"):
            ProjectRun.resume(Tracker(attentive, video, broken))


def test_interrupted_within_a_frame_it_goes_on_from_where_all_objects_were_alike(attentive, video, tmp_path, monkeypatch):
    """Ctrl+C, once the first of two objects that are tracked one after the other has seen a frame."""

    def started(path):
        project = Project.create(path, video)
        tracker = Tracker(attentive, video, project, MemoryPolicy(name="keen", iou_threshold=0.0, candidates=3))
        for t, points in ((0, [(20, 30)]), (3, [(30, 60)])):
            tracker.prompt(project.add_object().id, t, points=points)
        return project, tracker

    def masks(project):
        return [{i: mask.tobytes() for i, mask in project.masks(t).items()} for t in range(20)]

    project, tracker = started(tmp_path / "whole.sam2s")
    with project:
        for _ in ProjectRun(tracker, 0, 20):
            pass
        whole = masks(project)
    for frame in (4, 6, 9):
        broken, tracker = started(tmp_path / f"{frame}.sam2s")
        read, calls = actor_of(tracker).predictor.follow, []

        def follow(t, recalls, frame=frame, read=read, calls=calls):
            calls.append(t)
            if calls.count(frame) == 2:
                raise KeyboardInterrupt
            return read(t, recalls)

        monkeypatch.setattr(actor_of(tracker).predictor, "follow", follow)
        run = ProjectRun(tracker, 0, 20)
        with broken:
            with pytest.raises(KeyboardInterrupt):
                for _ in run:
                    pass
            run.pause()
            assert resumable_run(broken).status == "paused"
            for _ in ProjectRun.resume(Tracker(attentive, video, broken, tracker.policy)):
                pass
            assert masks(broken) == whole


def test_an_object_is_cut_out_where_it_is_confirmed_and_comes_back_where_it_is_prompted():
    prompts, confirmed = {1: [0, 12], 2: [0], 3: [8]}, {1: [0, 6, 7], 2: [9], 3: [4, 8, 15]}
    cut = cut_where_confirmed(range(0, 20), (1, 2, 3), prompts, confirmed)
    assert cut == [
        (0, 4, (1, 2, 3)),
        (4, 6, (1, 2)),
        (6, 8, (2,)),
        (8, 9, (2, 3)),
        (9, 12, (3,)),
        (12, 15, (1, 3)),
        (15, 20, (1,)),
    ]
    assert cut_where_confirmed(range(5, 20), (2,), {2: [0]}, {2: [5, 9]}) == [(5, 9, (2,))]
    back = cut_where_confirmed(range(19, -1, -1), (1, 2), {1: [19], 2: [5]}, {1: [7], 2: [2]})
    assert back == [(19, 7, (1, 2)), (7, 2, (2,))]
    assert cut_where_confirmed(range(4), (1,), {1: [0]}, {}) == [(0, 4, (1,))]
    assert remaining(cut, range(7, 20)) == [(7, 8, (2,)), *cut[3:]]
    assert remaining([(9, None, [1])], range(12, 30)) == [(12, 30, (1,))]
    assert remaining(back, range(4, -1, -1)) == [(4, 2, (2,))]
    assert remaining(cut, range(20, 20)) == []


@pytest.mark.parametrize("rate", [None, 5])
def test_tracking_stops_at_a_confirmed_mask_also_when_it_is_gone_on_with(attentive, video, tmp_path, rate):
    painted = np.zeros((48, 80), bool)
    painted[2:8, 60:75] = True

    def masks_of(stop):
        with Project.create(tmp_path / f"{stop}.sam2s", video) as project:
            tracker = Tracker(attentive, video, project)
            for points in ([(20, 30)], [(30, 60)]):
                tracker.prompt(project.add_object().id, 0, points=points)
            project.write_masks([(14, 1, painted, None)], origin="painted")
            project.confirm(14, 1)
            run = ProjectRun(tracker, 0, 20, rate=rate)
            assert len(run) == 20
            for t, _ in run:
                project.confirm(t, 2)  # what is confirmed on the way is behind the run
                if t == stop:
                    break
            if stop is not None:
                run.pause()
                for _ in ProjectRun.resume(Tracker(attentive, video, project)):
                    pass
            assert resumable_run(project) is None
            return [{i: mask.tobytes() for i, mask in project.masks(t).items()} for t in range(20)]

    whole = masks_of(None)
    assert [sorted(masks) for masks in whole] == [[1, 2]] * 15 + [[2]] * 5
    assert whole[14][1] == painted.tobytes()
    for stop in (6, 12, 13, 17):
        assert masks_of(stop) == whole


def test_runs_that_are_still_to_come_are_known_to_whoever_goes_on(attentive, video, tmp_path):
    with Project.create(tmp_path / "p.sam2s", video) as project:
        tracker = Tracker(attentive, video, project)
        i = project.add_object().id
        tracker.prompt(i, 20, points=[(20, 30)])
        first = next(segment_runs(tracker, [Segment(20, 40, "forward", (i,), 5), Segment(20, -1, "backward", (i,), 5)]))
        assert first.rate == 5
        for t, _ in first:
            if t == 30:
                break
        first.pause()
        again = ProjectRun.resume(Tracker(attentive, video, project))
        assert [t for t, _ in again] == list(range(31, 40))
        (later,) = segment_runs(again.tracker, again.later)
        assert (later.direction, later.rate, later.objects) == ("backward", 5, (i,))
        assert [t for t, _ in later] == list(range(20, -1, -1))
        assert later.later == []


def test_killed_between_two_segments_the_second_is_gone_on_with(tmp_path):
    video = open_video(squares())
    both = [Segment(20, 40, "forward", (1,)), Segment(20, -1, "backward", (1,))]
    with Project.create(tmp_path / "whole.sam2s", video) as project:
        project.add_object()
        tracker = Tracker(ColourModel(), video, project)
        tracker.prompt(1, frame=20, points=[(14, 30)], labels=[1])
        for run in segment_runs(tracker, both):
            list(run)
        whole = {t: project.mask(t, 1) for t in project.frames}
        assert [run.status for run in project.runs] == ["finished", "finished"]
        assert project.undo() == "track"
        assert project.frames == [20], "both ways are one run for whoever pressed one key: the click is left"
        assert project.redo() == "track"
        assert project.frames == sorted(whole)
        list(ProjectRun(tracker, 30, 40))
        project.undo()
        assert project.frames == sorted(whole), "another run is a step of its own"
    with Project.create(tmp_path / "killed.sam2s", video) as project:
        project.add_object()
        tracker = Tracker(ColourModel(), video, project)
        tracker.prompt(1, frame=20, points=[(14, 30)], labels=[1])
        list(next(segment_runs(tracker, both)))
    with Project.open(tmp_path / "killed.sam2s") as project:
        run = resume_run(project, video, ColourModel())
        assert list(run) == []
        for later in segment_runs(run.tracker, run.later):
            list(later)
        assert [run.status for run in project.runs] == ["finished", "finished"]
        assert sorted(whole) == project.frames == list(range(40))
        assert all(np.array_equal(project.mask(t, 1), mask) for t, mask in whole.items())
        with pytest.raises(TrackingError, match="no interrupted run"):
            resume_run(project, video, ColourModel())


def test_a_frame_that_its_receiver_died_over_is_yielded_again(video, tmp_path, monkeypatch):
    monkeypatch.setattr(propagation_run, "SNAPSHOT_SECONDS", -1.0)  # at every frame
    with Project.create(tmp_path / "p.sam2s", video) as project:
        project.add_object()
        tracker = Tracker(ColourModel(), video, project)
        tracker.prompt(1, frame=0, points=[(14, 30)], labels=[1])
        killed = iter(ProjectRun(tracker, 0))  # never closed, as of a process that was killed
        frames = [next(killed)[0] for _ in range(5)]
        assert next(iter(ProjectRun.resume(Tracker(ColourModel(), video, project))))[0] == frames[-1]


@pytest.mark.parametrize("rate", [None, 5])
@pytest.mark.parametrize(("stop", "frames", "reached"), [(20, 40, 40), (20, 16, 16), (18, 40, 18), (18, 16, 16), (20, 12, 12)])
def test_a_run_goes_on_in_the_recording_continued_or_cut(attentive, clip, tmp_path, stop, frames, reached, rate):
    first, other = open_video(clip[:20], fps=25), open_video(clip[:frames], fps=25)
    with Project.create(tmp_path / "p.sam2s", first) as project:
        tracker = Tracker(attentive, first, project)
        tracker.prompt(project.add_object().id, 0, points=[(20, 30)])
        run = ProjectRun(tracker, 0, stop, rate=rate)
        for t, _ in run:
            if t == (10 if rate else 11):
                break
        run.pause()
        project.video.relink(other)
        for _ in ProjectRun.resume(Tracker(attentive, other, project)):
            pass
        assert project.frames == list(range(reached))
        assert resumable_run(project) is None


def test_a_click_where_tracking_was_undone_knows_nothing_of_it(attentive, video, tmp_path):
    answers = []
    for tracked in (True, False):
        with Project.create(tmp_path / f"{tracked}.sam2s", video) as project:
            tracker = Tracker(attentive, video, project)
            i = project.add_object().id
            tracker.prompt(i, 0, points=[(20, 30)])
            if tracked:
                for _ in ProjectRun(tracker, 0, 6):
                    pass
                project.undo()
                reload_prompts(tracker, project, i)
                assert project.mask(5, i) is None
            tracker.prompt(i, 5, points=[(30, 60)])
            answers.append(actor_of(tracker).objects.logits(i, 5).clone())
    np.testing.assert_array_equal(*answers)


def test_shortcuts_are_those_the_run_was_made_with(tmp_path):
    drawn = Laparoscopy(2**31 + 5, 8, (64, 64), absences=0)
    video, model = open_video(drawn, axes="TYXC", limits=(0, 255)), load_model(device="cpu", image_size=64)
    apply_speed(model, Speed(memories=2))
    with Project.create(tmp_path / "p.sam2s", video) as project:
        tracker = Tracker(model, video, project)
        tracker.prompt(project.add_object().id, 0, mask=drawn.masks(0)[1])
        run = ProjectRun(tracker)
        next(iter(run))
        run.pause()
        with pytest.raises(TrackingError, match=r"apply Speed\(pooled_memory=False, memories=2, "):
            resume_run(project, video, load_model(device="cpu", image_size=64))
        again = resume_run(project, video, device="cpu")
        assert again.tracker.model.speed == model.speed
        assert len(list(again)) == 7


@pytest.mark.parametrize(("then", "resumed"), [({"memories": 2}, True), ({"memories": 3}, False)])
def test_a_run_that_does_not_name_a_shortcut_was_made_before_it(then, resumed):
    run = Run(1, "paused", 0.0, None, {"model": "sam2s-nano", "speed": then}, 3, None, "forward")
    now = {"mode": "exact", "speed": {"memories": 2, "plain_outlines": False}}
    with nullcontext() if resumed else pytest.raises(TrackingError, match=r"Speed\(memories=3\)"):
        propagation_run._check_alike(run, now)


def test_interrupted_on_the_last_frame_nothing_is_left(attentive, video, tmp_path):
    with Project.create(tmp_path / "p.sam2s", video) as project:
        tracker = Tracker(attentive, video, project)
        tracker.prompt(project.add_object().id, 30, points=[(20, 30)])
        run = ProjectRun(tracker)
        for t, _ in run:
            if t == 39:
                break
        run.pause()
        assert list(ProjectRun.resume(Tracker(attentive, video, project))) == []
        assert resumable_run(project) is None
        with pytest.raises(TrackingError, match="no frames from 8 up to 2 going forward"):
            ProjectRun(tracker, 8, 2)
        assert len(project.runs) == 1


@pytest.mark.parametrize(("first", "second", "direction"), [(0, 9, "forward"), (9, 2, "backward")])
def test_corrections_are_known_again_when_a_project_is_opened(tmp_path, monkeypatch, first, second, direction):
    """Even one that only says where the object is not: alone it would say nothing, but it was said of a tracked mask."""
    drawn = Laparoscopy(2**31 + 5, 10, (192, 192), absences=0)
    video, model = open_video(drawn, axes="TYXC", limits=(0, 255)), load_model(device="cpu", image_size=192)
    model.interactive.side = 224  # a quarter of the work: what is known again does not depend on it
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
            patches = actor_of(tracker).objects.banks[i].conditioning[second].patches.float()
            small = F.pixel_shuffle(patches[None], 2)
            remembered = F.interpolate(small, answer.shape, mode="bilinear")[0, 0].numpy() > 0.5
            assert (remembered & answer).sum() > 0.8 * (remembered | answer).sum()  # in cells of stride 4
        np.testing.assert_array_equal(project.mask(second, i), answer)
        reads = []
        answered = actor_of(opened).predictor.answer
        monkeypatch.setattr(actor_of(opened).predictor, "answer", lambda *args: (reads.append(args), answered(*args))[1])
        opened.prompt(i, second, points=[places[0]])
        ((whole, recall, earlier),) = reads
        assert whole.labels == (1, 0, 1)  # a point in the mask, the click of before, and the new one
        assert recall is None
        assert torch.equal(earlier > 0, mask_to_network(answer, 48) > 0), "the mask that is there is corrected"


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": 5},
        {"image_size": "x"},
        {"precision": "x"},
        {"mode": 7},
        {"memory": "x"},
        {"memory": {"no": 1}},
        {"rate": "x"},
        {"objects": ["x"]},
        {"speed": {"no": 1}},
    ],
)
def test_a_run_that_does_not_say_how_it_was_made(tmp_path, wrong):
    facts = {"model": "sam2s-nano", "image_size": 64, "memory": {}} | wrong
    with Project.create(tmp_path / "a.sam2s", np.zeros((4, 8, 9, 3), np.uint8)) as project:
        project.runs.start(next_frame=0, stop_frame=4, snapshot=b"state", **facts)
    with (
        Project.open(tmp_path / "a.sam2s") as project,
        pytest.raises(TrackingError, match=r"Run 1 of a\.sam2s does not say how it was made: track again from a prompt"),
    ):
        resume_run(project, np.zeros((4, 8, 9, 3), np.uint8))


def test_masks_that_no_run_made_are_not_called_untracked(tmp_path):
    with Project.create(tmp_path / "a.sam2s", np.zeros((3, 32, 32, 3), np.uint8)) as project:
        project.add_object()
        with pytest.raises(TrackingError, match="Tracking never started"):
            resume_run(project, None)
        project.write_masks([(0, 1, np.ones((32, 32), bool), None)])
        with pytest.raises(TrackingError, match=r"no interrupted run to resume\.$"):
            resume_run(project, None)
