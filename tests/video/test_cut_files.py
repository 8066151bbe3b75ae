"""Files that lost their end or a piece, change the size of their frames, or hold no times: told, and play equals jump."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_sam2s.errors import VideoError
from napari_sam2s.video import open_video
from napari_sam2s.video.matroska_check import changed_pieces
from napari_sam2s.video.stream_headers import FILTERS

MPEG2 = ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-g", "12")


def play_and_jump(path):
    """Return the frames of a file and what was warned of; a jump gives the same as playing."""
    with open_video(path) as video:
        played = [np.array(video[i]) for i in range(len(video))]
    with open_video(path) as video:
        for i in np.random.default_rng(0).permutation(len(video))[:5].tolist():
            np.testing.assert_array_equal(video[i], played[i])
        return played, " ".join(video.warnings)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.ts", MPEG2),
        ("a.m2ts", MPEG2),
        ("a.ogv", ("-c:v", "libtheora", "-q:v", "7", "-g", "12")),
        ("a.mxf", MPEG2),
        ("a.y4m", ("-pix_fmt", "yuv420p")),
        ("a.dv", ("-c:v", "dvvideo", "-pix_fmt", "yuv420p", "-vf", "scale=720:576:flags=neighbor")),
    ],
)
def test_an_end_that_is_missing(tmp_path, numbered, name, options):
    path = numbered["encode"](tmp_path / name, *options, frames=30)
    with open_video(path) as video:
        assert (len(video), video.warnings) == (30, ())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 7 // 10 + 1])
    played, told = play_and_jump(path)
    assert "The file is truncated: " in told
    assert f" missing; the {len(played)} frames before that can be read." in told
    if name != "a.dv":  # which is larger
        assert [numbered["read"](frame) for frame in played[:12]] == list(range(12))


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mjpeg"), ("a.webm", "libvpx"), ("a.ivf", "libvpx")])
def test_an_end_that_comes_before_the_one_in_the_header(tmp_path, numbered, name, codec):
    same = ("-deadline", "good", "-cpu-used", "5")  # the file does not depend on how busy the machine is
    path = numbered["encode"](tmp_path / name, "-c:v", codec, "-q:v", "3", *same, "-g", "12", frames=30)
    content = path.read_bytes()
    with open_video(path) as video:
        assert (len(video), video.warnings) == (30, ())
    half, told = len(content) // 2, "The file is 1.20 s long in its header, but its last frame is at "
    if name == "a.ivf":  # which is cut between two frames
        place = 32
        while place < half:
            place += 12 + int.from_bytes(content[place : place + 4], "little")
        path.write_bytes(content[:place])
    else:
        path.write_bytes(content[:half] + content[half + 700 :])
    told = "The file is truncated: about " if name == "a.webm" else told
    with open_video(path) as video:
        assert told in " ".join(video.warnings)


def test_sound_that_goes_on_after_the_last_frame_is_no_loss(tmp_path, numbered):
    for seconds, told in (("4.6", ()), ("9", ("The file is 9.00 s long in its header, but its last frame is at 3.96 s",))):
        sound = ("-f", "lavfi", "-i", f"anullsrc=d={seconds}")
        path = numbered["encode"](tmp_path / f"{seconds}.mkv", *MPEG2, before=sound, frames=100)
        with open_video(path) as video:
            assert [w.partition(":")[0] for w in video.warnings] == list(told)


@pytest.mark.parametrize("place", [0.5, 0.8])
def test_an_mxf_that_lost_a_piece(tmp_path, numbered, place):
    path = numbered["encode"](tmp_path / "a.mxf", *MPEG2)
    content = path.read_bytes()
    start = int(place * len(content))
    path.write_bytes(content[:start] + content[start + 4000 :])
    played, told = play_and_jump(path)
    assert "The times in the file do not name its frames" in told
    assert [numbered["read"](frame) for frame in played[:20]] == list(range(20))


def test_an_avi_that_lacks_frames_and_has_a_wrong_index(tmp_path, numbered):
    """Ffmpeg then takes the length of the index for that of the header."""
    content = numbered["encode"](tmp_path / "a.avi", "-c:v", "mjpeg", frames=12).read_bytes()
    places = [found.start() for found in re.finditer(b"00dc", content)][:12]
    (tmp_path / "b.avi").write_bytes(content[: places[5]] + content[places[6] :])
    with open_video(tmp_path / "b.avi") as video:
        assert len(video) == 11
        assert "The file is 0.48 s long in its header, but its last frame is at 0.40 s: frames are lost" in video.warnings[0]
    place = content.index(b"vids") + 32
    (tmp_path / "c.avi").write_bytes(content[:place] + b"\xff" * 4 + content[place + 4 :])  # a recorder that was cut off
    with open_video(tmp_path / "c.avi") as video:
        assert len(video) == 12
        assert not video.warnings


def test_uncompressed_pictures_that_are_not_whole(tmp_path, numbered):
    """A codec of another container, which AVI does not know: ffmpeg fills such pictures with whatever lies in memory."""
    numbered["encode"](tmp_path / "a.avi", "-vf", "split[a][b];[a]palettegen[p];[b][p]paletteuse", "-c:v", "smc", frames=9)
    with open_video(tmp_path / "a.avi") as video:
        assert "of the uncompressed pictures are shorter than others" in video.warnings[0]


def test_another_size_from_the_middle_on(tmp_path, numbered):
    encode, size = numbered["encode"], {"height": 128, "width": 192}
    for frames in (20, 80):  # the change is among the frames that are looked at when the file is indexed, or behind them
        first = encode(tmp_path / "a.h264", *numbered["X264"], "-bf", "0", frames=frames)
        second = encode(tmp_path / "b.h264", *numbered["X264"], "-bf", "0", frames=5, **size)
        (tmp_path / "c.h264").write_bytes(first.read_bytes() + second.read_bytes())
        path = tmp_path / f"{frames}.mkv"
        numbered["ffmpeg"]("-r", "25", "-i", tmp_path / "c.h264", "-c", "copy", path)
    first = encode(tmp_path / "a.h264", *numbered["X264"], "-bf", "0", "-g", "10", frames=70)
    second = encode(tmp_path / "b.h264", *numbered["X264"], "-bf", "0", "-g", "10", frames=40, **size)
    (tmp_path / "c.h264").write_bytes(first.read_bytes() + second.read_bytes())
    numbered["ffmpeg"]("-r", "25", "-i", tmp_path / "c.h264", "-c", "copy", tmp_path / "110.mkv")
    # Of the last tenth some frames are looked at; and every key frame with another header.
    for name in ("20.mkv", "110.mkv", "80.mkv"):
        with open_video(tmp_path / name) as video:
            assert video.warnings == ("Frames have several sizes: all are scaled to that of the first, 160 x 96.",)
            assert video[22].shape == (96, 160, 3)


@pytest.mark.parametrize(
    ("suffix", "options"), [("ts", ("-c:v", "mpeg2video", "-g", "9")), ("flv", ("-c:v", "libx264", "-g", "9"))]
)
def test_another_size_in_the_middle(tmp_path, numbered, suffix, options):
    for n, scale in enumerate((1, 2, 1)):
        size = {"height": 96 * scale, "width": 160 * scale}
        numbered["encode"](tmp_path / f"{n}.ts", *options, "-pix_fmt", "yuv420p", frames=80, **size)
    (tmp_path / "list.txt").write_text("file 0.ts\nfile 1.ts\nfile 2.ts\n")
    numbered["ffmpeg"]("-f", "concat", "-i", tmp_path / "list.txt", "-c", "copy", tmp_path / f"a.{suffix}")
    with open_video(tmp_path / f"a.{suffix}") as video:
        assert video.warnings == ("Frames have several sizes: all are scaled to that of the first, 160 x 96.",)


def test_an_ffmpeg_that_lacks_the_filters_for_headers(tmp_path, numbered, monkeypatch):
    monkeypatch.setitem(FILTERS, "mpeg2video", "no_such_filter")
    with open_video(numbered["encode"](tmp_path / "a.ts", "-c:v", "mpeg2video", frames=9)) as video:
        assert len(video) == 9


def test_another_size_is_told_where_it_is_met(tmp_path, numbered):
    """Of motion JPEG no headers are read when it is indexed."""
    for n, scale in enumerate((1, 2, 1)):
        size = {"height": 96 * scale, "width": 160 * scale}
        numbered["encode"](tmp_path / f"{n}.mkv", "-c:v", "mjpeg", frames=70 if n < 2 else 5, **size)
    (tmp_path / "list.txt").write_text("file 0.mkv\nfile 1.mkv\nfile 2.mkv\n")
    numbered["ffmpeg"]("-f", "concat", "-i", tmp_path / "list.txt", "-c", "copy", tmp_path / "a.mkv")
    with open_video(tmp_path / "a.mkv") as video:
        assert video.warnings == ()
        # The decoder reads ahead of the reader: how far is a matter of the machine.
        with pytest.warns(UserWarning, match=r"a\.mkv changes the size of its frames near frame [67]\d "):
            assert video[75].shape == (96, 160, 3)


def test_a_transport_stream_that_lacks_a_piece(tmp_path, numbered):
    whole = numbered["encode"](tmp_path / "a.ts", *numbered["X264"], "-g", "10", "-bf", "0", frames=60).read_bytes()
    (tmp_path / "b.ts").write_bytes(whole[: 188 * (len(whole) // 500)] + whole[188 * (len(whole) // 400) :])
    with open_video(tmp_path / "b.ts") as video:
        assert re.match(r"Data in the file are lost near frame \d\d \(\d\.\d\d s\): frames are missing", video.warnings[0])
        assert not any("truncated" in told for told in video.warnings)


def test_a_file_that_holds_no_times(tmp_path, numbered):
    whole = numbered["encode"](tmp_path / "a.mkv", *numbered["X264"], "-bf", "0", frames=20)
    numbered["ffmpeg"]("-i", whole, "-c", "copy", "-bsf:v", "setts=pts=0:dts=0", tmp_path / "a.mp4")
    played, told = play_and_jump(tmp_path / "a.mp4")
    assert "so the file holds no real times" in told
    assert [numbered["read"](frame) for frame in played] == list(range(20))
    quick = numbered["encode"](tmp_path / "quick.mp4", *numbered["X264"], "-bf", "0", frames=20, rate="5000")
    with open_video(quick) as video:
        assert (video.warnings, round(video.fps)) == ((), 5000)


def test_a_matroska_file_whose_content_changed_after_it_was_written(tmp_path, numbered):
    path = numbered["encode"](tmp_path / "a.mkv", "-c:v", "rawvideo", "-pix_fmt", "yuv420p", frames=40)
    with open_video(path) as video:
        assert video.warnings == ()
    content = bytearray(path.read_bytes())
    content[len(content) * 6 // 10] ^= 255  # a pixel, of which no decoder can complain
    path.write_bytes(content)
    with open_video(path) as video:
        assert "1 of 40 pieces of the file differs from what was written, the first at about 1.0 s" in video.warnings[0]


def test_the_check_of_a_matroska_file_goes_on_with_progress_and_can_be_stopped(tmp_path, numbered):
    path = numbered["encode"](tmp_path / "a.mkv", "-c:v", "rawvideo", "-pix_fmt", "yuv420p", frames=40)
    parts = []
    assert changed_pieces(path, lambda part: parts.append(part) or True) == []
    assert len(parts) > 2
    assert parts == sorted(parts)
    assert 0 < parts[0] < parts[-1] <= 1
    with pytest.raises(VideoError, match=r"Indexing .*a\.mkv was stopped"):
        changed_pieces(path, lambda part: False)
