"""Numbers and their nouns in what users read: 1 frame, 2 frames."""

from __future__ import annotations

from napari_sam2s.wording import counted


def test_one_is_singular():
    assert counted(1, "frame") == "1 frame"
    assert [counted(n, "frame") for n in (0, 2, 10)] == ["0 frames", "2 frames", "10 frames"]
    assert (counted(1, "video is", "videos are"), counted(3, "box", "boxes")) == ("1 video is", "3 boxes")
