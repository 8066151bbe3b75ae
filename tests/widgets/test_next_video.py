"""From one video of a folder to the next, by a button."""

from __future__ import annotations

import numpy as np
import tifffile
from napari.components import ViewerModel

from napari_sam2s.masklets.class_lists import PRESETS
from napari_sam2s.widgets.layer_factory import OBJECTS, PROMPTS
from napari_sam2s.widgets.next_video import next_video
from napari_sam2s.widgets.segment_widget import SegmentWidget
from napari_sam2s.widgets.session import Session
from napari_sam2s.widgets.settings import remember
from napari_sam2s.widgets.tracker_source import Choice
from napari_sam2s.widgets.video_picker import VideoPicker


def test_names_are_sorted_as_people_do(tmp_path):
    for name in ("case-9.mp4", "case-10.MOV", "case-11.txt", ".case-9b.mp4", "case-9.mp4.sam2s", "z.mp4"):
        (tmp_path / name).touch()
    assert next_video(tmp_path / "case-9.mp4").name == "case-10.MOV"
    assert next_video(tmp_path / "case-10.MOV").name == "z.mp4"
    assert next_video(tmp_path / "z.mp4") is None
    for name in ("a.tif", "a_cp_masks.tif", "a_labels.ome.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    assert next_video(tmp_path / "a.tif").name == "b.tif", "a stack after a stack"
    for name in ("frames 1", "frames 2", "frames 3"):
        (tmp_path / name).mkdir()
    (tmp_path / "frames 3" / "0.png").touch()
    assert next_video(tmp_path / "frames 1").name == "frames 3", "the second has no pictures"


def test_the_next_video_takes_the_place_of_this_one(make_napari_viewer, shared_engine, tmp_path):
    files = [tmp_path / f"case-{n}.tif" for n in (1, 2)]
    for file in files:
        tifffile.imwrite(file, np.zeros((3, 32, 32), np.uint8), photometric="minisblack")
    remember("model", address=shared_engine.address)
    viewer = make_napari_viewer()
    viewer.open(str(files[0]), plugin="napari-sam2s")
    viewer.add_labels(np.zeros((3, 32, 32), np.uint8), name="mine")
    widget = SegmentWidget(viewer, project_folder=tmp_path)
    widget.objects_panel.chooser.take("animals")
    widget.picker.next_button.click()
    assert widget.session.video.path.name == "case-2.tif"
    assert {layer.name for layer in viewer.layers} == {"case-2", "mine", OBJECTS, PROMPTS}
    assert viewer.layers.selection.active.name == PROMPTS
    assert widget.objects_panel.table.classes == PRESETS["animals"].classes
    widget.picker.next_button.click()
    assert widget.status.text() == "case-2.tif is the last video of its folder."
    assert widget.session.video.path.name == "case-2.tif"
    widget.close()


def test_a_layer_that_is_no_video_is_refused_with_the_remedy(qtbot, tmp_path):
    session, heard = Session(ViewerModel()), []
    session.message.connect(heard.append)
    picker = VideoPicker(session, lambda: Choice("sam2s-nano"), tmp_path)
    qtbot.addWidget(picker)
    session.viewer.add_image(np.zeros((3, 2, 32, 32), np.uint8), name="volume")
    assert heard[-1].startswith("'volume' has 4 dimensions besides colour")
    assert picker.project.text() == "none"
    picker.let_go()
    session.let_go()
