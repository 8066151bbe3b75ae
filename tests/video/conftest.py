"""A torture set of files, each frame carrying its number in a way that survives any codec."""

from __future__ import annotations

import hashlib
import inspect
import os
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

BITS, CELL = 8, 16
FRAMES = 60
kept: list[Path] = []  # the folder of encoded files, a few kilobytes each, which outlives the run in pytest's cache


def pytest_configure(config):
    kept[:] = [config.cache.mkdir("encoded-videos")]


def draw(number, height=96, width=160):
    """Return a frame whose first row of 16 px cells is ``number`` in binary, on a moving ground."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([(x * 2 + number * 3) % 200, (y * 2 + number) % 200, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    for bit in range(BITS):
        image[:CELL, bit * CELL : (bit + 1) * CELL] = 255 if number >> bit & 1 else 0
    return image


def read_number(image, turned=0):
    """Return the number of a frame; ``turned`` undoes so many quarter turns first."""
    image = np.rot90(image, turned)
    cells = [image[4 : CELL - 4, bit * CELL + 4 : (bit + 1) * CELL - 4].mean() for bit in range(BITS)]
    return sum(1 << bit for bit, value in enumerate(cells) if value > 127)


def ffmpeg(*words, feed=None):
    """Run the bundled ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *map(str, words)]
    done = subprocess.run(command, input=feed, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()


def encode(path, *options, frames=FRAMES, height=96, width=160, rate="25", before=(), first=0):
    """Encode ``frames`` numbered frames, from number ``first`` on, with these options.

    The same file is made once by an ffmpeg, also in later runs (until ``pytest --cache-clear``): with all of them that is a
    twentieth of the suite.
    """
    recipe = (path.suffix, options, frames, height, width, rate, before, first)
    made_by = (imageio_ffmpeg.get_ffmpeg_exe(), inspect.getsource(draw), inspect.getsource(encode))
    file = kept[0] / f"{hashlib.sha256(repr((recipe, made_by)).encode()).hexdigest()}{path.suffix}"
    if not file.exists():
        raw = b"".join(draw(n, height, width).tobytes() for n in range(first, first + frames))
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "-"]
        ffmpeg(*before, *source, *options, path, feed=raw)
        part = file.with_name(f"{os.getpid()}-{file.name}")  # pytest-xdist's other process may be at it, too
        part.write_bytes(path.read_bytes())
        part.replace(file)
    path.write_bytes(file.read_bytes())
    return path


X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-x265-params", "log-level=none")

