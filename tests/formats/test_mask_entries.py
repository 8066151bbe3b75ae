"""What exports share."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_sam2s.formats.mask_entries import seconds_of, seconds_of_frames


@pytest.mark.parametrize(
    "clock",
    [
        {"timestamps": np.cumsum(np.random.default_rng(0).uniform(0.01, 0.09, 5000))},
        {"timestamps": None, "fps": 29.97},
        {"timestamps": None, "fps": None},
    ],
)
def test_seconds_of_many_frames_are_those_of_each(clock):
    masklets = SimpleNamespace(**clock)
    frames = [0, 1, 7, *range(100, 5000, 3)]
    assert seconds_of_frames(masklets, frames) == [seconds_of(masklets, t) for t in frames]
