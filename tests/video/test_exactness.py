"""Frame i is always frame i: every file of the torture set, read at random and in order, against a plain decode."""

from __future__ import annotations

import re
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from napari_sam2s.video import open_video
from napari_sam2s.video.video_file import VideoFile

SHOWN = re.compile(rb"\] n:\s*\d+ pts:\s*(-?\d+) ")
TIME_BASE = re.compile(rb"config in time_base: (\d+)/(\d+)")


def plain_decode(path, size):
    """Return all frames and their times in seconds as one uninterrupted run of ffmpeg gives them.

    The times are whole numbers of the container's time base, so nothing is rounded.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-copyts", "-i", str(path), "-map", "0:V:0"]
    command += ["-fps_mode", "passthrough", "-vf", "showinfo", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, *size, 3)
    above, below = map(int, TIME_BASE.search(done.stderr).groups())
    return frames, np.array([int(match[1]) for match in SHOWN.finditer(done.stderr)]) * (above / below)


BARE = {".h264", ".hevc", ".mjpeg", ".m1v", ".m2v", ".m4v"}


def check(path, turned, numbered, reads):
    video = open_video(path)
    told = [warning for warning in video.warnings if "several sizes" not in warning]  # one of them has
    assert len(told) == (path.suffix in BARE)
    expected, times = plain_decode(path, video.shape[1:3])
    assert len(video) == len(expected)
    np.testing.assert_allclose(video.timestamps, times, rtol=1e-12, atol=0)
    order = [numbered["read"](f, turned) for f in expected]
    assert len(set(order)) == len(order) >= 40
    rng = np.random.default_rng(0)
    source = VideoFile(path, cache_bytes=0)
    for i in (len(video) - 1, *rng.integers(0, len(video), reads)):
        frame = source.frame(int(i))
        assert numbered["read"](frame, turned) == order[i], f"frame {i}"
        np.testing.assert_array_equal(frame, expected[i])
    source.close()
    for i, frame in enumerate(video):
        np.testing.assert_array_equal(frame, expected[i])
    video.close()


def test_every_file_is_exact(torture, numbered):
    check(*torture, numbered, reads=1)


@pytest.mark.long
def test_every_file_is_exact_in_50_random_reads(torture, numbered):
    check(*torture, numbered, reads=50)


@pytest.mark.slow
def test_a_real_clip_is_exact(real_data):
    path = min((real_data / "videos").glob("*.mp4"), key=lambda p: p.stat().st_size)
    with open_video(path) as video:
        chosen = sorted({int(i) for i in np.random.default_rng(0).integers(0, min(len(video), 90), 3)})
        expected = {i: frame.copy() for i, frame in zip(range(chosen[-1] + 1), video, strict=False) if i in chosen}
    source = VideoFile(path, cache_bytes=0)
    for i in reversed(chosen):
        np.testing.assert_array_equal(source.frame(i), expected[i])
    source.close()


@pytest.mark.long
def test_every_real_clip_against_its_own_packets(real_data):
    for path in sorted((real_data / "videos").glob("*.mp4")):
        with open_video(path) as video:
            expected, times = plain_decode(path, video.shape[1:3])
            np.testing.assert_allclose(video.timestamps, times, rtol=1e-12, atol=0)
            assert len(video) == len(expected)
            for i in np.random.default_rng(0).integers(0, len(video), 50):
                np.testing.assert_array_equal(video[int(i)], expected[i])
            for i, frame in enumerate(video):
                np.testing.assert_array_equal(frame, expected[i])
