"""Simulated users."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.clicks import correction, next_click, prompt_first


def test_the_first_click_is_the_middle():
    mask = np.zeros((40, 60), bool)
    mask[10:21, 30:41] = True
    assert next_click(mask) == ((15, 35), 1)


def test_then_the_larger_error():
    truth, answer = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    truth[5:15, 5:15], answer[20:36, 20:36] = True, True
    (y, x), label = next_click(truth, answer)
    assert label == 0
    assert 20 <= y < 36
    (y, x), label = next_click(truth, truth & (np.arange(60) < 9))
    assert label == 1
    assert truth[y, x]
    assert x >= 9


def test_nothing_to_correct_and_a_single_wrong_pixel():
    empty = np.zeros((8, 8), bool)
    assert correction(~empty, ~empty) is None
    assert correction(empty, np.eye(8, dtype=bool)) == (0, 0, 0)


class Dilating:
    """A tracker whose answer is what it was asked for, one pixel too large."""

    def __init__(self):
        self.asked = []

    def prompt(self, object_id, frame, **prompt):
        self.asked.append(prompt)
        answer = np.zeros((40, 60), bool)
        answer[9:22, 29:42] = True
        return answer


@pytest.mark.parametrize(("kind", "count"), [("1-click", 1), ("3-click", 3), ("5-click", 5), ("box", 1), ("mask", 1)])
def test_protocols(kind, count):
    truth = np.zeros((40, 60), bool)
    truth[10:21, 30:41] = True
    tracker = Dilating()
    prompt_first(tracker, 1, 0, truth, kind)
    assert len(tracker.asked) == count
    if kind == "box":
        assert tracker.asked[0]["box"] == (10, 30, 21, 41)
    if kind == "3-click":
        assert [a["labels"] for a in tracker.asked] == [[1], [0], [0]]


def test_what_cannot_be_prompted():
    with pytest.raises(EvaluationError, match="not on frame"):
        prompt_first(Dilating(), 1, 0, np.zeros((4, 4), bool), "box")
    with pytest.raises(EvaluationError, match="2-click"):
        prompt_first(Dilating(), 1, 0, np.ones((4, 4), bool), "2-click")
