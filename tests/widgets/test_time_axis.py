"""The frame on show is the one napari says, however the image lies in the world."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_sam2s.widgets.time_axis import TimeAxis


def asked(image, point):
    return min(max(round(float(image.world_to_data(point)[0])), 0), len(image.data) - 1)


@pytest.mark.parametrize("dimensions", [3, 4])
def test_it_agrees_with_napari_also_after_moves(dimensions):
    image = Image(np.zeros((40, 8, 9)), scale=(0.04, 1, 2), translate=(3, -5, 0))
    axis = TimeAxis(image)
    points = np.random.default_rng(0).uniform(-1, 8, (50, dimensions))
    frames = [axis.frame(point) for point in points]
    assert frames == [asked(image, point) for point in points]
    assert len(set(frames)) > 5
    for change, value in (
        ("scale", (0.2, 1, 1)),
        ("translate", (1, 0, 0)),
        ("rotate", (0, 30, 0)),
        ("affine", np.eye(4) * 1.5),
    ):
        setattr(image, change, value)
        assert [axis.frame(point) for point in points] == [asked(image, point) for point in points], change
    axis.close()


def test_it_asks_once(monkeypatch):
    image = Image(np.zeros((40, 8, 9)), scale=(0.04, 1, 1))
    axis = TimeAxis(image)
    assert axis.frame((0.4, 0, 0)) == 10
    monkeypatch.setattr(image, "world_to_data", None)
    assert axis.frame((0.8, 3, 4)) == 20
