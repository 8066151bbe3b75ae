"""Videos as arrays: indexing, dask, pickling, threads, processes that end."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import tifffile

from napari_sam2s.errors import VideoError
from napari_sam2s.video import open_video
from napari_sam2s.video.video_file import VideoFile


@pytest.fixture(scope="module")
def path(tmp_path_factory, numbered):
    return numbered["encode"](tmp_path_factory.mktemp("v") / "a.mp4", *numbered["X264"], "-g", "12")


@pytest.fixture
def children():
    """Return what tells the processes of ffmpeg that this test has started: videos of other files' tests may still be open."""
    before = {p.pid for p in psutil.Process().children()}
    return lambda: [p for p in psutil.Process().children() if "ffmpeg" in p.name() and p.pid not in before]


def test_indexing(path, numbered):
    with open_video(path) as video:
        assert video.shape == (60, 96, 160, 3)
        assert video.dtype == np.uint8
        assert video.fps == pytest.approx(25)
        assert video.name == "a"
        read = numbered["read"]
        assert [read(f) for f in video[10:20:3]] == [10, 13, 16, 19]
        assert [read(f) for f in video[[5, 3]]] == [5, 3]
        assert read(video[-1]) == 59
        mask = np.isin(np.arange(60), (7, 40))
        assert [read(f) for f in video[mask]] == [read(f) for f in video[mask.tolist()]] == [7, 40]
        assert video[np.zeros(60, bool), :10].shape == (0, 10, 160, 3)
        for wrong in (mask[:59], True):
            with pytest.raises(IndexError, match="one value a frame"):
                video[wrong]
        assert video[3, :10, :20].shape == (10, 20, 3)
        assert video[:0].shape == (0, 96, 160, 3)
        np.testing.assert_array_equal(video[4:6], np.stack([video[4], video[5]]))
        np.testing.assert_array_equal(np.asarray(video)[7], video[7])
        with pytest.raises(IndexError):
            video[60]
        with pytest.raises(ValueError, match="read-only"):
            video[3][0, 0] = 1


def test_dask(path, numbered):
    with open_video(path) as video:
        array = video.dask
        assert array.shape == video.shape
        assert array.chunks[0] == (1,) * 60
        assert numbered["read"](array[33].compute()) == 33
        np.testing.assert_array_equal(array[5:8].compute(scheduler="threads"), video[5:8])
        assert array.name == open_video(path).dask.name  # the same content is the same array


def test_it_pickles_and_reads_in_another_process(path, numbered, tmp_path):
    (tmp_path / "v").write_bytes(pickle.dumps(open_video(path)))
    script = "import pickle, sys, numpy as np; np.save(sys.argv[2], pickle.load(open(sys.argv[1], 'rb'))[41])"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "v"), str(tmp_path / "f.npy")], check=True, timeout=60)
    assert numbered["read"](np.load(tmp_path / "f.npy")) == 41


def test_many_threads_read_one_video(path, numbered):
    with open_video(path) as video, ThreadPoolExecutor(8) as pool:
        order = np.random.default_rng(0).integers(0, 60, 80)
        assert [numbered["read"](f) for f in pool.map(lambda i: video[int(i)], order)] == list(order)


def none_left(children):
    """Whether all processes end, sooner or later."""
    deadline = time.monotonic() + 60
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not children()


def test_playing_starts_one_process_and_closing_ends_it(path, children):
    with open_video(path) as video:
        for i in range(40):
            _ = video[i]
            assert len(children()) <= 1
    assert none_left(children)


def test_a_forgotten_video_leaves_no_process(path, children):
    video = open_video(path)
    _ = video[5]
    del video
    assert none_left(children)


def test_closing_is_prompt_while_another_thread_reads(path):
    video = open_video(path)
    thread = threading.Thread(target=lambda: [video[i] for i in range(60)])
    thread.start()
    started = time.monotonic()
    video.close()
    thread.join(20)
    assert not thread.is_alive()
    assert time.monotonic() - started < 20
    video.close()


def test_ffmpeg_killed_from_outside_recovers(path, numbered, children):
    source = VideoFile(path, cache_bytes=0)
    for i in range(10):
        source.frame(i)
    for process in children():
        os.kill(process.pid, signal.SIGKILL)
    assert [numbered["read"](source.frame(i)) for i in range(10, 30)] == list(range(10, 30))
    source.close()


def test_a_file_that_changes_or_goes_while_open(path, tmp_path):
    here = tmp_path / "here.mp4"
    here.write_bytes(path.read_bytes())
    video = open_video(here)
    _ = video[3]
    here.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(VideoError, match="changed or disappeared"):
        video[4]
    video = open_video(here)
    here.unlink()
    with pytest.raises(VideoError, match="changed or disappeared"):
        video[4]


