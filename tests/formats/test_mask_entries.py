"""What exports share."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_sam2s.formats.mask_entries import seconds_of, seconds_of_frames
from napari_sam2s.formats.registry import FORMATS, export
from napari_sam2s.masklets import Object


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


class Hidden:
    """The hand hides the cup on frames 1, 2 and 4, and lies around it on the others."""

    size, shape, fps, frames = (24, 30), (6, 24, 30), 25.0, range(6)
    objects = (Object(1, "cup", order=1), Object(2, "hand", order=2))

    def masks(self, frame):
        """Return the masks of both."""
        cup, hand = np.zeros(self.size, bool), np.zeros(self.size, bool)
        hand[2:20, 2:20] = cup[5:9, 5:9] = True
        return {1: cup, 2: hand if frame in (1, 2, 4) else hand & ~cup}


@pytest.mark.parametrize("name", ["davis", "ctc", "mots", "ome-zarr", "tiff"])
def test_masks_of_which_nothing_is_seen_are_named_by_every_format_of_one_label_a_pixel(tmp_path, name):
    with pytest.warns(UserWarning, match="case: objects overlap; 48 pixels went to the object") as told:
        export(Hidden(), "case", tmp_path / f"out{FORMATS[name].file_ending}", name)
    [text] = [str(each.message) for each in told if "overlap" in str(each.message)]
    assert text.endswith(" Hidden completely, so missing there: cup (frames 1 to 2, 4).")
