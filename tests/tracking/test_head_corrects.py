"""A network whose head for first prompts corrects: tracked masks, and clicks on other frames of an object that is known."""

from dataclasses import replace

import numpy as np
import pytest

from napari_sam2s import Tracker, load_model
from napari_sam2s.evaluation.region_and_boundary import iou
from napari_sam2s.masklets import Project
from napari_sam2s.synthetic.samples import cells, demo_case
from napari_sam2s.tracking import reload_prompts
from napari_sam2s.tracking.predictor import FramePredictor
from napari_sam2s.tracking.prompts import inside_point
from tests.fakes import ColourModel
from tests.inside import actor_of


@pytest.fixture(scope="module")
def model():
    return load_model(image_size=256)


@pytest.fixture(scope="module")
def drawn():
    """Two cells side by side, and a video that shows them twice."""
    clip = cells((192, 192))
    masks = list(clip.masks(0).values())
    one, other = max(((a, b) for a in masks for b in masks if a is not b), key=lambda pair: pair[0].sum() + pair[1].sum())
    return np.repeat(np.asarray(clip[0])[None], 2, axis=0), one, other


def test_right_click_on_a_tracked_mask_takes_a_neighbour_out(model, drawn):
    video, one, other = drawn
    tracker = Tracker(model, video)
    tracker.prompt(1, 0, mask=one | other)
    ((_, _first), (_, tracked)) = tracker.propagate()
    assert (tracked[1] & other).sum() > 0.7 * other.sum(), "it was tracked as it was given"
    left = tracker.prompt(1, 1, points=[inside_point(other)], labels=[0])
    assert (left & one).sum() > 0.8 * one.sum()
    assert (left & other).sum() < 0.1 * other.sum()


def test_click_on_a_tracked_mask_adds_what_lacks(model, drawn):
    video, one, other = drawn
    tracker = Tracker(model, video)
    tracker.prompt(1, 0, mask=one)
    list(tracker.propagate())
    both = tracker.prompt(1, 1, points=[inside_point(other)], labels=[1])
    assert iou(both, one | other) > 0.75


def test_click_on_a_frame_not_tracked_yet_is_answered_with_what_the_object_remembers(model):
    clip = demo_case(frames=9)
    video, truth = np.stack([clip[0], clip[8]]), clip.masks(8)[2]
    known, new = Tracker(model, video), Tracker(model, video)
    known.prompt(1, 0, mask=clip.masks(0)[2])
    said = {"points": [(97, 285)], "labels": [1]}
    assert iou(new.prompt(1, 1, **said), truth) < 0.6, "a click alone may mean the jaws"
    assert iou(known.prompt(1, 1, **said), truth) > 0.85


def test_given_mask_that_clicks_corrected_is_the_same_again_when_its_project_is_opened(model, drawn, tmp_path, monkeypatch):
    video, one, other = drawn
    with Project.create(tmp_path / "p.sam2s", video) as project:
        live = Tracker(model, video, project)
        project.add_object()
        asked, correct = [], FramePredictor.correct
        monkeypatch.setattr(FramePredictor, "correct", lambda *args: (asked.append(args), correct(*args))[1])
        live.prompt(1, 0, mask=one)
        for click in (inside_point(other), inside_point(one)):
            answer = live.prompt(1, 0, points=[click], labels=[1])
        assert len(asked) == 2, "each click sees the mask so far"
        asked.clear()
        opened = Tracker(model, video, project)
        reload_prompts(opened, project, 1)
        assert not asked, "the mask is there: a click on it, once more, would correct it twice"
        patches = [actor_of(t).objects.banks[1].conditioning[0].patches.float() for t in (live, opened)]
        assert (patches[0] - patches[1]).abs().mean() < 0.01
        np.testing.assert_array_equal(project.mask(0, 1), answer)
        assert iou(answer, one | other) > 0.75


def test_other_networks_answer_corrections_with_their_memories(drawn):
    asked = []

    class Model(ColourModel):
        def answer(self, features, prompted, given, recall):
            asked.append((given.labels.tolist(), recall is not None))
            return super().answer(features, prompted, given, recall)

    video, one, _ = drawn
    for corrects, expected in ((False, ([[0]], True)), (True, ([[1, 0]], False))):
        fake = Model()
        fake.facts = replace(fake.facts, head_corrects=corrects)
        tracker = Tracker(fake, video)
        tracker.prompt(1, 0, mask=one)
        list(tracker.propagate())
        tracker.prompt(1, 1, points=[(100.0, 100.0)], labels=[0])
        assert asked.pop() == expected
