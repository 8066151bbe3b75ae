"""The probable mother of an object: the nearest one that ended where it begins."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.masklets import Project
from napari_sam2s.masklets.lineage import possible_mothers


def square(y, x, size=8):
    mask = np.zeros((60, 120), bool)
    mask[y : y + size, x : x + size] = True
    return mask


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "a.sam2s", np.zeros((20, 60, 120, 3), np.uint8)) as made:
        for name in ("far", "stays", "mother", "daughter", "sister", "later"):
            made.add_object(name)
        places = {1: (range(6), 20, 90), 2: (range(20), 28, 20), 3: (range(6), 20, 20)}
        places |= {4: (range(7, 20), 20, 14), 5: (range(7, 20), 20, 27), 6: (range(15, 20), 20, 20)}
        made.write_masks([(t, i, square(y, x), None) for i, (frames, y, x) in places.items() for t in frames])
        yield made


def test_the_probable_mother_ended_just_before_and_is_near(project):
    for child in (4, 5):
        assert possible_mothers(project, child)[1] == 3
    assert possible_mothers(project, 4)[0] == [3, 2, 5, 1, 6], "the nearest first; who comes later last"
    assert possible_mothers(project, 6) == ([4, 5, 2, 3, 1], None), "she ended long ago, and the others live"
    assert possible_mothers(project, 1)[1] is None
    project.write_masks([(12, 3, square(20, 20), None)])  # she is still there
    assert possible_mothers(project, 4)[1] is None
    assert possible_mothers(project, project.add_object().id) == ([1, 2, 3, 4, 5, 6], None)


def test_objects_that_begin_together_are_no_mothers_of_each_other(tmp_path):
    with Project.create(tmp_path / "a.sam2s", np.zeros((20, 60, 120, 3), np.uint8)) as made:
        for i in (1, 2):
            made.add_object()
            made.write_masks([(0, i, square(20, 20 * i), None)])
        assert possible_mothers(made, 2) == ([1], None), "marked on the first frame, and not tracked yet"
