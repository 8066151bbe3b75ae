"""The working rate: what is tracked, what is filled, and going on from anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets import Project
from napari_sam2s.tracking import ProjectRun, Tracker
from napari_sam2s.tracking.working_rate import find_stride, read_order, spans
from napari_sam2s.video import open_video
from tests.inside import actor_of

BOX = np.zeros((48, 80), bool)
BOX[10:30, 20:50] = True


@pytest.fixture(scope="module")
def video(clip):
    return open_video(clip, fps=25)


def run(tracker, *args, **keywords):
    return {t: {i: m.copy() for i, m in masks.items()} for t, masks in tracker.propagate(*args, **keywords)}


def test_strides(video, clip):
    assert find_stride(clip, None) == 1
    assert [find_stride(video, r) for r in (25, 24, 12.5, 5, 1, 0.5, 60)] == [1, 1, 2, 5, 25, 50, 1]
    with pytest.raises(TrackingError, match="frame rate"):
        find_stride(clip, 5)
    for bad in (0, -1, float("nan")):
        with pytest.raises(TrackingError, match="not possible"):
            find_stride(video, bad)


def test_spans_end_with_key_frames():
    assert spans(range(0, 13), 5, {0}, known_before=False) == [range(0, 1), range(1, 6), range(6, 11), range(11, 13)]
    assert spans(range(3, 9), 5, {7}, known_before=False) == [range(3, 4), range(4, 6), range(6, 8), range(8, 9)]
    assert spans(range(3, 9), 5, (), known_before=True) == [range(3, 6), range(6, 9)]
    backward = spans(range(12, -1, -1), 5, {12}, known_before=False)
    assert [p[-1] for p in backward] == [12, 10, 5, 0]
    assert [t for p in backward for t in p] == list(range(12, -1, -1))
    assert spans(range(4), 1, {0}, known_before=True) == [range(t, t + 1) for t in range(4)]
    assert spans(range(5, 5), 5, (), known_before=False) == []
    assert read_order(spans(range(3, 9), 5, (), known_before=True), from_before=True) == [2, 5, 8]


@pytest.mark.parametrize("memory", ["divemem", "vanilla"])
def test_key_frames_are_those_of_a_video_thinned_out(attentive, video, clip, memory):
    tracker, thin = Tracker(attentive, video, memory=memory), Tracker(attentive, clip[::5], memory=memory)
    for t in (tracker, thin):
        t.prompt(1, 0, mask=BOX)
    masks, expected = run(tracker, 0, 36, rate=5), run(thin)
    assert list(masks) == list(range(36))
    for n in range(8):
        np.testing.assert_array_equal(masks[5 * n][1], expected[n][1])
    scores = [bool(tracker.scores(t)) for t in range(36)]
    assert scores == [t % 5 == 0 for t in range(36)]


def test_only_key_frames_are_encoded(random_nano, video, monkeypatch):
    tracker = Tracker(random_nano, video)
    tracker.prompt(1, 0, mask=BOX)
    encoded = []
    encode = type(random_nano).encode
    monkeypatch.setattr(type(random_nano), "encode", lambda *a: encoded.append(1) or encode(*a))
    assert len(run(tracker, 0, 31, rate=5)) == 31
    assert len(encoded) == 6


def test_a_conditioning_frame_between_is_a_key_frame_and_stays(attentive, video):
    tracker = Tracker(attentive, video)
    tracker.prompt(1, 0, points=[(20, 30)])
    tracker.prompt(1, 7, mask=BOX)
    tracker.prompt(2, 12, points=[(20, 30)])
    masks = run(tracker, 0, 21, rate=5)
    np.testing.assert_array_equal(masks[7][1], BOX)
    assert [2 in masks[t] for t in (11, 12, 13, 15)] == [False, True, True, True]


def test_a_filled_mask_has_no_scores_of_the_one_that_was_there(attentive, video):
    tracker = Tracker(attentive, video)
    tracker.prompt(1, 0, mask=BOX)
    run(tracker, 0, 11)
    assert all(tracker.scores(t) for t in range(11))
    run(tracker, 0, 11, rate=5)
    assert [bool(tracker.scores(t)) for t in range(11)] == [t % 5 == 0 for t in range(11)]


def test_backward_and_both(attentive, video):
    tracker = Tracker(attentive, video)
    tracker.prompt(1, 20, mask=BOX)
    assert list(run(tracker, direction="backward", rate=5)) == list(range(20, -1, -1))
    assert [t for t, _ in tracker.propagate(direction="both", rate=5)] == [*range(20, 40), *range(19, -1, -1)]


def origins(project):
    rows = project.store.rows("SELECT frame, origin FROM masks WHERE object_id = 1 ORDER BY frame")
    return {r[0]: r[1] for r in rows}


def test_filled_masks_are_marked_and_can_be_tracked_anew(attentive, video, tmp_path):
    with Project.create(tmp_path / "a.sam2s", video) as project:
        project.add_object()
        tracker = Tracker(attentive, video, project)
        tracker.prompt(1, 0, mask=BOX)
        for _ in ProjectRun(tracker, rate=5):
            pass
        expected = {t: "interpolated" if t % 5 and t != 39 else "propagated" for t in range(1, 40)}
        assert origins(project) == {0: "prompted", **expected}
        assert project.runs[0].provenance["rate"] == 5
        for _ in ProjectRun(tracker, 11, 16):
            pass
        assert {t: o for t, o in origins(project).items() if t in range(11, 16)} == dict.fromkeys(range(11, 16), "propagated")
        assert origins(project)[16] == "interpolated"


def project_of(folder, name, video):
    project = Project.create(folder / name, video)
    project.add_object()
    project.add_object()
    return project


def interrupted(model, video, path, prompt, frames, stop):
    """Prompt two objects, track, pause once frame ``stop`` was seen, resume; return the labels and the masks' origins."""
    with project_of(path.parent, path.name, video) as project:
        tracker = Tracker(model, video, project)
        prompt(tracker)
        propagation = ProjectRun(tracker, 0, frames, rate=5)
        for t, _ in propagation:
            if t == stop:
                break
        if stop is not None:
            propagation.pause()
            for _ in ProjectRun.resume(Tracker(model, video, project)):
                pass
        return [project.labels[t].tobytes() for t in range(frames)], [project.masks.origins(t) for t in range(frames)]


