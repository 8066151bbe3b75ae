"""SA-V, Cell Tracking Challenge and OME-Zarr: there and back, and what their own tools see."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from napari_sam2s.errors import FormatError, ProjectError
from napari_sam2s.formats import (
    FORMATS,
    read_coco,
    read_ctc,
    read_davis,
    read_ome_zarr,
    read_sav,
    write_ctc,
    write_davis,
    write_ome_zarr,
    write_sav,
)
from napari_sam2s.formats.coco_rle import decode_rle, encode_rle
from napari_sam2s.formats.tiff_stack import write_tiff_stack
from napari_sam2s.masklets import Object, Project
from napari_sam2s.masklets import rle as packing

SIZE = (24, 30)


def same(masklets, source, *, flat):
    for frame in source.frames:
        ours, theirs = masklets.masks(frame), source.masks(frame)
        for i, mask in theirs.items():
            expected = mask & ~theirs[5] if flat and i == 2 else mask  # the higher id covers
            np.testing.assert_array_equal(ours.get(i, np.zeros(SIZE, bool)), expected)


@settings(max_examples=150, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 70)), elements=st.booleans(), fill=st.booleans()))
def test_run_lengths_are_those_of_pycocotools(mask):
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = encode_rle(packing.encode(mask), mask.shape)
    assert ours["counts"] == encoded["counts"].decode()
    np.testing.assert_array_equal(decode_rle(ours), mask)
    np.testing.assert_array_equal(decode_rle({"size": list(encoded["size"]), "counts": encoded["counts"].decode()}), mask)


def test_long_runs():
    mask = np.zeros((1080, 1920), bool)
    mask[300:800, 2:1900] = True
    mask[5, 5] = True
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = encode_rle(packing.encode(mask), mask.shape)
    assert ours["counts"] == encoded["counts"].decode()
    np.testing.assert_array_equal(decode_rle(ours), mask)


@pytest.mark.parametrize(
    ("rle", "words"),
    [
        ({"size": [2, 2], "counts": [1, 2]}, "do not fill"),
        ({"size": [2, 2], "counts": [5, -1]}, "do not fill"),
        ({"size": [2, 2], "counts": "abc"}, "ends in the middle"),
        ({"counts": [4]}, "run-length format"),
    ],
)
def test_wrong_run_lengths(rle, words):
    with pytest.raises(FormatError, match=words):
        decode_rle(rle)


def test_a_mask_of_another_size_is_refused_before_it_is_made(tmp_path, three):
    """Else a few bytes would ask for ten gigabytes."""
    path = write_sav(three, tmp_path, "case")
    facts = json.loads(path.read_text())
    facts["masklet"][0][0] = {"size": [100_000, 100_000], "counts": [0, 10**10]}
    path.write_text(json.dumps(facts))
    with pytest.raises(FormatError, match=r"has \(100000, 100000\) pixels .*its frames are of \(\d+, \d+\)"):
        read_sav(path)["case"].masks(0)


def test_sav_there_and_back(tmp_path, three):
    path = write_sav(three, tmp_path, "case")
    back = read_sav(tmp_path)["case"]
    assert back.frames == list(range(6))
    assert [(o.id, o.name, o.class_name) for o in back.objects] == [
        (2, "left", "grasper"),
        (5, "right", None),
        (7, "gone", "hook"),
    ]
    assert (back.shape, back.fps) == (three.shape, 25.0)
    same(back, three, flat=False)
    facts = json.loads(path.read_text())
    assert facts["masklet_visibility_changes"] == [2, 0, 0]
    assert facts["masklet_size_abs"] == [64.0, 100.0, 0.0]
    assert facts["masklet_first_appeared_frame"] == [0.0, 0.0, None]
    # An object that is absent is empty run lengths, as in the dataset, and pycocotools reads it.
    assert not coco.decode(facts["masklet"][2][0]).any()
    np.testing.assert_array_equal(coco.decode(facts["masklet"][0][1]).astype(bool), three.masks(0)[5])


def test_sav_of_sparse_frames(tmp_path, sparse):
    facts = json.loads(write_sav(sparse, tmp_path, "case").read_text())
    assert facts["ann_every"] == 2
    assert [row[0] is not None for row in facts["masklet"]] == [True, False, True, True]
    back = read_sav(tmp_path / "case_manual.json")["case"]
    assert back.frames == [0, 4, 6]
    same(back, sparse, flat=False)
    with pytest.raises(FormatError, match="Frame 2"):
        back.masks(2)


def test_sav_as_the_dataset_has_it(tmp_path):
    """Ids from 0, every fourth frame, none of our keys."""
    empty = {"size": [4, 6], "counts": coco.encode(np.asfortranarray(np.zeros((4, 6), np.uint8)))["counts"].decode()}
    facts = {"video_id": "sav_000001", "video_frame_count": 9.0, "video_height": 4.0, "video_width": 6.0}
    facts |= {"masklet": [[empty, empty]] * 3, "masklet_id": [0, 1], "video_environment": "Indoor"}
    (tmp_path / "sav_000001_manual.json").write_text(json.dumps(facts))
    video = read_sav(tmp_path)["sav_000001"]
    assert video.frames == [0, 4, 8]
    assert [o.id for o in video.objects] == [1, 2]
    assert not video.masks(4)[1].any()


def test_ctc_there_and_back(tmp_path, three):
    three.frames = range(7)
    with pytest.warns(UserWarning, match="pixels went to the object further down the object table"):
        folder = write_ctc(three, tmp_path, "01")
    assert sorted(p.name for p in folder.iterdir())[:2] == ["mask000.tif", "mask001.tif"]
    lines = [tuple(map(int, line.split())) for line in (folder / "res_track.txt").read_text().splitlines()]
    assert lines == [(1, 0, 1, 0), (2, 0, 6, 0), (3, 5, 6, 1)]
    for label, begin, end, _ in lines:  # what the challenge demands of a track: no gaps, and nowhere else
        shown = [t for t in range(7) if (tifffile.imread(folder / f"mask{t:03d}.tif") == label).any()]
        assert shown == list(range(begin, end + 1))
    assert tifffile.imread(folder / "mask000.tif").dtype == np.uint16
    back = read_ctc(folder)["01"]
    assert [(o.id, o.name, o.class_name) for o in back.objects] == [(2, "left", "grasper"), (5, "right", None)]
    same(back, three, flat=True)
    (folder / "objects.csv").unlink()  # as others write it
    assert [o.id for o in read_ctc(folder)["01"].objects] == [1, 2]  # the third track is the first object again


def test_ctc_needs_every_frame(tmp_path, sparse):
    with pytest.raises(FormatError, match="frame 1 of case is not known"):
        write_ctc(sparse, tmp_path, "case")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ngff", ["0.5", "0.4"])
def test_ome_zarr_there_and_back(tmp_path, three, sparse, ngff):
    with pytest.warns(UserWarning, match="pixels went to the object further down the object table"):
        path = write_ome_zarr(sparse, tmp_path, "case", ngff=ngff)
    back = read_ome_zarr(path)["case"]
    assert back.frames == [0, 4, 6]
    assert back.shape == three.shape
    assert back.objects == three.objects
    same(back, sparse, flat=True)
    with pytest.raises(FormatError, match="Frame 1"):
        back.masks(1)
    group = zarr.open_group(path, mode="r", zarr_format=3 if ngff == "0.5" else 2)
    listed, facts = (g.attrs["ome"] if ngff == "0.5" else g.attrs for g in (group["labels"], group["labels/masklets"]))
    assert listed["labels"] == ["masklets"]
    image = group["labels/masklets"]
    [scales] = facts["multiscales"]
    assert {"0.5": facts, "0.4": scales}[ngff]["version"] == ngff
    assert image["0"].metadata.dimension_names == ("t", "y", "x") if ngff == "0.5" else True
    assert [a["name"] for a in scales["axes"]] == ["t", "y", "x"]
    assert scales["datasets"][0]["coordinateTransformations"][0]["scale"] == [0.04, 1, 1]
    assert image["0"].chunks == (1, *SIZE)
    assert {c["label-value"] for c in facts["image-label"]["colors"]} == {2, 5, 7}
    array = path / "labels" / "masklets" / "0"
    chunks = [p.name for p in (array / "c" if ngff == "0.5" else array).iterdir() if p.name[0].isdigit()]
    assert len(chunks) == 3  # frames without labels take no room
    with pytest.raises(FormatError, match="exists already"):
        write_ome_zarr(sparse, tmp_path, "case")


@pytest.mark.parametrize(("write", "beyond"), [(write_tiff_stack, 2**16), (write_ome_zarr, 2**31), (write_davis, 255)])
@pytest.mark.parametrize("listed", [True, False])
def test_ids_that_a_format_does_not_hold_are_refused(tmp_path, write, beyond, listed):
    """Be they in the list of objects, or on a frame alone."""

    class Far:
        shape, frames = (2, 4, 5), [0, 1]
        objects = (Object(beyond, "far"),) if listed else ()

        def masks(self, frame):
            return {beyond: np.eye(4, 5, dtype=bool)} if frame else {}

    with pytest.raises(FormatError, match=str(beyond)):
        write(Far(), tmp_path / "out", "case")
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_ome_zarr_of_others(tmp_path):
    """Version 0.5: zarr 3, everything under "ome", no colours, no frames of ours."""
    labels = zarr.open_group(tmp_path / "x.zarr", mode="w", zarr_format=3).create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    image = labels.create_group("cells")
    image.attrs["ome"] = {"multiscales": [{"datasets": [{"path": "s0"}]}], "image-label": {}}
    data = np.zeros((3, *SIZE), np.uint16)
    data[1, 3:6, 3:6] = 300
    image.create_array("s0", shape=data.shape, dtype=data.dtype)[...] = data
    back = read_ome_zarr(tmp_path / "x.zarr")["x"]
    assert [o.id for o in back.objects] == [300]
    assert back.masks(1)[300].sum() == 9
    assert back.masks(0) == {}


def test_a_project_in_every_format(tmp_path, three):
    with Project.create(tmp_path / "case.sam2s", np.zeros((6, *SIZE, 3), np.uint8)) as project:
        for name in ("left", "right"):
            project.add_object(name)
        project.write_masks([(t, i, m, None) for t in range(6) for i, m in zip((1, 2), three.masks(t).values(), strict=True)])
        for name in (known.name for known in FORMATS.values() if not known.needs_video):
            if name == "yolo-seg":
                with pytest.warns(UserWarning, match="YOLO loses names"):
                    made = project.export(tmp_path / name, name)
            elif name in ("coco", "csv", "objects", "sav", "youtube-vis", "cvat", "geff", "trackmate"):  # which hold overlaps
                made = project.export(tmp_path / name, name)
            else:
                with pytest.warns(UserWarning, match="overlap"):
                    made = project.export(tmp_path / name, name)
            assert made.exists()
        with pytest.raises(
            ProjectError,
            match=r"'jpeg' is not a format that can be written\. Formats: 'davis', 'coco', 'csv', 'objects', 'sav'",
        ):
            project.export(tmp_path, "jpeg")
    read = {
        "davis": read_davis(tmp_path / "davis"),
        "sav": read_sav(tmp_path / "sav"),
        "ctc": read_ctc(next((tmp_path / "ctc").iterdir())),
        "ome-zarr": read_ome_zarr(next((tmp_path / "ome-zarr").iterdir())),
    }
    read["coco"] = read_coco(tmp_path / "coco")
    for videos in read.values():
        assert list(videos) == ["case"]
        assert videos["case"].masks(5)[2].sum() == 100


@pytest.mark.parametrize(
    ("reader", "spoil", "words"),
    [
        (read_sav, lambda p: None, "no file|holds no"),
        (read_sav, lambda p: p.write_text("{}"), "not a JSON file of SA-V"),
        (read_ctc, lambda p: p.mkdir(), "holds no mask000"),
        (read_ctc, lambda p: (p.mkdir(), (p / "mask000.tif").write_bytes(b"x")), "no res_track.txt"),
        (
            read_ctc,
            lambda p: (p.mkdir(), (p / "mask000.tif").write_bytes(b"x"), (p / "res_track.txt").write_text("1 0 0 0")),
            "cannot be read as TIFF",
        ),
        (
            read_ctc,
            lambda p: (p.mkdir(), (p / "mask000.tif").write_bytes(b"x"), (p / "res_track.txt").write_text("one")),
            "not a list of tracks",
        ),
        (read_ome_zarr, lambda p: p.mkdir(), "no labels of OME-Zarr"),
    ],
)
def test_wrong_files(tmp_path, reader, spoil, words):
    spoil(tmp_path / "x")
    with pytest.raises(FormatError, match=words):
        reader(tmp_path / "x")
