"""A real napari Labels layer on a project: what is painted is in the file."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.masklets import Project
from napari_sam2s.video import open_video


@pytest.fixture
def case(tmp_path):
    """A project of ten frames of 40 x 60 with two objects, the first a square on every frame."""
    video = open_video(np.zeros((10, 40, 60, 3), dtype=np.uint8))
    with Project.create(tmp_path / "case.sam2s", video) as project:
        project.add_object()
        project.add_object()
        square = np.zeros((40, 60), dtype=bool)
        square[5:15, 5:15] = True
        project.write_masks([(t, 1, square, None) for t in range(10)])
        yield project


def test_paint_erase_fill_undo_and_slide(make_napari_viewer, case):
    viewer = make_napari_viewer()
    layer = viewer.add_labels(case.labels)
    viewer.dims.set_current_step(0, 3)
    layer.selected_label, layer.brush_size = 2, 5
    layer.paint((3, 30, 40), 2)
    assert case.mask(3, 2)[30, 40]
    assert case.masks.origins(3)[2] == "painted"
    layer.undo()  # napari's own
    assert not case.mask(3, 2).any()
    layer.redo()
    assert case.mask(3, 2)[30, 40]
    layer.paint((3, 10, 10), 0)  # erase
    assert not case.mask(3, 1)[10, 10]
    layer.fill((3, 6, 6), 2)
    assert not case.mask(3, 1).any()
    assert case.mask(3, 2)[6, 6]
    viewer.dims.set_current_step(0, 4)
    assert layer._slice.image.raw[10, 10] == 1
    viewer.dims.set_current_step(0, 3)
    assert layer._slice.image.raw[6, 6] == 2
    shown = np.asarray(case.labels[3])
    case.close()
    with Project.open(case.path) as again:
        np.testing.assert_array_equal(again.labels[3], shown)
        other = make_napari_viewer()
        layer = other.add_labels(again.labels)
        other.dims.set_current_step(0, 3)
        np.testing.assert_array_equal(layer._slice.image.raw, shown)
        while again.undo():
            pass
        assert not again.labels[3].any()
