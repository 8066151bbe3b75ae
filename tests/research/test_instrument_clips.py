"""Instruments in motion: the same for the same seed, visible at first, moving later, and gone for a while if they leave."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import TrainingError

pytest.importorskip("cv2")

from research.instrument_clips import InstrumentClips
from research.material import Material

SIZE, FRAMES = 64, 6


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    path = tmp_path_factory.mktemp("material") / "train.npz"
    rng = np.random.default_rng(0)
    Material([rng.integers(0, 256, (3, 90, 120, 3), dtype=np.uint8)], []).save(path)
    return InstrumentClips(path, SIZE)


def test_a_seed_always_gives_the_same_clip(make):
    one, again = make(3, FRAMES), make(3, FRAMES)
    assert one.shape == (FRAMES, SIZE, SIZE, 3)
    np.testing.assert_array_equal(one.images, again.images)
    assert all((one.masks(t)[n] == mask).all() for t in range(FRAMES) for n, mask in again.masks(t).items())


def test_objects_are_there_at_first_do_not_share_pixels_and_move(make):
    moved, left = 0, 0
    for seed in range(10):
        clip = make(seed, FRAMES)
        stacks = [np.stack(list(clip.masks(t).values())) for t in range(FRAMES)]
        assert stacks[0].any(axis=(1, 2)).all()
        assert max(stack.sum(axis=0).max() for stack in stacks) == 1
        moved += sum((a != b).any() for a, b in zip(stacks[0], stacks[-1], strict=True))
        left += sum(not mask.any() for stack in stacks[1:] for mask in stack)
    assert moved >= 10
    assert left  # some leave


def test_missing_material_is_told(tmp_path):
    with pytest.raises(TrainingError, match="collect it with"):
        InstrumentClips(tmp_path / "none.npz", SIZE)
