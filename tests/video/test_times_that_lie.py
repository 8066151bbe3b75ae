"""Files whose times, or jumps, do not lead to their frames: these are counted from the start, with a warning."""

from __future__ import annotations

import shlex
import struct
from fractions import Fraction

import numpy as np
import pytest

from napari_sam2s.errors import VideoError
from napari_sam2s.masklets import Project
from napari_sam2s.video import open_video
from napari_sam2s.video.frame_rate import frames_per_second, irregular_times
from napari_sam2s.video.index_check import _Played
from napari_sam2s.video.video import reopen_video
from napari_sam2s.widgets.napari_reader import read_video


def numbers(path, read, order):
    with open_video(path) as video:
        return {i: read(video[i]) for i in order}


def check(path, read, frames=60):
    """Play it, jump in it, and return what it warns of."""
    with open_video(path) as video:
        assert len(video) == frames
        warnings = video.warnings
    assert numbers(path, read, range(frames)) == {i: i for i in range(frames)}
    assert numbers(path, read, (41, 3, frames - 1, 20, 19, 50, 0)) == {i: i for i in (41, 3, frames - 1, 20, 19, 50, 0)}
    return " ".join(warnings)


@pytest.mark.parametrize("suffix", ["mp4", *(pytest.param(s, marks=pytest.mark.slow) for s in ("mov", "mkv", "ts", "flv"))])
def test_decoding_times_in_the_place_of_times_to_show(tmp_path, numbered, suffix):
    base = numbered["encode"](tmp_path / "base.mp4", *numbered["X264"], "-g", "12", "-bf", "2")
    path = tmp_path / f"a.{suffix}"
    numbered["ffmpeg"]("-i", base, "-c", "copy", "-bsf:v", "setts=pts=DTS", "-avoid_negative_ts", "make_zero", path)
    warning = check(path, numbered["read"])
    assert "They are counted from its start" in warning
    with open_video(path) as video:
        assert video.fps == pytest.approx(25, rel=0.02)
        assert (np.diff(video.timestamps) > 0).all()
    if suffix == "mp4":  # the remedy works
        words = shlex.split(warning.split("ffmpeg ")[1].rstrip("."))
        numbered["ffmpeg"](*[path if w == path.name else tmp_path / w if w.endswith("-counted.mkv") else w for w in words])
        assert check(tmp_path / "a-counted.mkv", numbered["read"]) == ""


def test_honest_times_bring_no_warning(tmp_path, numbered):
    path = numbered["encode"](tmp_path / "a.mp4", *numbered["X264"], "-g", "12", "-bf", "2")
    assert check(path, numbered["read"]) == ""


def test_what_a_decoder_says_within_a_frames_line_hides_no_frame():
    """Else an honest file of a talkative codec would be counted from its start, now and then."""
    said = """[Parsed_showinfo_0 @ 0x1] n:  16 pts:     17 s:96x64 type:P checksum:0EB27306 plane_checksum:[E2906849]
[Parsed_showinfo_0 @ 0x1] n:  17 pts:     18 s:96x64 type:B Discarding excessive bitstream in packed xvid
[Parsed_showinfo_0 @ 0x1] checksum:2EB27306 plane_checksum:[E2906849 733AF84D]
[Parsed_showinfo_0 @ 0x1] n:  18 pts:     19 s:96x64 type:P [Parsed_showinfo_0 @ 0x1] n:  19 pts:     20 checksum:3EB27306
"""
    assert _Played(said, 60).checksums == {17: "0EB27306", 18: "2EB27306", 20: "3EB27306"}


