"""The proof of frame exactness: it holds on files that are exact, and sees what is not."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.cli import main
from napari_sam2s.errors import VideoError
from napari_sam2s.formats import write_video
from napari_sam2s.video import open_video, verification
from napari_sam2s.video.ffmpeg import EndMismatches, executable
from napari_sam2s.video.verification import verify


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    random = np.random.default_rng(0)
    frames = (random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(40))
    return write_video(frames, tmp_path_factory.mktemp("v") / "clip.mp4", fps=10)


def test_an_exact_file_holds(clip, tmp_path, capsys):
    assert main(["verify", str(clip), "--samples", "12", "--report", str(tmp_path / "page.md")]) == 0
    page = (tmp_path / "page.md").read_text()
    assert "**Holds.**" in page
    assert "1. 40 frames were decoded once" in page
    assert "Times: 40 decoded frames compared with those of the index. 0 differ" in page
    assert len(page.splitlines()) < 60  # one page
    assert page in capsys.readouterr().out
    assert main(["verify", str(clip), "--report", str(tmp_path / "page.md")]) == 2
    assert "exists already" in capsys.readouterr().err


def test_pictures_have_no_times(tmp_path):
    for t in range(5):
        Image.fromarray(np.full((20, 30, 3), 40 * t, np.uint8)).save(tmp_path / f"{t:03d}.png")
    found = verify(tmp_path)
    assert (found.holds, found.times, found.frames, found.jumps) == (True, None, 5, 5)
    assert "has no times to compare with" in found.page()


def test_other_pixels_after_a_jump_are_seen(clip, monkeypatch, capsys):
    opened = []

    def second_is_off_by_one(source, **options):
        video = verification_open(source, **options)
        opened.append(video)
        if len(opened) == 2:
            frame = type(video.source).frame
            monkeypatch.setattr(video.source, "frame", lambda i: frame(video.source, min(i + (i == 7), 39)), raising=False)
        return video

    verification_open = verification.open_video
    monkeypatch.setattr(verification, "open_video", second_is_off_by_one)
    assert main(["verify", str(clip), "--samples", "40", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert (facts["holds"], facts["other_pixels"]) == (False, [7])


@pytest.mark.slow
def test_damage_that_a_checksum_shows_is_told(clip, tmp_path):
    """FFV1 has one for each slice, and decodes a wrong one to other pixels all the same."""
    path = tmp_path / "clip.mkv"
    subprocess.run([executable(), "-v", "error", "-i", clip, "-c:v", "ffv1", "-level", "3", "-g", "1", path], check=True)
    assert verify(path, samples=3).damage == []
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with open_video(path) as video:
        assert any("The stream is damaged" in warning for warning in video.warnings)
    with pytest.warns(UserWarning, match=r"is damaged near frame \d+"):
        found = verify(path, samples=3)
    assert "CRC mismatch" in found.damage[0]  # "slice" may come on a line of its own: threads of ffmpeg write there, too
    assert "the stream is damaged, as the decoder says" in found.page()


def test_other_times_are_seen(clip, monkeypatch):
    times = list(verification._decoded_times(verification.Source(clip), []))
    assert len(times) == 40
    moved = [*times[:9], times[9] + 1, *times[10:]]
    monkeypatch.setattr(verification, "_decoded_times", lambda source, damage: iter(moved))
    found = verify(clip, samples=3)
    assert not found.holds
    assert found.other_times[0].startswith("frame 9: 0.900000 s in the index, 0.9000")
    assert "**Does not hold.**" in found.page()
    monkeypatch.setattr(verification, "_decoded_times", lambda source, damage: iter(times[:-1]))
    assert verify(clip, samples=3).other_times == ["the decoder gives 39 frames, and the index has 40"]


def test_frames_that_cannot_be_read_are_told():
    found = verification.Verification({"name": "x"}, 3, 3, 0, 3)
    assert found.holds
    found = replace(found, unreadable=["frame 2 by a jump: damaged"] * 30)
    assert not found.holds
    assert "- and 10 more" in found.page()


def test_bad_input(tmp_path, clip, capsys):
    with pytest.raises(VideoError, match="0 jumps check nothing"):
        verify(clip, samples=0)
    assert main(["verify", str(tmp_path / "none.mp4")]) == 2
    assert "none.mp4" in capsys.readouterr().err


def test_damage_in_jpeg_2000_is_told_and_a_habit_of_encoders_is_not(tmp_path):
    path = tmp_path / "a.mov"
    made = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=25", "-frames:v", "30", "-c:v", "jpeg2000", str(path)]
    subprocess.run([executable(), "-loglevel", "error", *made], check=True)
    with open_video(path) as video:
        assert not video.warnings
    content, random = bytearray(path.read_bytes()), np.random.default_rng(0)
    for place in random.integers(len(content) // 8, len(content) // 2, 30):
        content[place] ^= 1 << random.integers(8)
    path.write_bytes(content)
    with open_video(path) as video:
        assert any("The stream is damaged" in warning for warning in video.warnings)
    said, found = EndMismatches(), []
    for n in range(20):
        said.show_damage("[jpeg2000 @ 0x1] End mismatch 2", frame=False)
        found.append(said.show_damage(f"n: {n}", frame=True))
    assert not any(found)
