"""The picture stays whole when docks come, and stays as the user put it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.widgets.segment_widget import SegmentWidget

pytestmark = pytest.mark.usefixtures("in_shared_engine")


def corners_shown(viewer, image):
    """Return whether the first and the last pixel are on the canvas."""
    canvas = viewer.window._qt_viewer.canvas
    width, height = canvas.native.width(), canvas.native.height()
    shown = []
    for y, x in ((0, 0), (269, 479)):
        world = image.data_to_world((0, y, x))
        at = canvas.view.camera.transform.map([world[2], world[1], 0, 1])
        shown.append(0 <= at[0] <= width and 0 <= at[1] <= height)
    return all(shown)


def test_the_whole_picture_is_seen_beside_the_docks(make_napari_viewer, case_file, tmp_path, qtbot):
    viewer = make_napari_viewer(show=True)
    [image] = viewer.open(str(case_file), plugin="napari-sam2s")
    qtbot.wait(100)
    viewer.scene.camera.zoom *= 0.5  # as of a canvas that was narrower when the video was opened
    widget = SegmentWidget(viewer, project_folder=tmp_path)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: corners_shown(viewer, image))
    heights = [0]  # until the docks are laid out
    qtbot.waitUntil(lambda: heights.append(widget.timeline.height()) or (len(heights) > 30 and len(set(heights[-30:])) == 1))
    height = heights[-1]
    for _ in range(7):  # more rows than find room at the least pitch make it higher
        widget.session.new_object()
    qtbot.wait(300)
    assert widget.timeline.height() == height  # or the picture would move under the mouse
    assert len(widget.timeline.rows) == 8
    assert corners_shown(viewer, image)
    zoom = viewer.scene.camera.zoom
    viewer.reset_view()
    assert viewer.scene.camera.zoom == pytest.approx(zoom), "no smaller than it may be"
    widget.close()


def test_a_picture_that_was_zoomed_stays(make_napari_viewer, case_file, tmp_path, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.open(str(case_file), plugin="napari-sam2s")
    viewer.scene.camera.zoom, viewer.scene.camera.center = 7.0, (0, 50.0, 60.0)
    widget = SegmentWidget(viewer, project_folder=tmp_path)
    viewer.window.add_dock_widget(widget)
    qtbot.wait(500)
    assert viewer.scene.camera.zoom == pytest.approx(7.0)
    np.testing.assert_allclose(viewer.scene.camera.center[1:], (50.0, 60.0))
    widget.close()
