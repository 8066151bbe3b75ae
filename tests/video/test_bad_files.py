"""Files that are not what they should be: one clear sentence each, and nothing lost."""

from __future__ import annotations

import io
import os
import queue
import shlex
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from napari_sam2s.errors import VideoError
from napari_sam2s.video import open_video
from napari_sam2s.video.ffmpeg import Source, read_packets
from napari_sam2s.video.forward_decoder import _read_times

pytestmark = pytest.mark.filterwarnings("ignore:.* is damaged near frame")


@pytest.fixture
def plain(tmp_path, numbered):
    return numbered["encode"](tmp_path / "plain.mkv", *numbered["X264"], "-g", "12")


def refuse(source, words):
    with pytest.raises(VideoError, match=words) as caught:
        open_video(source)
    assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path):
    refuse(tmp_path / "no.mp4", "There is no file or folder")
    (tmp_path / "empty.mp4").touch()
    refuse(tmp_path / "empty.mp4", "is empty")
    (tmp_path / "folder").mkdir()
    refuse(tmp_path / "folder", "holds no pictures")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")  # whose opening would wait for ever
        refuse(tmp_path / "pipe.mp4", "is a pipe or a device")
    for empty in ("", " "):
        with pytest.raises(VideoError, match="path of the video is empty"):
            open_video(empty)


def test_not_a_video(tmp_path, numbered):
    (tmp_path / "text.mp4").write_text("hello " * 1000)
    refuse(tmp_path / "text.mp4", "cannot be opened as a video")
    numbered["ffmpeg"]("-f", "lavfi", "-i", "sine=d=1", tmp_path / "sound.m4a")
    refuse(tmp_path / "sound.m4a", r"no video stream \(found: audio\)")
    refuse(3, "int is not a video")
    from PIL import Image

    Image.new("RGB", (20, 20)).save(tmp_path / "one.png")
    refuse(tmp_path / "one.png", "still image")


