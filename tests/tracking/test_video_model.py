"""The door through which networks come: nothing else of one is asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from fakes import ColourModel, squares
from napari_sam2s.model.video_model import VideoModel
from napari_sam2s.tracking import Tracker

MEMBERS = {name for name in vars(VideoModel) if not name.startswith("_")} | set(VideoModel.__annotations__)


class Door:
    """A model of which only the members of the Protocol can be reached."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        assert name in MEMBERS, f"{name} is no part of VideoModel"
        return getattr(self._model, name)


def test_the_networks_and_the_fake_are_video_models(random_nano, small_edgetam):
    assert isinstance(random_nano, VideoModel)
    assert isinstance(small_edgetam, VideoModel)
    assert isinstance(ColourModel(), VideoModel)
    assert not isinstance(object(), VideoModel)


def everything(model, video):
    """Prompt, correct, track both ways, go back to a snapshot and on."""
    tracker = Tracker(model, video)
    found = [tracker.prompt(1, 4, points=[(14, 13)]), tracker.prompt(2, 4, box=(28, 14, 40, 26))]
    found += [masks for _, masks in tracker.propagate(direction="both")]
    found.append(tracker.prompt(1, 9, points=[(10, 18), (2, 2)], labels=[1, 0]))
    state = tracker.snapshot()
    found += [masks for _, masks in tracker.propagate(9, 12)]
    again = Tracker(model, video)
    again.restore(state)
    found += [masks for _, masks in again.propagate(9, 12)]
    again.prompt(2, 6, mask=video[6, ..., 1] > 0)
    return found, tracker.describe()


@pytest.mark.parametrize("which", ["nano", "edgetam", "fake"])
def test_a_tracker_reaches_no_further(random_nano, small_edgetam, which):
    model, video = {"nano": random_nano, "edgetam": small_edgetam, "fake": ColourModel()}[which], squares(12)
    (plain, facts), (behind, same) = everything(model, video), everything(Door(model), video)
    assert facts == same
    assert str(plain) == str(behind)


def test_the_fake_tracks_colours():
    video = squares()
    tracker = Tracker(ColourModel(), video)
    tracker.prompt(1, 0, points=[(14, 10)])
    tracker.prompt(2, 0, mask=video[0, ..., 1] > 0)
    for t, masks in tracker.propagate():
        for i, channel in ((1, 0), (2, 1)):
            truth = video[t, ..., channel] > 0
            assert (masks[i] & truth).sum() > 0.75 * (masks[i] | truth).sum()