@pytest.mark.parametrize("dropped", [(5, 6, 20), (50, 51)])
def test_frames_that_a_recorder_dropped_are_left_out(tmp_path, numbered, dropped):
    """In their place MPEG-4 says that the picture stays: the decoder gives none, and those after it keep their times."""
    path = numbered["encode"](tmp_path / "a.avi", "-c:v", "mpeg4", "-vtag", "XVID", "-q:v", "3", "-bf", "0", "-g", "1")
    content = path.read_bytes()
    place = content.index(b"movi") + 4
    head, frames = content[: place - 12], []
    while content[place : place + 4] == b"00dc":
        length = struct.unpack_from("<I", content, place + 4)[0]
        frames.append(content[place + 8 : place + 8 + length])
        place += 8 + length + length % 2
    for t in dropped:  # "not coded": the kind of picture, no full second, its time, and 0
        bits = f"0101{t % 25:05b}10" + "01111"
        frames[t] = b"\0\0\1\xb6" + int(bits, 2).to_bytes(2, "big")
    body, index = b"", b""
    for n, data in enumerate(frames):
        index += b"00dc" + struct.pack("<III", 16 * (n not in dropped), len(body) + 4, len(data))
        body += b"00dc" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    movi = b"LIST" + struct.pack("<I", len(body) + 4) + b"movi" + body + b"idx1" + struct.pack("<I", len(index)) + index
    path.write_bytes(b"RIFF" + struct.pack("<I", len(head + movi) - 8) + (head + movi)[8:])
    shown = [t for t in range(60) if t not in dropped]
    with open_video(path) as video:
        assert [numbered["read"](frame) for frame in video] == shown
        np.testing.assert_allclose(video.timestamps, np.array(shown) / 25)
        assert f"About {len(dropped)} frames were lost in recording" in " ".join(video.warnings)
    with open_video(path) as video:
        assert [numbered["read"](video[i]) for i in (54, 2, 30)] == [shown[54], 2, shown[30]]


def palette_avi(path, draw):
    """Write an uncompressed AVI of 8 bits with a palette, as ImageJ does."""

    def chunk(name, data):
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    frames = [draw(k).mean(axis=2).astype(np.uint8)[::-1].tobytes() for k in range(60)]
    size, palette = len(frames[0]), b"".join(bytes((g, g, g, 0)) for g in range(256))
    main = chunk(b"avih", struct.pack("<14I", 40000, size * 25, 0, 0x10, 60, 0, 1, size, 160, 96, 0, 0, 0, 0))
    stream = b"vids" + b"DIB " + struct.pack("<IHHIIIIIIII4H", 0, 0, 0, 0, 1, 25, 0, 60, size, 10000, 0, 0, 0, 160, 96)
    kind = struct.pack("<IiiHHIIiiII", 40, 160, 96, 1, 8, 0, size, 0, 0, 256, 0) + palette
    movi, index, place = b"", b"", 4
    for data in frames:
        index += b"00db" + struct.pack("<III", 0x10, place, len(data))
        movi += chunk(b"00db", data)
        place += len(data) + 8
    head = chunk(b"LIST", b"hdrl" + main + chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", kind)))
    body = head + chunk(b"LIST", b"movi" + movi) + chunk(b"idx1", index)
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"AVI " + body)


def test_a_palette_that_stands_at_the_beginning_only(tmp_path, numbered):
    palette_avi(tmp_path / "a.avi", numbered["draw"])
    assert "a jump shows other pictures" in check(tmp_path / "a.avi", numbered["read"])


@pytest.mark.parametrize(("codec", "made", "copied"), [("smc", "mov", "mkv"), ("smc", "mov", "nut"), ("msrle", "avi", "avi")])
def test_a_palette_that_is_lost(tmp_path, numbered, codec, made, copied):
    """All of it was black, without a word."""
    palette_avi(tmp_path / "a.avi", numbered["draw"])
    whole, bare = tmp_path / f"whole.{made}", tmp_path / f"it's bare.{copied}"
    numbered["ffmpeg"]("-i", tmp_path / "a.avi", "-c:v", codec, "-pix_fmt", "pal8", whole)
    if codec == "smc":
        numbered["ffmpeg"]("-i", whole, "-c", "copy", bare)
    else:  # as a writer leaves it that knows grey only
        content = whole.read_bytes()
        palette = content.index(b"strf") + 8 + 40
        bare.write_bytes(content[:palette] + bytes(1024) + content[palette + 1024 :])
    check(whole, numbered["read"])
    with pytest.raises(VideoError, match=r"bare\..* has no palette.*ffmpeg -i ORIGINAL -c:v ffv1 'it'\"'\"'s bare-anew.mkv'"):
        open_video(bare)


