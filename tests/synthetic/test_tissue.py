"""Tissue: noise as scipy would magnify it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import zoom

from napari_sam2s.synthetic.tissue import octaves


@pytest.mark.parametrize(("side", "first", "count"), [(512, 3, 6), (320, 12, 4), (333, 3, 5), (20, 12, 3)])
def test_octaves_are_fields_magnified_linearly(side, first, count):
    rng = np.random.default_rng(4)
    expected = np.zeros((side, side), np.float32)
    for k in range(count):
        cells = min(first * 2**k, side)
        expected += 0.55**k * zoom(rng.random((cells + 3, cells + 3), dtype=np.float32), side / cells, order=1)[:side, :side]
    expected = (expected - expected.min()) / (expected - expected.min()).max()
    found = octaves(np.random.default_rng(4), side, first, count)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-7)
    assert (found.min(), found.max()) == (0, 1)
