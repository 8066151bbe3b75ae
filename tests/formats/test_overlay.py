"""Overlay videos and contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import FormatError
from napari_sam2s.formats import contact_sheet, overlay, write_overlay, write_video
from napari_sam2s.formats.overlay import ENDINGS
from napari_sam2s.masklets import LabelMasklets, Object
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.video import open_video


def test_masks_are_tinted_and_the_rest_is_untouched():
    frame = np.full((20, 30, 3), 100, np.uint8)
    mask = np.zeros((20, 30), bool)
    mask[5:15, 5:15] = True
    image = overlay(frame, {1: mask}, [Object(1, "red", colour=(255, 0, 0))])
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


def test_the_video_itself_is_not_written_over(tmp_path):
    case = demo_case(6, size=(90, 120))
    path = write_video((case[t] for t in range(6)), tmp_path / "case.mp4")
    before = path.read_bytes()
    (tmp_path / "link.mp4").symlink_to(path)
    with open_video(path) as video:
        for out in (path, tmp_path / "link.mp4", tmp_path / "." / "case.mp4"):
            with pytest.raises(FormatError, match="is the video itself"):
                write_overlay(video, case, out)
        write_overlay(video, case, tmp_path / "o.mp4")
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["case.mp4", "link.mp4", "o.mp4"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("o", "ending of a video: name a file that ends in .mp4,"), ("o.xyz", "ending of a video"), ("o.mp4", "is a folder")],
)
def test_names_that_are_no_videos(tmp_path, name, words):
    case = demo_case(2, size=(90, 120))
    if words == "is a folder":
        (tmp_path / name).mkdir()
    with pytest.raises(FormatError, match=words):
        write_overlay(case, case, tmp_path / name)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_is_a_video(tmp_path, ending):
    case = demo_case(4, size=(90, 120))
    with open_video(write_overlay(case, case, tmp_path / f"o{ending}")) as video:
        assert len(video) == 4


def test_a_video_that_fails_in_the_middle_leaves_the_earlier_one(tmp_path):
    def spoilt():
        yield np.zeros((8, 8, 3), np.uint8)
        raise FormatError("a mask is damaged")

    path = write_video([np.zeros((8, 8, 3), np.uint8)] * 3, tmp_path / "x.mp4")
    before = path.read_bytes()
    with pytest.raises(FormatError, match="a mask is damaged"):
        write_video(spoilt(), path)
    with pytest.raises(FormatError, match=r"x\.mp4 cannot be written \(.*\): choose another place"):
        write_video([np.zeros((1, 8, 3), np.uint8)] * 2, path)  # nothing is left of it with even sides
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.mp4"]
