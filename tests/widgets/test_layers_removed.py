"""Layers that are removed, duplicated or moved while the widget is open: alone, together, and beside another video."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from napari.layers._layer_actions import _duplicate_layer
from qtpy.QtCore import Qt

from napari_sam2s.masklets import Project
from napari_sam2s.video import open_video
from napari_sam2s.widgets.layer_factory import OBJECTS, PROMPTS
from napari_sam2s.widgets.project_location import place_in
from napari_sam2s.widgets.segment_widget import SegmentWidget

pytestmark = pytest.mark.usefixtures("in_shared_engine")

CLOSED = """
import sys
import napari, numpy as np
from qtpy.QtTest import QTest
from napari_sam2s.widgets.segment_widget import SegmentWidget

viewer = napari.Viewer()
viewer.add_image(np.zeros((3, 32, 48), np.uint8), name="stack")
viewer.window.add_dock_widget(SegmentWidget(viewer))
QTest.qWait(200)
viewer.close()
QTest.qWait(500)
print("closed")
"""


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 255, (9, 64, 64), dtype=np.uint8)


def names(viewer):
    return sorted(layer.name for layer in viewer.layers)


def test_of_two_videos_the_picked_one_is_removed(user, stack):
    """The other is taken up, whole: its project named, its layers the only ones, and what is drawn next is drawn."""
    viewer, widget = user.viewer, user.widget
    viewer.add_image(stack, name="stack")
    user.qtbot.wait(300)
    viewer.layers.remove("case")
    user.wait(lambda: widget.session.image is viewer.layers["stack"])
    assert names(viewer) == [OBJECTS, PROMPTS, "stack"]
    assert widget.picker.project.text() == widget.session.project.path.name
    user.wait(lambda: "ready" in widget.status.text())
    assert viewer.layers[OBJECTS].data.shape == stack.shape


def test_the_other_video_is_removed(user, stack):
    viewer, worker = user.viewer, user.widget.session.worker
    viewer.add_image(stack, name="stack")
    viewer.layers.remove("stack")
    user.qtbot.wait(100)
    assert user.widget.session.worker is worker
    assert user.widget.picker.video.choices == (viewer.layers["case"],)


def test_all_layers_are_removed_at_once(user):
    viewer, widget = user.viewer, user.widget
    path = widget.session.project.path
    viewer.layers.selection = set(viewer.layers)
    user.qtbot.wait(50)
    viewer.window._qt_viewer.layerButtons.deleteButton.click()
    user.wait(lambda: widget.session.worker is None)
    assert not viewer.layers
    assert "Drop a video" in widget.status.text()
    with Project.open(path) as project:  # it was let go of
        assert len(project.objects) == 1


def test_a_click_is_where_the_image_lies_by_now(user):
    """Also once the image was scaled, moved or measured in another unit."""
    image, project = user.widget.session.image, user.widget.session.project
    image.scale = (image.scale[0], 2, 2)
    image.translate = (0, 30, 10)
    user.viewer.reset_view()
    user.qtbot.wait(200)
    user.click(100, 200)
    user.settle()
    [prompt] = project.prompts()
    np.testing.assert_allclose(prompt.points[0], (100, 200), atol=2)
    for layer in (user.widget.session.layers.prompts, user.widget.session.layers.objects):
        np.testing.assert_array_equal(layer.scale, image.scale)
        np.testing.assert_array_equal(layer.translate, image.translate)
    # Microscopy: 0.25 by 0.5 micrometers, a frame every 30 s.
    image.translate, image.scale, image.units = (0, 0, 0), (30, 0.5, 0.25), ("second", "micrometer", "micrometer")
    user.viewer.reset_view()
    user.widget.session.go_to(3)
    assert user.widget.session.frame == 3
    user.qtbot.wait(200)
    user.drag((60, 80), (160, 200))
    user.settle()
    [boxed] = [p for p in project.prompts() if p.box is not None]
    assert boxed.frame == 3
    np.testing.assert_allclose(boxed.box, (60, 80, 160, 200), atol=3)
    assert project.mask(3, boxed.object_id)[60:160, 80:200].any()
    for layer in (user.widget.session.layers.prompts, user.widget.session.layers.objects):
        assert (tuple(layer.scale), layer.units) == (tuple(image.scale), image.units)
    user.widget.session.close(leave_masks=True)
    image.scale = (1, 1, 1)  # nobody follows any more
    assert user.viewer.layers[OBJECTS].scale[1] == 0.5


def test_a_duplicate_of_the_masks_is_a_copy_and_stays(user, tmp_path):
    viewer, project = user.viewer, user.widget.session.project
    mask = np.zeros(project.shape[1:], dtype=bool)
    mask[10:50, 20:60] = True
    project.write_masks([(3, 1, mask, None)])
    viewer.layers.selection = {viewer.layers[OBJECTS]}
    _duplicate_layer(viewer.layers)
    copy = viewer.layers[f"{OBJECTS} copy"]
    np.testing.assert_array_equal(copy.data[3], mask)
    project.write_masks([(3, 1, ~mask, None)])
    copy.data[0] = 1  # neither changes the other
    np.testing.assert_array_equal(copy.data[3], mask)
    assert project.mask(0, 1) is None
    path = project.path
    user.widget.picker.use_project(tmp_path / "other.sam2s")
    user.widget.picker.use_project(path)
    assert copy in viewer.layers


def test_what_is_not_in_the_project_is_not_drawn(user):
    """A click that was refused, and the clicks of an object that was removed."""
    widget, project = user.widget, user.widget.session.project
    user.click(100, 100, Qt.MouseButton.RightButton)  # only what the object is not
    user.settle()
    assert not project.prompts()
    assert len(widget.session.layers.prompts.data) == 0
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.settle()
    assert len(widget.session.layers.prompts.data) == 1
    widget.session.remove_object()
    user.settle()
    assert len(widget.session.layers.prompts.data) == 0
    widget.session.undo()  # the object that took its place
    widget.session.undo()
    user.settle()
    assert [p.object_id for p in project.prompts()] == [1]
    assert len(widget.session.layers.prompts.data) == 1


@pytest.mark.parametrize(
    ("name", "safe"), [("run/ch0", "run_ch0"), ("a\\b:c?", "a_b_c_"), ("..", "video"), ("x" * 300, "x" * 60)]
)
def test_a_name_that_no_file_can_have_is_made_safe(stack, tmp_path, name, safe):
    video = open_video(stack)
    video.name = name
    path = place_in(tmp_path, video)
    assert path.parent == tmp_path
    assert path.name.startswith(f"{safe}-")


def test_a_layer_of_any_name_has_a_project(make_napari_viewer, stack, tmp_path):
    viewer, name = make_napari_viewer(), "run/ch0"
    viewer.add_image(stack, name=name)
    widget = SegmentWidget(viewer, project_folder=tmp_path)
    path = widget.session.project.path
    assert path.parent == tmp_path
    widget.session.project.objects.rename(1, "nucleus")
    widget.close()
    viewer.layers[name].name = "of mine"  # a layer that is renamed keeps its work
    again = SegmentWidget(viewer, project_folder=tmp_path)
    assert again.session.project.path == path
    assert again.session.project.objects[0].name == "nucleus"
    again.close()


def test_the_viewer_is_closed_by_a_script(tmp_path):
    """In a process of its own: pytest-qt's would not see what is raised while a viewer goes."""
    environment = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "NAPARI_CONFIG": str(tmp_path / "s.yaml")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", CLOSED],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "closed" in done.stdout
    assert "Error" not in done.stderr, done.stderr[-2000:]


def test_another_project_while_the_objects_are_chosen(user, tmp_path):
    """Napari looks at the masks of the layer that is chosen while others go."""
    user.viewer.layers.selection.active = user.viewer.layers[OBJECTS]
    user.qtbot.wait(50)
    user.widget.picker.use_project(tmp_path / "other.sam2s")
    assert user.widget.session.project.path.name == "other.sam2s"
    assert [layer.name for layer in user.viewer.layers] == ["case", "SAM2S objects", "SAM2S prompts"]
    user.viewer.layers.selection.active = user.viewer.layers[OBJECTS]
    user.qtbot.wait(50)
    user.viewer.layers.remove("case")
    user.wait(lambda: user.widget.session.worker is None)  # let go of once napari is done removing
    assert len(user.viewer.layers) == 0
