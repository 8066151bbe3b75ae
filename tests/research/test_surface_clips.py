"""Bumps before a lamp: the same for the same seed, visible at first, apart, and seen from elsewhere later."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import TrainingError

pytest.importorskip("cv2")

from research.material import Material
from research.surface_clips import Lamp, SurfaceClips

SIZE, FRAMES = 64, 5


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    path = tmp_path_factory.mktemp("material") / "train.npz"
    rng = np.random.default_rng(0)
    Material([rng.integers(0, 256, (3, 90, 120, 3), dtype=np.uint8)], []).save(path)
    return SurfaceClips(path, SIZE)


def test_a_seed_always_gives_the_same_clip(make):
    one, again = make(3, FRAMES), make(3, FRAMES)
    assert one.shape == (FRAMES, SIZE, SIZE, 3)
    np.testing.assert_array_equal(one.images, again.images)
    assert all((one.masks(t)[n] == mask).all() for t in range(FRAMES) for n, mask in again.masks(t).items())


def test_objects_are_there_at_first_do_not_share_pixels_and_move(make):
    moved = 0
    for seed in range(10):
        clip = make(seed, FRAMES)
        stacks = [np.stack(list(clip.masks(t).values())) for t in range(FRAMES)]
        assert stacks[0].any(axis=(1, 2)).all()
        assert max(stack.sum(axis=0).max() for stack in stacks) == 1
        moved += sum((a != b).any() for a, b in zip(stacks[0], stacks[-1], strict=True))
    assert moved >= 10


def test_a_slope_is_bright_where_it_faces_the_lamp():
    lamp = Lamp(np.zeros((1, 2)), distance=1.0, ambient=0.1, shine=1.0, sharpness=40.0, fall=0.0)
    plain, _ = lamp.light(np.zeros((9, 9, 2), np.float32), 0)
    assert plain[4, 4] == pytest.approx(1.0)
    assert plain[4, 4] > plain[4, 8] > 0.1
    # Height that falls to the right faces the right: on the left side of the picture that is where the lamp is.
    falling, glare = lamp.light(np.full((9, 9, 2), (-0.5, 0.0), np.float32), 0)
    assert falling[4, 0] > falling[4, 4] > falling[4, 8]
    assert glare[4, 0] > glare[4, 8]


def test_missing_material_is_told(tmp_path):
    with pytest.raises(TrainingError, match="collect it with"):
        SurfaceClips(tmp_path / "none.npz", SIZE)