@pytest.mark.parametrize("codec", [("-c:v", "mjpeg", "-q:v", "3"), ("-c:v", "mpeg4", "-g", "12", "-q:v", "3")])
@pytest.mark.parametrize("place", [5, *(pytest.param(p, marks=pytest.mark.slow) for p in (30, 80))])
def test_an_avi_that_lost_a_piece(tmp_path, numbered, codec, place):
    path = numbered["encode"](tmp_path / "a.avi", *codec, frames=100)
    data = bytearray(path.read_bytes())
    start = data.index(b"movi") + 4
    for _ in range(place):
        length = struct.unpack("<I", data[start + 4 : start + 8])[0]
        start += 8 + length + length % 2
    data[start : start + 8] = bytes(8)
    path.write_bytes(data)
    with open_video(path) as video:
        assert "counted from its start" in video.warnings[0]
        played = [video[i].copy() for i in range(len(video))]
    for i in (70, 33, 97, 12):
        with open_video(path) as video:
            np.testing.assert_array_equal(video[i], played[i])


MS = Fraction(1, 1000)


def test_the_rate_leaves_pauses_out():
    times = np.arange(60) * 40
    times[24:] += 3_600_000
    assert frames_per_second(times, MS) == pytest.approx(25)
    assert irregular_times(times, MS) == [
        "The recording pauses for 3600.0 s after frame 23 (0.92 s). Frame numbers continue without a gap."
    ]
    times[40:] += 7000
    assert "pauses 2 times; the longest pause is 3600.0 s, after frame 23" in irregular_times(times, MS)[0]


def test_rates_that_time_bases_round():
    assert frames_per_second(np.round(np.arange(1000) * 1000 / 29.97).astype(int), MS) == pytest.approx(29.97, rel=1e-3)
    assert frames_per_second(np.arange(9) * 10_000, MS) == pytest.approx(0.1)  # a time-lapse
    assert frames_per_second(np.array([7]), MS) is None
    assert irregular_times(np.array([7]), MS) == irregular_times(np.round(np.arange(300) * 33.367).astype(int), MS) == []


def test_frames_that_a_capture_card_lost():
    times = np.delete(np.arange(300) * 40, [50, 51, 120])
    assert irregular_times(times, MS) == ["About 3 frames were lost in recording, the first after frame 49 (1.96 s)."]
    varying = np.cumsum(np.random.default_rng(0).integers(20, 90, 300))
    assert irregular_times(varying, MS) == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_recording_that_paused(tmp_path, numbered, suffix):
    base = numbered["encode"](tmp_path / "b.mp4", *numbered["X264"], "-g", "24", "-bf", "0")
    path = tmp_path / f"a.{suffix}"
    later = "setts=pts=PTS+gte(N\\,24)*3600/TB:dts=DTS+gte(N\\,24)*3600/TB"
    numbered["ffmpeg"]("-i", base, "-c", "copy", "-bsf:v", later, path)
    assert "pauses for 3600.0 s after frame 23" in check(path, numbered["read"])
    with open_video(path) as video:
        assert video.fps == pytest.approx(25, rel=0.01)
        assert video.timestamps[24] - video.timestamps[23] == pytest.approx(3600, rel=0.01)


@pytest.fixture(scope="module")
def cameras(tmp_path_factory, numbered):
    folder = tmp_path_factory.mktemp("cameras")
    left = numbered["encode"](folder / "l.mp4", *numbered["X264"], "-g", "12")
    right = numbered["encode"](folder / "r.mp4", *numbered["X264"], "-g", "12", first=100)
    for suffix in ("mp4", "mkv", "ts"):
        numbered["ffmpeg"]("-i", left, "-i", right, "-map", "0", "-map", "1", "-c", "copy", folder / f"stereo.{suffix}")
        if suffix != "ts":
            red = ("-f", "lavfi", "-i", "color=red:s=64x48:r=1:d=2.4")
            codecs = ("-c:v:0", "mjpeg", "-c:v:1", "copy")
            numbered["ffmpeg"](*red, "-i", left, "-map", "0", "-map", "1", *codecs, folder / f"preview.{suffix}")
    return folder


