"""Instruments: only the pixels along a capsule are worked on, and none of them is missed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.synthetic.instruments import CLASSES, Pose, _band, draw


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((-400.3, 20.2), (60.1, 41.7)),
        ((-300.0, 30.0), (50.0, 30.0)),  # level
        ((40.5, 500.0), (40.5, -20.0)),  # upright
        ((20.0, 20.0), (20.0, 20.0)),  # a dot
        ((70.0, 10.0), (30.0, 55.0)),
        ((-90.0, -90.0), (-50.0, -20.0)),  # outside
    ],
)
def test_a_band_has_every_pixel_near_the_segment_once(a, b):
    y, x = np.mgrid[:60, :80]
    a_, b_ = np.array(a), np.array(b)
    places = np.stack((x, y), axis=2) - a_
    along = np.clip(places @ (b_ - a_) / max(((b_ - a_) ** 2).sum(), 1e-9), 0, 1)
    near = np.linalg.norm(places - along[..., None] * (b_ - a_), axis=2) < 6
    index, columns, rows = _band(a, b, 6.0, (60, 80))
    assert len(np.unique(index)) == len(index)
    np.testing.assert_array_equal(rows * 80 + columns, index)
    assert set(np.flatnonzero(near)) <= set(index)


@pytest.mark.parametrize("name", CLASSES)
def test_drawing_changes_what_it_covers_and_its_rim_only(name):
    image = np.full((3, 90, 120), 0.5, np.float32)
    mask = draw(image, name, Pose((60.0, 40.0), 0.6, 0.3, 4.0))
    changed = (image != 0.5).any(axis=0)
    assert mask.sum() > 300
    assert changed[mask].mean() > 0.99
    assert (changed & ~mask).sum() < 0.5 * mask.sum()
    assert image.min() >= 0
