"""Cells in motion: seeded, exact; divisions end an object and begin two."""

from __future__ import annotations

import numpy as np

from napari_sam2s.synthetic.microscopy import Microscopy


def test_the_same_seed_gives_the_same_pixels_in_any_order():
    a, b = Microscopy(3, 20, (96, 96)), Microscopy(3, 20, (96, 96))
    late = a[15]
    for t in range(20):
        np.testing.assert_array_equal(a[t], b[t])
    np.testing.assert_array_equal(b[15], late)


def test_a_division_ends_the_mother_and_begins_two():
    clip = Microscopy(5, 60, (128, 128), divisions=1.0)
    mother, *daughters = clip.followed[:3]
    seen = {i: clip.visible(i) for i in (1, 2, 3)}
    divided = mother.ends
    assert seen[1][divided - 1]
    assert not seen[1][divided:].any()
    for n in (2, 3):
        assert not seen[n][:divided].any()
        assert seen[n][divided]
    assert [d.born for d in daughters] == [divided, divided]


def test_masks_do_not_overlap_and_are_bright():
    clip = Microscopy(1, 30, (128, 128), divisions=0.5)
    for t in (0, 29):
        masks = clip.masks(t)
        assert np.sum(list(masks.values()), axis=0).max() <= 1
        everything = np.any(list(masks.values()), axis=0)
        assert clip[t][everything].mean() > 2 * np.median(clip[t])
