"""Files of several files: joined byte by byte, or named in a playlist."""

from __future__ import annotations

import pickle
import re

import pytest

from napari_sam2s.errors import VideoError
from napari_sam2s.video import open_video

KINDS = {
    "mp4": ("-c:v", "mpeg4"),
    "mov": ("-c:v", "mjpeg", "-movflags", "+faststart"),
    "m4s": ("-c:v", "mpeg4", "-g", "3", "-movflags", "frag_keyframe+empty_moov", "-f", "mp4"),
    "flv": ("-c:v", "flv"),
    "wmv": ("-c:v", "wmv2"),
    "apng": ("-f", "apng", "-plays", "0"),
    "ivf": ("-c:v", "libvpx"),
    "y4m": ("-pix_fmt", "yuv422p10le", "-strict", "-1"),
    "nut": ("-c:v", "mpeg4"),
    "wtv": ("-c:v", "mpeg2video"),
    "rm": ("-c:v", "rv20", "-s", "176x144"),
    "swf": ("-c:v", "flv"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_joined_byte_by_byte(tmp_path, numbered, kind):
    part = numbered["encode"](tmp_path / f"part.{kind}", *KINDS[kind], frames=6)
    with open_video(part) as video:
        assert len(video) == 6
    (tmp_path / f"all.{kind}").write_bytes(part.read_bytes() * 2)
    with pytest.raises(VideoError, match=f"a second file starts at byte {part.stat().st_size}, as in files joined"):
        open_video(tmp_path / f"all.{kind}")


def test_files_joined_with_zeros_between(tmp_path, numbered):
    """As recorders fill the last block of a card."""
    part = numbered["encode"](tmp_path / "part.mp4", *KINDS["mp4"], frames=6).read_bytes()
    (tmp_path / "all.mp4").write_bytes(part + bytes(100) + part)
    with pytest.raises(VideoError, match=f"a second file starts at byte {len(part) + 100}, as in files joined"):
        open_video(tmp_path / "all.mp4")
    (tmp_path / "one.mp4").write_bytes(part + bytes(100))
    with open_video(tmp_path / "one.mp4") as video:
        assert len(video) == 6


MIDDLE, BEGINNING = (
    "missing: 1, the first after number 2. Their frames are lost",
    "begins with its fragment number 3: frame 0 is",
)


@pytest.mark.parametrize(
    ("order", "shown", "told"),
    [
        ((0, 2, 1, 3), [], ""),
        ((3, 2, 1, 0), [], ""),
        ((0, 1, 1, 2, 3), range(24), ""),
        ((2, 3), range(12, 24), BEGINNING),
        ((0, 1, 3), [*range(12), *range(18, 24)], MIDDLE),
    ],
)
def test_segments_of_dash_that_are_out_of_order_or_missing(tmp_path, numbered, order, shown, told):
    """Ffmpeg leaves out what comes too late, and says nothing. A segment that is there twice does no harm."""
    options = ("-c:v", "mpeg4", "-g", "6", "-movflags", "frag_keyframe+empty_moov+default_base_moof")
    content = numbered["encode"](tmp_path / "a.mp4", *options, frames=24).read_bytes()
    starts = [found.start() - 4 for found in re.finditer(b"moof", content)]
    ends = [*starts[1:], content.index(b"mfra") - 4]
    path = tmp_path / "b.mp4"
    path.write_bytes(content[: starts[0]] + b"".join(content[starts[k] : ends[k]] for k in order))
    if not shown:
        with pytest.raises(VideoError, match="is in the wrong place, so its frames would be lost"):
            open_video(path)
        return
    with open_video(path) as video:
        assert [numbered["read"](frame) for frame in video] == list(shown)
        assert told in " ".join(video.warnings) if told else not video.warnings


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nhttp://127.0.0.1:9/0.ts\n", "HLS"),  # live: it has no end
        ("a.txt", "\ufeff#EXTM3U\n#EXT-X-ENDLIST\n", "HLS"),
        ("a.mpd", '<?xml version="1.0"?>\n<MPD type="dynamic"></MPD>', "DASH"),
    ],
)
def test_playlists_of_streaming_are_refused(tmp_path, name, text, kind):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(VideoError, match=f"{kind}.*Make one file of them with: ffmpeg -copyts -i {name} .*a.mkv"):
        open_video(tmp_path / name)


def test_a_script_is_what_it_names(tmp_path, numbered):
    for n in (0, 1):
        numbered["encode"](tmp_path / f"part{n}.mp4", *numbered["X264"], "-g", "5", frames=10, first=10 * n)
    script = tmp_path / "all.ffconcat"
    script.write_text("ffconcat version 1.0\nfile 'part0.mp4'\nfile part\\1.mp4\n")
    with open_video(script) as video:
        assert [numbered["read"](video[i]) for i in range(20)] == list(range(20))
        print_before, packed = video.fingerprint(), pickle.dumps(video)
        numbered["encode"](tmp_path / "part1.mp4", *numbered["X264"], "-g", "5", frames=10, first=50)
        with pytest.raises(VideoError, match="changed or disappeared"):
            video[0]
    with pytest.raises(VideoError, match="is another file now"):
        pickle.loads(packed)
    with open_video(script) as video:
        assert video.fingerprint() != print_before
        assert numbered["read"](video[15]) == 55


def test_a_script_that_leaves_out_a_part(tmp_path, numbered):
    for n in (7, 8, 10, 11):
        numbered["encode"](tmp_path / f"p{n:03d}.mp4", "-c:v", "mpeg4", frames=2)
    script = tmp_path / "all.ffconcat"
    script.write_text("ffconcat version 1.0\n" + "".join(f"file p{n:03d}.mp4\n" for n in (7, 8, 10, 11)))
    with open_video(script) as video:
        assert video.warnings == ("Files are missing in the script, as their numbers show: 1, the first after number 8.",)


@pytest.mark.parametrize("name", ["gone.mp4", "http://127.0.0.1:9/a.mp4", "b.ffconcat", "with space.mp4"])
def test_scripts_that_name_what_is_no_video_here(tmp_path, name):
    (tmp_path / "with space.mp4").write_bytes(b"anything")
    (tmp_path / "b.ffconcat").write_text("ffconcat version 1.0\nfile a.ffconcat\n")
    (tmp_path / "a.ffconcat").write_text(f"ffconcat version 1.0\nfile '{name}'\n")
    with pytest.raises(VideoError, match="names"):
        open_video(tmp_path / "a.ffconcat")
