"""Interactive protocols, over trackers whose mistakes are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.protocols import (
    Round,
    first_frames,
    mean_over_rounds,
    offline_rounds,
    online_rounds,
    prompt_all,
    track_once,
)
from napari_sam2s.masklets import LabelMasklets

T = 10


def truth_of(**away):
    """Return two squares that move to the right; an object is not there on the frames of ``away``."""
    labels = np.zeros((T, 40, 60), dtype=np.uint8)
    for t in range(T):
        for i, top in ((1, 4), (2, 24)):
            if t not in away.get(f"o{i}", ()):
                labels[t, top : top + 10, 5 + 3 * t : 15 + 3 * t] = i
    return LabelMasklets(labels)


class Drifting:
    """A tracker that knows the truth on a prompted frame and loses a row of the object on each frame after it."""

    def __init__(self, truth):
        self.truth, self.prompted, self.asked, self.passes = truth, {}, [], 0

    def _mask(self, object_id, frame, lost):
        mask = self.truth.masks(frame).get(object_id, np.zeros((40, 60), bool)).copy()
        rows = np.flatnonzero(mask.any(axis=1))
        mask[rows[:lost]] = False
        return mask

    def prompt(self, object_id, frame, **prompt):
        self.asked.append((object_id, frame, *prompt))
        self.prompted.setdefault(object_id, set()).add(frame)
        return self._mask(object_id, frame, 0)

    def propagate(self, start=None, stop=None):
        self.passes += 1
        first = min(min(frames) for frames in self.prompted.values()) if start is None else start
        for t in range(first, T):
            lost = {i: min((t - p for p in frames if p <= t), default=None) for i, frames in self.prompted.items()}
            yield t, {i: self._mask(i, t, n) for i, n in lost.items() if n is not None}


def test_every_object_is_prompted_once_on_its_own_first_frame():
    truth = truth_of(o2=range(4))
    assert first_frames(truth) == {1: 0, 2: 4}
    tracker = Drifting(truth)
    found = dict(track_once(tracker, truth, "box"))
    assert tracker.asked == [(1, 0, "box"), (2, 4, "box")]
    assert list(found) == list(range(T))
    assert set(found[3]) == {1}
    assert set(found[4]) == {1, 2}


def test_an_object_that_is_never_there_is_not_prompted():
    truth = truth_of(o1=range(T))
    assert prompt_all(Drifting(truth), truth, "mask") == {2: 0}
    with pytest.raises(EvaluationError, match="no object"):
        prompt_all(Drifting(truth), LabelMasklets(np.zeros((3, 4, 4), int)), "mask")


def test_offline_rounds_prompt_the_worst_frame_and_pass_again():
    truth = truth_of()
    tracker = Drifting(truth)
    rounds = offline_rounds(tracker, truth, 1, rounds=4)
    assert [r.frames for r in rounds] == [(0,), (0, 9), (0, 9, 8), (0, 9, 8, 7)]
    assert tracker.passes == 4
    assert all(a.jf < b.jf for a, b in itertools.pairwise(rounds))
    assert rounds[0].seconds == pytest.approx(T / 10 + 1 + 4.5)
    assert rounds[3].seconds == pytest.approx(4 * rounds[0].seconds)


def test_offline_rounds_end_when_all_is_right():
    truth = truth_of()
    perfect = Drifting(truth)
    perfect._mask = lambda i, t, lost: Drifting._mask(perfect, i, t, 0)
    rounds = offline_rounds(perfect, truth, 1)
    assert rounds == [Round((0,), 1.0, rounds[0].seconds)]
    assert mean_over_rounds(rounds) == 1


def test_an_online_pass_stops_where_the_object_is_lost():
    truth = truth_of()
    trackers = []

    def make():
        trackers.append(Drifting(truth))
        return trackers[-1]

    rounds = online_rounds(make, truth, 1, rounds=5)
    # A row of ten a frame: the third frame after a prompt has an IoU of 0.7.
    assert [r.frames for r in rounds] == [(0,), (0, 3), (0, 3, 6), (0, 3, 6, 9)]
    assert len(trackers) == 5  # the fifth found nothing left to correct
    assert rounds[-1].seconds == pytest.approx(T / 10 + 4 * 5.5)
    assert all(a.jf < b.jf for a, b in itertools.pairwise(rounds))
    assert mean_over_rounds(rounds, 4) == pytest.approx(np.mean([r.jf for r in rounds]))


def test_an_object_that_is_never_there_cannot_be_corrected():
    with pytest.raises(EvaluationError, match="never shows object 2"):
        offline_rounds(Drifting(truth_of()), truth_of(o2=range(T)), 2)


@pytest.mark.slow
def test_rounds_with_the_built_in_model():
    from napari_sam2s.model import load_model
    from napari_sam2s.synthetic.samples import demo_case
    from napari_sam2s.tracking import Tracker

    case, model = demo_case(8, size=(120, 160)), load_model(device="cpu", image_size=192)
    offline = offline_rounds(Tracker(model, case), case, 1, rounds=2)
    online = online_rounds(lambda: Tracker(model, case), case, 1, rounds=2, below=1.0)
    assert [len(r.frames) for r in offline] == [len(r.frames) for r in online] == [1, 2]
    assert offline[0].jf == pytest.approx(online[0].jf)  # the same clicks, the same pass
    assert offline[0].jf > 0.5
