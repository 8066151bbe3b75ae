"""Patches laid over a picture: as sampling every pixel of it would, also across its border."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from napari_sam2s.synthetic.patches import Patch, paste


@pytest.mark.parametrize("centre", [(30.3, 41.6), (2.0, 3.5), (58.7, 70.1), (-40.0, 20.0)])
@pytest.mark.parametrize(("angle", "scale"), [(0.0, 1.0), (0.7, 1.3), (-2.4, 0.6)])
def test_a_patch_is_sampled_where_it_is_seen_and_nothing_else_changes(centre, angle, scale):
    rng = np.random.default_rng(2)
    picture = rng.uniform(0, 1, (21, 27, 4)).astype(np.float32)
    picture[:4, :, 3] = picture[-6:, :, 3] = picture[:, :5, 3] = picture[:, -3:, 3] = 0
    image = rng.uniform(0, 255, (3, 60, 72)).astype(np.float32)
    owner = np.full((60, 72), 9, np.uint8)
    y, x = np.mgrid[:60, :72]
    dy, dx = (y - centre[0]) / scale, (x - centre[1]) / scale
    c, s = np.cos(angle), np.sin(angle)
    places = c * dy - s * dx + 10, s * dy + c * dx + 13
    *colour, alpha = (map_coordinates(picture[..., k], places, output=np.float64, order=1) for k in range(4))
    expected = image + alpha * (np.stack(colour) - image)
    paste(image, owner, 4, Patch(picture), centre, angle, scale)
    np.testing.assert_allclose(image, expected, atol=2e-3)
    clear = np.abs(alpha - 0.5) > 1e-4
    np.testing.assert_array_equal(owner[clear], np.where(alpha >= 0.5, 4, 9)[clear])


def test_a_patch_that_is_clear_all_over_changes_nothing():
    image, owner = np.ones((3, 20, 20), np.float32), np.zeros((20, 20), np.uint8)
    paste(image, owner, 1, Patch(np.zeros((8, 8, 4), np.float32)), (10.0, 10.0), 0.3, 1.0)
    assert (image == 1).all()
    assert not owner.any()
