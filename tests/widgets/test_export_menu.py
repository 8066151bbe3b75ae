"""Export from the widget, and napari's own saving of Labels layers."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from napari.layers import Image, Labels
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_sam2s.formats import FORMATS, read_coco, read_davis
from napari_sam2s.formats.track_graph import graph_of
from napari_sam2s.masklets import Object, Project, Scores
from napari_sam2s.widgets import napari_writers
from napari_sam2s.widgets.export_menu import LAYER, pixel_size_of
from napari_sam2s.widgets.layer_factory import OBJECTS
from napari_sam2s.widgets.segment_widget import SegmentWidget
from napari_sam2s.widgets.tracks_layer import TRACKS, make_tracks_layer

pytestmark = pytest.mark.usefixtures("in_shared_engine")


@pytest.fixture
def widget(make_napari_viewer, case_file, tmp_path):
    viewer = make_napari_viewer(show=True)
    viewer.open(str(case_file), plugin="napari-sam2s")
    made = SegmentWidget(viewer, project_folder=tmp_path)
    viewer.window.add_dock_widget(made)
    yield made
    made.close()


@pytest.fixture
def filled(widget):
    project = widget.session.project
    project.objects.rename(1, "left")
    project.add_object("right", class_name="hook")
    for i in (1, 2):
        mask = np.zeros((270, 480), bool)
        mask[20:60, 40 + 20 * i : 100 + 20 * i] = True  # they overlap
        project.write_masks([(t, i, mask, Scores(0.9, 6.0)) for t in range(24)])
    return widget


def test_every_format_is_in_the_menu(widget):
    shown = [(a.text(), a.toolTip()) for a in widget.exporter.menu.actions() if a.text()]
    assert shown[:-1] == [(f"{known.title} ...", known.tip) for known in FORMATS.values()]
    assert shown[-1][0] == LAYER
    assert widget.export_button.menu() is widget.exporter.menu
    widget.exporter.ask("davis")
    assert "no masks to export" in widget.status.text()


def test_formats_are_written_from_the_menu_under_the_name_that_is_proposed(filled, tmp_path, monkeypatch, qtbot):
    out, asked = tmp_path / "out", []

    def proposed(parent, title, name, kinds):
        asked.append((Path(name), kinds))
        return str(out / Path(name).name), ""

    out.mkdir()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", proposed)
    for action in filled.exporter.menu.actions():
        if not action.text() or action.text() == LAYER:
            continue
        action.trigger()
        filled.exporter.wait()
        qtbot.waitUntil(lambda: "Exported to" in filled.status.text())
        if action.text().startswith("DAVIS"):
            assert "pixels went to the object further down the object table" in filled.status.text()
        filled.session.tell("")
    assert asked[0] == (tmp_path / "case-davis", "Folders (*)"), "beside the video, and by its name"
    assert all(name.parent == out for name, _ in asked[1:]), "where the one before was put"
    made = {p.name for p in out.iterdir()}
    names = [f"case{known.usual_file or f'-{known.name}{known.file_ending}'}" for known in FORMATS.values()]
    assert set(names) <= made
    assert {name for name in names if (out / name).is_dir()} == {
        f"case-{name}" for name in ("davis", "ctc", "ome-zarr", "mots", "yolo-seg", "geff")
    }
    filled.exporter.ask("ctc")
    filled.exporter.wait()
    assert asked[-1][0] == out / "case-ctc-2", "of a folder that exists Qt's dialog shows the inside, and saves nothing"
    assert read_coco(out)["case"].masks(3)[2].sum() == 2400
    for known in (known for known in FORMATS.values() if known.usual_file):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # they overlap
            made = filled.session.project.export(tmp_path / "folder", known.name)
        assert made.name == f"case{known.usual_file}", "as in a folder that is named"


def test_a_name_without_an_ending_gets_one_and_then_nothing_is_overwritten_unasked(filled, tmp_path, monkeypatch, qtbot):
    asked = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *given: (str(tmp_path / "new" / "areas"), ""))
    monkeypatch.setattr(QMessageBox, "question", lambda *given: (asked.append(given[2]), QMessageBox.StandardButton.No)[1])
    for told in ("Exported to", "Nothing was exported"):
        filled.exporter.ask("csv")
        filled.exporter.wait()
        qtbot.waitUntil(lambda told=told: told in filled.status.text())
    table = tmp_path / "new" / "areas.csv"
    assert table.is_file()
    assert asked == [f"{table} exists already.\nReplace it?"]


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_an_earlier_export_is_asked_about(filled, tmp_path, monkeypatch, qtbot, answer):
    made, asked = tmp_path / "case_coco.json", []
    made.write_text("mine")
    buttons = QMessageBox.StandardButton
    monkeypatch.setattr(QMessageBox, "question", lambda *given: (asked.append(given[2]), getattr(buttons, answer))[1])
    filled.exporter.write("coco", tmp_path)
    qtbot.waitUntil(lambda: ("Exported to" if answer == "Yes" else "Earlier files are unchanged") in filled.status.text())
    assert asked == [f"{made} exists already.\nReplace it?"]
    assert (made.read_text() == "mine") is (answer == "No")


def test_tracks_as_a_layer(filled, qtbot):
    filled.session.project.objects.set_parent(2, 1)
    viewer, action = filled.viewer, next(a for a in filled.exporter.menu.actions() if a.text() == LAYER)
    active = viewer.layers.selection.active
    action.trigger()
    qtbot.waitUntil(lambda: "2 tracks" in filled.status.text())
    assert "are left out" in filled.status.text()  # the child is there from the first frame on
    layer = viewer.layers[TRACKS]
    assert layer.data.shape == (48, 4)
    np.testing.assert_allclose(layer.data[0], [1, 0, 39.5, 89.5])
    assert layer.features["name"].iloc[-1] == "right"
    np.testing.assert_allclose(layer.scale, filled.session.image.scale)
    assert viewer.layers.selection.active is active
    filled.session.project.objects.set_parent(2, None)
    filled.session.tell("")
    action.trigger()
    qtbot.waitUntil(lambda: "2 tracks" in filled.status.text())
    assert [one.name for one in viewer.layers if one.name.startswith(TRACKS)] == [TRACKS]


def test_each_track_has_its_objects_colour():
    objects = [Object(i, f"cell {i}", colour=(3 * i, 255 - i, 40)) for i in (1, 2, 5, 9, 70)]
    graph = graph_of(objects, np.array([(o.id, t, 5.0 + t, 5.0, 9) for o in objects for t in range(3)]))
    layer = make_tracks_layer(Image(np.zeros((3, 20, 20), np.uint8)), graph)
    expected = [(*o.colour, 255) for o in objects for _ in range(3)]
    np.testing.assert_allclose(layer.track_colors * 255, expected, atol=0.51)


def test_the_name_that_is_suggested_has_one_ending(filled, tmp_path, monkeypatch):
    suggested = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *given: (suggested.append(given[2]), ("", ""))[1])
    filled.exporter.ask("overlay")
    assert suggested == [str(tmp_path / "case-overlay.mp4")]


def test_what_cannot_be_written_is_told(filled, tmp_path, qtbot):
    filled.exporter.write("overlay", tmp_path / "nowhere" / "o.mp4")
    filled.exporter.wait()
    qtbot.waitUntil(lambda: "Nothing was exported: There is no folder" in filled.status.text())


def test_whatever_goes_wrong_in_an_export_is_said(filled, tmp_path, monkeypatch, qtbot):
    def broken(*_, **__):
        raise ValueError("no such codec")

    monkeypatch.setattr(Project, "export", broken)
    filled.exporter.write("overlay", tmp_path / "o.mp4")
    filled.exporter.wait()
    qtbot.waitUntil(lambda: "no such codec" in filled.status.text())
    assert "Nothing was exported" in filled.status.text()


def test_naparis_list_of_writers_is_that_of_the_registry():
    manifest = yaml.safe_load((Path(__file__).parents[2] / "napari.yaml").read_text(encoding="utf-8"))["contributions"]
    commands = {command["id"]: command["python_name"] for command in manifest["commands"]}
    listed = {commands[w["command"]]: (w["display_name"], w["filename_extensions"]) for w in manifest["writers"]}
    saved = [known for known in FORMATS.values() if known.layer_ending]
    assert listed == {f"{napari_writers.__name__}:save_{f.name}": (f.title, [f.layer_ending]) for f in saved}
    for known in FORMATS.values():
        assert hasattr(napari_writers, f"save_{known.name}") == (known in saved)


def test_napari_saves_our_layer_with_all_that_the_project_knows(filled, tmp_path):
    layer = filled.viewer.layers[OBJECTS]
    layer.save(str(tmp_path / "masks.json"), plugin="napari-sam2s")
    [back] = read_coco(tmp_path / "masks.json").values()
    assert [(o.name, o.class_name) for o in back.objects] == [("left", None), ("right", "hook")]
    assert (back.masks(0)[1] & back.masks(0)[2]).any()  # the overlap, which the layer does not have
    assert json.loads((tmp_path / "masks.json").read_text())["annotations"][0]["score"] == pytest.approx(0.9)
    layer.save(str(tmp_path / "table.csv"), plugin="napari-sam2s")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    assert {r["area_px"] for r in rows} == {"2400"}


def test_napari_saves_any_labels(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    data = np.zeros((3, 20, 30), np.int32)
    data[1:, 5:10, 5:15] = 7
    layer = viewer.add_labels(data, name="cells", scale=(1, 0.5, 0.5), units=("s", "um", "um"))
    viewer.layers.save(str(tmp_path / "x.davis"), plugin="napari-sam2s")
    back = read_davis(tmp_path / "x.davis")["cells"]
    assert back.frames == [0, 1, 2]
    assert back.masks(1)[7].sum() == 50
    layer.save(str(tmp_path / "x.csv"), plugin="napari-sam2s")
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["frame"], r["area_px"], r["area"], r["unit"]) for r in rows] == [
        ("1", "50", "12.5", "micrometer"),
        ("2", "50", "12.5", "micrometer"),
    ]
    flat = Labels(data[1], name="one")
    flat.save(str(tmp_path / "one.json"), plugin="napari-sam2s")
    assert read_coco(tmp_path / "one.json")["one"].masks(0)[7].sum() == 50


@pytest.mark.parametrize("name", ["x.tif", "x.TIFF", "x.tiff"])
def test_labels_that_are_saved_as_a_tiff_are_a_tiff_whatever_format_was_proposed(tmp_path, name):
    data = np.zeros((3, 20, 30), np.int32)
    data[1:, 5:10, 5:15] = 7
    napari_writers.save_davis(str(tmp_path / name), data, {"name": "cells"})
    np.testing.assert_array_equal(tifffile.imread(tmp_path / name), data)


def test_a_pixel_that_is_just_a_pixel_has_no_size():
    assert pixel_size_of((0.04, 1.0, 1.0), ("second", "pixel", "pixel")) == (None, "")
    assert pixel_size_of((1.0, 0.5, 0.5), ("second", "micrometer", "micrometer")) == ((0.5, 0.5), "micrometer")
    assert pixel_size_of((2.0, 2.0), None) == ((2.0, 2.0), "")