def test_the_index_is_cached_and_renewed(path, tmp_path, monkeypatch, numbered):
    monkeypatch.setenv("SAM2S_CACHE_DIR", str(tmp_path / "cache"))
    here = tmp_path / "here.mp4"
    here.write_bytes(path.read_bytes())
    assert not open_video(here).source.index_cached
    assert open_video(here).source.index_cached
    numbered["encode"](here, *numbered["X264"], frames=30)
    again = open_video(here)
    assert not again.source.index_cached
    assert len(again) == 30
    (cached,) = (tmp_path / "cache").rglob("*.npz")
    for broken in (b"broken", b"", cached.read_bytes()[:200], cached.read_bytes()[:-30]):
        cached.write_bytes(broken)
        assert len(open_video(here)) == 30
        assert open_video(here).source.index_cached  # it was written anew


def test_indexing_reports_and_stops(tmp_path, monkeypatch, numbered):
    path = numbered["encode"](tmp_path / "a.mkv", *numbered["X264"])
    monkeypatch.setenv("SAM2S_CACHE_DIR", str(tmp_path / "one"))
    monkeypatch.setattr("napari_sam2s.video.ffmpeg.PROGRESS_PACKETS", 10)
    told = []
    open_video(path, progress=lambda part: told.append(part) or True)
    assert told == sorted(told)
    assert 0 < told[-1] <= 1
    monkeypatch.setenv("SAM2S_CACHE_DIR", str(tmp_path / "other"))
    with pytest.raises(VideoError, match="was stopped"):
        open_video(path, progress=lambda part: False)


def test_too_much_at_once_is_refused(path):
    import napari_sam2s.video.video as module

    video = open_video(path)
    kept, module.LARGEST_ARRAY_BYTES = module.LARGEST_ARRAY_BYTES, 10**6
    try:
        with pytest.raises(VideoError, match=r"\.dask"):
            np.asarray(video)
    finally:
        module.LARGEST_ARRAY_BYTES = kept


def test_slicing_a_two_hour_array_is_cheap():
    class Long:
        shape, dtype, ndim = (180_000, 10, 10, 3), np.dtype(np.uint8), 4

        def __getitem__(self, i):
            return np.full((10, 10, 3), i % 251, np.uint8)

    array = open_video(Long(), axes="TYXC", limits=(0, 255)).dask
    assert array.numblocks[0] == 180_000
    assert int(array[123_456].compute()[0, 0, 0]) == 123_456 % 251


def test_a_title_picture_as_a_stream_is_not_the_film(tmp_path, numbered):
    """Nor is the still picture of an animated AVIF."""
    film = numbered["encode"](tmp_path / "film.mp4", *numbered["X264"], frames=12)
    numbered["ffmpeg"]("-f", "lavfi", "-i", "color=red:s=640x480:d=0.04", "-frames:v", "1", tmp_path / "title.png")
    words = ("-map", "0", "-map", "1", "-c", "copy")
    numbered["ffmpeg"]("-i", tmp_path / "title.png", "-i", film, *words, tmp_path / "a.mp4")
    numbered["encode"](tmp_path / "a.avif", "-c:v", "libaom-av1", "-cpu-used", "8", frames=12)
    for name in ("a.mp4", "a.avif"):
        with open_video(tmp_path / name) as video:
            assert [numbered["read"](frame) for frame in video] == list(range(12))
            assert video.warnings[0] == "The file has 2 video streams. Stream 1 is shown; stream=N shows another."
            assert video.stream == 1
    with open_video(tmp_path / "a.mp4", stream=0) as video:
        assert video.shape == (1, 480, 640, 3)


FORKED = """
import os, signal, sys
import numpy as np
from napari_sam2s.video import open_video
video, plain = open_video(sys.argv[1]), [frame.copy() for frame in open_video(sys.argv[1])]
video[3]  # a decoder, or a position in the file, that the fork takes along
child = os.fork()
if child == 0:
    signal.alarm(30)
order = np.random.default_rng(bool(child)).permutation(len(video)) if sys.argv[1].endswith("tif") else range(4, len(video))
wrong = [int(i) for i in [*order] * 3 if not np.array_equal(video[int(i)], plain[i])]
video.close()
if child == 0:
    os._exit(bool(wrong))
assert (os.waitpid(child, 0)[1], wrong) == (0, [])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
@pytest.mark.parametrize("kind", ["mp4", pytest.param("tif", marks=pytest.mark.slow)])
def test_a_fork_reads_by_itself(tmp_path, numbered, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "mp4":
        numbered["encode"](path, *numbered["X264"], "-g", "60", frames=40)
    else:
        noise = np.random.default_rng(0).integers(0, 9000, (40, 100, 200), np.uint16)
        tifffile.imwrite(path, noise, compression="zlib", photometric="minisblack")
    done = subprocess.run([sys.executable, "-c", FORKED, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