@pytest.mark.parametrize("suffix", ["mp4", *(pytest.param(s, marks=pytest.mark.slow) for s in ("mkv", "ts"))])
def test_two_cameras(cameras, numbered, suffix):
    path = cameras / f"stereo.{suffix}"
    with open_video(path) as first, open_video(path, stream=1) as second, open_video(path, stream=0) as same:
        assert "2 video streams (0: 160 x 96, 1: 160 x 96). Stream 0 is shown" in first.warnings[0]
        assert (first.stream, second.stream) == (0, 1)
        assert not second.warnings
        for i in (40, 3):
            assert (numbered["read"](first[i]), numbered["read"](second[i])) == (i, 100 + i)
        assert first.fingerprint() == same.fingerprint() != second.fingerprint()


@pytest.mark.gui  # which takes seconds to import
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_two_cameras_are_two_layers(cameras, numbered, suffix):
    layers = read_video(cameras / f"stereo.{suffix}")
    assert [attributes["name"] for _, attributes, _ in layers] == ["stereo [stream 0]", "stereo [stream 1]"]
    assert numbered["read"](np.asarray(layers[1][0][7])) == 107


def test_a_project_remembers_its_stream(cameras, numbered, tmp_path):
    with open_video(cameras / "stereo.mkv", stream=1) as video:
        Project.create(tmp_path / "a.sam2s", video).close()
    with Project.open(tmp_path / "a.sam2s") as project:
        assert project.video.stream == 1
        with reopen_video(project.video.path, fps=project.fps, stream=project.video.stream) as again:
            project.video.check(again)
            assert numbered["read"](again[5]) == 105


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_preview_in_front_of_the_film(cameras, numbered, suffix):
    with open_video(cameras / f"preview.{suffix}") as video:
        assert video.shape == (60, 96, 160, 3)
        assert "Stream 1 is shown" in video.warnings[0]
        assert numbered["read"](video[44]) == 44


@pytest.mark.parametrize("stream", [2, -1, 1.5, True, "1"])
def test_streams_that_are_not_there(cameras, stream):
    with pytest.raises(VideoError, match="stream"):
        open_video(cameras / "stereo.mkv", stream=stream)


@pytest.mark.parametrize("option", [{"fps": 2.0}, {"limits": (0, 100)}, {"channels": (0,)}, {"axes": "TYX"}])
def test_options_that_mean_nothing_for_a_video_file(cameras, option):
    with pytest.raises(VideoError, match="is for pictures and arrays"):
        open_video(cameras / "l.mp4", **option)
    with pytest.raises(VideoError, match="stream= is for video files"):
        open_video(np.zeros((3, 8, 9), np.uint8), stream=0)


@pytest.mark.parametrize("pixels", ["gray16le", "gray10le", "gray12le"])
def test_grey_of_more_than_8_bits(tmp_path, numbered, pixels):
    bits = int(pixels.removeprefix("gray").removesuffix("le"))
    values = np.stack([numbered["draw"](k)[..., 0].astype("<u2") * (1 << (min(bits, 12) - 8)) for k in range(20)])
    source = ("-f", "rawvideo", "-pix_fmt", pixels, "-s", "160x96", "-r", "25", "-i", "-")
    numbered["ffmpeg"](*source, "-c:v", "ffv1", tmp_path / "a.mkv", feed=values.tobytes())
    with open_video(tmp_path / "a.mkv") as video:
        np.testing.assert_array_equal(np.asarray(video.raw[7]), values[7])
        assert numbered["read"](video[13]) == 13
        assert "TYX, channel 0" in str(video.mapping)
        assert video.fps == pytest.approx(25)
        assert video.timestamps[10] == pytest.approx(0.4)
        assert len(video.fingerprint()) == 32
    with open_video(tmp_path / "a.mkv", limits=(0, 4095 if bits > 10 else 1023)) as video:
        expected = np.clip(values[3] * (255 / (4095 if bits > 10 else 1023)) + 0.5, 0, 255).astype(np.uint8)
        assert np.abs(video[3][..., 0].astype(int) - expected).max() <= 1