@pytest.mark.slow
def test_paused_anywhere_and_gone_on_to_the_same_masks(attentive, video, tmp_path):
    def prompt(tracker):
        tracker.prompt(1, 0, points=[(20, 30)])
        tracker.prompt(2, 3, box=(5, 5, 20, 40))

    whole, *parts = (interrupted(attentive, video, tmp_path / f"{stop}.sam2s", prompt, 28, stop) for stop in (None, 7, 10, 14))
    assert parts == [whole] * 3


@pytest.mark.slow
@pytest.mark.parametrize("seen", [False, True])  # whether the second object is known before its prompt, from a run backward
def test_gone_on_with_before_every_object_is_followed(attentive, video, tmp_path, seen):
    def prompt(tracker):
        tracker.prompt(1, 0, points=[(20, 30)])
        tracker.prompt(2, 12, box=(5, 5, 20, 40))
        for _ in tracker.propagate(12, 8, "backward", objects=[2]) if seen else ():
            pass

    whole, *parts = (
        interrupted(attentive, video, tmp_path / f"{stop}.sam2s", prompt, 25, stop) for stop in (None, 5, 6, 10, 11)
    )
    assert parts == [whole] * 4


def test_a_run_from_the_middle_remembers_what_is_known_before_it(attentive, clip):
    tracker = Tracker(attentive, clip, memory="vanilla")
    tracker.prompt(1, 0, mask=BOX)
    run(tracker)
    assert tracker.lacking(20, [1], 1, 1) == {t: [1] for t in range(14, 20)}
    assert tracker.lacking(0, [1], 1, 1) == {}
    run(tracker, 20, 21)
    assert sorted(actor_of(tracker).objects.banks[1].trails[1].recent) == list(range(14, 21))
    tracker.prompt(1, 30, points=[(20, 30)])
    assert tracker.lacking(30, [1], 1, 1) == {}  # the prompt may correct what is known before it
    assert tracker.lacking(33, [1], 1, 1) == {31: [1], 32: [1]}
    assert tracker.lacking(20, [1], 1, 5) == {5: [1]}  # frames 14 to 19 stand for 15 and 10
