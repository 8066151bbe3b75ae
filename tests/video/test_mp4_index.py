"""The header's tables say what a pass over the packets says, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.video import open_video
from napari_sam2s.video.ffmpeg import FLAG_DISCARD, FLAG_KEY, Source, read_packets
from napari_sam2s.video.mp4_index import read_sample_tables

NOT_PLAIN = {"f.mp4", "cut.mp4"}  # fragments; frames cut away by an edit list


def same(path):
    found, expected = read_sample_tables(path), read_packets(Source(path))
    assert found.time_base == expected.time_base
    np.testing.assert_array_equal(found.pts, expected.pts)
    np.testing.assert_array_equal(found.dts, expected.dts)
    np.testing.assert_array_equal(found.flags, expected.flags & (FLAG_KEY | FLAG_DISCARD))


def test_they_equal_the_packets_on_the_torture_set(torture):
    path, _ = torture
    if path.suffix not in (".mp4", ".mov") or path.name in NOT_PLAIN:
        assert read_sample_tables(path) is None
    else:
        same(path)


def test_they_equal_the_packets_of_real_clips(real_data):
    for path in sorted((real_data / "videos").glob("*.mp4"))[::3]:
        same(path)


@pytest.fixture
def plain(tmp_path, numbered):
    return numbered["encode"](tmp_path / "a.mp4", *numbered["X264"], "-g", "12", "-movflags", "+faststart")


def test_a_cut_file_is_left_to_the_packets(plain, numbered):
    plain.write_bytes(plain.read_bytes()[: int(plain.stat().st_size * 0.7)])
    assert read_sample_tables(plain) is None
    with open_video(plain) as video:
        assert 20 < len(video) < 60
        assert any("truncated" in w for w in video.warnings)
        assert numbered["read"](video[20]) == 20


@pytest.mark.parametrize("kind", [b"stts", b"ctts", b"stsz", b"stsc", b"stco", b"elst", b"stss"])
def test_a_damaged_table_never_gives_another_frame(plain, kind, numbered):
    """Random bytes in a table: the same frames, an error, or nothing; never a wrong one."""
    data, rng = bytearray(plain.read_bytes()), np.random.default_rng(0)
    place = data.index(kind) + 12
    for _ in range(6):
        damaged = bytearray(data)
        damaged[place : place + 12] = rng.bytes(12)
        plain.write_bytes(damaged)
        found = read_sample_tables(plain)
        if found is not None:
            assert len(found.pts) == 60
            expected = read_packets(Source(plain))
            np.testing.assert_array_equal(np.sort(found.pts), np.sort(expected.pts))