def edited(source, target, *edits):
    """Copy an MP4 whose tables stand at its end with another edit list: ``(seconds, first frame)``."""
    data = bytearray(source.read_bytes())
    track = data.index(b"trak") - 4
    place, movie = data.index(b"edts") - 4, data.index(b"moov") - 4
    old = struct.unpack_from(">I", data, place)[0]
    units = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)[0]
    scale, start = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0], struct.unpack_from(">i", data, place + 28)[0]
    rows = b"".join(struct.pack(">IiI", round(s * units), start + first * scale // 25, 1 << 16) for s, first in edits)
    new = struct.pack(">I4sI4sII", 24 + len(rows), b"edts", 16 + len(rows), b"elst", 0, len(edits)) + rows
    data[place : place + old] = new
    for box in (movie, track):
        struct.pack_into(">I", data, box, struct.unpack_from(">I", data, box)[0] + len(new) - old)
    target.write_bytes(data)
    return target


@pytest.mark.slow
def test_an_edit_list_beside_times_that_lie(tmp_path, numbered):
    """Of 60 frames ffmpeg shows 58, or those of another place."""
    base = numbered["encode"](tmp_path / "base.mp4", *numbered["X264"], "-g", "12", "-bf", "2")
    numbered["ffmpeg"]("-i", base, "-c", "copy", "-bsf:v", "setts=pts=DTS", tmp_path / "lies.mp4")
    for name, edits in (("all", [(2.4, 0)]), ("some", [(0.8, 17)])):
        warning = check(edited(tmp_path / "lies.mp4", tmp_path / f"{name}.mp4", *edits), numbered["read"])
        assert "ffmpeg -ignore_editlist 1 -i" in warning
        assert "it is not followed, and all 60 are shown" in warning
    with open_video(edited(base, tmp_path / "honest.mp4", (0.8, 17))) as video:
        assert [numbered["read"](video[i]) for i in (0, 19)] == [17, 36]
        assert not video.warnings  # that is what trimming means
    with open_video(edited(base, tmp_path / "early.mp4", (2.4, -2))) as video:
        assert len(video) == 58
        assert video.warnings == ("The edit list of the file begins before its first frame, so it hides 2 frames at the end.",)


def _read_and_jump(video):
    video[99]
    assert video.source._decoder.damaged.wait(60)  # what ffmpeg says comes beside the frames
    video[0]


def test_bit_errors_are_told_of_when_they_are_met(tmp_path, numbered):
    path = numbered["encode"](tmp_path / "a.mp4", *numbered["X264"], "-g", "12", "-bf", "0", frames=100)
    data = bytearray(path.read_bytes())
    for place in range(int(0.8 * data.index(b"moov")), int(0.85 * data.index(b"moov")), 97):
        data[place] ^= 16
    path.write_bytes(data)
    with open_video(path) as video:
        assert not video.warnings  # so far into it nothing is decoded when it is opened
        video[50]
        # The decoder reads ahead of the reader: how far is a matter of the machine.
        with pytest.warns(UserWarning, match=r"a.mp4 is damaged near frame (5|6|7|8|9)\d \(\d.\d s\)"):
            _read_and_jump(video)
        video[85]  # once is enough


def test_a_codec_whose_frames_are_all_called_key_frames(tmp_path, numbered):
    """MOV has no list of the key frames of Apple Video (rpza), whose frames keep what did not change."""
    path = numbered["encode"](tmp_path / "a.mov", "-c:v", "rpza", "-g", "12")
    with open_video(path) as video:
        assert "The times in the file do not name its frames" in video.warnings[0]
        played = [frame.copy() for frame in video]
    for i in (59, 30, 45, 7):
        with open_video(path) as video:
            np.testing.assert_array_equal(video[i], played[i])