@contextmanager
def without_privileges():
    """Be nobody for a while, where the tests run as root, who may read everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["notes.txt", "notes.nfo", "notes.asc", "data.bin"])
def test_text_is_no_video_of_letters(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(200_000) if name == "data.bin" else b"the quick brown fox\n" * 400)
    refuse(tmp_path / name, f"{name} is text, not a video: give a video file")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_no_permission(plain, numbered):
    with tempfile.TemporaryDirectory() as name:  # pytest's own folder is closed to others already
        folder = Path(name)
        folder.chmod(0o755)
        for path in (folder / "a.mkv", folder / "a.tif"):
            path.write_bytes(plain.read_bytes())
            path.chmod(0)
            with without_privileges():
                refuse(path, "you have no permission")
        closed = folder / "closed"
        closed.mkdir(mode=0)
        with without_privileges():
            refuse(closed, "you have no permission")
            refuse(closed / "a.mkv", "you have no permission")
        closed.chmod(0o755)


def test_truncated_serves_what_is_there_and_says_how_much(plain, tmp_path, numbered):
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(plain.read_bytes()[: int(plain.stat().st_size * 0.6)])
    with open_video(cut) as video:
        assert 20 < len(video) < 60
        assert any("truncated" in w and str(len(video)) in w for w in video.warnings)
        assert numbered["read"](video[5]) == 5
        readable = [numbered["read"](video[i]) for i in range(len(video) - 1)]
        assert readable == list(range(len(video) - 1))


def test_an_mp4_without_its_index_says_so(tmp_path, numbered):
    path = numbered["encode"](tmp_path / "a.mp4", *numbered["X264"])
    path.write_bytes(path.read_bytes()[:5000])
    refuse(path, "moov atom not found. The end of the file is missing, or it is not a video: copy, download or record it again")


def test_an_mp4_without_a_clock_is_refused_with_the_command_that_mends_it(tmp_path, numbered):
    path = numbered["encode"](tmp_path / "no clock.mp4", *numbered["X264"], "-g", "5")
    data = bytearray(path.read_bytes())
    scale = data.find(b"mdhd") + 16
    data[scale : scale + 4] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(VideoError, match="has no clock") as caught:
        open_video(path)
    command = shlex.split(str(caught.value).partition("run: ffmpeg ")[2].removesuffix("."))
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *command], cwd=tmp_path, check=True)
    mended = open_video(tmp_path / "no clock_25fps.mkv")
    assert (len(mended), mended.fps) == (numbered["frames"], 25)


def test_what_is_encrypted_or_has_no_header_says_so(tmp_path, numbered):
    key = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb", "-encryption_kid")
    path = numbered["encode"](tmp_path / "a.mp4", *numbered["X264"], *key, "a7e61c373e219033c21091fa607bf3b8", frames=4)
    with pytest.raises(VideoError, match="is encrypted, like films from shops"):
        open_video(path)
    (tmp_path / "a.yuv").write_bytes(bytes(160 * 96 * 3))
    with pytest.raises(VideoError, match=r"so their size is unknown.*ffmpeg -f rawvideo -pix_fmt yuv420p -s .* a\.mkv"):
        open_video(tmp_path / "a.yuv")


def test_a_corrupt_stretch_keeps_the_other_frames_in_their_place(tmp_path, numbered):
    path = numbered["encode"](tmp_path / "a.mkv", "-c:v", "ffv1", "-g", "1", "-slicecrc", "1")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = np.random.default_rng(0).bytes(20_000)
    path.write_bytes(data)
    wrong, failed = [], []
    with open_video(path) as video:
        for i in range(len(video)):
            try:
                frame = video[i]
            except VideoError as error:
                failed.append((i, str(error)))
                continue
            if numbered["read"](frame) != numbered["read"](numbered["draw"](round(video.timestamps[i] * 25))):
                wrong.append(i)
        assert len(video) - len(failed) > 40
        assert all(f"Frame {i} of a.mkv" in words for i, words in failed)
    # Inside the stretch a decoder may show damaged pixels; beyond it every frame is itself.
    assert all(20 <= i <= 40 for i in wrong)


def test_a_pass_that_gives_nothing_ends(plain, monkeypatch):
    """Of a disk that went, or a process that hangs."""
    monkeypatch.setattr("napari_sam2s.video.ffmpeg.PASS_WAIT_S", 1.0)
    monkeypatch.setattr(
        "napari_sam2s.video.ffmpeg.input_arguments", lambda path: ["-re", "-stream_loop", "-1", "-i", str(path)]
    )
    with pytest.raises(VideoError, match="no data arrived for 1 s"):
        read_packets(Source(plain))


def test_more_complaints_than_a_pipe_holds(tmp_path, numbered):
    """A long damaged transport stream (of many joined), about which ffmpeg has much to say."""
    path = numbered["encode"](tmp_path / "a.ts", *numbered["X264"], "-g", "12")
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    for place in range(len(data) // 4, len(data), 188 * 3):
        data[place : place + 8] = rng.bytes(8)
    path.write_bytes(bytes(data) * 40)
    assert len(read_packets(Source(path)).pts) > 40 * 40
    refuse(path, "the times run back")
    path.write_bytes(data)
    with open_video(path) as video:
        assert len(video) > 40
        assert numbered["read"](video[5]) == 5


def test_folders(tmp_path):
    from PIL import Image

    for n in (1, 2, 5):
        Image.fromarray(np.full((20, 30, 3), 40 * n, np.uint8)).save(tmp_path / f"img_{n:03d}.png")
    video = open_video(tmp_path)
    assert [int(f[0, 0, 0]) for f in video] == [40, 80, 200]
    assert "2 numbers are missing" in video.warnings[0]
    Image.new("RGB", (31, 20)).save(tmp_path / "img_006.png")
    refuse(tmp_path, "must be the same")
    (tmp_path / "img_006.png").write_bytes(b"broken")
    refuse(tmp_path, "not a picture")
    (tmp_path / "img_006.png").unlink()
    Image.new("RGB", (30, 20)).save(tmp_path / "other.png")
    refuse(tmp_path, "no number")


def test_arrays_that_do_not_fit():
    refuse(np.zeros((4, 5)), r"\(4, 5\)")
    refuse(np.zeros((3, 0, 5, 3), np.uint8), "empty")
    refuse(np.zeros((3, 4, 5), complex), "complex128")
    refuse(np.zeros((20, 30, 3), np.uint8), r"array\[None\]")
    refuse(np.zeros((20, 30, 4)), r"array\[None\]")
    refuse(np.zeros((2, 6, 20, 30), np.uint8), "axes='TCYX' or axes='CTYX'")
    refuse(np.zeros((2, 3, 20, 30), np.uint8), "2 frames of 3 channels, or the reverse")
    refuse(np.zeros((2, 3, 4, 20, 30), np.uint8), "not a video we know")
    for bad in (1.5, [0.7, 2.2], "1", None):
        with pytest.raises(IndexError, match="whole numbers"):
            open_video(np.zeros((4, 20, 20), np.uint8))[bad]


def test_a_file_whose_name_begins_with_a_tilde(tmp_path, numbered, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbered["encode"](tmp_path / "~a.mp4", *numbered["X264"], frames=3)
    assert len(open_video("~a.mp4")) == 3
    with pytest.raises(VideoError, match="no file or folder"):
        open_video("~nobody-of-that-name/a.mp4")


def test_what_a_decoder_says_on_the_line_of_a_frame_loses_neither():
    """Decoders write from threads of their own: a frame whose time is not heard would give all later ones another's."""
    said = b"""[Parsed_showinfo_0 @ 0x1] n:   0 pts:    100 pts_time:0.1 mean:[112 133[ffv1 @ 0x2] slice CRC mismatch
[ffv1 @ 0x2] slice CRC mismatch B0688539!n:   1 pts:    200 pts_time:0.2 sar:1/1 s:160x120
at 1.000000 seconds
[Parsed_showinfo_0 @ 0x1] n:   2 pts:    300 pts_time:0.3
"""
    times, damaged, resized = queue.Queue(), threading.Event(), threading.Event()
    _read_times(io.BytesIO(said), times, damaged, resized, (120, 160))
    assert not resized.is_set()
    assert [times.get(timeout=60) for _ in range(4)] == [100, 200, 300, None]
    assert damaged.is_set()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.czi", b"ZISRAWFILE", r"of Zeiss \(CZI\).*export it as OME-TIFF"),
        ("a.nd2", b"\xda\xce\xbe\x0a", r"of Nikon \(ND2\)"),
        ("a.lif", b"\x70\0\0\0", r"of Leica \(LIF\)"),
        ("a.ims", b"\x89HDF\r\n\x1a\n", r"of HDF5 \(Imaris"),
        ("a.bin", b"\x89HDF", "cannot be recognised"),
        ("a.dcm", bytes(128) + b"DICM", "of DICOM"),
        ("a.mp4", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("b.mp4", b"\n<!DOCTYPE html><html>", "a web page"),
        ("c.mp4", b"SQLite format 3\0", "so perhaps a project"),
        ("d.zip", b"PK\x03\x04", "unpack it first"),
    ],
)
def test_other_kinds_are_called_by_their_name(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data + bytes(5000))
    with pytest.raises(VideoError, match=words):
        open_video(tmp_path / name)
