"""Families that draw on material: the same for the same seed, visible at first, apart, and elsewhere later."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import TrainingError

pytest.importorskip("cv2")

from research.instrument_clips import InstrumentClips
from research.instrument_stills import InstrumentStills
from research.material import Material
from research.surface_clips import Lamp, SurfaceClips

SIZE, FRAMES = 64, 6
MOVING = (InstrumentClips, SurfaceClips)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    path = tmp_path_factory.mktemp("material") / "train.npz"
    rng = np.random.default_rng(0)
    Material([rng.integers(0, 256, (3, 90, 120, 3), dtype=np.uint8)], []).save(path)
    return path


@pytest.mark.parametrize("family", [InstrumentStills, *MOVING])
def test_a_seed_always_gives_the_same_clip(family, material):
    one, again, other = (family(material, SIZE)(seed, FRAMES) for seed in (3, 3, 4))
    assert one.shape == (FRAMES, SIZE, SIZE, 3)
    np.testing.assert_array_equal(one.images, again.images)
    assert not np.array_equal(one.images, other.images)
    assert all((one.masks(t)[n] == mask).all() for t in range(FRAMES) for n, mask in again.masks(t).items())


@pytest.mark.parametrize("family", MOVING)
def test_objects_are_there_at_first_do_not_share_pixels_and_move(family, material):
    make, moved, left = family(material, SIZE), 0, 0
    for seed in range(10):
        clip = make(seed, FRAMES)
        stacks = [np.stack(list(clip.masks(t).values())) for t in range(FRAMES)]
        areas = stacks[0].mean(axis=(1, 2))
        assert ((areas > 0.003) & (areas <= family.largest)).all()
        assert max(stack.sum(axis=0).max() for stack in stacks) == 1
        moved += sum((a != b).any() for a, b in zip(stacks[0], stacks[-1], strict=True))
        left += sum(not mask.any() for stack in stacks[1:] for mask in stack)
    assert moved >= 10
    assert left or family is not InstrumentClips  # some of which go away


def test_objects_that_fill_too_much_are_left_out(material):
    class Small(SurfaceClips):
        largest = 0.03

    for seed in range(6):
        areas = [mask.mean() for mask in Small(material, SIZE)(seed, 1).masks(0).values()]
        assert areas
        assert max(areas) <= 0.03


def test_a_slope_is_bright_where_it_faces_the_lamp():
    lamp = Lamp(np.zeros((1, 2)), distance=1.0, ambient=0.1, shine=1.0, sharpness=40.0, fall=0.0)
    plain, _ = lamp.light(np.zeros((9, 9, 2), np.float32), 0)
    assert plain[4, 4] == pytest.approx(1.0)
    assert plain[4, 4] > plain[4, 8] > 0.1
    # Height that falls to the right faces the right: on the left side of the picture that is where the lamp is.
    falling, glare = lamp.light(np.full((9, 9, 2), (-0.5, 0.0), np.float32), 0)
    assert falling[4, 0] > falling[4, 4] > falling[4, 8]
    assert glare[4, 0] > glare[4, 8]


@pytest.mark.parametrize("family", MOVING)
def test_missing_material_is_told(family, tmp_path):
    with pytest.raises(TrainingError, match="collect it with"):
        family(tmp_path / "none.npz", SIZE)
