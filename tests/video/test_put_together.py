"""Files that were put together of parts: what lies lies behind their beginning."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest

from napari_sam2s.errors import VideoError
from napari_sam2s.video import open_video


@pytest.fixture
def parts(tmp_path, numbered):
    """Return what makes a file of the frames 0 to 59 and 60 to 119; times of the second, or of both, may lie."""

    def make(suffix, *, lies=(False, True), height=96):
        names = []
        for n, (first, high, lying) in enumerate(((0, 96, lies[0]), (60, height, lies[1]))):
            part = tmp_path / f"{n}.mkv"
            numbered["encode"](part, *numbered["X264"], "-g", "12", "-bf", "2", first=first, height=high)
            names.append(f"lies{n}.mkv" if lying else part.name)
            numbered["ffmpeg"]("-i", part, "-c", "copy", "-bsf:v", "setts=pts=DTS", tmp_path / f"lies{n}.mkv")
        (tmp_path / "list.txt").write_text("".join(f"file {name}\n" for name in names))
        numbered["ffmpeg"]("-f", "concat", "-i", tmp_path / "list.txt", "-c", "copy", tmp_path / f"a.{suffix}")
        return tmp_path / f"a.{suffix}"

    return make


def read_all(path, read):
    """Return the numbers of all frames, played and jumped to, which are to be the same."""
    with open_video(path) as video:
        played = [read(frame) for frame in video]
    with open_video(path) as video:
        for i in (len(played) - 3, 7, len(played) // 2):
            assert read(video[i]) == played[i]
        return played, " ".join(video.warnings)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_times_that_lie_in_the_second_part(parts, numbered, suffix):
    played, warning = read_all(parts(suffix), numbered["read"])
    assert played == list(range(120))
    assert "the decoder gives frames other times than the packets do). They are counted from its start" in warning


def test_times_that_lie_in_the_middle_are_told_where_they_are_met(tmp_path, parts, numbered):
    """When it is indexed its beginning and its end are honest."""
    parts("mkv")
    (tmp_path / "list.txt").write_text("file 0.mkv\nfile lies1.mkv\nfile 0.mkv\n")
    numbered["ffmpeg"]("-f", "concat", "-i", tmp_path / "list.txt", "-c", "copy", tmp_path / "three.mkv")
    with open_video(tmp_path / "three.mkv") as video:
        assert not video.warnings
        assert [numbered["read"](video[i]) for i in (5, 50, 170, 125)] == [5, 50, 50, 5]
        told = r"near frame (6|7)\d .* are wrong.* right times: ffmpeg -i three.mkv -map 0:V:0 -vf settb"
        with pytest.warns(UserWarning, match=told):
            read_past(video, 100)


def read_past(video, stop):
    for i in range(50, stop):
        with contextlib.suppress(VideoError):  # some are refused
            video[i]


def test_honest_parts_bring_no_warning(parts, numbered):
    assert read_all(parts("mkv", lies=(False, False)), numbered["read"]) == (list(range(120)), "")


def test_frames_that_are_counted_and_change_their_size(parts, numbered):
    """A filter that numbers frames begins anew where they change."""
    path = parts("mkv", lies=(True, True), height=120)
    with open_video(path) as video:
        assert "They are counted from its start" in video.warnings[0]
        assert "Frames have several sizes: all are scaled to that of the first" in video.warnings[1]
        played = [frame.copy() for frame in video]
    assert len(played) == 120
    assert [numbered["read"](frame) for frame in played[:60]] == list(range(60))
    assert not np.array_equal(played[61], played[62])
    with open_video(path) as video:
        np.testing.assert_array_equal(video[119], played[119])
        np.testing.assert_array_equal(video[61], played[61])


def test_a_stream_that_begins_later_is_told_and_can_be_shown(tmp_path, numbered):
    """As where a recorder was started anew: its programme has another number then."""
    for n, frames, first in ((0, 250, 0), (1, 20, 9)):
        part, pid = tmp_path / f"{n}.ts", ("-mpegts_start_pid", str(256 + 512 * n))
        numbered["encode"](part, *numbered["X264"], "-g", "12", *pid, frames=frames, first=first)
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join((tmp_path / f"{n}.ts").read_bytes() for n in (0, 1)))
    played, warning = read_all(path, numbered["read"])
    assert played == list(range(250))
    assert "has 2 video streams (0: 160 x 96, 1: begins later). Stream 0 is shown; stream=N shows another" in warning
    with open_video(path, stream=1) as video:
        assert [numbered["read"](video[i]) for i in (19, 0, 13)] == [28, 9, 22]


def with_edits(source, target, edits):
    """Write an MP4 of which the only track has these edits: (milliseconds shown, start in its units, -1 for a gap, speed)."""
    content = source.read_bytes()
    rows = b"".join(struct.pack(">Iihh", shown, start, speed, 0) for shown, start, speed in edits)
    box = struct.pack(">I4sII", len(rows) + 16, b"elst", 0, len(edits)) + rows
    box = struct.pack(">I4s", len(box) + 8, b"edts") + box
    moov, trak, old = (content.index(kind) - 4 for kind in (b"moov", b"trak", b"edts"))
    length = struct.unpack_from(">I", content, old)[0]
    changed = bytearray(content[:old] + box + content[old + length :])
    for place in (moov, trak):
        struct.pack_into(">I", changed, place, struct.unpack_from(">I", content, place)[0] + len(box) - length)
    target.write_bytes(changed)


@pytest.mark.parametrize(
    ("edits", "shown", "told"),
    [
        ([(400, 0, 1), (1000, -1, 1), (800, 5120, 1)], list(range(60)), True),  # a gap, which ffmpeg fills with frames from 0
        ([(400, 0, 1), (1000, 5120, 0), (800, 5120, 1)], list(range(60)), True),  # a picture that stands
        ([(1200, 0, 2)], list(range(60)), True),  # twice as fast
        ([(400, 0, 1), (800, 20 * 512, 1)], [*range(10), *range(20, 40)], False),  # a piece is cut out
        ([(800, 30 * 512, 1), (400, 0, 1)], [*range(30, 50), *range(10)], False),  # pieces change places
        ([(2000, -1, 1), (2400, 0, 1)], list(range(60)), False),  # it begins later
    ],
)
def test_edit_lists(tmp_path, numbered, edits, shown, told):
    base = numbered["encode"](tmp_path / "base.mp4", *numbered["X264"], "-g", "1", "-bf", "0")
    with_edits(base, tmp_path / "a.mp4", edits)
    played, warning = read_all(tmp_path / "a.mp4", numbered["read"])
    assert played == shown
    assert ("The edit list has pauses or other speeds. It is ignored" in warning) == told


@pytest.mark.parametrize("order", ["forward", "backward", "every third"])
def test_an_edit_list_that_cuts_groups_of_b_frames_is_not_followed(tmp_path, numbered, order):
    """Ffmpeg mixes up its pieces, which was called damage."""
    base = numbered["encode"](tmp_path / "base.mp4", *numbered["X264"], "-g", "30", "-bf", "2")
    starts = {"forward": range(50), "backward": range(49, -1, -1), "every third": range(0, 60, 3)}[order]
    with_edits(base, tmp_path / "a.mp4", [(40, 1024 + 512 * n, 1) for n in starts])
    played, warning = read_all(tmp_path / "a.mp4", numbered["read"])
    assert played == list(range(60))
    assert f"The edit list of {len(starts)} pieces cannot be followed. It is ignored: all frames" in warning
