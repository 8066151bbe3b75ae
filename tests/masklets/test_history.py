"""Undo without limit, and steps of it that are made one."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project, Prompt, Scores, change_log
from napari_sam2s.masklets.track_edit_preview import KINDS, TrackEdit
from napari_sam2s.video import open_video as sam2s_video


def test_the_dabs_of_a_stroke_are_one_step(project):
    one = project.add_object()
    project.labels[0, 0:4, 0:4] = one.id
    steps = len(project.history.steps)
    before = project.labels[0].copy()
    since = project.history.last
    project.labels[0, 2:8, 2:8] = one.id
    project.labels[0, 6:9, 6:9] = 0
    project.prompts.add(Prompt(one.id, 0, mask=project.mask(0, one.id)))
    after = project.labels[0].copy()
    project.history.merge(since, "paint", "prompt")
    assert project.history.steps[-1] == ("paint", False)
    assert len(project.history.steps) == steps + 1
    assert project.undo() == "paint"
    np.testing.assert_array_equal(project.labels[0], before)
    assert not project.prompts()
    assert project.redo() == "paint"
    np.testing.assert_array_equal(project.labels[0], after)
    assert len(project.prompts()) == 1


def test_nothing_to_merge_is_no_harm(project):
    project.add_object()
    project.history.merge(project.history.last, "paint")
    assert project.history.steps[-1] == ("add object", False)


def test_only_the_steps_of_a_stroke_are_merged(project):
    """A run may begin, or a click be answered on the same frame, while a stroke is drawn."""
    one, two = project.add_object(), project.add_object()
    empty = np.zeros(project.shape[1:], dtype=bool)
    clicked = empty.copy()
    clicked[10:20, 10:20] = True
    states = [everything(project)]
    since = project.history.last
    project.labels[0, 0:4, 0:4] = one.id
    project.keep_prompt(Prompt(one.id, 0, ((12.0, 12.0),), (1,)), clicked, None)
    run = project.runs.start(model="none")
    project.labels[0, 2:8, 2:8] = one.id
    project.write_masks([(t, two.id, clicked, None) for t in (0, 1)], run=run)
    project.history.merge(since, "paint")
    project.write_masks([(2, two.id, clicked, None)], run=run)  # it goes on
    project.runs.finish(run)
    assert [label for label, _ in project.history.steps[-3:]] == ["prompt", "track", "paint"]
    states.append(everything(project))
    assert project.undo() == "paint"
    np.testing.assert_array_equal(project.mask(0, one.id), clicked)
    assert project.undo() == "track"
    assert all(project.mask(t, two.id) is None for t in range(3))
    assert project.undo() == "prompt"
    assert everything(project) == states[0]
    while project.redo():
        pass
    assert everything(project) == states[1]


def test_steps_after_undone_ones_are_merged(project):
    """Their numbers are those of the steps that were undone, which are gone then."""
    one = project.add_object()
    for _ in range(3):
        project.objects.rename(one.id, "other")
    for _ in range(3):
        project.undo()
    since, steps = project.history.last, len(done(project))
    project.labels[0, 0:4, 0:4] = one.id
    project.labels[0, 2:8, 2:8] = one.id
    project.history.merge(since, "paint")
    assert len(project.history.steps) == steps + 1
    project.undo()
    assert project.mask(0, one.id) is None


def everything(project):
    """Return all that a user owns: objects, prompts, and every row of masks with what is said of it."""
    rows = project.store.db.execute("SELECT * FROM known_masks ORDER BY frame, object_id").fetchall()
    prompts = sorted((repr((p.object_id, p.frame, p.points, p.labels, p.box)), p.mask is not None) for p in project.prompts())
    series = {o.id: project.masks.series(o.id) for o in project.objects}
    for i, numbers in series.items():  # what is kept of the rows in memory agrees with them
        assert numbers.frames.tolist() == [row["frame"] for row in rows if row["object_id"] == i]
        assert numbers.area.tolist() == [row["area"] for row in rows if row["object_id"] == i]
    return tuple(project.objects), prompts, [tuple(row) for row in rows]


FRAMES = st.integers(0, 29)
SPANS = st.tuples(FRAMES, FRAMES).map(lambda span: (min(span), max(span) + 1))
IDS = st.integers(1, 4)  # some of which may not be there
BOXES = st.tuples(st.integers(0, 12), st.integers(0, 16), st.integers(13, 24), st.integers(17, 32))


def mask_in(box):
    """Return a mask that fills a box ``(y0, x0, y1, x1)``."""
    mask = np.zeros((24, 32), dtype=bool)
    mask[box[0] : box[2], box[1] : box[3]] = True
    return mask


def track(project, draw):
    """Write masks as a run does."""
    run = project.runs.start(model="none")
    start, stop = draw(SPANS)
    shape = mask_in(draw(BOXES))
    ids = [o.id for o in project.objects]
    project.write_masks([(t, i, shape, Scores(0.5, 1.0, {"hook": 1.0})) for t in range(start, stop) for i in ids], run=run)
    project.runs.finish(run)


def prompt(project, draw):
    """Give a prompt of some kind, with the mask it is answered by."""
    box = draw(BOXES)
    made = draw(st.sampled_from(("click", "box", "mask")))
    what = {"click": {"points": (box[:2],), "labels": (1,)}, "box": {"box": box}, "mask": {"mask": mask_in(box)}}[made]
    project.keep_prompt(Prompt(draw(IDS), draw(FRAMES), **what), mask_in(box), None)


EDITS = {
    "paint": lambda p, draw: p.labels.__setitem__(
        (draw(FRAMES), slice(*draw(st.tuples(st.integers(0, 9), st.integers(10, 24))))),
        draw(st.sampled_from([0, *(o.id for o in p.objects)])),
    ),
    "track edit": lambda p, draw: TrackEdit(
        draw(st.sampled_from(KINDS)), draw(IDS), draw(IDS), *draw(SPANS), frame=draw(FRAMES)
    ).apply(p),
    "confirm": lambda p, draw: p.confirm(draw(FRAMES), confirmed=draw(st.booleans())),
    "confirm span": lambda p, draw: p.tracks.confirm([draw(IDS)], *draw(SPANS)),
    "add": lambda p, draw: p.add_object(class_name=draw(st.sampled_from([None, "hook"]))),
    "remove": lambda p, draw: p.objects.remove(draw(IDS)),
    "rename": lambda p, draw: p.objects.rename(draw(IDS), draw(st.text("abc", min_size=1))),
    "class": lambda p, draw: p.objects.set_class(draw(IDS), draw(st.sampled_from([None, "grasper"]))),
    "colour": lambda p, draw: p.objects.set_colour(draw(IDS), draw(st.tuples(*[st.integers(0, 255)] * 3))),
    "flags": lambda p, draw: p.objects.set_flags(draw(IDS), locked=draw(st.booleans()), visible=draw(st.booleans())),
    "reorder": lambda p, draw: p.objects.reorder(draw(st.permutations([o.id for o in p.objects]))),
    "prompt": prompt,
    "take prompts back": lambda p, draw: p.prompts.remove(draw(IDS), draw(st.one_of(st.none(), FRAMES))),
    "track": track,
}


@pytest.mark.slow
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_edits_can_all_be_undone_and_redone(project, tmp_path, data):
    """Step by step, and after a restart; an edit that is refused changes nothing."""
    project.close()
    path = Path(shutil.copy(project.path, tmp_path / "edited.sam2s"))
    with Project.open(path) as edited:
        states = [(len(done(edited)), everything(edited))]
        for name in data.draw(st.lists(st.sampled_from(sorted(EDITS)), max_size=8)):
            try:
                EDITS[name](edited, data.draw)
            except ProjectError:
                assert everything(edited) == states[-1][1]
            else:
                states.append((len(done(edited)), everything(edited)))
    with Project.open(path) as again:
        for (before, state), (after, _) in reversed(list(pairwise(states))):
            for _ in range(after - before):
                again.undo()
            assert everything(again) == state
        for (before, _), (after, state) in pairwise(states):
            for _ in range(after - before):
                again.redo()
            assert everything(again) == state


@pytest.mark.slow
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_edits_after_undone_ones_and_runs_that_go_on(project, tmp_path, data):
    """What a run wrote may lie under what comes after it was undone."""
    project.close()
    path = Path(shutil.copy(project.path, tmp_path / "edited.sam2s"))
    with Project.open(path) as edited:
        states = [(len(done(edited)), everything(edited))]
        ahead = []
        steps = st.lists(st.sampled_from([*sorted(EDITS), "track", "track", *["undo"] * 8, *["redo"] * 4]), max_size=14)
        for name in data.draw(steps):
            if name == "undo" and len(states) > 1:
                ahead.append(states.pop())
                for _ in range(ahead[-1][0] - states[-1][0]):
                    edited.undo()
                assert everything(edited) == states[-1][1]
            elif name == "redo" and ahead:
                for _ in range(ahead[-1][0] - states[-1][0]):
                    edited.redo()
                states.append(ahead.pop())
                assert everything(edited) == states[-1][1]
            elif name in EDITS:
                try:
                    EDITS[name](edited, data.draw)
                except ProjectError:
                    assert everything(edited) == states[-1][1]
                if edited.history.steps and not any(undone for _, undone in edited.history.steps):
                    ahead = []
                if (now := len(done(edited))) != states[-1][0]:
                    states.append((now, everything(edited)))
                    ahead = []


def test_a_run_that_goes_on_while_a_later_one_is_undone(project):
    one = project.add_object()
    empty = np.zeros(project.shape[1:], dtype=bool)
    mask = empty.copy()
    mask[3:9, 3:9] = True
    first = project.runs.start(model="none")
    project.write_masks([(0, one.id, mask, None)], run=first)
    project.runs.finish(first, "paused")
    second = project.runs.start(model="none")
    project.write_masks([(t, one.id, ~mask, None) for t in range(4)], run=second)
    project.runs.finish(second)
    after = everything(project)
    project.undo()
    assert [project.mask(t, one.id) is not None for t in range(4)] == [True, False, False, False]
    project.runs.resume(first)
    project.write_masks([(1, one.id, mask, None)], run=first)
    project.runs.finish(first)
    assert project.redo() == "track"
    assert everything(project) == after


def test_the_masks_of_an_undone_run_go_with_the_steps_that_follow(project, monkeypatch):
    monkeypatch.setattr(change_log, "REMOVED_AT_ONCE", 25)
    project.undo()
    assert project.frames == []
    assert len(project.store.rows("SELECT 1 FROM masks")) == 60
    for left in (35, 10, 0):
        project.objects.rename(1, "other")
        assert len(project.store.rows("SELECT 1 FROM masks")) == left
    project.objects.rename(1, "another")
    assert project.store.known == "masks"


def test_a_run_behind_the_end_of_a_cut_video_is_not_brought_back(project, video):
    project.undo()
    project.video.relink(sam2s_video(np.asarray(video[:10])))
    with pytest.raises(ProjectError, match="bring back data of frame 29"):
        project.redo()


def done(project):
    """Return the steps that can be undone."""
    return [label for label, undone in project.history.steps if not undone]
