"""Files as other programs write them, and odd ones: the right values, or one sentence."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_sam2s.errors import FormatError, ProjectError
from napari_sam2s.formats.coco import read_coco
from napari_sam2s.formats.coco_rle import encode_rle
from napari_sam2s.formats.ctc import read_ctc
from napari_sam2s.formats.import_project import import_project
from napari_sam2s.formats.mask_entries import seconds_of, seconds_of_frames
from napari_sam2s.formats.ome_zarr import read_ome_zarr
from napari_sam2s.formats.track_graph import graph_of
from napari_sam2s.formats.yolo_seg import outline_of
from napari_sam2s.formats.youtube_vis import read_youtube_vis
from napari_sam2s.masklets import Project, rle
from napari_sam2s.masklets.label_masks import LabelMasks
from napari_sam2s.masklets.types import Object

LABELS = np.zeros((3, 12, 16), np.uint16)
for t in range(3):
    LABELS[t, 2:6, 1 + t : 5 + t], LABELS[t, 7:11, 8:14] = 3, 7


def runs(label=3, t=0):
    return encode_rle(rle.encode(LABELS[t] == label), LABELS.shape[1:])


def coco(path, images, annotations):
    for image in images:
        image.setdefault("height", 12), image.setdefault("width", 16)
    facts = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cell"}]}
    path.write_text(json.dumps(facts))
    return path


def annotation(image, track, **more):
    return {"image_id": image, "category_id": 1, "segmentation": runs(), "track_id": track} | more


@pytest.mark.parametrize(
    ("axes", "shape", "fits"),
    [("TYX", (3, 12, 16), True), ("ZYX", (3, 12, 16), True), ("CYX", (3, 12, 16), False), ("YXT", (12, 16, 3), False)],
)
def test_the_axes_that_a_tiff_names(tmp_path, axes, shape, fits):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.resize(LABELS, shape), photometric="minisblack", metadata={"axes": axes})
    if not fits:
        with pytest.raises(FormatError, match=f"has the axes {axes}"):
            import_project(path, "tiff", tmp_path / "a.sam2s")
        assert not (tmp_path / "a.sam2s").exists()
        return
    with Project.open(import_project(path, "tiff", tmp_path / "a.sam2s")) as project:
        assert [o.name for o in project.objects] == ["object 3", "object 7"]
        for t in range(3):
            np.testing.assert_array_equal(project.mask(t, 1), LABELS[t] == 3)
            np.testing.assert_array_equal(project.mask(t, 2), LABELS[t] == 7)


@pytest.mark.parametrize("kind", ["tiff", "coco", "sav", "youtube-vis", "cvat"])
def test_an_empty_file_is_said_to_be_empty(tmp_path, kind):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(FormatError, match=r"a is empty: was it cut off"):
        import_project(tmp_path / "a", kind, tmp_path / "a.sam2s")


def test_two_images_of_one_id_are_not_one(tmp_path):
    images = [{"id": 1, "file_name": "0.png"}, {"id": 1, "file_name": "1.png"}]
    with pytest.raises(FormatError, match="two images have one id"):
        read_coco(coco(tmp_path / "a.json", images, [annotation(1, 1)]))


def test_what_is_of_no_object_does_not_become_one_object(tmp_path):
    with pytest.raises(FormatError, match="track_id -1"):
        read_coco(coco(tmp_path / "a.json", [{"id": 1}], [annotation(1, -1), annotation(1, -1)]))


def test_frames_that_are_counted_from_1(tmp_path):
    """As ByteTrack writes them; our own ``frame_index`` is from 0, and 1 there is the second frame."""
    images = [{"id": n, "frame_id": n, "file_name": f"{n:06d}.jpg"} for n in (1, 2)]
    path = coco(tmp_path / "a.json", images, [annotation(2, 5)])
    with pytest.warns(UserWarning, match="counts its frame_id from 1"):
        [video] = read_coco(path).values()
    assert video.frames == [0, 1]
    assert [list(video.masks(t)) for t in video.frames] == [[], [5]]
    [ours] = read_coco(coco(tmp_path / "b.json", [{"id": 9, "frame_index": 1}], [annotation(9, 5)])).values()
    assert ours.frames == [1]


def test_videos_of_a_youtube_vis_file_whose_folders_begin_alike(tmp_path):
    videos = [
        {"id": n, "height": 12, "width": 16, "file_names": [f"JPEGImages/{name}/00000.jpg"]} for n, name in enumerate("ab", 1)
    ]
    tracks = [{"id": n, "video_id": n, "category_id": 1, "segmentations": [runs(i)]} for n, i in ((1, 3), (2, 7))]
    facts = {"videos": videos, "annotations": tracks, "categories": [{"id": 1, "name": "cell"}]}
    (tmp_path / "v.json").write_text(json.dumps(facts))
    found = read_youtube_vis(tmp_path / "v.json")
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["b"].masks(0)[2], LABELS[0] == 7)
    videos[1]["file_names"] = ["others/a/00000.jpg"]
    (tmp_path / "v.json").write_text(json.dumps(facts))
    with pytest.raises(FormatError, match="two videos called a"):
        read_youtube_vis(tmp_path / "v.json")


def ome(path, axes="tyx", array=LABELS, names=("cells",)):
    root = zarr.open_group(path, mode="w", zarr_format=2)
    labels = root.create_group("labels")
    labels.attrs["labels"] = list(names)
    for n, name in enumerate(names):
        image = labels.create_group(name)
        described = [{"name": axis, "type": "time" if axis == "t" else "space"} for axis in axes]
        image.attrs["multiscales"] = [{"version": "0.4", "axes": described, "datasets": [{"path": "full/0"}]}]
        image.create_array("full/0", data=array * (n + 1), chunks=array.shape)
    return path


def test_ome_zarr_of_other_programs(tmp_path):
    [labels] = read_ome_zarr(ome(tmp_path / "a.zarr")).values()
    np.testing.assert_array_equal(labels.masks(2)[7], LABELS[2] == 7)
    both = read_ome_zarr(ome(tmp_path / "b.zarr", names=("cells", "nuclei")))
    assert {name: sorted(one.masks(0)) for name, one in both.items()} == {"cells": [3, 7], "nuclei": [6, 14]}
    with pytest.raises(FormatError, match="has several videos: name one of 'cells', 'nuclei'"):
        import_project(tmp_path / "b.zarr", "ome-zarr", tmp_path / "b.sam2s")
    for axes, array in (("cyx", LABELS), ("yxt", np.moveaxis(LABELS, 0, 2))):
        with pytest.raises(FormatError, match=f"have the axes {', '.join(axes)}"):
            read_ome_zarr(ome(tmp_path / f"{axes}.zarr", axes, array))


def test_labels_below_0_are_no_objects(tmp_path):
    below = LABELS[0].astype(np.int16) - 1
    (tmp_path / "c_RES").mkdir()
    tifffile.imwrite(tmp_path / "c_RES" / "mask000.tif", below)
    (tmp_path / "c_RES" / "res_track.txt").write_text("-1 0 0 0\n2 0 0 0\n6 0 0 0\n")
    with pytest.raises(FormatError, match="labels below 0"):
        read_ctc(tmp_path / "c_RES")
    [labels] = read_ome_zarr(ome(tmp_path / "a.zarr", array=below[None])).values()
    with pytest.raises(FormatError, match="labels below 0"):
        labels.masks(0)


def ctc(folder, frames, tracks):
    folder.mkdir()
    for t in frames:
        tifffile.imwrite(folder / f"mask{t:03d}.tif", LABELS[t])
    (folder / "res_track.txt").write_text(tracks)
    return folder


def test_a_folder_of_the_challenge_with_a_gap_or_a_wrong_list(tmp_path):
    with pytest.warns(UserWarning, match="lacks 1 frame, the first is 1: nothing is known there"):
        path = import_project(ctc(tmp_path / "gap_RES", (0, 2), "3 0 2 0\n7 0 2 0\n"), "ctc", tmp_path / "a.sam2s")
    with Project.open(path) as project:
        assert project.frames == [0, 2]
        np.testing.assert_array_equal(project.mask(2, 1), LABELS[2] == 3)
    with pytest.raises(FormatError, match="one track on two lines"):
        read_ctc(ctc(tmp_path / "twice_RES", (0,), "3 0 0 0\n3 0 0 7\n7 0 0 0\n"))
    with pytest.raises(FormatError, match="is not label, begin, end and parent"):
        read_ctc(ctc(tmp_path / "short_RES", (0,), "3 0\n7 0 0 0\n"))


def test_masks_that_begin_with_the_number_1_are_told(tmp_path):
    """As ffmpeg numbers pictures; a number is a frame from 0 here."""
    folder = tmp_path / "video"
    folder.mkdir()
    for t in (1, 2):
        Image.fromarray(LABELS[t].astype(np.uint8)).save(folder / f"frame_{t:04d}.png")
    with pytest.warns(UserWarning, match="begin with the number 1, which is the second frame"):
        path = import_project(folder, "davis", tmp_path / "a.sam2s")
    with Project.open(path) as project:
        assert project.frames == [1, 2]


def test_the_masks_of_a_label_image(tmp_path):
    masks = LabelMasks(LABELS[1])
    assert list(masks) == [3, 7]
    assert 5 not in masks
    for i, mask in masks.encoded().items():
        np.testing.assert_array_equal(rle.decode(mask, (12, 16)), LABELS[1] == i)
        np.testing.assert_array_equal(masks[i], LABELS[1] == i)
    assert LabelMasks(np.zeros((4, 4), np.uint8)).encoded() == {}
    assert list(LabelMasks(np.full((2, 2), 2**40, np.int64)).encoded()) == [2**40]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no resource")
def test_thousands_of_nuclei_are_imported_in_the_memory_of_a_few(tmp_path):
    """Whole masks of 2,500 objects were 2.5 GB, and each new object read all others."""
    import tracemalloc

    labels = np.kron(np.arange(1, 2501, dtype=np.uint16).reshape(50, 50), np.ones((20, 20), np.uint16))
    tifffile.imwrite(tmp_path / "a.tif", labels[None], photometric="minisblack")
    tracemalloc.start()
    path = import_project(tmp_path / "a.tif", "tiff", tmp_path / "a.sam2s")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6
    with Project.open(path) as project:
        assert len(project.objects) == 2500
        assert {entry.mask.area for entry in project.masks.entries(0)} == {400}
        assert project.objects.get(2500).name == "object 2500"
        with pytest.raises(ProjectError, match="no object 2501"):
            project.objects.get(2501)


def test_paths_without_divisions_are_numbered_by_their_beginning():
    """1 divides into 2 and 3; 4 has one child, 5, so both are one path."""
    parents = {2: 1, 3: 1, 5: 4}
    objects = [Object(i, f"o{i}", None, (1, 2, 3), parent=parents.get(i)) for i in range(1, 6)]
    seen = [(1, 0), (1, 1), (2, 3), (3, 2), (3, 4), (4, 1), (4, 2), (5, 6)]
    graph = graph_of(objects, np.array([(i, t, 0, 0, 1) for i, t in seen], float))
    assert graph.tracklet.tolist() == [1, 1, 4, 3, 3, 2, 2, 2]


def test_outlines_fill_holes_and_count_them():
    ring = np.ones((5, 6), bool)
    ring[2, 2:4] = False
    outline, filled = outline_of(rle.encode(ring, (10, 20)))
    assert filled == 2
    assert sorted(map(tuple, outline.tolist())) == [(20, 10), (20, 14), (25, 10), (25, 14)]
    assert outline_of(rle.encode(np.ones((3, 3), bool)))[1] == 0


def test_seconds_of_many_frames_are_those_of_each():
    class Timed:
        fps = 29.97
        timestamps = None

    masklets = Timed()
    assert seconds_of_frames(masklets, range(500)) == [seconds_of(masklets, t) for t in range(500)]
    masklets.timestamps = np.arange(500) / 23.976
    assert seconds_of_frames(masklets, range(500)) == [seconds_of(masklets, t) for t in range(500)]


def test_polygons_of_a_youtube_vis_file(tmp_path):
    facts = {
        "videos": [{"id": 1, "width": 16, "height": 12, "file_names": ["v/0.jpg", "v/1.jpg"]}],
        "categories": [{"id": 1, "name": "tool"}],
        "annotations": [{"id": 4, "video_id": 1, "category_id": 1, "segmentations": [[[2, 3, 7, 3, 7, 9, 2, 9]], None]}],
    }
    (tmp_path / "x.json").write_text(json.dumps(facts))
    video = read_youtube_vis(tmp_path / "x.json")["v"]
    drawn = np.zeros((12, 16), bool)
    drawn[3:9, 2:7] = True
    np.testing.assert_array_equal(video.masks(0)[4], drawn)
    assert video.masks(1) == {}


def test_255_of_a_davis_folder_is_told_and_objects_in_folders_are_imported(tmp_path):
    labels = np.zeros((20, 30), np.uint8)
    labels[2:6, 2:6], labels[10:15, 2:6] = 128, 255
    (tmp_path / "v").mkdir()
    Image.fromarray(labels).save(tmp_path / "v" / "00000.png")
    with pytest.warns(UserWarning, match=r"The 20 pixels of .*v with the value 255 on frame 0 are void, as in DAVIS"):
        import_project(tmp_path / "v", "davis", tmp_path / "v.sam2s")
    for i, value in enumerate((128, 255)):
        (tmp_path / "root" / "case" / f"{i:03d}").mkdir(parents=True)
        mask = np.where(labels == value, 255, 0).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / "root" / "case" / f"{i:03d}" / "00000.png")
    import_project(tmp_path / "root", "davis", tmp_path / "case.sam2s")
    with Project.open(tmp_path / "case.sam2s", mode="r") as project:
        assert [(o.name, int(project.mask(0, o.id).sum())) for o in project.objects] == [("object 0", 16), ("object 1", 20)]
    with pytest.raises(
        FormatError, match=r"name one of '000', '001'\. If they are objects of one video, give the folder above"
    ):
        import_project(tmp_path / "root" / "case", "davis", tmp_path / "other.sam2s")
