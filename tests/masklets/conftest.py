"""A project of a small video."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.masklets import Project
from napari_sam2s.video import open_video


@pytest.fixture
def video():
    """Thirty frames of noise, 24 x 32."""
    return open_video(np.random.default_rng(0).integers(0, 255, (30, 24, 32, 3), dtype=np.uint8))


@pytest.fixture
def project(tmp_path, video):
    """A project with two objects and masks on every frame, squares that move."""
    with Project.create(tmp_path / "case.sam2s", video) as made:
        for n in range(2):
            made.add_object(f"thing {n + 1}")
        run = made.runs.start(model="none")
        made.write_masks([(t, i, square(t, i), None) for t in range(30) for i in (1, 2)], run=run)
        made.runs.finish(run)
        yield made


def square(t, i):
    """Return the mask of object ``i`` on frame ``t``."""
    mask = np.zeros((24, 32), dtype=bool)
    mask[2 + 10 * (i - 1) : 9 + 10 * (i - 1), t % 20 : t % 20 + 8] = True
    return mask
