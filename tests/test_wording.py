"""Numbers and their nouns in what users read: 1 frame, 2 frames."""

from __future__ import annotations

from napari_sam2s.wording import counted, frames_in_words, named_frames


def test_one_is_singular():
    assert counted(1, "frame") == "1 frame"
    assert [counted(n, "frame") for n in (0, 2, 10)] == ["0 frames", "2 frames", "10 frames"]
    assert (counted(1, "video is", "videos are"), counted(3, "box", "boxes")) == ("1 video is", "3 boxes")


def test_frames_that_follow_each_other_are_named_by_their_ends():
    assert frames_in_words([9, 3, 4, 5], most=8) == "3 to 5, 9"
    assert frames_in_words({7}, most=1) == "7"
    assert (named_frames([7], 1), named_frames([4, 3], 1)) == ("frame 7", "frames 3 to 4")
    assert frames_in_words(range(0, 8, 2), most=2) == "0, 2 and 2 more spans"
    assert frames_in_words((1, 3, 4), most=1) == "1 and 1 more span"
