"""Memory of frames is used again, but never while anybody can still see it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam2s.video import spare
from napari_sam2s.video.file import VideoFile
from napari_sam2s.video.spare import SpareMemory

HOLDS = {
    "itself": lambda frame: frame,
    "a part": lambda frame: frame[10:20, ::2],
    "a part of a part": lambda frame: frame[10:40][5:20].T,
    "as one row": lambda frame: frame.reshape(-1),
    "a buffer": memoryview,
    "bytes of it": lambda frame: np.frombuffer(frame, np.uint8),
    "another type": lambda frame: frame.view(np.int8),
    "a tensor": lambda frame: torch.from_numpy(frame),
    "in a list": lambda frame: [frame],
    "its pixels": lambda frame: frame.flat,
}


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize("hold", HOLDS)
def test_what_somebody_holds_never_changes(hold, tmp_path, numbered):
    path = numbered["encode"](tmp_path / "a.mp4", *numbered["X264"], "-g", "12")
    video = VideoFile(path, cache_bytes=4 * 96 * 160 * 3)
    held = {i: HOLDS[hold](video.frame(i)) for i in (3, 9)}
    copies = {i: video.frame(i).copy() for i in held}
    for i in range(60):
        assert numbered["read"](video.frame(i)) == i
    for i, seen in held.items():
        expected = HOLDS[hold](copies[i])
        if hold == "its pixels":
            seen, expected = seen.copy(), expected.copy()
        np.testing.assert_array_equal(np.asarray(seen), np.asarray(expected))
    video.close()


def test_memory_that_nobody_holds_is_used_again(tmp_path, numbered, monkeypatch):
    if not spare._COUNTS:
        pytest.skip("this Python does not count references exactly")
    path = numbered["encode"](tmp_path / "a.mp4", *numbered["X264"], "-g", "12")
    blocks = set()
    frame = SpareMemory.frame

    def note(memory):
        new = frame(memory)
        blocks.add(new.ctypes.data)
        return new

    monkeypatch.setattr(SpareMemory, "frame", note)
    video = VideoFile(path, cache_bytes=4 * 96 * 160 * 3)
    for i in range(60):
        video.frame(i)
    video.close()
    assert len(blocks) < 20  # cache, frames ready ahead, spare ones
    assert video.frame(30).base is not None
    video.close()
