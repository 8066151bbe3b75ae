"""The heads of the blocks say what ffmpeg's pass over the packets says, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import VideoError
from napari_sam2s.video import matroska, open_video
from napari_sam2s.video.ffmpeg import FLAG_DISCARD, FLAG_KEY, read_packets
from napari_sam2s.video.matroska import read_blocks

NOT_PLAIN = {"8.webm"}  # VP8 hides frames in blocks of their own


def same(path):
    found, expected = read_blocks(path), read_packets(path)
    assert found.time_base == expected.time_base
    np.testing.assert_array_equal(found.pts, expected.pts)
    np.testing.assert_array_equal(found.flags, expected.flags & (FLAG_KEY | FLAG_DISCARD))


def test_they_equal_the_packets_on_the_torture_set(torture):
    path, _ = torture
    if path.suffix not in (".mkv", ".webm"):
        assert read_blocks(path) is None
    elif path.name in NOT_PLAIN and read_blocks(path) is None:
        return
    else:
        same(path)


@pytest.fixture
def plain(tmp_path, numbered):
    return numbered["encode"](tmp_path / "a.mkv", *numbered["X264"], "-g", "12")


def test_windows_of_any_size_read_the_same(plain, monkeypatch):
    expected = read_blocks(plain)
    for window in (64, 100, 1000):
        monkeypatch.setattr(matroska, "WINDOW_BYTES", window)
        found = read_blocks(plain)
        np.testing.assert_array_equal(found.pts, expected.pts)
        np.testing.assert_array_equal(found.flags, expected.flags)


def test_a_live_recording_has_clusters_of_unknown_size(tmp_path, numbered):
    same(numbered["encode"](tmp_path / "live.mkv", *numbered["X264"], "-g", "12", "-live", "1"))


def test_groups_of_blocks_tell_key_frames_by_references(tmp_path, numbered, monkeypatch):
    """What ffmpeg writes of a subtitle-like block with a duration: a group; made here from simple blocks."""
    path = numbered["encode"](tmp_path / "a.mkv", "-c:v", "mpeg4", "-g", "12", "-live", "1")
    expected = read_blocks(path)
    data, out, place = path.read_bytes(), bytearray(), 0
    while place < len(data):
        kind, length, body = matroska._head(data, place)
        if kind in matroska.ENTERED:
            unknown = b"\x01" + 7 * b"\xff"  # clusters grow
            out += data[place : place + 4] + unknown if kind in (matroska.SEGMENT, matroska.CLUSTER) else data[place:body]
            place = body
            continue
        content = data[body : body + length]
        if kind == matroska.SIMPLE_BLOCK:
            key, content = content[3] & 0x80, content[:3] + bytes([content[3] & 0x7F]) + content[4:]
            inner = b"\xa1" + (0x10000000 | len(content)).to_bytes(4, "big") + content + (b"" if key else b"\xfb\x81\xff")
            out += b"\xa0" + (0x10000000 | len(inner)).to_bytes(4, "big") + inner
        else:
            out += data[place : body + length]
        place = body + length
    path.write_bytes(out)
    same(path)
    np.testing.assert_array_equal(read_blocks(path).flags, expected.flags)


def test_a_cut_file_is_left_to_the_packets(plain, numbered):
    plain.write_bytes(plain.read_bytes()[: int(plain.stat().st_size * 0.7)])
    assert read_blocks(plain) is None
    with open_video(plain) as video:
        assert 20 < len(video) < 60
        assert numbered["read"](video[20]) == 20


def test_it_can_be_stopped(plain):
    told = []
    with pytest.raises(VideoError, match="was stopped"):
        read_blocks(plain, lambda done: bool(told.append(done)))
    assert len(told) == 1


def test_damage_gives_what_ffmpeg_lists_or_nothing(plain):
    data, rng = plain.read_bytes(), np.random.default_rng(0)
    listed = 0
    for _ in range(60):
        damaged = bytearray(data)
        place = int(rng.integers(40, len(data) - 12))
        damaged[place : place + 4] = rng.bytes(4)
        plain.write_bytes(damaged)
        found = read_blocks(plain)
        if found is not None:  # key frames may differ: ffmpeg looks into the packets, where random bytes may look like one
            np.testing.assert_array_equal(found.pts, read_packets(plain).pts)
            listed += 1
    assert listed > 20
