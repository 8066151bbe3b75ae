"""Files whose times name several frames, or none: right however a frame is reached, or one sentence that says why not."""

from __future__ import annotations

import shlex
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.errors import VideoError
from napari_sam2s.video import open_video
from napari_sam2s.video.ffmpeg import Source, read_packets
from napari_sam2s.video.video_file import VideoFile
from tests.video.conftest import TORTURE

MPEG2 = ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-g", "12")
WITH_B, WITHOUT_B = ("-g", "10", "-bf", "2"), ("-g", "10", "-bf", "0")


def joined(folder, numbered, suffix, options):
    """Return a file of two recordings joined byte by byte, frames 0 to 39 and 40 to 79."""
    parts = [numbered["encode"](folder / f"{n}{suffix}", *options, frames=40, first=n) for n in (0, 40)]
    path = folder / f"joined{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("suffix", [".ts", ".ts without B frames", ".mpg", ".mkv"])
def test_files_joined_byte_by_byte_are_refused_and_the_remedy_works(suffix, tmp_path, numbered):
    suffix, _, without = suffix.partition(" ")
    options = (*MPEG2, "-f", "dvd") if suffix == ".mpg" else (*numbered["X264"], *(WITHOUT_B if without else WITH_B))
    path = joined(tmp_path, numbered, suffix, options)
    with pytest.raises(VideoError, match=r"about 40 frames \(1\.6 s\) the times run back.*ffmpeg") as caught:
        open_video(path)
    if suffix == ".mkv":
        (tmp_path / "LIST.txt").write_text("file 0.mkv\nfile 40.mkv\n")
        words = ["-f", "concat", "-i", tmp_path / "LIST.txt", "-c", "copy", tmp_path / "one.mkv"]
        assert "ffmpeg -f concat -i LIST.txt -c copy JOINED.mkv" in str(caught.value)
    else:
        words = shlex.split(str(caught.value).split("ffmpeg ")[1].rstrip("."))
        words = [tmp_path / "one.mkv" if w == "joined.mkv" else path if w == path.name else w for w in words]
    numbered["ffmpeg"](*words)
    with open_video(tmp_path / "one.mkv") as video:
        assert [numbered["read"](frame) for frame in video] == list(range(80))


def played_and_jumped(path, numbered):
    """Return the numbers of the frames in order, and those that differ when jumped to."""
    with open_video(path) as video:
        played = [frame.copy() for frame in video]
    source, differ = VideoFile(path, cache_bytes=0), []
    near = range(37, min(42, len(played)))  # of where two parts are joined
    for i in sorted({*range(0, len(played), 4), *near, len(played) - 1}, reverse=True):
        if not np.array_equal(source.frame(int(i)), played[i]):
            differ.append(int(i))
    source.close()
    return [numbered["read"](frame) for frame in played], differ


@pytest.mark.parametrize("options", [WITH_B, *(pytest.param(o, marks=pytest.mark.slow) for o in (WITHOUT_B, ("-g", "1")))])
def test_of_frames_that_share_a_time_the_first_counts(options, tmp_path, numbered):
    """Two frames a millisecond, in a file that counts in milliseconds."""
    path = numbered["encode"](tmp_path / "fast.mkv", *numbered["X264"], *options, rate="2000")
    numbers, differ = played_and_jumped(path, numbered)
    assert not differ
    assert all(a < b for a, b in pairwise(numbers))
    with open_video(path) as video:
        (warning,) = video.warnings
    assert f"{60 - len(numbers)} of 60 frames are left out. Their time equals that of the frame before" in warning
    words = shlex.split(warning.split("ffmpeg ")[1].split(" (RATE")[0].replace("RATE", "2000"))
    numbered["ffmpeg"](*[path if w == "fast.mkv" else tmp_path / w if w == "fast-all.mp4" else w for w in words])
    with open_video(tmp_path / "fast-all.mp4") as video:
        assert [numbered["read"](frame) for frame in video] == list(range(60))
        assert video.fps == pytest.approx(2000)
        assert not video.warnings


@pytest.mark.slow
def test_a_second_part_that_begins_with_the_last_time_of_the_first(tmp_path, numbered):
    options, late = (*numbered["X264"], *WITHOUT_B), ("-output_ts_offset", "1.56")
    parts = [numbered["encode"](tmp_path / "0.ts", *options, frames=40)]
    parts += [numbered["encode"](tmp_path / "1.ts", *options, *late, frames=40, first=40)]
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    numbers, differ = played_and_jumped(tmp_path / "both.ts", numbered)
    assert numbers == [*range(40), *range(41, 80)]
    assert not differ
    with open_video(tmp_path / "both.ts") as video:
        assert any(warning.startswith("1 of 80 frames") for warning in video.warnings)


def test_the_packets_of_joined_files_keep_their_own_times(tmp_path, numbered):
    """Which ffmpeg, copying, would raise to the largest before them."""
    path = joined(tmp_path, numbered, ".ts", (*numbered["X264"], *WITH_B))
    found = read_packets(Source(path))
    np.testing.assert_array_equal(np.sort(found.pts[:40]), np.sort(found.pts[40:]))
    assert found.back_at == (40,)