# name: (file name, options, keywords of encode)
TORTURE = {
    "h264 mp4": ("a.mp4", (*X264, "-g", "12"), {}),
    "h264 mov": ("a.mov", (*X264, "-g", "25"), {}),
    "h264 mkv": ("a.mkv", (*X264, "-g", "12"), {}),
    "h264 ts": ("a.ts", (*X264, "-g", "12"), {}),
    "h264 avi without B": ("a.avi", (*X264, "-bf", "0", "-g", "12"), {}),
    "h264 avi with B": ("b.avi", (*X264, "-bf", "3", "-g", "15"), {}),
    "h264 one key frame": ("g.mp4", (*X264, "-g", "999"), {}),
    "h264 many B frames": ("b.mp4", (*X264, "-bf", "8", "-b_strategy", "0", "-g", "30"), {}),
    "h264 B pyramid": ("p.mp4", (*X264, "-bf", "5", "-x264-params", "b-pyramid=normal:keyint=30"), {}),
    "h264 open gop": ("o.mp4", (*X264, "-bf", "3", "-x264-params", "open-gop=1:keyint=10:min-keyint=5"), {}),
    "h264 open gop mkv": ("o.mkv", (*X264, "-bf", "3", "-x264-params", "open-gop=1:keyint=10:min-keyint=5"), {}),
    "h264 intra only": ("i.mp4", (*X264, "-g", "1"), {}),
    "h264 intra refresh": ("r.mkv", (*X264, "-x264-params", "intra-refresh=1:keyint=20"), {}),
    "h264 10 bit": ("t.mp4", ("-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-g", "12"), {}),
    "h264 4:4:4 odd": ("o444.mkv", ("-c:v", "libx264", "-pix_fmt", "yuv444p", "-g", "12"), {"height": 95, "width": 161}),
    "h264 interlaced": ("l.mp4", (*X264, "-flags", "+ildct+ilme", "-x264-params", "tff=1", "-g", "12"), {}),
    "h264 grey": ("grey.mkv", ("-c:v", "libx264", "-pix_fmt", "gray", "-g", "12"), {}),
    "h264 fragmented": ("f.mp4", (*X264, "-g", "12", "-movflags", "frag_keyframe+empty_moov"), {}),
    "h264 index in front": ("fs.mp4", (*X264, "-g", "12", "-movflags", "+faststart"), {}),
    "h264 late start mkv": ("s.mkv", (*X264, "-g", "12", "-output_ts_offset", "7.5"), {}),
    "h264 late start ts": ("s.ts", (*X264, "-g", "12", "-output_ts_offset", "3600"), {}),
    "h264 29.97": ("n.mp4", (*X264, "-g", "12"), {"rate": "30000/1001"}),
    "h264 time-lapse": ("slow.mp4", (*X264, "-g", "12"), {"rate": "1/10"}),
    "h264 fast camera": ("quick.mkv", (*X264, "-g", "12"), {"rate": "1000"}),
    "h264 variable rate mp4": ("v.mp4", (*X264, "-g", "12", "-vf", "select='not(eq(mod(n,5),3))'", "-fps_mode", "vfr"), {}),
    "h264 variable rate mkv": ("v.mkv", (*X264, "-g", "12", "-vf", "select='not(eq(mod(n,7),2))'", "-fps_mode", "vfr"), {}),
    "hevc mp4": ("h.mp4", (*X265, "-g", "12"), {}),
    "hevc open gop mkv": ("h.mkv", (*X265[:-1], "log-level=none:open-gop=1:keyint=10:bframes=4"), {}),
    "hevc 10 bit": (
        "ht.mkv",
        ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=none"),
        {},
    ),
    "mpeg-4 avi": ("m.avi", ("-c:v", "mpeg4", "-q:v", "3", "-g", "12"), {}),
    "mpeg-4 B frames mp4": ("m.mp4", ("-c:v", "mpeg4", "-q:v", "3", "-bf", "2", "-g", "12"), {}),
    "mjpeg avi": ("j.avi", ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p"), {}),
    "mjpeg mov": ("j.mov", ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj444p"), {}),
    "ffv1 mkv": ("f.mkv", ("-c:v", "ffv1", "-g", "10"), {}),
    "ffv1 avi": ("f.avi", ("-c:v", "ffv1", "-pix_fmt", "bgr0"), {}),
    "hevc ts": ("h.ts", (*X265, "-g", "12"), {}),
    "hevc mov": ("h.mov", (*X265, "-g", "12", "-tag:v", "hvc1"), {}),
    "h264 wide pixels": ("sar.mp4", (*X264, "-g", "12", "-vf", "setsar=16/11"), {}),
    "h264 interlaced ts": ("l.ts", (*X264, "-flags", "+ildct+ilme", "-x264-params", "tff=0", "-g", "12"), {}),
    "mpeg-4 mkv": ("m.mkv", ("-c:v", "mpeg4", "-q:v", "3", "-bf", "2", "-g", "12"), {}),
    "mjpeg mkv": ("j.mkv", ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p"), {}),
    "ffv1 10 bit": ("f10.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv422p10le"), {}),
    "prores mov": ("p.mov", ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"), {}),
    "mpeg-2 interlaced ps": (
        "2.mpg",
        ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-flags", "+ildct+ilme", "-f", "dvd"),
        {},
    ),
    "wmv": ("w.wmv", ("-c:v", "wmv2", "-q:v", "3", "-g", "12"), {}),
    "mpeg-2 ts": ("2.ts", ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-g", "12"), {}),
    "h264 bare": ("e.h264", (*X264, "-bf", "2", "-g", "12"), {}),
    "h264 bare 29.97": ("n.h264", (*X264, "-bf", "2", "-g", "12"), {"rate": "30000/1001"}),
    "hevc bare": ("e.hevc", (*X265, "-g", "12"), {}),
    "mjpeg bare": ("e.mjpeg", ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p"), {}),
    "mpeg-1 bare": ("e.m1v", ("-c:v", "mpeg1video", "-q:v", "3", "-bf", "2", "-g", "12"), {}),
    "mpeg-2 bare": ("e.m2v", ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-g", "12"), {}),
    "mpeg-4 bare": ("e.m4v", ("-c:v", "mpeg4", "-q:v", "3", "-bf", "2", "-g", "12", "-f", "m4v"), {}),
    "vp9 webm": ("9.webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "12"), {}),
    "vp8 webm": ("8.webm", ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "12"), {}),
}
TURNED = {90: 3, 180: 2, 270: 1}
EDITED = ("cut with an edit list", "late by an edit list", "with sound in front")  # copies of one plain file
RESIZED = "with another size from the middle on"
# One of each codec and container, and of each way to hide a frame: the others are slow, all together.
QUICK = {"h264 mp4", "h264 mkv", "h264 ts", "h264 avi with B", "h264 open gop", "h264 fragmented", "h264 variable rate mp4"}
QUICK |= {"hevc mp4", "mpeg-4 avi", "mjpeg mov", "mpeg-2 interlaced ps", "ffv1 mkv", "h264 bare", "vp9 webm", RESIZED, "90"}
QUICK |= {"cut with an edit list"}
NAMES = [*TORTURE, *EDITED, RESIZED, *map(str, TURNED)]


@pytest.fixture(scope="session")
def numbered():
    """The functions above, for tests that make files of their own."""
    return {"draw": draw, "read": read_number, "encode": encode, "ffmpeg": ffmpeg, "X264": X264, "frames": FRAMES}


@pytest.fixture(scope="session", params=[n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def torture(request, tmp_path_factory):
    """One file of the set: ``(path, quarter turns to undo)``; made once, by whichever of pytest-xdist's processes is first."""
    folder, root = tmp_path_factory.mktemp("torture"), tmp_path_factory.getbasetemp()
    turned = TURNED[int(request.param)] if request.param.isdigit() else 0
    kept = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "torture-set" / request.param
    if not kept.exists():
        path = make(request.param, folder)
        kept.parent.mkdir(exist_ok=True)
        (folder / "name").write_text(path.name)
        try:
            folder.rename(kept)
        except OSError:  # the other process has it, too
            assert kept.exists()
    return kept / (kept / "name").read_text(), turned


def make(name: str, folder: Path) -> Path:
    """Make a file of the set."""
    if name in TORTURE:
        file, options, keywords = TORTURE[name]
        return encode(folder / file, *options, **keywords)
    if name == RESIZED:
        encode(folder / "small.ts", *X264, "-g", "8", "-bf", "0", frames=30)
        large = ("-vf", "scale=320:192:flags=neighbor", "-output_ts_offset", "1.2")
        encode(folder / "large.ts", *X264, "-g", "8", "-bf", "0", *large, frames=30, first=30)
        (folder / "both.ts").write_bytes((folder / "small.ts").read_bytes() + (folder / "large.ts").read_bytes())
        ffmpeg("-i", folder / "both.ts", "-c", "copy", folder / "both.mkv")
        return folder / "both.mkv"
    plain = encode(folder / "plain.mp4", *X264, "-g", "12", "-bf", "2")
    if name == "cut with an edit list":
        ffmpeg("-ss", "0.7", "-i", plain, "-c", "copy", folder / "cut.mp4")
        return folder / "cut.mp4"
    if name == "late by an edit list":
        ffmpeg("-itsoffset", "1.5", "-i", plain, "-c", "copy", folder / "late.mp4")
        return folder / "late.mp4"
    if name == "with sound in front":
        ffmpeg("-f", "lavfi", "-i", "sine=d=2.4", "-i", plain, "-map", "0", "-map", "1", "-c:v", "copy", folder / "sound.mp4")
        return folder / "sound.mp4"
    ffmpeg("-display_rotation", name, "-i", plain, "-c", "copy", folder / "turned.mp4")
    return folder / "turned.mp4"
