"""Composites of material: seeded, and with objects that leave where that is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from research.composites import CompositeMaker, _picture, cut_segments
from research.material import PHOTOGRAPH_SIDE, Material, read_photographs, read_rendered


@pytest.fixture(scope="module")
def material():
    """Two short videos of smooth noise, and two cut-outs."""
    rng = np.random.default_rng(0)
    videos = [np.repeat(np.repeat(rng.integers(0, 255, (24, 16, 24, 3), dtype=np.uint8), 16, 1), 16, 2) for _ in range(2)]
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    alpha = ((x**2 + y**2 < 0.9) * 255).astype(np.uint8)
    cutouts = [np.dstack((np.full((64, 64, 3), colour, np.uint8), alpha)) for colour in (40, 220)]
    return Material(videos, cutouts)


def test_a_seed_gives_the_same_clip_and_objects_that_are_there_at_first(material):
    for seed in range(4):
        a, b = (CompositeMaker(material, 64, segments=4)(seed, 6) for _ in range(2))
        np.testing.assert_array_equal(a.images, b.images)
        assert all(mask.any() for mask in a.masks(0).values())
        masks = [np.stack(list(a.masks(t).values())) for t in range(6)]
        assert max(stack.sum(axis=0).max() for stack in masks) == 1  # no pixel is of two objects


def test_departures_are_seen_and_leave_other_clips_as_they_were(material):
    plain, leaving = (CompositeMaker(material, 64, segments=4, departures=share) for share in (0.0, 1.0))

    def absent(make):
        clips = [make(seed, 8) for seed in range(12)]
        return np.mean([not mask.any() for clip in clips for t in range(8) for mask in clip.masks(t).values()])

    assert absent(leaving) > absent(plain) + 0.1
    np.testing.assert_array_equal(CompositeMaker(material, 64, segments=4)(3, 8).images, plain(3, 8).images)


def test_photographs_are_a_further_source_and_come_back_from_the_file(material, tmp_path):
    flat = np.full((300, 400, 3), (250, 10, 250), np.uint8)  # no video has this colour
    wider = replace(material, pictures=[flat])
    wider.save(tmp_path / "m.npz")
    read = Material.load(tmp_path / "m.npz")
    pieces = [_picture(read, np.random.default_rng(seed)) for seed in range(60)]
    taken = [p for p in pieces if (p == flat[0, 0]).all()]
    assert 10 <= len(taken) <= 35
    assert len({p.shape for p in taken}) > 5


@pytest.mark.slow
def test_segments_may_be_cut_beforehand(material, tmp_path):
    replace(material, segments=cut_segments(material, 20)).save(tmp_path / "m.npz")
    read = Material.load(tmp_path / "m.npz")
    assert read.segments
    before = CompositeMaker(read, 64)
    anew, without = (CompositeMaker(material, 64, segments=tries) for tries in (20, 0))
    differing = 0
    for seed in range(12):
        images = before(seed, 2).images
        np.testing.assert_array_equal(images, anew(seed, 2).images)
        differing += not np.array_equal(images, without(seed, 2).images)
    assert differing  # so they are used


def test_only_photographs_that_are_not_held_out_are_read(tmp_path):
    for name in (
        "backgrounds/mate/nature/Wood.jpg",
        "backgrounds/mate/nature/Garden.jpg",
        "backgrounds/mate/desktop/Drawn.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3000, 1500), (10, 200, 30)).save(tmp_path / name)
    (only,) = read_photographs(tmp_path)
    assert only.shape == (PHOTOGRAPH_SIDE // 2, PHOTOGRAPH_SIDE, 3)


def test_rendered_things_are_drawn_in_other_colours_beside_photographic_ones(material, tmp_path):
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    alpha = ((x**2 + y**2 < 0.9) * 255).astype(np.uint8)
    yellow = np.dstack((np.full((64, 64, 3), (250, 200, 20), np.uint8), alpha))
    replace(material, rendered=[yellow]).save(tmp_path / "m.npz")
    with_them, without = (CompositeMaker(m, 64, segments=4) for m in (Material.load(tmp_path / "m.npz"), material))
    seen, plain = ([m._object(np.random.default_rng(n)) for n in range(120)] for m in (with_them, without))
    discs = [a for a, b in zip(seen, plain, strict=True) if a.shape != b.shape or not np.array_equal(a, b)]
    changed = [tuple(disc[disc.shape[0] // 2, disc.shape[1] // 2, :3]) for disc in discs]
    assert len(set(changed)) > 12  # hardly two alike


def test_variants_of_rendered_things_are_left_out(tmp_path):
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    disc = np.dstack((np.full((64, 64, 3), 90, np.uint8), ((x**2 + y**2 < 0.9) * 255).astype(np.uint8)))
    for name in ("1f346", "1f44b-1f3fb", "1f1e6-1f1fd", "0031-fe0f-20e3", "1f468-200d-1f9b0"):
        Image.fromarray(disc).save(tmp_path / f"{name}.webp", lossless=True)
    assert len(read_rendered(tmp_path)) == 1
