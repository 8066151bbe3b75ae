"""A small video of three objects for every format: absent, overlapping, never seen."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.masklets import Object


class Three:
    """Object 2 leaves and comes back; objects 2 and 5 overlap; object 7 is never seen."""

    size = (24, 30)
    shape = (7, *size)
    fps = 25.0
    objects = (
        Object(2, "left", "grasper", (1, 2, 3)),
        Object(5, "right", None, (4, 5, 6)),
        Object(7, "gone", "hook", (7, 8, 9)),
    )

    def __init__(self, frames):
        self.frames = frames

    def masks(self, frame):
        """Return the masks of the objects that are looked for."""
        a, b = np.zeros(self.size, bool), np.zeros(self.size, bool)
        if frame not in (2, 3, 4):
            a[4:12, 3 + frame : 11 + frame] = True
        b[10:20, 8:18] = True
        return {2: a, 5: b}


@pytest.fixture
def three():
    """It, annotated on all frames but the last."""
    return Three(range(6))


@pytest.fixture
def sparse():
    """It, annotated on three frames, of which object 2 is absent on the second."""
    return Three((0, 4, 6))