@pytest.mark.parametrize("torture", [name for name in TORTURE if " bare" in name], indirect=True)
def test_the_remedy_that_the_warning_of_bare_streams_names_works(torture, tmp_path, numbered):
    path, _ = torture
    with open_video(path) as video:
        (warning,), frames = video.warnings, list(video)
    assert "from the beginning and is slow" in warning
    words = shlex.split(warning.split("ffmpeg ")[1].rstrip("."))
    copy = tmp_path / f"{path.stem}.mkv"
    numbered["ffmpeg"](*[path if w == path.name else copy if w == copy.name else w for w in words])
    with open_video(copy) as video:
        assert not video.warnings
        np.testing.assert_array_equal(video[:], np.stack(frames))


def test_a_bare_stream_is_read_from_its_beginning_only(tmp_path, numbered, monkeypatch):
    path = numbered["encode"](tmp_path / "two words.m2v", *MPEG2)
    with open_video(path) as video:
        assert shlex.split(video.warnings[0])[-6:] == ["two words.m2v", "-map", "0:V:0", "-c:v", "ffv1", "two words.mkv."]
    monkeypatch.setattr("napari_sam2s.video.video_file.SILENT_FRAMES", 20)
    source = VideoFile(path, cache_bytes=0)
    assert source.index.keys.tolist() == [0]
    assert [numbered["read"](source.frame(i)) for i in (50, 10, 59, 30)] == [50, 10, 59, 30]
    source.close()


def test_a_bare_stream_whose_packets_are_no_frames_is_refused(tmp_path, numbered):
    path = numbered["encode"](tmp_path / "a.drc", "-c:v", "vc2", "-pix_fmt", "yuv420p")
    with pytest.raises(VideoError, match=r"bare dirac stream.*ffmpeg -i a\.drc -map 0:V:0 -c:v ffv1 a\.mkv"):
        open_video(path)
    numbered["ffmpeg"]("-i", path, "-map", "0:V:0", "-c:v", "ffv1", tmp_path / "a.mkv")
    with open_video(tmp_path / "a.mkv") as video:
        assert [numbered["read"](frame) for frame in video] == list(range(60))


def test_a_row_of_jpegs_is_refused_with_a_remedy_that_works(tmp_path, real_data, numbered):
    """Which ffmpeg takes for pictures, not for a stream."""
    path = tmp_path / "a.mjpeg"
    words = ("-c:v", "mjpeg", "-q:v", "3", "-frames:v", "20", "-an")
    numbered["ffmpeg"]("-i", real_data / "videos" / "02_cups.mp4", *words, path)
    with pytest.raises(VideoError, match=r"ffmpeg -f mjpeg -i a\.mjpeg -c copy a\.mkv"):
        open_video(path)
    numbered["ffmpeg"]("-f", "mjpeg", "-i", path, "-c", "copy", tmp_path / "a.mkv")
    with open_video(tmp_path / "a.mkv") as video:
        assert len(video) == 20


def test_the_last_frame_of_gxf_whose_packet_counts_a_field_is_there(tmp_path, numbered):
    path = numbered["encode"](tmp_path / "a.gxf", *MPEG2, frames=20, height=576, width=720)
    assert played_and_jumped(path, numbered) == (list(range(20)), [])
    with open_video(path) as video:
        assert (video.fps, video.warnings) == (25.0, ())


@pytest.mark.parametrize(("blend", "told"), [(0, False), (1, True)])
def test_an_animated_png_that_is_drawn_otherwise_says_so(tmp_path, blend, told):
    grey, spot = Image.new("RGBA", (32, 24), (90, 90, 90, 255)), Image.new("RGBA", (32, 24))
    spot.putpixel((5, 5), (255, 0, 0, 255))
    pictures = {"append_images": [spot, grey], "disposal": [0, 1, 0], "blend": [0, blend, 0]}
    grey.save(tmp_path / "a.apng", format="PNG", save_all=True, duration=100, **pictures)
    with open_video(tmp_path / "a.apng") as video:
        assert video[1][0, 0].tolist() == [0, 0, 0]  # right with 0: the spot replaces all; 90 would be right with 1
        words = "Frame 1 is black where the previous frame should show. Save the file as numbered PNG pictures"
        assert any(words in said for said in video.warnings) == told


def test_theora_packets_without_data_are_no_frames(tmp_path, numbered):
    path = tmp_path / "a.ogv"
    raw = b"".join(numbered["draw"](n // 3 * 3).tobytes() for n in range(24))
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "160x96", "-r", "25", "-i", "-")
    numbered["ffmpeg"](*source, "-c:v", "libtheora", "-q:v", "8", "-g", "12", path, feed=raw)
    played, differ = played_and_jumped(path, numbered)
    assert (sorted(set(played)), differ) == (list(range(0, 24, 3)), [])
    with open_video(path) as video:
        assert [n // 3 * 3 for n in np.round(video.timestamps * 25).astype(int)] == played


@pytest.mark.parametrize("options", [WITHOUT_B, WITH_B])
def test_an_mp4_that_calls_every_frame_a_key_frame(tmp_path, numbered, options):
    path = numbered["encode"](tmp_path / "a.mp4", *numbered["X264"], *options, frames=40)
    data = path.read_bytes()
    assert data.count(b"stss") == 1
    path.write_bytes(data.replace(b"stss", b"free"))
    if options == WITH_B:
        with pytest.raises(VideoError, match=r"calls every frame a key frame.*ffmpeg -i a\.mp4"):
            open_video(path)
        return
    assert played_and_jumped(path, numbered) == (list(range(40)), [])
    with open_video(path) as video:
        assert "They are counted from its start" in video.warnings[0]
