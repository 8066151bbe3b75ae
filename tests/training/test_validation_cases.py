"""What a model is judged on: tracks of ground truth, and the seeds of what is drawn."""

from __future__ import annotations

import numpy as np

from napari_sam2s.masklets.types import Object
from napari_sam2s.synthetic.clip import ArrayClip
from napari_sam2s.synthetic.laparoscopy import Laparoscopy
from napari_sam2s.training import validation_cases
from napari_sam2s.training.validation_cases import tracks_of


def test_objects_that_come_later_are_prompted_and_scored_from_there():
    stack = np.zeros((6, 2, 16, 16), dtype=bool)
    stack[:, 0, 4:8, 4:8] = True
    stack[3:5, 1, 8:12, 8:12] = True
    clip = ArrayClip("c", np.zeros((6, 16, 16, 3), np.uint8), stack, (Object(1, "a"), Object(2, "b")))
    first, second = tracks_of(clip)
    assert first.frames == [0, 1, 2, 3, 4, 5]
    assert second.frames == [3, 4, 5]
    assert not second.known[5].any()


def test_held_out_seeds_are_beyond_those_of_training():
    assert validation_cases.FIRST_SEED == 2**31  # StepDataset draws below
    case = next(iter(validation_cases.laparoscopy([0], 64)))
    assert case.name == f"laparoscopy-{2**31}"
    assert 60 <= len(case.video) <= 300
    again = Laparoscopy(2**31, len(case.video), (64, 64))
    np.testing.assert_array_equal(case.video[3], again[3])
