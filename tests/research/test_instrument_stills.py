"""Stills of instruments before tissue: the same for the same seed, with masks of what is seen of each."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import TrainingError

pytest.importorskip("cv2")

from research.instrument_stills import LONG, WIDE, InstrumentStills, make_instrument, outline, part_texture, tissue
from research.material import Material

SIZE = 96


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    path = tmp_path_factory.mktemp("material") / "train.npz"
    rng = np.random.default_rng(0)
    videos = [rng.integers(0, 256, (3, 90, 120, 3), dtype=np.uint8)]
    Material(videos, [], [rng.integers(0, 256, (100, 140, 3), dtype=np.uint8)]).save(path)
    return path


def test_a_seed_always_gives_the_same_still(material):
    one, again, other = (InstrumentStills(material, SIZE)(seed) for seed in (3, 3, 4))
    assert one.shape == (1, SIZE, SIZE, 3)
    np.testing.assert_array_equal(one.frame(0), again.frame(0))
    assert not np.array_equal(one.frame(0), other.frame(0))
    for n, mask in one.masks(0).items():
        np.testing.assert_array_equal(mask, again.masks(0)[n])


def test_objects_are_large_enough_to_be_found_and_do_not_share_pixels(material):
    make = InstrumentStills(material, SIZE)
    for seed in range(12):
        masks = np.stack(list(make(seed).masks(0).values()))
        assert (masks.mean(axis=(1, 2)) > 0.003).all()
        assert masks.sum(axis=0).max() == 1


def test_a_still_may_be_asked_for_as_a_clip(material):
    clip = InstrumentStills(material, SIZE)(5, 3)
    assert clip.shape == (3, SIZE, SIZE, 3)
    for n, mask in clip.masks(0).items():
        np.testing.assert_array_equal(mask, clip.masks(2)[n])


def test_an_instrument_reaches_over_the_border_and_is_drawn_where_its_alpha_is():
    for seed in range(12):
        colours, alpha = make_instrument(np.random.default_rng(seed)).draw(SIZE)
        assert max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) > 0.5
        assert not colours[alpha == 0].any()


def test_parts_are_shaded_across_and_have_the_shape_of_their_kind():
    rng = np.random.default_rng(1)
    assert part_texture(rng, np.full(3, 0.5)).std(axis=0).mean() > 0.01  # round, not flat
    shaft, blunt, jaws, hook = (outline(np.random.default_rng(2), kind) for kind in range(4))
    assert shaft.all()
    assert shaft.shape == (WIDE, LONG)
    assert blunt[:, 0].all()
    assert jaws[[0, -1], -1].all()
    assert not jaws[WIDE // 2, -1]  # open toward the tip
    assert 0 < hook.mean() < 0.3


def test_tissue_is_redder_than_blue():
    rng = np.random.default_rng(0)
    seen = np.stack([tissue(rng, rng.integers(0, 256, (80, 80, 3), dtype=np.uint8), SIZE) for _ in range(8)])
    assert seen[..., 0].mean() > 1.3 * seen[..., 2].mean()
    assert seen.min() >= 0
    assert seen.max() <= 1


def test_missing_material_is_told(tmp_path):
    with pytest.raises(TrainingError, match="collect it with"):
        InstrumentStills(tmp_path / "none.npz", SIZE)
