"""Overlay videos and contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import FormatError
from napari_sam2s.formats import contact_sheet, overlay, write_overlay, write_video
from napari_sam2s.masklets import LabelMasklets
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.video import open_video


def test_masks_are_tinted_and_the_rest_is_untouched():
    frame = np.full((20, 30, 3), 100, np.uint8)
    mask = np.zeros((20, 30), bool)
    mask[5:15, 5:15] = True
    image = overlay(frame, {1: mask}, {1: (255, 0, 0)})
    np.testing.assert_array_equal(image[~mask], frame[~mask])
    assert tuple(image[5, 5]) == (255, 0, 0)  # the outline
    assert image[10, 10, 0] > 150 > 100 > image[10, 10, 1]


def test_a_video_of_odd_size_comes_back(tmp_path):
    case = demo_case(6, size=(91, 121))
    path = write_overlay(case, case, tmp_path / "o.mp4", fps=10)
    with open_video(path) as video:
        assert video.shape == (6, 90, 120, 3)
        assert video.fps == pytest.approx(10)


def test_a_sheet():
    case = demo_case(6, size=(90, 120))
    assert contact_sheet(case, case, columns=3, rows=2, width=100).size == (300, 150)


def test_nothing_to_write(tmp_path):
    with pytest.raises(FormatError, match="no frames"):
        write_video([], tmp_path / "x.mp4")
    with pytest.raises(FormatError, match="no folder"):
        write_video([np.zeros((4, 4, 3), np.uint8)], tmp_path / "no" / "x.mp4")

    class Empty(LabelMasklets):
        frames = ()

    with pytest.raises(FormatError, match="no masks"):
        write_overlay(demo_case(3), Empty(np.zeros((3, 4, 4), np.uint8)), tmp_path / "x.mp4")
