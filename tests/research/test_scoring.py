"""Judging a model: tracks of ground truth, what is counted around absences, linking labels in time, and the seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_sam2s import load_model
from napari_sam2s.formats.davis import DavisWriter
from napari_sam2s.formats.overlay import write_video
from napari_sam2s.masklets.types import Object
from napari_sam2s.synthetic.laparoscopy import Laparoscopy
from napari_sam2s.training import validation_cases
from napari_sam2s.training.validation_cases import Track, tracks_of
from research import validation_sets
from research.baselines import Frozen
from research.scoring import FamilyScore, object_scores, run_case, score_track
from research.validation_sets import link

HERE, NOWHERE = np.zeros((16, 16), dtype=bool), np.zeros((16, 16), dtype=bool)
HERE[4:10, 4:10] = True


def coming_and_going(away: int = 32, after: int = 20) -> Track:
    """An object that is there for 5 frames, away, and back."""
    there = [True] * 5 + [False] * away + [True] * after
    return Track(Object(1, "a"), {t: HERE if seen else NOWHERE for t, seen in enumerate(there)})


class Answer:
    """A prediction by a function of the frame."""

    def __init__(self, track, mask_of):
        self.objects, self.frames, self._mask_of = track.objects, track.frames, mask_of

    def masks(self, frame):
        return {1: self._mask_of(frame)}


def test_a_return_is_found_in_time_or_not():
    track = coming_and_going()
    late = score_track("v", Answer(track, lambda t: HERE if t < 5 or t >= 37 + 9 else NOWHERE), track)
    assert (late.returns, late.found) == (1, 1)
    assert late.after_return == pytest.approx(11 / 20)
    never = score_track("v", Answer(track, lambda t: HERE if t < 5 else NOWHERE), track)
    assert (never.returns, never.found, never.after_return) == (1, 0, 0.0)
    assert never.score.false_presence == 0


def test_object_scores_are_told_apart_by_the_truth():
    clip = Laparoscopy(7, 6, (64, 64), classes=("hook",), organ=None, absences=0)
    (track,) = tracks_of(clip)
    hidden = {t: mask if t < 4 else np.zeros_like(mask) for t, mask in track.known.items()}
    case = validation_cases.Case("c", clip, [Track(track.object, hidden)])
    visible, absent = object_scores(load_model(device="cpu", image_size=64), [case])
    assert (len(visible), len(absent)) == (3, 2)  # the prompted frame is not scored
    assert np.isfinite(np.concatenate((visible, absent))).all()


def test_short_absences_are_no_returns():
    track = coming_and_going(away=29)
    frozen = score_track("v", Frozen(track.object, HERE, track.frames), track)
    assert frozen.returns == 0
    assert math.isnan(frozen.after_return)
    family = FamilyScore([frozen])
    assert family.false_presence == 1.0
    assert family.jf == pytest.approx((4 + 20) / 53)  # the prompted frame is not scored
    assert "found" not in family.to_dict()


def test_labels_are_linked_by_overlap_until_a_division():
    labels = np.zeros((4, 32, 32), dtype=np.uint16)
    labels[0, 4:12, 4:12] = 7
    labels[1, 5:13, 5:13] = 3
    labels[2, 6:10, 6:14] = 9  # divided
    labels[2, 10:14, 6:14] = 4
    labels[3, 6:10, 6:14] = 9
    known = link(labels, 7)
    assert list(known) == [0, 1]
    assert known[1].sum() == 64
    labels[2] = np.roll(labels[1], 1, axis=(0, 1))
    assert list(link(labels, 7)) == [0, 1, 2]


def test_moved_instruments_come_back_as_they_were_last_seen():
    (case,) = validation_sets.moved([3], 96)
    for track in case.tracks:
        result = score_track("c", track, track)
        assert result.returns == 1  # the first absence is too short to count
        gone = np.array([t for t in track.frames if not track.known[t].any()])
        assert 10 < (gone < 60).sum() < 30
        assert (gone > 60).sum() > 30
    drawn = Laparoscopy(5, 175, (64, 64), absences=0, away=validation_sets.MOVED_AWAY, moved=True)
    for instrument in drawn.instruments:
        first, second, third = (instrument.pose(t, (64, 64)) for t in (0, 53, 150))
        assert first.side_up == -second.side_up == -third.side_up


def test_real_clips_are_those_that_are_annotated_from_where_they_are(tmp_path):
    (tmp_path / "videos").mkdir()
    for name in ("a", "b", "c"):
        write_video(np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3), np.uint8), tmp_path / "videos" / f"{name}.mp4")
    square = np.zeros((48, 64), bool)
    square[10:30, 20:40] = True
    for name in ("a", "c"):
        writer = DavisWriter(tmp_path / "annotations", name, (48, 64))
        for t, masks in {1: {1: square}, 2: {}, 3: {1: square, 2: ~square}}.items():
            writer.write(t, masks)
        writer.finish([Object(1, "square"), Object(2, "rest")], [1, 2, 3])
    parts = [list(validation_sets.real_clips(tmp_path / "videos", tmp_path / "annotations", (k, 2))) for k in (0, 1)]
    assert [[case.name for case in part] for part in parts] == [["a"], ["c"]]
    ((case,), _) = parts
    assert case.video.shape == (4, 48, 64, 3)
    (track,) = case.tracks  # what is seen on one frame only cannot be scored
    assert {t: int(mask.sum()) for t, mask in track.known.items()} == {1: 400, 2: 0, 3: 400}


@pytest.mark.slow
def test_the_built_in_model_beats_a_frozen_mask():
    clip = Laparoscopy(2**31 + 5, 12, (128, 128), classes=("grasper",), organ=None, absences=0)
    case = validation_cases.Case("c", clip, tracks_of(clip))
    outcome = run_case(load_model(device="cpu", image_size=192), case, ("mask", "1-click"))
    assert set(outcome) == {"mask", "1-click"}
    ours, frozen = outcome["mask"]
    assert ours[0].score.frames == 11
    assert ours[0].score.jf > frozen[0].score.jf
    assert ours[0].class_right in (True, False)
    assert frozen[0].class_right is None
