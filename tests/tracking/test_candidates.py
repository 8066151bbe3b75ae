import numpy as np
import pytest

from napari_sam2s.errors import PromptError
from napari_sam2s.model import load_model
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.tracking import Candidate, Tracker
from napari_sam2s.tracking.candidates import rank
from tests.fakes import ColourModel, squares

CLICK = {"points": [(130, 240)], "labels": [1]}


def square(side, iou):
    mask = np.zeros((20, 20), bool)
    mask[:side, :side] = True
    return Candidate(mask, iou)


def test_best_first_without_doubles_and_empty_ones():
    ranked = rank([square(10, 0.5), square(4, 0.9), square(0, 0.95), square(10, 0.4), square(20, 0.7)])
    assert [(c.mask.sum(), c.iou) for c in ranked] == [(16, 0.9), (400, 0.7), (100, 0.5)]


@pytest.fixture(scope="module")
def frame():
    return np.asarray(demo_case(1)[0])[None]


def test_the_best_is_what_a_click_gives_and_nothing_changes(frame):
    tracker = Tracker(load_model(), frame)
    found = tracker.candidates(0, **CLICK)
    assert 2 <= len(found) <= 3
    assert [c.iou for c in found] == sorted((c.iou for c in found), reverse=True)
    assert tracker.conditioning == {}
    assert tracker.scores(0) == {}
    assert np.array_equal(tracker.prompt(1, 0, **CLICK), found[0].mask)
    assert tracker.scores(0)[1].iou == pytest.approx(found[0].iou)
    assert np.array_equal(tracker.prompt(2, 0, mask=found[1].mask), found[1].mask)


def test_a_box_has_them_too(frame):
    tracker = Tracker(load_model(), frame)
    assert len(tracker.candidates(0, box=(40, 60, 200, 220))) > 1


def test_a_model_with_one_answer_gives_one():
    assert len(Tracker(ColourModel(), squares(1)).candidates(0, points=[(14, 10)])) == 1


@pytest.mark.parametrize("prompt", [{"points": [(14, 10)], "labels": [0]}, {"points": [(900, 10)]}, {}])
def test_prompts_that_say_nothing_are_refused(prompt):
    with pytest.raises(PromptError):
        Tracker(ColourModel(), squares(1)).candidates(0, **prompt)
